//! What two strings have in common.

use std::ops::RangeInclusive;

use redial_resp::{DecodeError, Element, FromReply};

use super::fields::Fields;

/// The answer to `lcs(…).idx()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LcsMatches {
    /// The common parts, the last one first.
    pub matches: Vec<LcsMatch>,
    /// The length of all of them together.
    pub len: u64,
}

/// A part that both strings have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LcsMatch {
    /// Where it is in the first string.
    pub first: RangeInclusive<u64>,
    /// Where it is in the second string.
    pub second: RangeInclusive<u64>,
    /// Its length, if that was asked for.
    pub len: Option<u64>,
}

impl FromReply for LcsMatches {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self { matches: fields.get("matches")?, len: fields.get("len")? })
    }
}

impl FromReply for LcsMatch {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let wanted = || DecodeError::mismatch("two ranges", &reply);
        let mut elements = reply.elements().ok_or_else(wanted)?;
        let mut range = || {
            let (start, end) = FromReply::from_reply(elements.next().ok_or_else(wanted)?)?;
            Ok::<RangeInclusive<u64>, DecodeError>(start..=end)
        };
        let (first, second) = (range()?, range()?);
        let len = elements.next().map(FromReply::from_reply).transpose()?;
        Ok(Self { first, second, len })
    }
}
