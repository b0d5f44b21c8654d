//! One word, a kind, a cause, and questions.

use std::fmt;

use redial_commands::StreamId;
use redial_proto::Delivery;
pub(crate) use redial_proto::ErrorKind as CoreErrorKind;
use redial_resp::{DecodeError, ServerError};

/// Why a request failed; [`Error::delivery`] says whether it ran.
#[derive(Clone)]
pub struct Error(Box<Repr>);

#[derive(Clone, Debug)]
enum Repr {
    Core(redial_proto::Error),
    Server(ServerError),
    Decode(DecodeError),
    Config(String),
    Entry(StreamId, DecodeError),
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server refused the credentials, or asks for some.
    Auth,
    /// The client was ended: by `quit`, `disconnect`, its retry strategy, or with its runtime.
    Closed,
    /// URL or option wrong.
    Config,
    /// The reply is not of the type that was asked for.
    Decode,
    /// The connection was lost while the command was in flight.
    Disconnected,
    /// Nothing was sent: the request itself is wrong, or not for a shared connection.
    InvalidRequest,
    /// `max_retries_per_request` dials failed in a row.
    MaxRetries,
    /// It ran, and too few replicas confirmed it in time ([`Client::durable`](crate::Client::durable)).
    NotDurable,
    /// The server sent what the protocol does not allow.
    Protocol,
    /// The offline queue is full, or that of what a cluster refuses to serve for now.
    QueueFull,
    /// The server kept refusing to run the command (NOREPLICAS, CLUSTERDOWN, …), or a script stopped half way.
    Rejected,
    /// Sending it again would exceed the retry budget.
    RetryBudget,
    /// The server answered with an error; see [`Error::code`]. Its delivery is not `Answered` where an earlier try may have run
    /// ([`Resend::Always`](crate::Resend::Always), [`Resend::Idempotent`](crate::Resend::Idempotent), [`Cmd::once`](crate::Cmd::once)), of which the error says nothing.
    Server,
    /// No answer by the deadline.
    Timeout,
    /// TLS can't be agreed: a certificate is refused, or one side speaks TLS and the other does not.
    Tls,
    /// The server can't be reached.
    Unreachable,
}

impl Error {
    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self(Box::new(Repr::Config(text.into())))
    }

    pub(crate) fn closed(text: &str) -> Self {
        redial_proto::Error::new(CoreErrorKind::Closed, Delivery::NotSent, text).into()
    }

    pub(crate) fn invalid(text: &str) -> Self {
        redial_proto::Error::new(CoreErrorKind::InvalidRequest, Delivery::NotSent, text).into()
    }

    pub(crate) fn protocol(text: &str) -> Self {
        redial_proto::Error::new(CoreErrorKind::Protocol, Delivery::Unknown, text).into()
    }

    pub(crate) fn server(text: &str) -> Self {
        Self(Box::new(Repr::Server(ServerError::new(text))))
    }

    pub(crate) fn of_entry(id: StreamId, error: DecodeError) -> Self {
        Self(Box::new(Repr::Entry(id, error)))
    }

    /// The same, of a request that may have run before.
    pub(crate) fn or_unknown(self) -> Self {
        match *self.0 {
            Repr::Core(error) if error.delivery().surely_did_not_run() => {
                redial_proto::Error::new(error.kind(), Delivery::Unknown, error.text()).into()
            }
            repr => Self(Box::new(repr)),
        }
    }

    /// The same, of what had to be done before a request could be sent.
    pub(crate) fn before(self, what: &str) -> Self {
        match *self.0 {
            Repr::Core(error) => {
                let text = format!("{what}: {}", error.text());
                redial_proto::Error::new(error.kind(), Delivery::NotSent, text).into()
            }
            repr => Self(Box::new(repr)),
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Repr::Server(_) => ErrorKind::Server,
            Repr::Decode(_) | Repr::Entry(..) => ErrorKind::Decode,
            Repr::Config(_) => ErrorKind::Config,
            Repr::Core(error) => match error.kind() {
                CoreErrorKind::Auth => ErrorKind::Auth,
                CoreErrorKind::Closed => ErrorKind::Closed,
                CoreErrorKind::Disconnected => ErrorKind::Disconnected,
                CoreErrorKind::InvalidRequest => ErrorKind::InvalidRequest,
                CoreErrorKind::MaxRetries => ErrorKind::MaxRetries,
                CoreErrorKind::NotDurable => ErrorKind::NotDurable,
                CoreErrorKind::QueueFull => ErrorKind::QueueFull,
                CoreErrorKind::Rejected => ErrorKind::Rejected,
                CoreErrorKind::RetryBudget => ErrorKind::RetryBudget,
                CoreErrorKind::Server => ErrorKind::Server,
                CoreErrorKind::Timeout => ErrorKind::Timeout,
                CoreErrorKind::Tls => ErrorKind::Tls,
                CoreErrorKind::Unreachable => ErrorKind::Unreachable,
                _ => ErrorKind::Protocol,
            },
        }
    }

    /// Whether the command ran, as far as can be known.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        match &*self.0 {
            Repr::Core(error) => error.delivery(),
            Repr::Server(_) | Repr::Decode(_) | Repr::Entry(..) => Delivery::Answered,
            Repr::Config(_) => Delivery::NotSent,
        }
    }

    /// True if no answer came by the deadline.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// The first word of the server's error, e.g. `WRONGTYPE`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &*self.0 {
            Repr::Server(error) => Some(error.code()),
            Repr::Decode(error) => error.server_error().map(ServerError::code),
            Repr::Core(error) if error.kind() == CoreErrorKind::Server => {
                error.text().split(' ').next()
            }
            Repr::Core(_) | Repr::Config(_) | Repr::Entry(..) => None,
        }
    }

    /// What the server said, if this is it.
    pub(crate) fn server_text(&self) -> Option<&str> {
        match &*self.0 {
            Repr::Server(error) => Some(error.text()),
            Repr::Core(error) if error.kind() == CoreErrorKind::Server => Some(error.text()),
            _ => None,
        }
    }

    /// The entry of a stream whose fields did not fit ([`Client::consumer_group`](crate::Client::consumer_group)). It stays pending until it is acknowledged.
    #[must_use]
    pub fn entry(&self) -> Option<StreamId> {
        match &*self.0 {
            Repr::Entry(id, _) => Some(*id),
            _ => None,
        }
    }
}

impl From<redial_proto::Error> for Error {
    fn from(error: redial_proto::Error) -> Self {
        Self(Box::new(Repr::Core(error)))
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Server(error) => Self(Box::new(Repr::Server(error))),
            error => Self(Box::new(Repr::Decode(error))),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Repr::Core(error) => error.fmt(f),
            Repr::Server(error) => error.fmt(f),
            Repr::Decode(error) => error.fmt(f),
            Repr::Config(text) => f.write_str(text),
            Repr::Entry(id, error) => write!(f, "the fields of entry {id}: {error}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}
