//! The values in a frame, read when they are asked for and borrowed from it.
//!
//! Nothing is copied or built here; what a value becomes in the caller's types is decided in
//! `decode`.

use std::fmt;

use bytes::Bytes;

use crate::read::{self, Content, Head};

/// From this size on a value shares the memory of its frame, and so do all elements of a frame of
/// this size; below it is copied.
///
/// A shared value keeps the whole read buffer alive (64 KiB in a typical driver): from 4 KiB on at
/// most sixteen times its own size, for one copy (some 100 ns) saved. An element keeps its whole
/// frame alive: who takes all of them holds hardly more than they are, and pays a counter instead of
/// an allocation for each; who keeps a few of many for long copies those (`Vec<u8>`, `String`).
pub const MIN_SHARED: usize = 4 << 10;

/// One value of a reply, borrowed from its [`Frame`](crate::Frame). Attributes are passed over.
#[derive(Clone)]
pub enum Value<'a> {
    /// `+OK`
    Simple(&'a [u8]),
    /// `-ERR …`, or the same as a RESP3 blob (`!`).
    Error(&'a [u8]),
    /// `:1`
    Integer(i64),
    /// `$3`
    Bulk(&'a [u8]),
    /// `=7`, text with a format such as `txt` or `mkd`.
    Verbatim {
        /// Three bytes that name the format.
        format: &'a [u8],
        /// The text without them.
        text: &'a [u8],
    },
    /// `_`, or RESP2's `$-1` and `*-1`.
    Null,
    /// `#t` or `#f`
    Boolean(bool),
    /// `,1.5`
    Double(f64),
    /// `(123`, an integer of any size as its decimal text.
    BigNumber(&'a [u8]),
    /// `*2`
    Array(Items<'a>),
    /// `~2`
    Set(Items<'a>),
    /// `%1`
    Map(Pairs<'a>),
    /// `>2`, out of band. Inside an array, where EXEC puts the answer to SUBSCRIBE, an array.
    Push(Items<'a>),
    /// Bytes that no [`Scanner`](crate::Scanner) would have passed, from where they go wrong.
    Malformed(&'a [u8]),
}

/// What type a [`Value`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are those of Value")]
pub enum Kind {
    Simple,
    Error,
    Integer,
    Bulk,
    Verbatim,
    Null,
    Boolean,
    Double,
    BigNumber,
    Array,
    Set,
    Map,
    Push,
    Malformed,
}

impl Kind {
    /// The type in words, with its article.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "a simple string",
            Self::Error => "an error",
            Self::Integer => "an integer",
            Self::Bulk => "a bulk string",
            Self::Verbatim => "a verbatim string",
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Double => "a double",
            Self::BigNumber => "a big number",
            Self::Array => "an array",
            Self::Set => "a set",
            Self::Map => "a map",
            Self::Push => "a push",
            Self::Malformed => "malformed bytes",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Value<'_> {
    /// The type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Simple(_) => Kind::Simple,
            Self::Error(_) => Kind::Error,
            Self::Integer(_) => Kind::Integer,
            Self::Bulk(_) => Kind::Bulk,
            Self::Verbatim { .. } => Kind::Verbatim,
            Self::Null => Kind::Null,
            Self::Boolean(_) => Kind::Boolean,
            Self::Double(_) => Kind::Double,
            Self::BigNumber(_) => Kind::BigNumber,
            Self::Array(_) => Kind::Array,
            Self::Set(_) => Kind::Set,
            Self::Map(_) => Kind::Map,
            Self::Push(_) => Kind::Push,
            Self::Malformed(_) => Kind::Malformed,
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Null => write!(f, "Null"),
            Self::Integer(n) => write!(f, "Integer({n})"),
            Self::Double(n) => write!(f, "Double({n})"),
            Self::Boolean(b) => write!(f, "Boolean({b})"),
            Self::Verbatim { text, .. }
            | Self::Simple(text)
            | Self::Error(text)
            | Self::Bulk(text)
            | Self::BigNumber(text)
            | Self::Malformed(text) => write!(f, "{kind:?}(\"{}\")", text.escape_ascii()),
            // Not their elements: malformed bytes may nest without end.
            Self::Array(items) | Self::Set(items) | Self::Push(items) => {
                write!(f, "{kind:?}({} elements)", items.len())
            }
            Self::Map(pairs) => write!(f, "{kind:?}({} pairs)", pairs.len()),
        }
    }
}

/// One value and the place where it stands in its frame.
#[derive(Clone, Debug)]
pub struct Element<'a> {
    source: &'a Bytes,
    start: usize,
    /// Where it ends; of an aggregate, where its elements start.
    next: usize,
    pub(crate) value: Value<'a>,
}

impl<'a> Element<'a> {
    /// Reads the element at `at`, behind its attributes.
    #[inline]
    pub(crate) fn read(source: &'a Bytes, at: usize) -> Self {
        if let Some((text, next)) = read::short_bulk(source, at) {
            return Self { source, start: at, next, value: Value::Bulk(text) };
        }
        let Some(start) = read::behind_attributes(source, at) else {
            return Self::malformed(source, at);
        };
        read::head(source, start)
            .and_then(|head| {
                let next = head.next;
                Some(Self { source, start, next, value: value(source, head)? })
            })
            .unwrap_or_else(|| Self::malformed(source, start))
    }

    #[cold]
    fn malformed(source: &'a Bytes, start: usize) -> Self {
        let rest = source.get(start..).unwrap_or_default();
        Self { source, start, next: source.len(), value: Value::Malformed(rest) }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> Value<'a> {
        self.value.clone()
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.value.kind()
    }

    /// The bytes of a string of any kind, and the digits of a number; `None` for the rest.
    ///
    /// What RESP2 sends as a string is often a number in RESP3: as text they are the same.
    #[inline]
    pub fn text(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Simple(text)
            | Value::Bulk(text)
            | Value::Verbatim { text, .. }
            | Value::BigNumber(text) => Some(text),
            Value::Integer(_) | Value::Double(_) => self.source.get(self.start + 1..self.next - 2),
            _ => None,
        }
    }

    /// The same as [`Bytes`]: from [`MIN_SHARED`] on a slice of the frame, else a copy.
    pub fn to_bytes(&self) -> Option<Bytes> {
        self.text().map(|text| self.share(text))
    }

    /// The wire bytes of this element without its attributes, as a slice of the frame.
    pub fn raw(&self) -> Bytes {
        if self.start == 0 {
            // The whole frame: its end need not be searched.
            return self.source.clone();
        }
        self.source.slice(self.start..self.end().unwrap_or(self.source.len()))
    }

    /// Bytes of this frame on their own.
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        let is_element = self.start > 0;
        if part.len() >= MIN_SHARED || (is_element && self.source.len() >= MIN_SHARED) {
            self.source.slice_ref(part)
        } else {
            Bytes::copy_from_slice(part)
        }
    }

    /// The elements of an aggregate, those of a map as key, value, key, value.
    pub fn elements(&self) -> Option<Elements<'a>> {
        match &self.value {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items.elements()),
            Value::Map(pairs) => Some(pairs.elements()),
            _ => None,
        }
    }

    /// The text of the first error at any depth inside an aggregate.
    pub(crate) fn first_error(&self) -> Option<&'a [u8]> {
        read::first_error(self.source, self.next, self.elements()?.len())
    }

    /// `None` where its elements are malformed.
    #[inline]
    fn end(&self) -> Option<usize> {
        match self.elements() {
            None => Some(self.next),
            Some(elements) => read::skip(self.source, self.next, elements.len()),
        }
    }
}

#[inline]
fn value<'a>(source: &'a Bytes, head: Head) -> Option<Value<'a>> {
    let at = head.next;
    Some(match (head.kind, head.content) {
        (_, Content::Null) => Value::Null,
        (_, Content::Integer(n)) => Value::Integer(n),
        (kind, Content::Elements(left)) => {
            let items = Items { elements: Elements { source, at, left } };
            match kind {
                b'*' => Value::Array(items),
                b'~' => Value::Set(items),
                b'>' => Value::Push(items),
                b'%' => Value::Map(Pairs { elements: items.elements }),
                _ => return None,
            }
        }
        (kind, Content::Text(range)) => {
            let text = source.get(range)?;
            match kind {
                b'+' => Value::Simple(text),
                b'-' | b'!' => Value::Error(text),
                b'$' => Value::Bulk(text),
                b'(' => Value::BigNumber(text),
                b'#' => Value::Boolean(match text {
                    b"t" => true,
                    b"f" => false,
                    _ => return None,
                }),
                b',' => Value::Double(std::str::from_utf8(text).ok()?.parse().ok()?),
                b'=' if text.get(3) == Some(&b':') => {
                    Value::Verbatim { format: &text[..3], text: &text[4..] }
                }
                _ => return None,
            }
        }
    })
}

/// The elements of an aggregate with their places, one after the other.
///
/// Ends early, with [`Value::Malformed`], where the bytes go wrong.
#[derive(Clone)]
pub struct Elements<'a> {
    source: &'a Bytes,
    at: usize,
    left: usize,
}

impl Elements<'_> {
    /// The next element, if it is a short string and shared as [`Element::to_bytes`] would; else nothing happens.
    #[inline]
    pub(crate) fn next_slice(&mut self) -> Option<Bytes> {
        let left = self.left.checked_sub(1)?;
        if self.source.len() < MIN_SHARED {
            return None;
        }
        let (text, next) = read::short_bulk(self.source, self.at)?;
        (self.left, self.at) = (left, next);
        Some(self.source.slice(next - 2 - text.len()..next - 2))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        self.left = self.left.checked_sub(1)?;
        let element = Element::read(self.source, self.at);
        if self.left > 0 {
            match element.end() {
                Some(end) if !matches!(element.value, Value::Malformed(_)) => self.at = end,
                _ => self.left = 0,
            }
        }
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

impl fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elements({} left)", self.left)
    }
}

/// The values of an array, set or push, one after the other.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    elements: Elements<'a>,
}

impl<'a> Items<'a> {
    /// The same with their places in the frame.
    pub fn elements(&self) -> Elements<'a> {
        self.elements.clone()
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.elements.next().map(|element| element.value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.elements.size_hint()
    }
}

impl ExactSizeIterator for Items<'_> {}

/// The entries of a map, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    elements: Elements<'a>,
}

impl<'a> Pairs<'a> {
    /// Keys and values in turn, with their places in the frame.
    pub fn elements(&self) -> Elements<'a> {
        self.elements.clone()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Value<'a>, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let key = self.elements.next()?;
        let value = self.elements.next()?;
        Some((key.value, value.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let pairs = self.elements.left / 2;
        (pairs, Some(pairs))
    }
}

impl ExactSizeIterator for Pairs<'_> {}
