//! The lab where there are no network namespaces: it can be named, and never be made.

#![expect(clippy::missing_errors_doc, reason = "documented on Linux; never called here")]

use std::convert::Infallible;
use std::ffi::OsStr;
use std::process::{Child, Command};
use std::time::Duration;

use crate::{Deployment, FlowInfo, HostId, LabError, LabOptions, Reply, RestartWith, WireStats};

/// Always [`LabError::Unsupported`].
pub fn enter() -> Result<(), LabError> {
    Err(LabError::Unsupported)
}

/// Two servers, the client's host and the wire; Linux only.
#[derive(Debug)]
pub struct Lab(Infallible);

/// One of the lab's servers; Linux only.
#[derive(Debug)]
pub struct Server(Infallible);

/// Methods of what can't exist.
macro_rules! never {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $returned:ty;)*) => {$(
        #[allow(missing_docs)]
        pub fn $name(&self, $($arg: $kind),*) -> $returned {
            let _ = ($($arg,)*);
            match self.0 {}
        }
    )*};
}

impl Lab {
    /// Always [`LabError::Unsupported`].
    pub fn start(_options: LabOptions) -> Result<Self, LabError> {
        Err(LabError::Unsupported)
    }

    never! {
        url() -> String;
        authority() -> Option<std::path::PathBuf>;
        server_version() -> &str;
        deployment() -> Deployment;
        client_command(program: impl AsRef<OsStr>) -> Command;
        spawn(command: Command) -> Result<Child, LabError>;
        server(host: HostId) -> &Server;
        promote(host: HostId) -> Result<(), LabError>;
        demote(host: HostId) -> Result<(), LabError>;
        failover(to: HostId, timeout: Duration) -> Result<(), LabError>;
        wait_for_sync(replica: HostId, timeout: Duration) -> Result<(), LabError>;
        point_endpoint(to: Option<HostId>) -> ();
        endpoint() -> Option<HostId>;
        power_off(host: HostId) -> ();
        power_on(host: HostId) -> ();
        reboot(host: HostId, with: RestartWith) -> Result<(), LabError>;
        move_slots(slots: impl IntoIterator<Item = u16>, from: HostId, to: HostId) -> Result<(), LabError>;
        partition(on: bool) -> ();
        split(apart: &[HostId]) -> ();
        drop_replies(host: HostId, on: bool) -> ();
        hold(host: HostId, on: bool) -> ();
        reset_flows(host: HostId) -> usize;
        half_dead_dials(n: u32) -> ();
        delay_replication(delay: Duration) -> ();
        blackhole_new_flows(duration: Duration) -> ();
        flows() -> Vec<FlowInfo>;
        wire_stats() -> WireStats;
    }

    /// Never called: there is no lab.
    pub fn on_client_host<T: Send>(&self, _run: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        match self.0 {}
    }
}

impl Server {
    /// As on Linux.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    never! {
        host() -> HostId;
        info(section: &str, field: &str) -> Result<Option<String>, LabError>;
        pid() -> Option<u32>;
        is_running() -> bool;
        kill() -> Result<(), LabError>;
        shut_down(save: bool) -> Result<(), LabError>;
        stop_process() -> Result<(), LabError>;
        resume_process() -> Result<(), LabError>;
        restart(with: RestartWith) -> Result<(), LabError>;
        log() -> String;
    }

    /// Never called: there is no server.
    pub fn command<S: AsRef<[u8]>>(&self, _args: &[S]) -> Result<Reply, LabError> {
        match self.0 {}
    }

    /// Never called: there is no server.
    pub fn command_within<S: AsRef<[u8]>>(
        &self,
        _args: &[S],
        _patience: Duration,
    ) -> Result<Reply, LabError> {
        match self.0 {}
    }
}
