//! Requests that leave the link for another: a server sends them on, the node is given up, or they are to be tried again later wherever their place is by
//! then. Where that is, the topology knows; that they go there, the core sees to.

use std::num::NonZeroU64;

use bytes::{Bytes, BytesMut};

use super::Link;
use super::context::Context;
use super::timers::Timer;
use crate::command::{Body, Class};
use crate::connection::backlog::{Backlog, Entry};
use crate::delivery::Delivery;
use crate::error::ErrorKind;
use crate::ids::OpenedId;
use crate::time::Time;
use crate::topology::{NodeId, Redirect};

/// What precedes a request that is sent to a node which does not have its slot yet.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// A request on its way from one link to another.
#[derive(Debug)]
pub(crate) struct Detour<T> {
    pub(crate) entry: Entry<T>,
    /// As it is sent, without ASKING.
    pub(crate) body: Bytes,
    /// Of a transaction: its commands, MULTI and EXEC included.
    pub(crate) commands: Option<u32>,
    pub(crate) from: NodeId,
    /// Of an opened link.
    pub(crate) group: Option<OpenedId>,
    pub(crate) why: Why,
}

/// Requests that come from other links.
#[derive(Debug)]
pub(crate) struct Arrivals<T> {
    backlog: Backlog<T>,
    transactions: Vec<(NonZeroU64, u32)>,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Self { backlog: Backlog::default(), transactions: Vec::new() }
    }
}

impl<T: Copy> Arrivals<T> {
    /// `is_once`: with ASKING in front.
    pub(crate) fn push(&mut self, detour: &Detour<T>, is_once: bool) {
        let mut entry = detour.entry;
        if is_once {
            entry.meta.class = entry.meta.class.or(Class::ASKING);
            let body = [ASKING, &detour.body].concat();
            self.backlog.push(entry, Body::Encoded(&body));
        } else {
            self.backlog.push(entry, Body::Encoded(&detour.body));
        }
        self.transactions.extend(detour.commands.map(|commands| (entry.seq, commands)));
    }
}

/// Why a request leaves.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// The server has sent it on.
    Redirected(Redirect),
    /// It is tried again at this moment.
    Later(Time),
    /// It waited, and nothing is known against sending it.
    Sorted,
}

impl<T: Copy + Default> Link<T> {
    /// Takes a request out: its bytes are `from..entry.end` of what was written.
    pub(super) fn detour(
        &mut self,
        cx: &mut Context<'_, T>,
        mut entry: Entry<T>,
        from: u64,
        why: Why,
    ) {
        let Some(conn) = self.current.as_mut() else { return };
        let body = take_body(&mut conn.in_flight, &mut entry, from);
        let commands = self.transactions.commands_of(entry.seq);
        let (from, group) = (self.node, self.group);
        cx.detours.push(Detour { entry, body, commands, from, group, why });
    }

    /// Takes in what has left other links, or this one: each at its place in the order of acceptance. They were admitted before.
    pub(crate) fn take_in(&mut self, cx: &mut Context<'_, T>, arrivals: Arrivals<T>) {
        let mut deadline = Time::NEVER;
        for entry in arrivals.backlog.since(0) {
            deadline = deadline.min(entry.deadline);
        }
        self.timers.set_no_later(Timer::Deadline, deadline);
        self.queue.merge(arrivals.backlog);
        for (seq, commands) in arrivals.transactions {
            self.note_transaction(seq, commands);
        }
        if self.has_ended() {
            self.fail_queue(cx, ErrorKind::Closed, "its node takes no commands any more");
        }
        self.flush(cx);
    }

    /// Sends what was sent and only reads elsewhere too: its answer here is dropped, if it comes.
    pub(crate) fn rescue(&mut self) -> Vec<Detour<T>> {
        let mut detours = self.take_waiting();
        let Some(conn) = self.current.as_mut() else { return detours };
        for (mut entry, body) in conn.in_flight.let_go(|entry| entry.meta.class.is(Class::READ)) {
            let (from, group) = (self.node, self.group);
            entry.meta.delivery = entry.meta.delivery.or_unknown(Delivery::Unknown);
            let commands = self.transactions.commands_of(entry.seq);
            detours.push(Detour { entry, body, commands, from, group, why: Why::Sorted });
        }
        detours
    }

    /// Takes out everything that waits.
    pub(crate) fn take_waiting(&mut self) -> Vec<Detour<T>> {
        let mut waiting = std::mem::take(&mut self.queue);
        let (node, group) = (self.node, self.group);
        let mut detours = Vec::with_capacity(waiting.waiting());
        loop {
            let from = waiting.first_offset();
            let Some(mut entry) = waiting.pop_front() else { return detours };
            if entry.meta.owner != crate::connection::backlog::Owner::Caller {
                continue;
            }
            let body = take_body(&mut waiting, &mut entry, from);
            let commands = self.transactions.commands_of(entry.seq);
            detours.push(Detour { entry, body, commands, from: node, group, why: Why::Sorted });
        }
    }
}

/// A request's own bytes.
fn take_body<T: Copy>(log: &mut Backlog<T>, entry: &mut Entry<T>, from: u64) -> Bytes {
    let mut body = BytesMut::new();
    log.log().slices(from, entry.end, |bytes| body.extend_from_slice(&bytes));
    let mut body = body.freeze();
    if entry.meta.class.is(Class::ASKING) {
        entry.meta.class = entry.meta.class.without_asking();
        let _ = body.split_to(ASKING.len().min(body.len()));
    }
    body
}
