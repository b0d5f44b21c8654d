//! The drills that there are, one a file, and the registry that lists them.

use std::time::Duration;

use redial_lab::{Deployment, Endpoint, HostId};

use super::limits::Limits;
use super::stage::Stage;
use super::workload::Spread;

mod cluster_failover;
mod cluster_partition;
mod cluster_power_off;
mod cluster_reshard;
mod demotion;
mod dns_switch;
mod half_dead_dial;
mod hang;
mod hang_and_wake;
mod host_back_without_state;
mod kill;
mod partition;
mod planned;
mod power_off;
mod replies_lost;
mod sentinel;
mod sentinel_lies;
mod slow;
mod storm;

/// One rehearsed failover.
pub(crate) trait Drill: Sync {
    /// The word on the command line.
    fn name(&self) -> &'static str;

    /// One line for `--list`.
    fn summary(&self) -> &'static str;

    /// What happens in it, when, and what real event it stands for.
    fn story(&self) -> &'static str;

    /// What it demands of the client.
    fn limits(&self) -> Limits;

    /// What the client faces.
    fn deployment(&self) -> Deployment {
        Deployment::Pair
    }

    /// How the client is led to the primary, where that is the drill's own affair.
    fn endpoint(&self) -> Option<Endpoint> {
        None
    }

    /// The primary of a cluster whose callers the fault may reach. Callers of other slots are judged
    /// apart: nothing is to reach them.
    fn hits(&self) -> Option<HostId> {
        None
    }

    /// How many clients there are, where it is not one that all callers share.
    fn crowd(&self) -> Option<Crowd> {
        None
    }

    /// Other forms of the fault, for `--variant`; the first is the default.
    fn variants(&self) -> &'static [Variant] {
        &[]
    }

    /// Whether three clients that send next to nothing are watched beside the load.
    fn watches_quiet_clients(&self) -> bool {
        false
    }

    /// Makes the fault and whatever follows, on a stage where the load is under way.
    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()>;
}

/// Many clients, in several processes, with one caller each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowd {
    pub(crate) spread: Spread,
    /// Each caller's pause.
    pub(crate) pause: Duration,
}

impl Crowd {
    pub(crate) fn callers(self) -> usize {
        self.spread.processes * self.spread.clients
    }
}

/// One form of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// The round-trip time without `--rtt`, in milliseconds.
    pub(crate) rtt_ms: u64,
}

/// Every drill, in the order of `--list` and `all`.
pub(crate) const DRILLS: &[&dyn Drill] = &[
    &planned::Planned,
    &power_off::PowerOff,
    &kill::Kill,
    &demotion::Demotion,
    &hang::Hang,
    &hang_and_wake::HangAndWake,
    &partition::Partition,
    &slow::Slow,
    &replies_lost::RepliesLost,
    &half_dead_dial::HalfDeadDial,
    &host_back_without_state::HostBackWithoutState,
    &dns_switch::DnsSwitch,
    &storm::Storm,
    &sentinel::Sentinel,
    &sentinel_lies::SentinelLies,
    &cluster_power_off::ClusterPowerOff,
    &cluster_failover::ClusterFailover,
    &cluster_partition::ClusterPartition,
    &cluster_reshard::ClusterReshard,
];

/// The drill of this name.
pub(crate) fn find(name: &str) -> Option<&'static dyn Drill> {
    DRILLS.iter().copied().find(|drill| drill.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variants_are_unique_words_and_every_drill_says_what_it_does() {
        let mut names: Vec<_> = DRILLS.iter().map(|drill| drill.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DRILLS.len());
        for drill in DRILLS {
            assert!(drill.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            assert!(drill.name() != "all" && find(drill.name()).is_some());
            assert!(!drill.summary().is_empty() && drill.summary().len() < 72, "{}", drill.name());
            assert!(drill.story().len() > drill.summary().len());
        }
    }
}
