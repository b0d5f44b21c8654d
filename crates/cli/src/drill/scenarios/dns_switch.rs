//! The endpoint is a name, and its address changes later than the primary.

use std::time::Duration;

use redial_lab::{Endpoint, HostId};

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

/// Between the swap and the name's new address: what name servers and caches take.
const NAME_FOLLOWS_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct DnsSwitch;

impl Drill for DnsSwitch {
    fn name(&self) -> &'static str {
        "dns-switch"
    }

    fn summary(&self) -> &'static str {
        "primary and replica swap, and the name's address follows 1 s later"
    }

    fn story(&self) -> &'static str {
        "The endpoint is a name, as with most managed services that are not behind a load balancer. \
         The primary hands over to its replica by FAILOVER and stays reachable, its connections open; \
         for 1 s the name still has its address, so that who dials anew gets there again and is \
         refused its writes. Then the name has the new primary's address."
    }

    fn limits(&self) -> Limits {
        limits::DNS_SWITCH
    }

    fn endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint::Dns)
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("FAILOVER: A hands over to B", || stage.fail_over(HostId::B))?;
        stage.wait(NAME_FOLLOWS_AFTER)?;
        stage.lead_to(HostId::B);
        Ok(())
    }
}
