//! The grammar's small parts, shared by the scanner and the decoder: type bytes, numbers, lines.
//!
//! Nothing here knows where a frame ends or what a value is for.

use memchr::memchr;

/// The fewest bytes that any element has (`_\r\n`): what an announcement costs its sender.
pub(crate) const MIN_ELEMENT: usize = 3;

/// The most digits that a 64-bit number has. Bounds how often a header that arrives byte by byte
/// is looked at again.
const MAX_DIGITS: usize = 20;

/// What stands between the type byte and CRLF of a header or an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// The number, and the offset behind its CRLF.
    Whole { magnitude: u64, negative: bool, next: usize },
    /// The bytes end before the CRLF.
    Cut,
    /// The byte at this offset does not belong there.
    Bad(usize),
}

/// Reads a decimal number with an optional sign, and its CRLF, from `at`.
#[inline]
pub(crate) fn number(buf: &[u8], at: usize) -> Number {
    let negative = buf.get(at) == Some(&b'-');
    match short_number(buf, at + usize::from(negative)) {
        Some((magnitude, next)) => Number::Whole { magnitude, negative, next },
        None => careful_number(buf, at),
    }
}

/// Reads at most 18 digits, which need no check for overflow, and CRLF from `at`. `None` means
/// only "not surely that".
#[inline]
pub(crate) fn short_number(buf: &[u8], at: usize) -> Option<(u64, usize)> {
    let digits = buf.get(at..)?;
    let mut magnitude = 0;
    for (i, byte) in digits.iter().take(19).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit >= 10 {
            let ends = i > 0 && *byte == b'\r' && digits.get(i + 1) == Some(&b'\n');
            return ends.then_some((magnitude, at + i + 2));
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    None
}

#[cold]
fn careful_number(buf: &[u8], at: usize) -> Number {
    let negative = buf.get(at) == Some(&b'-');
    let first = at + usize::from(matches!(buf.get(at), Some(b'-' | b'+')));
    let mut i = first;
    let mut magnitude = 0_u64;
    loop {
        match buf.get(i) {
            Some(digit @ b'0'..=b'9') => {
                let digit = u64::from(digit - b'0');
                let grown = magnitude.checked_mul(10).and_then(|m| m.checked_add(digit));
                match grown {
                    Some(grown) if i - first < MAX_DIGITS => magnitude = grown,
                    _ => return Number::Bad(i),
                }
            }
            Some(b'\r') if i > first => break,
            Some(_) => return Number::Bad(i),
            None => return Number::Cut,
        }
        i += 1;
    }
    match buf.get(i + 1) {
        Some(b'\n') => Number::Whole { magnitude, negative, next: i + 2 },
        Some(_) => Number::Bad(i + 1),
        None => Number::Cut,
    }
}

/// The signed value, if 64 bits hold it.
#[inline]
pub(crate) fn signed(magnitude: u64, negative: bool) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Finds the CRLF that ends the line whose text starts at `text`, looking only at bytes from `from`
/// on. Gives the offset of its CR.
///
/// A lone CR or LF is part of the text, as every client reads it: modules and old servers put
/// newlines into error texts.
#[inline]
pub(crate) fn line_end(buf: &[u8], text: usize, from: usize) -> Option<usize> {
    let mut from = from.max(text);
    loop {
        let newline = from + memchr(b'\n', buf.get(from..)?)?;
        if newline > text && buf[newline - 1] == b'\r' {
            return Some(newline - 1);
        }
        from = newline + 1;
    }
}

/// Whether a line is the text of a RESP3 double: `1`, `-1.5`, `10e-3`, `inf`, `-inf`, `nan`.
///
/// Servers before 7.2 print what their C library prints, so `-nan` and capitals pass too.
/// Everything accepted here is also accepted by `f64::from_str`.
pub(crate) fn is_double(text: &[u8]) -> bool {
    let unsigned = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"nan") {
        return true;
    }
    let (whole, rest) = digits(unsigned);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => digits(rest),
        _ => (0, rest),
    };
    let exponent = match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => is_digits(rest),
        _ => false,
    };
    whole + fraction > 0 && exponent
}

/// Whether a line is the text of a RESP3 big number.
pub(crate) fn is_big_number(text: &[u8]) -> bool {
    match text {
        [b'+' | b'-', rest @ ..] => is_digits(rest),
        _ => is_digits(text),
    }
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    (count, &text[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &[u8]) -> Option<i64> {
        match number(text, 0) {
            Number::Whole { magnitude, negative, next } => {
                assert_eq!(next, text.len());
                signed(magnitude, negative)
            }
            _ => None,
        }
    }

    #[test]
    fn numbers_reach_the_ends_of_64_bits_and_no_further() {
        assert_eq!(whole(b"9223372036854775807\r\n"), Some(i64::MAX));
        assert_eq!(whole(b"-9223372036854775808\r\n"), Some(i64::MIN));
        assert_eq!(whole(b"9223372036854775808\r\n"), None);
        assert_eq!(whole(b"-9223372036854775809\r\n"), None);
        assert_eq!(number(b"18446744073709551616\r\n", 0), Number::Bad(19));
    }

    #[test]
    fn numbers_of_every_length_are_read_alike() {
        for digits in 1..=19 {
            let text = "1234567890123456789"[..digits].to_owned();
            for (text, expected) in [
                (format!("{text}\r\n"), text.parse::<i64>()),
                (format!("+{text}\r\n"), text.parse::<i64>()),
                (format!("-{text}\r\n"), format!("-{text}").parse::<i64>()),
            ] {
                assert_eq!(whole(text.as_bytes()), expected.ok(), "{text}");
            }
        }
    }

    #[test]
    fn a_number_of_endless_zeros_is_refused_not_read_again_and_again() {
        assert_eq!(number(&[b'0'; 1000], 0), Number::Bad(MAX_DIGITS));
    }

    #[test]
    fn the_byte_that_breaks_a_number_is_named() {
        assert_eq!(number(b"12a\r\n", 0), Number::Bad(2));
        assert_eq!(number(b"\r\n", 0), Number::Bad(0));
        assert_eq!(number(b"-\r\n", 0), Number::Bad(1));
        assert_eq!(number(b"1\rx", 0), Number::Bad(2));
        assert_eq!(number(b"1\r", 0), Number::Cut);
        assert_eq!(number(b"", 0), Number::Cut);
    }

    #[test]
    fn every_double_that_passes_can_be_parsed() {
        for text in ["1", "-1.5", "+3", "10e-3", "1E+5", ".5", "5.", "inf", "-inf", "nan", "-NaN"] {
            assert!(is_double(text.as_bytes()), "{text}");
            assert!(text.parse::<f64>().is_ok(), "{text}");
        }
        for text in ["", "-", ".", "e5", "1e", "1e+", "1.5x", "infinity", "0x10", "1 "] {
            assert!(!is_double(text.as_bytes()), "{text}");
        }
    }
}
