//! `cargo xtask drill`: builds the program, runs a drill with redial, and beside it with ioredis.
//!
//! What the flags mean is for `redial drill` to say; only those that matter to running it twice are
//! looked at.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::{setup, sh};

/// What a test runner takes for "skipped"; `redial drill` ends with it where the system forbids drills.
pub(crate) const SKIPPED: u8 = 77;

const BUILD: &[&str] = &["build", "--release", "--package", "redial-cli"];
const RUN: &[&str] = &["run", "--quiet", "--release", "--package", "redial-cli", "--", "drill"];

/// Runs it; the exit status is that of redial's own drill.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let request = Request::new(args);
    if !cfg!(target_os = "linux") && !request.only_asks {
        eprintln!(
            "xtask: a drill runs servers as hosts in network namespaces, which only Linux has. In a \
             virtual machine, WSL 2, or a container with --privileged, it runs on any system"
        );
        return Ok(ExitCode::from(SKIPPED));
    }
    if !request.only_asks && !request.names_server {
        setup::server()?;
    }
    sh::run(&mut sh::cargo(BUILD))?;
    let code = drill(&request.first)?;
    if let Some(beside) = &request.beside
        && ran(code)
        && ioredis_is_there()
    {
        eprintln!("\nThe same with ioredis, with its default options:\n");
        if drill(beside)? == 1 {
            eprintln!("\n(ioredis failed the drill. The exit status of this command is redial's.)");
        }
    }
    Ok(ExitCode::from(code))
}

/// Every drill, short, with redial.
pub(crate) fn all_short() -> Result<u8> {
    sh::run(&mut sh::cargo(BUILD))?;
    drill(&["all", "--seconds", "auto", "--promote-after", "1s"].map(str::to_owned))
}

fn drill(args: &[String]) -> Result<u8> {
    let status = sh::status(sh::cargo(RUN).args(args))?;
    // A signal leaves no code.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Whether there was a drill at all, passed or failed.
fn ran(code: u8) -> bool {
    code <= 1
}

/// Says why not. Missing ioredis is no reason to fail a drill of redial.
fn ioredis_is_there() -> bool {
    if setup::node().is_none() {
        eprintln!("\nnode is not there, so there is no drill of ioredis beside it");
        return false;
    }
    if let Err(error) = setup::ioredis() {
        eprintln!("\nioredis could not be installed, so there is no drill of it beside: {error:#}");
        return false;
    }
    true
}

/// The arguments, and those of the second run if there is to be one.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    first: Vec<String>,
    beside: Option<Vec<String>>,
    /// `--help`, `--list`: nothing will be started.
    only_asks: bool,
    names_server: bool,
}

impl Request {
    fn new(args: &[String]) -> Self {
        let flags = || args.iter().map(String::as_str).take_while(|arg| *arg != "--");
        let has = |name: &str| flags().any(|a| a.split('=').next() == Some(name));
        let only_asks = has("--list") || has("--help") || has("-h");
        let names_client = has("--client") || args.iter().any(|arg| arg == "--");

        let mut first = args.to_vec();
        if !only_asks && args.first().is_none_or(|first| first.starts_with('-')) {
            first.insert(0, "power-off".to_owned());
        }
        // A reader of JSON expects one report.
        let alone = only_asks || names_client || has("--json");
        let beside = (!alone).then(|| {
            let mut args = first.clone();
            rename_page(&mut args);
            args.extend(["--client".to_owned(), "ioredis".to_owned()]);
            args
        });
        Self { first, beside, only_asks, names_server: has("--server-bin") }
    }
}

/// `--html report.html` becomes `report-ioredis.html`, not to overwrite the first.
fn rename_page(args: &mut [String]) {
    for index in 0..args.len() {
        if let Some(file) = args[index].strip_prefix("--html=") {
            args[index] = format!("--html={}", renamed(file));
        } else if args[index] == "--html"
            && let Some(file) = args.get_mut(index + 1)
        {
            *file = renamed(file);
        }
    }
}

fn renamed(file: &str) -> String {
    let path = Path::new(file);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or("html");
    path.with_file_name(format!("{stem}-ioredis.{extension}")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(args: &str) -> (String, Option<String>) {
        let args: Vec<_> = args.split_whitespace().map(str::to_owned).collect();
        let request = Request::new(&args);
        (request.first.join(" "), request.beside.map(|args| args.join(" ")))
    }

    #[test]
    fn without_a_name_it_is_the_power_off_drill_and_ioredis_beside_it() {
        for (args, first) in [
            ("", "power-off"),
            ("--rtt 5ms", "power-off --rtt 5ms"),
            ("hang --callers 9", "hang --callers 9"),
        ] {
            let beside = format!("{first} --client ioredis");
            assert_eq!(request(args), (first.to_owned(), Some(beside)));
        }
    }

    #[test]
    fn who_names_a_client_a_program_or_json_gets_that_alone() {
        for args in ["kill --client=fred", "kill --client fred", "kill -- ./app -x", "kill --json"]
        {
            assert_eq!(request(args), (args.to_owned(), None));
        }
        assert_eq!(request("--list"), ("--list".to_owned(), None));
        // What follows the dashes is the program's.
        assert_eq!(request("-- ./app --list").0, "power-off -- ./app --list");
    }

    #[test]
    fn the_second_page_does_not_overwrite_the_first() {
        let (first, beside) = request("kill --html out/a.html");
        assert_eq!(first, "kill --html out/a.html");
        assert_eq!(beside.unwrap(), "kill --html out/a-ioredis.html --client ioredis");
        let (_, beside) = request("kill --html=a");
        assert_eq!(beside.unwrap(), "kill --html=a-ioredis.html --client ioredis");
    }
}
