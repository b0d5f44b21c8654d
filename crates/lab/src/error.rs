//! What can go wrong in a lab, and what to do about it.

use std::io;
use std::time::Duration;

use crate::HostId;

/// Why a lab can't be made or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The system forbids something that the lab is built from. Not a failure of what is tested:
    /// a program should exit with [`LabError::EXIT_SKIPPED`].
    #[error("{what}\n{remedy}")]
    Forbidden {
        /// What was refused, and by what as far as can be told.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// Labs exist on Linux only.
    #[error(
        "drills need Linux network namespaces, which this system has not; run them on Linux, in a \
         virtual machine or in a container started with --privileged"
    )]
    Unsupported,
    /// [`Lab::start`](crate::Lab::start) without [`enter`](crate::enter).
    #[error(
        "redial_lab::enter() must be called, as the first thing in main, before a lab is started"
    )]
    NotEntered,
    /// There is no server program.
    #[error("{0}")]
    NoServer(String),
    /// A server process did not do what was asked of it.
    #[error("server {host}: {what}")]
    Server {
        /// Whose server.
        host: HostId,
        /// What it did instead, with the end of its log where that helps.
        what: String,
    },
    /// Something did not come about in time.
    #[error("{what} did not come about within {} ms", after.as_millis())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// The system refused a call that should succeed.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was attempted.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl LabError {
    /// The exit status by which test harnesses know a skipped test.
    pub const EXIT_SKIPPED: u8 = 77;

    /// Whether the system, not the lab or a server, is why there is no lab.
    #[must_use]
    pub fn is_skip(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::Unsupported)
    }
}
