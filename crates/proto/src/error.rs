//! The error of a request: a kind, a delivery, a text, and questions.

use std::fmt;

use crate::delivery::Delivery;

/// Why a request, or a dial, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server refused the credentials, or asks for some.
    Auth,
    /// The client was ended by `quit()`, `disconnect()` or its retry strategy.
    Closed,
    /// The connection was lost while the command was in flight.
    Disconnected,
    /// Nothing was sent: the request itself is wrong.
    InvalidRequest,
    /// Too many dials failed in a row (`max_retries_per_request`).
    MaxRetries,
    /// It ran, and too few replicas confirmed it ([`Core::open_durable`](crate::Core::open_durable)).
    NotDurable,
    /// The server sent what the protocol does not allow.
    Protocol,
    /// The offline queue is full, or the request waited in it for longer than it may.
    QueueFull,
    /// The server refused to run the command and kept refusing (READONLY, LOADING, NOREPLICAS, …).
    Rejected,
    /// Sending it again would exceed the retry budget.
    RetryBudget,
    /// The server answered with an error, which is the text, and it says nothing of an earlier try, which may have run. (An error that does is a reply.)
    Server,
    /// No answer by the deadline.
    Timeout,
    /// TLS can't be agreed: a certificate is refused, or one side speaks TLS and the other does not.
    Tls,
    /// The server can't be reached.
    Unreachable,
}

/// Why a request failed, and whether it ran.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    delivery: Delivery,
    text: String,
}

impl Error {
    /// An error of this kind; `text` says what was wrong and what to do.
    #[must_use]
    pub fn new(kind: ErrorKind, delivery: Delivery, text: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, delivery, text: text.into() }))
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, Delivery::NotSent, text)
    }

    /// Nothing is taken any more.
    pub(crate) fn ended() -> Self {
        let text = "the client was ended; `reconnect()` starts it again";
        Self::new(ErrorKind::Closed, Delivery::NotSent, text)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the command ran, as far as can be known.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// The text without the delivery.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.text, self.0.delivery)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("delivery", &self.0.delivery)
            .field("text", &self.0.text)
            .finish()
    }
}

impl std::error::Error for Error {}
