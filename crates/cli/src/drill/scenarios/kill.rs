//! The primary's process is killed.

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;
use redial_lab::HostId;

pub(crate) struct Kill;

impl Drill for Kill {
    fn name(&self) -> &'static str {
        "kill"
    }

    fn summary(&self) -> &'static str {
        "the primary's process is killed; its host resets the connections"
    }

    fn story(&self) -> &'static str {
        "SIGKILL to the primary. Its kernel closes the connections and refuses new ones until the \
         replica is promoted after --promote-after and the endpoint leads to it. What the process \
         had in memory is gone."
    }

    fn limits(&self) -> Limits {
        limits::KILL
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("the server on A is killed", || Ok(stage.lab().server(HostId::A).kill()?))?;
        stage.wait(stage.plan().promote_after)?;
        stage.promote(HostId::B)?;
        stage.lead_to(HostId::B);
        Ok(())
    }
}
