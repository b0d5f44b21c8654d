//! Where replies wait for their callers: reused places, so that a command costs no allocation.

use std::collections::BTreeMap;
use std::task::Waker;

use redial_proto::{Error, RequestId};
use redial_resp::Frame;

use crate::pipeline::OwnedReply;

/// What a settled request leaves for its caller.
pub(crate) type Reply = Result<Frame, Error>;

/// Names a request to the core: a place, and which of a pipeline's commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    place: u32,
    index: u32,
}

/// The outcome of one of a pipeline's commands.
pub(crate) type Outcome = Result<OwnedReply, crate::Error>;

/// A pipeline's replies, until the last is there.
#[derive(Debug)]
pub(crate) struct Batch {
    commands: usize,
    /// Of the first so many commands.
    outcomes: Vec<Outcome>,
    /// What came ahead of its turn: refused at once, or of a blocking command's own connection.
    early: BTreeMap<u32, Outcome>,
    /// Of those that were accepted.
    ids: Vec<Option<RequestId>>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Slot {
    Vacant { next: u32 },
    Waiting(Waker),
    Ready(Reply),
    Batch(Box<Batch>),
}

const NONE: u32 = u32::MAX;

/// All places of one client.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    vacant: u32,
}

impl Default for Slots {
    fn default() -> Self {
        Self { slots: Vec::new(), vacant: NONE }
    }
}

impl Slots {
    fn insert(&mut self, slot: Slot) -> u32 {
        let place = self.vacant;
        if let Some(Slot::Vacant { next }) = self.slots.get(place as usize) {
            self.vacant = *next;
            self.slots[place as usize] = slot;
            return place;
        }
        self.slots.push(slot);
        (self.slots.len() - 1) as u32
    }

    /// A place for one reply.
    pub(crate) fn wait(&mut self, waker: Waker) -> Token {
        Token { place: self.insert(Slot::Waiting(waker)), index: 0 }
    }

    /// A place for a pipeline of this many commands.
    pub(crate) fn wait_batch(&mut self, commands: usize) -> Token {
        let batch = Batch {
            commands,
            outcomes: Vec::with_capacity(commands),
            early: BTreeMap::new(),
            ids: Vec::with_capacity(commands),
            waker: None,
        };
        Token { place: self.insert(Slot::Batch(Box::new(batch))), index: 0 }
    }

    pub(crate) fn batch(&mut self, token: Token) -> Option<&mut Batch> {
        match self.slots.get_mut(token.place as usize) {
            Some(Slot::Batch(batch)) => Some(batch),
            _ => None,
        }
    }

    /// Puts a reply in its place; gives whom to wake.
    pub(crate) fn settle(&mut self, token: Token, reply: Reply) -> Option<Waker> {
        let slot = self.slots.get_mut(token.place as usize)?;
        match slot {
            Slot::Waiting(_) => match std::mem::replace(slot, Slot::Ready(reply)) {
                Slot::Waiting(waker) => Some(waker),
                _ => None,
            },
            Slot::Batch(batch) => batch.settle(token.index, reply),
            Slot::Vacant { .. } | Slot::Ready(_) => None,
        }
    }

    /// Takes the reply, if it is there; otherwise remembers whom to wake.
    pub(crate) fn poll(&mut self, token: Token, waker: &Waker) -> Option<Reply> {
        match self.slots.get_mut(token.place as usize)? {
            Slot::Waiting(old) => {
                if !old.will_wake(waker) {
                    old.clone_from(waker);
                }
                None
            }
            Slot::Ready(_) => match self.free(token) {
                Some(Slot::Ready(reply)) => Some(reply),
                _ => None,
            },
            Slot::Vacant { .. } | Slot::Batch(_) => None,
        }
    }

    /// Takes all replies of a pipeline, if they are there.
    pub(crate) fn poll_batch(&mut self, token: Token, waker: &Waker) -> Option<Vec<Outcome>> {
        let batch = self.batch(token)?;
        if !batch.is_complete() {
            batch.waker = Some(waker.clone());
            return None;
        }
        match self.free(token) {
            Some(Slot::Batch(batch)) => Some(batch.outcomes),
            _ => None,
        }
    }

    fn free(&mut self, token: Token) -> Option<Slot> {
        let slot = self.slots.get_mut(token.place as usize)?;
        let old = std::mem::replace(slot, Slot::Vacant { next: self.vacant });
        self.vacant = token.place;
        Some(old)
    }

    /// Gives up a place. True if its reply was still to come.
    pub(crate) fn give_up(&mut self, token: Token) -> bool {
        matches!(self.free(token), Some(Slot::Waiting(_)))
    }

    /// Gives up a pipeline's place; gives the requests that are still to be cancelled.
    pub(crate) fn give_up_batch(&mut self, token: Token) -> Vec<(RequestId, Token)> {
        match self.free(token) {
            Some(Slot::Batch(batch)) => {
                let pending = (0..).zip(batch.ids).skip(batch.outcomes.len());
                let pending = pending.filter(|(index, _)| !batch.early.contains_key(index));
                pending.filter_map(|(index, id)| Some((id?, token.nth(index)))).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Token {
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    /// The token of a pipeline's command number `index`.
    pub(crate) const fn nth(self, index: u32) -> Self {
        Self { place: self.place, index }
    }
}

impl Batch {
    /// The next command, the one of this token, was accepted, or not.
    pub(crate) fn note(&mut self, token: Token, submitted: Result<RequestId, Error>) {
        match submitted {
            Ok(id) => self.ids.push(Some(id)),
            Err(error) => {
                self.ids.push(None);
                self.settle(token.index, Err(error));
            }
        }
    }

    /// How many commands were accepted or refused so far.
    pub(crate) fn noted(&self) -> u32 {
        self.ids.len() as u32
    }

    fn is_complete(&self) -> bool {
        self.outcomes.len() == self.commands
    }

    /// Puts an outcome in its place; gives whom to wake, if it was the last.
    pub(crate) fn settle(&mut self, index: u32, reply: Reply) -> Option<Waker> {
        let outcome = OwnedReply::from_reply(reply);
        if index as usize == self.outcomes.len() {
            self.outcomes.push(outcome);
        } else {
            self.early.insert(index, outcome);
        }
        while !self.early.is_empty()
            && let Some(next) = self.early.remove(&(self.outcomes.len() as u32))
        {
            self.outcomes.push(next);
        }
        if self.is_complete() { self.waker.take() } else { None }
    }
}
