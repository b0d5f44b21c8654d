//! Commands arrive, their replies do not.

use std::time::Duration;

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;
use redial_lab::HostId;

const LASTS: Duration = Duration::from_secs(1);

pub(crate) struct RepliesLost;

impl Drill for RepliesLost {
    fn name(&self) -> &'static str {
        "replies-lost"
    }

    fn summary(&self) -> &'static str {
        "replies are lost for 1 s while commands run, then reset and promotion"
    }

    fn story(&self) -> &'static str {
        "For 1 s everything that the primary sends to the client is dropped, while commands go on \
         arriving, running, and being replicated. Then the replica is promoted, the endpoint leads \
         to it, and the old connections are reset. A client that sends again whatever was not \
         answered runs it twice."
    }

    fn limits(&self) -> Limits {
        limits::REPLIES_LOST
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("A's replies are lost", || {
            stage.lab().drop_replies(HostId::A, true);
            Ok(())
        })?;
        stage.wait(LASTS)?;
        stage.fail_over(HostId::B)?;
        stage.lead_to(HostId::B);
        stage.lab().reset_flows(HostId::A);
        stage.lab().drop_replies(HostId::A, false);
        stage.step("A's connections are reset");
        Ok(())
    }
}
