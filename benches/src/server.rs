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
use crate::workload::{Data, encode};

/// Long enough for a loaded machine; a server that takes longer has failed.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// Slots of a cluster.
const SLOTS: usize = 16_384;

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _directory: TempDir,
}

/// What the clients are measured against.
pub(crate) enum Servers {
    One(Server),
    /// Each with a third of the slots.
    Cluster(Vec<Server>),
}

impl Servers {
    /// Starts one server, or a cluster of three, as [`Server::start`] does.
    pub(crate) fn start(binary: &Path, core: usize, data: &Data, cluster: bool) -> Result<Self> {
        if !cluster {
            return Ok(Self::One(Server::start(binary, core, 1000, data)?));
        }
        let mut nodes = Vec::new();
        for at in 0..3 {
            let port = std::iter::repeat_with(free_port)
                .find(|port| port.as_ref().map_or(true, |port| *port < 50_000))
                .context("no free port")??;
            let mut node = Server::spawn(binary, core, 1000, port, &["--cluster-enabled", "yes"])?;
            let mut slots = vec!["CLUSTER".to_owned(), "ADDSLOTS".to_owned()];
            slots.extend((SLOTS * at / 3..SLOTS * (at + 1) / 3).map(|slot| slot.to_string()));
            let slots: Vec<&str> = slots.iter().map(String::as_str).collect();
            node.run(&[&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()], &slots])?;
            nodes.push(node);
        }
        let first = nodes[0].port.to_string();
        for node in &mut nodes[1..] {
            node.run(&[&["CLUSTER", "MEET", "127.0.0.1", &first]])?;
        }
        for node in &mut nodes {
            let started = Instant::now();
            while !node.run(&[&["CLUSTER", "INFO"]])?.contains("cluster_state:ok") {
                if started.elapsed() > START_DEADLINE {
                    bail!("the cluster did not form");
                }
                sleep(Duration::from_millis(50));
            }
            // What belongs to another node is refused, and is loaded there.
            node.load(data, |reply| reply.starts_with("-MOVED"))?;
        }
        Ok(Self::Cluster(nodes))
    }

    /// `redis://127.0.0.1:PORT`, or `redis+cluster://127.0.0.1:PORT,127.0.0.1:PORT,…`.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Cluster(nodes) => {
                let nodes: Vec<_> =
                    nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
                format!("redis+cluster://{}", nodes.join(","))
            }
        }
    }
}

/// The nodes of such a URL of a cluster; `None` for one server.
pub(crate) fn nodes(url: &str) -> Option<Vec<&str>> {
    Some(url.strip_prefix("redis+cluster://")?.split(',').collect())
}

impl Server {
    /// Starts `binary` on a free port of the loopback, pinned to `core`, with `data` loaded.
    pub(crate) fn start(binary: &Path, core: usize, clients: usize, data: &Data) -> Result<Self> {
        let mut server = Self::spawn(binary, core, clients, free_port()?, &[])?;
        server.load(data, |_| false)?;
        Ok(server)
    }

    fn spawn(
        binary: &Path,
        core: usize,
        clients: usize,
        port: u16,
        options: &[&str],
    ) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the server")?;
        let mut command = Command::new(binary);
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .args(["--maxclients", &clients.to_string(), "--tcp-backlog", "4096"])
            .args(options)
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
        Ok(Self { child, port, _directory: directory })
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

    fn load(&mut self, data: &Data, is_expected: impl Fn(&str) -> bool) -> Result<()> {
        let replies = self.exchange(&data.loading_commands())?;
        match replies.lines().find(|line| line.starts_with('-') && !is_expected(line)) {
            Some(refusal) => bail!("redis-server refused the data: {refusal}"),
            None => Ok(()),
        }
    }

    /// Runs commands; all that was answered.
    fn run(&mut self, commands: &[&[&str]]) -> Result<String> {
        let mut encoded = Vec::new();
        for command in commands.iter().chain([&["PING"].as_slice()]) {
            encode(&mut encoded, command);
        }
        let replies = self.exchange(&encoded)?;
        match replies.lines().find(|line| line.starts_with('-')) {
            Some(refusal) => bail!("redis-server: {refusal}"),
            None => Ok(replies),
        }
    }

    /// Sends commands, the last of which is a PING, and waits for its answer: then all before it were answered.
    fn exchange(&mut self, commands: &[u8]) -> Result<String> {
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
        socket.write_all(commands)?;
        let mut replies = Vec::new();
        while !replies.ends_with(b"+PONG\r\n") {
            let mut buffer = [0; 16 * 1024];
            let length = socket.read(&mut buffer).context("while the server was set up")?;
            if length == 0 {
                bail!("redis-server closed the connection while it was set up");
            }
            replies.extend_from_slice(&buffer[..length]);
        }
        Ok(String::from_utf8_lossy(&replies).into_owned())
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
