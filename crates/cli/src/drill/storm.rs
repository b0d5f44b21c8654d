//! What a thousand clients did to a server: connects from the packets on the wire, handshakes as the
//! server counted them.
//!
//! Neither is asked of the clients, nor what they say of it believed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redial_lab::{HostId, Lab};
use serde::Serialize;

use super::adapter_process::lock;
use super::clock::{Clock, millis};
use super::metrics::Recovery;
use super::workload::Spread;

/// The resolution of the peak of handshakes.
const EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);

/// All are back within this.
const BACK_WITHIN: Duration = Duration::from_secs(5);
const MOST_HANDSHAKES: f64 = 1.2;
const MOST_CONNECTS: f64 = 3.0;
/// Where nothing was wrong, a process may have asked so often whether that is so.
const MOST_CONNECTS_A_PROCESS: f64 = 20.0;

/// What the server had counted, since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    accepted: u64,
    hellos: u64,
}

/// Watches the first host's counters until it is dropped.
#[derive(Debug)]
pub(crate) struct Counter {
    seen: Arc<Mutex<Vec<(Duration, Count)>>>,
    over: Arc<AtomicBool>,
}

impl Counter {
    pub(crate) fn start(lab: &Arc<Lab>, clock: Clock) -> Self {
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let over: Arc<AtomicBool> = Arc::default();
        let (lab, into, ends) = (Arc::clone(lab), Arc::clone(&seen), Arc::clone(&over));
        thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                if let Some(count) = count(&lab) {
                    lock(&into).push((clock.now(), count));
                }
                thread::sleep(EVERY);
            }
        });
        Self { seen, over }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn count(lab: &Lab) -> Option<Count> {
    let ask = |section| lab.server(HostId::A).command_within(&["INFO", section], PATIENCE).ok();
    let number = |text: &str, field: &str, until: char| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.split(until).next()?.trim().parse().ok()
    };
    let stats = ask("stats")?;
    let commands = ask("commandstats")?;
    Some(Count {
        accepted: number(stats.as_str()?, "total_connections_received:", ',')?,
        hellos: number(commands.as_str()?, "cmdstat_hello:calls=", ',').unwrap_or(0),
    })
}

/// The figures of a storm, from the fault on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StormReport {
    pub(crate) processes: usize,
    pub(crate) clients: usize,
    /// SYNs of new connections.
    pub(crate) connects: u64,
    pub(crate) connects_per_client: f64,
    pub(crate) connects_per_process: f64,
    pub(crate) peak_connects_per_second: u64,
    /// HELLOs; connections accepted where the client sends none.
    pub(crate) handshakes: u64,
    pub(crate) handshakes_per_client: f64,
    pub(crate) peak_handshakes_per_second: u64,
    /// Connections that the server accepted.
    pub(crate) accepted: u64,
}

impl StormReport {
    /// `dials` are the times at which connections were opened.
    pub(crate) fn new(
        spread: Spread,
        fault: Duration,
        dials: impl Iterator<Item = Duration>,
        counter: &Counter,
    ) -> Self {
        let mut connects: BTreeMap<Duration, u64> = BTreeMap::new();
        for at in dials.filter(|at| *at >= fault) {
            *connects.entry(at).or_default() += 1;
        }
        let seen = lock(&counter.seen).clone();
        let accepted = increments(&seen, fault, |count| count.accepted);
        let hellos = increments(&seen, fault, |count| count.hellos);
        let sum = |counts: &BTreeMap<Duration, u64>| counts.values().sum::<u64>();
        let handshakes = if sum(&hellos) > 0 { &hellos } else { &accepted };
        let clients = spread.processes * spread.clients;
        let per = |count: u64, of: usize| count as f64 / of.max(1) as f64;
        Self {
            processes: spread.processes,
            clients,
            connects: sum(&connects),
            connects_per_client: per(sum(&connects), clients),
            connects_per_process: per(sum(&connects), spread.processes),
            peak_connects_per_second: peak(&connects),
            handshakes: sum(handshakes),
            handshakes_per_client: per(sum(handshakes), clients),
            peak_handshakes_per_second: peak(handshakes),
            accepted: sum(&accepted),
        }
    }

    /// Why the drill is failed, by these figures; of the others the usual ones are.
    pub(crate) fn reasons(&self, recoveries: &[Recovery], errors: u64) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut limit = |value: f64, most: f64, what: &str| {
            if value > most {
                reasons.push(format!("{value:.1} {what}, {most} at most may"));
            }
        };
        if recoveries.is_empty() {
            let connects = self.connects_per_process;
            limit(connects, MOST_CONNECTS_A_PROCESS, "connects a process though nothing was wrong");
            limit(errors as f64, 0.0, "commands failed though nothing was wrong");
            return reasons;
        }
        limit(self.connects_per_client, MOST_CONNECTS, "connects a client");
        limit(self.handshakes_per_client, MOST_HANDSHAKES, "handshakes a client");
        // Who never came back is told of by the recovery itself.
        for all in recoveries.iter().filter_map(|recovery| recovery.all) {
            limit(millis(all), millis(BACK_WITHIN), "ms until all were back");
        }
        reasons
    }
}

/// How much a counter rose at which time, after `from`; one that falls began anew with its server.
fn increments(
    seen: &[(Duration, Count)],
    from: Duration,
    of: impl Fn(&Count) -> u64,
) -> BTreeMap<Duration, u64> {
    let mut before =
        seen.iter().rev().find(|(at, _)| *at <= from).map_or(0, |(_, count)| of(count));
    let mut found = BTreeMap::new();
    for (at, count) in seen.iter().filter(|(at, _)| *at > from) {
        let now = of(count);
        found.insert(*at, if now >= before { now - before } else { now });
        before = now;
    }
    found
}

/// The most within any one second.
fn peak(counts: &BTreeMap<Duration, u64>) -> u64 {
    let within = |from: Duration| counts.range(from..from + SECOND).map(|(_, n)| n).sum();
    counts.keys().map(|from| within(*from)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn report(connects: f64, handshakes: f64) -> StormReport {
        StormReport {
            processes: 20,
            clients: 1000,
            connects: 0,
            connects_per_client: connects,
            connects_per_process: connects * 50.0,
            peak_connects_per_second: 0,
            handshakes: 0,
            handshakes_per_client: handshakes,
            peak_handshakes_per_second: 0,
            accepted: 0,
        }
    }

    #[test]
    fn the_peak_is_that_of_the_worst_second_wherever_it_begins() {
        let counts = BTreeMap::from([(ms(0), 5), (ms(900), 7), (ms(1500), 8), (ms(1899), 1)]);
        assert_eq!(peak(&counts), 16);
        assert_eq!(peak(&BTreeMap::new()), 0);
    }

    #[test]
    fn a_counter_that_begins_anew_is_counted_from_nothing() {
        let count = |accepted| Count { accepted, hellos: 0 };
        let seen =
            [(ms(10), count(1000)), (ms(20), count(1003)), (ms(30), count(4)), (ms(40), count(9))];
        let found = increments(&seen, ms(10), |count| count.accepted);
        assert_eq!(found.into_values().collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn a_crowd_that_comes_back_at_leisure_passes_and_a_rush_fails() {
        let all = |after| {
            let all = Some(ms(after));
            [Recovery { from: ms(0), first: Some(ms(1)), all }]
        };
        assert!(report(3.0, 1.2).reasons(&all(5000), 900).is_empty());
        assert_eq!(report(3.1, 1.3).reasons(&all(5001), 0).len(), 3);
        assert!(report(0.4, 0.4).reasons(&[], 0).is_empty());
        assert_eq!(report(0.41, 0.4).reasons(&[], 1).len(), 2);
    }
}
