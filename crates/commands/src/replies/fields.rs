//! Named fields of a reply: a map, or an array of names and values.

use redial_resp::{Bytes, DecodeError, Element, Frame, FromReply, Value};

/// The fields of one reply, looked up by name. This is what `#[derive(FromReply)]` reads from, for types that it does not fit.
#[derive(Debug)]
pub struct Fields<'a> {
    reply: Element<'a>,
    fields: Vec<(&'a [u8], Element<'a>)>,
}

impl<'a> Fields<'a> {
    /// Reads names and values.
    ///
    /// # Errors
    /// The reply is no map, and no array of names and values; or it is an error.
    pub fn of(reply: &Element<'a>) -> Result<Self, DecodeError> {
        let wanted = || DecodeError::mismatch("a map", reply);
        let mut elements =
            reply.elements().filter(|e| e.len().is_multiple_of(2)).ok_or_else(wanted)?;
        let mut fields = Vec::with_capacity(elements.len() / 2);
        while let (Some(name), Some(value)) = (elements.next(), elements.next()) {
            fields.push((name.text().ok_or_else(wanted)?, value));
        }
        Ok(Self { reply: reply.clone(), fields })
    }

    /// Whether there are none at all: null, or what HGETALL answers where there is no key.
    #[must_use]
    pub fn are_missing(reply: &Element<'_>) -> bool {
        matches!(reply.value(), Value::Null) || reply.elements().is_some_and(|e| e.len() == 0)
    }

    fn find(&self, name: &str) -> Option<Element<'a>> {
        let found = self.fields.iter().find(|(known, _)| *known == name.as_bytes());
        found.map(|(_, value)| value.clone())
    }

    /// A field; one that is missing is taken as null, which fits an `Option`.
    ///
    /// # Errors
    /// It is missing, or does not fit the type.
    pub fn get<T: FromReply>(&self, name: &str) -> Result<T, DecodeError> {
        if let Some(value) = self.find(name) {
            return T::from_reply(value);
        }
        let null = Frame::from_scanned(Bytes::from_static(b"_\r\n"));
        null.decode().map_err(|_| {
            DecodeError::mismatch(format!("a map with the field `{name}`"), &self.reply)
        })
    }

    /// A field, or what its type has for one that is missing.
    ///
    /// # Errors
    /// It does not fit the type.
    pub fn get_or_default<T: FromReply + Default>(&self, name: &str) -> Result<T, DecodeError> {
        self.find(name).map_or_else(|| Ok(T::default()), T::from_reply)
    }
}
