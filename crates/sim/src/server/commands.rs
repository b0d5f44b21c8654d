//! The data commands, and what precedes their execution, in the order of redis' `processCommand`.

use super::Role;
use super::session::{Blocked, Words};
use crate::caller::Kind;
use crate::queue::Event;
use crate::world::World;

const READONLY: &[u8] = b"-READONLY You can't write against a read only replica.";

/// A blocking command's element.
pub(super) fn element(token: u64) -> Vec<u8> {
    let text = token.to_string();
    format!("*2\r\n$1\r\nq\r\n${}\r\n{text}\r\n", text.len()).into_bytes()
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\r\n").into_bytes()
}

pub(crate) fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

impl World {
    /// Runs a command, or refuses or postpones it, and gives the reply; none if it blocks.
    pub(super) fn execute(
        &mut self,
        server: usize,
        pipe: usize,
        words: &Words,
        start: u64,
    ) -> Vec<u8> {
        let kind = Kind::recognise(words);
        self.trace.note(self.now, || {
            let text: Vec<_> = words.iter().map(|word| word.escape_ascii().to_string()).collect();
            format!("server {server}, pipe {pipe}: {:.60}", text.join(" "))
        });
        if let Some((_, token)) = kind
            && !self.is_queueing(server, pipe)
        {
            self.arrived(token, pipe, start);
        }
        if let Some(refusal) = self.refusal(server, pipe, words, kind) {
            self.on_refusal(server, pipe, words);
            return refusal;
        }
        if self.is_queueing(server, pipe) && !matches!(words[0].as_slice(), b"EXEC" | b"MULTI") {
            return self.enqueue(server, pipe, words);
        }
        let is_paused = self.now < self.servers[server].paused_until;
        let may_write =
            self.tokens_of(server, pipe, words).iter().any(|(kind, _)| kind.may_write());
        if is_paused && may_write {
            if let Some(session) = self.servers[server].sessions.get_mut(&pipe) {
                session.blocked = Some(Blocked::Paused(words.clone(), start));
            }
            return Vec::new();
        }
        match kind {
            Some((kind, token)) => self.run_command(server, pipe, kind, token, words),
            None => self.administrate(server, pipe, words),
        }
    }

    /// What a command asks for: of EXEC all that is queued.
    fn tokens_of(&self, server: usize, pipe: usize, words: &Words) -> Vec<(Kind, u64)> {
        let session = self.servers[server].sessions.get(&pipe);
        let queued = session.filter(|_| words[0] == b"EXEC").and_then(|s| s.multi.as_deref());
        queued
            .unwrap_or_else(|| std::slice::from_ref(words))
            .iter()
            .filter_map(|words| Kind::recognise(words))
            .collect()
    }

    fn on_refusal(&mut self, server: usize, pipe: usize, words: &Words) {
        for (_, token) in self.tokens_of(server, pipe, words) {
            self.ledger.refused(token);
            self.watch_rounds(token);
        }
        if let Some(session) = self.servers[server].sessions.get_mut(&pipe) {
            if words[0] == b"EXEC" {
                (session.multi, session.is_dirty) = (None, false);
            }
            session.is_dirty |= session.multi.is_some();
        }
    }

    /// The node of a cluster that this is does not have the keys.
    fn is_elsewhere(&self, server: usize, pipe: usize, words: &Words) -> Option<Vec<u8>> {
        self.cluster.as_ref()?;
        let session = self.servers[server].sessions.get(&pipe)?;
        let queued = session.multi.iter().flatten().filter(|_| words[0] == b"EXEC");
        let commands: Vec<&Words> = queued.chain([words]).collect();
        self.slot_refusal(server, &commands, session.asking).map(String::into_bytes)
    }

    fn is_queueing(&self, server: usize, pipe: usize) -> bool {
        self.servers[server].sessions.get(&pipe).is_some_and(|session| session.multi.is_some())
    }

    /// What the server says instead of running it.
    fn refusal(
        &self,
        server: usize,
        pipe: usize,
        words: &Words,
        kind: Option<(Kind, u64)>,
    ) -> Option<Vec<u8>> {
        let (host, now) = (&self.servers[server], self.now);
        let session = host.sessions.get(&pipe)?;
        let name = words[0].as_slice();
        let writes = kind.is_some_and(|(kind, _)| kind.is_write());
        let is_admin = matches!(name, b"HELLO" | b"AUTH");
        if !session.authed && !is_admin {
            return Some(line("-NOAUTH Authentication required."));
        }
        if host.hides && matches!(name, b"INFO" | b"CLIENT") {
            return Some(line("-NOPERM this user has no permissions to run the command"));
        }
        if let Some(refusal) = self.is_elsewhere(server, pipe, words) {
            return Some(refusal);
        }
        if kind.is_some() && self.is_sentinel(server) {
            return Some(line("-ERR unknown command"));
        }
        if writes && now < host.no_replicas_until {
            return Some(line("-NOREPLICAS Not enough good replicas to write."));
        }
        if writes && host.role != Role::Primary {
            return Some([READONLY, b"\r\n"].concat());
        }
        let is_info = matches!(
            name,
            b"INFO" | b"CLIENT" | b"SELECT" | b"SUBSCRIBE" | b"MULTI" | b"CLUSTER" | b"ROLE"
        );
        if host.role != Role::Primary && now < host.master_down_until && !is_admin && !is_info {
            return Some(line(
                "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            ));
        }
        if now < host.loading_until && !is_admin && !is_info {
            return Some(line("-LOADING Redis is loading the dataset in memory"));
        }
        if now < host.busy_until && !is_admin && name != b"MULTI" {
            return Some(line(
                "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            ));
        }
        None
    }

    /// A write, or a read, takes place.
    pub(super) fn apply(&mut self, server: usize, token: u64, writes: bool) {
        if writes {
            self.servers[server].log.push((token, self.now));
        }
        self.ran(token, server, writes);
    }

    pub(super) fn run_command(
        &mut self,
        server: usize,
        pipe: usize,
        kind: Kind,
        token: u64,
        words: &Words,
    ) -> Vec<u8> {
        match kind {
            Kind::Get => {
                self.apply(server, token, false);
                bulk(&token.to_string())
            }
            Kind::GetBoth => {
                self.apply(server, token, false);
                [b"*2\r\n$-1\r\n", &bulk(&token.to_string())[..]].concat()
            }
            Kind::Set | Kind::SetOnce | Kind::SetBoth => {
                self.apply(server, token, true);
                line(&format!("+OK {token}"))
            }
            Kind::Incr | Kind::Push | Kind::Transaction => {
                self.apply(server, token, true);
                line(&format!(":{token}"))
            }
            Kind::WrongType => {
                self.ledger.refused(token);
                line(&format!("-WRONGTYPE Operation against a key of another type {token}"))
            }
            Kind::Script => {
                self.apply(server, token, true);
                bulk(&token.to_string())
            }
            Kind::HalfScript => {
                // It publishes first, and then writes, on a replica too.
                self.apply(server, token, true);
                if self.servers[server].role == Role::Primary {
                    return bulk(&token.to_string());
                }
                [READONLY, b" script: abc, on @user_script:1.\r\n"].concat()
            }
            Kind::Publish => {
                self.apply(server, token, true);
                self.publish(server, &words[2]);
                line(&format!(":{token}"))
            }
            Kind::Pop | Kind::Read => self.block(server, pipe, kind, token, words),
        }
    }

    fn block(
        &mut self,
        server: usize,
        pipe: usize,
        kind: Kind,
        token: u64,
        words: &Words,
    ) -> Vec<u8> {
        let text = |at: usize| words.get(at).map(|w| String::from_utf8_lossy(w).into_owned());
        let millis = match kind {
            Kind::Pop => text(2).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0) * 1000.0,
            _ => text(2).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0),
        };
        if let Some(session) = self.servers[server].sessions.get_mut(&pipe) {
            session.blocked = Some(Blocked::Waiting { token, reads: kind == Kind::Read });
        }
        let own = (millis * 1000.0) as u64;
        // An element comes for half of them.
        let element = self.rng.bool().then(|| self.rng.u64(0..3_000_000));
        match element {
            Some(at) if own == 0 || at < own => {
                let event = Event::Unblock { server, pipe, token, element: true };
                self.queue.push(self.now + at, event);
            }
            _ if own > 0 => {
                let event = Event::Unblock { server, pipe, token, element: false };
                self.queue.push(self.now + own, event);
            }
            _ => {}
        }
        Vec::new()
    }

    /// Tells everybody who listens on this server, and on those that are told by it: in a cluster all that can be reached, and otherwise its replicas (of which
    /// listeners should not stay, unless they can't know better).
    pub(crate) fn publish(&mut self, server: usize, message: &[u8]) {
        let hears = |other: &usize| {
            let follows = self.servers[*other].role == Role::ReplicaOf(server);
            let is_told = match (&self.cluster, &self.sentinels) {
                (Some(_), _) => true,
                (_, sentinels) => follows && (sentinels.is_some() || self.plan.hides),
            };
            is_told && self.servers[*other].works(self.now)
        };
        let others = (0..self.servers.len() - 1).filter(|other| *other != server).filter(hears);
        for told in [server].into_iter().chain(others).collect::<Vec<_>>() {
            self.publish_on(told, "news", message);
        }
    }

    pub(crate) fn publish_on(&mut self, server: usize, channel: &str, message: &[u8]) {
        let listeners: Vec<(usize, bool)> = self.servers[server]
            .sessions
            .iter()
            .filter(|(_, session)| session.channels.contains(channel.as_bytes()))
            .map(|(pipe, session)| (*pipe, session.resp3))
            .collect();
        for (pipe, resp3) in listeners {
            let mark = if resp3 { '>' } else { '*' };
            let text = String::from_utf8_lossy(message);
            let len = text.len();
            let at = channel.len();
            let push =
                format!("{mark}3\r\n$7\r\nmessage\r\n${at}\r\n{channel}\r\n${len}\r\n{text}\r\n");
            self.reply(server, pipe, push.as_bytes());
        }
    }
}
