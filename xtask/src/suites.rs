//! Which tests there are, and which of them start real servers; run by nextest or by `cargo test`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{setup, sh};

/// Integration tests that start real servers, by the name of their file in `tests/`. All others are
/// hermetic.
const REAL: &[&str] = &["matrix", "server", "selfcheck", "cli"];

/// The one of them whose outcome is a table: `cargo xtask matrix` runs it.
const MATRIX: &str = "matrix";

/// The integration tests of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Suites {
    hermetic: BTreeSet<String>,
    real: BTreeSet<String>,
}

impl Suites {
    /// Finds `crates/*/tests/NAME.rs` and `crates/*/tests/NAME/main.rs`.
    pub(crate) fn find(crates: &Path) -> Result<Self> {
        let mut names = BTreeSet::new();
        for package in entries(crates)? {
            let tests = package.join("tests");
            if !tests.is_dir() {
                continue;
            }
            for test in entries(&tests)? {
                let is_test = test.join("main.rs").is_file()
                    || test.extension().is_some_and(|extension| extension == "rs");
                if let Some(name) = test.file_stem().filter(|_| is_test) {
                    names.insert(name.to_string_lossy().into_owned());
                }
            }
        }
        let (real, hermetic) = names.into_iter().partition(|name| REAL.contains(&name.as_str()));
        Ok(Self { hermetic, real })
    }

    /// What needs nothing but the source.
    pub(crate) fn run_hermetic(&self) -> Result<()> {
        if setup::nextest() {
            let mut filter = String::from("all()");
            for name in &self.real {
                filter.push_str(&format!(" - binary({name})"));
            }
            let args = ["nextest", "run", "--workspace", "--no-fail-fast", "-E", &filter];
            return sh::run(&mut sh::cargo(&args));
        }
        let mut args = vec!["test", "--workspace", "--no-fail-fast", "--lib", "--bins"];
        args.extend(self.hermetic.iter().flat_map(|name| ["--test", name]));
        sh::run(&mut sh::cargo(&args))
    }

    /// What starts servers: one test at a time, for they measure, and share the machine's cores with
    /// what they measure.
    pub(crate) fn run_real(&self, server: &Path) -> Result<()> {
        let tests = self.real.iter().map(String::as_str).filter(|name| *name != MATRIX);
        self.run_real_of(&["--workspace"], &tests.collect::<Vec<_>>(), server)
    }

    /// The library against one server version.
    pub(crate) fn run_client(&self, server: &Path) -> Result<()> {
        self.run_real_of(&["--package", "redial"], &["server"], server)
    }

    fn run_real_of(&self, packages: &[&str], tests: &[&str], server: &Path) -> Result<()> {
        let nextest = setup::nextest();
        let mut args = if nextest { vec!["nextest", "run", "-j", "1"] } else { vec!["test"] };
        args.push("--no-fail-fast");
        args.extend(packages);
        args.extend(tests.iter().flat_map(|name| ["--test", name]));
        if !nextest {
            args.extend(["--", "--test-threads", "1"]);
        }
        sh::run(sh::cargo(&args).env(setup::SERVER_VARIABLE, server))
    }
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    let paths: std::io::Result<_> = read();
    paths.with_context(|| format!("cannot list {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_with_servers_are_told_from_hermetic_ones() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
        let suites = Suites::find(&crates).unwrap();
        assert!(suites.hermetic.contains("properties"), "{suites:?}");
        let real: Vec<_> = suites.real.iter().map(String::as_str).collect();
        assert_eq!(real, ["cli", "matrix", "selfcheck", "server"]);
    }
}
