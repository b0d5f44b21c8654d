//! A primary of a cluster is cut off from everybody for a while.

use std::time::Duration;

use anyhow::bail;
use redial_lab::{Deployment, HostId};

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

/// After the election: a client that has recovered by then must not go back.
const BACK_AFTER: Duration = Duration::from_secs(2);
const DEMOTED_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct ClusterPartition;

impl Drill for ClusterPartition {
    fn name(&self) -> &'static str {
        "cluster-partition"
    }

    fn summary(&self) -> &'static str {
        "a primary is cut off from cluster and client, replaced, and back"
    }

    fn story(&self) -> &'static str {
        "The first primary's host is cut off from the other nodes and from the client; its replica is \
         elected. 2 s later the network heals, with the old connections still open; the old primary \
         learns of the election and becomes a replica, and what only it had is discarded."
    }

    fn limits(&self) -> Limits {
        limits::CLUSTER_PARTITION
    }

    fn deployment(&self) -> Deployment {
        Deployment::Cluster
    }

    fn hits(&self) -> Option<HostId> {
        Some(HostId::A)
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("A is cut off from the client and from the cluster", || {
            stage.lab().power_off(HostId::A);
            Ok(())
        })?;
        stage.wait_for_election(HostId::A)?;
        stage.wait(BACK_AFTER)?;
        stage.save_stale(HostId::A)?;
        stage.lab().power_on(HostId::A);
        stage.step("A is back, and believes that it is primary");
        if !stage.wait_until(DEMOTED_WITHIN, || stage.has_role(HostId::A, "slave"))? {
            bail!("A did not give up its slots within {} s", DEMOTED_WITHIN.as_secs());
        }
        stage.step("A has become a replica");
        Ok(())
    }
}
