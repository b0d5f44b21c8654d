//! The warden: a child process that outlives the drill by a moment and kills what it left.
//!
//! `PR_SET_PDEATHSIG` takes a server along when the drill dies, but not what a program under test
//! has started in turn (`npm start` → `node`). All of them are in the drill's mount namespace, and
//! nothing else is.

use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::sys;

/// Forks the warden. It acts when the returned descriptor is closed, as it is by any end of this
/// process. `outside` is the mount namespace that this process came from.
pub(super) fn start(outside: &Path) -> io::Result<OwnedFd> {
    let inside = mount_namespace("self")?;
    if inside == outside {
        // Otherwise the warden would take the whole system for what the drill left.
        return Err(io::Error::other("the mount namespace is the system's own"));
    }
    let (ended, alive) = sys::pipe()?;
    // The child's copy of `alive` would keep the pipe open for ever, so it closes it first.
    let mut alive = Some(alive);
    sys::fork(|| {
        drop(alive.take());
        watch(ended, &inside);
    })?;
    alive.ok_or_else(|| io::Error::other("the warden took the pipe"))
}

fn watch(ended: OwnedFd, inside: &Path) {
    if sys::detach_from_terminal().is_err() {
        return;
    }
    let _ = fs::write("/proc/self/comm", "redial-warden");
    let mut nothing = [0];
    let _ = fs::File::from(ended).read(&mut nothing);
    // A process may fork while it is being killed: look again until none is left.
    for _ in 0..100 {
        if kill_all_in("mnt", inside) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills every process but this one that is in the namespace. Returns how many there were.
pub(super) fn kill_all_in(kind: &str, namespace: &Path) -> usize {
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            fs::read_link(format!("/proc/{pid}/ns/{kind}")).is_ok_and(|link| link == namespace)
        })
        .filter(|pid| sys::signal(*pid, libc::SIGKILL).is_ok())
        .count()
}

/// The identity of a process's mount namespace.
pub(super) fn mount_namespace(process: &str) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/mnt"))
}
