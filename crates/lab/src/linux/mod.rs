//! The lab on Linux.

mod lab;
mod server;

pub use lab::{Lab, enter};
pub use server::Server;
