//! The client against a real server. One binary, one module a subject; each test starts a server of its own, so that it can be killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod administration;
mod basics;
mod cache;
mod cancellation;
#[cfg(feature = "tls")]
mod certificates;
mod cluster;
mod cluster_in_trouble;
mod credentials;
mod dedicated;
mod durable;
#[cfg(feature = "entra")]
mod entra;
mod examples;
mod fake;
mod functions;
mod groups;
mod hints;
mod hostile;
mod key_prefix;
mod monitor;
mod once;
mod options;
mod outages;
mod process;
mod pubsub;
mod scripts;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
mod told;
mod transactions;
mod typed;
