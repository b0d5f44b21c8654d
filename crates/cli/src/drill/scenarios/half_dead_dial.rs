//! The first way back leads nowhere.

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;
use redial_lab::HostId;

pub(crate) struct HalfDeadDial;

impl Drill for HalfDeadDial {
    fn name(&self) -> &'static str {
        "half-dead-dial"
    }

    fn summary(&self) -> &'static str {
        "the first reconnect after a kill is accepted and never answered"
    }

    fn story(&self) -> &'static str {
        "As kill, but of the connections that the new primary accepts the first is a trap: TCP \
         connects, and whatever the client then sends vanishes, as with a load balancer that has \
         pinned the flow to a dead backend. A client that waits for its one dial waits for long."
    }

    fn limits(&self) -> Limits {
        limits::HALF_DEAD_DIAL
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("the server on A is killed", || Ok(stage.lab().server(HostId::A).kill()?))?;
        stage.wait(stage.plan().promote_after)?;
        stage.promote(HostId::B)?;
        stage.lab().half_dead_dials(1);
        stage.lead_to(HostId::B);
        Ok(())
    }
}
