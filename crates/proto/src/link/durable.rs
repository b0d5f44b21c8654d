//! Writes that are answered only when replicas have them: one WAIT behind all that is written at once, and the replies are held until its own.
//!
//! WAIT counts the replicas that have acknowledged what its connection wrote, and blocks that connection meanwhile, so such writes have a link of their own
//! (<https://redis.io/docs/latest/commands/wait/>). It does not make them safe from everything: a failover may still promote a replica that lacks
//! them.

use std::num::NonZeroU64;
use std::time::Duration;

use redial_resp::{Command, Frame};

use super::Link;
use super::context::Context;
use crate::command::Class;
use crate::connection::backlog::{Entry, Owner};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::time::Time;

/// What a durable link asks for, and what waits for it.
#[derive(Debug)]
pub(super) struct Durable<T> {
    replicas: u32,
    within: Duration,
    held: Vec<Held<T>>,
}

/// A write that ran.
#[derive(Debug)]
struct Held<T> {
    seq: NonZeroU64,
    token: T,
    deadline: Time,
    reply: Frame,
}

impl<T> Durable<T> {
    /// Whether WAIT may still be silent by right. Whether its server is there, other links find out: they lose it together.
    pub(super) fn may_wait(&self, silence: Duration) -> bool {
        silence <= self.within
    }

    /// Fails a write that ran and was not confirmed.
    fn not_durable(&self, kind: ErrorKind, text: &str) -> Error {
        let Self { replicas, within, .. } = self;
        let text =
            format!("it ran, but {replicas} replicas did not confirm it within {within:?}: {text}");
        Error::new(kind, Delivery::Ran, text)
    }
}

impl<T: Copy + Default> Link<T> {
    /// From now on writes are answered when so many replicas have them; waits for that at most `within`, above a millisecond.
    pub(crate) fn make_durable(&mut self, replicas: u32, within: Duration) {
        self.durable = Some(Box::new(Durable { replicas, within, held: Vec::new() }));
    }

    /// What it asks for.
    pub(crate) fn durability(&self) -> Option<(u32, Duration)> {
        self.durable.as_ref().map(|durable| (durable.replicas, durable.within))
    }

    /// Before what is new is handed over: asks for its confirmation, if there is a write in it.
    pub(super) fn ask_for_confirmation(&mut self, cx: &mut Context<'_, T>) {
        let (Some(durable), Some(conn)) = (&self.durable, &self.current) else { return };
        let is_write = |entry: &Entry<T>| {
            entry.meta.owner == Owner::Caller && !entry.meta.class.is(Class::READ)
        };
        if conn.in_flight.since(conn.untaken()).any(is_write) {
            let mut wait = Command::new("WAIT");
            wait.push_int(u64::from(durable.replicas));
            wait.push_int(durable.within.as_millis().clamp(1, u128::from(u32::MAX)) as u64);
            self.push_own(cx, Owner::Wait, &wait);
        }
    }

    /// Keeps the reply of a write until its confirmation; gives back any other.
    pub(super) fn hold_reply(&mut self, entry: &Entry<T>, reply: Frame) -> Option<Frame> {
        match &mut self.durable {
            Some(durable) if !entry.meta.class.is(Class::READ) && reply.error().is_none() => {
                let Entry { seq, token, deadline, .. } = *entry;
                durable.held.push(Held { seq, token, deadline, reply });
                None
            }
            _ => Some(reply),
        }
    }

    /// The answer to WAIT: how many replicas have all that was written before it.
    pub(super) fn on_confirmation(&mut self, cx: &mut Context<'_, T>, reply: &Frame) {
        let Some(durable) = &mut self.durable else { return };
        let held = std::mem::take(&mut durable.held);
        let why = match reply.decode::<u32>() {
            Ok(count) if count >= durable.replicas => None,
            Ok(count) => Some(format!("{count} did")),
            Err(error) => Some(error.to_string()),
        };
        for Held { token, reply, .. } in held {
            cx.answer(
                token,
                match &why {
                    None => Ok(reply),
                    Some(why) => Err(durable.not_durable(ErrorKind::NotDurable, why)),
                },
            );
        }
    }

    /// Nobody will confirm what was written on a connection that is gone.
    pub(super) fn fail_held(&mut self, cx: &mut Context<'_, T>, text: &str) {
        let Some(durable) = &mut self.durable else { return };
        for held in std::mem::take(&mut durable.held) {
            let text = format!("the connection was lost: {text}");
            cx.answer(held.token, Err(durable.not_durable(ErrorKind::NotDurable, &text)));
        }
    }

    /// Fails what was not confirmed by its deadline; gives the next one.
    pub(super) fn expire_held(&mut self, cx: &mut Context<'_, T>) -> Option<Time> {
        let durable = self.durable.as_mut()?;
        let (due, held): (Vec<_>, Vec<_>) =
            std::mem::take(&mut durable.held).into_iter().partition(|held| held.deadline <= cx.now);
        durable.held = held;
        for held in due {
            let error = durable.not_durable(ErrorKind::Timeout, "the deadline has passed");
            cx.answer(held.token, Err(error));
        }
        durable.held.iter().map(|held| held.deadline).min()
    }

    /// Nobody waits for this one any more. True if it was here.
    pub(super) fn abandon_held(&mut self, seq: NonZeroU64) -> bool {
        let Some(durable) = &mut self.durable else { return false };
        let before = durable.held.len();
        durable.held.retain(|held| held.seq != seq);
        durable.held.len() < before
    }

    /// True if a caller waits for a confirmation.
    pub(super) fn holds_replies(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| !durable.held.is_empty())
    }
}
