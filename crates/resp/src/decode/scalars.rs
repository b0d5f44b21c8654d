//! Numbers, booleans and text.

use std::str::{self, FromStr};

use crate::decode::{DecodeError, FromReply};
use crate::server_error::ErrorReply;
use crate::value::{Element, Value};

impl FromReply for () {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        match reply.value {
            Value::Error(_) | Value::Malformed(_) => {
                Err(DecodeError::mismatch("any reply but an error", &reply))
            }
            _ => match reply.first_error() {
                Some(text) => Err(DecodeError::Server(ErrorReply::new(text).into())),
                None => Ok(()),
            },
        }
    }
}

impl FromReply for bool {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        match reply.value {
            Value::Boolean(b) => Ok(b),
            Value::Integer(1) | Value::Bulk(b"1") | Value::Simple(b"OK") => Ok(true),
            Value::Integer(0) | Value::Bulk(b"0") | Value::Null => Ok(false),
            _ => Err(DecodeError::mismatch("a boolean", &reply)),
        }
    }
}

fn parse<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

macro_rules! integers {
    ($($int:ident),*) => {$(
        impl FromReply for $int {
            #[inline]
            fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
                let int = match reply.value {
                    Value::Integer(n) => Self::try_from(n).ok(),
                    Value::Bulk(text)
                    | Value::Simple(text)
                    | Value::Verbatim { text, .. }
                    | Value::BigNumber(text) => parse(text),
                    _ => None,
                };
                int.ok_or_else(|| {
                    DecodeError::mismatch(concat!("an integer (", stringify!($int), ")"), &reply)
                })
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, isize, u16, u32, u64, u128, usize);

impl FromReply for u8 {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        u16::from_reply(reply.clone())
            .ok()
            .and_then(|n| Self::try_from(n).ok())
            .ok_or_else(|| DecodeError::mismatch("an integer (u8)", &reply))
    }

    /// A string is what `Vec<u8>` nearly always means.
    fn vec_from_reply(reply: Element<'_>) -> Result<Vec<Self>, DecodeError> {
        match (reply.text(), reply.elements()) {
            (Some(text), _) => Ok(text.to_vec()),
            (None, Some(elements)) => elements.map(Self::from_reply).collect(),
            (None, None) => Err(DecodeError::mismatch("a string", &reply)),
        }
    }
}

impl FromReply for f64 {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let double = match reply.value {
            Value::Double(n) => Some(n),
            _ => reply.text().and_then(parse),
        };
        double.ok_or_else(|| DecodeError::mismatch("a number (f64)", &reply))
    }
}

impl FromReply for f32 {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        f64::from_reply(reply).map(|n| n as Self)
    }
}

impl FromReply for String {
    #[inline]
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let Some(text) = reply.text() else {
            return Err(DecodeError::mismatch("a string", &reply));
        };
        match str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DecodeError::mismatch("a string in UTF-8 (Bytes takes any)", &reply)),
        }
    }
}
