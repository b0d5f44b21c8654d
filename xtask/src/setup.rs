//! What the project needs of a machine, how it is found, and what installs it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::package_manager::{self, Package};
use crate::{servers, sh};

/// Names a server program other than the one in `PATH`; the tests read it too.
pub(crate) const SERVER_VARIABLE: &str = "REDIAL_SERVER";

const REDIS: Package = Package {
    name: "redis-server",
    why: "by the drills and the tests, which run real servers (never as a system service)",
    // Where Redis left a distribution over its licence, Valkey took its place.
    names: &[
        ("apt-get", &["redis-server"]),
        ("dnf", &["redis", "valkey"]),
        ("pacman", &["valkey", "redis"]),
        ("apk", &["redis", "valkey"]),
        ("zypper", &["redis", "valkey"]),
        ("brew", &["redis"]),
    ],
    service: Some("redis-server"),
};

const IOREDIS: &str = "drills/adapters/ioredis";

/// Everything, optional things too.
pub(crate) fn everything() -> Result<()> {
    for_checks()?;
    if server()?.is_none() {
        eprintln!("no redis-server, and no way known to install one here: only hermetic tests run");
    }
    if cfg!(unix)
        && let Err(error) = servers::bring()
    {
        eprintln!("{error:#}: nothing is tested with these versions");
    }
    if node().is_none() {
        eprintln!(
            "node is not there: drills run without ioredis for comparison (Node.js 20 or later)"
        );
    } else {
        ioredis()?;
    }
    for (there, what) in [
        (nextest(), "cargo-nextest is not there: `cargo test` runs the tests, more slowly"),
        (deny(), "cargo-deny is not there: licences and advisories are not checked"),
        (fuzz().is_ok(), "no nightly with cargo-fuzz: the decoder is tested by properties only"),
    ] {
        if !there {
            eprintln!("{what}");
        }
    }
    eprintln!("set up");
    Ok(())
}

/// The parts of the toolchain that a minimal installation leaves out.
pub(crate) fn for_checks() -> Result<()> {
    for (component, command) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if sh::works(&mut sh::cargo(&[command, "--version"])) {
            continue;
        }
        eprintln!("{component} is missing; it is needed to check the source");
        if sh::find("rustup").is_none() {
            bail!("there is no rustup to install {component}; install it as cargo was installed");
        }
        sh::run(&mut sh::program("rustup", &["component", "add", component]))?;
    }
    Ok(())
}

/// The server program, installed if need be. `None` only where drills can't run anyway.
pub(crate) fn server() -> Result<Option<PathBuf>> {
    if let Some(named) = env::var_os(SERVER_VARIABLE) {
        let named = PathBuf::from(named);
        return match named.components().count() {
            _ if named.is_file() => Ok(Some(named.canonicalize()?)),
            1 if sh::find(&named.to_string_lossy()).is_some() => Ok(Some(named)),
            _ => bail!("{SERVER_VARIABLE} is {}, which is no file", named.display()),
        };
    }
    if let Some(server) = server_in_path() {
        return Ok(Some(server));
    }
    if !cfg!(target_os = "linux") && sh::find("brew").is_none() {
        return Ok(None);
    }
    package_manager::install(&REDIS)?;
    match server_in_path() {
        Some(server) => Ok(Some(server)),
        None => bail!("redis-server was installed and still is not in PATH"),
    }
}

fn server_in_path() -> Option<PathBuf> {
    ["redis-server", "valkey-server"].into_iter().find_map(sh::find)
}

/// The node program, if npm is there with it.
pub(crate) fn node() -> Option<PathBuf> {
    sh::find("npm").and_then(|_| sh::find("node"))
}

/// What the adapter of ioredis needs, from its lock file.
pub(crate) fn ioredis() -> Result<()> {
    if Path::new(IOREDIS).join("node_modules/ioredis/package.json").is_file() {
        return Ok(());
    }
    eprintln!("ioredis is missing; it is the client that redial is drilled beside");
    sh::run(&mut sh::program("npm", &["ci", "--no-audit", "--no-fund", "--prefix", IOREDIS]))
}

pub(crate) fn nextest() -> bool {
    sh::works(&mut sh::cargo(&["nextest", "--version"]))
}

pub(crate) fn deny() -> bool {
    sh::works(&mut sh::cargo(&["deny", "--version"]))
}

/// Whether there is a nightly toolchain with cargo-fuzz, or which of the two is missing.
pub(crate) fn fuzz() -> Result<(), &'static str> {
    // By way of rustup's cargo: only that one knows `+nightly`.
    if !sh::works(&mut sh::program("cargo", &["+nightly", "--version"])) {
        return Err("there is no nightly toolchain (rustup toolchain install nightly)");
    }
    if !sh::works(&mut sh::program("cargo", &["+nightly", "fuzz", "--version"])) {
        return Err("there is no cargo-fuzz (cargo install cargo-fuzz)");
    }
    Ok(())
}
