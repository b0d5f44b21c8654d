//! Replies as the caller's types.
//!
//! Owns the trait, its error and the types of one value; the types of several values are in the
//! modules below. It decides what fits what, never which type a command's reply should have.
//!
//! RESP2 and RESP3 say the same in different shapes (a score is a string in the one and a double
//! in the other, a hash an array or a map). Every type here takes both, so that a program does not
//! change with the protocol.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::frame::Frame;
use crate::server_error::{ErrorReply, ServerError};
use crate::value::{Element, Kind, Value};

mod collections;
mod owned;
mod scalars;
mod tuples;

pub use self::owned::OwnedValue;

#[cfg(test)]
mod tests;

/// Wire bytes that an error shows of a reply that does not fit.
const EXCERPT: usize = 48;

/// A type that a reply can become.
///
/// | type | taken from |
/// |---|---|
/// | `()` | anything that neither is nor contains an error |
/// | `bool` | a boolean; 0 and 1 as integer or text; `+OK` as true and null as false, which is how `SET … NX` answers |
/// | integers | an integer, or text that is one, within range |
/// | `f32`, `f64` | a double, an integer, or text that is a number |
/// | `String`, `Vec<u8>`, [`Bytes`] | strings of any kind; a number as its text |
/// | `Option<T>` | null as `None`; else as `T` |
/// | `Vec<T>`, `VecDeque<T>`, `HashSet<T>`, `BTreeSet<T>` | an array, set or push; a map as key, value, key, value |
/// | tuples of 2 to 8 | an array of exactly so many |
/// | `Vec<(K, V)>`, `HashMap<K, V>`, `BTreeMap<K, V>` | a map; an array of arrays of two; a flat array `k, v, k, v` |
/// | `Result<T, ServerError>` | an error as `Err`; else as `T`. For the replies inside EXEC |
/// | [`OwnedValue`] | anything |
/// | [`Frame`] | anything, as its bytes, to be decoded later |
///
/// An array of pairs counts as nested if its first element is an aggregate, else as flat; the same
/// holds for tuples of other sizes. So a flat array whose *keys* are arrays is not understood; no
/// command sends one.
///
/// Null does not fit `Vec<T>` or a number: where it may come, the type is an `Option`.
pub trait FromReply: Sized {
    /// Builds the value from a reply or a part of one.
    ///
    /// # Errors
    /// [`DecodeError::Server`] where an error stands; otherwise what came does not fit.
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError>;

    /// Builds several from one aggregate. Bytes and tuples have shapes of their own here.
    #[doc(hidden)]
    fn vec_from_reply(reply: Element<'_>) -> Result<Vec<Self>, DecodeError> {
        collections::vec_of_elements(&reply)
    }

    /// Builds it unless there is none. What a missing hash answers is not null but empty.
    #[doc(hidden)]
    fn option_from_reply(reply: Element<'_>) -> Result<Option<Self>, DecodeError> {
        match reply.value {
            Value::Null => Ok(None),
            _ => Self::from_reply(reply).map(Some),
        }
    }
}

/// A reply did not become what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The server answered an error where a value was wanted.
    Server(ServerError),
    /// What came does not fit the type.
    Mismatch(Box<Mismatch>),
}

/// What was wanted and what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    wanted: Cow<'static, str>,
    found: Kind,
    excerpt: Vec<u8>,
}

impl DecodeError {
    /// `reply` is not `wanted`, said with an article ("an i64"). Where `reply` is an error of the
    /// server, that is the error.
    #[cold]
    pub fn mismatch(wanted: impl Into<Cow<'static, str>>, reply: &Element<'_>) -> Self {
        if let Value::Error(text) = reply.value {
            return Self::Server(ErrorReply::new(text).into());
        }
        let raw = reply.raw();
        let excerpt = raw[..raw.len().min(EXCERPT)].to_vec();
        Self::Mismatch(Box::new(Mismatch { wanted: wanted.into(), found: reply.kind(), excerpt }))
    }

    /// The server's error, if that is what it is.
    pub fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) => Some(error),
            Self::Mismatch(_) => None,
        }
    }
}

impl Mismatch {
    /// What was asked for, in words.
    pub fn wanted(&self) -> &str {
        &self.wanted
    }

    /// The type that came instead.
    pub fn found(&self) -> Kind {
        self.found
    }

    /// The first wire bytes of what came. They may be part of a value.
    pub fn excerpt(&self) -> &[u8] {
        &self.excerpt
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => write!(f, "the server answered an error: {error}"),
            Self::Mismatch(mismatch) => mismatch.fmt(f),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, found, excerpt } = self;
        write!(f, "wanted {wanted}, got {found}")?;
        if *found == Kind::Null {
            return f.write_str("; an Option takes null too");
        }
        let more = if excerpt.len() == EXCERPT { "…" } else { "" };
        write!(f, ": \"{}\"{more}", excerpt.escape_ascii())
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => Some(error),
            Self::Mismatch(_) => None,
        }
    }
}

impl<T: FromReply> FromReply for Option<T> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        T::option_from_reply(reply)
    }
}

impl<T: FromReply> FromReply for Result<T, ServerError> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        match reply.value {
            Value::Error(text) => Ok(Err(ErrorReply::new(text).into())),
            _ => T::from_reply(reply).map(Ok),
        }
    }
}

impl<T: FromReply> FromReply for Box<T> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        T::from_reply(reply).map(Self::new)
    }
}

impl FromReply for Frame {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_scanned(reply.raw()))
    }
}

impl FromReply for Bytes {
    #[inline]
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        reply.to_bytes().ok_or_else(|| DecodeError::mismatch("a string", &reply))
    }

    fn vec_from_reply(reply: Element<'_>) -> Result<Vec<Self>, DecodeError> {
        collections::vec_of_bytes(&reply)
    }
}
