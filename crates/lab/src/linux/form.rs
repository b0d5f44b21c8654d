//! How servers that have started become a pair, a watched pair, or a cluster.

use std::thread;
use std::time::{Duration, Instant};

use super::Server;
use super::server::LOOK_EVERY;
use crate::options::{PORT, SERVICE};
use crate::slots::first_slots;
use crate::{HostId, LabError, Reply};

/// How long idle servers may take to agree; a cluster takes 2 s before it takes writes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server of a cluster is started with beside the rest.
pub(super) fn cluster_arguments(host: HostId, tls: bool) -> Vec<String> {
    let ip = host.ip().to_string();
    let mut options = vec![
        ["--cluster-enabled", "yes"],
        ["--cluster-announce-ip", &ip],
        // A fraction of the default of 15 s, that a drill need not last for minutes.
        ["--cluster-node-timeout", "2000"],
        // Or else no slot is served while one has no primary, and there is nothing to tell apart.
        ["--cluster-require-full-coverage", "no"],
    ];
    if tls {
        options.push(["--tls-cluster", "yes"]);
    }
    options.into_iter().flatten().map(str::to_owned).collect()
}

/// Waits until the Sentinels agree that there is a quorum, and know the replica.
pub(super) fn watched(sentinels: &[&Server]) -> Result<(), LabError> {
    until("the Sentinels' agreement", || {
        for sentinel in sentinels {
            let quorum = sentinel.command(&["SENTINEL", "CKQUORUM", SERVICE])?;
            let replicas = sentinel.command(&["SENTINEL", "REPLICAS", SERVICE])?;
            let is_up = |replica| field(replica, "master-link-status") == Some("ok");
            let knows =
                replicas.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_up));
            if !knows || !matches!(quorum, Reply::Status(_)) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Makes a cluster of servers that know nothing of each other: the first three become primaries with
/// a third of the slots each, the others their replicas.
pub(super) fn cluster(servers: &[&Server]) -> Result<(), LabError> {
    let mut ids = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        server.expect_ok(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        ids.push(server.expect_ok(&["CLUSTER", "MYID"])?.as_str().unwrap_or_default().to_owned());
        if let Some(slots) = first_slots(server.host()) {
            let mut add = vec!["CLUSTER".to_owned(), "ADDSLOTS".to_owned()];
            add.extend(slots.map(|slot| slot.to_string()));
            server.expect_ok(&add)?;
        }
        for other in &servers[..index] {
            let (ip, port) = (other.host().ip().to_string(), PORT.to_string());
            server.expect_ok(&["CLUSTER", "MEET", &ip, &port])?;
        }
    }
    let lines = |server: &Server, word: &str| -> Result<usize, LabError> {
        let reply = server.expect_ok(&["CLUSTER", "NODES"])?;
        let lines = reply.as_str().unwrap_or_default().lines();
        Ok(lines.filter(|line| line.contains(word) && !line.contains("handshake")).count())
    };
    until("the nodes' acquaintance", || {
        servers
            .iter()
            .try_fold(true, |all, server| Ok(all && lines(server, "connected")? == servers.len()))
    })?;
    let primaries = servers.len() / 2;
    for (replica, id) in servers[primaries..].iter().zip(&ids) {
        replica.expect_ok(&["CLUSTER", "REPLICATE", id])?;
    }
    until("the cluster", || {
        for (index, server) in servers.iter().enumerate() {
            let state = server.expect_ok(&["CLUSTER", "INFO"])?;
            let is_ok = state.as_str().is_some_and(|text| text.contains("cluster_state:ok"));
            if !is_ok || lines(server, " slave ")? + lines(server, ",slave ")? != primaries {
                return Ok(false);
            }
            let link = server.info("replication", "master_link_status")?;
            if index >= primaries && link.as_deref() != Some("up") {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// A field of a reply that names its values.
fn field<'a>(named: &'a Reply, name: &str) -> Option<&'a str> {
    let pairs = named.as_array()?.chunks_exact(2);
    pairs.into_iter().find(|pair| pair[0].as_str() == Some(name))?[1].as_str()
}

fn until(what: &str, so: impl Fn() -> Result<bool, LabError>) -> Result<(), LabError> {
    let deadline = Instant::now() + PATIENCE;
    while !so()? {
        if Instant::now() > deadline {
            return Err(LabError::Timeout { what: what.to_owned(), after: PATIENCE });
        }
        thread::sleep(LOOK_EVERY * 5);
    }
    Ok(())
}
