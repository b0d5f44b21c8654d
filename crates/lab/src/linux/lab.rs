//! The lab: its construction, its topology and the faults, each handed to the part that does it.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::build::{build_network, kind, make_certificates, next_name, url, version};
use super::certificates::Certificates;
use super::enter::{doing, session};
use super::keeper::Keeper;
use super::place::Network;
use super::program::Program;
use super::server::{LOOK_EVERY, Server, Setup};
use super::wire::Wire;
use super::{form, scratch, sys, warden};
use crate::options::PORT;
use crate::{Deployment, FlowInfo, HostId, LabError, LabOptions, RestartWith, WireStats};

/// How long two idle servers may take to get in sync.
const SYNC_PATIENCE: Duration = Duration::from_secs(10);

/// Servers, the client's host and the wire between them.
///
/// Its methods may be called from any thread. Dropping it ends the servers and every process in the
/// client's network, and removes everything it made.
#[derive(Debug)]
pub struct Lab {
    url: String,
    authority: Option<PathBuf>,
    server_version: String,
    deployment: Deployment,
    /// And Sentinels, in the order of the hosts.
    servers: Vec<Server>,
    client: Network,
    wire: Wire,
    keeper: Arc<Keeper>,
    directory: PathBuf,
}

impl Lab {
    /// Starts the servers, makes of them what [`LabOptions::deployment`] says, waits until replicas are in sync and
    /// who is to agree agrees, and leads the endpoint to A.
    ///
    /// # Errors
    /// [`LabError::NotEntered`] without [`enter`](crate::enter); [`LabError::NoServer`] without a server program;
    /// [`LabError::Server`], with the end of its log, if one does not come up.
    pub fn start(options: LabOptions) -> Result<Self, LabError> {
        let session = session()?;
        let url = url(session, &options)?;
        let program = Program::find(options.server_bin.as_deref())?;
        let keeper = Arc::new(Keeper::start().map_err(doing("start a thread"))?);
        let (networks, client, wire) = build_network(session, &options)?;
        let directory = scratch::path(&session.scratch).join(next_name());
        let certificates = make_certificates(&options)?;
        let start = |host: HostId| {
            let directory = directory.join(host.to_string());
            if let Some(certificates) = &certificates {
                certificates.write(&directory).map_err(doing("write the certificates"))?;
            }
            let setup = Setup {
                program: program.clone(),
                kind: kind(host, &options),
                directory_from_outside: scratch::seen_from_outside(&session.scratch, &directory),
                directory,
                network: networks[host.index()].namespace(),
                keeper: Arc::clone(&keeper),
            };
            Server::start(host, setup)
        };
        let deployment = options.deployment;
        let mut servers = Vec::new();
        for host in deployment.servers() {
            servers.push(start(host)?);
        }
        let server_version = version(&servers[HostId::A.index()])?;
        let authority = certificates.as_ref().map(|_| {
            let of_a = directory.join(HostId::A.to_string());
            Certificates::authority_in(&scratch::seen_from_outside(&session.scratch, &of_a))
        });
        let keeper_of_lab = Arc::clone(&keeper);
        let mut lab = Self {
            url,
            authority,
            server_version,
            deployment,
            servers,
            client,
            wire,
            keeper: keeper_of_lab,
            directory: directory.clone(),
        };
        if deployment == Deployment::Cluster {
            form::cluster(&lab.servers.iter().collect::<Vec<_>>())?;
            return Ok(lab);
        }
        lab.demote(HostId::B)?;
        lab.wait_for_sync(HostId::B, SYNC_PATIENCE)?;
        for host in deployment.sentinels() {
            lab.servers.push(start(host)?);
        }
        form::watched(
            &deployment.sentinels().iter().map(|host| lab.server(*host)).collect::<Vec<_>>(),
        )?;
        Ok(lab)
    }

    /// Which hosts there are.
    #[must_use]
    pub fn deployment(&self) -> Deployment {
        self.deployment
    }

    /// What the client gets in `REDIS_URL`: `redis://10.77.0.100:6379`, `redis://redis.drill:6379`, or all Sentinels or three nodes of
    /// the cluster, as in `redis+sentinel://10.77.0.3:26379,…/mymaster` and `redis+cluster://10.77.0.1:6379,…`. With TLS `rediss`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Product and version as the running server tells: `redis 7.0.15`, `valkey 8.1.1`.
    #[must_use]
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// The certificate of the authority that issued the servers' (PEM), where they speak TLS; the client gets it in `REDIS_CA_FILE`.
    #[must_use]
    pub fn authority(&self) -> Option<PathBuf> {
        self.authority.clone()
    }

    /// A command that will run on the client's host, with `REDIS_URL` set. Where the servers speak TLS, `REDIS_CA_FILE` names the authority's certificate, and so do
    /// `SSL_CERT_FILE` and `NODE_EXTRA_CA_CERTS`, which OpenSSL, rustls and Node.js read by themselves.
    ///
    /// The child is killed when the *thread* that spawned it ends, so spawn it with [`Lab::spawn`]
    /// or from a thread that outlives it.
    pub fn client_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("REDIS_URL", &self.url);
        if let Some(authority) = &self.authority {
            for variable in ["REDIS_CA_FILE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
                command.env(variable, authority);
            }
        }
        sys::run_in(&mut command, sys::Place { network: self.client.namespace(), directory: None });
        command
    }

    /// Spawns the command from a thread that lives as long as the lab.
    ///
    /// # Errors
    /// [`LabError::System`], naming the program, where it can't be started.
    pub fn spawn(&self, command: Command) -> Result<Child, LabError> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.keeper.spawn(command).map_err(doing(format!("run {program}")))
    }

    /// Runs a closure on a thread of its own inside the client's network, and waits for its end.
    pub fn on_client_host<T: Send>(&self, run: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.client.run(run)
    }

    /// A server or a Sentinel, to be asked, stopped, killed, frozen, restarted. The host must be one of [`Lab::deployment`]'s.
    #[must_use]
    pub fn server(&self, host: HostId) -> &Server {
        &self.servers[host.index()]
    }

    // --- who is primary -------------------------------------------------------------------------

    /// Makes the host's server a primary (`REPLICAOF NO ONE`). Returns when it takes writes.
    pub fn promote(&self, host: HostId) -> Result<(), LabError> {
        self.server(host).expect_ok(&["REPLICAOF", "NO", "ONE"]).map(drop)
    }

    /// Makes the host's server a replica of the other host's (`REPLICAOF`). Its clients' connections
    /// stay open. Returns at once; see [`Lab::wait_for_sync`].
    pub fn demote(&self, host: HostId) -> Result<(), LabError> {
        let primary = host.other().ip().to_string();
        self.server(host).expect_ok(&["REPLICAOF", &primary, &PORT.to_string()]).map(drop)
    }

    /// The cooperative swap: `FAILOVER TO … TIMEOUT` from the present primary to `to`. Returns when
    /// `to` is primary and the other its replica. Does not move the endpoint.
    pub fn failover(&self, to: HostId, timeout: Duration) -> Result<(), LabError> {
        let (old, new) = (self.server(to.other()), self.server(to));
        let millis = timeout.as_millis().to_string();
        let (ip, port) = (to.ip().to_string(), PORT.to_string());
        old.expect_ok(&["FAILOVER", "TO", &ip, &port, "TIMEOUT", &millis])?;
        // The server gives up by itself after the timeout; what follows is a handshake between the two.
        let deadline = Instant::now() + timeout + Server::PATIENCE;
        loop {
            let state = old.info("replication", "master_failover_state")?;
            let swapped = role(old)? == "slave" && role(new)? == "master";
            match state.as_deref() {
                Some("no-failover") | None if swapped => return Ok(()),
                Some("no-failover") | None if role(old)? == "master" => {
                    let what = format!("it gave up the failover to {to}; its log tells why");
                    return Err(LabError::Server { host: to.other(), what });
                }
                _ if Instant::now() > deadline => {
                    return Err(LabError::Timeout {
                        what: format!("the failover to {to}"),
                        after: timeout + Server::PATIENCE,
                    });
                }
                _ => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Waits until the replica on this host is connected and has all that its primary has.
    pub fn wait_for_sync(&self, replica: HostId, timeout: Duration) -> Result<(), LabError> {
        let deadline = Instant::now() + timeout;
        let (replica, primary) = (self.server(replica), self.server(replica.other()));
        let offset = |server: &Server, field: &str| -> Result<Option<i64>, LabError> {
            Ok(server.info("replication", field)?.and_then(|value| value.parse().ok()))
        };
        let mut wanted = None;
        loop {
            if replica.info("replication", "master_link_status")?.as_deref() == Some("up") {
                // What the primary has now: under load it is always ahead.
                let wanted = match wanted {
                    Some(wanted) => wanted,
                    None => *wanted.insert(offset(primary, "master_repl_offset")?),
                };
                if offset(replica, "slave_repl_offset")? >= wanted {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                let what = format!("the sync of replica {}", replica.host());
                return Err(LabError::Timeout { what, after: timeout });
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    // --- where the endpoint leads ---------------------------------------------------------------

    /// Leads new flows (or new answers of the name server) to this host. With `None` the SYN of any
    /// new flow of the client vanishes, whatever it is addressed to. Flows that exist are not moved,
    /// and a SYN that is sent again belongs to the flow, and host, of the first.
    pub fn point_endpoint(&self, to: Option<HostId>) {
        self.wire.with(|switch| switch.point_endpoint(to));
    }

    /// Where the endpoint leads now.
    #[must_use]
    pub fn endpoint(&self) -> Option<HostId> {
        self.wire.with(|switch| switch.target())
    }

    // --- faults ---------------------------------------------------------------------------------

    /// From now on no packet leaves or reaches the host: no FIN, no RST, no ICMP. What had left it
    /// before still arrives. Its server goes on running behind the silence, so that its data can be
    /// read past the wire.
    pub fn power_off(&self, host: HostId) {
        self.wire.with(|switch| switch.faults.powered_off[host] = true);
    }

    /// Ends [`Lab::power_off`]. The host comes back *with* its state, connections included, as after a
    /// cut cable; see [`Lab::reboot`].
    pub fn power_on(&self, host: HostId) {
        self.wire.with(|switch| switch.faults.powered_off[host] = false);
    }

    /// Brings the host back as after a reboot: its server is started anew, with or without data, as a
    /// primary, and the host knows none of its former connections. Nobody is told: a client learns it
    /// by a RST, when it next sends, or its kernel sends again.
    ///
    /// # Errors
    /// As those of [`Server::restart`].
    pub fn reboot(&self, host: HostId, with: RestartWith) -> Result<(), LabError> {
        // Without power, so that what the dying server's kernel says is not heard.
        self.power_off(host);
        self.server(host).restart(with)?;
        self.wire.with(|switch| switch.forget_flows(Instant::now(), host));
        self.power_on(host);
        Ok(())
    }

    /// While on, every packet between the client and either host is dropped, both ways, those on
    /// their way included. Replication between the hosts, and the name server, are not affected.
    pub fn partition(&self, on: bool) {
        self.wire.with(|switch| switch.partition(on));
    }

    /// From now on these hosts reach each other and not the others, nor the others them; none ends it. The client reaches all. What is
    /// on its way still arrives.
    pub fn split(&self, apart: &[HostId]) {
        self.wire.with(|switch| switch.split(apart));
    }

    /// While on, everything that the host sends to the client is dropped, except SYN-ACKs: replies,
    /// bare acknowledgements, FIN and RST. So commands arrive and are applied, and the client hears
    /// nothing; new connections are accepted and then as mute as the old ones.
    pub fn drop_replies(&self, host: HostId, on: bool) {
        self.wire.with(|switch| switch.faults.replies_dropped[host] = on);
    }

    /// While on, packets between the client and the host, both ways, are held in order; turning it
    /// off delivers them all. Nothing is lost.
    pub fn hold(&self, host: HostId, on: bool) {
        self.wire.with(|switch| switch.hold(Instant::now(), host, on));
    }

    /// Sends a RST to both ends of every flow between the client and the host, behind what is on its
    /// way already. Returns the number of flows.
    pub fn reset_flows(&self, host: HostId) -> usize {
        self.wire.with(|switch| switch.reset_flows(Instant::now(), host))
    }

    /// The next `n` new flows complete TCP's handshake, and then everything with payload that the
    /// client sends on them vanishes: connected, and never answered.
    pub fn half_dead_dials(&self, n: u32) {
        self.wire.with(|switch| switch.faults.half_dead_dials = n);
    }

    /// From now on everything between the two hosts takes so much longer, each way: a replica that lags. What its primary
    /// acknowledged meanwhile is lost with it.
    pub fn delay_replication(&self, delay: Duration) {
        self.wire.with(|switch| switch.delay_replication(delay));
    }

    /// For this long, SYNs of new flows of the client vanish; zero ends it.
    pub fn blackhole_new_flows(&self, duration: Duration) {
        let until = Instant::now().checked_add(duration);
        self.wire.with(|switch| switch.faults.blackhole_until = until);
    }

    // --- what the wire saw ----------------------------------------------------------------------

    /// Every flow that the client opened since the lab started, oldest first (of more than 65,536
    /// the newest). Names resolved, and flows of the lab's own, are not among them.
    #[must_use]
    pub fn flows(&self) -> Vec<FlowInfo> {
        self.wire.with(|switch| switch.flows())
    }

    /// Totals of the wire.
    #[must_use]
    pub fn wire_stats(&self) -> WireStats {
        self.wire.with(|switch| switch.stats())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What the program under test started in turn has no other owner.
        warden::kill_all_in("net", self.client.identity());
        for server in &self.servers {
            let _ = server.kill();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn role(server: &Server) -> Result<String, LabError> {
    Ok(server.info("replication", "role")?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_may_be_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Lab>();
    }

    #[test]
    fn without_entering_there_is_no_lab() {
        assert!(matches!(Lab::start(LabOptions::default()), Err(LabError::NotEntered)));
    }
}
