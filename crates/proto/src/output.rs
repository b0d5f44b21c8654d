//! What goes into the core and what comes out of it.

use ::core::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use redial_resp::Frame;

use crate::config::Endpoint;
use crate::connection::identity::Role;
use crate::credentials::Grant;
use crate::error::Error;
use crate::event::Event;
use crate::ids::{ConnId, LinkId};
use crate::link::SubscriptionKind;
use crate::time::Time;

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// Dial, and keep dialing: at the beginning, and after an end.
    Connect,
    /// End at once: what waits and what is in flight fails.
    Disconnect,
    /// End when everything accepted so far has settled; nothing more is accepted.
    Quit,
    /// Where a dial has led; before [`Self::Connected`], and only where it is known.
    Peer(ConnId, IpAddr),
    /// A dial has a socket.
    Connected(ConnId),
    /// The TLS handshake that [`Output::StartTls`] began is through.
    Secured(ConnId),
    /// A dial failed; the text says what was tried and why it failed.
    DialFailed(ConnId, String),
    /// TLS can't be agreed with whoever answered, until a configuration changes: a certificate is refused, or the port speaks no TLS. The text says
    /// what was wrong and what to do.
    DialRefused(ConnId, String),
    /// Bytes were read. The buffer comes back from [`crate::Core::take_buffer`] after the outputs were polled.
    Read(ConnId, BytesMut),
    /// The kernel took this many bytes of what [`crate::Core::take_writes`] gave.
    Written(ConnId, usize),
    /// The socket is at its end: closed by the server (`None`) or broken.
    Closed(ConnId, Option<String>),
    /// The kernel's view of a connection, asked for by [`Output::Inspect`]; `None` where the system has none.
    Inspected(ConnId, Option<TcpInfo>),
    /// The answer to [`Output::AskRetry`]: the pause before the next dial, or `None` to end.
    Retry(LinkId, Option<Duration>),
    /// The answer to [`Output::Lead`].
    Lead(LinkId, bool),
    /// What the prober of this endpoint found, for links that do not lead.
    Finding(LinkId, Finding),
    /// The credentials to use from the next dial on.
    Credentials(Option<crate::config::Credentials>),
    /// The answer to [`Output::AskCredentials`], or why there is none. One that is late is as good.
    Granted(Result<Grant, String>),
    /// Time has passed: timers may be due.
    Tick,
}

/// Something to do outside.
#[derive(Debug)]
pub enum Output<T> {
    /// The request is settled. An error reply of the server is an `Ok` frame.
    Answer {
        /// As given to [`crate::Core::submit`].
        token: T,
        /// The reply, or why there is none.
        reply: Result<Frame, Error>,
    },
    /// Open a socket: resolve anew, race all addresses. Answered by Connected or DialFailed.
    Dial {
        /// The name of the new connection.
        conn: ConnId,
        /// Where.
        endpoint: Endpoint,
    },
    /// Begin the TLS handshake on this socket. Answered by Secured, DialFailed or DialRefused.
    StartTls {
        /// Which socket.
        conn: ConnId,
        /// As it was dialed: the server's name is the host's.
        endpoint: Endpoint,
        /// It has no data, but tells where servers are, and may have certificates of another kind.
        is_directory: bool,
    },
    /// Nothing answers here as it is asked: ask the same endpoint in the other way, on a socket of its own. Answered by DialRefused if it understands that;
    /// otherwise by DialFailed without TLS, and with TLS by nothing, since the handshake goes on beside it.
    AskOtherWay {
        /// Which dial.
        conn: ConnId,
        /// Where.
        endpoint: Endpoint,
        /// TLS is configured, so that plain text is the other way.
        tls: bool,
    },
    /// Close a socket, or give up its dial; nothing more is heard of it.
    Close {
        /// Which.
        conn: ConnId,
        /// Drop what our kernel still holds and tell the peer with a RST (`SO_LINGER` 0), never to deliver it later.
        reset: bool,
    },
    /// Look at the kernel's view of a connection and answer with Inspected, before the next input.
    Inspect(ConnId),
    /// Ask the user's retry strategy; answered by Retry.
    AskRetry {
        /// Which link waits.
        link: LinkId,
        /// How many dials have failed in this outage, from 1.
        attempt: u32,
        /// Why the last one failed.
        cause: String,
    },
    /// Ask the provider for credentials; answered by Granted. A question that is still under way may be dropped for it.
    AskCredentials {
        /// A server refused the last ones: what the provider has kept is of no use.
        anew: bool,
    },
    /// May this link lead the probing of the endpoint for the process? Answered by Lead, at once.
    Lead {
        /// Which link.
        link: LinkId,
        /// Which endpoint.
        endpoint: Endpoint,
    },
    /// This link does not probe any more.
    Resign {
        /// Which link.
        link: LinkId,
        /// Which endpoint.
        endpoint: Endpoint,
    },
    /// Pass this on to the links that wait for the prober of the endpoint.
    Publish {
        /// Which endpoint.
        endpoint: Endpoint,
        /// What was found there.
        finding: Finding,
    },
    /// A message of a subscription, or a push of another kind, as it came.
    Push {
        /// On which link.
        link: LinkId,
        /// The push; in RESP2 an array.
        frame: Frame,
    },
    /// How subscriptions stand has changed.
    Subscription {
        /// On which link.
        link: LinkId,
        /// What changed.
        change: SubscriptionChange,
    },
    /// For whoever watches.
    Event(Event),
}

/// What can happen to subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionChange {
    /// Messages of this channel or pattern come from now on.
    Confirmed {
        /// Its kind.
        kind: SubscriptionKind,
        /// Channel or pattern.
        channel: Vec<u8>,
    },
    /// The server refused it; it is not wanted any more.
    Refused {
        /// Its kind.
        kind: SubscriptionKind,
        /// Channel or pattern.
        channel: Vec<u8>,
        /// The server's words.
        text: String,
    },
    /// The server ended it by itself (a shard that moved away); it is being asked for again, and until it is confirmed its messages are lost.
    Withdrawn {
        /// Its kind.
        kind: SubscriptionKind,
        /// Channel or pattern.
        channel: Vec<u8>,
    },
    /// The connection that carried all of them is gone: what is published is lost until each is confirmed again.
    Interrupted {
        /// When the last byte came from it; what was published later may be lost.
        since: Time,
    },
}

/// What a probe found behind an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The process, where it tells.
    pub run_id: Option<String>,
    /// Its role.
    pub role: Role,
}

/// The part of Linux' `struct tcp_info` (include/uapi/linux/tcp.h) that tells dead from slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// `tcpi_unacked`: segments sent and not acknowledged.
    pub unacked: u32,
    /// `tcpi_retransmits`: how often the oldest was sent again without an answer.
    pub retransmits: u8,
    /// `tcpi_bytes_acked`: bytes that the peer's kernel has.
    pub bytes_acked: u64,
    /// `tcpi_rtt`
    pub rtt: Duration,
}

impl TcpInfo {
    /// The kernel sends the same data again and again and hears nothing: the path, or the host, is dead. Twice, since a single lost packet is
    /// no news.
    #[must_use]
    pub const fn is_retransmitting(&self) -> bool {
        self.unacked > 0 && self.retransmits >= 2
    }
}
