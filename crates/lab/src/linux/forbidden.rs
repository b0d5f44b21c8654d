//! Why the system refuses to make a lab, and what to do about it.
//!
//! The kernel's answer is the same `EPERM` for half a dozen causes, so the settings that are known to
//! forbid it are read and named.

use std::fs;
use std::io;
use std::path::Path;

use crate::LabError;

/// The system's settings that bear on namespaces, as far as they can be read.
#[derive(Debug, Default)]
struct Settings {
    root: bool,
    /// `kernel.apparmor_restrict_unprivileged_userns` is on (Ubuntu since 23.10).
    apparmor: bool,
    /// `kernel.unprivileged_userns_clone` is off (Debian's and Arch's hardened kernels).
    no_unprivileged_clone: bool,
    /// A system call filter is active.
    seccomp: bool,
    /// The process runs in a container.
    container: bool,
}

impl Settings {
    fn read() -> Self {
        let setting = |path: &str| fs::read_to_string(path).ok().map(|s| s.trim().to_owned());
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            root: super::sys::user_and_group().0 == 0,
            apparmor: setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
                .is_some_and(|value| value != "0"),
            no_unprivileged_clone: setting("/proc/sys/kernel/unprivileged_userns_clone")
                .is_some_and(|value| value == "0"),
            seccomp: status.lines().any(|line| line.starts_with("Seccomp:") && line.ends_with('2')),
            container: ["/.dockerenv", "/run/.containerenv"].iter().any(|p| Path::new(p).exists())
                || std::env::var_os("container").is_some(),
        }
    }
}

/// The process may not have namespaces of its own.
pub(super) fn namespaces(error: &io::Error) -> LabError {
    explain(error, &Settings::read())
}

fn explain(error: &io::Error, settings: &Settings) -> LabError {
    let (why, remedy) = match error.raw_os_error() {
        Some(libc::ENOSPC) => LIMIT,
        _ => cause(settings),
    };
    LabError::Forbidden {
        what: format!("the drill may not make network namespaces ({error}): {why}"),
        remedy: format!("What to do: {remedy}"),
    }
}

const LIMIT: (&str, &str) = (
    "there may be no more namespaces (user.max_user_namespaces and the like are 0 or used up)",
    "run it with sudo, or raise the limits: sudo sysctl user.max_user_namespaces=15000 \
     user.max_net_namespaces=15000 user.max_mnt_namespaces=15000",
);

/// The likeliest cause first: what is set, before what is only supposed.
fn cause(settings: &Settings) -> (&'static str, &'static str) {
    const CONTAINER: &str = "start the container with --privileged, or with \
        --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined \
        --security-opt apparmor=unconfined --device /dev/net/tun";
    if settings.container || (settings.root && settings.seccomp) {
        return ("the container it runs in does not let it", CONTAINER);
    }
    if settings.root {
        return (
            "this root has not the capability CAP_SYS_ADMIN, as is usual in containers",
            CONTAINER,
        );
    }
    if settings.apparmor {
        return (
            "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)",
            "run it with sudo, or allow them until the next boot: \
             sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        );
    }
    if settings.no_unprivileged_clone {
        return (
            "user namespaces are for root only (kernel.unprivileged_userns_clone=0)",
            "run it with sudo, or: sudo sysctl kernel.unprivileged_userns_clone=1",
        );
    }
    if settings.seccomp {
        return ("a system call filter (seccomp) forbids it", CONTAINER);
    }
    ("the kernel or a security module forbids it to this user", "run it with sudo")
}

/// There is no TUN device to be had.
pub(super) fn tun(error: &io::Error) -> LabError {
    let what = format!("the drill needs TUN devices and cannot open /dev/net/tun ({error})");
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => {
            "What to do: load the kernel module (sudo modprobe tun); in a container, start it with \
             --device /dev/net/tun"
        }
        io::ErrorKind::PermissionDenied if super::sys::user_and_group().0 == 0 => {
            "What to do: start the container with --device /dev/net/tun, or with --privileged"
        }
        io::ErrorKind::PermissionDenied => {
            "What to do: run it with sudo, or let every user open the device, as most systems do: \
             sudo chmod 0666 /dev/net/tun"
        }
        _ => "What to do: see that the kernel has TUN support (CONFIG_TUN)",
    };
    LabError::Forbidden { what, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(settings: &Settings) -> String {
        let error = io::Error::from_raw_os_error(libc::EPERM);
        let refused = explain(&error, settings);
        assert!(refused.is_skip());
        refused.to_string()
    }

    #[test]
    fn each_setting_that_forbids_namespaces_is_named_with_its_remedy() {
        let apparmor = text(&Settings { apparmor: true, ..Settings::default() });
        assert!(apparmor.contains("sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"));
        let debian = text(&Settings { no_unprivileged_clone: true, ..Settings::default() });
        assert!(debian.contains("kernel.unprivileged_userns_clone=1"));
        assert!(text(&Settings::default()).contains("run it with sudo"));
    }

    #[test]
    fn a_used_up_limit_is_named_wherever_it_is_met() {
        let error = io::Error::from_raw_os_error(libc::ENOSPC);
        let text =
            explain(&error, &Settings { container: true, ..Settings::default() }).to_string();
        assert!(text.contains("user.max_user_namespaces=15000"), "{text}");
    }

    #[test]
    fn root_and_containers_are_not_told_to_use_sudo() {
        let docker = Settings { container: true, apparmor: true, ..Settings::default() };
        let bare_root = Settings { root: true, apparmor: true, ..Settings::default() };
        for settings in [docker, bare_root] {
            let text = text(&settings);
            assert!(text.contains("--privileged") && !text.contains("sudo"), "{text}");
        }
    }
}
