//! The scanner's fast path: an element without elements that has arrived whole.
//!
//! It refuses nothing; whatever is unusual is left to the careful path.

use memchr::memchr;

use crate::limits::Limits;
use crate::wire;

/// The end of the complete, sound element without elements that starts at `at`, if that is what
/// stands there.
#[inline]
pub(super) fn whole_leaf(buf: &[u8], at: usize, limits: &Limits) -> Option<usize> {
    let rest = buf.get(at..)?;
    let len = match *rest {
        // Three shapes that nearly every reply has, in as many comparisons as they have bytes.
        [b'+', b'O', b'K', b'\r', b'\n', ..] => 5,
        [b'$', ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            bulk_end(rest, 4, usize::from(ones - b'0'), limits)?
        }
        [b'$', tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            bulk_end(rest, 5, usize::from(tens - b'0') * 10 + usize::from(ones - b'0'), limits)?
        }
        [b'$', ..] => {
            let (len, body) = wire::short_number(rest, 1)?;
            bulk_end(rest, body, usize::try_from(len).ok()?, limits)?
        }
        [b'+' | b'-', ..] => {
            let newline = memchr(b'\n', rest)?;
            if newline < 2 || rest[newline - 1] != b'\r' || newline >= limits.max_bulk {
                return None;
            }
            newline + 1
        }
        [b':', b'-', ..] => wire::short_number(rest, 2)?.1,
        [b':', ..] => wire::short_number(rest, 1)?.1,
        [b'_', b'\r', b'\n', ..] => 3,
        [b'#', b't' | b'f', b'\r', b'\n', ..] => 4,
        _ => return None,
    };
    at.checked_add(len).filter(|&end| end <= limits.max_frame)
}

#[inline]
fn bulk_end(rest: &[u8], body: usize, len: usize, limits: &Limits) -> Option<usize> {
    if len > limits.max_bulk {
        return None;
    }
    let text_end = body.checked_add(len)?;
    let end = text_end.checked_add(2)?;
    (rest.get(text_end..end)? == b"\r\n").then_some(end)
}
