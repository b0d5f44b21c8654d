//! Finding the end of one frame in bytes that arrive in any pieces.
//!
//! The scanner owns how far it has looked and how deep it is; the bytes stay with the caller. It
//! checks the grammar of everything it passes, so that decoding a scanned frame meets no
//! surprise. It does not build values and does not decide what follows an error.

use self::leaf::whole_leaf;
use crate::error::{ProtocolError, ProtocolErrorKind as Kind};
use crate::limits::{Limits, MAX_DEPTH};
use crate::wire::{self, MIN_ELEMENT, Number};

mod leaf;

type Scanned<T> = Result<T, ProtocolError>;

/// Finds frame ends; one per connection.
///
/// Text and bodies are looked at once however they arrive. Only a header (at most 24 bytes) that
/// a read cut in two is looked at again.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    /// Where the first element starts that is not passed yet.
    at: usize,
    /// How far the text line at `at` has been searched for its end; 0 if it has not.
    searched: usize,
    /// Elements still to come in the innermost open aggregate; 1 where none is open.
    pending: usize,
    /// The same of the aggregates around it.
    outer: Vec<usize>,
    missing: usize,
    #[cfg(test)]
    visited: usize,
}

/// What stands at `at`.
enum Step {
    /// An element without elements, up to this offset.
    Leaf(usize),
    /// The header of an aggregate, up to `body`.
    Open { body: usize, elements: usize, attribute: bool },
    /// Not all of it is here; at least this much is missing.
    More(usize),
}

impl Scanner {
    /// A scanner at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { max_depth: limits.max_depth.min(MAX_DEPTH), ..limits };
        Self {
            limits,
            at: 0,
            searched: 0,
            pending: 1,
            outer: Vec::new(),
            missing: 0,
            #[cfg(test)]
            visited: 0,
        }
    }

    /// Looks for the end of the frame that starts at `buf[0]`.
    ///
    /// `Ok(Some(n))`: the frame is `buf[..n]`, and the scanner is ready for the next one.
    /// `Ok(None)`: call again with the same bytes and more behind them.
    ///
    /// # Errors
    /// The bytes are not RESP or exceed a limit. Where the next frame starts is then unknown: the
    /// connection has to go, and the scanner with it.
    #[inline]
    pub fn scan(&mut self, buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let fresh = self.at == 0 && self.searched == 0;
        if fresh && let Some(end) = whole_leaf(buf, 0, &self.limits) {
            self.missing = 0;
            return Ok(Some(end));
        }
        self.resume(buf)
    }

    /// Bytes that are still missing at least, after a scan that answered `None`; otherwise 0.
    ///
    /// What a peer announced: use it to size a read, up to a bound of your own.
    #[inline]
    pub fn missing(&self) -> usize {
        self.missing
    }

    fn resume(&mut self, buf: &[u8]) -> Scanned<Option<usize>> {
        loop {
            if self.pending == 0 {
                match self.outer.pop() {
                    Some(pending) => self.pending = pending,
                    None => return Ok(Some(self.finish())),
                }
            } else if !self.pass_leaves(buf) {
                match self.step(buf)? {
                    Step::Leaf(end) => {
                        self.at = end;
                        self.pending -= 1;
                    }
                    Step::Open { body, elements, attribute } => {
                        self.open(buf, elements, attribute)?;
                        self.at = body;
                    }
                    Step::More(missing) => {
                        self.missing = missing;
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes past the elements of an aggregate that have none themselves and are here; false if the next one is not such a one.
    #[inline]
    fn pass_leaves(&mut self, buf: &[u8]) -> bool {
        // The first element was looked at before, and half a line is gone on with.
        if self.at == 0 || self.searched != 0 {
            return false;
        }
        let (from, mut at, mut pending) = (self.at, self.at, self.pending);
        while pending > 0
            && let Some(end) = whole_leaf(buf, at, &self.limits)
        {
            at = end;
            pending -= 1;
        }
        (self.at, self.pending) = (at, pending);
        self.visit(at - from);
        at > from
    }

    fn open(&mut self, buf: &[u8], elements: usize, attribute: bool) -> Scanned<()> {
        let limit = self.limits.max_depth;
        if elements > 0 && self.outer.len() >= limit {
            return Err(ProtocolError::new(Kind::TooDeep { limit }, buf, self.at));
        }
        // An attribute stands in front of an element and is not one itself.
        self.pending -= usize::from(!attribute);
        if elements > 0 {
            self.outer.push(self.pending);
            self.pending = elements;
        }
        Ok(())
    }

    fn finish(&mut self) -> usize {
        let end = self.at;
        self.at = 0;
        self.searched = 0;
        self.pending = 1;
        self.missing = 0;
        end
    }

    fn step(&mut self, buf: &[u8]) -> Scanned<Step> {
        let at = self.at;
        let Some(&kind) = buf.get(at) else { return Ok(Step::More(1)) };
        match kind {
            b'$' | b'!' | b'=' => self.blob(buf, kind),
            b':' => self.integer(buf),
            b'*' | b'~' | b'>' | b'%' | b'|' => self.aggregate(buf, kind),
            b'+' | b'-' | b',' | b'(' => self.line(buf, kind),
            b'_' => self.fixed(buf, |_| true, 0, "nothing but CRLF in a null"),
            b'#' => self.fixed(buf, |b| matches!(b, b't' | b'f'), 1, "#t or #f and CRLF"),
            b';' | b'.' => Err(ProtocolError::new(Kind::Streamed, buf, at)),
            // Record types of a TLS alert and a TLS handshake.
            0x15 | 0x16 if at == 0 => Err(ProtocolError::new(Kind::Tls, buf, at)),
            b'H' if at == 0 => Err(ProtocolError::new(Kind::Http, buf, at)),
            other => Err(ProtocolError::new(Kind::UnknownType(other), buf, at)),
        }
    }

    /// `$3\r\nfoo\r\n`, and the same with `!` and `=`.
    fn blob(&mut self, buf: &[u8], kind: u8) -> Scanned<Step> {
        let (len, body) = match self.length(buf, kind)? {
            Length::Of(len, body) => (len, body),
            Length::Null(end) => return Ok(Step::Leaf(end)),
            Length::Cut => return Ok(Step::More(1)),
        };
        let limit = self.limits.max_bulk;
        let Some(len) = within(len, limit) else {
            return Err(ProtocolError::new(
                Kind::BulkTooLarge { announced: len, limit },
                buf,
                body,
            ));
        };
        let text_end = body.saturating_add(len);
        let end = text_end.saturating_add(2);
        self.must_fit(buf, end)?;
        if kind == b'=' && len < 4 {
            let wanted = "a verbatim string of at least 4 bytes (\"txt:\")";
            return Err(ProtocolError::new(Kind::Expected(wanted), buf, self.at));
        }
        match buf.get(text_end..end) {
            None => return Ok(Step::More(end.saturating_sub(buf.len()).max(1))),
            Some(b"\r\n") => {}
            Some(_) => {
                let wanted = "CRLF behind the announced bytes of a string";
                return Err(ProtocolError::new(Kind::Expected(wanted), buf, text_end));
            }
        }
        if kind == b'=' && buf.get(body + 3) != Some(&b':') {
            let wanted = "a colon behind the format of a verbatim string";
            return Err(ProtocolError::new(Kind::Expected(wanted), buf, body + 3));
        }
        Ok(Step::Leaf(end))
    }

    /// `*2\r\n`, and the same with `~`, `>`, `%` and `|`.
    fn aggregate(&mut self, buf: &[u8], kind: u8) -> Scanned<Step> {
        let (announced, body) = match self.length(buf, kind)? {
            Length::Of(count, body) => (count, body),
            Length::Null(end) => return Ok(Step::Leaf(end)),
            Length::Cut => return Ok(Step::More(1)),
        };
        let attribute = kind == b'|';
        let announced =
            if attribute || kind == b'%' { announced.saturating_mul(2) } else { announced };
        let limit = self.limits.max_elements;
        let Some(elements) = within(announced, limit) else {
            return Err(ProtocolError::new(
                Kind::TooManyElements { announced, limit },
                buf,
                self.at,
            ));
        };
        self.must_fit(buf, body.saturating_add(elements.saturating_mul(MIN_ELEMENT)))?;
        Ok(Step::Open { body, elements, attribute })
    }

    fn integer(&mut self, buf: &[u8]) -> Scanned<Step> {
        let bad =
            |offset| ProtocolError::new(Kind::Expected("a 64-bit integer and CRLF"), buf, offset);
        match self.number(buf) {
            Number::Whole { magnitude, negative, next } => {
                wire::signed(magnitude, negative).ok_or_else(|| bad(self.at + 1))?;
                self.must_fit(buf, next)?;
                Ok(Step::Leaf(next))
            }
            Number::Cut => Ok(Step::More(1)),
            Number::Bad(offset) => Err(bad(offset)),
        }
    }

    /// A type whose text ends at CRLF.
    fn line(&mut self, buf: &[u8], kind: u8) -> Scanned<Step> {
        let text = self.at + 1;
        let from = self.searched.max(text);
        let Some(text_end) = wire::line_end(buf, text, from) else {
            self.visit(buf.len().saturating_sub(from));
            self.searched = from.max(buf.len());
            self.must_be_line(buf, self.searched)?;
            return Ok(Step::More(1));
        };
        self.visit(text_end + 2 - from);
        self.searched = 0;
        self.must_be_line(buf, text_end + 2)?;
        let line = &buf[text..text_end];
        if matches!(kind, b',' | b'(') {
            self.visit(line.len());
        }
        let wanted = match kind {
            b',' if !wire::is_double(line) => "a decimal number, inf or nan in a double",
            b'(' if !wire::is_big_number(line) => "decimal digits in a big number",
            _ => return Ok(Step::Leaf(text_end + 2)),
        };
        Err(ProtocolError::new(Kind::Expected(wanted), buf, text))
    }

    /// `_\r\n`, `#t\r\n`, `#f\r\n`.
    fn fixed(
        &self,
        buf: &[u8],
        allowed: fn(u8) -> bool,
        text: usize,
        wanted: &'static str,
    ) -> Scanned<Step> {
        let end = self.at + 1 + text + 2;
        for offset in self.at + 1..end {
            let Some(&byte) = buf.get(offset) else { return Ok(Step::More(end - offset)) };
            let fits = match end - offset {
                1 => byte == b'\n',
                2 => byte == b'\r',
                _ => allowed(byte),
            };
            if !fits {
                return Err(ProtocolError::new(Kind::Expected(wanted), buf, offset));
            }
        }
        self.must_fit(buf, end)?;
        Ok(Step::Leaf(end))
    }

    fn length(&mut self, buf: &[u8], kind: u8) -> Scanned<Length> {
        let start = self.at + 1;
        match buf.get(start) {
            Some(b'?') => return Err(ProtocolError::new(Kind::Streamed, buf, start)),
            Some(b'+') => return Err(bad_length(buf, start)),
            _ => {}
        }
        match self.number(buf) {
            Number::Whole { magnitude, negative: false, next } => Ok(Length::Of(magnitude, next)),
            Number::Whole { magnitude: 1, next, .. } if matches!(kind, b'$' | b'*') => {
                self.must_fit(buf, next)?;
                Ok(Length::Null(next))
            }
            Number::Whole { .. } => Err(bad_length(buf, start)),
            Number::Cut => Ok(Length::Cut),
            Number::Bad(offset) => Err(bad_length(buf, offset)),
        }
    }

    fn number(&mut self, buf: &[u8]) -> Number {
        let number = wire::number(buf, self.at + 1);
        self.visit(match number {
            Number::Whole { next, .. } => next - self.at,
            Number::Cut => buf.len() - self.at,
            Number::Bad(offset) => offset - self.at,
        });
        number
    }

    fn must_be_line(&self, buf: &[u8], end: usize) -> Scanned<()> {
        let limit = self.limits.max_bulk;
        let announced = (end - self.at) as u64;
        if within(announced, limit).is_none() {
            return Err(ProtocolError::new(Kind::BulkTooLarge { announced, limit }, buf, self.at));
        }
        self.must_fit(buf, end)
    }

    fn must_fit(&self, buf: &[u8], end: usize) -> Scanned<()> {
        let limit = self.limits.max_frame;
        if end > limit {
            let announced = end as u64;
            return Err(ProtocolError::new(Kind::FrameTooLarge { announced, limit }, buf, self.at));
        }
        Ok(())
    }

    #[inline]
    fn visit(&mut self, _bytes: usize) {
        #[cfg(test)]
        {
            self.visited += _bytes;
        }
    }
}

enum Length {
    /// The announced length or count, and the offset behind the header.
    Of(u64, usize),
    /// RESP2's `$-1` or `*-1`, up to this offset.
    Null(usize),
    Cut,
}

#[cold]
fn bad_length(buf: &[u8], offset: usize) -> ProtocolError {
    ProtocolError::new(Kind::Expected("a decimal length and CRLF"), buf, offset)
}

fn within(announced: u64, limit: usize) -> Option<usize> {
    usize::try_from(announced).ok().filter(|&n| n <= limit)
}

#[cfg(test)]
mod tests;
