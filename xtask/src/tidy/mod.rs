//! The conventions and invariants that a compiler does not check.
//!
//! Each rule is a function over one file or over the dependency graph. What counts as code rather than
//! comment or text is decided in `code`.

mod code;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::sh;

/// DESIGN §10: a file that is longer owns more than one concept.
const MOST_LINES: usize = 800;

/// Crates without I/O, and every package that they may depend on, directly or not. None of these has a
/// socket, a clock or a thread; one that is added here must be looked at for that.
const SANS_IO: &[(&str, &[&str])] =
    &[("redial-resp", &["bytes", "memchr"]), ("redial-proto", &["bytes", "memchr", "redial-resp"])];

/// What the sources of these crates may not name.
const IO: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "Instant::now",
    "SystemTime",
];

/// Kinds of deployment, which the core must not know.
const DEPLOYMENTS: &[&str] = &["sentinel", "cluster"];
/// Where in `proto` they may be named: what chooses one, what is one, what commands there are.
const MAY_NAME_DEPLOYMENTS: &[&str] = &["topology", "config.rs", "table.rs"];

/// Answers of servers, which any deployment may give, spelled as variants of an enum.
const ANSWERS: &[&str] = &["ClusterDown"];

/// Where people's files lie on their machines.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/Users/", "/work/"];

const TEXT: &[&str] = &["rs", "md", "toml", "sh", "js", "yml", "yaml", "html", "css", "json"];

/// Checks everything.
///
/// # Errors
/// If anything is wrong; all of it is printed first.
pub(crate) fn check() -> Result<()> {
    let files = sources(Path::new("."))?;
    let mut wrong = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file)?;
        wrong.extend(check_file(&slashes(file), &text));
    }
    for (package, allowed) in SANS_IO {
        wrong.extend(check_dependencies(package, allowed)?);
    }
    for line in &wrong {
        eprintln!("{line}");
    }
    if !wrong.is_empty() {
        bail!("{} breaches of conventions", wrong.len());
    }
    eprintln!("{} files are tidy", files.len());
    Ok(())
}

/// What is wrong in one file, one line each.
fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut report = |line: usize, what: String| wrong.push(format!("{path}:{line}: {what}"));

    for (number, line) in (1..).zip(text.lines()) {
        if let Some(found) = MACHINE_PATHS.iter().find(|prefix| names_path(line, prefix)) {
            report(number, format!("a path under {found}, which is of one machine only"));
        }
    }
    if !path.ends_with(".rs") {
        return wrong;
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        report(lines, format!("{lines} lines; split it, {MOST_LINES} is the limit"));
    }
    // A module of tests is described by its parent.
    if !text.starts_with("//!") && !path.ends_with("tests.rs") {
        report(1, "no `//!` header that says what the file owns".to_owned());
    }
    let in_proto = path.starts_with("crates/proto/src/");
    if !in_proto && !path.starts_with("crates/resp/src/") {
        return wrong;
    }
    let code = code::only(text);
    for (number, line) in (1..).zip(code.lines()) {
        if let Some(io) = IO.iter().find(|io| line.contains(**io)) {
            report(number, format!("{io}: this crate does no I/O and has no clock"));
        }
        let may = path.split('/').any(|part| MAY_NAME_DEPLOYMENTS.contains(&part));
        if in_proto
            && !may
            && let Some(kind) = DEPLOYMENTS.iter().find(|kind| has_word(line, kind))
        {
            report(number, format!("`{kind}` belongs to topology/ and the configuration"));
        }
    }
    wrong
}

/// Whether a path that starts so is named, and not merely one that has it inside.
fn names_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + prefix.len()..].chars().next();
        let inside = |c: char| c.is_alphanumeric() || "._-/}*~$".contains(c);
        !before.is_some_and(inside) && after.is_some_and(|c| c.is_alphanumeric() || c == '.')
    })
}

/// Whether an identifier in the line has this as one of its words: `is_cluster`, `ClusterNode`.
fn has_word(line: &str, word: &str) -> bool {
    let mut identifiers = line.split(|c: char| !c.is_alphanumeric());
    identifiers.any(|identifier| {
        if ANSWERS.contains(&identifier) {
            return false;
        }
        let mut words = vec![String::new()];
        for c in identifier.chars() {
            if c.is_uppercase() {
                words.push(String::new());
            }
            if let Some(last) = words.last_mut() {
                last.extend(c.to_lowercase());
            }
        }
        words.iter().any(|found| found == word) || identifier.eq_ignore_ascii_case(word)
    })
}

fn check_dependencies(package: &str, allowed: &[&str]) -> Result<Vec<String>> {
    let args = ["tree", "--package", package, "--edges", "normal", "--prefix", "none"];
    let tree = sh::output(sh::cargo(&args).args(["--all-features", "--target", "all"]))?;
    let names: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let others = names.into_iter().filter(|name| *name != package && !allowed.contains(name));
    Ok(others
        .map(|name| {
            format!("{package} depends on {name}: it may have I/O (the list is in xtask/src/tidy)")
        })
        .collect())
}

/// The project's own text files, as git knows them: with new ones, without ignored ones.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let list = sh::output(sh::program("git", &args).current_dir(root));
    let mut files: Vec<PathBuf> = match list {
        Ok(list) => list.split('\0').map(PathBuf::from).collect(),
        // An archive of the source, without git.
        Err(_) => walk(root)?,
    };
    let is_text = |file: &PathBuf| {
        let extension = file.extension().unwrap_or_default().to_string_lossy();
        TEXT.contains(&extension.as_ref()) || file.ends_with("run") || file.ends_with("LICENSE-MIT")
    };
    // One that was deleted is still in git's list until that is committed.
    files.retain(|file| is_text(file) && root.join(file).is_file());
    if files.is_empty() {
        bail!("there are no sources to check");
    }
    Ok(files)
}

fn walk(root: &Path) -> Result<Vec<PathBuf>> {
    const SKIP: &[&str] = &["target", "node_modules", "corpus", "artifacts", ".git", ".servers"];
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if !path.is_dir() {
                files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
            } else if !SKIP.iter().any(|skip| path.ends_with(skip)) {
                folders.push(path);
            }
        }
    }
    Ok(files)
}

fn slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests;
