//! Typed commands of every handle, and what can follow them.

use std::time::Duration;

use redial_commands::{Complete, Executor, OwnConnection};
use redial_proto::Resend;

use crate::client::Client;
use crate::dedicated::Dedicated;
use crate::durable::Durable;
use crate::once::Once;
use crate::pipeline::Pipeline;
use crate::queued::{Queued, Slot};
use crate::request::{Cmd, Request};
use crate::transaction::Transaction;

impl Executor for &Client {
    type Command<R> = Cmd<R>;

    fn begin<R>(self, name: &'static str) -> Cmd<R> {
        self.cmd(name)
    }
}

impl Executor for &Dedicated {
    type Command<R> = Cmd<R>;

    fn begin<R>(self, name: &'static str) -> Cmd<R> {
        self.cmd(name)
    }
}

impl OwnConnection for &Dedicated {}

impl Executor for &Durable {
    type Command<R> = Cmd<R>;

    fn begin<R>(self, name: &'static str) -> Cmd<R> {
        self.cmd(name)
    }
}

impl<'a> Executor for &'a mut Pipeline {
    type Command<R> = Queued<'a, R>;

    fn begin<R>(self, name: &'static str) -> Queued<'a, R> {
        Queued::new(&mut self.commands, name)
    }
}

impl<'a> Executor for &'a mut Transaction {
    type Command<R> = Queued<'a, R>;

    fn begin<R>(self, name: &'static str) -> Queued<'a, R> {
        Queued::new(&mut self.commands, name)
    }
}

/// What a [`Cmd`] can do, for typed commands that still have options open.
pub trait CommandOptions<R>: Complete<Command = Cmd<R>> {
    /// As [`Cmd::timeout`].
    fn timeout(self, timeout: Duration) -> Cmd<R> {
        self.into_command().timeout(timeout)
    }

    /// As [`Cmd::resend`].
    fn resend(self, resend: Resend) -> Cmd<R> {
        self.into_command().resend(resend)
    }

    /// As [`Cmd::once`].
    fn once(self, id: impl AsRef<[u8]>) -> Once<R> {
        self.into_command().once(id)
    }

    /// As [`Cmd::send`].
    fn send(self) -> Request<R> {
        self.into_command().send()
    }
}

impl<R, T: Complete<Command = Cmd<R>>> CommandOptions<R> for T {}

/// What a [`Queued`] can do, for typed commands that still have options open.
pub trait Queue<'a, R>: Complete<Command = Queued<'a, R>> {
    /// As [`Queued::queue`].
    fn queue(self) -> Slot<R> {
        self.into_command().queue()
    }
}

impl<'a, R, T: Complete<Command = Queued<'a, R>>> Queue<'a, R> for T {}
