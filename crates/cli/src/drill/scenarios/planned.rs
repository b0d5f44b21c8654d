//! Maintenance: both hosts are patched, one after the other.

use std::time::Duration;

use anyhow::bail;
use redial_lab::{HostId, RestartWith};

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

/// Between a switch and what follows, so that each can be seen on its own.
const BETWEEN: Duration = Duration::from_millis(1500);
const SYNC_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct Planned;

impl Planned {
    /// The host's server is restarted and comes back as the other's replica.
    fn patch(stage: &Stage<'_>, host: HostId) -> anyhow::Result<()> {
        stage.step(&format!("{host} is patched: its server restarts"));
        stage.lab().server(host).restart(RestartWith::ItsData)?;
        stage.lab().demote(host)?;
        stage.lab().wait_for_sync(host, SYNC_WITHIN)?;
        // The replica has all, but FAILOVER is refused until its primary has heard so.
        let online = || Self::lists_online_replica(stage, host.other());
        if !stage.wait_until(SYNC_WITHIN, online)? {
            bail!("{} does not count {host} as an online replica", host.other());
        }
        stage.step(&format!("{host} is back as replica, in sync"));
        Ok(())
    }

    fn lists_online_replica(stage: &Stage<'_>, primary: HostId) -> bool {
        let replica = stage.lab().server(primary).info("replication", "slave0");
        replica.is_ok_and(|field| field.is_some_and(|field| field.contains("state=online")))
    }

    fn switch(stage: &Stage<'_>, to: HostId) -> anyhow::Result<()> {
        let from = to.other();
        stage.fault(&format!("FAILOVER: {from} hands over to {to}"), || stage.fail_over(to))?;
        stage.lead_to(to);
        stage.wait(BETWEEN)
    }
}

impl Drill for Planned {
    fn name(&self) -> &'static str {
        "planned"
    }

    fn summary(&self) -> &'static str {
        "maintenance: both hosts are patched in turn, two cooperative switches"
    }

    fn story(&self) -> &'static str {
        "The five steps of a patch: the replica restarts and syncs; the primary hands over to it by \
         FAILOVER and the endpoint follows; the old primary restarts; it returns as replica and \
         syncs; then the same for the other node, so that the client is switched twice."
    }

    fn limits(&self) -> Limits {
        limits::PLANNED
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        Self::patch(stage, HostId::B)?;
        Self::switch(stage, HostId::B)?;
        Self::patch(stage, HostId::A)?;
        Self::switch(stage, HostId::A)?;
        Self::patch(stage, HostId::B)
    }
}
