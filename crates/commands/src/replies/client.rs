//! Connections, as CLIENT LIST and CLIENT INFO tell of them.

use redial_resp::{DecodeError, Element, FromReply};

/// What the server knows of a connection. Which fields there are depends on its version: look them up with [`ClientInfo::get`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo(Vec<(String, String)>);

impl ClientInfo {
    /// A field, such as `addr`, `name`, `flags`, `cmd`.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == field);
        found.map(|(_, value)| value.as_str())
    }

    /// The connection's number.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.get("id")?.parse().ok()
    }

    /// All fields in the server's order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn from_line(line: &str) -> Self {
        // No value has a space in it: the server refuses names that would.
        let fields = line.split(' ').filter_map(|field| field.split_once('='));
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl FromReply for ClientInfo {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_line(String::from_reply(reply)?.trim_end()))
    }

    /// A line each.
    fn vec_from_reply(reply: Element<'_>) -> Result<Vec<Self>, DecodeError> {
        Ok(String::from_reply(reply)?.lines().map(Self::from_line).collect())
    }
}
