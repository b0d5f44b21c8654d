//! What moves bytes: callers hand commands in at [`mailbox`], [`task`] runs the sockets. Every decision is the core's.

pub(crate) mod dial;
mod io;
pub(crate) mod mailbox;
pub(crate) mod other_way;
pub(crate) mod process;
pub(crate) mod slots;
mod socket;
pub(crate) mod task;
mod tcp_info;
#[cfg(feature = "tls")]
mod tls;
