//! The drills of a cluster in virtual time: one fault of one shard (or slots that move), sixty callers in closed loops over all slots and a round trip of
//! 2 ms, and how soon the shard serves again once its replica leads. That callers of other shards notice nothing is a rule of every run.

use std::time::Duration;

use redial_proto::{Config, Delivery, Deployment, Resend, Seeds};

use super::SHARDS;
use super::fault::Fault;
use super::map::TAGS;
use super::plan::{ClusterPlan, endpoint};
use crate::Lines;
use crate::caller::{Kind, Wish};
use crate::fault::{Action, Ending};
use crate::ledger::Outcome;
use crate::oracle::{Failure, Oracle};
use crate::plan::{ClientPlan, Habit, MS, Mood, Plan};
use crate::scenario::Report;
use crate::server::Version;
use crate::world::{START, World};

const SECOND: u64 = 1000 * MS;
const CALLERS: usize = 60;
const FAULT: u64 = START + 2 * SECOND + 137 * MS;
const END: u64 = FAULT + 9 * SECOND;

/// One drill.
#[derive(Clone, Copy, Debug)]
pub struct ClusterDrill {
    /// As in `redial drill`, where it has it.
    pub name: &'static str,
    faults: fn() -> Vec<(u64, Fault)>,
    /// From the replica's taking over to the first write that it takes; none where nobody is elected.
    recovers_within: Option<Duration>,
    errors: &'static [Delivery],
    /// Servers permit neither INFO nor CLIENT.
    hides: bool,
}

const fn drill(name: &'static str, faults: fn() -> Vec<(u64, Fault)>, within: u64) -> ClusterDrill {
    let recovers_within = Some(Duration::from_millis(within));
    ClusterDrill { name, faults, recovers_within, errors: &[Delivery::Unknown], hides: false }
}

fn hang() -> Vec<(u64, Fault)> {
    vec![(FAULT, Fault::Freeze { shard: 0, lasts: 3_500 * MS })]
}

/// All of them.
pub const CLUSTER_DRILLS: &[ClusterDrill] = &[
    drill(
        "cluster-power-off",
        || {
            let (ending, back) = (Ending::PowerOff, 20 * SECOND);
            vec![(FAULT, Fault::Stop { shard: 0, ending, back, keeps_data: true, loading: 0 })]
        },
        150,
    ),
    drill("cluster-hang", || vec![(FAULT, Fault::Freeze { shard: 0, lasts: 60 * SECOND })], 150),
    drill("cluster-hang-and-wake", hang, 150),
    ClusterDrill { hides: true, ..drill("cluster-hang-and-wake, nameless", hang, 150) },
    drill("cluster-partition", || vec![(FAULT, Fault::Cut { shard: 0, lasts: 6 * SECOND })], 150),
    ClusterDrill {
        errors: &[],
        ..drill(
            "cluster-split",
            || vec![(FAULT, Fault::CutBus { shard: 0, lasts: 6 * SECOND })],
            600,
        )
    },
    ClusterDrill {
        errors: &[],
        ..drill(
            "cluster-failover",
            || vec![(FAULT, Fault::Failover { shard: 0, pause: 100 * MS })],
            150,
        )
    },
    ClusterDrill {
        errors: &[],
        recovers_within: None,
        ..drill(
            "cluster-reshard",
            || {
                let moves = (0..2 * TAGS).map(|n| {
                    let at = FAULT + n as u64 * 130 * MS;
                    let (tag, to, step) = (n % TAGS, (n / TAGS + 1) % SHARDS, 100 * MS);
                    (at, Fault::Migrate { tag, to, step, in_order: true })
                });
                moves.collect()
            },
            0,
        )
    },
];

impl ClusterDrill {
    fn plan(&self, seed: u64) -> Plan {
        let wish = Wish {
            kind: Kind::Get,
            resend: Resend::Safe,
            timeout: Duration::from_secs(10),
            own: Duration::ZERO,
            padding: 8,
            tag: None,
        };
        let habit = Habit {
            pause: 20 * MS,
            bursts: 0,
            cancels: 0,
            goes_on: 0,
            large: 0,
            other_policies: 0,
            resend: Resend::Safe,
            blocks: false,
            loops: Some(wish),
            keeps_coming: false,
        };
        let mut config = Config::new(endpoint(0));
        let endpoints = (0..2 * SHARDS).map(endpoint).collect();
        config.deployment = Deployment::Cluster(Seeds { endpoints, address_map: Vec::new() });
        let client = ClientPlan { process: 0, config, habit, subscribes: false, callers: CALLERS };
        let mut actions: Vec<(u64, Action)> =
            (self.faults)().into_iter().map(|(at, fault)| (at, Action::Cluster(fault))).collect();
        actions.push((END, Action::Heal));
        let mood = if self.recovers_within.is_some() { Mood::OneShard(0) } else { Mood::Drill };
        Plan {
            jitter: 20,
            hides: self.hides,
            clients: vec![client],
            actions,
            calls_until: END - SECOND,
            cluster: Some(ClusterPlan {
                node_timeout: SECOND,
                gossip: 20 * MS,
                needs_all_slots: false,
                hides_address: false,
                is_scattered: false,
                has_spare: false,
            }),
            ..Plan::plain(seed, mood, MS, vec![Version::Old; 2 * SHARDS])
        }
    }

    /// Runs the drill, and keeps what happened if that is `traced`; the seed decides jitter only.
    pub fn replay(&self, seed: u64, traced: bool) -> (Lines, Result<Report, Box<Failure>>) {
        let mut world = crate::run_plan(self.plan(seed), traced);
        let report = self.report(&world);
        self.judge(&mut world, &report);
        let result = match world.failure.take() {
            Some(mut failure) => {
                failure.text = format!("drill {}: {}", self.name, failure.text);
                Err(Box::new(failure))
            }
            None => Ok(report),
        };
        (world.trace.into_lines(), result)
    }

    fn report(&self, world: &World) -> Report {
        let took_over = world.cluster.as_ref().and_then(|cluster| cluster.took_over);
        let mut report = crate::scenario::report_of(world, took_over.unwrap_or((START, 0)));
        if self.recovers_within.is_none() {
            report.recovery = Duration::ZERO;
        } else if took_over.is_none() {
            report.recovery = Duration::MAX;
        }
        report
    }

    fn judge(&self, world: &mut World, report: &Report) {
        let wrong = world.ledger.requests.iter().find_map(|request| match request.outcome {
            Some((_, Outcome::Failed(kind, delivery))) if !self.errors.contains(&delivery) => {
                Some(format!("a request failed with {kind:?}, {delivery:?}"))
            }
            Some((_, Outcome::ErrorReply)) => Some("a request was answered with an error".into()),
            _ => None,
        });
        let within = self.recovers_within.unwrap_or_default();
        if let Some(wrong) = wrong {
            world.fail(Oracle::Scenario, || wrong);
        } else if report.recovery > within {
            let recovery = report.recovery;
            world.fail(Oracle::Scenario, || format!("recovery took {recovery:?}, not {within:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_fails_serves_again_as_soon_as_its_replica_leads_and_slots_move_without_errors()
    {
        for drill in CLUSTER_DRILLS {
            for seed in 0..3 {
                let report = drill.replay(seed, false).1;
                let report = report.unwrap_or_else(|failure| panic!("{failure}"));
                assert!(report.requests > 500, "{report:?}");
            }
        }
    }
}
