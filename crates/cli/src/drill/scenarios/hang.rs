//! The primary's process stops, its kernel does not.

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;
use redial_lab::HostId;

pub(crate) struct Hang;

impl Drill for Hang {
    fn name(&self) -> &'static str {
        "hang"
    }

    fn summary(&self) -> &'static str {
        "the primary's process stands still; its kernel goes on acknowledging"
    }

    fn story(&self) -> &'static str {
        "SIGSTOP to the primary: connections are accepted and data acknowledged by a kernel behind \
         which nobody reads, so no timer of TCP ever fires. The replica is promoted after \
         --promote-after. The process wakes only when the load is over, so that what it would \
         still have run shows in its data."
    }

    fn limits(&self) -> Limits {
        limits::HANG
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("the server on A is stopped", || stage.freeze(HostId::A))?;
        stage.wait(stage.plan().promote_after)?;
        stage.promote(HostId::B)?;
        stage.lead_to(HostId::B);
        Ok(())
    }
}
