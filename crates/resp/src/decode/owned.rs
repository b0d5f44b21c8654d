//! A whole reply as a tree that owns its values.

use bytes::Bytes;

use crate::decode::{DecodeError, FromReply};
use crate::limits::MAX_DEPTH;
use crate::server_error::{ErrorReply, ServerError};
use crate::value::{Element, Elements, Value};

/// Any reply, owned. Errors are values here, wherever they stand.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "they are those of Value")]
pub enum OwnedValue {
    Simple(Bytes),
    Error(ServerError),
    Integer(i64),
    Bulk(Bytes),
    Verbatim { format: Bytes, text: Bytes },
    Null,
    Boolean(bool),
    Double(f64),
    BigNumber(Bytes),
    Array(Vec<Self>),
    Set(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Push(Vec<Self>),
}

impl FromReply for OwnedValue {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        build(&reply, 0)
    }
}

/// Recursive, so the leaves are built elsewhere: their locals would count at every level.
fn build(reply: &Element<'_>, depth: usize) -> Result<OwnedValue, DecodeError> {
    if depth > MAX_DEPTH {
        // A scanner would have refused it; a tree of it could not even be dropped.
        return Err(DecodeError::mismatch("a reply that is not nested so deep", reply));
    }
    let Some(elements) = reply.elements() else { return leaf(reply) };
    if let Value::Map(_) = reply.value {
        return build_map(elements, depth);
    }
    let mut items = Vec::with_capacity(elements.len());
    for element in elements {
        items.push(build(&element, depth + 1)?);
    }
    Ok(match reply.value {
        Value::Set(_) => OwnedValue::Set(items),
        Value::Push(_) => OwnedValue::Push(items),
        _ => OwnedValue::Array(items),
    })
}

fn build_map(mut elements: Elements<'_>, depth: usize) -> Result<OwnedValue, DecodeError> {
    let mut entries = Vec::with_capacity(elements.len() / 2);
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        entries.push((build(&key, depth + 1)?, build(&value, depth + 1)?));
    }
    Ok(OwnedValue::Map(entries))
}

fn leaf(reply: &Element<'_>) -> Result<OwnedValue, DecodeError> {
    Ok(match &reply.value {
        Value::Simple(text) => OwnedValue::Simple(reply.share(text)),
        Value::Error(text) => OwnedValue::Error(ErrorReply::new(text).into()),
        Value::Integer(n) => OwnedValue::Integer(*n),
        Value::Bulk(text) => OwnedValue::Bulk(reply.share(text)),
        Value::Verbatim { format, text } => {
            OwnedValue::Verbatim { format: reply.share(format), text: reply.share(text) }
        }
        Value::Null => OwnedValue::Null,
        Value::Boolean(b) => OwnedValue::Boolean(*b),
        Value::Double(n) => OwnedValue::Double(*n),
        Value::BigNumber(text) => OwnedValue::BigNumber(reply.share(text)),
        _ => return Err(DecodeError::mismatch("a reply", reply)),
    })
}
