//! The drills in virtual time: one fault each, fifty callers in closed loops over a round trip of 2 ms, and what must come of it: how soon
//! writes succeed again, which errors there may be, and whether a connection may be replaced. The rules of every other run hold too.

use std::time::Duration;

use redial_proto::{Config, Delivery, Resend};

use crate::Lines;
use crate::caller::{Kind, Wish};
use crate::fault::{Action, Ending};
use crate::ledger::Outcome;
use crate::oracle::{Failure, Oracle};
use crate::plan::{ClientPlan, Habit, Mood, Plan, endpoint};
use crate::server::Version;
use crate::world::{START, World};

const MS: u64 = 1000;
const SECOND: u64 = 1_000_000;
const CALLERS: usize = 50;

/// When the fault begins, and when another server is promoted and the endpoint leads to it.
const FAULT: u64 = START + 2 * SECOND + 137 * MS;
const PROMOTED: u64 = FAULT + 2 * SECOND;

/// Well between two retransmissions (3.0 s and 6.2 s after the first byte that was lost), so that the old connection does not mend itself.
const PARTITION: u64 = 3_500 * MS;

/// Dials of a host that accepts and says nothing come every 400 ms, give or take a tenth.
const HANG: u64 = 450;

/// A demoted server stands still: after it has refused something, and before the client has heard of it.
const STALL_BEGINS: u64 = MS;
const STALL: u64 = 400 * MS;

/// Longest pause of a hold.
const HELD: u64 = 510;

/// One drill.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// As in `redial drill`.
    pub name: &'static str,
    version: Version,
    actions: fn() -> Vec<(u64, Action)>,
    /// From when on the endpoint takes writes again, and who takes them.
    accepts: (u64, usize),
    /// From then to the first write that succeeds there.
    recovers_within: Duration,
    /// What errors may say, and how many there may be.
    errors: &'static [Delivery],
    most_errors: usize,
    /// Callers come every so often, whether the ones before were answered or not.
    keeps_coming: bool,
    /// After a stop each connection is served within this.
    longest_turn: u64,
    /// No suspicion leads to anything: the connection is kept.
    keeps_connection: bool,
}

/// What came of a drill.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// From the endpoint taking writes to the first that succeeded.
    pub recovery: Duration,
    /// Longest time without a successful command.
    pub longest_stall: Duration,
    /// Requests, and those that failed.
    pub requests: usize,
    /// Requests that failed.
    pub errors: usize,
    /// Connections that took the place of another.
    pub replaced: u32,
}

fn promotion(at: u64) -> Vec<(u64, Action)> {
    vec![(at, Action::Promote { server: 1 }), (at, Action::Lead { server: 1 })]
}

fn with(mut first: Vec<(u64, Action)>, then: Vec<(u64, Action)>) -> Vec<(u64, Action)> {
    first.extend(then);
    first
}

fn stop(ending: Ending) -> Vec<(u64, Action)> {
    with(vec![(FAULT, Action::Stop { server: 0, ending })], promotion(PROMOTED))
}

fn demotion(closes: bool) -> Vec<(u64, Action)> {
    let at = FAULT + 100 * MS;
    let mut actions = vec![(FAULT, Action::Pause { server: 0, lasts: 100 * MS })];
    actions.extend(promotion(at - 1));
    actions.push((at - 1, Action::Demote { server: 0, to: 1 }));
    if closes {
        actions.push((at + 10 * MS, Action::ResetAll { server: 0 }));
    }
    actions
}

fn freeze(lasts: u64) -> Vec<(u64, Action)> {
    vec![(FAULT, Action::Freeze { server: 0, lasts })]
}

fn replies_lost() -> Vec<(u64, Action)> {
    let cut = Action::Cut { server: 0, up: false, down: true, lasts: SECOND };
    let after = FAULT + SECOND;
    let mut actions = vec![(FAULT, cut), (after, Action::ResetAll { server: 0 })];
    actions.push((after, Action::Stop { server: 0, ending: Ending::Rst }));
    actions.extend(promotion(PROMOTED));
    actions
}

/// The old primary says READONLY, and then stands still with requests in flight, for less than is suspicious.
fn demotion_and_stall() -> Vec<(u64, Action)> {
    let mut actions = promotion(FAULT - 1);
    actions.push((FAULT, Action::Demote { server: 0, to: 1 }));
    actions.push((FAULT + STALL_BEGINS, Action::Freeze { server: 0, lasts: STALL }));
    actions
}

fn partition() -> Vec<(u64, Action)> {
    vec![(FAULT, Action::Cut { server: 0, up: true, down: true, lasts: PARTITION })]
}

const UNKNOWN: &[Delivery] = &[Delivery::Unknown];
const RAN: &[Delivery] = &[Delivery::Ran];
const NONE: &[Delivery] = &[];

const fn scenario(
    name: &'static str,
    actions: fn() -> Vec<(u64, Action)>,
    accepts: (u64, usize),
    within: u64,
    errors: &'static [Delivery],
) -> Scenario {
    Scenario {
        name,
        version: Version::Old,
        actions,
        accepts,
        recovers_within: Duration::from_millis(within),
        errors,
        most_errors: CALLERS,
        keeps_coming: false,
        longest_turn: 0,
        keeps_connection: false,
    }
}

const fn slow(
    name: &'static str,
    actions: fn() -> Vec<(u64, Action)>,
    lasts: u64,
    within: u64,
) -> Scenario {
    let accepts = (FAULT + lasts, 0);
    Scenario { keeps_connection: true, ..scenario(name, actions, accepts, within, NONE) }
}

/// All drills.
pub const SCENARIOS: &[Scenario] = &[
    scenario("planned", || demotion(true), (FAULT + 100 * MS, 1), 150, UNKNOWN),
    scenario("demotion", || demotion(false), (FAULT + 100 * MS, 1), 150, NONE),
    scenario("demotion, and the old one stalls", demotion_and_stall, (FAULT, 1), 450, NONE),
    scenario(
        "demotion, the old one stalls and the new one hangs up",
        || with(demotion_and_stall(), vec![(FAULT + 200 * MS, Action::ResetAll { server: 1 })]),
        (FAULT, 1),
        600,
        NONE,
    ),
    scenario("power-off", || stop(Ending::PowerOff), (PROMOTED, 1), 170, UNKNOWN),
    scenario("kill", || stop(Ending::Rst), (PROMOTED, 1), 150, UNKNOWN),
    scenario(
        "hang",
        || freeze(60 * SECOND).into_iter().chain(promotion(PROMOTED)).collect(),
        (PROMOTED, 1),
        HANG,
        UNKNOWN,
    ),
    Scenario {
        keeps_coming: true,
        most_errors: 500,
        ..scenario(
            "hang, and callers keep coming",
            || freeze(60 * SECOND).into_iter().chain(promotion(PROMOTED)).collect(),
            (PROMOTED, 1),
            HANG,
            UNKNOWN,
        )
    },
    scenario(
        "hang-and-wake",
        || freeze(5 * SECOND).into_iter().chain(promotion(PROMOTED)).collect(),
        (PROMOTED, 1),
        HANG,
        UNKNOWN,
    ),
    scenario("replies-lost", replies_lost, (PROMOTED, 1), 150, UNKNOWN),
    scenario("partition", partition, (FAULT + PARTITION, 0), 250, UNKNOWN),
    Scenario {
        version: Version::New,
        ..scenario("partition, the fence tells", partition, (FAULT + PARTITION, 0), 250, RAN)
    },
    Scenario {
        version: Version::Ahead,
        keeps_coming: true,
        most_errors: 500,
        ..scenario(
            "partition while writes are paused",
            || {
                with(
                    vec![(FAULT - 60 * MS, Action::Pause { server: 0, lasts: 8 * SECOND })],
                    partition(),
                )
            },
            (FAULT + 8 * SECOND, 0),
            250,
            &[Delivery::Unknown, Delivery::Ran, Delivery::NotSent],
        )
    },
    Scenario {
        longest_turn: 40 * MS,
        ..scenario(
            "stop, and connections are cut off",
            || with(freeze(SECOND), vec![(FAULT + 100 * MS, Action::CutOff { server: 0 })]),
            (FAULT + SECOND, 0),
            250,
            UNKNOWN,
        )
    },
    scenario(
        "half-dead-dial",
        || vec![(FAULT, Action::Mute { dials: 1 }), (FAULT, Action::ResetAll { server: 0 })],
        (FAULT, 0),
        1000,
        UNKNOWN,
    ),
    slow("slow", || freeze(4 * SECOND), 4 * SECOND, 10),
    slow(
        "slow, writes paused",
        || vec![(FAULT, Action::Pause { server: 0, lasts: 4 * SECOND })],
        4 * SECOND,
        10,
    ),
    Scenario {
        errors: &[Delivery::Unknown, Delivery::NotSent],
        most_errors: 3 * CALLERS,
        ..slow(
            "writes paused for 25 s",
            || vec![(FAULT, Action::Pause { server: 0, lasts: 25 * SECOND })],
            25 * SECOND,
            10,
        )
    },
    slow(
        "slow, script of 7 s",
        || {
            with(
                freeze(5 * SECOND),
                vec![(FAULT + 5 * SECOND, Action::Busy { server: 0, lasts: 2 * SECOND })],
            )
        },
        7 * SECOND,
        HELD,
    ),
    Scenario {
        errors: &[Delivery::Unknown, Delivery::NotSent],
        most_errors: 3 * CALLERS,
        ..slow(
            "a script of its own of 25 s",
            || {
                let script = Action::Script { server: 0, lasts: 20 * SECOND };
                with(freeze(5 * SECOND), vec![(FAULT + 5 * SECOND, script)])
            },
            25 * SECOND,
            HELD,
        )
    },
];

impl Scenario {
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
            keeps_coming: self.keeps_coming,
        };
        let config = Config::new(endpoint());
        let callers = if self.keeps_coming { 1 } else { CALLERS };
        let client = ClientPlan { process: 0, config, habit, subscribes: false, callers };
        let end = self.accepts.0.max(PROMOTED) + 9 * SECOND;
        let mut actions = (self.actions)();
        actions.push((end, Action::Heal));
        Plan {
            jitter: 20,
            longest_turn: self.longest_turn,
            clients: vec![client],
            actions,
            calls_until: end - SECOND,
            ..Plan::plain(seed, Mood::Drill, MS, vec![self.version; 2])
        }
    }

    /// Runs the drill; the seed decides jitter only.
    ///
    /// # Errors
    /// The first rule that was broken; those of the drill are called [`Oracle::Scenario`].
    pub fn run(&self, seed: u64) -> Result<Report, Box<Failure>> {
        self.replay(seed, false).1
    }

    /// The same, with what happened, if that is `traced`.
    pub fn replay(&self, seed: u64, traced: bool) -> (Lines, Result<Report, Box<Failure>>) {
        let mut world = crate::run_plan(self.plan(seed), traced);
        let report = report_of(&world, self.accepts);
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

    fn judge(&self, world: &mut World, report: &Report) {
        let wrong = world.ledger.requests.iter().find_map(|request| match request.outcome {
            Some((_, Outcome::Failed(kind, delivery))) if !self.errors.contains(&delivery) => {
                Some(format!("{kind:?}, {delivery:?}"))
            }
            _ => None,
        });
        let text = if let Some(wrong) = wrong {
            format!("a request failed with {wrong}; allowed are {:?}", self.errors)
        } else if report.errors > self.most_errors {
            format!("{} requests failed, at the most {} may", report.errors, self.most_errors)
        } else if report.recovery > self.recovers_within {
            format!("recovery took {:?}, not {:?}", report.recovery, self.recovers_within)
        } else if self.keeps_connection && report.replaced > 0 {
            "a slow server cost its connection".to_owned()
        } else {
            return;
        };
        world.fail(Oracle::Scenario, || text);
    }
}

/// What came of a run where this server takes writes from this moment on.
pub(crate) fn report_of(world: &World, (accepts_at, leader): (u64, usize)) -> Report {
    let mut successes = Vec::new();
    let (mut errors, mut first) = (0, None);
    for request in &world.ledger.requests {
        match request.outcome {
            Some((at, Outcome::Reply)) => {
                successes.push(at);
                let counts = at >= accepts_at && request.ran_on == Some(leader);
                if counts && request.kind.is_write() && first.is_none_or(|first| at < first) {
                    first = Some(at);
                }
            }
            Some((_, Outcome::Failed(..))) => errors += 1,
            _ => {}
        }
    }
    successes.sort_unstable();
    let stalls = successes.windows(2).map(|pair| pair[1] - pair[0]);
    let until = world.plan.calls_until;
    let stall = stalls.zip(&successes).filter(|(_, at)| **at < until).map(|(s, _)| s).max();
    let adoptions: u32 = world.clients[0].links.values().map(|link| link.adoptions).sum();
    Report {
        recovery: Duration::from_micros(first.map_or(u64::MAX, |at| at - accepts_at)),
        longest_stall: Duration::from_micros(stall.unwrap_or(u64::MAX)),
        requests: world.ledger.requests.len(),
        errors,
        replaced: adoptions.saturating_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
        for seed in 0..3 {
            let report = scenario.run(seed).unwrap_or_else(|failure| panic!("{failure}"));
            assert!(report.requests > 500, "{report:?}");
        }
    }

    macro_rules! drills {
        ($($test:ident: $name:literal;)*) => { $(
            #[test]
            fn $test() {
                run($name);
            }
        )* };
    }

    drills! {
        a_planned_failover_costs_150_ms_at_the_most: "planned";
        a_demotion_costs_no_error: "demotion";
        a_power_failure_costs_what_a_dial_costs: "power-off";
        a_killed_server_is_left_as_soon_as_another_is_promoted: "kill";
        a_hung_server_is_left_for_another: "hang";
        a_hung_server_is_left_though_its_kernel_takes_what_new_callers_send: "hang, and callers keep coming";
        a_hung_server_that_wakes_changes_nothing: "hang-and-wake";
        lost_replies_are_reported_as_may_have_run: "replies-lost";
        a_partition_that_heals_is_over_within_250_ms: "partition";
        a_fence_that_tells_leaves_nothing_unknown: "partition, the fence tells";
        a_dial_that_is_never_answered_costs_a_second_at_the_most: "half-dead-dial";
        a_slow_server_costs_nothing: "slow";
        paused_writes_cost_nothing: "slow, writes paused";
        what_the_server_says_is_blocked_is_never_given_up: "writes paused for 25 s";
        a_demoted_server_that_stalls_finishes_what_is_in_flight: "demotion, and the old one stalls";
        a_move_whose_target_is_lost_goes_elsewhere: "demotion, the old one stalls and the new one hangs up";
        what_was_blocked_is_not_told_as_run: "partition while writes are paused";
        what_a_lost_connection_left_behind_does_not_run_later: "stop, and connections are cut off";
        a_script_of_its_own_costs_no_connection: "a script of its own of 25 s";
        a_long_script_costs_nothing: "slow, script of 7 s";
    }

    #[test]
    fn two_hundred_seeds_keep_all_rules() {
        for seed in 0..200 {
            crate::run(seed).unwrap_or_else(|failure| panic!("{failure}"));
        }
    }

    #[test]
    fn a_seed_runs_the_same_way_twice() {
        for seed in [3, 17, 112] {
            let (one, two) = (crate::run(seed), crate::replay(seed).1);
            assert_eq!(format!("{:?}", one.ok()), format!("{:?}", two.ok()), "seed {seed}");
        }
    }
}
