//! One page of a scan.

use redial_resp::{DecodeError, Element, FromReply};

/// Some elements, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanPage<T> {
    /// Where the next page begins; 0 behind the last.
    pub cursor: u64,
    /// What is on this one. A page may be empty without being the last.
    pub items: Vec<T>,
}

impl<T: FromReply> FromReply for ScanPage<T> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let (cursor, items) = FromReply::from_reply(reply)?;
        Ok(Self { cursor, items })
    }
}
