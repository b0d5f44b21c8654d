//! How long it took: stalls and recoveries, computed from the records.

use std::collections::BTreeMap;
use std::time::Duration;

use super::protocol::{Delivery, Outcome};
use super::workload::{Record, Step};

/// Recovery after one moment from which the endpoint accepted writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// When the endpoint led to a server that takes writes.
    pub(crate) from: Duration,
    /// Until the first write of any caller succeeded; `None` if none did.
    pub(crate) first: Option<Duration>,
    /// Until every caller had had a write succeed; `None` if one never had.
    pub(crate) all: Option<Duration>,
}

/// Recovery from `from`, looking no further than `until`.
///
/// Only writes count: a demoted server that still answers reads is no recovery. Nor is one that takes
/// writes which nobody keeps: for each caller only what came after the last write that it `lost`
/// counts, and of that not its INCRs, which can't be told apart. Of the callers only those count that
/// the fault `hit`.
pub(crate) fn recovery(
    records: &[Record],
    hit: &[bool],
    from: Duration,
    until: Duration,
    lost: impl Fn(&Record) -> bool,
) -> Recovery {
    let callers = hit.len();
    let mut since = vec![from; callers];
    for record in records.iter().filter(|record| lost(record)) {
        if let (Some(since), Some(at)) = (since.get_mut(record.caller), record.succeeded_at()) {
            *since = at.max(*since);
        }
    }
    let mut firsts: Vec<Option<Duration>> = vec![None; callers];
    for record in records.iter().filter(|record| record.step.is_write()) {
        let since = since.get(record.caller).copied().unwrap_or(from);
        let Some(at) = record.succeeded_at().filter(|at| *at > since && *at < until) else {
            continue;
        };
        if since > from && record.step == Step::Incr {
            continue;
        }
        if let Some(first) = firsts.get_mut(record.caller) {
            *first = Some(first.map_or(at, |first| first.min(at)));
        }
    }
    let after = |at: Duration| at.saturating_sub(from);
    let firsts: Vec<_> = firsts.into_iter().zip(hit).filter(|(_, hit)| **hit).collect();
    let firsts: Vec<Option<Duration>> = firsts.into_iter().map(|(first, _)| first).collect();
    let all: Option<Vec<Duration>> = firsts.iter().copied().collect();
    Recovery {
        from,
        first: firsts.into_iter().flatten().min().map(after),
        all: all.and_then(|firsts| firsts.into_iter().max()).map(after),
    }
}

/// The longest time without any success, from the first success to the end of the load.
pub(crate) fn longest_stall(records: &[Record], end: Duration) -> Duration {
    let mut successes: Vec<Duration> = records.iter().filter_map(Record::succeeded_at).collect();
    successes.sort_unstable();
    successes.push(end);
    successes.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(end)
}

/// The longest time without any success between two moments, both counted as its ends.
pub(crate) fn longest_stall_between(records: &[Record], from: Duration, to: Duration) -> Duration {
    let successes = records.iter().filter_map(Record::succeeded_at);
    let mut moments: Vec<Duration> = successes.filter(|at| (from..to).contains(at)).collect();
    moments.extend([from, to]);
    moments.sort_unstable();
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// The longest that a caller waited for one answer; an open command has waited until `end`.
pub(crate) fn longest_command(records: &[Record], end: Duration) -> Duration {
    let waited = records.iter().map(|record| {
        let until = record.settled.as_ref().map_or(end, |settled| settled.at);
        until.saturating_sub(record.issued)
    });
    waited.max().unwrap_or_default()
}

/// How long those commands took that succeeded, half of them at most; zero if none did.
pub(crate) fn median(records: &[Record], of: impl Fn(Step) -> bool) -> Duration {
    let took = |record: &Record| Some(record.succeeded_at()?.saturating_sub(record.issued));
    let mut all: Vec<_> = records.iter().filter(|r| of(r.step)).filter_map(took).collect();
    let middle = all.len() / 2;
    if all.is_empty() { Duration::ZERO } else { *all.select_nth_unstable(middle).1 }
}

/// The failed commands: how many, of which kinds, with which claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Errors {
    pub(crate) total: u64,
    pub(crate) by_kind: BTreeMap<String, u64>,
    pub(crate) by_delivery: BTreeMap<String, u64>,
    /// One text of each kind, as the client worded it.
    pub(crate) samples: BTreeMap<String, String>,
    /// Those of which the client said that they surely had no effect.
    pub(crate) claimed_no_effect: u64,
    /// Those of which it said that they ran.
    pub(crate) claimed_ran: u64,
}

pub(crate) fn errors(records: &[Record]) -> Errors {
    let mut errors = Errors::default();
    for record in records {
        let Some(Outcome::Err { kind, delivery, text }) =
            record.settled.as_ref().map(|settled| &settled.outcome)
        else {
            continue;
        };
        errors.total += 1;
        *errors.by_kind.entry(kind.clone()).or_default() += 1;
        *errors.by_delivery.entry(delivery.to_string()).or_default() += 1;
        errors.samples.entry(kind.clone()).or_insert_with(|| text.clone());
        errors.claimed_no_effect += u64::from(delivery.claims_no_effect());
        errors.claimed_ran += u64::from(*delivery == Delivery::Ran);
    }
    errors
}

/// What happened in one slice of time, for the timeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) succeeded: u32,
    /// Failed, and may have run.
    pub(crate) ambiguous: u32,
    /// Failed, and said to have had no effect.
    pub(crate) refused: u32,
    /// Issued in this slice and never settled.
    pub(crate) unsettled: u32,
}

/// Outcomes per slice of `width`, by the time of settling.
pub(crate) fn slices(records: &[Record], width: Duration, end: Duration) -> Vec<Slice> {
    let index = |at: Duration| (at.as_micros() / width.as_micros().max(1)) as usize;
    let mut slices = vec![Slice::default(); index(end) + 1];
    for record in records {
        let at = record.settled.as_ref().map_or(record.issued, |settled| settled.at);
        let Some(slice) = slices.get_mut(index(at)) else { continue };
        match record.settled.as_ref().map(|settled| &settled.outcome) {
            None => slice.unsettled += 1,
            Some(Outcome::Ok(_)) => slice.succeeded += 1,
            Some(Outcome::Err { delivery, .. }) if delivery.claims_no_effect() => {
                slice.refused += 1;
            }
            Some(Outcome::Err { .. }) => slice.ambiguous += 1,
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::super::workload::Settled;
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(caller: usize, step: Step, issued: u64, settled: Option<u64>) -> Record {
        let settled = settled.map(|at| Settled { at: ms(at), outcome: Outcome::Ok("1".into()) });
        Record { caller, round: 0, step, issued: ms(issued), settled }
    }

    #[test]
    fn recovery_counts_the_first_write_after_the_moment_and_the_last_callers_first() {
        let records = [
            at(0, Step::Push, 80, Some(99)),
            at(0, Step::Get, 100, Some(103)),
            at(0, Step::Push, 104, Some(130)),
            at(1, Step::Incr, 100, Some(170)),
            at(1, Step::Set, 171, Some(180)),
        ];
        let kept = |_: &Record| false;
        let found = recovery(&records, &[true; 2], ms(100), ms(1000), kept);
        assert_eq!((found.first, found.all), (Some(ms(30)), Some(ms(70))));
        let cut = recovery(&records, &[true; 2], ms(100), ms(150), kept);
        assert_eq!(
            (cut.first, cut.all),
            (Some(ms(30)), None),
            "what comes later is the next one's"
        );
        let missing = recovery(&records, &[true; 3], ms(100), ms(1000), kept);
        assert_eq!(missing.all, None, "a caller that never recovers");
        let second = recovery(&records, &[false, true, false], ms(100), ms(1000), kept);
        assert_eq!((second.first, second.all), (Some(ms(70)), Some(ms(70))), "who is not hit");
    }

    #[test]
    fn a_write_that_nobody_keeps_is_no_recovery() {
        let records = [
            at(0, Step::Push, 90, Some(110)),
            at(0, Step::Incr, 111, Some(120)),
            at(0, Step::Set, 121, Some(130)),
            at(0, Step::Incr, 131, Some(140)),
            at(0, Step::Push, 141, Some(190)),
        ];
        let lost = |record: &Record| record.step == Step::Set;
        let found = recovery(&records, &[true], ms(100), ms(1000), lost);
        assert_eq!(found.first, Some(ms(90)), "what came before the loss went the same way");
    }

    #[test]
    fn half_of_what_succeeded_took_the_median_at_most() {
        let records = [
            at(0, Step::Set, 0, Some(10)),
            at(0, Step::Set, 10, Some(12)),
            at(0, Step::Set, 20, Some(99)),
            at(0, Step::Get, 20, Some(21)),
            at(0, Step::Set, 100, None),
        ];
        assert_eq!(median(&records, Step::is_write), ms(10));
        assert_eq!(median(&records, |step| step == Step::Incr), ms(0));
    }

    #[test]
    fn the_longest_stall_reaches_to_the_end_of_the_load() {
        let records = [
            at(0, Step::Push, 0, Some(10)),
            at(0, Step::Push, 10, Some(40)),
            at(0, Step::Push, 40, None),
        ];
        assert_eq!(longest_stall(&records, ms(100)), ms(60));
        assert_eq!(longest_stall(&records, ms(50)), ms(30));
        assert_eq!(longest_command(&records, ms(100)), ms(60));
    }

    #[test]
    fn errors_are_counted_by_kind_and_by_claim() {
        let failed = |kind: &str, delivery| Record {
            settled: Some(Settled {
                at: ms(1),
                outcome: Outcome::Err { kind: kind.into(), delivery, text: "t".into() },
            }),
            ..at(0, Step::Push, 0, None)
        };
        let found = errors(&[
            failed("closed", Delivery::Unknown),
            failed("closed", Delivery::NotSent),
            failed("READONLY", Delivery::Answered),
            at(0, Step::Push, 0, Some(1)),
        ]);
        assert_eq!((found.total, found.claimed_no_effect), (3, 2));
        assert_eq!(found.by_kind, BTreeMap::from([("closed".into(), 2), ("READONLY".into(), 1)]));
    }

    #[test]
    fn slices_tell_outcomes_apart_by_the_time_of_settling() {
        let records = [
            at(0, Step::Push, 0, Some(10)),
            at(0, Step::Push, 49, Some(51)),
            at(0, Step::Push, 60, None),
        ];
        let found = slices(&records, ms(50), ms(120));
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].succeeded, found[1].succeeded, found[1].unsettled), (1, 1, 1));
    }
}
