//! How much a peer may make us hold.
//!
//! The limits bound what a reply may announce and how deep it may nest. They do not bound what
//! the caller builds from a decoded reply, nor how far ahead the driver reads.

/// The deepest nesting that any [`Limits`] can allow.
///
/// Owned trees are built, compared and dropped by recursion. 256 levels take less than half of the
/// 2 MiB that a thread of Rust gets by default, in a debug build too; servers nest four or five.
pub const MAX_DEPTH: usize = 256;

/// What one frame may be at most; past it the scanner answers with a
/// [`ProtocolError`](crate::ProtocolError).
///
/// Nothing is ever allocated because a frame announced it: a limit only makes a hopeless frame
/// fail at its announcement instead of after a gigabyte of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Aggregates inside each other. Default 128; values above [`MAX_DEPTH`] count as that.
    pub max_depth: usize,
    /// Bytes of one bulk string or of one line. Default 513 MiB.
    ///
    /// A Redis string holds 512 MiB (`proto-max-bulk-len`); the rest is for what wraps one: the
    /// header and footer of DUMP, the format of a verbatim string.
    pub max_bulk: usize,
    /// Bytes of one whole frame. Default 1 GiB.
    ///
    /// A server whose output buffer for a client grows past that is in trouble of its own
    /// (`client-query-buffer-limit` is 1 GiB too).
    pub max_frame: usize,
    /// Elements of one aggregate; a map entry counts as two. Default 2^28, which is what fits
    /// into the default `max_frame` at four bytes each, the least that servers send (`:1\r\n`).
    pub max_elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 128, max_bulk: 513 << 20, max_frame: 1 << 30, max_elements: 1 << 28 }
    }
}
