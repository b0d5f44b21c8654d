//! When TLS handshakes begin: connects are raced, handshakes are not.

use std::time::Duration;

use redial_proto::{
    Config, ConnId, Core, Endpoint, Event, EventKind, Input, Output, RetryBudget, TcpInfo, Time,
};

const MS: u64 = 1000;

/// Dials connect after a round trip, and what is behind them never speaks TLS.
struct World {
    core: Core<u64>,
    now: u64,
    rtt: u64,
    connecting: Vec<(u64, ConnId)>,
    /// When each TLS handshake began, and on which socket.
    begun: Vec<(u64, ConnId)>,
    dialed: Vec<(u64, ConnId)>,
    asked: Vec<u64>,
    refused: usize,
}

impl World {
    fn new(rtt: u64, tls: bool) -> Self {
        let endpoint = Endpoint::Tcp { host: "h".into(), port: 6380 };
        let config = Config { tls, ..Config::new(endpoint) };
        let mut world = Self {
            core: Core::new(config, RetryBudget::default(), 7),
            now: 0,
            rtt,
            connecting: Vec::new(),
            begun: Vec::new(),
            dialed: Vec::new(),
            asked: Vec::new(),
            refused: 0,
        };
        world.input(Input::Connect);
        world
    }

    fn input(&mut self, input: Input) {
        self.core.handle_input(Time::from_micros(self.now), input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Dial { conn, .. } => {
                    self.dialed.push((self.now, conn));
                    self.connecting.push((self.now + self.rtt, conn));
                }
                Output::StartTls { conn, .. } => self.begun.push((self.now, conn)),
                Output::Lead { link, .. } => {
                    let now = Time::from_micros(self.now);
                    self.core.handle_input(now, Input::Lead(link, true));
                }
                Output::AskOtherWay { .. } => self.asked.push(self.now),
                Output::Inspect(conn) => {
                    let rtt = Duration::from_micros(self.rtt);
                    let info = TcpInfo { rtt, ..TcpInfo::default() };
                    self.core.handle_input(
                        Time::from_micros(self.now),
                        Input::Inspected(conn, Some(info)),
                    );
                }
                Output::Event(Event {
                    kind: EventKind::DialFailed { needs_attention: true, .. },
                    ..
                }) => self.refused += 1,
                _ => {}
            }
        }
    }

    fn run_until(&mut self, end: u64) {
        loop {
            let connect = self.connecting.first().map_or(u64::MAX, |(at, _)| *at);
            let next = connect.min(self.core.poll_timeout().as_micros());
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if connect == next {
                let (_, conn) = self.connecting.remove(0);
                self.input(Input::Connected(conn));
            } else {
                self.input(Input::Tick);
            }
        }
    }
}

#[test]
fn while_the_last_handshake_is_stuck_each_next_one_waits_twice_as_long() {
    let mut world = World::new(MS, true);
    world.run_until(3_000 * MS);
    assert!(world.begun.len() >= 3, "{:?}", world.begun);
    assert_eq!(world.begun.len(), world.dialed.len());
    let gaps: Vec<_> = world.begun.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!((270 * MS..340 * MS).contains(&gaps[0]), "{gaps:?}");
    assert!((540 * MS..670 * MS).contains(&gaps[1]), "{gaps:?}");
}

#[test]
fn where_the_round_trip_is_long_the_next_handshake_waits_four_of_them() {
    let mut world = World::new(100 * MS, true);
    world.run_until(490 * MS);
    assert_eq!(world.begun.len(), 1, "{:?}", world.begun);
    assert_eq!(world.begun[0].0, 100 * MS);
    world.run_until(600 * MS);
    assert_eq!(world.begun.len(), 2, "{:?}", world.begun);
    assert!(world.begun[1].0 >= 500 * MS);
}

#[test]
fn a_handshake_that_fails_lets_the_next_begin_as_soon_as_it_has_a_socket() {
    let mut world = World::new(MS, true);
    world.run_until(100 * MS);
    assert_eq!(world.begun.len(), 1);
    let first = world.begun[0].1;
    world.input(Input::DialFailed(first, "reset".into()));
    world.run_until(250 * MS);
    assert_eq!(world.begun.len(), 2);
    assert!(world.begun[1].0 <= 220 * MS, "{:?}", world.begun);
}

#[test]
fn a_refused_certificate_is_looked_at_again_every_two_seconds() {
    let mut world = World::new(MS, true);
    let mut refused = 0;
    for ms in 0..9_000 {
        world.run_until(ms * MS);
        if let Some((_, conn)) = world.begun.get(refused).copied() {
            refused += 1;
            world.input(Input::DialRefused(conn, "expired".into()));
        }
    }
    assert!((4..=6).contains(&world.dialed.len()), "{:?}", world.dialed);
    assert_eq!((world.refused, world.begun.len()), (refused, world.dialed.len()));
    for pair in world.dialed.windows(2) {
        assert!((1_750 * MS..2_250 * MS).contains(&(pair[1].0 - pair[0].0)), "{:?}", world.dialed);
    }
}

#[test]
fn a_port_that_stays_silent_is_asked_once_in_plain_text() {
    let mut world = World::new(MS, true);
    world.run_until(900 * MS);
    assert_eq!(world.asked, []);
    world.run_until(5_000 * MS);
    assert_eq!(world.asked.len(), 1, "{:?}", world.asked);
    assert!(world.asked[0] <= 1_100 * MS);
}

#[test]
fn a_plain_port_that_closes_at_hello_is_asked_once_whether_it_speaks_tls() {
    let mut world = World::new(MS, false);
    world.run_until(10 * MS);
    let first = world.dialed[0].1;
    world.input(Input::Closed(first, None));
    assert_eq!((world.asked.len(), world.refused), (1, 0));
    world.input(Input::DialRefused(first, "this port speaks TLS".into()));
    assert_eq!(world.refused, 1);
    world.run_until(3_000 * MS);
    let next = world.dialed.last().unwrap().1;
    world.input(Input::Closed(next, None));
    assert_eq!(world.asked.len(), 1, "it has been asked");
}
