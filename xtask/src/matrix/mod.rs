//! `cargo xtask matrix`: every form of every typed command against each server at hand, and the table of it in `docs/commands.md`.
//!
//! What is sent and what counts as an answer is decided in `crates/client/tests/matrix`, how the table looks in `table`; here is only
//! which servers are asked, and whether the table is written or compared.

mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use self::table::Table;
use crate::{servers, setup, sh};

const FILE: &str = "docs/commands.md";
const LINES: &str = "target/matrix";

/// Runs it; with `--write` the table is written, otherwise compared.
///
/// # Errors
/// As [`check`]; with `--write`, if a server is missing.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let servers = servers::at_hand()?;
    match args {
        [] => check(&servers),
        [flag] if flag == "--write" => {
            let table = Table::of(&lines(&servers)?)?;
            // A table of fewer would look as if the others had been dropped.
            let committed = Table::committed(FILE)?;
            let missing = committed.servers_missing_in(&table);
            if !missing.is_empty() {
                bail!("{} missing: cargo xtask servers", missing.join(", "));
            }
            fs::write(FILE, table.to_string()).with_context(|| format!("cannot write {FILE}"))
        }
        _ => bail!("matrix takes --write, or nothing"),
    }
}

/// That each form is answered by each of these servers as it should be, and that the table says so.
///
/// # Errors
/// A form went wrong on some server, there is none, or the table says something else.
pub(crate) fn check(servers: &[PathBuf]) -> Result<()> {
    let wrong = Table::committed(FILE)?.differences(&Table::of(&lines(servers)?)?);
    wrong.iter().for_each(|line| eprintln!("{line}"));
    if !wrong.is_empty() {
        bail!("{FILE} says something else in {} places: cargo xtask matrix --write", wrong.len());
    }
    Ok(())
}

/// What came of it, a line each server, protocol and method.
fn lines(servers: &[PathBuf]) -> Result<String> {
    if servers.is_empty() {
        bail!("there is no server: cargo xtask setup");
    }
    fs::create_dir_all(LINES)?;
    let mut lines = String::new();
    for (index, server) in servers.iter().enumerate() {
        let path = std::path::absolute(Path::new(LINES).join(index.to_string()))?;
        sh::run(
            sh::cargo(&["test", "--package", "redial", "--test", "matrix"])
                .env(setup::SERVER_VARIABLE, server)
                .env("REDIAL_MATRIX", &path),
        )
        .with_context(|| format!("with {}", server.display()))?;
        lines += &fs::read_to_string(&path)?;
    }
    Ok(lines)
}
