//! The client against a real server. One binary, one module a subject; each test starts a server of its own, so that it can be killed.

mod basics;
mod outages;
mod process;
