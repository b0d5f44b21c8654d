//! A bounded queue between the driver and one reader, which tells of everything that the reader did not get.
//!
//! What was missed stands between the messages where it happened. There is at most one such mark before each message, so a reader that sleeps
//! through a thousand interruptions costs no more than its messages do.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use super::subscription::{Message, Refused};
use crate::turns::poll_turn;

/// What a stream gives. Every case is to be handled, so that nobody takes a gap for silence.
#[derive(Debug)]
pub enum Received<M = Message> {
    /// A message.
    Message(M),
    /// The connection is gone, or the server has ended the subscription by itself: from now on messages are lost.
    Interrupted,
    /// All is heard again. What was published in between is lost: now is the time to read again what the messages would have told.
    Resumed {
        /// From the last sign of life of the old connection to the last confirmation on the new one; messages of this time may be lost. Where several
        /// interruptions followed each other without a message in between, all of it.
        after: Duration,
    },
    /// So many messages, the oldest ones, were dropped because this stream was not read fast enough.
    Dropped(u64),
    /// The server does not permit a channel any more; it belongs to this subscription no longer.
    Refused(Refused),
}

impl<M> Received<M> {
    /// The message, if it is one.
    pub fn message(self) -> Option<M> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

/// How much may wait to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Default for Limits {
    /// A reader that pauses for 80 ms misses nothing of 200,000 messages a second.
    fn default() -> Self {
        Self { messages: 16_384, bytes: 16 << 20 }
    }
}

/// What lies between two messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    Nothing,
    /// Began: nothing was heard since then.
    Interrupted(Instant),
    /// One that began earlier ended then.
    Resumed(Instant),
    /// Began and ended.
    Both(Instant, Instant),
}

impl Mark {
    /// This and then another. Between the two no message is left, so interruptions that follow each other become one.
    const fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::Nothing, mark) | (mark, Self::Nothing) => mark,
            (Self::Interrupted(since), Self::Resumed(until))
            | (Self::Both(since, _), Self::Both(_, until))
            | (Self::Interrupted(since), Self::Both(_, until))
            | (Self::Both(since, _), Self::Resumed(until)) => Self::Both(since, until),
            (Self::Interrupted(since) | Self::Both(since, _), Self::Interrupted(_)) => {
                Self::Interrupted(since)
            }
            (Self::Resumed(_), Self::Interrupted(_)) => Self::Nothing,
            (Self::Resumed(_), Self::Both(_, until) | Self::Resumed(until)) => Self::Resumed(until),
        }
    }
}

#[derive(Debug)]
struct Waiting<M> {
    before: Mark,
    message: M,
    bytes: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Inbox<M>(Mutex<State<M>>);

#[derive(Debug)]
struct State<M> {
    limits: Limits,
    waiting: VecDeque<Waiting<M>>,
    bytes: usize,
    /// Behind the last message.
    mark: Mark,
    refused: VecDeque<Refused>,
    dropped: u64,
    /// Of those, how many the reader has not been told of.
    untold: u64,
    /// When the interruption that the reader was last told of began.
    told: Option<Instant>,
    reader: Option<Waker>,
    /// What it listens to, and how much of that is confirmed.
    topics: usize,
    confirmed: usize,
    is_interrupted: bool,
    is_over: bool,
}

impl<M> Inbox<M> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Mutex::new(State {
            limits,
            waiting: VecDeque::new(),
            bytes: 0,
            mark: Mark::Nothing,
            refused: VecDeque::new(),
            dropped: 0,
            untold: 0,
            told: None,
            reader: None,
            topics: 0,
            confirmed: 0,
            is_interrupted: false,
            is_over: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message of this size behind the others; the oldest go when there are too many. One message always has room.
    pub(crate) fn push(&self, message: M, bytes: usize) -> Option<Waker> {
        let mut state = self.lock();
        let before = std::mem::take(&mut state.mark);
        state.bytes += bytes;
        state.waiting.push_back(Waiting { before, message, bytes });
        state.drop_oldest();
        state.reader.take()
    }

    /// One thing more is listened to.
    pub(crate) fn add_topic(&self, is_confirmed: bool) {
        let mut state = self.lock();
        state.topics += 1;
        state.confirmed += usize::from(is_confirmed);
    }

    /// One thing less is listened to.
    pub(crate) fn remove_topic(&self, was_confirmed: bool) -> Option<Waker> {
        let mut state = self.lock();
        state.topics = state.topics.saturating_sub(1);
        state.confirmed = state.confirmed.saturating_sub(usize::from(was_confirmed));
        state.resume_if_complete();
        state.reader.take()
    }

    /// The server does not permit one of the things that were listened to.
    pub(crate) fn refuse(&self, refused: Refused) -> Option<Waker> {
        self.lock().refused.push_back(refused);
        self.remove_topic(false)
    }

    /// What was confirmed is not heard any more since then.
    pub(crate) fn on_lost(&self, since: Instant) -> Option<Waker> {
        let mut state = self.lock();
        state.confirmed = state.confirmed.saturating_sub(1);
        if std::mem::replace(&mut state.is_interrupted, true) {
            return None;
        }
        state.mark = state.mark.then(Mark::Interrupted(since));
        state.reader.take()
    }

    /// The server has confirmed one of the things that are listened to.
    pub(crate) fn on_confirmed(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.confirmed += 1;
        state.resume_if_complete().then(|| state.reader.take())?
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.is_over = true;
        state.reader.take()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// The next thing to tell the reader; `None` when nothing can come.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Received<M>>> {
        ready!(poll_turn(cx));
        let mut state = self.lock();
        if let Some(next) = state.next() {
            return Poll::Ready(Some(next));
        }
        if state.is_over || state.topics == 0 {
            return Poll::Ready(None);
        }
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<M> State<M> {
    fn drop_oldest(&mut self) {
        let is_over = |state: &Self| {
            state.waiting.len() > state.limits.messages || state.bytes > state.limits.bytes
        };
        while self.waiting.len() > 1 && is_over(self) {
            let Some(Waiting { before, bytes, .. }) = self.waiting.pop_front() else { return };
            self.bytes -= bytes;
            self.dropped += 1;
            self.untold += 1;
            let next = self.waiting.front_mut().map_or(&mut self.mark, |next| &mut next.before);
            *next = before.then(*next);
        }
    }

    /// True if an interruption has ended: everything is confirmed.
    fn resume_if_complete(&mut self) -> bool {
        let resumes = self.is_interrupted && self.topics > 0 && self.confirmed == self.topics;
        if resumes {
            self.is_interrupted = false;
            self.mark = self.mark.then(Mark::Resumed(Instant::now()));
        }
        resumes
    }

    fn next(&mut self) -> Option<Received<M>> {
        if let Some(refused) = self.refused.pop_front() {
            return Some(Received::Refused(refused));
        }
        if self.untold > 0 {
            return Some(Received::Dropped(std::mem::take(&mut self.untold)));
        }
        let mark = self.waiting.front_mut().map_or(&mut self.mark, |next| &mut next.before);
        match std::mem::take(mark) {
            Mark::Nothing => {
                let Waiting { message, bytes, .. } = self.waiting.pop_front()?;
                self.bytes -= bytes;
                Some(Received::Message(message))
            }
            Mark::Interrupted(since) => {
                self.told = Some(since);
                Some(Received::Interrupted)
            }
            Mark::Resumed(until) => {
                let since = self.told.take().unwrap_or(until);
                Some(Received::Resumed { after: until.saturating_duration_since(since) })
            }
            Mark::Both(since, until) => {
                *mark = Mark::Resumed(until);
                self.told = Some(since);
                Some(Received::Interrupted)
            }
        }
    }
}

#[cfg(test)]
mod tests;
