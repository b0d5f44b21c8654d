//! RESP2 and RESP3 on the wire, and nothing else.
//!
//! This crate finds the end of a frame ([`Scanner`]), decodes a found frame lazily and without
//! copying ([`Frame`], [`Value`], [`FromReply`]), and encodes a command as it is built ([`Command`]), within [`Limits`].
//!
//! It does not decide what a command means, which reply belongs to which command, when to read
//! or what to do after an error; it does no I/O and keeps no clock.
//!
//! ```
//! use redial_resp::{Bytes, Command, Frame, Limits, Scanner};
//!
//! let mut get = Command::new("GET");
//! get.push_arg(b"colour");
//! assert_eq!(get.as_contiguous(), Some(&b"*2\r\n$3\r\nGET\r\n$6\r\ncolour\r\n"[..]));
//!
//! let mut scanner = Scanner::new(Limits::default());
//! let mut read = Bytes::from_static(b"$4\r\nblue\r\n+OK\r\n");
//! let end = scanner.scan(&read)?.expect("the first reply is complete");
//! let frame = Frame::from_scanned(read.split_to(end));
//! assert_eq!(frame.decode::<String>()?, "blue");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decimal;
mod decode;
mod encode;
mod error;
mod frame;
mod limits;
mod pieces;
mod read;
mod scan;
mod server_error;
mod value;
mod wire;

pub use bytes::Bytes;

pub use crate::decimal::Int;
pub use crate::decode::{DecodeError, FromReply, Mismatch, OwnedValue};
pub use crate::encode::{Command, LARGE_ARG, MAX_ARG, MAX_ARGS, TooLarge};
pub use crate::error::{ProtocolError, ProtocolErrorKind};
pub use crate::frame::Frame;
pub use crate::limits::{Limits, MAX_DEPTH};
pub use crate::pieces::{Args, Piece, Pieces};
pub use crate::scan::Scanner;
pub use crate::server_error::{ErrorReply, ServerError};
pub use crate::value::{Element, Elements, Items, Kind, MIN_SHARED, Pairs, Value};
