//! Tuples, alone and as the rows of an array.

use crate::decode::{DecodeError, FromReply, collections};
use crate::value::{Element, Elements, Value};

macro_rules! tuple {
    ($len:literal: $($T:ident),+) => {
        impl<$($T: FromReply),+> FromReply for ($($T,)+) {
            fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
                let wanted = || {
                    DecodeError::mismatch(concat!("an array of ", $len, " elements"), &reply)
                };
                let mut elements = reply.elements().filter(|e| e.len() == $len).ok_or_else(wanted)?;
                Ok(($($T::from_reply(elements.next().ok_or_else(wanted)?)?,)+))
            }

            fn vec_from_reply(reply: Element<'_>) -> Result<Vec<Self>, DecodeError> {
                if is_nested(&reply) {
                    return collections::vec_of_elements(&reply);
                }
                let wanted = || {
                    let wanted = concat!("an array of rows of ", $len, ", nested or flat");
                    DecodeError::mismatch(wanted, &reply)
                };
                let mut elements = flat_rows(&reply, $len).ok_or_else(wanted)?;
                let mut rows = Vec::with_capacity(elements.len() / $len);
                while elements.len() > 0 {
                    rows.push(($($T::from_reply(elements.next().ok_or_else(wanted)?)?,)+));
                }
                Ok(rows)
            }
        }
    };
}

tuple!(1: A);
tuple!(2: A, B);
tuple!(3: A, B, C);
tuple!(4: A, B, C, D);
tuple!(5: A, B, C, D, E);
tuple!(6: A, B, C, D, E, F);
tuple!(7: A, B, C, D, E, F, G);
tuple!(8: A, B, C, D, E, F, G, H);

/// Whether the rows of a reply are aggregates of their own. A map's entries are its rows.
fn is_nested(reply: &Element<'_>) -> bool {
    !matches!(reply.value, Value::Map(_))
        && reply
            .elements()
            .and_then(|mut elements| elements.next())
            .is_some_and(|first| first.elements().is_some())
}

/// The elements of rows that follow each other without brackets.
fn flat_rows<'a>(reply: &Element<'a>, len: usize) -> Option<Elements<'a>> {
    let rows_fit = len == 2 || !matches!(reply.value, Value::Map(_));
    reply.elements().filter(|elements| rows_fit && elements.len().is_multiple_of(len))
}
