//! Where replies wait for their callers: reused places, so that a command costs no allocation.

use std::task::Waker;

use redial_proto::{Error, RequestId};
use redial_resp::Frame;

/// What a settled request leaves for its caller.
pub(crate) type Reply = Result<Frame, Error>;

/// Names a request to the core: a place, and which of a pipeline's commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    place: u32,
    index: u32,
}

/// A pipeline's replies, until the last is there.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) replies: Vec<Option<Reply>>,
    /// Of those that were accepted.
    pub(crate) ids: Vec<Option<RequestId>>,
    missing: usize,
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
            replies: (0..commands).map(|_| None).collect(),
            ids: Vec::with_capacity(commands),
            missing: commands,
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
    pub(crate) fn poll_batch(&mut self, token: Token, waker: &Waker) -> Option<Vec<Option<Reply>>> {
        let batch = self.batch(token)?;
        if batch.missing > 0 {
            batch.waker = Some(waker.clone());
            return None;
        }
        match self.free(token) {
            Some(Slot::Batch(batch)) => Some(batch.replies),
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
                let all = (0..).zip(batch.replies).zip(batch.ids);
                let pending = all.filter(|((_, reply), _)| reply.is_none());
                pending.filter_map(|((index, _), id)| Some((id?, token.nth(index)))).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Token {
    /// The token of a pipeline's command number `index`.
    pub(crate) const fn nth(self, index: u32) -> Self {
        Self { place: self.place, index }
    }
}

impl Batch {
    pub(crate) fn settle(&mut self, index: u32, reply: Reply) -> Option<Waker> {
        let place = self.replies.get_mut(index as usize)?;
        if place.replace(reply).is_none() {
            self.missing -= 1;
        }
        if self.missing == 0 { self.waker.take() } else { None }
    }
}
