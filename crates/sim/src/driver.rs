//! The part of a driver: what the core puts out is done on the simulated sockets, what happens there is put in. It decides nothing, except, by
//! chance, how much a socket takes and how late a timer is.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use redial_proto::{
    ConnId, Core, Endpoint, Event as CoreEvent, EventKind, Input, LinkId, Output, Purpose, State,
    SubscriptionChange, Time,
};

use crate::net::{Dir, End};
use crate::oracle::Oracle;
use crate::queue::Event;
use crate::world::World;

/// Ticks at one moment, and in one virtual second, beyond which a client is in a busy loop. A storm of short deadlines makes some hundreds a second.
const MOST_TICKS_AT_ONCE: u32 = 50;
const MOST_TICKS_A_SECOND: u32 = 3_000;

/// A socket as its program has it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) conn: ConnId,
    pub(crate) pipe: usize,
    /// Taken from the core, not taken by the kernel.
    pending: Vec<Bytes>,
    /// Bytes taken from the core.
    taken: u64,
}

impl Socket {
    pub(crate) const fn new(conn: ConnId, pipe: usize) -> Self {
        Self { conn, pipe, pending: Vec::new(), taken: 0 }
    }
}

/// A link as its events show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkView {
    pub(crate) purpose: Purpose,
    pub(crate) state: State,
    pub(crate) adoptions: u32,
}

/// A client: a core, its sockets, and what was seen of it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) core: Core<u64>,
    pub(crate) process: usize,
    pub(crate) sockets: Vec<Socket>,
    /// Sockets that serve, as far as events say.
    adopted: Vec<ConnId>,
    pub(crate) links: BTreeMap<LinkId, LinkView>,
    tick_at: u64,
    tick_planned: u64,
    ticks: (u64, u32),
    ticks_this_second: (u64, u32),
    is_pumping: bool,
    /// Newest request that a server process ran for this client, by run id and hash tag.
    pub(crate) last_run: BTreeMap<(String, Option<usize>), u64>,
    /// Messages heard.
    pub(crate) heard: Vec<Vec<u8>>,
    pub(crate) suspicions: u32,
    /// When a server was last refused because it had just been left and its data did not continue what came after.
    pub(crate) no_way_back: u64,
    /// When it was last connected by hand.
    pub(crate) connected_at: u64,
}

impl Client {
    pub(crate) fn new(core: Core<u64>, process: usize) -> Self {
        Self {
            core,
            process,
            sockets: Vec::new(),
            adopted: Vec::new(),
            links: BTreeMap::new(),
            tick_at: u64::MAX,
            tick_planned: 0,
            ticks: (0, 0),
            ticks_this_second: (0, 0),
            is_pumping: false,
            last_run: BTreeMap::new(),
            heard: Vec::new(),
            suspicions: 0,
            no_way_back: 0,
            connected_at: 0,
        }
    }

    /// The socket is no more.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.sockets.retain(|socket| socket.conn != conn);
        self.adopted.retain(|other| *other != conn);
    }

    /// True if a socket's kernel did not take all there was.
    pub(crate) fn waits_for_room(&self, pipe: usize) -> bool {
        self.sockets.iter().any(|socket| socket.pipe == pipe && !socket.pending.is_empty())
    }

    /// What was handed over so far, by pipe.
    pub(crate) fn handed(&self) -> Vec<(usize, u64)> {
        self.sockets.iter().map(|socket| (socket.pipe, socket.taken)).collect()
    }

    pub(crate) fn shared(&self) -> Option<&LinkView> {
        self.links.values().find(|link| link.purpose == Purpose::Shared)
    }

    /// True if every link has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.links.values().all(|link| link.state == State::End)
    }
}

impl World {
    /// Something happened to a client; it is told before time goes on.
    pub(crate) fn input(&mut self, client: usize, input: Input) {
        self.pending.push_back((client, input));
    }

    /// Tells clients what has happened.
    pub(crate) fn drain(&mut self) {
        while let Some((client, input)) = self.pending.pop_front() {
            self.feed(client, input);
            self.pump(client);
        }
    }

    fn feed(&mut self, client: usize, input: Input) {
        self.trace.note(self.now, || format!("client {client}: {input:?}"));
        self.clients[client].core.handle_input(Time::from_micros(self.now), input);
    }

    /// Bytes for a socket.
    pub(crate) fn read(&mut self, client: usize, conn: ConnId, bytes: &[u8]) {
        // Drivers may read into the buffer that the core gives back, or into one of their own.
        let mut buffer = if self.rng.bool() {
            self.clients[client].core.take_buffer(conn)
        } else {
            BytesMut::new()
        };
        buffer.extend_from_slice(bytes);
        self.input(client, Input::Read(conn, buffer));
        self.drain();
    }

    /// Does what the core wants until it wants nothing more.
    pub(crate) fn pump(&mut self, client: usize) {
        if std::mem::replace(&mut self.clients[client].is_pumping, true) {
            return;
        }
        loop {
            while let Some(output) = self.clients[client].core.poll_output() {
                self.on_output(client, output);
            }
            if !self.flush(client) {
                break;
            }
        }
        self.clients[client].is_pumping = false;
        self.plan_tick(client);
    }

    fn on_output(&mut self, client: usize, output: Output<u64>) {
        if !matches!(output, Output::Answer { .. }) {
            self.trace.note(self.now, || format!("client {client}:   → {output:?}"));
        }
        match output {
            Output::Answer { token, reply } => {
                self.on_answer(token, reply);
                self.carry_on(client);
            }
            Output::Dial { conn, endpoint } => self.on_dial(client, conn, &endpoint),
            // No cryptography here: a socket that is connected is secured as soon as that is asked for.
            Output::StartTls { conn, .. } => self.input(client, Input::Secured(conn)),
            Output::AskOtherWay { conn, tls, .. } => {
                if !tls {
                    self.input(
                        client,
                        Input::DialFailed(conn, "closed, and no TLS either".to_owned()),
                    );
                }
            }
            // Passwords are told, not asked for.
            Output::AskCredentials { .. } => {}
            Output::Close { conn, reset } => self.close(client, conn, reset),
            Output::Inspect(conn) => {
                let pipe = self.clients[client].sockets.iter().find(|s| s.conn == conn);
                let info = pipe.and_then(|socket| self.tcp_info(socket.pipe));
                self.feed(client, Input::Inspected(conn, info));
            }
            Output::AskRetry { link, .. } => {
                let pause = std::time::Duration::from_millis(self.rng.u64(10..300));
                // A strategy that gives up ends the client, until it is connected by hand; after the last fault none does.
                let gives_up = self.healed_at.is_none() && self.rng.u32(0..50) == 0;
                self.input(client, Input::Retry(link, (!gives_up).then_some(pause)));
            }
            Output::Lead { link, endpoint } => {
                let process = self.clients[client].process;
                let granted = self.boards[process].join(
                    &endpoint,
                    (client, link),
                    Time::from_micros(self.now),
                );
                self.feed(client, Input::Lead(link, granted));
            }
            Output::Resign { link, endpoint } => {
                let process = self.clients[client].process;
                if let Some((next, link)) = self.boards[process].leave(&endpoint, &(client, link)) {
                    self.input(next, Input::Lead(link, true));
                }
            }
            Output::Publish { endpoint, finding } => {
                let process = self.clients[client].process;
                let followers: Vec<_> =
                    self.boards[process].followers(&endpoint).copied().collect();
                for (other, link) in followers {
                    self.input(other, Input::Finding(link, finding.clone()));
                }
            }
            Output::Push { frame, .. } => {
                self.clients[client].heard.push(frame.as_bytes().to_vec())
            }
            Output::Subscription { change: SubscriptionChange::Refused { text, .. }, .. } => {
                self.fail(Oracle::Serves, || {
                    format!("client {client}: SUBSCRIBE was given up: {text}")
                });
            }
            Output::Subscription { .. } => {}
            Output::Event(event) => self.on_event(client, event),
        }
    }

    /// A caller that was answered may go on at once, or another may go away, while the core is still being asked for outputs.
    fn carry_on(&mut self, client: usize) {
        if self.now >= self.plan.calls_until || self.is_ending {
            return;
        }
        let habit = self.plan.clients[client].habit;
        if habit.loops.is_some() && habit.keeps_coming {
            return;
        }
        if habit.loops.is_some() {
            let pause = self.rng.u64(0..2 * habit.pause);
            self.queue.push(self.now + pause, Event::Call(client));
        } else if self.rng.u8(..) < habit.goes_on {
            let wish = self.wish(client);
            self.ask(client, wish);
        } else if self.rng.u8(..) < habit.cancels
            && let Some(last) = self.ledger.requests.len().checked_sub(1)
        {
            let back = self.rng.usize(0..20);
            self.on_cancel(last.saturating_sub(back) as u64);
        }
    }

    fn on_dial(&mut self, client: usize, conn: ConnId, endpoint: &Endpoint) {
        let view = &mut self.clients[client];
        let links = view.links.values().filter(|link| link.state != State::End).count().max(1);
        let under_way = view.sockets.iter().filter(|s| !view.adopted.contains(&s.conn)).count();
        if view.shared().is_some_and(|link| link.state == State::End) {
            self.fail(Oracle::Ended, || format!("client {client} has ended and dials"));
        }
        if under_way >= 8 * links {
            self.fail(Oracle::Dials, || {
                format!("client {client}: {under_way} dials are under way for {links} links, and one more")
            });
        }
        self.dial(client, conn, endpoint);
    }

    fn close(&mut self, client: usize, conn: ConnId, reset: bool) {
        let found = self.clients[client].sockets.iter().find(|s| s.conn == conn).map(|s| s.pipe);
        self.clients[client].forget(conn);
        let Some(pipe) = found else { return };
        let was = self.pipes[pipe].client_end;
        match was {
            End::Open if reset => {
                self.pipes[pipe].client_end = End::Gone;
                self.reset(pipe, Dir::Up);
            }
            End::Open => {
                self.pipes[pipe].client_end = End::Finishing;
                self.finish(pipe, Dir::Up);
            }
            _ => self.pipes[pipe].client_end = End::Gone,
        }
    }

    fn on_event(&mut self, client: usize, event: CoreEvent) {
        let CoreEvent { link, purpose, kind } = event;
        let fresh = LinkView { purpose, state: State::Wait, adoptions: 0 };
        let links = &mut self.clients[client].links;
        let is_first = links.first_key_value().is_none_or(|(first, _)| *first == link);
        let view = links.entry(link).or_insert(fresh);
        match kind {
            // Links of nodes come and go; the first one stays.
            EventKind::State(State::End) if self.plan.has_several_nodes() && !is_first => {
                self.clients[client].links.remove(&link);
            }
            EventKind::State(state) => view.state = state,
            EventKind::Adopted { conn, .. } => {
                view.adoptions += 1;
                let again = view.adoptions > 1 && purpose != Purpose::Blocking;
                self.clients[client].adopted.push(conn);
                // Whoever is asked about others may be a replica, and so may who only answers reads: links besides the first, where there are no slots.
                let is_reader = purpose == Purpose::Shared && !is_first && self.sentinels.is_some();
                if purpose != Purpose::Discovery && !is_reader {
                    self.check_role(client, conn);
                }
                if is_first && let Some(server) = self.server_of(client, conn) {
                    self.watch_reign(client, server);
                }
                if again && self.plan.mood.is_calm() && !self.is_ending {
                    self.fail(Oracle::FalseAlarm, || {
                        format!(
                            "client {client}: a connection was replaced, and servers were only slow"
                        )
                    });
                }
            }
            EventKind::Suspected { why, .. } => {
                self.clients[client].suspicions += 1;
                if self.plan.mood.is_still() {
                    self.fail(Oracle::FalseAlarm, || {
                        format!("client {client}: suspicion ({why:?}), and nothing was ever slow")
                    });
                }
            }
            EventKind::DialFailed { cause, .. } if cause.contains("left a moment ago") => {
                self.clients[client].no_way_back = self.now;
            }
            _ => {}
        }
    }

    fn server_of(&self, client: usize, conn: ConnId) -> Option<usize> {
        let socket = self.clients[client].sockets.iter().find(|socket| socket.conn == conn)?;
        self.pipes[socket.pipe].server
    }

    /// Whoever said only that it is a replica is not adopted; what it has become since is another matter.
    fn check_role(&mut self, client: usize, conn: ConnId) {
        let pipe = self.clients[client].sockets.iter().find(|socket| socket.conn == conn);
        let Some(pipe) = pipe.map(|socket| &self.pipes[socket.pipe]) else { return };
        if let (Some(false), Some(server)) = (pipe.told_primary, pipe.server) {
            self.fail(Oracle::WantedRole, || {
                format!("client {client} adopted server {server}, which said that it is a replica")
            });
        }
    }

    /// Writes what there is to write, as far as sockets take it. True if any did.
    fn flush(&mut self, client: usize) -> bool {
        let mut wrote = false;
        for at in 0.. {
            let view = &mut self.clients[client];
            let Some(socket) = view.sockets.get_mut(at) else { break };
            let (conn, pipe) = (socket.conn, socket.pipe);
            if self.pipes[pipe].client_end != End::Open {
                continue;
            }
            if socket.pending.is_empty() {
                view.core.take_writes(conn, |bytes| socket.pending.push(bytes));
                socket.taken += socket.pending.iter().map(|b| b.len() as u64).sum::<u64>();
            }
            if socket.pending.is_empty() {
                continue;
            }
            let count = self.write(client, at, pipe);
            if count > 0 {
                wrote = true;
                self.feed(client, Input::Written(conn, count));
            }
        }
        wrote
    }

    fn write(&mut self, client: usize, at: usize, pipe: usize) -> usize {
        let mut room = self.room(pipe);
        let mut bytes = Vec::new();
        let pending = &mut self.clients[client].sockets[at].pending;
        for piece in pending.iter_mut() {
            let count = piece.len().min(room);
            bytes.extend_from_slice(&piece.split_to(count));
            room -= count;
        }
        pending.retain(|piece| !piece.is_empty());
        if !bytes.is_empty() {
            self.send(pipe, Dir::Up, &bytes);
        }
        bytes.len()
    }

    fn plan_tick(&mut self, client: usize) {
        let at = self.clients[client].core.poll_timeout();
        if at == Time::NEVER {
            return;
        }
        let at = at.as_micros().max(self.now);
        if at < self.clients[client].tick_at {
            let late = if at > self.now { self.rng.u64(0..=self.plan.late_ticks) } else { 0 };
            self.clients[client].tick_at = at;
            self.clients[client].tick_planned = at + late;
            self.queue.push(at + late, Event::Tick(client));
        }
    }

    pub(crate) fn on_tick(&mut self, client: usize) {
        let now = self.now;
        let view = &mut self.clients[client];
        if view.tick_planned != now || view.tick_at == u64::MAX {
            // An earlier one was planned since.
            return;
        }
        view.tick_at = u64::MAX;
        if view.core.poll_timeout().as_micros() > now {
            return self.plan_tick(client);
        }
        let count = |(at, count): &mut (u64, u32), now| {
            *count = if *at == now { *count + 1 } else { 1 };
            *at = now;
            *count
        };
        let at_once = count(&mut view.ticks, now);
        let a_second = count(&mut view.ticks_this_second, now / 1_000_000);
        self.feed(client, Input::Tick);
        self.pump(client);
        if at_once > MOST_TICKS_AT_ONCE || a_second > MOST_TICKS_A_SECOND {
            self.fail(Oracle::BusyLoop, || {
                format!("client {client}: {at_once} ticks at one moment, {a_second} in a second")
            });
        }
    }
}
