//! The primary's process stops, and wakes when another is primary.

use std::time::Duration;

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;
use redial_lab::HostId;

/// After the promotion; a client that has recovered by then must not go back.
const WAKES_AFTER: Duration = Duration::from_secs(1);
/// How long the woken one believes that it is still primary.
const STALE_FOR: Duration = Duration::from_secs(3);

pub(crate) struct HangAndWake;

impl Drill for HangAndWake {
    fn name(&self) -> &'static str {
        "hang-and-wake"
    }

    fn summary(&self) -> &'static str {
        "a hung primary wakes after the promotion, believing it is primary"
    }

    fn story(&self) -> &'static str {
        "As hang, and 1 s after the promotion SIGCONT: the old primary runs whatever waits in its \
         sockets and takes writes that nobody will keep. 3 s later it is made a replica, and its \
         data is discarded. A write that it acknowledged to the client in the meantime is lost."
    }

    fn limits(&self) -> Limits {
        limits::HANG_AND_WAKE
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("the server on A is stopped", || stage.freeze(HostId::A))?;
        stage.wait(stage.plan().promote_after)?;
        stage.promote(HostId::B)?;
        stage.lead_to(HostId::B);
        stage.wait(WAKES_AFTER)?;
        stage.thaw(HostId::A)?;
        stage.step("the server on A wakes, as a stale primary");
        stage.wait(STALE_FOR)?;
        stage.save_and_demote(HostId::A)?;
        stage.step("A becomes B's replica");
        Ok(())
    }
}
