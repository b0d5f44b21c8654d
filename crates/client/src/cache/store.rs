//! Which replies are kept, and when they go.
//!
//! A read that is under way has a place here before it is sent. An invalidation, or the end of the connection, takes that place away; the reply that
//! comes then finds no place, and is not kept, however late its task gets to run. So nothing is kept that was read before the key changed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use redial_proto::SubscriptionChange;
use redial_resp::{Bytes, Frame, Value};
use tokio::sync::watch;

use crate::driver::slots::Reply;
use crate::error::Error;
use crate::pubsub::{Ask, Feed};

/// What an entry costs besides its bytes.
const OVERHEAD: usize = 200;

/// See [`OpenCache`](super::OpenCache).
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 10_000, bytes: 64 << 20, ttl: Duration::from_secs(60) }
    }
}

/// What a cache did so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads answered from memory, or together with another that was under way.
    pub hits: u64,
    /// Reads that the server answered.
    pub misses: u64,
    /// Keys that the server said have changed.
    pub invalidations: u64,
    /// Times that everything was forgotten: by an interruption, or because the server said so.
    pub flushes: u64,
    /// Replies held.
    pub entries: usize,
    /// Bytes that they take.
    pub bytes: usize,
}

/// What is known of a command.
#[derive(Debug)]
pub(super) enum Found {
    Here(Frame),
    /// Somebody is asking the server.
    Asked(watch::Receiver<Option<Reply>>),
    /// The server is to be asked, and the question answered.
    Missing(Question),
    /// The server is to be asked; nothing is kept at the moment.
    Untracked,
    NotCacheable,
}

#[derive(Debug)]
enum Slot {
    Asked(watch::Receiver<Option<Reply>>),
    Kept { frame: Frame, until: Instant, bytes: usize, was_used: bool },
}

#[derive(Debug)]
struct Entry {
    /// Tells it from an earlier one of the same command.
    number: u64,
    keys: Vec<Bytes>,
    slot: Slot,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Store(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limits: Limits,
    /// By the command's bytes.
    entries: HashMap<Bytes, Entry>,
    /// The commands that read a key.
    readers: HashMap<Bytes, Vec<Bytes>>,
    /// What is kept, in the order in which it goes; one that was used meanwhile gets a second chance.
    order: VecDeque<(Bytes, u64)>,
    kept: usize,
    number: u64,
    is_tracking: bool,
    /// Who waits for the server's first word.
    ask: Ask,
    stats: CacheStats,
}

/// A read that is under way. Dropping it unanswered lets somebody else ask.
#[derive(Debug)]
pub(super) struct Question {
    store: Arc<Mutex<State>>,
    command: Bytes,
    number: u64,
    tell: watch::Sender<Option<Reply>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    pub(super) fn new(limits: Limits, ask: Ask) -> Self {
        Self(Arc::new(Mutex::new(State {
            limits,
            entries: HashMap::new(),
            readers: HashMap::new(),
            order: VecDeque::new(),
            kept: 0,
            number: 0,
            is_tracking: false,
            ask,
            stats: CacheStats::default(),
        })))
    }

    /// Looks for the reply to a command; `keys` are asked for if the server has to be.
    pub(super) fn find(&self, command: &[u8], keys: impl FnOnce() -> Option<Vec<Bytes>>) -> Found {
        let mut state = lock(&self.0);
        if let Some(found) = state.look(command) {
            state.stats.hits += 1;
            return found;
        }
        let Some(keys) = keys() else { return Found::NotCacheable };
        state.stats.misses += 1;
        if !state.is_tracking {
            return Found::Untracked;
        }
        let (tell, told) = watch::channel(None);
        let command = Bytes::copy_from_slice(command);
        let number = state.insert(command.clone(), keys, Slot::Asked(told));
        Found::Missing(Question { store: Arc::clone(&self.0), command, number, tell })
    }

    pub(super) fn forget(&self, key: &[u8]) {
        lock(&self.0).forget(key);
    }

    pub(super) fn clear(&self) {
        lock(&self.0).flush();
    }

    pub(super) fn is_tracking(&self) -> bool {
        lock(&self.0).is_tracking
    }

    pub(super) fn stats(&self) -> CacheStats {
        let state = lock(&self.0);
        CacheStats { entries: state.kept, ..state.stats }
    }
}

impl Question {
    /// Tells everybody who waits, and keeps the reply if its keys have not changed since it was asked for.
    pub(super) fn answer(self, reply: &Reply) {
        let mut state = lock(&self.store);
        if let Ok(frame) = reply {
            state.keep(&self.command, self.number, frame);
        }
        drop(state);
        // Nobody may be waiting.
        let _ = self.tell.send(Some(reply.clone()));
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut state = lock(&self.store);
        let is_open = state.entries.get(&self.command).is_some_and(|entry| {
            entry.number == self.number && matches!(entry.slot, Slot::Asked(_))
        });
        if is_open {
            state.remove(&self.command);
        }
    }
}

impl State {
    fn look(&mut self, command: &[u8]) -> Option<Found> {
        match &mut self.entries.get_mut(command)?.slot {
            Slot::Asked(told) => Some(Found::Asked(told.clone())),
            Slot::Kept { frame, until, was_used, .. } if *until > Instant::now() => {
                *was_used = true;
                Some(Found::Here(frame.clone()))
            }
            Slot::Kept { .. } => {
                self.remove(command);
                None
            }
        }
    }

    fn insert(&mut self, command: Bytes, keys: Vec<Bytes>, slot: Slot) -> u64 {
        self.number += 1;
        for key in &keys {
            self.readers.entry(key.clone()).or_default().push(command.clone());
        }
        self.entries.insert(command, Entry { number: self.number, keys, slot });
        self.number
    }

    fn remove(&mut self, command: &[u8]) {
        let Some(entry) = self.entries.remove(command) else { return };
        for key in &entry.keys {
            if let Some(readers) = self.readers.get_mut(key) {
                readers.retain(|reader| reader != command);
                if readers.is_empty() {
                    self.readers.remove(key);
                }
            }
        }
        if let Slot::Kept { bytes, .. } = entry.slot {
            self.stats.bytes -= bytes;
            self.kept -= 1;
        }
    }

    /// Keeps a reply in the place that its question had, if that is still there.
    fn keep(&mut self, command: &Bytes, number: u64, frame: &Frame) {
        let until = Instant::now() + self.limits.ttl;
        let Some(entry) = self.entries.get_mut(command).filter(|entry| entry.number == number)
        else {
            return;
        };
        let keys: usize = entry.keys.iter().map(Bytes::len).sum();
        let bytes = OVERHEAD + command.len() + keys + frame.as_bytes().len();
        if frame.error().is_some() || bytes > self.limits.bytes || self.limits.entries == 0 {
            return self.remove(command);
        }
        // A copy: a part of a read buffer would keep all of it alive.
        let frame = Frame::from_scanned(Bytes::copy_from_slice(frame.as_bytes()));
        entry.slot = Slot::Kept { frame, until, bytes, was_used: false };
        self.stats.bytes += bytes;
        self.kept += 1;
        self.order.push_back((command.clone(), number));
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.kept > self.limits.entries || self.stats.bytes > self.limits.bytes {
            let Some((command, number)) = self.order.pop_front() else { return };
            match self.entries.get_mut(&command) {
                Some(Entry { number: its, slot: Slot::Kept { was_used, .. }, .. })
                    if *its == number =>
                {
                    if std::mem::take(was_used) {
                        self.order.push_back((command, number));
                    } else {
                        self.remove(&command);
                    }
                }
                // Gone already.
                _ => {}
            }
        }
        // What went otherwise leaves its place in the order behind.
        if self.order.len() > 2 * self.kept + 64 {
            let entries = &self.entries;
            let is_there = |(command, number): &(Bytes, u64)| {
                entries.get(command).is_some_and(|entry| entry.number == *number)
            };
            self.order.retain(is_there);
        }
    }

    fn forget(&mut self, key: &[u8]) {
        for command in self.readers.remove(key).unwrap_or_default() {
            self.remove(&command);
        }
    }

    fn flush(&mut self) {
        self.entries.clear();
        self.readers.clear();
        self.order.clear();
        (self.kept, self.stats.bytes) = (0, 0);
        self.stats.flushes += 1;
    }
}

impl Feed for Store {
    /// `invalidate` and the keys, or null for all of them.
    fn on_push(&self, frame: &Frame, _: &mut Vec<Waker>) {
        let element = frame.element();
        let Some(mut elements) = element.elements() else { return };
        if elements.next().and_then(|word| word.text()) != Some(b"invalidate") {
            return;
        }
        let Some(keys) = elements.next() else { return };
        let mut state = lock(&self.0);
        match keys.value() {
            Value::Array(keys) => {
                for key in keys {
                    if let Value::Bulk(key) | Value::Simple(key) = key {
                        state.stats.invalidations += 1;
                        state.forget(key);
                    }
                }
            }
            _ => state.flush(),
        }
    }

    fn on_change(&self, change: SubscriptionChange, _: Instant, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.0);
        match change {
            SubscriptionChange::Confirmed { .. } => {
                state.is_tracking = true;
                wakers.extend(state.ask.settle(Ok(())));
            }
            SubscriptionChange::Refused { text, .. } => {
                state.is_tracking = false;
                wakers.extend(state.ask.settle(Err(Error::server(&text))));
            }
            SubscriptionChange::Withdrawn { .. } | SubscriptionChange::Interrupted { .. } => {
                state.is_tracking = false;
                state.flush();
            }
        }
    }

    fn on_end(&self, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.0);
        state.is_tracking = false;
        state.flush();
        let text = "the client was ended before the server agreed to track";
        wakers.extend(state.ask.settle(Err(Error::closed(text))));
    }
}

#[cfg(test)]
mod tests;
