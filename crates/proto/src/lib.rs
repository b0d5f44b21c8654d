//! The redial Redis client without I/O.
//!
//! No socket, no clock, no randomness, no task: time and everything that happens is handed in, replies and things to do come out.
//! So one core serves an asynchronous Rust program, a Node program, and a simulation that drives it through a thousand failovers a second.
//!
//! [`Core`] is the door. The path of a command: `core/accepting.rs` (which link) → `link/mod.rs` (now, or the queue) → `connection/backlog.rs`
//! (encoded, in flight) → the driver's socket → `connection/mod.rs` (the frame) → `link/replies.rs` → `conclude.rs` (answer, or again).

mod blocking;
mod board;
mod budget;
mod command;
mod conclude;
mod config;
mod connection;
mod core;
mod credentials;
mod delivery;
mod error;
mod event;
mod hint;
mod ids;
mod link;
mod output;
mod rng;
mod time;
mod topology;

pub use self::board::Board;
pub use self::budget::RetryBudget;
pub use self::command::{
    Class, Merge, Part, Spread, check, gather, is_idempotent, key_positions, keys_of, slot, spread,
    tag_beside, written_keys,
};
pub use self::conclude::RejectionCause;
pub use self::config::{
    AzureEvents, Config, Credentials, Deployment, Endpoint, Liveness, Protocol, QueueLimits,
    ReadFrom, Seeds, Sentinels, Session, WantedRole,
};
pub use self::connection::identity::{Lineage, Role, Server};
pub use self::core::{Core, RequestOptions};
pub use self::credentials::Grant;
pub use self::delivery::{Delivery, Resend};
pub use self::error::{Error, ErrorKind};
pub use self::event::{Event, EventKind, State, Suspicion};
pub use self::hint::{AzureEvent, AzureEventKind, Maintenance, SlotsMoved};
pub use self::ids::{ConnId, LinkId, OpenedId, PartId, RequestId};
pub use self::link::{Purpose, SubscriptionKind};
pub use self::output::{Finding, Input, Output, SubscriptionChange, TcpInfo};
pub use self::time::Time;
