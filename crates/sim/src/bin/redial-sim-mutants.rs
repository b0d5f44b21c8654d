//! Shows that the simulation bites: applies each mutation of `mutations.txt` to a copy of the sources in a temporary directory, builds it, and
//! runs seeds and drills until a rule is broken. A mutation whose text is not found, or that survives, is a failure.
//!
//! `cargo run -p redial-sim --release --bin redial-sim-mutants [-- --seeds 20000] [--only BEGINNING_OF_A_NAME]`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const DATA: &str = include_str!("../../mutations.txt");

/// What a mutant is built from; the simulation comes along, since it is built against the mutated crate.
const COPIED: &[&str] =
    &["Cargo.lock", "rustfmt.toml", "crates/resp", "crates/proto", "crates/sim"];

const DRILL_SEEDS: &str = "5";

/// One change of one file.
struct Mutation<'a> {
    name: &'a str,
    file: &'a str,
    old: &'a str,
    new: &'a str,
}

/// Blocks of `@ name`, `file: path`, the old text, a line `=>`, the new text.
fn mutations() -> Result<Vec<Mutation<'static>>> {
    let mut all = Vec::new();
    for block in DATA.split("\n@ ").skip(1) {
        let parse = || -> Option<Mutation<'static>> {
            let (name, rest) = block.split_once('\n')?;
            let (file, rest) = rest.strip_prefix("file: ")?.split_once('\n')?;
            let (old, new) = rest.split_once("\n=>\n")?;
            Some(Mutation { name, file, old, new: new.trim_end_matches('\n') })
        };
        all.push(parse().ok_or_else(|| format!("mutations.txt: can't read the block {block:?}"))?);
    }
    Ok(all)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        fs::copy(from, to)?;
    }
    Ok(())
}

/// A workspace of the three crates.
fn prepare(to: &Path) -> Result<()> {
    fs::create_dir_all(to.join("crates"))?;
    for name in COPIED {
        copy(&root().join(name), &to.join(name))?;
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let is_other = |line: &&str| !line.starts_with("members") && !line.starts_with("exclude");
    let lines: Vec<&str> = manifest.lines().filter(is_other).collect();
    let members = r#"members = ["crates/resp", "crates/proto", "crates/sim"]"#;
    let manifest = lines.join("\n").replacen("[workspace]", &format!("[workspace]\n{members}"), 1);
    Ok(fs::write(to.join("Cargo.toml"), manifest)?)
}

fn apply(mutation: &Mutation<'_>, tree: &Path) -> Result<()> {
    let text = fs::read_to_string(root().join(mutation.file))?;
    let found = text.matches(mutation.old).count();
    if found != 1 {
        let Mutation { name, file, .. } = mutation;
        return Err(format!(
            "{name}: its old text occurs {found} times in {file}; update mutations.txt"
        )
        .into());
    }
    Ok(fs::write(tree.join(mutation.file), text.replacen(mutation.old, mutation.new, 1))?)
}

/// The first broken rule, if any.
fn hunt(tree: &Path, seeds: &str) -> Result<Option<String>> {
    let build = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--offline",
            "-p",
            "redial-sim",
            "--bin",
            "redial-sim",
        ])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", tree.join("target"))
        .output()?;
    if !build.status.success() {
        return Err(format!(
            "the mutant does not build:\n{}",
            String::from_utf8_lossy(&build.stderr)
        )
        .into());
    }
    let program = tree.join("target/release/redial-sim");
    for args in [&["--drills", "--stop", "--seeds", DRILL_SEEDS][..], &["--stop", "--seeds", seeds]]
    {
        let run = Command::new(&program).args(args).output()?;
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        if run.status.code() == Some(1) {
            let line = text.lines().find(|line| line.starts_with("seed "));
            return Ok(Some(line.unwrap_or("a rule is broken").to_owned()));
        }
        if !run.status.success() {
            let text = String::from_utf8_lossy(&run.stderr);
            return Ok(Some(format!("panic: {}", text.lines().next().unwrap_or_default())));
        }
    }
    Ok(None)
}

fn run() -> Result<bool> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned()
    };
    let (seeds, only) = (option("--seeds").unwrap_or_else(|| "20000".to_owned()), option("--only"));
    let tree = std::env::temp_dir().join(format!("redial-mutants-{}", std::process::id()));
    prepare(&tree)?;
    let mut survivors = 0;
    for mutation in mutations()? {
        if only.as_ref().is_some_and(|only| !mutation.name.starts_with(only)) {
            continue;
        }
        apply(&mutation, &tree)?;
        let begun = Instant::now();
        let killer = hunt(&tree, &seeds)?;
        fs::copy(root().join(mutation.file), tree.join(mutation.file))?;
        survivors += usize::from(killer.is_none());
        let killer = killer.unwrap_or_else(|| "SURVIVED".to_owned());
        println!("{} ({:.0} s): {killer:.200}", mutation.name, begun.elapsed().as_secs_f32());
    }
    fs::remove_dir_all(&tree)?;
    println!("{survivors} survived");
    Ok(survivors == 0)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("redial-sim-mutants: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_finds_its_text_once() {
        for mutation in mutations().unwrap_or_else(|error| panic!("{error}")) {
            let text = fs::read_to_string(root().join(mutation.file));
            let found = text.map(|text| text.matches(mutation.old).count());
            assert!(matches!(found, Ok(1)), "{}: {found:?} in {}", mutation.name, mutation.file);
        }
    }
}
