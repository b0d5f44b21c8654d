//! Waiting for a server that refuses for now: BUSY, LOADING, NOREPLICAS, …
//!
//! While it lasts requests wait in the queue, and one of them at a time is sent to see whether it has passed, so that a refusal costs
//! one resend and not one for each request. Likewise where one of them may be what connections are lost for.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::conclude::RejectionCause;
use crate::time::Time;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// After a cause has lasted for longer than requests may wait for it, refusals are handed to callers at once for this long, or until a
/// write succeeds.
const GIVE_UP_FOR: Duration = Duration::from_secs(10);

/// Where the waiting stands.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    active: Option<Active>,
    given_up: Option<(RejectionCause, Time)>,
}

#[derive(Debug)]
struct Active {
    since: Time,
    pause: Duration,
    scout: Option<NonZeroU64>,
}

/// What a refusal leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// The request waits; try again at this moment.
    Wait(Time),
    /// The request waits; when to try again is settled already.
    WaitOn,
    /// It has lasted for too long: the caller is told.
    GiveUp,
}

impl Hold {
    /// True while requests are to wait.
    pub(crate) const fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// True if a success would change anything.
    pub(crate) const fn is_relevant(&self) -> bool {
        self.active.is_some() || self.given_up.is_some()
    }

    pub(crate) fn on_refusal(
        &mut self,
        now: Time,
        seq: NonZeroU64,
        cause: RejectionCause,
    ) -> OnRefusal {
        if self.given_up.is_some_and(|(given_up, until)| given_up == cause && now < until) {
            return OnRefusal::GiveUp;
        }
        let Some(active) = &mut self.active else {
            self.active = Some(Active { since: now, pause: FIRST_PAUSE, scout: None });
            return OnRefusal::Wait(now + FIRST_PAUSE);
        };
        if active.scout != Some(seq) {
            return OnRefusal::WaitOn;
        }
        active.scout = None;
        if cause.longest_wait().is_some_and(|longest| now.since(active.since) >= longest) {
            self.given_up = Some((cause, now + GIVE_UP_FOR));
            self.active = None;
            return OnRefusal::GiveUp;
        }
        active.pause = (active.pause * 2).min(longest_pause(cause));
        OnRefusal::Wait(now + active.pause)
    }

    /// This request is sent with nothing beside it.
    pub(crate) fn on_alone(&mut self, now: Time, seq: NonZeroU64) {
        self.active = Some(Active { since: now, pause: FIRST_PAUSE, scout: Some(seq) });
    }

    /// The request that is to tell whether it has passed.
    pub(crate) fn scout(&self) -> Option<NonZeroU64> {
        self.active.as_ref()?.scout
    }

    /// The pause is over: this request is the scout; `None` lets everything go, since nothing waits.
    pub(crate) fn on_pause_over(&mut self, scout: Option<NonZeroU64>) {
        match (&mut self.active, scout) {
            (Some(active), Some(seq)) => active.scout = Some(seq),
            _ => self.active = None,
        }
    }

    /// A request was answered as usual. True if requests need not wait any longer.
    pub(crate) fn on_success(&mut self, seq: NonZeroU64, is_write: bool) -> bool {
        if is_write {
            self.given_up = None;
        }
        let over = self.active.as_ref().is_some_and(|active| active.scout == Some(seq));
        if over {
            self.active = None;
        }
        over
    }

    /// The scout's caller went away: what else waits must not wait for it.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A cluster that elects is down for a second or two, and one command to a node is little to ask of it.
fn longest_pause(cause: RejectionCause) -> Duration {
    if cause == RejectionCause::ClusterDown { FIRST_PAUSE } else { LONGEST_PAUSE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    #[test]
    fn one_scout_at_a_time_with_growing_pauses_until_one_gets_through() {
        let mut hold = Hold::default();
        assert_eq!(hold.on_refusal(at(0), seq(1), RejectionCause::Busy), OnRefusal::Wait(at(50)));
        assert_eq!(hold.on_refusal(at(0), seq(2), RejectionCause::Busy), OnRefusal::WaitOn);
        hold.on_pause_over(Some(seq(1)));
        assert_eq!(hold.on_refusal(at(60), seq(1), RejectionCause::Busy), OnRefusal::Wait(at(160)));
        assert!(!hold.on_success(seq(2), true), "only the scout ends it");
        hold.on_pause_over(Some(seq(1)));
        assert!(hold.on_success(seq(1), true));
        assert!(!hold.is_active());
    }

    #[test]
    fn a_cause_that_lasts_is_handed_to_callers_at_once_until_a_write_succeeds() {
        let mut hold = Hold::default();
        let cause = RejectionCause::NoReplicas;
        assert!(matches!(hold.on_refusal(at(0), seq(1), cause), OnRefusal::Wait(_)));
        hold.on_pause_over(Some(seq(1)));
        assert_eq!(hold.on_refusal(at(1000), seq(1), cause), OnRefusal::GiveUp);
        assert!(!hold.is_active());
        assert_eq!(hold.on_refusal(at(1001), seq(2), cause), OnRefusal::GiveUp);
        assert!(!hold.on_success(seq(3), false));
        assert_eq!(
            hold.on_refusal(at(1002), seq(4), cause),
            OnRefusal::GiveUp,
            "a read proves nothing"
        );
        assert!(!hold.on_success(seq(5), true));
        assert!(matches!(hold.on_refusal(at(1003), seq(6), cause), OnRefusal::Wait(_)));
    }
}
