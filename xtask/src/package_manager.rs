//! Installing a system package: by whichever package manager is there, as whoever we are.
//!
//! What is needed, and why, is said by the caller.

use std::io::IsTerminal as _;

use anyhow::{Result, anyhow, bail};

use crate::sh;

/// Something that package managers know by different names.
#[derive(Debug)]
pub(crate) struct Package {
    /// What a person calls it.
    pub(crate) name: &'static str,
    /// Completes "NAME is missing; it is needed …".
    pub(crate) why: &'static str,
    /// For each package manager the names to try, in this order.
    pub(crate) names: &'static [(&'static str, &'static [&'static str])],
    /// The service that comes with it on Debian, which is kept from running.
    pub(crate) service: Option<&'static str>,
}

/// A package manager's program, and how it installs without asking.
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    needs_root: bool,
}

const fn as_root(program: &'static str, install: &'static [&'static str]) -> Manager {
    Manager { program, install, needs_root: true }
}

const MANAGERS: &[Manager] = &[
    // A script: Debian starts services that it installs, and must be told not to.
    as_root("apt-get", &["sh", "xtask/src/apt-install.sh"]),
    as_root("dnf", &["dnf", "install", "-y"]),
    as_root("pacman", &["pacman", "-Sy", "--needed", "--noconfirm"]),
    as_root("apk", &["apk", "add"]),
    as_root("zypper", &["zypper", "--non-interactive", "install"]),
    Manager { program: "brew", install: &["brew", "install"], needs_root: false },
];

/// Installs it, showing what is run.
///
/// # Errors
/// If there is no package manager or no right to use it: then the message has the command to run.
pub(crate) fn install(package: &Package) -> Result<()> {
    let Package { name, why, .. } = package;
    eprintln!("{name} is missing; it is needed {why}");
    let found = MANAGERS.iter().find(|manager| sh::find(manager.program).is_some());
    let Some(manager) = found else {
        bail!(
            "no package manager that is known here: install {name} by hand, so that it is in PATH"
        );
    };
    let prefix = prefix(manager)?;
    let mut last = anyhow!("{} is not known to have {name}", manager.program);
    for words in commands(manager, package) {
        let Some(prefix) = prefix else {
            bail!(
                "not root, and no sudo that works here: run as root, in this repository\n  {}",
                words.join(" ")
            );
        };
        let words = [prefix, &words].concat();
        let (program, args) = words.split_first().ok_or_else(|| anyhow!("an empty command"))?;
        match sh::run(&mut sh::program(program, args)) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last.context(format!("could not install {name}")))
}

/// The commands to try, until one succeeds.
fn commands(manager: &Manager, package: &Package) -> Vec<Vec<&'static str>> {
    let known = package.names.iter().find(|(program, _)| *program == manager.program);
    let names = known.map_or(&[][..], |(_, names)| names);
    let service = package.service.filter(|_| manager.program == "apt-get");
    names
        .iter()
        .map(|name| manager.install.iter().copied().chain([*name]).chain(service).collect())
        .collect()
}

/// What goes before a command that wants root; `None` if there is no way.
fn prefix(manager: &Manager) -> Result<Option<&'static [&'static str]>> {
    let root = !manager.needs_root || sh::output(&mut sh::program("id", &["-u"]))?.trim() == "0";
    Ok(if root {
        Some(&[])
    } else if sh::works(&mut sh::program("sudo", &["-n", "true"])) {
        Some(&["sudo", "-n"])
    } else if sh::find("sudo").is_some() && std::io::stdin().is_terminal() {
        Some(&["sudo"]) // asks for the password at the terminal itself
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS: Package = Package {
        name: "redis-server",
        why: "here",
        names: &[("apt-get", &["redis-server"]), ("dnf", &["redis", "valkey"])],
        service: Some("redis-server"),
    };

    fn shown(program: &str) -> Vec<String> {
        let manager = MANAGERS.iter().find(|m| m.program == program).unwrap();
        commands(manager, &REDIS).iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn every_name_that_a_package_has_is_tried_and_debian_is_told_the_service() {
        assert_eq!(shown("dnf"), ["dnf install -y redis", "dnf install -y valkey"]);
        assert_eq!(shown("apt-get"), ["sh xtask/src/apt-install.sh redis-server redis-server"]);
        assert_eq!(shown("brew"), [""; 0]);
    }
}
