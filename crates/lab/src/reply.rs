//! The replies of the lab's own control connection: RESP2, blocking, nothing more.
//!
//! Deliberately not `redial-resp`: the lab must not share a decoder with the client it judges.

use std::io::{self, BufRead, Read};

/// A server's reply to a control command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+text`
    Status(String),
    /// `-text`: the server refused; the text begins with its code.
    Error(String),
    /// `:n`
    Int(i64),
    /// `$n`: a string of bytes.
    Bytes(Vec<u8>),
    /// A null string or array.
    Nil,
    /// `*n`
    Array(Vec<Self>),
}

/// Control replies nest a few levels at most; deeper is not a Redis that speaks.
const MAX_DEPTH: u8 = 16;

impl Reply {
    /// The reply as text: a status or a string; `None` for everything else, and for bytes that are
    /// not UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Status(text) => Some(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The reply as an integer: an integer, or a string that holds one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            other => other.as_str()?.parse().ok(),
        }
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Reads one reply. A malformed one is `InvalidData`.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Self> {
        Self::read_nested(from, 0)
    }

    fn read_nested(from: &mut impl BufRead, depth: u8) -> io::Result<Self> {
        let line = read_line(from)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed(&line))?;
        match kind {
            "+" => Ok(Self::Status(rest.to_owned())),
            "-" => Ok(Self::Error(rest.to_owned())),
            ":" => Ok(Self::Int(number(rest)?)),
            "$" => match number(rest)? {
                -1 => Ok(Self::Nil),
                len => read_bytes(from, len),
            },
            "*" => match number(rest)? {
                -1 => Ok(Self::Nil),
                _ if depth == MAX_DEPTH => Err(malformed(&line)),
                len => (0..len)
                    .map(|_| Self::read_nested(from, depth + 1))
                    .collect::<io::Result<_>>()
                    .map(Self::Array),
            },
            _ => Err(malformed(&line)),
        }
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn read_bytes(from: &mut impl BufRead, len: i64) -> io::Result<Reply> {
    let len = u64::try_from(len).map_err(|_| malformed("a negative length"))?;
    let mut bytes = Vec::new();
    from.take(len + 2).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != len + 2 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !bytes.ends_with(b"\r\n") {
        return Err(malformed("a string of another length than announced"));
    }
    bytes.truncate(bytes.len() - 2);
    Ok(Reply::Bytes(bytes))
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| malformed(text))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed reply: {what:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Reply> {
        Reply::read(&mut &bytes[..])
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        assert_eq!(read(b"+OK\r\n").unwrap(), Reply::Status("OK".into()));
        assert_eq!(read(b"-ERR no\r\n").unwrap(), Reply::Error("ERR no".into()));
        assert_eq!(read(b":-7\r\n").unwrap().as_int(), Some(-7));
        assert_eq!(read(b"$4\r\na\r\nb\r\n").unwrap(), Reply::Bytes(b"a\r\nb".to_vec()));
        assert_eq!(read(b"$-1\r\n").unwrap(), Reply::Nil);
        let nested = read(b"*2\r\n*1\r\n:1\r\n$2\r\n12\r\n").unwrap();
        assert_eq!(nested.as_array().unwrap()[1].as_int(), Some(12));
    }

    #[test]
    fn a_reply_cut_anywhere_is_an_error_and_never_a_shorter_reply() {
        let whole = b"*2\r\n$3\r\nabc\r\n:1\r\n";
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read(whole).is_ok());
    }

    #[test]
    fn rubbish_and_bottomless_nesting_are_refused() {
        for rubbish in [&b"\r\n"[..], b"?\r\n", b"$x\r\n", b"$-5\r\n", b"$1\r\nabc\r\n"] {
            assert!(read(rubbish).is_err(), "{rubbish:?}");
        }
        assert!(read(&b"*1\r\n".repeat(10_000)).is_err());
    }
}
