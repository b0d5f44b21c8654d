//! What will happen, in order of time; what was planned first happens first at the same moment. What an event does is decided
//! in [`crate::world`].

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::fault::Action;
use crate::net::Dir;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The first packet of a dial reaches the endpoint.
    Syn(usize),
    /// The answer to it reaches the client.
    SynAck(usize),
    /// A dial fails at the client.
    DialError(usize, &'static str),
    /// Bytes up to an offset reach the other host.
    Arrive { pipe: usize, dir: Dir, upto: u64, retransmission: bool },
    /// The acknowledgement of bytes that went in `dir` reaches their sender.
    Ack { pipe: usize, dir: Dir, upto: u64, limit: u64 },
    /// The sender's kernel may have to send again.
    Rto(usize, Dir),
    /// A reset reaches the end of `dir`.
    Rst(usize, Dir),
    /// The client's kernel looks after an idle connection.
    Keepalive(usize),
    /// A server process may go on.
    Wake(usize),
    /// It is a connection's turn to be served.
    Turn { server: usize, pipe: usize },
    /// A blocking command's own timeout, or its element, has come.
    Unblock { server: usize, pipe: usize, token: u64, element: bool },
    /// A client's timer.
    Tick(usize),
    /// A caller of this client sends something.
    Call(usize),
    /// The caller of this request goes away.
    Cancel(u64),
    /// A part of a fault.
    Act(Action),
    /// Nodes of a cluster look around.
    Cron,
    /// A node of a cluster hears what another says of itself.
    Gossip { from: usize, to: usize },
    /// Sentinels look around.
    Watch,
    /// A Sentinel learns whom another has elected.
    Switch { watcher: usize, epoch: u64, heir: usize },
    /// The oracle looks at the clients.
    Check,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap gives its greatest first, which is to be the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Events to come.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    number: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.number += 1;
        self.heap.push(Entry { at, number: self.number, event });
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}
