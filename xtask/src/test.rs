//! `cargo xtask test`: everything that CI runs, step by step.
//!
//! Which conventions are checked is decided in `tidy`, which tests there are in `suites`.

use std::thread::available_parallelism;

use anyhow::{Result, bail};

use crate::codegen;
use crate::drill::{self, SKIPPED};
use crate::steps::{Outcome, Steps};
use crate::suites::Suites;
use crate::{matrix, servers, setup, sh, tidy};

/// Runs of the simulation; DESIGN gives them two minutes.
const SEEDS: &str = "20000";
const FUZZ_TARGETS: &[&str] = &["scan", "decode"];
const FUZZ_SECONDS: u32 = 30;

/// Lets a CI machine without namespaces pass, which would otherwise test less than it seems to.
const ALLOW_NO_DRILLS: &str = "REDIAL_ALLOW_NO_DRILLS";

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What is hermetic: no servers, no namespaces, nothing that takes minutes.
    Fast,
    All,
}

/// Runs the steps until one fails, and ends with a table of them.
pub(crate) fn run(extent: Extent) -> Result<()> {
    with_table(|steps| {
        hermetic(steps)?;
        match extent {
            Extent::Fast => Ok(()),
            Extent::All => everything_else(steps),
        }
    })
}

/// Only what the library's tests need servers for: with all that are at hand, or the one in this folder of `.servers/`.
pub(crate) fn run_servers(named: &str) -> Result<()> {
    let servers = match named {
        "all" => servers::at_hand()?,
        named => vec![servers::named(named)?],
    };
    let suites = Suites::find("crates".as_ref())?;
    with_table(|steps| {
        steps.step("every command", || passed(matrix::check(&servers)))?;
        steps.step("tests with servers", || {
            passed(servers.iter().try_for_each(|server| suites.run_client(server)))
        })
    })
}

fn with_table(run: impl FnOnce(&mut Steps) -> Result<()>) -> Result<()> {
    let mut steps = Steps::start();
    let result = run(&mut steps);
    if let Err(error) = &result {
        eprintln!("\n{error:#}");
    }
    println!("\n{}", steps.table());
    if result.is_err() {
        bail!("not everything passed");
    }
    Ok(())
}

fn hermetic(steps: &mut Steps) -> Result<()> {
    let suites = Suites::find("crates".as_ref())?;
    steps.step("toolchain", || passed(setup::for_checks()))?;
    steps.step("format", || cargo(&["fmt", "--all", "--check"]))?;
    steps.step("tidy", || passed(tidy::check()))?;
    steps.step("generated code", || passed(codegen::check()))?;
    steps.step("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
    })?;
    steps.step("features", features)?;
    steps.step("tests", || passed(suites.run_hermetic()))?;
    steps.step("doctests", || cargo(&["test", "--workspace", "--doc", "--all-features"]))?;
    steps.step("docs", docs)
}

fn everything_else(steps: &mut Steps) -> Result<()> {
    let suites = Suites::find("crates".as_ref())?;
    let mut server = None;
    steps.step("servers", || {
        server = setup::server()?;
        Ok(match server {
            Some(_) => Outcome::Passed,
            None => Outcome::Skipped("no redis-server, and no known way to install it".into()),
        })
    })?;
    if let Some(server) = &server {
        steps.step("tests with servers", || passed(suites.run_real(server)))?;
        steps.step("tests with other versions", || other_versions(&suites))?;
        steps.step("every command", || passed(matrix::check(&servers::at_hand()?)))?;
    }
    steps.step("simulation", simulation)?;
    steps.step("fuzz", fuzz)?;
    steps.step("licences and advisories", deny)?;
    steps.step("drills", drills)
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

fn cargo(args: &[&str]) -> Result<Outcome> {
    passed(sh::run(&mut sh::cargo(args)))
}

/// The client with little, and each group of commands without the others.
fn features() -> Result<Outcome> {
    let with_only = |package: &str, features: &str| {
        let args = ["clippy", "--quiet", "--package", package, "--lib", "--no-default-features"];
        cargo(&[&args[..], &["--features", features, "--", "-D", "warnings"]].concat())
    };
    for features in ["", "commands-string", "entra"] {
        with_only("redial", features)?;
    }
    for group in codegen::groups()? {
        with_only("redial-commands", &group)?;
    }
    Ok(Outcome::Passed)
}

fn docs() -> Result<Outcome> {
    // Libraries only: the program is named as the library is, and their pages would be one.
    let args = ["doc", "--workspace", "--no-deps", "--all-features", "--lib"];
    passed(sh::run(sh::cargo(&args).env("RUSTDOCFLAGS", "-D warnings")))
}

fn other_versions(suites: &Suites) -> Result<Outcome> {
    let present = servers::present();
    if present.is_empty() {
        return Ok(Outcome::Skipped("none in .servers/ (cargo xtask servers brings them)".into()));
    }
    present.iter().try_for_each(|server| suites.run_client(server))?;
    Ok(Outcome::Passed)
}

fn simulation() -> Result<Outcome> {
    let jobs = available_parallelism().map_or(2, usize::from).to_string();
    cargo(&["run", "--release", "-p", "redial-sim", "--", "--seeds", SEEDS, "--jobs", &jobs])
}

/// Where it can't run, the properties in `crates/resp/tests` have asked the same of generated bytes.
fn fuzz() -> Result<Outcome> {
    if let Err(why) = setup::fuzz() {
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    let time = format!("-max_total_time={FUZZ_SECONDS}");
    for target in FUZZ_TARGETS {
        let corpus = format!("fuzz/corpus/{target}");
        std::fs::create_dir_all(&corpus)?;
        let args = ["+nightly", "fuzz", "run", target, &corpus, "fuzz/seeds"];
        let limits = ["--", "-dict=fuzz/resp.dict", &time, "-verbosity=0", "-print_final_stats=1"];
        // Not the toolchain that runs this program, which rustup would otherwise keep to.
        let mut command = sh::program("cargo", &args);
        command.args(limits).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        sh::run(&mut command)?;
    }
    Ok(Outcome::Passed)
}

fn deny() -> Result<Outcome> {
    if !setup::deny() {
        return Ok(Outcome::Skipped("there is no cargo-deny (cargo install cargo-deny)".into()));
    }
    sh::run(&mut sh::cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    if !sh::works(&mut sh::cargo(&["deny", "fetch", "db"])) {
        return Ok(Outcome::Skipped(
            "the list of advisories can't be fetched; the rest is fine".into(),
        ));
    }
    cargo(&["deny", "check", "advisories"])
}

fn drills() -> Result<Outcome> {
    match drill::all_short()? {
        0 => Ok(Outcome::Passed),
        SKIPPED if sh::flag("CI") && !sh::flag(ALLOW_NO_DRILLS) => bail!(
            "this system forbids what a drill needs (see above), and in CI that must not pass \
             unseen; set {ALLOW_NO_DRILLS}=1 to let it"
        ),
        SKIPPED => Ok(Outcome::Skipped("this system forbids what a drill needs, see above".into())),
        code => bail!("the drills ended with exit status {code}"),
    }
}
