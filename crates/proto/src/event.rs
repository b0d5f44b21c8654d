//! What a program can watch: states of a link, and what happened on the way.

use std::time::Duration;

use crate::conclude::RejectionCause;
use crate::error::ErrorKind;
use crate::hint::Maintenance;
use crate::ids::{ConnId, LinkId};
use crate::link::Purpose;

/// The state of a link; the names are ioredis' where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Created, or ended and connected again by hand, and not dialing yet.
    Wait,
    /// The first dial is under way.
    Connecting,
    /// A socket is connected and shakes hands.
    Connect,
    /// Requests are served.
    Ready,
    /// The connection is silent, or its server demoted; its endpoint is being asked.
    Suspect,
    /// There is no connection, and dials are under way or due.
    Reconnecting,
    /// The connection is gone.
    Close,
    /// No dial will follow until `connect()`.
    End,
}

impl State {
    /// The name, as in ioredis.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Connecting => "connecting",
            Self::Connect => "connect",
            Self::Ready => "ready",
            Self::Suspect => "suspect",
            Self::Reconnecting => "reconnecting",
            Self::Close => "close",
            Self::End => "end",
        }
    }
}

/// Why a connection became suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suspicion {
    /// Not a byte was read for too long while a command waited.
    Silence,
    /// The kernel retransmits and nothing is acknowledged.
    Retransmission,
    /// The server refused a command as a replica would.
    Rejection(RejectionCause),
    /// Another link's server was found to be replaced, or this one to be a replica.
    Moved,
}

/// Something that happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub link: LinkId,
    /// What the link is for.
    pub purpose: Purpose,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The state changed.
    State(State),
    /// A connection became suspect.
    Suspected {
        /// The connection.
        conn: ConnId,
        /// The reason.
        why: Suspicion,
    },
    /// A suspect connection spoke, and its server is the right one: nothing happened.
    Recovered {
        /// The connection.
        conn: ConnId,
        /// How long it was silent.
        silent: Duration,
    },
    /// A dial was made while there is a connection: it is suspect, or a hint has raised the question.
    Probe {
        /// The probe.
        conn: ConnId,
    },
    /// A connection was put in the place of another, or is the first.
    Adopted {
        /// The new one.
        conn: ConnId,
        /// `run_id` of its server, where it tells.
        run_id: Option<String>,
        /// Version of its server.
        version: String,
    },
    /// The old connection was dropped with a RST.
    Condemned {
        /// The connection.
        conn: ConnId,
    },
    /// A dial failed.
    DialFailed {
        /// The dial.
        conn: ConnId,
        /// Why, and what to do.
        cause: String,
        /// True if no further dial helps until a configuration changes (password, ACL, database, certificate).
        needs_attention: bool,
        /// What an error about it is.
        kind: ErrorKind,
    },
    /// The server took new credentials on a connection in use.
    Reauthenticated {
        /// The connection.
        conn: ConnId,
    },
    /// The provider of credentials failed or took too long, or a server refused new ones on a connection in use, which goes on with the old.
    CredentialsFailed {
        /// Why.
        cause: String,
    },
    /// The server that is used now has another history of data than the one before.
    HistoryChanged {
        /// True if acknowledged writes may be missing.
        possible_loss: bool,
    },
    /// Requests wait because the server refuses them for now.
    Held(RejectionCause),
    /// The server has said what will become of it, or what has. Told once, whichever connections hear it. What follows is told by other events, if anything does:
    /// a hint leads to a question, and the answer decides.
    Maintenance(Box<Maintenance>),
    /// Such an announcement made no sense, and nothing follows from it.
    HintIgnored {
        /// What was wrong with it.
        cause: String,
    },
    /// Which server is to be used could not be found out. What waits, waits on.
    Unfound {
        /// What was tried, and what to do.
        cause: String,
    },
    /// Subscriptions were interrupted: messages of this time are lost.
    Gap,
}
