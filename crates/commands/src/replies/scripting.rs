//! Libraries of functions.

use redial_resp::{DecodeError, Element, FromReply};

use super::fields::Fields;

/// A library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionLibrary {
    /// Its name.
    pub name: String,
    /// What runs it, `LUA`.
    pub engine: String,
    /// Its functions.
    pub functions: Vec<Function>,
    /// Its code, if that was asked for.
    pub code: Option<String>,
}

/// A function of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What its author says of it.
    pub description: Option<String>,
    /// What it may do, such as `no-writes`.
    pub flags: Vec<String>,
}

impl FromReply for FunctionLibrary {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self {
            name: fields.get("library_name")?,
            engine: fields.get("engine")?,
            functions: fields.get("functions")?,
            code: fields.get("library_code")?,
        })
    }
}

impl FromReply for Function {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self {
            name: fields.get("name")?,
            description: fields.get("description")?,
            flags: fields.get("flags")?,
        })
    }
}
