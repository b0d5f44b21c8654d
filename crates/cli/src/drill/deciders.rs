//! Servers that decide for themselves who is primary: what they are asked, and waited for.

use std::time::Duration;

use anyhow::{Result, bail};
use redial_lab::{HostId, Reply};

use super::adapter_process::lock;
use super::cluster;
use super::stage::{OnStage, Stage};

/// With a node timeout of 2 s an election takes about 3 s, one that has to be repeated twice that.
const ELECTED_WITHIN: Duration = Duration::from_secs(30);

impl Stage<'_> {
    /// Reads what a primary of a cluster has that is cut off, before it comes back and discards it.
    pub(crate) fn save_stale(&self, host: HostId) -> Result<()> {
        if let OnStage::Load(load) = &self.subject {
            let data = cluster::read_stale(&self.lab, host, self.plan.callers, load.rounds())?;
            lock(&self.story).saved.push(data);
        }
        Ok(())
    }

    /// Waits until the replica of this primary of a cluster takes writes for its slots, and says so.
    pub(crate) fn wait_for_election(&self, of: HostId) -> Result<()> {
        let Some(replica) = self.lab.deployment().replica_of(of) else {
            bail!("{of} has no replica");
        };
        let key = cluster::key_of(of);
        if !self.wait_quickly(ELECTED_WITHIN, || self.takes_writes(replica, &key))? {
            bail!("{replica} did not take {of}'s slots within {} s", ELECTED_WITHIN.as_secs());
        }
        self.moved_to(replica, &format!("{replica} takes writes for {of}'s slots"));
        Ok(())
    }

    /// Whether INFO says so, `master` or `slave`.
    pub(crate) fn has_role(&self, host: HostId, role: &str) -> bool {
        let said = self.lab.server(host).info("replication", "role");
        said.is_ok_and(|said| said.as_deref() == Some(role))
    }

    /// Closes the connections of the host's clients, as Sentinels do when they reconfigure a server.
    pub(crate) fn close_clients(&self, host: HostId) -> Result<()> {
        for kind in ["normal", "pubsub"] {
            self.lab.server(host).command(&["CLIENT", "KILL", "TYPE", kind])?;
        }
        Ok(())
    }

    /// Whether the server takes a write now. One that does not answer takes none.
    pub(crate) fn takes_writes(&self, host: HostId, key: &str) -> bool {
        matches!(self.lab.server(host).command(&["SET", key, "1"]), Ok(Reply::Status(_)))
    }

    /// Whether the Sentinel names this host as the primary.
    pub(crate) fn names(&self, sentinel: HostId, primary: HostId) -> bool {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
        let reply = self.lab.server(sentinel).command(&ask);
        let ip = primary.ip().to_string();
        reply.is_ok_and(|reply| {
            reply.as_array().and_then(|parts| parts.first()?.as_str()) == Some(&*ip)
        })
    }
}
