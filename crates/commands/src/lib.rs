//! Every command of Redis and Valkey, typed; made for `redial`, which has them as `redial::commands`.
//!
//! A group of commands is a trait with a method for each, implemented for every [`Executor`]: client, pipeline, transaction. A command whose arguments
//! are all required is a method that gives the command. One with options gives a builder, whose type remembers what was given: an option
//! can't be given twice, two that exclude each other can't both be given, what the server wants before the rest can't come behind it, and a
//! command that lacks something can't be awaited.
//!
//! Methods and options have Redis' own names in lower case. What is repeated (keys, members, pairs of field and value) is anything
//! that can be iterated over.

mod arg;
mod builder;
#[allow(
    clippy::type_complexity,
    reason = "a type that remembers every option is what a builder is"
)]
mod generated;
mod replies;

pub use redial_resp::Element;

pub use crate::arg::{Integer, Number, Row, ToArg};
pub use crate::builder::{
    Complete, Draft, Executor, Given, Growing, Needed, Open, OwnConnection, Used,
};
pub use crate::generated::words::*;
pub use crate::generated::*;
pub use crate::replies::*;

/// No keys, for scripts that need none: `client.eval("return 1", NO_KEYS)`.
pub const NO_KEYS: [&str; 0] = [];
