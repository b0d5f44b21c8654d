//! RESP2 and RESP3 on the wire, and nothing else.
//!
//! This crate finds the end of a frame ([`Scanner`]), and encodes a command as it is built
//! ([`Command`]), within [`Limits`].
//!
//! It does not decide what a command means, which reply belongs to which command, when to read
//! or what to do after an error; it does no I/O and keeps no clock.

mod decimal;
mod encode;
mod error;
mod limits;
mod pieces;
mod scan;
mod wire;

pub use bytes::Bytes;

pub use crate::decimal::Int;
pub use crate::encode::{Command, LARGE_ARG, MAX_ARG, MAX_ARGS, TooLarge};
pub use crate::error::{ProtocolError, ProtocolErrorKind};
pub use crate::limits::{Limits, MAX_DEPTH};
pub use crate::pieces::{Args, Piece, Pieces};
pub use crate::scan::Scanner;
