//! A Redis server as far as its clients can tell: sessions with input buffers, a role, a history of data, and the states in which it refuses,
//! postpones or says nothing. What a command does is in [`commands`] and [`admin`].

mod admin;
mod commands;
mod parse;
mod replication;
mod session;

use std::collections::BTreeMap;

pub(crate) use self::commands::bulk;
pub(crate) use self::session::{Blocked, Rx, Session, Words};
use crate::net::{Dir, End};
use crate::queue::Event;
use crate::world::World;

/// What a version can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Redis 7.0: no totals in CLIENT LIST.
    Old,
    /// Redis 8.2: `tot-net-in`.
    New,
    /// Valkey 9.1: the same, and it parses ahead of what it runs.
    Ahead,
}

/// Primary, or replica of which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    ReplicaOf(usize),
}

/// A host and its server process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) host_up: bool,
    pub(crate) running: bool,
    /// The process does nothing until then; its kernel works.
    pub(crate) frozen_until: u64,
    pub(crate) run_id: String,
    pub(crate) version: Version,
    pub(crate) role: Role,
    pub(crate) replid: String,
    pub(crate) replid2: String,
    pub(crate) replid2_until: i64,
    /// What was applied, and when: the data.
    pub(crate) log: Vec<(u64, u64)>,
    pub(crate) down_since: Option<u64>,
    pub(crate) promoted_at: u64,
    pub(crate) demoted_at: u64,
    pub(crate) sessions: BTreeMap<usize, Session>,
    next_id: i64,
    /// Writes are postponed.
    pub(crate) paused_until: u64,
    /// A script has run for too long: from then on nearly everything is refused.
    pub(crate) busy_until: u64,
    pub(crate) loading_until: u64,
    pub(crate) no_replicas_until: u64,
    pub(crate) master_down_until: u64,
    pub(crate) full_until: u64,
    pub(crate) refuses_until: u64,
    pub(crate) password: Option<String>,
    /// INFO and CLIENT are not permitted.
    pub(crate) hides: bool,
    pub(crate) knows_hello: bool,
}

impl Server {
    pub(crate) fn new(name: usize, version: Version) -> Self {
        Self {
            host_up: true,
            running: true,
            frozen_until: 0,
            run_id: format!("run{name}"),
            version,
            role: Role::Primary,
            replid: "replid0".to_owned(),
            replid2: String::new(),
            replid2_until: -1,
            log: Vec::new(),
            down_since: None,
            promoted_at: 0,
            demoted_at: 0,
            sessions: BTreeMap::new(),
            next_id: 3,
            paused_until: 0,
            busy_until: 0,
            loading_until: 0,
            no_replicas_until: 0,
            master_down_until: 0,
            full_until: 0,
            refuses_until: 0,
            password: None,
            hides: false,
            knows_hello: true,
        }
    }

    /// Whether its kernel takes a connection.
    pub(crate) const fn accepts(&self, now: u64) -> bool {
        self.running && now >= self.refuses_until
    }

    pub(crate) const fn is_primary(&self) -> bool {
        matches!(self.role, Role::Primary)
    }

    pub(crate) const fn works(&self, now: u64) -> bool {
        self.host_up && self.running && now >= self.frozen_until
    }
}

impl World {
    pub(crate) fn on_accepted(&mut self, server: usize, pipe: usize) {
        let is_full = self.now < self.servers[server].full_until;
        let host = &mut self.servers[server];
        host.next_id += 1;
        let session = Session::new(host.next_id, host.password.is_none());
        host.sessions.insert(pipe, session);
        if is_full {
            self.send(pipe, Dir::Down, b"-ERR max number of clients reached\r\n");
            self.drop_session(server, pipe);
        }
    }

    /// Room in the receive buffer of a session.
    pub(crate) fn receive_room(&self, server: usize, pipe: usize) -> u64 {
        let held = self.servers[server].sessions.get(&pipe).map_or(0, |s| s.kernel.len());
        self.plan.receive_buffer.saturating_sub(held) as u64
    }

    pub(crate) fn on_received(&mut self, server: usize, pipe: usize, bytes: &[u8], fin: bool) {
        let Some(session) = self.servers[server].sessions.get_mut(&pipe) else { return };
        session.kernel.extend_from_slice(bytes);
        if fin {
            session.rx = Rx::Fin;
        }
        self.serve(server, pipe);
    }

    /// A reset: what was received before can still be read.
    pub(crate) fn on_reset(&mut self, server: usize, pipe: usize) {
        self.pipes[pipe].server_end = End::Gone;
        if let Some(session) = self.servers[server].sessions.get_mut(&pipe) {
            session.rx = Rx::Rst;
            self.serve(server, pipe);
        }
    }

    /// The process reads what one connection has for it, and runs it.
    pub(crate) fn serve(&mut self, server: usize, pipe: usize) {
        if !self.servers[server].works(self.now) {
            return;
        }
        let window = self.plan.receive_buffer;
        let Some(session) = self.servers[server].sessions.get_mut(&pipe) else { return };
        if matches!(session.blocked, Some(Blocked::Running(_))) {
            return;
        }
        let was_full = session.kernel.len() >= window;
        session.read();
        if was_full {
            self.open_window(pipe, Dir::Up, window as u64);
        }
        self.run_session(server, pipe);
        let Some(session) = self.servers[server].sessions.get(&pipe) else { return };
        if session.rx != Rx::Open {
            self.drop_session(server, pipe);
        }
    }

    fn run_session(&mut self, server: usize, pipe: usize) {
        loop {
            let Some(session) = self.servers[server].sessions.get_mut(&pipe) else { return };
            if session.blocked.is_some() {
                return;
            }
            let Some((command, start)) = session.next_command() else { return };
            let reply = self.execute(server, pipe, &command, start);
            self.forget_asking(server, pipe, &command);
            self.reply(server, pipe, &reply);
        }
    }

    /// ASKING is for the next command, or the next transaction.
    fn forget_asking(&mut self, server: usize, pipe: usize, command: &Words) {
        let session = self.servers[server].sessions.get_mut(&pipe);
        let goes_on = |session: &&mut Session| {
            session.multi.is_some() || session.blocked.as_ref().is_some_and(Blocked::is_paused)
        };
        if let Some(session) = session.filter(|session| !goes_on(session)) {
            session.asking = command[0] == b"ASKING";
        }
    }

    pub(crate) fn reply(&mut self, server: usize, pipe: usize, bytes: &[u8]) {
        let is_there = self.servers[server].sessions.contains_key(&pipe);
        if is_there && self.pipes[pipe].server_end == End::Open && !bytes.is_empty() {
            self.send(pipe, Dir::Down, bytes);
        }
    }

    /// The process closes a connection.
    pub(crate) fn drop_session(&mut self, server: usize, pipe: usize) {
        self.servers[server].sessions.remove(&pipe);
        if self.pipes[pipe].server_end == End::Open {
            self.pipes[pipe].server_end = End::Finishing;
            self.finish(pipe, Dir::Down);
        }
    }

    /// The process can go on, perhaps: after a stop, or after writes were postponed.
    pub(crate) fn on_wake(&mut self, server: usize) {
        if !self.servers[server].works(self.now) {
            return;
        }
        let mut pipes: Vec<usize> = self.servers[server].sessions.keys().copied().collect();
        // epoll promises no order among connections.
        self.rng.shuffle(&mut pipes);
        for pipe in pipes {
            let is_paused = self.now < self.servers[server].paused_until;
            let now = self.now;
            let Some(session) = self.servers[server].sessions.get_mut(&pipe) else { continue };
            session.blocked.take_if(|b| matches!(b, Blocked::Running(until) if *until <= now));
            if session.rx != Rx::Open && matches!(session.blocked, Some(Blocked::Paused(..))) {
                // It notices the end before it goes on with what it had postponed.
                self.drop_session(server, pipe);
                continue;
            }
            if !is_paused
                && let Some(Blocked::Paused(command, start)) =
                    session.blocked.take_if(|b| b.is_paused())
            {
                let reply = self.execute(server, pipe, &command, start);
                self.forget_asking(server, pipe, &command);
                self.reply(server, pipe, &reply);
            }
            self.serve_in_turn(server, pipe);
        }
    }

    /// After a stop connections are served one after the other, and the commands of each take their time: what an old connection has left
    /// there may come after what a new one, which was served first, has sent since.
    fn serve_in_turn(&mut self, server: usize, pipe: usize) {
        match self.plan.longest_turn {
            0 => self.serve(server, pipe),
            longest => {
                let at = self.now + self.rng.u64(0..=longest);
                self.queue.push(at, Event::Turn { server, pipe });
            }
        }
    }

    /// A blocking command's time has come.
    pub(crate) fn on_unblock(&mut self, server: usize, pipe: usize, token: u64, element: bool) {
        let (now, frozen_until) = (self.now, self.servers[server].frozen_until);
        let Some(session) = self.servers[server].sessions.get_mut(&pipe) else { return };
        let Some(Blocked::Waiting { token: waiting, reads }) = session.blocked else { return };
        if waiting != token {
            return;
        }
        if now < frozen_until {
            let at = frozen_until + 1;
            return self.queue.push(at, Event::Unblock { server, pipe, token, element });
        }
        let resp3 = session.resp3;
        session.blocked = None;
        let reply = if element {
            self.apply(server, token, !reads);
            commands::element(token)
        } else {
            self.ledger.passed(token);
            if resp3 { b"_\r\n".to_vec() } else { b"*-1\r\n".to_vec() }
        };
        self.reply(server, pipe, &reply);
        self.serve(server, pipe);
    }
}
