//! How long to wait before the next dial, after one that was answered with a failure.

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Time;

/// During the first part of an outage a refused connect costs nobody anything, and an unplanned failover takes 10–15 s (Azure's documentation).
const STEADY: Duration = Duration::from_millis(100);
const STEADY_FOR: Duration = Duration::from_secs(20);
const LONGEST: Duration = Duration::from_secs(2);

/// An outage, from the loss of the connection to the next one that is ready.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    since: Option<Time>,
    /// Dials that failed since then.
    failures: u32,
    /// Of those, how many after the steady part.
    late: u32,
}

impl Backoff {
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts a failure and gives the pause before the next dial.
    pub(crate) fn on_failure(&mut self, now: Time, rng: &mut Rng) -> Duration {
        let since = *self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        if now.since(since) < STEADY_FOR {
            return rng.around(STEADY);
        }
        self.late = self.late.saturating_add(1);
        let ceiling = STEADY.saturating_mul(1 << self.late.min(10)).min(LONGEST);
        rng.between(STEADY, ceiling)
    }

    /// The least pause between dials that nobody answers.
    pub(crate) fn spacing(&self, now: Time, short: Duration) -> Duration {
        match self.since {
            Some(since) if now.since(since) >= STEADY_FOR => LONGEST,
            _ => short,
        }
    }

    /// The outage begins, if it has not.
    pub(crate) fn begin(&mut self, now: Time) {
        self.since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_come_every_100_ms_for_20_s_and_then_ever_more_rarely_up_to_2_s() {
        let mut rng = Rng::new(1);
        let mut backoff = Backoff::default();
        let at = |ms: u64| Time::from_micros(ms * 1000);
        for ms in [0, 100, 19_999] {
            let pause = backoff.on_failure(at(ms), &mut rng);
            assert!((90..=110).contains(&pause.as_millis()), "{pause:?}");
        }
        let late: Vec<_> = (0..100).map(|i| backoff.on_failure(at(20_000 + i), &mut rng)).collect();
        assert!(late[0] <= Duration::from_millis(200));
        assert!(late.iter().all(|pause| *pause <= LONGEST));
        assert!(late.iter().any(|pause| *pause > Duration::from_secs(1)), "it grows");
        assert_eq!(backoff.failures(), 103);
    }
}
