//! The client is cut off from both servers, and nothing fails over.

use std::time::Duration;

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

const LASTS: Duration = Duration::from_secs(3);

pub(crate) struct Partition;

impl Drill for Partition {
    fn name(&self) -> &'static str {
        "partition"
    }

    fn summary(&self) -> &'static str {
        "the client's network is gone for 3 s, then heals"
    }

    fn story(&self) -> &'static str {
        "Every packet between the client and either server is dropped for 3 s; then the same server \
         is there again, with the old connections still open. The old connection must not run \
         anything after something newer."
    }

    fn limits(&self) -> Limits {
        limits::PARTITION
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("the client is cut off", || {
            stage.lab().partition(true);
            Ok(())
        })?;
        stage.wait(LASTS)?;
        stage.lab().partition(false);
        stage.accepting("the network heals");
        Ok(())
    }
}
