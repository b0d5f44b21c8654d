//! Typed commands of a pipeline or transaction: put into it, and read out of its outcomes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use redial_commands::Draft;
use redial_resp::{Command, DecodeError, Element, Frame, FromReply, ServerError};

use crate::encoded::Commands;
use crate::error::Error;
use crate::pipeline::OwnedReply;

/// A typed command for a pipeline or transaction, which has it from [`Queued::queue`] on.
#[must_use = "a command is not in the pipeline before `queue()`"]
#[derive(Debug)]
pub struct Queued<'a, R> {
    /// With this command as a draft.
    commands: &'a mut Commands,
    reply: PhantomData<fn() -> R>,
}

impl<'a, R> Queued<'a, R> {
    pub(crate) fn new(commands: &'a mut Commands, name: &str) -> Self {
        commands.begin_draft(name);
        Self { commands, reply: PhantomData }
    }

    /// Puts it behind the others. What it answers is in the place that is given.
    #[expect(clippy::must_use_candidate, reason = "not every reply is of interest")]
    pub fn queue(self) -> Slot<R> {
        Slot { place: self.commands.keep_draft(), reply: PhantomData }
    }
}

impl<'a, R> Draft for Queued<'a, R> {
    type Of<T> = Queued<'a, T>;

    fn answering<T>(self) -> Queued<'a, T> {
        Queued { commands: self.commands, reply: PhantomData }
    }

    fn command_mut(&mut self) -> &mut Command {
        self.commands.building()
    }
}

/// Where a typed command's reply will be among the outcomes of its pipeline or transaction.
pub struct Slot<R> {
    place: usize,
    reply: PhantomData<fn() -> R>,
}

impl<R> Slot<R> {
    /// Which of the commands it is, from 0.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place
    }
}

impl<R: FromReply> Slot<R> {
    /// What the command answered. The outcomes must be those of the pipeline or transaction that gave the slot.
    ///
    /// # Errors
    /// The command's own; its reply does not fit `R`; there are fewer outcomes.
    pub fn read(&self, outcomes: &[Result<OwnedReply, Error>]) -> Result<R, Error> {
        match outcomes.get(self.place) {
            Some(Ok(reply)) => reply.decode(),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Error::invalid(
                "these are not the outcomes of the pipeline that gave this slot",
            )),
        }
    }
}

impl<R> Clone for Slot<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Slot<R> {}

impl<R> fmt::Debug for Slot<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.place).finish()
    }
}

/// What the commands of a transaction answered, each for itself.
#[derive(Clone, Debug)]
pub struct Outcomes(Vec<Result<OwnedReply, Error>>);

impl Deref for Outcomes {
    type Target = [Result<OwnedReply, Error>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl IntoIterator for Outcomes {
    type Item = Result<OwnedReply, Error>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromReply for Outcomes {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let replies = Vec::<Result<Frame, ServerError>>::from_reply(reply)?;
        let outcome = |reply: Result<_, ServerError>| {
            reply.map(OwnedReply::of).map_err(|error| Error::server(&error.to_string()))
        };
        Ok(Self(replies.into_iter().map(outcome).collect()))
    }
}
