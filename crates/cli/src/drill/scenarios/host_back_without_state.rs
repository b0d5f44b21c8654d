//! The primary's host loses power, and is soon back as the same primary.

use redial_lab::{HostId, Reply, RestartWith};

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;
use anyhow::bail;

pub(crate) struct HostBackWithoutState;

impl Drill for HostBackWithoutState {
    fn name(&self) -> &'static str {
        "host-back-without-state"
    }

    fn summary(&self) -> &'static str {
        "the primary's host reboots, and knows none of its connections"
    }

    fn story(&self) -> &'static str {
        "From one moment on no packet leaves or reaches the primary's host. After --promote-after it \
         is back, its server started anew as primary with all its data; nothing failed over. Of its \
         former connections it has no record, and tells nobody: a client hears a reset when its \
         kernel sends again, which after 2 s of silence may be seconds away."
    }

    fn limits(&self) -> Limits {
        limits::HOST_BACK_WITHOUT_STATE
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        let server = stage.lab().server(HostId::A);
        stage.fault("host A loses power", || {
            stage.lab().power_off(HostId::A);
            Ok(())
        })?;
        stage.wait(stage.plan().promote_after)?;
        // As a server that writes to its disk before it answers; and without the wait for its replica
        // that a shutdown would begin with.
        if let Reply::Error(text) = server.command(&["SAVE"])? {
            bail!("A refused SAVE: {text}");
        }
        server.kill()?;
        stage.lab().reboot(HostId::A, RestartWith::ItsData)?;
        stage.moved_to(HostId::A, "A is back, as primary and with its data");
        Ok(())
    }
}
