//! Reading one element of a frame that is all here: its head, its end.
//!
//! Everything gives `None` instead of panicking where the bytes are not what a scanner would have
//! passed. What an element means to a caller is decided elsewhere.

use std::ops::Range;

use crate::wire::{self, MIN_ELEMENT, Number};

/// The first part of an element, as far as it can be read without going through its elements.
#[derive(Debug)]
pub(crate) struct Head {
    /// The type byte.
    pub(crate) kind: u8,
    pub(crate) content: Content,
    /// Where the element ends; of an aggregate, where its elements start.
    pub(crate) next: usize,
}

#[derive(Debug)]
pub(crate) enum Content {
    Null,
    Integer(i64),
    Text(Range<usize>),
    /// An aggregate or attribute of so many elements; a map entry is two.
    Elements(usize),
}

/// Reads the head of the element at `at`.
#[inline]
pub(crate) fn head(buf: &[u8], at: usize) -> Option<Head> {
    let kind = *buf.get(at)?;
    let (content, next) = match kind {
        b'$' | b'!' | b'=' => match length(buf, at)? {
            (None, next) => (Content::Null, next),
            (Some(len), body) => {
                let end = body.checked_add(len)?;
                let next = end.checked_add(2).filter(|&next| next <= buf.len())?;
                (Content::Text(body..end), next)
            }
        },
        b':' => match wire::number(buf, at + 1) {
            Number::Whole { magnitude, negative, next } => {
                (Content::Integer(wire::signed(magnitude, negative)?), next)
            }
            _ => return None,
        },
        b'*' | b'~' | b'>' | b'%' | b'|' => match length(buf, at)? {
            (None, next) => (Content::Null, next),
            (Some(count), body) => {
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                let elements = count.checked_mul(each)?;
                // Whoever reserves room for so many then holds their bytes already.
                if elements > (buf.len() - body) / MIN_ELEMENT {
                    return None;
                }
                (Content::Elements(elements), body)
            }
        },
        b'+' | b'-' | b',' | b'(' | b'#' => {
            let end = wire::line_end(buf, at + 1, at + 1)?;
            (Content::Text(at + 1..end), end + 2)
        }
        b'_' if buf.get(at + 1..at + 3)? == b"\r\n" => (Content::Null, at + 3),
        _ => return None,
    };
    Some(Head { kind, content, next })
}

/// A bulk string whose length has one or two digits: nearly every reply that is not an aggregate.
#[inline]
pub(crate) fn short_bulk(buf: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let digit = |byte: &u8| Some(usize::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let (len, body) = match buf.get(at..)? {
        [b'$', ones, b'\r', b'\n', ..] => (digit(ones)?, at + 4),
        [b'$', tens, ones, b'\r', b'\n', ..] => (digit(tens)? * 10 + digit(ones)?, at + 5),
        _ => return None,
    };
    let next = body + len + 2;
    let text = buf.get(body..body + len)?;
    (next <= buf.len()).then_some((text, next))
}

/// The announced length, or `None` for RESP2's -1, and where the header ends.
#[inline]
fn length(buf: &[u8], at: usize) -> Option<(Option<usize>, usize)> {
    match wire::number(buf, at + 1) {
        Number::Whole { magnitude, negative: false, next } => {
            Some((Some(usize::try_from(magnitude).ok()?), next))
        }
        Number::Whole { magnitude: 1, next, .. } if matches!(buf[at], b'$' | b'*') => {
            Some((None, next))
        }
        _ => None,
    }
}

/// Where the `elements` that start at `at` end. Iterative, so that no nesting is too deep for it.
pub(crate) fn skip(buf: &[u8], mut at: usize, elements: usize) -> Option<usize> {
    let mut pending = elements;
    while pending > 0 {
        let head = head(buf, at)?;
        at = head.next;
        if let Content::Elements(inner) = head.content {
            pending = pending.checked_add(inner)?;
        }
        // An attribute stands in front of an element and is not one itself.
        pending -= usize::from(head.kind != b'|');
    }
    Some(at)
}

/// Where the element at `at` itself starts, behind the attributes in front of it.
#[inline]
pub(crate) fn behind_attributes(buf: &[u8], mut at: usize) -> Option<usize> {
    while buf.get(at) == Some(&b'|') {
        let attribute = head(buf, at)?;
        let Content::Elements(elements) = attribute.content else { return None };
        at = skip(buf, attribute.next, elements)?;
    }
    Some(at)
}

/// The text of the first error among the `elements` that start at `at`, however deep.
pub(crate) fn first_error(buf: &[u8], mut at: usize, elements: usize) -> Option<&[u8]> {
    let mut pending = elements;
    while pending > 0 {
        at = behind_attributes(buf, at)?;
        let head = head(buf, at)?;
        at = head.next;
        pending -= 1;
        match head.content {
            Content::Text(text) if matches!(head.kind, b'-' | b'!') => return buf.get(text),
            Content::Elements(inner) => pending = pending.checked_add(inner)?,
            _ => {}
        }
    }
    None
}
