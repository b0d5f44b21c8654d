//! An error that the server answered: its code and its text.
//!
//! Which codes there are, and what follows from them, is decided elsewhere.

use std::borrow::Cow;
use std::fmt;

/// An error reply, still in its frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    text: &'a [u8],
}

impl<'a> ErrorReply<'a> {
    /// The error with this text: what stands behind the `-`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// The first word, such as `READONLY`; empty where it is not UTF-8.
    pub fn code(&self) -> &'a str {
        let end = code_end(self.text);
        std::str::from_utf8(&self.text[..end]).unwrap_or_default()
    }

    /// What stands behind the first word.
    pub fn message(&self) -> Cow<'a, str> {
        let start = code_end(self.text) + 1;
        String::from_utf8_lossy(self.text.get(start..).unwrap_or_default())
    }

    /// The whole text.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }
}

impl From<ErrorReply<'_>> for ServerError {
    fn from(reply: ErrorReply<'_>) -> Self {
        Self::new(String::from_utf8_lossy(reply.text))
    }
}

impl fmt::Debug for ErrorReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorReply(\"{}\")", self.text.escape_ascii())
    }
}

impl fmt::Display for ErrorReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.text))
    }
}

/// An error that the server answered, owned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerError {
    text: Box<str>,
}

impl ServerError {
    /// The error with this text, code and message.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into().into_boxed_str() }
    }

    /// The first word, such as `WRONGTYPE`.
    pub fn code(&self) -> &str {
        &self.text[..code_end(self.text.as_bytes())]
    }

    /// What stands behind the first word.
    pub fn message(&self) -> &str {
        self.text.get(code_end(self.text.as_bytes()) + 1..).unwrap_or_default()
    }

    /// The whole text, as the server sent it (what is not UTF-8 replaced).
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ServerError {}

fn code_end(text: &[u8]) -> usize {
    memchr::memchr(b' ', text).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_first_word_and_the_message_the_rest() {
        for (text, code, message) in [
            ("WRONGTYPE Operation against a key", "WRONGTYPE", "Operation against a key"),
            ("NOAUTH", "NOAUTH", ""),
            ("ERR ", "ERR", ""),
            ("", "", ""),
        ] {
            let reply = ErrorReply::new(text.as_bytes());
            assert_eq!((reply.code(), &*reply.message()), (code, message));
            let owned = ServerError::from(reply);
            assert_eq!((owned.code(), owned.message(), owned.text()), (code, message, text));
            assert_eq!(owned.to_string(), text);
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_shown_as_far_as_it_can_be() {
        let reply = ErrorReply::new(b"E\xff bad \xfe");
        assert_eq!(reply.code(), "");
        assert_eq!(reply.message(), "bad \u{fffd}");
        assert_eq!(ServerError::from(reply).code(), "E\u{fffd}");
    }
}
