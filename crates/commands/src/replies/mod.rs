//! Replies that have a shape of their own.
//!
//! Each is read from both protocols: what is a map in RESP3 is an array of names and values in RESP2.

mod fields;
mod scan;
mod text;

pub use self::scan::ScanPage;
pub use self::text::{LcsMatch, LcsMatches};
