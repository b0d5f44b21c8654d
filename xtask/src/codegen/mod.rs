//! `cargo xtask codegen`: typed commands and the core's table of commands, out of facts that servers tell and exceptions that are kept by hand.
//!
//! `--servers` asks the servers at hand and writes the facts (`survey`, `facts`); without it the Rust code is made of them and of
//! `overrides`. What code a command becomes is decided in `shape` and written by `emit`; the core's table by `table`.

mod emit;
mod facts;
mod forms;
mod grammar;
mod known;
mod overrides;
mod plan;
mod shape;
mod survey;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use self::facts::Facts;
use self::overrides::Overrides;
use crate::sh;

const TYPED: &str = "crates/commands/src/generated";
const FORMS: &str = "crates/client/tests/matrix/generated";
const CLIENT: &str = "crates/client/Cargo.toml";
const TABLE: &str = "crates/proto/src/command/names.rs";

/// Runs it.
///
/// # Errors
/// Facts and overrides don't fit each other; or, with `--check`, a generated file is not what it should be.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["--servers"] => survey::facts()?.save(),
        ["--check"] => check(),
        [] => generate(),
        _ => bail!("codegen takes --servers, --check, or nothing"),
    }
}

/// The groups of commands, each a feature.
pub(crate) fn groups() -> Result<Vec<String>> {
    Ok(Overrides::load()?.groups.into_keys().collect())
}

fn generate() -> Result<()> {
    for (path, text) in files()? {
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("wrote {}", path.display());
        }
    }
    Ok(())
}

/// That the committed files are what would be generated.
///
/// # Errors
/// They are not.
pub(crate) fn check() -> Result<()> {
    for (path, text) in files()? {
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            bail!("{} is not what `cargo xtask codegen` makes: run it", path.display());
        }
    }
    Ok(())
}

fn files() -> Result<BTreeMap<PathBuf, String>> {
    let (facts, overrides) = (Facts::load()?, Overrides::load()?);
    every_command_is_explained(&facts, &overrides)?;
    every_group_is_a_feature(&overrides)?;
    let typed = emit::files(&facts, &overrides)?;
    let typed = typed.into_iter().map(|(name, text)| (Path::new(TYPED).join(name), text));
    let forms = forms::files(&facts, &overrides)?;
    let forms = forms.into_iter().map(|(name, text)| (Path::new(FORMS).join(name), text));
    let table = (PathBuf::from(TABLE), table::file(&facts, &overrides)?);
    typed.chain(forms).chain([table]).map(|(path, text)| Ok((path, formatted(&text)?))).collect()
}

/// Each command has a method, or a reason why it has none.
fn every_command_is_explained(facts: &Facts, overrides: &Overrides) -> Result<()> {
    let typed: BTreeSet<&str> = overrides
        .groups
        .values()
        .flat_map(|group| &group.commands)
        .map(|(key, method)| method.command.as_deref().unwrap_or(key))
        .collect();
    let has_subcommands = |name: &str| facts.subcommands(name).next().is_some();
    let missing: Vec<_> = facts
        .commands
        .iter()
        .filter(|(name, _)| {
            !typed.contains(name.as_str())
                && !overrides.untyped.contains_key(name.as_str())
                && !has_subcommands(name)
        })
        .map(|(name, command)| format!("{name} ({})", command.group))
        .collect();
    if !missing.is_empty() {
        bail!("neither typed nor `untyped`: {}", missing.join(", "));
    }
    Ok(())
}

/// Of `redial` and of `redial-commands`.
fn every_group_is_a_feature(overrides: &Overrides) -> Result<()> {
    #[derive(Deserialize)]
    struct Manifest {
        features: BTreeMap<String, Vec<String>>,
    }
    for (file, prefix) in [("crates/commands/Cargo.toml", ""), (CLIENT, "commands-")] {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        let manifest: Manifest = basic_toml::from_str(&text).context(file)?;
        for group in overrides.groups.keys() {
            if !manifest.features.contains_key(&format!("{prefix}{group}")) {
                bail!("{file} has no feature `{prefix}{group}`");
            }
        }
    }
    Ok(())
}

/// Every type that a reply is made of.
fn reply_types(overrides: &Overrides) -> BTreeSet<String> {
    let methods = overrides.groups.values().flat_map(|group| group.commands.values());
    let replies = methods.flat_map(|method| {
        let options = method.options.values().filter_map(|option| option.reply.as_deref());
        std::iter::once(method.reply.as_str()).chain(options)
    });
    let words = replies.flat_map(|reply| reply.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// As rustfmt has it.
fn formatted(text: &str) -> Result<String> {
    let mut child = sh::program("rustfmt", &["--edition", "2024"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt")?;
    let mut stdin = child.stdin.take().ok_or_else(|| anyhow!("rustfmt takes no input"))?;
    // What fits into no pipe is read while it is written: rustfmt reads all before it writes.
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let numbered: Vec<_> = text.lines().enumerate().map(|(n, l)| format!("{n}: {l}")).collect();
        bail!("rustfmt does not take this:\n{}", numbered.join("\n"));
    }
    Ok(String::from_utf8(output.stdout)?)
}
