//! One server process: started, stopped, killed, frozen, asked.

use std::time::Duration;

use crate::{HostId, LabError, Reply, RestartWith};

/// One of the lab's servers. All methods go past the wire; none of them blocks for longer than
/// [`Server::PATIENCE`] unless it says so.
#[derive(Debug)]
pub struct Server {
    host: HostId,
}

#[allow(clippy::unimplemented, clippy::missing_errors_doc)]
impl Server {
    /// How long a control command may take before it is given up.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.host
    }

    /// Runs a command on the server's unix socket, on a connection kept for that. An error reply of
    /// the server is `Ok(Reply::Error)`; `Err` means that there is no reply: the server is not
    /// running, or is frozen and did not answer within [`Server::PATIENCE`].
    pub fn command<S: AsRef<[u8]>>(&self, args: &[S]) -> Result<Reply, LabError> {
        self.command_within(args, Self::PATIENCE)
    }

    /// [`Server::command`] with a patience of its own, for commands that take long.
    pub fn command_within<S: AsRef<[u8]>>(
        &self,
        _args: &[S],
        _patience: Duration,
    ) -> Result<Reply, LabError> {
        unimplemented!()
    }

    /// One field of `INFO section`; `None` if the server does not have it.
    pub fn info(&self, _section: &str, _field: &str) -> Result<Option<String>, LabError> {
        unimplemented!()
    }

    /// The process, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        unimplemented!()
    }

    /// Whether the process exists, frozen or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        unimplemented!()
    }

    /// SIGKILL. The host stays: its kernel resets the connections. No-op without a process.
    pub fn kill(&self) -> Result<(), LabError> {
        unimplemented!()
    }

    /// SHUTDOWN NOSAVE, or SHUTDOWN SAVE, and waits for the process to end.
    pub fn shut_down(&self, _save: bool) -> Result<(), LabError> {
        unimplemented!()
    }

    /// SIGSTOP: the process stands still, its kernel goes on acknowledging.
    pub fn stop_process(&self) -> Result<(), LabError> {
        unimplemented!()
    }

    /// SIGCONT.
    pub fn resume_process(&self) -> Result<(), LabError> {
        unimplemented!()
    }

    /// Ends the process if there is one and starts a new one, as a primary, that answers when this
    /// returns. It has a new `run_id`. Use [`Lab::demote`](crate::Lab::demote) to make it a replica.
    pub fn restart(&self, _with: RestartWith) -> Result<(), LabError> {
        unimplemented!()
    }

    /// What the server wrote to its log since the lab started.
    #[must_use]
    pub fn log(&self) -> String {
        unimplemented!()
    }
}
