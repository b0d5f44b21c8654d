//! The primary's host loses power, and Sentinels promote its replica.

use std::time::Duration;

use anyhow::bail;
use redial_lab::{Deployment, HostId};

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

/// Sentinels need a second to hold the primary for down and up to two to elect one of them; where
/// votes were split the next attempt begins after six more.
const PROMOTED_WITHIN: Duration = Duration::from_secs(30);
/// More than half of three.
const MAJORITY: usize = 2;

pub(crate) struct Sentinel;

/// Waits until B takes writes, then until a majority of the Sentinels name it.
pub(super) fn wait_for_promotion(stage: &Stage<'_>) -> anyhow::Result<()> {
    if !stage.wait_quickly(PROMOTED_WITHIN, || stage.takes_writes(HostId::B, "accepting"))? {
        bail!("the Sentinels did not promote B within {} s", PROMOTED_WITHIN.as_secs());
    }
    stage.moved_to(HostId::B, "B takes writes: a Sentinel has promoted it");
    let sentinels = stage.lab().deployment().sentinels();
    let agree = || sentinels.iter().filter(|host| stage.names(**host, HostId::B)).count();
    if !stage.wait_quickly(PROMOTED_WITHIN, || agree() >= MAJORITY)? {
        bail!("no majority of the Sentinels names B");
    }
    stage.step("two Sentinels of three name B");
    Ok(())
}

impl Drill for Sentinel {
    fn name(&self) -> &'static str {
        "sentinel"
    }

    fn summary(&self) -> &'static str {
        "the primary's host loses power, and three Sentinels replace it"
    }

    fn story(&self) -> &'static str {
        "A primary and its replica are watched by three Sentinels, which hold a server for down \
         after 1 s. From one moment on no packet leaves or reaches the primary's host; the Sentinels \
         promote the replica in their own time, and recovery is counted from the moment at which it \
         takes writes, which is before they name it."
    }

    fn limits(&self) -> Limits {
        limits::SENTINEL
    }

    fn deployment(&self) -> Deployment {
        Deployment::Sentinel
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("host A, the primary, loses power", || {
            stage.lab().power_off(HostId::A);
            Ok(())
        })?;
        wait_for_promotion(stage)
    }
}
