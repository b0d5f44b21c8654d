//! What is known of a request's fate, and what may be sent again.

use std::fmt;

/// What is known of a request that failed: whether the server ran it.
///
/// | | the server ran it |
/// |---|---|
/// | `NotSent` | surely not: it was never handed to the socket whole |
/// | `Rejected` | surely not: the server refused it before running it |
/// | `Unknown` | perhaps: it was handed over and the connection was lost |
/// | `Ran` | the server took it, but its reply is lost: it ran, unless the server answered an error |
/// | `Answered` | the server answered |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Not handed to a socket, or not whole: it did not run, and will not.
    NotSent,
    /// Refused by the server before it ran.
    Rejected,
    /// Handed over, and no answer: it may have run.
    Unknown,
    /// The server took it and answered, and the answer is lost. It ran; or the answer was an error (a wrong type, out of memory, too few replicas), and it never will.
    Ran,
    /// The server answered.
    Answered,
}

impl Delivery {
    /// True if the command surely did not run: sending it again cannot apply it twice.
    #[must_use]
    pub const fn surely_did_not_run(self) -> bool {
        matches!(self, Self::NotSent | Self::Rejected)
    }
}

impl Delivery {
    /// What is known after a further try: what ran once ran, and what may have run may have.
    pub(crate) const fn or_unknown(self, later: Self) -> Self {
        match (self, later) {
            (Self::Ran, Self::NotSent | Self::Rejected | Self::Unknown) => Self::Ran,
            (Self::Unknown, Self::NotSent | Self::Rejected) => Self::Unknown,
            _ => later,
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "it was not sent and did not run",
            Self::Rejected => "the server refused it and it did not run",
            Self::Unknown => "it may have run",
            Self::Ran => "the server took it, but its reply is lost",
            Self::Answered => "the server answered",
        })
    }
}

/// What redial may send again by itself after a command was handed over and its connection was lost.
///
/// What surely did not run is sent again under every policy but [`Resend::Never`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resend {
    /// Nothing: every interruption is an error with its delivery.
    Never,
    /// What surely did not run, and what only reads.
    #[default]
    Safe,
    /// Also writes that leave the same data when they run twice (a reviewed list: SET without NX, XX or GET; DEL; EXPIRE; …). The
    /// reply of the second run may differ: a DEL that did run answers 0. An error that answers the second says nothing of the first: it has the delivery `Unknown`.
    Idempotent,
    /// Everything, as ioredis does: commands may run twice. An error that answers the second run says nothing of the first: it has the delivery `Unknown`.
    Always,
}
