//! What typed commands are built on: who executes them, what they are written into, and what their types remember.
//!
//! Which commands there are is generated; how they are sent is the executor's business.

use redial_resp::Command;

use crate::arg::{Row, ToArg};

/// What commands can be given to: a client, a pipeline, a transaction.
///
/// Every group of commands is a trait with a method for each, which every executor has. Methods take `self` by value because executors are
/// references: `client.get("k")` borrows by itself.
pub trait Executor: Sized {
    /// A command of this executor that answers an `R`.
    type Command<R>: Draft;

    /// Begins a command. A name of several words is sent as several.
    fn begin<R>(self, name: &'static str) -> Self::Command<R>;
}

/// An executor that has a connection for itself, whose state it may set.
pub trait OwnConnection: Executor {}

/// A command that arguments are added to.
pub trait Draft: Sized {
    /// The same with another reply.
    type Of<R>: Draft;

    /// The same command, decoded as something else.
    fn answering<R>(self) -> Self::Of<R>;

    /// What has been written so far.
    fn command_mut(&mut self) -> &mut Command;

    /// Adds an argument.
    fn with(mut self, arg: impl ToArg) -> Self {
        arg.write_to(self.command_mut());
        self
    }

    /// Adds several arguments.
    fn with_each(mut self, args: impl IntoIterator<Item = impl ToArg>) -> Self {
        let command = self.command_mut();
        args.into_iter().for_each(|arg| arg.write_to(command));
        self
    }

    /// Adds several arguments behind their number.
    fn with_count(
        self,
        args: impl IntoIterator<Item = impl ToArg, IntoIter: ExactSizeIterator>,
    ) -> Self {
        let args = args.into_iter();
        self.with(args.len()).with_each(args)
    }

    /// Adds pairs or triples, one behind the other.
    fn with_rows(mut self, rows: impl IntoIterator<Item = impl Row>) -> Self {
        let command = self.command_mut();
        rows.into_iter().for_each(|row| row.write_to(command));
        self
    }

    /// Adds pairs or triples behind their number.
    fn with_row_count(
        self,
        rows: impl IntoIterator<Item = impl Row, IntoIter: ExactSizeIterator>,
    ) -> Self {
        let rows = rows.into_iter();
        self.with(rows.len()).with_rows(rows)
    }
}

/// A typed command that has all that it needs.
pub trait Complete: Sized {
    /// What it is without the methods for its options.
    type Command;

    /// The command itself, to which anything can be added, such as an option that only a newer server knows.
    fn into_command(self) -> Self::Command;
}

/// Of an option: it may still be given.
#[derive(Debug)]
pub struct Open(());

/// Of an option: it was given, or another one that excludes it.
#[derive(Debug)]
pub struct Used(());

/// Of an argument: the command is not complete without it.
#[derive(Debug)]
pub struct Needed(());

/// Of an argument: it was given.
#[derive(Debug)]
pub struct Given(());

/// Of an argument that may be given again.
pub trait Growing {}

impl Growing for Needed {}
impl Growing for Given {}

/// A command with options: `$slots` are the markers of one that is complete.
#[allow(unused_macros, reason = "not every group of commands has options")]
macro_rules! builder {
    ($(#[$doc:meta])* $name:ident, [$($free:ident),*], $slots:ty) => {
        $(#[$doc])*
        #[must_use = "a command does nothing unless it is awaited or queued"]
        #[derive(Debug)]
        pub struct $name<C, S> {
            draft: C,
            slots: std::marker::PhantomData<fn() -> S>,
        }

        impl<C, S> $name<C, S> {
            const fn new(draft: C) -> Self {
                Self { draft, slots: std::marker::PhantomData }
            }
        }

        impl<C: $crate::Draft, $($free),*> $crate::Complete for $name<C, $slots> {
            type Command = C;

            fn into_command(self) -> C {
                self.draft
            }
        }

        impl<C: $crate::Draft + IntoFuture, $($free),*> IntoFuture for $name<C, $slots> {
            type Output = C::Output;
            type IntoFuture = C::IntoFuture;

            fn into_future(self) -> C::IntoFuture {
                self.draft.into_future()
            }
        }
    };
}

/// Fixed words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`")] $variant,)*
        }

        impl $crate::ToArg for $name {
            fn write_to(self, command: &mut redial_resp::Command) {
                command.push_arg(match self {
                    $(Self::$variant => $word.as_bytes(),)*
                });
            }
        }
    };
}

#[allow(unused_imports, reason = "not every group of commands has options")]
pub(crate) use builder;
pub(crate) use words;
