//! One server process: started, stopped, killed, frozen, asked.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::control::Control;
use super::keeper::Keeper;
use super::program::Program;
use super::sys;
use crate::options::PORT;
use crate::{HostId, LabError, Reply, RestartWith};

const SOCKET: &str = "redis.sock";
const DATA: &str = "dump.rdb";
const LOG: &str = "log";
const SENTINEL_FILE: &str = "sentinel.conf";
/// Long enough for a server that has gigabytes to load on a busy machine; one that fails ends at once.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Above a server's `shutdown-timeout` of 10 s, for which it waits for replicas that lag.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(12);
/// How often the lab looks for what it waits for.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One of the lab's servers. Its methods go past the wire. Those that ask the server give up after
/// [`Server::PATIENCE`] unless they say otherwise.
#[derive(Debug)]
pub struct Server {
    host: HostId,
    program: Program,
    kind: Kind,
    directory: PathBuf,
    directory_from_outside: PathBuf,
    network: Arc<OwnedFd>,
    keeper: Arc<Keeper>,
    control: Control,
    process: Mutex<Option<Child>>,
}

/// What the process is, and what it is told beside what all are told.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A server that holds data, with these arguments.
    Data(Vec<String>),
    /// A Sentinel, with this configuration to begin with; it rewrites the file as it learns.
    Sentinel(String),
}

/// What a server is started from.
pub(super) struct Setup {
    pub(super) program: Program,
    pub(super) kind: Kind,
    /// The directory as the server itself may name it.
    pub(super) directory_from_outside: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) network: Arc<OwnedFd>,
    pub(super) keeper: Arc<Keeper>,
}

impl Server {
    /// How long a control command may take before it is given up.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// Starts the server; it answers when this returns.
    pub(super) fn start(host: HostId, setup: Setup) -> Result<Self, LabError> {
        let Setup { program, kind, directory_from_outside, directory, network, keeper } = setup;
        let control = Control::new(&directory.join(SOCKET));
        let process = Mutex::new(None);
        let server = Self {
            host,
            program,
            kind,
            directory,
            directory_from_outside,
            network,
            keeper,
            control,
            process,
        };
        fs::create_dir_all(&server.directory).map_err(|error| server.failed(error))?;
        if let Kind::Sentinel(configuration) = &server.kind {
            fs::write(server.directory.join(SENTINEL_FILE), configuration)
                .map_err(|error| server.failed(error))?;
        }
        server.launch()?;
        Ok(server)
    }

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.host
    }

    /// Runs a command on the server's unix socket, on a connection kept for that, over which one
    /// command goes at a time. It is a client like any other in `CLIENT LIST`.
    ///
    /// # Errors
    /// An error reply of the server is `Ok(Reply::Error)`. [`LabError::Server`] means that there is no
    /// reply: the server is not running, or did not answer within [`Server::PATIENCE`], as a frozen
    /// one. The command may then run later.
    pub fn command<S: AsRef<[u8]>>(&self, args: &[S]) -> Result<Reply, LabError> {
        self.command_within(args, Self::PATIENCE)
    }

    /// [`Server::command`] with a patience of its own, for commands that take long.
    ///
    /// # Errors
    /// As those of [`Server::command`].
    pub fn command_within<S: AsRef<[u8]>>(
        &self,
        args: &[S],
        patience: Duration,
    ) -> Result<Reply, LabError> {
        self.control.run(args, patience).map_err(|error| {
            let verb = args.first().map_or(&[][..], AsRef::as_ref);
            let verb = String::from_utf8_lossy(verb).into_owned();
            let why = match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    format!("it did not answer within {} ms", patience.as_millis())
                }
                _ if !self.is_running() => "it is not running".to_owned(),
                _ => error.to_string(),
            };
            self.failed(format!("no reply to {verb}: {why}"))
        })
    }

    /// A command that the server must answer without an error.
    pub(super) fn expect_ok<S: AsRef<[u8]>>(&self, args: &[S]) -> Result<Reply, LabError> {
        match self.command(args)? {
            Reply::Error(text) => Err(self.failed(format!("it refused: {text}"))),
            reply => Ok(reply),
        }
    }

    /// One field of `INFO section`; `None` if the server does not have it.
    ///
    /// # Errors
    /// As those of [`Server::command`], and [`LabError::Server`] if it refuses.
    pub fn info(&self, section: &str, field: &str) -> Result<Option<String>, LabError> {
        let reply = self.expect_ok(&["INFO", section])?;
        let value = |line: &str| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned);
        Ok(reply.as_str().unwrap_or_default().lines().find_map(value))
    }

    /// The process, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let mut process = self.process();
        let child = process.as_mut()?;
        matches!(child.try_wait(), Ok(None)).then(|| child.id())
    }

    /// Whether the process exists, frozen or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// SIGKILL, and waits for the process to end. The host stays: its kernel resets the server's
    /// connections, and refuses new ones. Without a process it does nothing.
    ///
    /// # Errors
    /// [`LabError::Server`] if the system refuses.
    pub fn kill(&self) -> Result<(), LabError> {
        if let Some(mut child) = self.process().take() {
            child.kill().and_then(|()| child.wait()).map_err(|error| self.failed(error))?;
        }
        self.control.close();
        Ok(())
    }

    /// `SHUTDOWN NOSAVE`, or `SHUTDOWN SAVE`, and waits for the process to end, up to 12 s: a server
    /// waits for its replicas.
    ///
    /// # Errors
    /// [`LabError::Server`] if it refuses or does not end.
    pub fn shut_down(&self, save: bool) -> Result<(), LabError> {
        let how = if save { "SAVE" } else { "NOSAVE" };
        // No reply is the good reply: the server closes the connection by ending.
        if let Ok(Reply::Error(text)) = self.control.run(&["SHUTDOWN", how], SHUTDOWN_PATIENCE) {
            return Err(self.failed(format!("it refused to shut down: {text}")));
        }
        let deadline = Instant::now() + SHUTDOWN_PATIENCE;
        while self.is_running() {
            if Instant::now() > deadline {
                return Err(self.failed("it did not end after SHUTDOWN"));
            }
            thread::sleep(LOOK_EVERY);
        }
        self.kill()
    }

    /// SIGSTOP: the process stands still; its kernel goes on accepting and acknowledging.
    ///
    /// # Errors
    /// [`LabError::Server`] if it is not running.
    pub fn stop_process(&self) -> Result<(), LabError> {
        self.signal(libc::SIGSTOP)
    }

    /// SIGCONT: ends [`Server::stop_process`].
    ///
    /// # Errors
    /// [`LabError::Server`] if it is not running.
    pub fn resume_process(&self) -> Result<(), LabError> {
        self.signal(libc::SIGCONT)
    }

    /// Ends the process if there is one and starts a new one, as a primary, that answers when this
    /// returns. It has a new `run_id`. [`Lab::demote`](crate::Lab::demote) makes it a replica.
    ///
    /// # Errors
    /// [`LabError::Server`] with the end of its log, if it does not come up.
    pub fn restart(&self, with: RestartWith) -> Result<(), LabError> {
        match with {
            RestartWith::ItsData if self.is_running() => self.shut_down(true)?,
            RestartWith::ItsData => self.kill()?,
            RestartWith::Nothing => {
                self.kill()?;
                match fs::remove_file(self.directory.join(DATA)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(self.failed(error));
                    }
                    _ => {}
                }
            }
        }
        self.launch()
    }

    /// What the server wrote to its log since the lab started.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: i32) -> Result<(), LabError> {
        // With the lock held the process can't be reaped, so its id can't be another's.
        let mut process = self.process();
        if let Some(child) = process.as_mut()
            && matches!(child.try_wait(), Ok(None))
        {
            return sys::signal(child.id(), signal).map_err(|error| self.failed(error));
        }
        Err(self.failed("it is not running"))
    }

    fn failed(&self, what: impl ToString) -> LabError {
        LabError::Server { host: self.host, what: what.to_string() }
    }

    fn launch(&self) -> Result<(), LabError> {
        self.control.close();
        let child = self
            .command_line()
            .and_then(|command| self.keeper.spawn(command))
            .map_err(|error| self.failed(format!("it can't be started: {error}")))?;
        *self.process() = Some(child);
        self.wait_until_it_answers()
    }

    fn command_line(&self) -> io::Result<Command> {
        let log = File::options().create(true).append(true).open(self.directory.join(LOG))?;
        let directory = File::open(&self.directory)?;
        let mut command = Command::new(&self.program.path);
        match &self.kind {
            Kind::Data(arguments) => self.data_arguments(&mut command, arguments),
            Kind::Sentinel(_) => {
                // It wants to know the file by its full path, and its working directory has none.
                command.arg(self.directory_from_outside.join(SENTINEL_FILE));
                command.args(["--sentinel", "--unixsocket", SOCKET]);
                command.args(["--daemonize", "no"]);
            }
        }
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C is for the drill; the servers end with it, and not before its report.
        command.process_group(0);
        let network = Arc::clone(&self.network);
        sys::run_in(&mut command, sys::Place { network, directory: Some(directory.into()) });
        Ok(command)
    }

    fn data_arguments(&self, command: &mut Command, arguments: &[String]) {
        command.args(["--port", &PORT.to_string(), "--bind", "0.0.0.0", "--protected-mode", "no"]);
        command.args(["--unixsocket", SOCKET, "--dbfilename", DATA, "--save", ""]);
        command.args(["--appendonly", "no", "--daemonize", "no"]);
        // A replica is to sync in a fraction of a second, and an outage of a few seconds to be caught up
        // from the backlog whatever was written meanwhile.
        command.args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"]);
        command.args(["--repl-ping-replica-period", "1", "--repl-backlog-size", "64mb"]);
        if self.program.guards_debug() {
            command.args(["--enable-debug-command", "yes"]);
        }
        command.args(arguments);
    }

    fn wait_until_it_answers(&self) -> Result<(), LabError> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            match self.control.run(&["PING"], Self::PATIENCE) {
                Ok(Reply::Status(_)) => return Ok(()),
                _ if !self.is_running() => {
                    return Err(self.failed(format!("it ended at once:\n{}", self.end_of_log())));
                }
                _ if Instant::now() > deadline => {
                    let what = format!("it does not answer:\n{}", self.end_of_log());
                    return Err(self.failed(what));
                }
                _ => thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn end_of_log(&self) -> String {
        const LINES: usize = 8;
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
