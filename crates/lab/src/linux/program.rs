//! The server program: found, and asked for its version, since not every version takes every option.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::LabError;

const NAMES: [&str; 2] = ["redis-server", "valkey-server"];

/// A server program that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    major_version: u32,
}

impl Program {
    /// The given program, or the first of redis-server and valkey-server in `PATH`.
    pub(super) fn find(given: Option<&Path>) -> Result<Self, LabError> {
        if let Some(path) = given {
            return Self::ask(path).map_err(|why| {
                LabError::NoServer(format!(
                    "{} is no server program: {why}. Name the redis-server or valkey-server to use",
                    path.display()
                ))
            });
        }
        for name in NAMES {
            if let Ok(program) = Self::ask(Path::new(name)) {
                return Ok(program);
            }
        }
        Err(LabError::NoServer(
            "there is no redis-server and no valkey-server in PATH. Install the package \
             redis-server (Debian, Ubuntu), redis (Arch, Alpine, Homebrew) or valkey (Fedora, RHEL), \
             or name a program with --server-bin"
                .to_owned(),
        ))
    }

    fn ask(path: &Path) -> Result<Self, String> {
        let output = Command::new(path).arg("--version").output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Self::parse(path, &text)
            .ok_or_else(|| format!("to --version it says {:?}", text.lines().next().unwrap_or("")))
    }

    /// Of `Redis server v=7.0.15 sha=…` or `Valkey server v=8.1.1 sha=…`.
    fn parse(path: &Path, text: &str) -> Option<Self> {
        let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
        let major_version = version.split('.').next()?.parse().ok()?;
        text.contains(" server ").then(|| Self { path: path.to_owned(), major_version })
    }

    /// Whether DEBUG must be enabled by an option, which older servers do not know.
    pub(super) fn guards_debug(&self) -> bool {
        self.major_version >= 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Program> {
        Program::parse(Path::new("x"), text)
    }

    #[test]
    fn a_server_knows_whether_it_guards_debug() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert!(parse(redis).unwrap().guards_debug());
        assert!(!parse("Redis server v=6.2.14 sha=0:0").unwrap().guards_debug());
        assert!(parse("Valkey server v=9.1.0 sha=0:0").unwrap().guards_debug());
    }

    #[test]
    fn a_program_that_is_no_server_is_refused() {
        for text in ["", "ls (GNU coreutils) 9.4\n", "Redis server v=", "v=7.0"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let error = Program::find(Some(Path::new("/bin/true"))).unwrap_err().to_string();
        assert!(error.contains("/bin/true is no server program"), "{error}");
        let error = Program::find(Some(Path::new("/nowhere/redis"))).unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }
}
