//! Blocking commands that wait for a connection of their own. Which connections there are is the core's business.

use std::num::NonZeroU64;

use bytes::Bytes;
use redial_resp::Command;

use crate::command::{BlockingTimeout, Body, blocking_timeout};
use crate::config::Config;
use crate::connection::backlog::{Backlog, Entry, Owner};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::link::Link;
use crate::link::context::Context;
use crate::time::Time;

/// When a blocking command is given up: its own timeout is added to the usual one, and with timeout 0 never. `None` for one that does
/// not block after all.
pub(crate) fn deadline(command: &Command, usual: Time) -> Option<Time> {
    match blocking_timeout(command) {
        BlockingTimeout::None => None,
        BlockingTimeout::Never => Some(Time::NEVER),
        BlockingTimeout::After(own) => Some(usual + own),
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Blocking<T> {
    waiting: Backlog<T>,
    next_deadline: Time,
}

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self { waiting: Backlog::default(), next_deadline: Time::NEVER }
    }
}

impl<T: Copy + Default> Blocking<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.waiting() == 0
    }

    pub(crate) const fn next_deadline(&self) -> Time {
        self.next_deadline
    }

    pub(crate) fn push(
        &mut self,
        entry: Entry<T>,
        command: &Command,
        config: &Config,
    ) -> Result<(), Error> {
        self.admit(command.encoded_len(), config)?;
        self.waiting.push(entry, Body::Command(command));
        self.next_deadline = self.next_deadline.min(entry.deadline);
        Ok(())
    }

    fn admit(&self, bytes: usize, config: &Config) -> Result<(), Error> {
        let limits = config.offline_queue;
        if self.waiting.waiting() >= limits.commands
            || self.waiting.bytes().saturating_add(bytes) > limits.bytes
        {
            let text = format!(
                "{} blocking commands wait for a connection already (max_blocking_connections = {})",
                self.waiting.waiting(),
                config.max_blocking_connections
            );
            return Err(Error::new(ErrorKind::QueueFull, Delivery::NotSent, text));
        }
        Ok(())
    }

    /// The same, for one that was sent on.
    pub(crate) fn push_encoded(
        &mut self,
        entry: Entry<T>,
        body: &[u8],
        config: &Config,
    ) -> Result<(), Error> {
        self.admit(body.len(), config)?;
        let mut sent_on = Backlog::default();
        sent_on.push(entry, Body::Encoded(body));
        self.waiting.merge(sent_on);
        self.next_deadline = self.next_deadline.min(entry.deadline);
        Ok(())
    }

    /// The oldest, as it would be sent.
    pub(crate) fn front_body(&mut self) -> Option<Bytes> {
        self.waiting.front_body()
    }

    /// Hands the oldest to a link that is free.
    pub(crate) fn place(&mut self, cx: &mut Context<'_, T>, link: &mut Link<T>) {
        link.take_blocked(cx, &mut self.waiting);
    }

    pub(crate) fn abandon(&mut self, seq: NonZeroU64) {
        self.waiting.abandon(seq, 0);
        self.waiting.compact(0);
    }

    pub(crate) fn expire(&mut self, cx: &mut Context<'_, T>) {
        if self.next_deadline > cx.now {
            return;
        }
        let next = self.waiting.expire(cx.now, 0, None, |entry, _| {
            let text = "no connection was free for the blocking command by its deadline (max_blocking_connections)";
            cx.answer(entry.token, Err(Error::new(ErrorKind::Timeout, entry.meta.delivery, text)));
        });
        self.waiting.compact(0);
        self.next_deadline = next.unwrap_or(Time::NEVER);
    }

    /// The client ends.
    pub(crate) fn fail(&mut self, cx: &mut Context<'_, T>, text: &str) {
        std::mem::take(&mut self.waiting).sift(|_, entry| {
            if entry.meta.owner == Owner::Caller {
                cx.answer(
                    entry.token,
                    Err(Error::new(ErrorKind::Closed, entry.meta.delivery, text)),
                );
            }
            false
        });
        self.next_deadline = Time::NEVER;
    }
}
