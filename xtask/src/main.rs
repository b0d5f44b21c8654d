//! `cargo xtask`: set-up, drills and the tests that CI runs.
//!
//! This file owns the words on the command line and the exit status. What is installed is decided in
//! `setup`, what is tested in `test`.

mod codegen;
mod drill;
mod matrix;
mod package_manager;
mod servers;
mod setup;
mod sh;
mod steps;
mod suites;
mod test;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
Usage: cargo xtask COMMAND

  setup           Install what is missing, saying first what and why: redis-server, rustfmt,
                  clippy, the servers below, and where node is there, the ioredis adapter
  servers         Bring other server versions into .servers/, for tests against each
  drill [ARGS]    Run the power-off drill with redial, and beside it with ioredis where node is
                  there; ARGS are those of `redial drill`
  test [--fast]   Set up, and run everything CI runs; --fast leaves out what needs servers,
                  namespaces or minutes; --server all (or a folder of .servers/) only runs what the
                  library is tested with on servers
  matrix          Send every form of every typed command to each server at hand, and compare what
                  came of it with docs/commands.md; --write writes that file
  tidy            Only the checks of conventions
  codegen         Make the typed commands and the core's table out of crates/commands/commands.json and
                  overrides.toml; --servers asks the servers at hand first what commands they have,
                  --check only compares
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<ExitCode> {
    // Every path below is relative to the repository, wherever it was called from.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::set_current_dir(&root)?;

    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    match (command, rest) {
        ("drill", rest) => return drill::run(rest),
        ("codegen", rest) => codegen::run(rest)?,
        ("setup", []) => setup::everything()?,
        ("servers", []) => servers::bring()?,
        ("matrix", rest) => matrix::run(rest)?,
        ("tidy", []) => tidy::check()?,
        ("test", []) => test::run(test::Extent::All)?,
        ("test", [flag, named]) if flag == "--server" => test::run_servers(named)?,
        ("test", [flag]) if flag == "--fast" => test::run(test::Extent::Fast)?,
        ("help" | "-h" | "--help", _) => print!("{HELP}"),
        _ => bail!("`{}` is not understood\n\n{HELP}", args.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}
