//! A primary of a cluster loses power, and its replica is elected.

use redial_lab::{Deployment, HostId};

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

pub(crate) struct ClusterPowerOff;

impl Drill for ClusterPowerOff {
    fn name(&self) -> &'static str {
        "cluster-power-off"
    }

    fn summary(&self) -> &'static str {
        "one of a cluster's three primaries loses power, its replica is elected"
    }

    fn story(&self) -> &'static str {
        "A cluster of three primaries with a replica each, and a node timeout of 2 s. From one moment \
         on no packet leaves or reaches the first primary's host; the others elect its replica. \
         Recovery is that of its callers, from the moment at which the replica takes writes for their \
         slots. To the callers of all other slots nothing happens, and nothing is to be noticed."
    }

    fn limits(&self) -> Limits {
        limits::CLUSTER_POWER_OFF
    }

    fn deployment(&self) -> Deployment {
        Deployment::Cluster
    }

    fn hits(&self) -> Option<HostId> {
        Some(HostId::A)
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("host A, one of three primaries, loses power", || {
            stage.lab().power_off(HostId::A);
            Ok(())
        })?;
        stage.wait_for_election(HostId::A)
    }
}
