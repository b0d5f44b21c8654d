//! The primary's host loses power.

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;
use redial_lab::HostId;

pub(crate) struct PowerOff;

impl Drill for PowerOff {
    fn name(&self) -> &'static str {
        "power-off"
    }

    fn summary(&self) -> &'static str {
        "the primary's host loses power: no FIN, no RST, ever"
    }

    fn story(&self) -> &'static str {
        "From one moment on no packet leaves or reaches the primary's host. The replica is promoted \
         after --promote-after and the endpoint leads new connections to it; those that exist stay \
         pinned to the dark host, as behind a cloud's load balancer. Beside the load, three more \
         clients are watched: one idle, one that only subscribes, one that waits in BLPOP."
    }

    fn limits(&self) -> Limits {
        limits::POWER_OFF
    }

    fn watches_quiet_clients(&self) -> bool {
        true
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("host A loses power", || {
            stage.lab().power_off(HostId::A);
            Ok(())
        })?;
        stage.wait(stage.plan().promote_after)?;
        stage.promote(HostId::B)?;
        stage.lead_to(HostId::B);
        Ok(())
    }
}
