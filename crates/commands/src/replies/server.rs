//! What a server tells of itself: its role, users, logs, modules.

use redial_resp::{DecodeError, Element, FromReply, OwnedValue};

use super::fields::Fields;

/// What ROLE answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoleInfo {
    /// A primary.
    Primary {
        /// How far its data goes, in bytes.
        offset: i64,
        /// Its replicas: host, port, and how far each has acknowledged.
        replicas: Vec<(String, u16, i64)>,
    },
    /// A replica.
    Replica {
        /// The primary's host.
        host: String,
        /// The primary's port.
        port: u16,
        /// `connect`, `connecting`, `sync` or `connected`.
        state: String,
        /// How much it has received, in bytes; -1 if nothing yet.
        offset: i64,
    },
    /// A sentinel, and the names of the primaries that it watches.
    Sentinel(Vec<String>),
}

/// A user's rights.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AclUser {
    /// `on`, `off`, `nopass` and others.
    pub flags: Vec<String>,
    /// Hashes of passwords.
    pub passwords: Vec<String>,
    /// Which commands, as rules.
    pub commands: String,
    /// Which keys, as rules; each for itself, as Redis 6.2 says it, or one text.
    pub keys: OwnedValue,
    /// Which channels, as rules.
    pub channels: OwnedValue,
    /// Further sets of rights; from Redis 7.0.
    pub selectors: Option<OwnedValue>,
}

/// Something that was refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AclLogEntry {
    /// How often.
    pub count: u64,
    /// Why: `command`, `key`, `channel` or `auth`.
    pub reason: String,
    /// Where: `toplevel`, `multi`, `lua`, `module`.
    pub context: String,
    /// Which command, key or channel.
    pub object: String,
    /// The user.
    pub username: String,
    /// How many seconds ago.
    pub age_seconds: f64,
    /// The connection, as CLIENT LIST has it.
    pub client_info: String,
}

/// A command that was slow or large.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedCommand {
    /// The entry's number.
    pub id: u64,
    /// When, as a Unix time in seconds.
    pub at: u64,
    /// How long it took in microseconds; of the logs of large commands how many bytes it had.
    pub amount: u64,
    /// Its arguments; long ones are cut.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub client: String,
    /// The client's name.
    pub client_name: String,
}

/// The latest time that something of a kind was slow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencyEvent {
    /// Which kind.
    pub name: String,
    /// When, as a Unix time in seconds.
    pub at: u64,
    /// How slow, in milliseconds.
    pub latest: u64,
    /// The slowest ever, in milliseconds.
    pub slowest: u64,
}

/// A module that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// Where it was loaded from; from Redis 7.0, empty if it is built in.
    pub path: Option<String>,
}

impl FromReply for RoleInfo {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let wanted = || DecodeError::mismatch("a role", &reply);
        let mut elements = reply.elements().ok_or_else(wanted)?;
        let mut next = || elements.next().ok_or_else(wanted);
        match next()?.text() {
            Some(b"master") => Ok(Self::Primary {
                offset: FromReply::from_reply(next()?)?,
                replicas: Vec::<(String, u16, i64)>::from_reply(next()?)?,
            }),
            Some(b"slave") => Ok(Self::Replica {
                host: FromReply::from_reply(next()?)?,
                port: FromReply::from_reply(next()?)?,
                state: FromReply::from_reply(next()?)?,
                offset: FromReply::from_reply(next()?)?,
            }),
            Some(b"sentinel") => Ok(Self::Sentinel(FromReply::from_reply(next()?)?)),
            _ => Err(wanted()),
        }
    }
}

impl FromReply for AclUser {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self {
            flags: fields.get("flags")?,
            passwords: fields.get("passwords")?,
            commands: fields.get("commands")?,
            keys: fields.get("keys")?,
            channels: fields.get("channels")?,
            selectors: fields.get("selectors")?,
        })
    }
}

impl FromReply for AclLogEntry {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self {
            count: fields.get("count")?,
            reason: fields.get("reason")?,
            context: fields.get("context")?,
            object: fields.get("object")?,
            username: fields.get("username")?,
            age_seconds: fields.get("age-seconds")?,
            client_info: fields.get("client-info")?,
        })
    }
}

impl FromReply for LoggedCommand {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let (id, at, amount, args, client, client_name) = FromReply::from_reply(reply)?;
        Ok(Self { id, at, amount, args, client, client_name })
    }
}

impl FromReply for LatencyEvent {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let wanted = || DecodeError::mismatch("a kind of event and three numbers", &reply);
        // Valkey 9 adds two more.
        let mut elements = reply.elements().ok_or_else(wanted)?;
        let mut next = || elements.next().ok_or_else(wanted);
        Ok(Self {
            name: FromReply::from_reply(next()?)?,
            at: FromReply::from_reply(next()?)?,
            latest: FromReply::from_reply(next()?)?,
            slowest: FromReply::from_reply(next()?)?,
        })
    }
}

impl FromReply for ModuleInfo {
    fn from_reply(reply: Element<'_>) -> Result<Self, DecodeError> {
        let fields = Fields::of(&reply)?;
        Ok(Self {
            name: fields.get("name")?,
            version: fields.get("ver")?,
            path: fields.get("path")?,
        })
    }
}
