//! Named fields of a reply: a map, or an array of names and values.

use redial_resp::{DecodeError, Element, FromReply};

/// The fields of one reply, looked up by name. What a server does not say is null: older ones say less.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    reply: Element<'a>,
    fields: Vec<(&'a [u8], Element<'a>)>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(reply: &Element<'a>) -> Result<Self, DecodeError> {
        let wanted = || DecodeError::mismatch("a map", reply);
        let mut elements =
            reply.elements().filter(|e| e.len().is_multiple_of(2)).ok_or_else(wanted)?;
        let mut fields = Vec::with_capacity(elements.len() / 2);
        while let (Some(name), Some(value)) = (elements.next(), elements.next()) {
            fields.push((name.text().ok_or_else(wanted)?, value));
        }
        Ok(Self { reply: reply.clone(), fields })
    }

    fn find(&self, name: &str) -> Option<Element<'a>> {
        let found = self.fields.iter().find(|(known, _)| *known == name.as_bytes());
        found.map(|(_, value)| value.clone())
    }

    /// A field that every server says.
    pub(crate) fn get<T: FromReply>(&self, name: &str) -> Result<T, DecodeError> {
        match self.find(name) {
            Some(value) => T::from_reply(value),
            None => {
                Err(DecodeError::mismatch(format!("a map with the field `{name}`"), &self.reply))
            }
        }
    }

    /// A field that may be missing or null.
    pub(crate) fn maybe<T: FromReply>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        self.find(name).map_or(Ok(None), Option::from_reply)
    }
}
