//! One Sentinel is cut off together with the old primary, and goes on naming it.

use std::time::Duration;

use redial_lab::{Deployment, HostId};

use super::sentinel::wait_for_promotion;
use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

/// How long there are two primaries.
const SPLIT_FOR: Duration = Duration::from_secs(3);

pub(crate) struct SentinelLies;

impl Drill for SentinelLies {
    fn name(&self) -> &'static str {
        "sentinel-lies"
    }

    fn summary(&self) -> &'static str {
        "one Sentinel, cut off with the old primary, goes on naming it"
    }

    fn story(&self) -> &'static str {
        "The network between the hosts splits: the primary and the first Sentinel on one side, the \
         replica and two Sentinels on the other, which promote it. The client reaches both sides, and \
         on its own connection nothing is wrong: the old primary takes writes that nobody will keep. \
         3 s later the network heals, and the old primary is made a replica as Sentinels do it (they \
         would take some ten seconds more): its clients' connections are closed, its data is \
         discarded. Recovery counts writes that are kept."
    }

    fn limits(&self) -> Limits {
        limits::SENTINEL_LIES
    }

    fn deployment(&self) -> Deployment {
        Deployment::Sentinel
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        let sentinels = stage.lab().deployment().sentinels();
        let beside = &sentinels[..1];
        stage.fault("the primary and one Sentinel are cut off from the others", || {
            stage.lab().split(&[&[HostId::A], beside].concat());
            Ok(())
        })?;
        wait_for_promotion(stage)?;
        stage.wait(SPLIT_FOR)?;
        stage.lab().split(&[]);
        stage.step("the network heals");
        stage.save_and_demote(HostId::A)?;
        stage.close_clients(HostId::A)?;
        stage.step("A becomes B's replica, and closes its clients' connections");
        Ok(())
    }
}
