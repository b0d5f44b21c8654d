//! The primary becomes a replica and keeps its connections.

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;
use redial_lab::HostId;

pub(crate) struct Demotion;

impl Drill for Demotion {
    fn name(&self) -> &'static str {
        "demotion"
    }

    fn summary(&self) -> &'static str {
        "the primary becomes a replica and leaves its connections open"
    }

    fn story(&self) -> &'static str {
        "A cooperative FAILOVER: writes pause, the replica catches up and takes over, and the \
         endpoint leads to it at once. The old primary stays, answers reads, and refuses writes \
         with READONLY on the connections it had. Nothing is lost and nothing is ambiguous, so no \
         caller has to hear of it."
    }

    fn limits(&self) -> Limits {
        limits::DEMOTION
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("FAILOVER: A hands over to B and stays", || stage.fail_over(HostId::B))?;
        stage.lead_to(HostId::B);
        Ok(())
    }
}
