//! What is said when the bytes are not RESP, or are more of it than we take.
//!
//! After a [`ProtocolError`] nobody knows where the next frame starts; what becomes of the
//! connection is decided elsewhere.

use std::fmt;

/// Bytes shown in front of and behind the offending one.
const EXCERPT_BEFORE: usize = 16;
const EXCERPT_AFTER: usize = 24;

/// The stream can't be read any further; the connection is of no more use.
///
/// One word wide, because it travels in the result of the hottest function.
#[derive(Clone, PartialEq, Eq)]
pub struct ProtocolError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ProtocolErrorKind,
    offset: usize,
    excerpt: Vec<u8>,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolErrorKind {
    /// The first byte of a TLS record: the server speaks TLS and we do not.
    Tls,
    /// The first byte of `HTTP/1.1`: a web server or proxy answers.
    Http,
    /// No RESP type starts with this byte.
    UnknownType(u8),
    /// A streamed string or aggregate (`$?`, `*?`, `;`, `.`), which no Redis sends.
    Streamed,
    /// A RESP type whose content breaks its grammar; the text says what had to be there.
    Expected(&'static str),
    /// Aggregates nested deeper than [`Limits::max_depth`](crate::Limits::max_depth).
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A string longer than [`Limits::max_bulk`](crate::Limits::max_bulk).
    BulkTooLarge {
        /// Bytes announced, or read so far of a line.
        announced: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// More elements than [`Limits::max_elements`](crate::Limits::max_elements).
    TooManyElements {
        /// Elements announced.
        announced: u64,
        /// The limit.
        limit: usize,
    },
    /// A frame that is or must become longer than
    /// [`Limits::max_frame`](crate::Limits::max_frame).
    FrameTooLarge {
        /// Bytes that the frame must have at least.
        announced: u64,
        /// The limit in bytes.
        limit: usize,
    },
}

impl ProtocolError {
    #[cold]
    pub(crate) fn new(kind: ProtocolErrorKind, buf: &[u8], offset: usize) -> Self {
        let start = offset.saturating_sub(EXCERPT_BEFORE);
        let end = offset.saturating_add(EXCERPT_AFTER).min(buf.len());
        let excerpt = buf.get(start..end).unwrap_or_default().to_vec();
        Self(Box::new(Inner { kind, offset, excerpt }))
    }

    /// What is wrong.
    pub fn kind(&self) -> ProtocolErrorKind {
        self.0.kind
    }

    /// Where, in bytes from the start of the frame.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// Some bytes around the place, as they were read. They may be part of a value.
    pub fn excerpt(&self) -> &[u8] {
        &self.0.excerpt
    }

    /// Whether the bytes were RESP but past one of our [`Limits`](crate::Limits).
    pub fn is_limit(&self) -> bool {
        use ProtocolErrorKind::{BulkTooLarge, FrameTooLarge, TooDeep, TooManyElements};
        matches!(
            self.0.kind,
            TooDeep { .. } | BulkTooLarge { .. } | TooManyElements { .. } | FrameTooLarge { .. }
        )
    }
}

impl fmt::Display for ProtocolErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Tls => f.write_str(
                "the server speaks TLS here; connect with rediss:// or use its plain port",
            ),
            Self::Http => f.write_str(
                "a web server or HTTP proxy seems to answer here; check the host and the port",
            ),
            Self::UnknownType(byte) => {
                write!(f, "no RESP type starts with '{}'", [byte].escape_ascii())
            }
            Self::Streamed => f.write_str("streamed strings and aggregates are not supported"),
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::TooDeep { limit } => {
                write!(f, "nested deeper than the limit of {limit} (Limits::max_depth)")
            }
            Self::BulkTooLarge { announced, limit } => write!(
                f,
                "a string of {announced} bytes is above the limit of {limit} (Limits::max_bulk)"
            ),
            Self::TooManyElements { announced, limit } => write!(
                f,
                "{announced} elements are above the limit of {limit} (Limits::max_elements)"
            ),
            Self::FrameTooLarge { announced, limit } => write!(
                f,
                "a reply of at least {announced} bytes is above the limit of {limit} \
                 (Limits::max_frame)"
            ),
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, offset, excerpt } = &*self.0;
        write!(f, "unreadable reply at byte {offset}: {kind}")?;
        if excerpt.is_empty() {
            return Ok(());
        }
        write!(f, "; near \"{}\"", excerpt.escape_ascii())
    }
}

impl fmt::Debug for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolError")
            .field("kind", &self.0.kind)
            .field("offset", &self.0.offset)
            .field("excerpt", &format_args!("\"{}\"", self.0.excerpt.escape_ascii()))
            .finish()
    }
}

impl std::error::Error for ProtocolError {}
