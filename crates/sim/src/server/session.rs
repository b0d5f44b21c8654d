//! A connection as the server has it: what was received, what was parsed, and what it waits for.

use std::collections::BTreeSet;

use super::parse;

/// A command's words.
pub(crate) type Words = Vec<Vec<u8>>;

/// How the client's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rx {
    Open,
    Fin,
    Rst,
}

/// Why the session does not go on.
#[derive(Clone, Debug)]
pub(crate) enum Blocked {
    /// A write during CLIENT PAUSE, and where in the stream it began.
    Paused(Words, u64),
    /// A blocking command.
    Waiting { token: u64, reads: bool },
    /// A script of its own runs until then: nothing more is read of it.
    Running(u64),
}

impl Blocked {
    pub(super) const fn is_paused(&self) -> bool {
        matches!(self, Self::Paused(..))
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: i64,
    /// Received by the kernel, not read by the process.
    pub(crate) kernel: Vec<u8>,
    pub(crate) rx: Rx,
    query: Vec<u8>,
    /// How much of `query` was parsed.
    at: usize,
    pub(crate) net_in: u64,
    pub(crate) resp3: bool,
    pub(crate) authed: bool,
    /// ASKING was the last command.
    pub(crate) asking: bool,
    pub(crate) multi: Option<Vec<Words>>,
    /// A command of the transaction was refused.
    pub(crate) is_dirty: bool,
    pub(crate) blocked: Option<Blocked>,
    pub(crate) channels: BTreeSet<Vec<u8>>,
}

impl Session {
    pub(crate) const fn new(id: i64, authed: bool) -> Self {
        Self {
            id,
            kernel: Vec::new(),
            rx: Rx::Open,
            query: Vec::new(),
            at: 0,
            net_in: 0,
            resp3: false,
            authed,
            asking: false,
            multi: None,
            is_dirty: false,
            blocked: None,
            channels: BTreeSet::new(),
        }
    }

    pub(super) fn read(&mut self) {
        self.net_in += self.kernel.len() as u64;
        self.query.append(&mut self.kernel);
    }

    /// The next whole command, and its offset in the stream.
    pub(super) fn next_command(&mut self) -> Option<(Words, u64)> {
        let Some((command, len)) = parse::command(&self.query[self.at..]) else {
            self.query.drain(..self.at);
            self.at = 0;
            return None;
        };
        let start = self.net_in - self.unparsed() as u64;
        self.at += len;
        Some((command, start))
    }

    /// Bytes read and not parsed.
    pub(super) fn unparsed(&self) -> usize {
        self.query.len() - self.at
    }

    /// The same for a server that parses whole commands ahead of those it runs.
    pub(super) fn unparsed_ahead(&self) -> usize {
        let mut at = self.at;
        while let Some((_, len)) = parse::command(&self.query[at..]) {
            at += len;
        }
        self.query.len() - at
    }
}
