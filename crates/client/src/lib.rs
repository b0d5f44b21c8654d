//! A Redis client whose connections outlive failovers.
//!
//! ```no_run
//! use redial::prelude::*;
//!
//! # async fn example() -> Result<(), redial::Error> {
//! let client = redial::Client::connect("redis://localhost").await?;
//! client.set("colour", "blue").ex(30).await?;
//! let colour: Option<String> = client.get("colour").await?;
//! # Ok(())
//! # }
//! ```
//!
//! One [`Client`], cloned wherever it is needed, is all that a program holds: what its clones send at the same time goes over one connection together.
//! There is no pool, and nothing to set for failovers.
//!
//! When the server's host loses power, hangs, or is demoted, the client notices within about half a second, asks the endpoint who leads now, and goes
//! on there as soon as anybody does. Every request settles: with its reply, or with an [`Error`] whose [`delivery`](Error::delivery) says whether
//! it ran. What surely did not run is sent again by itself; what may have run only if that is harmless, or you said so ([`Resend`]).
//!
//! | for | there is |
//! |---|---|
//! | commands | methods with Redis' names ([`prelude`]), [`Client::cmd`] for any other |
//! | several at once | [`Client::pipeline`], [`Client::transaction`] |
//! | a connection of one's own (WATCH, SELECT) | [`Client::dedicated`] |
//! | writes that must not be lost or repeated | [`Client::durable`], [`Cmd::once`] |
//! | scripts, functions, scans | [`Client::script`], [`Client::function`], [`Client::scan_all`] |
//! | messages | [`Client::subscribe`] and its kin |
//! | options, credentials, TLS | [`Builder`] |
//! | what happens on the connections | [`Client::events`] |
//!
//! The guide, with more on errors, failover and testing: `docs/guide.md` in the repository.

mod buffers;
mod builder;
mod cache;
mod client;
mod credentials;
mod dedicated;
mod driver;
mod durable;
mod encoded;
#[cfg(feature = "entra")]
mod entra;
mod error;
mod events;
mod function;
mod group;
mod key_prefix;
mod monitor;
mod once;
mod pipeline;
mod policy;
pub mod prelude;
mod pubsub;
mod queued;
mod request;
mod retry;
mod scan;
mod script;
mod spread;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_error;
mod transaction;
mod turns;
mod typed;
mod url;

pub use redial_commands as commands;
pub use redial_commands::{StreamEntry, StreamId, ToArg};
#[cfg(feature = "derive")]
pub use redial_derive::FromReply;
pub use redial_proto::{
    AzureEvent, AzureEventKind, AzureEvents, ConnId, Credentials, Delivery, Endpoint, Event,
    EventKind, Grant, Lineage, LinkId, Liveness, Maintenance, Protocol, Purpose, QueueLimits,
    ReadFrom, RejectionCause, Resend, Role, Server, SlotsMoved, State, SubscriptionKind, Suspicion,
    WantedRole,
};
pub use redial_resp::{
    Bytes, Command, DecodeError, Element, Elements, Frame, FromReply, Kind, OwnedValue as Value,
    ServerError,
};

pub use crate::builder::Builder;
pub use crate::cache::{Cache, CacheStats, Cached, OpenCache};
pub use crate::client::Client;
pub use crate::credentials::{CredentialsError, CredentialsProvider, CredentialsRequest};
pub use crate::dedicated::Dedicated;
pub use crate::durable::Durable;
#[cfg(feature = "entra")]
pub use crate::entra::EntraId;
pub use crate::error::{Error, ErrorKind};
pub use crate::events::Events;
pub use crate::function::{Function, Library};
pub use crate::group::{Acker, ConsumerGroup, JoinGroup};
pub use crate::monitor::{Monitor, MonitorLine, OpenMonitor};
pub use crate::once::Once;
pub use crate::pipeline::{OwnedReply, Pipeline, PipelineRequest};
pub use crate::pubsub::{Message, Received, Refused, Subscribe, Subscription, ToChannels};
pub use crate::queued::{Outcomes, Queued, Slot};
pub use crate::request::{Cmd, Request};
pub use crate::scan::Scan;
pub use crate::script::{Script, ScriptCall};
#[cfg(feature = "tls")]
pub use crate::tls::TlsConfig;
pub use crate::transaction::Transaction;
pub use crate::typed::{CommandOptions, Queue};

/// The guide's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;
