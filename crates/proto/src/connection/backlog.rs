//! Requests in the order of their acceptance, with the bytes that each is made of.
//!
//! The one owner of both counts: a connection's requests in flight are a backlog, and so is the queue that waits for a
//! connection, so that a request moves between them without being encoded again. What becomes of a request is not decided here
//! but in [`crate::conclude`].

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redial_resp::Command;

use super::write_log::WriteLog;
use crate::command::{Body, Class};
use crate::conclude;
use crate::delivery::{Delivery, Resend};
use crate::time::Time;

/// Who waits for the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A caller: its token is to be answered.
    Caller,
    /// A caller that went away, or has been told: the reply is read and dropped in its place.
    Nobody,
    /// The link itself, to hear whether the connection lives.
    Ping,
    /// The link, on behalf of another: is its blocked connection still there?
    Inquiry,
    /// The link, for its subscriptions.
    Subscription,
    /// The link: do replicas have what was written?
    Wait,
    /// The link, with new credentials.
    Auth,
    /// The topology.
    Question,
}

/// What is known of a request besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) owner: Owner,
    pub(crate) class: Class,
    pub(crate) resend: Resend,
    /// What an error would say of it if it failed while it waits.
    pub(crate) delivery: Delivery,
    /// How often a server has sent it on.
    pub(crate) redirects: u8,
    /// How many connections were lost with it in flight.
    pub(crate) losses: u8,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<T> {
    /// Order of acceptance; also the request's id.
    pub(crate) seq: NonZeroU64,
    pub(crate) token: T,
    /// Offset in the log behind its last byte.
    pub(crate) end: u64,
    pub(crate) deadline: Time,
    pub(crate) accepted: Tick,
    pub(crate) meta: Meta,
}

/// A moment in 16 ms; fits where a whole [`Time`] would make every request larger. Wraps after two years, which no request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick(u32);

impl Tick {
    const MICROS: u64 = 16_384;
    const PRECISION: Duration = Duration::from_micros(Self::MICROS);

    pub(crate) const fn of(time: Time) -> Self {
        Self((time.as_micros() / Self::MICROS) as u32)
    }

    pub(crate) fn age(self, now: Time) -> Duration {
        Duration::from_micros(u64::from(Self::of(now).0.wrapping_sub(self.0)) * Self::MICROS)
    }
}

/// Requests in order, and their bytes.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    log: WriteLog,
    entries: VecDeque<Entry<T>>,
    /// Offset of the first byte of the first entry.
    first: u64,
    /// Entries that nobody waits for, among those that were never handed over.
    dead: usize,
    /// A request stands behind a later one: a scout, or what a link sends for itself.
    is_out_of_order: bool,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self {
            log: WriteLog::default(),
            entries: VecDeque::new(),
            first: 0,
            dead: 0,
            is_out_of_order: false,
        }
    }
}

impl<T: Copy> Backlog<T> {
    /// All entries, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries that somebody waits for.
    pub(crate) fn waiting(&self) -> usize {
        self.entries.len() - self.dead
    }

    /// True if a caller waits for one of them.
    pub(crate) fn has_callers(&self) -> bool {
        self.entries.iter().any(|entry| entry.meta.owner == Owner::Caller)
    }

    /// True if one of them may be what its connections were lost for.
    pub(crate) fn has_suspects(&self) -> bool {
        self.entries.iter().any(|entry| entry.meta.losses >= conclude::ALONE_AFTER)
    }

    /// True if this request is here.
    pub(crate) fn contains(&self, seq: NonZeroU64) -> bool {
        self.position(seq).is_some()
    }

    pub(crate) fn get(&self, seq: NonZeroU64) -> Option<&Entry<T>> {
        self.entries.get(self.position(seq)?)
    }

    /// Those that end behind `offset`, the last first.
    pub(crate) fn since(&self, offset: u64) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().rev().take_while(move |entry| entry.end > offset)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.log.held()
    }

    pub(crate) fn log(&mut self) -> &mut WriteLog {
        &mut self.log
    }

    pub(crate) fn end(&self) -> u64 {
        self.log.end()
    }

    /// Offset of the first byte of the first request.
    pub(crate) const fn first_offset(&self) -> u64 {
        self.first
    }

    pub(crate) fn front(&self) -> Option<&Entry<T>> {
        self.entries.front()
    }

    /// The bytes of the first request.
    pub(crate) fn front_body(&mut self) -> Option<Bytes> {
        let end = self.entries.front()?.end;
        let mut encoded = BytesMut::new();
        self.log.slices(self.first, end, |bytes| encoded.extend_from_slice(&bytes));
        Some(encoded.freeze())
    }

    /// Bytes that belong to no request: a handshake. Only while no request is in the log.
    pub(crate) fn append_raw(&mut self, command: &Command) {
        self.log.append_command(command);
        self.first = self.log.end();
    }

    /// Encodes a request behind the others; its `end` is set here.
    pub(crate) fn push(&mut self, mut entry: Entry<T>, body: Body<'_>) {
        self.log.append_body(body);
        entry.end = self.log.end();
        self.push_written(entry);
    }

    /// The request whose bytes end at its `end` in the log, and begin where the last one's do.
    pub(crate) fn push_written(&mut self, entry: Entry<T>) {
        match self.entries.back() {
            None => self.is_out_of_order = false,
            Some(last) => self.is_out_of_order |= last.seq > entry.seq,
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn pop_front(&mut self) -> Option<Entry<T>> {
        let entry = self.entries.pop_front()?;
        self.first = entry.end;
        Some(entry)
    }

    /// Gives back the memory of what was popped.
    pub(crate) fn release(&mut self) {
        self.log.release(self.first);
        if self.entries.is_empty() && self.entries.capacity() > 4096 {
            self.entries.shrink_to(64);
        }
    }

    /// Copies the request whose bytes are `from..entry.end` in the log of `source`, keeping its place in the order of acceptance (which must
    /// be behind everything already here).
    pub(crate) fn push_from(&mut self, mut entry: Entry<T>, source: &mut WriteLog, from: u64) {
        self.log.append_range(source, from, entry.end);
        entry.end = self.log.end();
        self.push_written(entry);
    }

    /// Puts all of `other` behind this one's, in its order; nobody's are left out.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let mut from = other.first;
        for entry in std::mem::take(&mut other.entries) {
            if entry.meta.owner != Owner::Nobody {
                self.push_from(entry, &mut other.log, from);
            }
            from = entry.end;
        }
        *other = Self::default();
    }

    /// The first request alone, moved behind this one's.
    pub(crate) fn append_first(&mut self, other: &mut Self) -> Option<NonZeroU64> {
        while !other.is_empty() {
            let moved = self.append_next(other);
            if moved.is_some() {
                other.release();
                return moved;
            }
        }
        None
    }

    /// Moves the next request of `other`, or drops it if nobody waits for it.
    fn append_next(&mut self, other: &mut Self) -> Option<NonZeroU64> {
        let from = other.first;
        let entry = other.pop_front()?;
        if entry.meta.owner == Owner::Nobody {
            other.dead = other.dead.saturating_sub(1);
            return None;
        }
        self.push_from(entry, &mut other.log, from);
        Some(entry.seq)
    }

    /// Encodes the first request anew, if it is the only one.
    pub(crate) fn rewrite_only(&mut self, rewrite: impl FnOnce(Bytes) -> Option<Command>) {
        let (Some(entry), 1) = (self.entries.front().copied(), self.entries.len()) else { return };
        if let Some(command) = self.front_body().and_then(rewrite) {
            *self = Self::default();
            self.push(entry, Body::Command(&command));
        }
    }

    /// Unites two backlogs in the order of acceptance.
    pub(crate) fn merge(&mut self, mut other: Self) {
        if other.is_empty() {
            return;
        }
        if other.is_out_of_order {
            other = other.sift(|_, _| true);
        }
        let mut old = std::mem::take(self);
        if old
            .entries
            .back()
            .is_none_or(|mine| other.entries.front().is_none_or(|its| mine.seq < its.seq))
        {
            *self = old;
            return self.append(&mut other);
        }
        while let (Some(mine), Some(its)) = (old.front(), other.front()) {
            let source = if mine.seq < its.seq { &mut old } else { &mut other };
            self.append_next(source);
        }
        self.append(&mut old);
        self.append(&mut other);
    }

    fn position(&self, seq: NonZeroU64) -> Option<usize> {
        if self.is_out_of_order {
            return self.entries.iter().position(|entry| entry.seq == seq);
        }
        self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()
    }

    /// Nobody waits for this one any more. Says whether it was found; `unsent` is the offset from which on nothing was handed over.
    pub(crate) fn abandon(&mut self, seq: NonZeroU64, unsent: u64) -> bool {
        let Some(at) = self.position(seq) else { return false };
        let start = self.start_of(at);
        let Some(entry) = self.entries.get_mut(at) else { return false };
        if entry.meta.owner != Owner::Caller {
            return false;
        }
        entry.meta.owner = Owner::Nobody;
        if start >= unsent {
            self.dead += 1;
        }
        true
    }

    fn start_of(&self, at: usize) -> u64 {
        match at.checked_sub(1).and_then(|before| self.entries.get(before)) {
            Some(before) => before.end,
            None => self.first,
        }
    }

    /// Callers' requests that are let go: copies with their bytes, and nobody waits for the replies of those that stay in their places.
    pub(crate) fn let_go(&mut self, which: impl Fn(&Entry<T>) -> bool) -> Vec<(Entry<T>, Bytes)> {
        let (mut from, mut copies) = (self.first, Vec::new());
        for entry in &mut self.entries {
            if entry.meta.owner == Owner::Caller && which(entry) {
                let mut body = BytesMut::new();
                self.log.slices(from, entry.end, |bytes| body.extend_from_slice(&bytes));
                copies.push((*entry, body.freeze()));
                entry.meta.owner = Owner::Nobody;
            }
            from = entry.end;
        }
        copies
    }

    /// Takes what nobody waits for out of the part that was never handed over, so that it never is.
    pub(crate) fn compact(&mut self, unsent: u64) {
        if self.dead == 0 {
            return;
        }
        self.dead = 0;
        let mut keep = self.entries.len();
        while keep > 0 && self.start_of(keep - 1) >= unsent {
            keep -= 1;
        }
        let mut from = self.start_of(keep);
        let moved = self.entries.split_off(keep);
        let mut rebuilt = WriteLog::default();
        let mut lens = Vec::with_capacity(moved.len());
        for entry in moved {
            if entry.meta.owner != Owner::Nobody {
                rebuilt.append_range(&mut self.log, from, entry.end);
                lens.push((entry, rebuilt.end()));
            }
            from = entry.end;
        }
        let base = self.start_of(keep).max(self.first);
        self.log.truncate(base);
        let end = rebuilt.end();
        self.log.append_range(&mut rebuilt, 0, end);
        for (mut entry, end) in lens {
            entry.end = base + end;
            self.entries.push_back(entry);
        }
    }

    /// True when it is worth compacting a queue for its memory alone.
    pub(crate) fn is_mostly_dead(&self) -> bool {
        self.dead > 64 && self.dead > self.entries.len() / 2
    }

    /// Hands every request whose deadline has come, or which is older than `age`, to `settle`, once, and gives the next such moment.
    /// `unsent` as in [`Self::abandon`].
    pub(crate) fn expire(
        &mut self,
        now: Time,
        unsent: u64,
        age: Option<Duration>,
        mut settle: impl FnMut(&Entry<T>, bool),
    ) -> Option<Time> {
        let mut next = None;
        let mut start = self.first;
        for entry in &mut self.entries {
            let never_handed = start >= unsent;
            start = entry.end;
            if entry.meta.owner != Owner::Caller {
                continue;
            }
            let left = age.map(|age| age.saturating_sub(entry.accepted.age(now)));
            let due = left.map_or(entry.deadline, |left| entry.deadline.min(now + left));
            if due <= now {
                settle(entry, never_handed);
                entry.meta.owner = Owner::Nobody;
                if never_handed {
                    self.dead += 1;
                }
            } else if due != Time::NEVER && next.is_none_or(|next| due < next) {
                next = Some(due);
            }
        }
        next
    }

    /// Gives requests with the `usual` time from acceptance to answer the `relaxed` one instead, if that is longer. One that was given a time of its own is
    /// told by it, as far as [`Tick`] tells.
    pub(crate) fn postpone(&mut self, now: Time, usual: Duration, relaxed: Duration) {
        let longer = relaxed.saturating_sub(usual);
        if longer.is_zero() {
            return;
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.meta.owner == Owner::Caller) {
            let timeout = entry.deadline.since(now) + entry.accepted.age(now);
            if timeout.abs_diff(usual) <= Tick::PRECISION {
                entry.deadline = entry.deadline + longer;
            }
        }
    }

    /// Empties it: each request with the offset of its first byte, to be judged; `keep` says which go on, and how.
    pub(crate) fn sift(mut self, mut keep: impl FnMut(u64, &mut Entry<T>) -> bool) -> Self {
        let mut sifted = Vec::new();
        let mut from = self.first;
        for mut entry in std::mem::take(&mut self.entries) {
            let end = entry.end;
            if keep(from, &mut entry) {
                sifted.push((from, entry));
            }
            from = end;
        }
        sifted.sort_by_key(|(_, entry)| entry.seq);
        let mut kept = Self::default();
        for (from, entry) in sifted {
            kept.push_from(entry, &mut self.log, from);
        }
        kept
    }
}
