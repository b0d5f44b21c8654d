//! The lab: its construction, its topology and the faults, each handed to the part that does it.

use std::ffi::OsStr;
use std::process::{Child, Command};
use std::time::Duration;

use super::Server;
use crate::{FlowInfo, HostId, LabError, LabOptions, WireStats};

/// Moves the process into namespaces of its own (network, mount, and without root a user
/// namespace), in which labs can be made.
///
/// To be called first thing in `main`, while the process has one thread. Afterwards the process has
/// no network but its labs; its unix sockets and files are as before, except that
/// `/etc/resolv.conf` and `/etc/nsswitch.conf` are the lab's. A small child process is left waiting,
/// that kills whatever the lab started if this process ends in any way.
///
/// # Errors
/// [`LabError::Forbidden`] where the system forbids it, with what forbids it and what to do.
pub fn enter() -> Result<(), LabError> {
    Err(LabError::Unsupported)
}

/// Two servers, the client's host and the wire between them.
///
/// Its methods may be called from any thread. Dropping it ends the servers and every process in the
/// client's network, and removes everything it made.
#[derive(Debug)]
pub struct Lab {}

#[allow(clippy::unimplemented)]
impl Lab {
    /// Starts both servers, makes B a replica of A, waits until it is in sync, and leads the
    /// endpoint to A.
    ///
    /// # Errors
    /// [`LabError::NotEntered`] without [`enter`]; [`LabError::NoServer`] without a server program;
    /// [`LabError::Forbidden`] where TUN devices are not to be had.
    pub fn start(_options: LabOptions) -> Result<Self, LabError> {
        Err(LabError::NotEntered)
    }

    /// The endpoint, as the client gets it in `REDIS_URL`: `redis://10.77.0.100:6379` or
    /// `redis://redis.drill:6379`.
    #[must_use]
    pub fn url(&self) -> String {
        unimplemented!()
    }

    /// Product and version as the running server tells: `redis 7.0.15`, `valkey 8.1.1`.
    #[must_use]
    pub fn server_version(&self) -> &str {
        unimplemented!()
    }

    /// A command that will run on the client's host, with `REDIS_URL` set.
    ///
    /// The child is killed when the *thread* that spawned it ends, so spawn it with [`Lab::spawn`]
    /// or from a thread that outlives it.
    pub fn client_command(&self, _program: impl AsRef<OsStr>) -> Command {
        unimplemented!()
    }

    /// Spawns the command from a thread that lives as long as the lab.
    ///
    /// # Errors
    /// [`LabError::System`], naming the program, where it can't be started.
    pub fn spawn(&self, _command: Command) -> Result<Child, LabError> {
        unimplemented!()
    }

    /// Runs a closure on a thread of its own inside the client's network, and waits for its end.
    pub fn on_client_host<T: Send>(&self, _run: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        unimplemented!()
    }

    /// A server, to be asked, stopped, killed, frozen, restarted.
    #[must_use]
    pub fn server(&self, _host: HostId) -> &Server {
        unimplemented!()
    }

    // --- who is primary -------------------------------------------------------------------------

    /// Makes the host's server a primary (`REPLICAOF NO ONE`). Returns when it takes writes.
    pub fn promote(&self, _host: HostId) -> Result<(), LabError> {
        unimplemented!()
    }

    /// Makes the host's server a replica of the other host's (`REPLICAOF`). Its clients' connections
    /// stay open. Returns at once; see [`Lab::wait_for_sync`].
    pub fn demote(&self, _host: HostId) -> Result<(), LabError> {
        unimplemented!()
    }

    /// The cooperative swap: `FAILOVER TO … TIMEOUT` from the present primary to `to`. Returns when
    /// `to` is primary and the other its replica. Does not move the endpoint.
    pub fn failover(&self, _to: HostId, _timeout: Duration) -> Result<(), LabError> {
        unimplemented!()
    }

    /// Waits until the replica on this host is connected and has all that its primary has.
    pub fn wait_for_sync(&self, _replica: HostId, _timeout: Duration) -> Result<(), LabError> {
        unimplemented!()
    }

    // --- where the endpoint leads ---------------------------------------------------------------

    /// Leads new flows (or new answers of the name server) to this host. With `None` the SYN of any
    /// new flow of the client vanishes, whatever it is addressed to. Flows that exist are not moved,
    /// and a SYN that is sent again belongs to the flow, and host, of the first.
    pub fn point_endpoint(&self, _to: Option<HostId>) {
        unimplemented!()
    }

    /// Where the endpoint leads now.
    #[must_use]
    pub fn endpoint(&self) -> Option<HostId> {
        unimplemented!()
    }

    // --- faults ---------------------------------------------------------------------------------

    /// From now on no packet leaves or reaches the host: no FIN, no RST, no ICMP. What had left it
    /// before still arrives. Its server goes on running behind the silence, so that its data can be
    /// read past the wire.
    pub fn power_off(&self, _host: HostId) {
        unimplemented!()
    }

    /// Ends [`Lab::power_off`]. The host comes back *with* its state; for a host that lost it, restart the
    /// server first.
    pub fn power_on(&self, _host: HostId) {
        unimplemented!()
    }

    /// While on, every packet between the client and either host is dropped, both ways, those on
    /// their way included. Replication between the hosts, and the name server, are not affected.
    pub fn partition(&self, _on: bool) {
        unimplemented!()
    }

    /// While on, everything that the host sends to the client is dropped, except SYN-ACKs: replies,
    /// bare acknowledgements, FIN and RST. So commands arrive and are applied, and the client hears
    /// nothing; new connections are accepted and then as mute as the old ones.
    pub fn drop_replies(&self, _host: HostId, _on: bool) {
        unimplemented!()
    }

    /// While on, packets between the client and the host, both ways, are held in order; turning it
    /// off delivers them all. Nothing is lost.
    pub fn hold(&self, _host: HostId, _on: bool) {
        unimplemented!()
    }

    /// Sends a RST to both ends of every flow between the client and the host, behind what is on its
    /// way already. Returns the number of flows.
    pub fn reset_flows(&self, _host: HostId) -> usize {
        unimplemented!()
    }

    /// The next `n` new flows complete TCP's handshake, and then everything with payload that the
    /// client sends on them vanishes: connected, and never answered.
    pub fn half_dead_dials(&self, _n: u32) {
        unimplemented!()
    }

    /// For this long, SYNs of new flows of the client vanish; zero ends it.
    pub fn blackhole_new_flows(&self, _duration: Duration) {
        unimplemented!()
    }

    // --- what the wire saw ----------------------------------------------------------------------

    /// Every flow that the client opened since the lab started, oldest first (of more than 65,536
    /// the newest). Names resolved, and flows of the lab's own, are not among them.
    #[must_use]
    pub fn flows(&self) -> Vec<FlowInfo> {
        unimplemented!()
    }

    /// Totals of the wire.
    #[must_use]
    pub fn wire_stats(&self) -> WireStats {
        unimplemented!()
    }
}
