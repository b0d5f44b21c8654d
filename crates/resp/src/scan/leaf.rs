//! The scanner's fast path: a reply without elements that has arrived whole.
//!
//! It refuses nothing; whatever is unusual is left to the careful path.

use memchr::memchr;

use crate::limits::Limits;
use crate::wire::{self, Number};

/// The end of a complete, sound frame without elements: nearly every reply.
///
/// `None` means only "not surely that"; whatever is unusual is left to the careful path.
#[inline]
pub(super) fn whole_leaf(buf: &[u8], limits: &Limits) -> Option<usize> {
    let end = match *buf.first()? {
        b'$' => {
            let (len, body) = short_length(buf)?;
            if len > limits.max_bulk {
                return None;
            }
            let text_end = body + len;
            if buf.get(text_end..text_end + 2)? != b"\r\n" {
                return None;
            }
            text_end + 2
        }
        b'+' if buf.starts_with(b"+OK\r\n") => 5,
        b'+' | b'-' => {
            let newline = memchr(b'\n', buf)?;
            if newline < 2 || buf[newline - 1] != b'\r' || newline >= limits.max_bulk {
                return None;
            }
            newline + 1
        }
        b':' => match wire::number(buf, 1) {
            // A magnitude of 63 bits is an i64 with either sign.
            Number::Whole { magnitude, next, .. } if magnitude >> 63 == 0 => next,
            _ => return None,
        },
        b'_' if buf.starts_with(b"_\r\n") => 3,
        b'#' if buf.starts_with(b"#t\r\n") || buf.starts_with(b"#f\r\n") => 4,
        _ => return None,
    };
    (end <= limits.max_frame).then_some(end)
}

/// The length in `$123\r\n`, where it has at most eight digits, and the offset behind the header.
#[inline]
fn short_length(buf: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0;
    for i in 1..10 {
        match *buf.get(i)? {
            digit @ b'0'..=b'9' => len = len * 10 + usize::from(digit - b'0'),
            b'\r' if i > 1 && *buf.get(i + 1)? == b'\n' => return Some((len, i + 2)),
            _ => return None,
        }
    }
    None
}
