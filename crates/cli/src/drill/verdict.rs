//! Pass or fail: the figures of a drill against its limits.

use super::audit::Audit;
use super::clock::millis;
use super::cluster::OtherSlots;
use super::limits::{AllowedErrors, HEARS_WITHIN, Limits, OTHER_SLOTS_STALL, server_tells};
use super::listener::Listened;
use super::metrics::{Errors, Recovery};
use super::watchers::Watched;

/// The figures that a verdict looks at.
#[derive(Debug)]
pub(crate) struct Figures<'a> {
    pub(crate) callers: u64,
    pub(crate) server: &'a str,
    /// One for each time that the endpoint accepted writes again.
    pub(crate) recoveries: &'a [Recovery],
    pub(crate) errors: &'a Errors,
    pub(crate) audit: &'a Audit,
    pub(crate) never_settled: u64,
    pub(crate) connections_lost: u64,
    pub(crate) watchers: &'a [Watched],
    pub(crate) listened: Option<&'a Listened>,
    pub(crate) other_slots: Option<OtherSlots>,
    /// Successes before the fault: without any there is nothing to judge.
    pub(crate) successes_before: u64,
}

/// Why the drill is failed; nothing if it is passed.
pub(crate) fn reasons(limits: &Limits, figures: &Figures<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if figures.successes_before == 0 {
        reasons.push("no command succeeded before the fault".to_owned());
    }
    recovery(limits, figures, &mut reasons);
    let audit = figures.audit;
    let mut forbid = |count: u64, what: &str| {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    };
    forbid(figures.never_settled, "commands were never answered");
    forbid(audit.applied_twice, "times a command ran again");
    forbid(audit.failed_but_applied, "commands said to have had no effect were applied");
    forbid(audit.order_violations, "old commands ran after something newer");
    forbid(audit.wrong_replies, "replies were not the command's own");
    if !limits.may_lose {
        forbid(audit.acked_but_lost, "acknowledged writes are lost");
    }
    if limits.keeps_connection {
        forbid(figures.connections_lost, "connections were given up though nothing was wrong");
    }
    errors(limits, figures, &mut reasons);
    watchers(limits, figures.watchers, &mut reasons);
    listener(figures, &mut reasons);
    other_slots(figures, &mut reasons);
    reasons
}

fn other_slots(figures: &Figures<'_>, reasons: &mut Vec<String>) {
    let Some(others) = figures.other_slots else { return };
    if others.errors > 0 {
        reasons.push(format!("{} commands of other slots failed", others.errors));
    }
    let (stall, limit) = (others.longest_stall_ms, millis(OTHER_SLOTS_STALL));
    if stall > limit {
        reasons.push(format!("other slots stood still for {stall} ms, {limit} ms is the limit"));
    }
}

fn listener(figures: &Figures<'_>, reasons: &mut Vec<String>) {
    let Some(listened) = figures.listened else { return };
    if listened.heard_twice > 0 {
        reasons.push(format!("{} messages were heard twice", listened.heard_twice));
    }
    if listened.missed_silently > 0 {
        reasons.push(format!(
            "{} messages were missed without a word of an interruption",
            listened.missed_silently
        ));
    }
    for (back, recovery) in listened.back_ms.iter().zip(figures.recoveries) {
        let limit = millis(recovery.first.unwrap_or_default() + HEARS_WITHIN);
        match back {
            None => reasons.push("it never heard a message again".to_owned()),
            Some(ms) if *ms > limit && listened.missed > 0 => {
                reasons.push(format!(
                    "it heard messages again after {ms} ms, {limit} ms is the limit"
                ));
            }
            Some(_) => {}
        }
    }
}

fn recovery(limits: &Limits, figures: &Figures<'_>, reasons: &mut Vec<String>) {
    let Some(limit) = limits.recovery else { return };
    for (index, recovery) in figures.recoveries.iter().enumerate() {
        let which = match figures.recoveries.len() {
            1 => String::new(),
            _ => format!(" at switch {}", index + 1),
        };
        match recovery.first {
            None => reasons.push(format!("no write succeeded again{which}")),
            Some(first) if first > limit => reasons.push(format!(
                "recovery took {} ms{which}, {} ms is the limit",
                first.as_millis(),
                limit.as_millis()
            )),
            Some(_) if recovery.all.is_none() => {
                reasons.push(format!("not every caller recovered{which}"));
            }
            Some(_) => {}
        }
    }
}

fn errors(limits: &Limits, figures: &Figures<'_>, reasons: &mut Vec<String>) {
    let errors = figures.errors;
    let switches = figures.recoveries.len().max(1) as u64;
    let most = match limits.errors {
        AllowedErrors::None => 0,
        AllowedErrors::InFlight | AllowedErrors::OnePerCaller => figures.callers * switches,
    };
    if errors.total > most {
        reasons.push(format!("{} commands failed, {most} at most may", errors.total));
    }
    let sure = errors.claimed_no_effect;
    if limits.errors == AllowedErrors::InFlight && sure > 0 {
        reasons.push(format!("{sure} commands failed that did not run and could be sent again"));
    }
    let ambiguous = errors.total - errors.claimed_no_effect - errors.claimed_ran;
    if limits.server_can_tell && server_tells(figures.server) && ambiguous > 0 {
        reasons.push(format!(
            "{ambiguous} commands failed as \"may have run\" where the server tells what ran"
        ));
    }
}

fn watchers(limits: &Limits, watchers: &[Watched], reasons: &mut Vec<String>) {
    let Some(limit) = limits.watchers.map(super::clock::millis) else { return };
    for watched in watchers {
        let kind = format!("{:?}", watched.kind).to_lowercase();
        if watched.noticed_ms.is_none_or(|ms| ms > limit) {
            reasons.push(format!("the {kind} client did not notice within {limit} ms"));
        }
        if watched.replaced_ms.is_none_or(|ms| ms > limit) {
            reasons.push(format!("the {kind} client was not back within {limit} ms"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::limits;
    use super::super::watchers::Kind;
    use super::*;

    fn judge(limits: &Limits, change: impl FnOnce(&mut Owned)) -> Vec<String> {
        let mut owned = Owned {
            recoveries: vec![recovered(100)],
            errors: Errors::default(),
            audit: Audit::default(),
            never_settled: 0,
            connections_lost: 0,
            watchers: Vec::new(),
            listened: None,
            other_slots: None,
            server: "redis 7.0.15",
            successes_before: 1000,
        };
        change(&mut owned);
        reasons(
            limits,
            &Figures {
                callers: 50,
                server: owned.server,
                recoveries: &owned.recoveries,
                errors: &owned.errors,
                audit: &owned.audit,
                never_settled: owned.never_settled,
                connections_lost: owned.connections_lost,
                watchers: &owned.watchers,
                listened: owned.listened.as_ref(),
                other_slots: owned.other_slots,
                successes_before: owned.successes_before,
            },
        )
    }

    struct Owned {
        recoveries: Vec<Recovery>,
        errors: Errors,
        audit: Audit,
        never_settled: u64,
        connections_lost: u64,
        watchers: Vec<Watched>,
        listened: Option<Listened>,
        other_slots: Option<OtherSlots>,
        server: &'static str,
        successes_before: u64,
    }

    fn recovered(ms: u64) -> Recovery {
        let took = Some(Duration::from_millis(ms));
        Recovery { from: Duration::ZERO, first: took, all: took }
    }

    #[test]
    fn a_drill_without_a_blemish_is_passed() {
        assert_eq!(judge(&limits::KILL, |_| ()), Vec::<String>::new());
        assert_eq!(judge(&limits::SLOW, |o| o.recoveries.clear()), Vec::<String>::new());
    }

    #[test]
    fn every_figure_alone_fails_a_drill() {
        let spoil: [fn(&mut Owned); 9] = [
            |o| o.recoveries[0] = recovered(151),
            |o| o.recoveries[0].first = None,
            |o| o.recoveries[0].all = None,
            |o| o.never_settled = 1,
            |o| o.audit.applied_twice = 1,
            |o| o.audit.failed_but_applied = 1,
            |o| o.audit.order_violations = 1,
            |o| o.audit.wrong_replies = 1,
            |o| o.successes_before = 0,
        ];
        for (index, spoil) in spoil.into_iter().enumerate() {
            assert_eq!(judge(&limits::KILL, spoil).len(), 1, "case {index}");
        }
    }

    #[test]
    fn losses_count_where_no_host_takes_them_with_it() {
        assert!(judge(&limits::KILL, |o| o.audit.acked_but_lost = 3).is_empty());
        assert_eq!(judge(&limits::HANG_AND_WAKE, |o| o.audit.acked_but_lost = 3).len(), 1);
        assert_eq!(judge(&limits::SLOW, |o| o.connections_lost = 1).len(), 1);
    }

    #[test]
    fn as_many_errors_as_callers_are_forgiven_at_each_switch_if_they_may_have_run() {
        let failed = |total, sure| {
            move |o: &mut Owned| {
                o.errors = Errors { total, claimed_no_effect: sure, ..Errors::default() };
            }
        };
        assert!(judge(&limits::KILL, failed(50, 0)).is_empty());
        assert_eq!(judge(&limits::KILL, failed(51, 0)).len(), 1);
        assert_eq!(judge(&limits::KILL, failed(10, 1)).len(), 1);
        assert!(judge(&limits::HANG, failed(10, 10)).is_empty());
        assert_eq!(judge(&limits::DEMOTION, failed(1, 0)).len(), 1);
        let two = |o: &mut Owned| {
            o.recoveries.push(recovered(90));
            o.errors.total = 100;
        };
        assert!(judge(&limits::PLANNED, two).is_empty());
    }

    #[test]
    fn where_the_server_tells_nothing_may_stay_ambiguous() {
        let on = |server| {
            move |o: &mut Owned| {
                o.server = server;
                o.errors.total = 4;
                o.errors.claimed_ran = 1;
            }
        };
        assert!(judge(&limits::PARTITION, on("redis 7.0.15")).is_empty());
        assert_eq!(judge(&limits::PARTITION, on("valkey 9.1.2")).len(), 1);
    }

    #[test]
    fn a_quiet_client_has_to_notice_and_be_back() {
        let watched = |noticed_ms, replaced_ms| {
            move |o: &mut Owned| {
                o.watchers = vec![Watched { kind: Kind::Blocked, noticed_ms, replaced_ms }];
            }
        };
        assert!(judge(&limits::POWER_OFF, watched(Some(900.0), Some(2100.0))).is_empty());
        assert_eq!(judge(&limits::POWER_OFF, watched(Some(900.0), None)).len(), 1);
        assert_eq!(judge(&limits::POWER_OFF, watched(None, Some(5001.0))).len(), 2);
    }

    #[test]
    fn other_slots_may_neither_fail_nor_stand_still() {
        let others = |errors, longest_stall_ms| {
            move |o: &mut Owned| {
                let callers = 33;
                let longest_command_ms = 99.0;
                o.other_slots =
                    Some(OtherSlots { callers, errors, longest_stall_ms, longest_command_ms });
            }
        };
        assert!(judge(&limits::KILL, others(0, 50.0)).is_empty());
        assert_eq!(judge(&limits::KILL, others(1, 50.0)).len(), 1);
        assert_eq!(judge(&limits::KILL, others(0, 50.1)).len(), 1);
    }

    #[test]
    fn a_listener_has_to_be_back_and_to_tell_what_it_missed() {
        let listened = |back_ms, heard_twice, missed_silently| {
            move |o: &mut Owned| {
                let (published, heard, missed) = (100, 90, missed_silently + 1);
                let back_ms = vec![back_ms];
                o.listened = Some(Listened {
                    published,
                    heard,
                    heard_twice,
                    missed,
                    missed_silently,
                    back_ms,
                });
            }
        };
        assert!(judge(&limits::KILL, listened(Some(349.0), 0, 0)).is_empty());
        assert_eq!(judge(&limits::KILL, listened(Some(351.0), 0, 0)).len(), 1);
        assert_eq!(judge(&limits::KILL, listened(None, 1, 1)).len(), 3);
    }
}
