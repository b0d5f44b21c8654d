//! Which program stands for `--client NAME`, and what to do if it is not there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Adapters of Rust clients, all in one folder: `--client` name and program name.
const RUST_CLIENTS: &[&str] = &["redis-rs", "fred", "rustis"];

/// The program that speaks the adapter protocol for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientProgram {
    pub(crate) label: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

/// Finds the adapter of `--client name`: `redial`, `ioredis`, `redis-rs`, `fred`, `rustis`, or a
/// program.
pub(crate) fn resolve(name: &str) -> Result<ClientProgram> {
    match name {
        "redial" => Ok(ClientProgram {
            label: name.to_owned(),
            program: std::env::current_exe().context("cannot find this program itself")?,
            args: vec!["adapter".into()],
        }),
        "ioredis" => ioredis(&adapters("ioredis")?),
        name if RUST_CLIENTS.contains(&name) => rust_client(name, &adapters("rust-clients")?),
        path => custom(path),
    }
}

fn ioredis(folder: &Path) -> Result<ClientProgram> {
    if !folder.join("node_modules/ioredis/package.json").is_file() {
        bail!(
            "the ioredis adapter is not installed; run\n  npm install --prefix {}",
            folder.display()
        );
    }
    let Some(node) = in_path("node") else {
        bail!("the ioredis adapter needs node, which is not in PATH; install Node.js 18 or later");
    };
    Ok(ClientProgram {
        label: "ioredis".into(),
        program: node,
        args: vec![folder.join("adapter.js").into()],
    })
}

fn rust_client(name: &str, folder: &Path) -> Result<ClientProgram> {
    let targets = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let built = targets
        .into_iter()
        .chain([folder.join("target")])
        .flat_map(|target| [target.join("release").join(name), target.join("debug").join(name)])
        .find(|program| program.is_file());
    match built {
        Some(program) => Ok(ClientProgram { label: name.to_owned(), program, args: Vec::new() }),
        None => bail!(
            "the adapter of {name} is not built; run\n  cargo build --release --manifest-path {}",
            folder.join("Cargo.toml").display()
        ),
    }
}

fn custom(path: &str) -> Result<ClientProgram> {
    let program = if path.contains('/') {
        let program = PathBuf::from(path);
        program.is_file().then(|| program.canonicalize().unwrap_or(program))
    } else {
        in_path(path)
    };
    let Some(program) = program else {
        bail!(
            "no client `{path}`: neither one of redial, ioredis, {}, nor a program\n\
             any program that speaks the protocol of docs/adapters.md can be drilled: give its path",
            RUST_CLIENTS.join(", ")
        );
    };
    Ok(ClientProgram { label: path.to_owned(), program, args: Vec::new() })
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The folder of an adapter that comes with redial's source: above the working directory, above this
/// program, or where it was built.
fn adapters(name: &str) -> Result<PathBuf> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let starts = [here, program, Some(built)];
    let found = starts.iter().flatten().flat_map(|start| start.ancestors()).find_map(|folder| {
        let folder = folder.join("drills/adapters").join(name);
        folder.is_dir().then_some(folder)
    });
    found.with_context(|| {
        format!(
            "drills/adapters/{name} is not to be found from here; run redial from its source tree"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_client_is_told_which_there_are() {
        let error = resolve("iordis").unwrap_err().to_string();
        assert!(error.contains("ioredis") && error.contains("docs/adapters.md"), "{error}");
        let error = resolve("./no/such/program").unwrap_err().to_string();
        assert!(error.contains("no client `./no/such/program`"), "{error}");
    }

    #[test]
    fn a_program_is_found_in_path_and_redial_is_this_program() {
        assert!(resolve("sh").unwrap().program.ends_with("sh"));
        assert_eq!(resolve("redial").unwrap().args, ["adapter"]);
    }

    #[test]
    fn adapters_that_are_not_built_say_how_to_build_them() {
        let empty = tempfile::tempdir().unwrap();
        let error = ioredis(empty.path()).unwrap_err().to_string();
        assert!(error.contains("npm install --prefix"), "{error}");
        let error = rust_client("no-such-client", empty.path()).unwrap_err().to_string();
        assert!(error.contains("cargo build --release --manifest-path"), "{error}");
    }
}
