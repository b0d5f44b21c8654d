//! The lab on Linux: namespaces, TUN devices, processes.

mod build;
mod certificates;
mod control;
mod enter;
mod forbidden;
mod form;
mod keeper;
mod lab;
mod migrate;
mod place;
mod program;
mod scratch;
mod sentinel;
mod server;
mod sys;
mod warden;
mod wire;

pub use enter::enter;
pub use lab::Lab;
pub use server::Server;
