//! Ids of stream entries, in the order in which they are.

use std::fmt;

use redial_resp::{Command, DecodeError, Element, FromReply};

use crate::arg::ToArg;

/// The id of an entry in a stream: `1526919030474-0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds of Unix time, unless the id was chosen by hand.
    pub ms: u64,
    /// Tells entries of one millisecond apart.
    pub seq: u64,
}

impl StreamId {
    /// Before every entry: `0-0`.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    /// The least id behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None => Self { ms: self.ms.saturating_add(1), seq: 0 },
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromReply for StreamId {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let id = reply.text().and_then(Self::parse);
        id.ok_or_else(|| DecodeError::mismatch("the id of a stream's entry", &reply))
    }
}

impl ToArg for StreamId {
    fn write_to(self, command: &mut Command) {
        command.push_arg(self.to_string().as_bytes());
    }
}
