//! The namespaces that the process moves into, and why it may not.
//!
//! Owns what is made once in a process: the namespaces, the scratch file system, the client's name
//! resolution and the warden. What a single lab is made of is in `lab`.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::OnceLock;

use super::{forbidden, place, scratch, sys, warden};
use crate::LabError;

/// What [`enter`] leaves for the labs.
pub(super) struct Session {
    /// The root of a file system that has no place in the tree: it is gone with the process.
    pub(super) scratch: File,
    /// Why names can't be resolved on the client's host, if so.
    pub(super) no_names: Option<String>,
    /// Open for as long as this process lives; its closing is what the warden waits for.
    _alive: OwnedFd,
}

static SESSION: OnceLock<Session> = OnceLock::new();

/// The session, if [`enter`] was called.
pub(super) fn session() -> Result<&'static Session, LabError> {
    SESSION.get().ok_or(LabError::NotEntered)
}

/// Moves the process into namespaces of its own (network, mount, and without root a user
/// namespace), in which labs can be made.
///
/// To be called first thing in `main`, while the process has one thread. Afterwards the process has
/// no network but its labs; its unix sockets and files are as before, except that
/// `/etc/resolv.conf` and `/etc/nsswitch.conf` are the lab's. A small child process is left waiting,
/// that kills whatever the lab started if this process ends in any way. Calling it again does
/// nothing.
///
/// # Errors
/// [`LabError::Forbidden`] where the system forbids it, with what forbids it and what to do;
/// [`LabError::System`] if the process has more than one thread already.
pub fn enter() -> Result<(), LabError> {
    if SESSION.get().is_some() {
        return Ok(());
    }
    let threads = std::fs::read_dir("/proc/self/task").map_err(doing("read /proc"))?.count();
    if threads != 1 {
        return Err(LabError::System {
            doing: format!("enter the lab: the process has {threads} threads already"),
            source: io::Error::other("call redial_lab::enter() first thing in main"),
        });
    }
    let outside = warden::mount_namespace("self").map_err(doing("read /proc/self/ns/mnt"))?;
    make_namespaces().map_err(|error| forbidden::namespaces(&error))?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    sys::mount(c"none", c"/", c"", private, c"").map_err(|error| forbidden::namespaces(&error))?;
    let (scratch, no_names) = scratch::make().map_err(|error| forbidden::namespaces(&error))?;
    place::open_tun(&scratch)?; // so that it is known now, and not when the first lab starts
    let alive = warden::start(&outside).map_err(doing("start the lab's warden"))?;
    let _ = SESSION.set(Session { scratch, no_names, _alive: alive });
    Ok(())
}

fn make_namespaces() -> io::Result<()> {
    let (user, group) = sys::user_and_group();
    let own = libc::CLONE_NEWNET | libc::CLONE_NEWNS;
    if user == 0 && sys::unshare(own).is_ok() {
        return Ok(());
    }
    // Also for a root that has lost its capabilities, as in most containers.
    sys::unshare(libc::CLONE_NEWUSER | own)?;
    // The same ids inside: a program under test finds itself the user that started it. The kernel
    // takes a group map of an unprivileged process only where setgroups is denied before.
    std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Names what was attempted when the system refused.
pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
    move |source| LabError::System { doing: what.into(), source }
}

/// A path as the system calls want it.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
