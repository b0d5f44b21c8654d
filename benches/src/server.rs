//! The redis-server that is measured against: started here, on one core, ended with us.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::sys;
use crate::workload::Data;

/// Long enough for a loaded machine; a server that takes longer has failed.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Server {
    /// Starts `binary` on a free port of the loopback, pinned to `core`, with `data` loaded.
    pub(crate) fn start(binary: &Path, core: usize, clients: usize, data: &Data) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the server")?;
        let port = free_port()?;
        let mut command = Command::new(binary);
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .args(["--maxclients", &clients.to_string(), "--tcp-backlog", "4096"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        sys::dies_with_us(&mut command);
        let child = sys::pinned(&[core], || {
            command.spawn().with_context(|| {
                format!(
                    "cannot start {}; install redis-server or name it with --server-bin",
                    binary.display()
                )
            })
        })?;
        let mut server = Self { child, port, _directory: directory };
        server.load(data)?;
        Ok(server)
    }

    /// `redis://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the server: its port refuses from now on.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.child.kill().context("cannot end the server")?;
        self.child.wait().context("cannot end the server")?;
        Ok(())
    }

    fn load(&mut self, data: &Data) -> Result<()> {
        let started = Instant::now();
        let mut socket = loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("redis-server ended at once ({status}); run it by hand to see why");
            }
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(socket) => break socket,
                Err(error) if started.elapsed() > START_DEADLINE => {
                    return Err(error).context("redis-server did not accept a connection");
                }
                Err(_) => sleep(Duration::from_millis(10)),
            }
        };
        socket.set_read_timeout(Some(START_DEADLINE))?;
        socket.write_all(&data.loading_commands())?;
        let mut replies = Vec::new();
        // PING ends the commands: when it is answered, all before it were.
        while !replies.ends_with(b"+PONG\r\n") {
            let mut buffer = [0; 16 * 1024];
            let length = socket.read(&mut buffer).context("while loading the data")?;
            if length == 0 {
                bail!("redis-server closed the connection while the data were loaded");
            }
            replies.extend_from_slice(&buffer[..length]);
        }
        if replies.contains(&b'-') {
            bail!("redis-server refused the data: {}", String::from_utf8_lossy(&replies));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What `redis-server --version` says, shortened to its number.
pub(crate) fn version(binary: &Path) -> String {
    let output = Command::new(binary).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok()
        .and_then(|text| Some(text.split_once("v=")?.1.split(' ').next()?.to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on the loopback")?;
    Ok(listener.local_addr()?.port())
}
