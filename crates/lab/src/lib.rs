//! Real Redis servers as hosts on a network that can fail.
//!
//! A [`Lab`] is some `redis-server` (or `valkey-server`) processes, a pair, a pair watched by Sentinels
//! or a cluster ([`Deployment`]), and a place for the client under test, each in a network namespace of
//! its own, with a userland **wire** between them. Packets are
//! exchanged between real kernel TCP stacks, so silence, resets and delay look to a client exactly as
//! they do in production. Control of the servers goes over their unix sockets, past the wire: what
//! the lab reads is what the servers know, whatever the network does.
//!
//! Of a pair the lab decides who is primary; Sentinels and clusters decide for themselves, and are
//! watched. The lab makes faults happen and reports what it saw. It does not decide what a client should
//! have done: verdicts belong to the drill. It shares no code with the client it is used to judge.
//!
//! ```no_run
//! use redial_lab::{HostId, Lab, LabOptions};
//!
//! fn main() -> Result<(), redial_lab::LabError> {
//!     redial_lab::enter()?; // first thing in main, before any thread exists
//!     let lab = Lab::start(LabOptions::default())?;
//!     let mut client = lab.spawn(lab.client_command("redis-benchmark"))?;
//!     lab.power_off(HostId::A);
//!     lab.promote(HostId::B)?;
//!     lab.point_endpoint(Some(HostId::B));
//!     let _ = client.wait();
//!     Ok(())
//! }
//! ```

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there is no lab to use them"))]

mod error;
mod flow;
mod options;
mod reply;
mod slots;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
use unsupported as platform;

pub use error::LabError;
pub use flow::{FlowInfo, FlowState, Traffic, WireStats};
pub use options::{Deployment, Endpoint, HostId, LabOptions, RestartWith};
pub use platform::{Lab, Server, enter};
pub use reply::Reply;
pub use slots::{SLOTS, first_slots, slot_of};
