//! What was applied, where and how often, against what the client said of it.
//!
//! Exact for RPUSH and SET, whose tokens are never used again; for INCR only the difference of the
//! counter and what its caller was told is known. Whether a figure is a failure is
//! [`verdict`](super::verdict)'s.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::evidence::ServerData;
use super::protocol::{Delivery, Outcome};
use super::workload::{Record, Step, token};

/// As many as a person reads.
const MOST_EXAMPLES: usize = 8;

/// The figures of the verdict that come from the servers' data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Executions beyond the first of a command.
    pub(crate) applied_twice: u64,
    /// Commands of which the client said that they surely had no effect, and that had one.
    pub(crate) failed_but_applied: u64,
    /// Acknowledged writes that the surviving primary does not have.
    pub(crate) acked_but_lost: u64,
    /// List elements behind a newer one of the same caller: an old command that ran late.
    pub(crate) order_violations: u64,
    /// Replies that can't be the command's own.
    pub(crate) wrong_replies: u64,
    /// All callers' INCRs.
    pub(crate) increments: Increments,
    /// A few of the above, in words.
    pub(crate) examples: Vec<String>,
}

/// INCRs by what their callers were told, beside what the surviving primary counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Increments {
    pub(crate) acknowledged: i64,
    /// Said to have run, their replies lost.
    pub(crate) ran: i64,
    /// Of which nothing is claimed, or that were never answered.
    pub(crate) may_have_run: i64,
    pub(crate) counted: i64,
}

/// Compares the records with the data of the `survivor` (the primary at the end) and of other
/// servers as they were before they took over the survivor's data.
pub(crate) fn audit(
    records: &[Record],
    callers: usize,
    survivor: &ServerData,
    others: &[ServerData],
) -> Audit {
    let mut audit = Audit::default();
    let servers: Vec<&ServerData> = std::iter::once(survivor).chain(others).collect();
    audit.lists(callers, &servers);
    audit.pushes_and_sets(records, &servers);
    audit.counters(records, callers, &servers);
    audit.gets(records, survivor);
    audit
}

/// What is known to its caller about one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Success,
    NoEffect,
    /// Unknown, ran, no claim, or nothing at all.
    Perhaps,
}

fn is_said_to_have_run(record: &Record) -> bool {
    matches!(
        record.settled.as_ref().map(|settled| &settled.outcome),
        Some(Outcome::Err { delivery: Delivery::Ran, .. })
    )
}

fn told(record: &Record) -> Told {
    match record.settled.as_ref().map(|settled| &settled.outcome) {
        Some(Outcome::Ok(_)) => Told::Success,
        Some(Outcome::Err { delivery, .. }) if delivery.claims_no_effect() => Told::NoEffect,
        Some(Outcome::Err {
            delivery: Delivery::Unknown | Delivery::Ran | Delivery::NoClaim,
            ..
        })
        | None => Told::Perhaps,
        Some(Outcome::Err { .. }) => Told::NoEffect,
    }
}

impl Audit {
    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < MOST_EXAMPLES {
            self.examples.push(text());
        }
    }

    /// Repetitions and order. Servers share a history, so what both show is one event.
    fn lists(&mut self, callers: usize, servers: &[&ServerData]) {
        for caller in 0..callers {
            let mut most: HashMap<u32, u64> = HashMap::new();
            let mut late = BTreeSet::new();
            for server in servers {
                let mut times: HashMap<u32, u64> = HashMap::new();
                let mut newest = 0;
                for &round in server.lists.get(caller).into_iter().flatten() {
                    *times.entry(round).or_default() += 1;
                    if round < newest {
                        late.insert(round);
                    }
                    newest = newest.max(round);
                }
                for (round, times) in times {
                    let seen = most.entry(round).or_default();
                    *seen = times.max(*seen);
                }
            }
            let mut twice: Vec<_> = most.into_iter().filter(|(_, times)| *times > 1).collect();
            twice.sort_unstable();
            for (round, times) in twice {
                self.applied_twice += times - 1;
                self.example(|| format!("RPUSH {} ran {times} times", token(caller, round)));
            }
            for round in late {
                self.order_violations += 1;
                self.example(|| {
                    format!("RPUSH {} ran after a newer one of its caller", token(caller, round))
                });
            }
        }
    }

    fn pushes_and_sets(&mut self, records: &[Record], servers: &[&ServerData]) {
        let pushed: Vec<BTreeSet<(usize, u32)>> = servers
            .iter()
            .map(|server| {
                let lists = server.lists.iter().enumerate();
                lists.flat_map(|(caller, list)| list.iter().map(move |r| (caller, *r))).collect()
            })
            .collect();
        for record in records {
            let what = (record.caller, record.round);
            let has = |server: usize| match record.step {
                Step::Push => pushed[server].contains(&what),
                _ => servers[server].keys.contains_key(&what),
            };
            let name = match record.step {
                Step::Push => "RPUSH",
                Step::Set => "SET",
                Step::Incr | Step::Get | Step::Upload => continue,
            };
            match told(record) {
                Told::Success if !has(0) => {
                    self.acked_but_lost += 1;
                    self.example(|| {
                        let token = token(record.caller, record.round);
                        format!("{name} {token} was acknowledged and is in no surviving server")
                    });
                }
                Told::NoEffect if (0..servers.len()).any(has) => {
                    self.failed_but_applied += 1;
                    self.example(|| {
                        let token = token(record.caller, record.round);
                        format!("{name} {token} was said to have had no effect and was applied")
                    });
                }
                _ => {}
            }
        }
    }

    fn counters(&mut self, records: &[Record], callers: usize, servers: &[&ServerData]) {
        let mut known = vec![(0_i64, 0_i64, 0_i64); callers];
        for record in records.iter().filter(|r| r.step == Step::Incr) {
            let Some((acked, perhaps, no_effect)) = known.get_mut(record.caller) else { continue };
            match told(record) {
                Told::Success => *acked += 1,
                Told::Perhaps => *perhaps += 1,
                Told::NoEffect => *no_effect += 1,
            }
            self.increments.ran += i64::from(is_said_to_have_run(record));
        }
        self.increments.acknowledged = known.iter().map(|known| known.0).sum();
        self.increments.may_have_run =
            known.iter().map(|known| known.1).sum::<i64>() - self.increments.ran;
        self.increments.counted = servers[0].counters.iter().sum();
        for (caller, (acked, perhaps, no_effect)) in known.into_iter().enumerate() {
            let counter = |server: &&ServerData| server.counters.get(caller).copied().unwrap_or(0);
            let highest = servers.iter().map(counter).max().unwrap_or(0);
            let excess = highest - acked - perhaps;
            if excess > 0 {
                // Of what can't be told apart, the commands that "had no effect" are named first.
                let false_claims = excess.min(no_effect);
                self.failed_but_applied += false_claims.unsigned_abs();
                self.applied_twice += (excess - false_claims).unsigned_abs();
                self.example(|| {
                    let most = acked + perhaps;
                    format!(
                        "caller {caller}'s counter is {highest}, {most} INCRs at most may have run"
                    )
                });
            }
            let missing = acked - counter(&servers[0]);
            if missing > 0 {
                self.acked_but_lost += missing.unsigned_abs();
                self.example(|| {
                    format!("caller {caller}'s counter lacks {missing} acknowledged INCRs")
                });
            }
        }
    }

    /// A GET answers its key's token; nothing only where the SET may be missing.
    fn gets(&mut self, records: &[Record], survivor: &ServerData) {
        let mut set: HashMap<(usize, u32), Told> = HashMap::new();
        for record in records {
            let what = (record.caller, record.round);
            if record.step == Step::Set {
                set.insert(what, told(record));
            }
            let Some(value) = record.settled.as_ref().and_then(|settled| match &settled.outcome {
                Outcome::Ok(value) => Some(value.as_str()),
                Outcome::Err { .. } => None,
            }) else {
                continue;
            };
            let right = match record.step {
                Step::Push | Step::Incr => value.parse::<u64>().is_ok_and(|n| n > 0),
                Step::Set | Step::Upload => value == "OK",
                Step::Get if value == "(nil)" => {
                    set.get(&what) != Some(&Told::Success) || !survivor.keys.contains_key(&what)
                }
                Step::Get => value == token(record.caller, record.round),
            };
            if !right {
                self.wrong_replies += 1;
                self.example(|| {
                    let token = token(record.caller, record.round);
                    format!("{:?} of {token} was answered `{value}`", record.step)
                });
            }
        }
        for ((caller, round), intact) in &survivor.keys {
            if !intact {
                self.wrong_replies += 1;
                self.example(|| {
                    format!("the key of {} holds another value", token(*caller, *round))
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::workload::Settled;
    use super::*;

    fn record(round: u32, step: Step, outcome: Option<Outcome>) -> Record {
        let settled = outcome.map(|outcome| Settled { at: Duration::ZERO, outcome });
        Record { caller: 0, round, step, issued: Duration::ZERO, settled }
    }

    fn ok(value: &str) -> Option<Outcome> {
        Some(Outcome::Ok(value.into()))
    }

    fn failed(delivery: Delivery) -> Option<Outcome> {
        Some(Outcome::Err { kind: "X".into(), delivery, text: String::new() })
    }

    fn data(list: &[u32], counter: i64, keys: &[u32]) -> ServerData {
        ServerData {
            lists: vec![list.to_vec()],
            counters: vec![counter],
            keys: keys.iter().map(|round| ((0, *round), true)).collect(),
            foreign: 0,
        }
    }

    fn figures(audit: &Audit) -> [u64; 5] {
        [
            audit.applied_twice,
            audit.failed_but_applied,
            audit.acked_but_lost,
            audit.order_violations,
            audit.wrong_replies,
        ]
    }

    #[test]
    fn a_clean_run_has_nothing_to_report() {
        let records = [
            record(0, Step::Push, ok("1")),
            record(0, Step::Incr, ok("1")),
            record(0, Step::Set, ok("OK")),
            record(0, Step::Get, ok("t0-0")),
            record(1, Step::Push, failed(Delivery::Unknown)),
            record(1, Step::Incr, None),
        ];
        // What may have run may be there or not.
        for survivor in [data(&[0, 1], 2, &[0]), data(&[0], 1, &[0])] {
            let audit = audit(&records, 1, &survivor, &[]);
            let counted = survivor.counters[0];
            let increments = Increments { acknowledged: 1, ran: 0, may_have_run: 1, counted };
            assert_eq!(audit, Audit { increments, ..Audit::default() });
        }
    }

    #[test]
    fn a_token_twice_in_a_list_is_one_repetition_even_if_both_servers_show_it() {
        let records = [record(0, Step::Push, ok("1")), record(1, Step::Push, ok("3"))];
        let twice = data(&[0, 0, 1], 0, &[]);
        let audit = audit(&records, 1, &twice, std::slice::from_ref(&twice));
        assert_eq!(figures(&audit), [1, 0, 0, 0, 0]);
        assert_eq!(audit.examples, ["RPUSH t0-0 ran 2 times"]);
    }

    #[test]
    fn a_command_on_a_server_that_is_discarded_and_again_on_the_survivor_is_not_twice() {
        let records = [record(0, Step::Push, ok("1"))];
        let audit = audit(&records, 1, &data(&[0], 0, &[]), &[data(&[0], 0, &[])]);
        assert_eq!(figures(&audit), [0; 5]);
    }

    #[test]
    fn a_counter_above_what_its_caller_was_told_is_a_repetition() {
        let records = [
            record(0, Step::Incr, ok("1")),
            record(1, Step::Incr, failed(Delivery::Unknown)),
            record(2, Step::Incr, None),
        ];
        assert_eq!(figures(&audit(&records, 1, &data(&[], 3, &[]), &[])), [0; 5]);
        assert_eq!(figures(&audit(&records, 1, &data(&[], 5, &[]), &[]))[0], 2);
    }

    #[test]
    fn what_surely_did_not_run_must_be_nowhere() {
        let records = [
            record(0, Step::Push, failed(Delivery::NotSent)),
            record(1, Step::Set, failed(Delivery::Rejected)),
            record(0, Step::Incr, failed(Delivery::Answered)),
        ];
        assert_eq!(figures(&audit(&records, 1, &data(&[], 0, &[]), &[])), [0; 5]);
        let survivor = data(&[], 1, &[1]);
        let old = data(&[0], 0, &[]);
        assert_eq!(figures(&audit(&records, 1, &survivor, &[old])), [0, 3, 0, 0, 0]);
    }

    #[test]
    fn what_was_acknowledged_must_be_in_the_survivor() {
        let records = [
            record(0, Step::Push, ok("1")),
            record(0, Step::Incr, ok("1")),
            record(0, Step::Set, ok("OK")),
            record(0, Step::Get, ok("(nil)")),
        ];
        let old = data(&[0], 1, &[0]);
        let audit = audit(&records, 1, &data(&[], 0, &[]), &[old]);
        assert_eq!(figures(&audit), [0, 0, 3, 0, 0], "and the GET told the truth");
    }

    #[test]
    fn an_old_command_behind_a_newer_one_is_out_of_order() {
        let records = [record(0, Step::Push, None), record(1, Step::Push, ok("1"))];
        assert_eq!(figures(&audit(&records, 1, &data(&[1, 0], 0, &[]), &[])), [0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_reply_that_belongs_to_another_command_is_wrong() {
        let records = [
            record(0, Step::Push, ok("OK")),
            record(0, Step::Incr, ok("t0-0")),
            record(0, Step::Set, ok("OK")),
            record(0, Step::Get, ok("(nil)")),
            record(1, Step::Get, ok("t0-0")),
            record(2, Step::Get, ok("(nil)")),
        ];
        let audit = audit(&records, 1, &data(&[0], 1, &[0]), &[]);
        assert_eq!(audit.wrong_replies, 4, "only the last, of a key never set, may be nil");
    }

    #[test]
    fn a_key_that_holds_another_value_is_wrong() {
        let mut survivor = data(&[], 0, &[0]);
        survivor.keys.insert((0, 0), false);
        assert_eq!(audit(&[], 1, &survivor, &[]).wrong_replies, 1);
    }
}
