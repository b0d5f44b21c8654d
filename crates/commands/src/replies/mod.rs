//! Replies that have a shape of their own.
//!
//! Each is read from both protocols: what is a map in RESP3 is an array of names and values in RESP2.

mod client;
mod fields;
mod scan;
mod scripting;
mod server;
mod stream;
mod stream_id;
mod text;

pub use self::client::ClientInfo;
pub use self::fields::Fields;
pub use self::scan::ScanPage;
pub use self::scripting::{Function, FunctionLibrary};
pub use self::server::{AclLogEntry, AclUser, LatencyEvent, LoggedCommand, ModuleInfo, RoleInfo};
pub use self::stream::{
    AutoClaimed, AutoClaimedIds, EntryFields, PendingEntry, PendingSummary, StreamConsumer,
    StreamEntry, StreamGroup, StreamInfo,
};
pub use self::stream_id::StreamId;
pub use self::text::{LcsMatch, LcsMatches};
