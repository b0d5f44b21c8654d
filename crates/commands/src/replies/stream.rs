//! Entries of streams, and what is known of streams and their groups.

use bytes::Bytes;
use redial_resp::{DecodeError, Element, FromReply, Value};

use super::fields::Fields;
use super::stream_id::StreamId;

/// Names and values of an entry's fields.
pub type EntryFields = Vec<(Bytes, Bytes)>;

/// One entry. `T` is what its fields become: a map, a `Vec` of pairs, a struct with `#[derive(FromReply)]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamEntry<T> {
    /// Its id.
    pub id: StreamId,
    /// Its fields; of an entry that is pending and was deleted null, so where that may be an `Option`.
    pub fields: T,
}

impl<T> StreamEntry<T> {
    /// An entry with this id.
    pub const fn new(id: StreamId, fields: T) -> Self {
        Self { id, fields }
    }
}

/// By it an entry is acknowledged.
impl<T> From<&StreamEntry<T>> for StreamId {
    fn from(entry: &StreamEntry<T>) -> Self {
        entry.id
    }
}

/// What `xautoclaim` took over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoClaimed<T> {
    /// Where to go on; [`StreamId::ZERO`] behind the last.
    pub next: StreamId,
    /// The entries.
    pub entries: Vec<StreamEntry<T>>,
    /// Entries that were pending and had been deleted; none before Redis 7.0.
    pub deleted: Vec<StreamId>,
}

/// What `xautoclaim(…).justid()` took over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoClaimedIds {
    /// Where to go on; [`StreamId::ZERO`] behind the last.
    pub next: StreamId,
    /// The entries' ids.
    pub ids: Vec<StreamId>,
    /// Entries that were pending and had been deleted; none before Redis 7.0.
    pub deleted: Vec<StreamId>,
}

/// What is pending in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingSummary {
    /// How many entries.
    pub count: u64,
    /// The least id.
    pub first: Option<StreamId>,
    /// The greatest id.
    pub last: Option<StreamId>,
    /// How many of each consumer that has any.
    pub consumers: Vec<(String, u64)>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingEntry {
    /// Its id.
    pub id: StreamId,
    /// Whose it is.
    pub consumer: String,
    /// Milliseconds since it was delivered last.
    pub idle: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// How many entries it has.
    pub length: u64,
    /// How many groups read it.
    pub groups: u64,
    /// The greatest id that it has had.
    pub last_generated_id: StreamId,
    /// The greatest id that was deleted; from Redis 7.0.
    pub max_deleted_entry_id: Option<StreamId>,
    /// How many entries it has had; from Redis 7.0.
    pub entries_added: Option<u64>,
    /// The id of its first entry now; from Redis 7.0.
    pub recorded_first_entry_id: Option<StreamId>,
    /// Its first entry.
    pub first_entry: Option<StreamEntry<EntryFields>>,
    /// Its last entry.
    pub last_entry: Option<StreamEntry<EntryFields>>,
}

/// A group of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamGroup {
    /// Its name.
    pub name: String,
    /// How many consumers it has.
    pub consumers: u64,
    /// How many entries are pending.
    pub pending: u64,
    /// The last id that it was given.
    pub last_delivered_id: StreamId,
    /// How many entries it has read, if that is known; from Redis 7.0.
    pub entries_read: Option<u64>,
    /// How many entries it has still to read, if that is known; from Redis 7.0.
    pub lag: Option<u64>,
}

/// A consumer of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamConsumer {
    /// Its name.
    pub name: String,
    /// How many entries are pending for it.
    pub pending: u64,
    /// Milliseconds since it last asked.
    pub idle: u64,
    /// Milliseconds since it last got something; from Redis 7.2, -1 if never.
    pub inactive: Option<i64>,
}

impl<T: FromReply> FromReply for StreamEntry<T> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let (id, fields) = FromReply::from_reply(reply)?;
        Ok(Self { id, fields })
    }

    /// Where an entry was deleted, Redis 6.2 says null.
    fn vec_from_reply(reply: Element<'_>) -> Result<Vec<Self>, DecodeError> {
        let elements =
            reply.elements().ok_or_else(|| DecodeError::mismatch("entries of a stream", &reply))?;
        elements
            .filter(|element| !matches!(element.value(), Value::Null))
            .map(Self::from_reply)
            .collect()
    }
}

/// Two elements, and from Redis 7.0 a third.
fn claimed<T: FromReply>(reply: &Element<'_>) -> Result<(StreamId, T, Vec<StreamId>), DecodeError> {
    let wanted = || DecodeError::mismatch("an id, entries, and deleted ids", reply);
    let mut elements = reply.elements().ok_or_else(wanted)?;
    let next = FromReply::from_reply(elements.next().ok_or_else(wanted)?)?;
    let entries = T::from_reply(elements.next().ok_or_else(wanted)?)?;
    let deleted = elements.next().map(FromReply::from_reply).transpose()?.unwrap_or_default();
    Ok((next, entries, deleted))
}

impl<T: FromReply> FromReply for AutoClaimed<T> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let (next, entries, deleted) = claimed(&reply)?;
        Ok(Self { next, entries, deleted })
    }
}

impl FromReply for AutoClaimedIds {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let (next, ids, deleted) = claimed(&reply)?;
        Ok(Self { next, ids, deleted })
    }
}

impl FromReply for PendingSummary {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let (count, first, last, consumers) = FromReply::from_reply(reply)?;
        let consumers: Option<_> = consumers;
        Ok(Self { count, first, last, consumers: consumers.unwrap_or_default() })
    }
}

impl FromReply for PendingEntry {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let (id, consumer, idle, deliveries) = FromReply::from_reply(reply)?;
        Ok(Self { id, consumer, idle, deliveries })
    }
}

impl FromReply for StreamInfo {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self {
            length: fields.get("length")?,
            groups: fields.get("groups")?,
            last_generated_id: fields.get("last-generated-id")?,
            max_deleted_entry_id: fields.get("max-deleted-entry-id")?,
            entries_added: fields.get("entries-added")?,
            recorded_first_entry_id: fields.get("recorded-first-entry-id")?,
            first_entry: fields.get("first-entry")?,
            last_entry: fields.get("last-entry")?,
        })
    }
}

impl FromReply for StreamGroup {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self {
            name: fields.get("name")?,
            consumers: fields.get("consumers")?,
            pending: fields.get("pending")?,
            last_delivered_id: fields.get("last-delivered-id")?,
            entries_read: fields.get("entries-read")?,
            lag: fields.get("lag")?,
        })
    }
}

impl FromReply for StreamConsumer {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self {
            name: fields.get("name")?,
            pending: fields.get("pending")?,
            idle: fields.get("idle")?,
            inactive: fields.get("inactive")?,
        })
    }
}
