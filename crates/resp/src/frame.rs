//! One complete reply as it came, and the first questions to it.
//!
//! A frame owns its bytes and nothing else; everything is read from them when it is asked for.

use std::fmt;

use bytes::Bytes;

use crate::decode::{DecodeError, FromReply};
use crate::server_error::ErrorReply;
use crate::value::{Element, Elements, Kind, Value};

/// Bytes of a frame that its `Debug` shows.
const SHOWN: usize = 64;

/// One complete reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// The frame that a [`Scanner`](crate::Scanner) found the end of.
    ///
    /// Other bytes do no harm: reading them gives [`Value::Malformed`].
    #[inline]
    pub fn from_scanned(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The type of the reply.
    pub fn kind(&self) -> Kind {
        self.value().kind()
    }

    /// The reply.
    #[inline]
    pub fn value(&self) -> Value<'_> {
        self.element().value
    }

    /// The reply with its place in the frame.
    #[inline]
    pub fn element(&self) -> Element<'_> {
        Element::read(&self.0, 0)
    }

    /// Whether it came out of band (RESP3) and answers no command.
    #[inline]
    pub fn is_push(&self) -> bool {
        match self.0.first() {
            Some(b'>') => true,
            Some(b'|') => self.kind() == Kind::Push,
            _ => false,
        }
    }

    /// The error, if the whole reply is one.
    #[inline]
    pub fn error(&self) -> Option<ErrorReply<'_>> {
        match self.0.first() {
            Some(b'-' | b'!' | b'|') => self.read_error(),
            _ => None,
        }
    }

    #[cold]
    fn read_error(&self) -> Option<ErrorReply<'_>> {
        match self.value() {
            Value::Error(text) => Some(ErrorReply::new(text)),
            _ => None,
        }
    }

    /// The reply as a type of the caller's.
    ///
    /// # Errors
    /// [`DecodeError::Server`] if the reply is an error or has one where `T` has no place for it;
    /// otherwise the reply does not fit `T`.
    #[inline]
    pub fn decode<T: FromReply>(&self) -> Result<T, DecodeError> {
        T::from_reply(self.element())
    }

    /// The elements of an aggregate, read one by one as they are asked for; those of a map as key, value, key, value. `None` for any other
    /// reply.
    pub fn elements(&self) -> Option<Elements<'_>> {
        self.element().elements()
    }

    /// The wire bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The wire bytes, owned.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        let more = if self.0.len() > SHOWN { "…" } else { "" };
        write!(f, "Frame(\"{}\"{more}, {} bytes)", shown.escape_ascii(), self.0.len())
    }
}
