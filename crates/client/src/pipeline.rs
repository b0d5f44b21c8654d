//! Several commands in one go, each with its own outcome.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use redial_proto::{Delivery, RequestOptions, Resend};
use redial_resp::{Command, Frame, FromReply, OwnedValue};

use crate::arg::ToArg;
use crate::buffers;
use crate::client::Handle;
use crate::driver::slots::{Reply, Token};
use crate::error::{CoreErrorKind, Error};

/// Commands that are written together and answered together. Not a transaction: others' commands may run in between, and each command
/// succeeds or fails for itself.
#[must_use = "a pipeline does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Pipeline {
    handle: Arc<Handle>,
    commands: Vec<Command>,
    options: RequestOptions,
}

impl Pipeline {
    pub(crate) const fn new(handle: Arc<Handle>) -> Self {
        Self {
            handle,
            commands: Vec::new(),
            options: RequestOptions { timeout: None, resend: None },
        }
    }

    /// Begins the next command.
    pub fn cmd(mut self, name: &str) -> Self {
        self.commands.push(buffers::command(name));
        self
    }

    /// Adds an argument to the last command.
    ///
    /// Before the first [`Self::cmd`] there is none; the argument is then taken as a command's name, which the server will refuse.
    pub fn arg(mut self, arg: impl ToArg) -> Self {
        if self.commands.is_empty() {
            self.commands.push(Command::new(""));
        }
        if let Some(command) = self.commands.last_mut() {
            arg.write_to(command);
        }
        self
    }

    /// How many commands it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// True if it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// As [`Cmd::timeout`](crate::Cmd::timeout), for each of its commands.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// As [`Cmd::resend`](crate::Cmd::resend), for each of its commands.
    pub const fn resend(mut self, resend: Resend) -> Self {
        self.options.resend = Some(resend);
        self
    }

    /// Sends all of it; the outcomes are in the commands' order. Dropping the future takes back what was not handed to the socket.
    ///
    /// A blocking command among them goes over a connection of its own and does not delay the others.
    pub fn send(self) -> PipelineRequest {
        PipelineRequest { handle: self.handle, state: State::New(self.commands, self.options) }
    }
}

impl std::future::IntoFuture for Pipeline {
    type Output = Vec<Result<OwnedReply, Error>>;
    type IntoFuture = PipelineRequest;

    fn into_future(self) -> PipelineRequest {
        self.send()
    }
}

/// A reply that is decoded when it is asked for.
#[derive(Clone, Debug)]
pub struct OwnedReply(Frame);

impl OwnedReply {
    /// The reply as a type of the caller's.
    ///
    /// # Errors
    /// It does not fit the type.
    pub fn decode<R: FromReply>(&self) -> Result<R, Error> {
        self.0.decode().map_err(Error::from)
    }

    /// The whole reply as a tree.
    ///
    /// # Errors
    /// The reply is malformed.
    pub fn value(&self) -> Result<OwnedValue, Error> {
        self.decode()
    }
}

/// A pipeline that was sent; resolves to the outcome of each command.
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct PipelineRequest {
    handle: Arc<Handle>,
    state: State,
}

#[derive(Debug)]
enum State {
    New(Vec<Command>, RequestOptions),
    Waiting(Token),
    Done,
}

impl PipelineRequest {
    fn submit(&mut self, commands: Vec<Command>, options: &RequestOptions) -> Token {
        self.handle.mailbox.with(|state| {
            let token = state.slots.wait_batch(commands.len());
            for (index, command) in (0_u32..).zip(commands) {
                let submitted = state.core.submit(&command, token.nth(index), options);
                buffers::give_back(command);
                if let Some(batch) = state.slots.batch(token) {
                    match submitted {
                        Ok(id) => batch.ids.push(Some(id)),
                        Err(error) => {
                            batch.ids.push(None);
                            batch.settle(index, Err(error));
                        }
                    }
                }
            }
            token
        })
    }
}

fn outcome(reply: Option<Reply>) -> Result<OwnedReply, Error> {
    match reply {
        Some(Ok(frame)) => match frame.error() {
            Some(error) => Err(Error::server(&error.to_string())),
            None => Ok(OwnedReply(frame)),
        },
        Some(Err(error)) => Err(error.into()),
        None => Err(redial_proto::Error::new(
            CoreErrorKind::Closed,
            Delivery::Unknown,
            "the reply was lost",
        )
        .into()),
    }
}

impl Future for PipelineRequest {
    type Output = Vec<Result<OwnedReply, Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let token = match std::mem::replace(&mut this.state, State::Done) {
            State::New(commands, options) => this.submit(commands, &options),
            State::Waiting(token) => token,
            State::Done => return Poll::Pending,
        };
        match this.handle.mailbox.lock().slots.poll_batch(token, cx.waker()) {
            Some(replies) => Poll::Ready(replies.into_iter().map(outcome).collect()),
            None => {
                this.state = State::Waiting(token);
                Poll::Pending
            }
        }
    }
}

impl Drop for PipelineRequest {
    fn drop(&mut self) {
        if let State::Waiting(token) = self.state {
            self.handle.mailbox.with(|state| {
                for id in state.slots.give_up_batch(token) {
                    state.core.cancel(id);
                }
            });
        }
    }
}
