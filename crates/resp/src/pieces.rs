//! Walking over an encoded command: its arguments, and its wire bytes piece by piece.
//!
//! Both rely on the layout that [`Command`](crate::Command) writes and decide nothing of it.

use bytes::Bytes;

/// The arguments of a [`Command`](crate::Command).
#[derive(Debug, Clone)]
pub struct Args<'a> {
    rest: &'a [u8],
    /// Where `rest` starts in the command's buffer.
    at: usize,
    large: &'a [(usize, Bytes)],
    left: usize,
}

impl<'a> Args<'a> {
    /// The arguments that start at `at` in `buf`.
    pub(crate) fn new(buf: &'a [u8], at: usize, large: &'a [(usize, Bytes)], left: usize) -> Self {
        Self { rest: &buf[at..], at, large, left }
    }
}

impl<'a> Args<'a> {
    /// The next argument, and where it came from if it is shared.
    #[inline]
    pub(crate) fn next_or_shared(&mut self) -> Option<(&'a [u8], Option<&'a Bytes>)> {
        let header = memchr::memchr(b'\n', self.rest)? + 1;
        self.left -= 1;
        let digits = &self.rest[1..header - 2];
        let len = digits.iter().fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
        let body = self.at + header;
        let (arg, inline, shared) = match self.large {
            [(offset, arg), rest @ ..] if *offset == body => {
                self.large = rest;
                (&arg[..], 0, Some(arg))
            }
            _ => (&self.rest[header..header + len], len, None),
        };
        self.rest = &self.rest[header + inline + 2..];
        self.at = body + inline + 2;
        Some((arg, shared))
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.next_or_shared().map(|(arg, _)| arg)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Args<'_> {}

/// One piece of a command's wire bytes.
#[derive(Debug, Clone)]
pub enum Piece<'a> {
    /// Bytes of the command's own buffer.
    Inline(&'a [u8]),
    /// A large argument, as it was handed over.
    Shared(Bytes),
}

impl AsRef<[u8]> for Piece<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// The wire bytes of a [`Command`](crate::Command), piece by piece.
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    buf: &'a [u8],
    at: usize,
    large: &'a [(usize, Bytes)],
}

impl<'a> Pieces<'a> {
    /// The wire bytes: those of `buf`, and the large arguments in between.
    pub(crate) fn new(buf: &'a [u8], large: &'a [(usize, Bytes)]) -> Self {
        Self { buf, at: 0, large }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let from = self.at;
        match self.large {
            [(offset, arg), rest @ ..] if *offset == from => {
                self.large = rest;
                // The CRLF behind a large argument keeps two of them from sharing an offset.
                Some(Piece::Shared(arg.clone()))
            }
            _ if from == self.buf.len() => None,
            large => {
                self.at = large.first().map_or(self.buf.len(), |(offset, _)| *offset);
                Some(Piece::Inline(&self.buf[from..self.at]))
            }
        }
    }
}
