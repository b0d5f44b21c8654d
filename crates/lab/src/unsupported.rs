//! The lab where there are no network namespaces: it can be named, and never be made.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::{Child, Command};
use std::time::Duration;

use crate::{FlowInfo, HostId, LabError, LabOptions, Reply, RestartWith, WireStats};

/// Always [`LabError::Unsupported`].
pub fn enter() -> Result<(), LabError> {
    Err(LabError::Unsupported)
}

/// Two servers, the client's host and the wire; Linux only.
#[derive(Debug)]
pub struct Lab(Infallible);

/// One of the lab's servers; Linux only.
#[derive(Debug)]
pub struct Server(Infallible);
