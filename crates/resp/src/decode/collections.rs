//! Lists, sets and maps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

use bytes::Bytes;

use crate::decode::{DecodeError, FromReply};
use crate::value::Element;

/// Each element of an aggregate as a `T`.
pub(super) fn vec_of_elements<T: FromReply>(reply: &Element<'_>) -> Result<Vec<T>, DecodeError> {
    let Some(elements) = reply.elements() else {
        return Err(DecodeError::mismatch("an array", reply));
    };
    // The bytes of so many elements are here already.
    let mut vec = Vec::with_capacity(elements.len());
    for element in elements {
        vec.push(T::from_reply(element)?);
    }
    Ok(vec)
}

/// The same for bytes, of which nearly all are short: those of a frame that is shared need no more than a look at their length (165 instructions each instead of 306).
pub(super) fn vec_of_bytes(reply: &Element<'_>) -> Result<Vec<Bytes>, DecodeError> {
    let Some(mut elements) = reply.elements() else {
        return Err(DecodeError::mismatch("an array", reply));
    };
    let mut vec = Vec::with_capacity(elements.len());
    while elements.len() > 0 {
        match elements.next_slice() {
            Some(bytes) => vec.push(bytes),
            None => match elements.next() {
                Some(element) => vec.push(Bytes::from_reply(element)?),
                None => break,
            },
        }
    }
    Ok(vec)
}

impl<T: FromReply> FromReply for Vec<T> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        T::vec_from_reply(reply)
    }
}

impl<T: FromReply> FromReply for VecDeque<T> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        T::vec_from_reply(reply).map(Self::from)
    }
}

impl<T, S> FromReply for HashSet<T, S>
where
    T: FromReply + Eq + Hash,
    S: BuildHasher + Default,
{
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        T::vec_from_reply(reply).map(Self::from_iter)
    }
}

impl<T: FromReply + Ord> FromReply for BTreeSet<T> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        T::vec_from_reply(reply).map(Self::from_iter)
    }
}

impl<K, V, S> FromReply for HashMap<K, V, S>
where
    K: FromReply + Eq + Hash,
    V: FromReply,
    S: BuildHasher + Default,
{
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        <(K, V)>::vec_from_reply(reply).map(Self::from_iter)
    }
}

impl<K: FromReply + Ord, V: FromReply> FromReply for BTreeMap<K, V> {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        <(K, V)>::vec_from_reply(reply).map(Self::from_iter)
    }
}
