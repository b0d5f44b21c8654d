//! A file system of the process's own that has no place in the tree: the servers' directories lie
//! in it, so nothing is left on a disk however the process ends.
//!
//! While it is still attached, the files by which programs resolve names are bound over the system's
//! (a bind mount's source must be in the tree). Both are seen in our mount namespace only.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::enter::c_path;
use super::sys;
use super::wire::NAME_SERVER;

/// Only for the moments until it is detached again, and only in our mount namespace.
const MOUNT_POINT: &str = "/tmp";

/// Makes the file system. Returns its root, and why names can't be resolved if so.
pub(super) fn make() -> io::Result<(File, Option<String>)> {
    let point = c_path(Path::new(MOUNT_POINT))?;
    let flags = libc::MS_NOSUID;
    sys::mount(c"redial-lab", &point, c"tmpfs", flags, c"mode=0700")?;
    let made = File::open(MOUNT_POINT)
        .map(|root| (root, redirect_names().err().map(|error| error.to_string())));
    sys::unmount_lazily(&point)?;
    made
}

/// The same path for other processes.
pub(super) fn seen_from_outside(root: &File, inside: &Path) -> PathBuf {
    let below = inside.strip_prefix(path(root)).unwrap_or(inside);
    path_from_outside(root).join(below)
}

/// The way to the file system for this process, as long as its root is open.
pub(super) fn path(root: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()))
}

/// The way to it for other processes of ours.
fn path_from_outside(root: &File) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), root.as_raw_fd()))
}

fn redirect_names() -> io::Result<()> {
    cover(
        "/etc/resolv.conf",
        &format!("nameserver {NAME_SERVER}\noptions timeout:1 attempts:2\n"),
    )?;
    if let Ok(switch) = fs::read_to_string("/etc/nsswitch.conf") {
        cover("/etc/nsswitch.conf", &plain_hosts(&switch))?;
    }
    // A caching daemon answers over a unix socket, past the namespace, out of the system's names.
    for socket in ["/run/nscd/socket", "/var/run/nscd/socket"] {
        if Path::new(socket).exists() {
            cover(socket, "")?;
        }
    }
    Ok(())
}

/// Binds a file with this content over another.
fn cover(path: &str, content: &str) -> io::Result<()> {
    let of = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
    let file = Path::new(MOUNT_POINT).join(path.replace('/', "_"));
    fs::write(&file, content).map_err(of)?;
    // Readable for whatever user a program under test changes to.
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(of)?;
    let (source, target) = (c_path(&file)?, c_path(Path::new(path))?);
    sys::mount(&source, &target, c"", libc::MS_BIND, c"").map_err(of)
}

/// The same `nsswitch.conf` with hosts from files and DNS only: `resolve` asks systemd's daemon, which
/// is outside of the namespace and takes its answer for final.
fn plain_hosts(switch: &str) -> String {
    let mut plain: String = switch
        .lines()
        .filter(|line| !line.trim_start().starts_with("hosts:"))
        .flat_map(|line| [line, "\n"])
        .collect();
    plain.push_str("hosts: files dns\n");
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_line_of_nsswitch_is_replaced() {
        let system =
            "passwd: files systemd\nhosts: files resolve [!UNAVAIL=return] dns\nnetworks: files";
        assert_eq!(
            plain_hosts(system),
            "passwd: files systemd\nnetworks: files\nhosts: files dns\n"
        );
    }
}
