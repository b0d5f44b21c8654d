//! An operator has a replica take over its primary's slots.

use anyhow::bail;
use redial_lab::{Deployment, HostId, Reply};

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

pub(crate) struct ClusterFailover;

impl Drill for ClusterFailover {
    fn name(&self) -> &'static str {
        "cluster-failover"
    }

    fn summary(&self) -> &'static str {
        "a replica of a cluster takes over by CLUSTER FAILOVER"
    }

    fn story(&self) -> &'static str {
        "CLUSTER FAILOVER on the first primary's replica, as before maintenance: the primary holds \
         writes back until the replica has all, and hands its slots over. Nothing is lost and no \
         connection breaks; the old primary answers MOVED, first to what it held back."
    }

    fn limits(&self) -> Limits {
        limits::CLUSTER_FAILOVER
    }

    fn deployment(&self) -> Deployment {
        Deployment::Cluster
    }

    fn hits(&self) -> Option<HostId> {
        Some(HostId::A)
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        let Some(replica) = stage.lab().deployment().replica_of(HostId::A) else {
            bail!("A has no replica");
        };
        stage.fault(&format!("CLUSTER FAILOVER on {replica}, A's replica"), || {
            match stage.lab().server(replica).command(&["CLUSTER", "FAILOVER"])? {
                Reply::Error(text) => bail!("{replica} refused CLUSTER FAILOVER: {text}"),
                _ => Ok(()),
            }
        })?;
        stage.wait_for_election(HostId::A)
    }
}
