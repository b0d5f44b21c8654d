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
    /// When the last connection was ready, and since when there had been an outage.
    ready: Option<(Time, Option<Time>)>,
}

impl Backoff {
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// A connection is ready. The outage is over, unless it is lost at once.
    pub(crate) fn on_ready(&mut self, now: Time) {
        *self = Self { ready: Some((now, self.since)), late: self.late, ..Self::default() };
    }

    /// The connection is lost. After one that did not live for as long as the pause between dials there is a pause, too: a server that takes connections and closes
    /// them at once would be dialed without end.
    pub(crate) fn on_loss(&mut self, now: Time, rng: &mut Rng) -> Option<Duration> {
        let (ready, outage) = self.ready.take()?;
        if now.since(ready) >= STEADY {
            self.late = 0;
            return None;
        }
        self.since = outage;
        Some(self.pause(now, rng))
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts a failure and gives the pause before the next dial.
    pub(crate) fn on_failure(&mut self, now: Time, rng: &mut Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.pause(now, rng)
    }

    fn pause(&mut self, now: Time, rng: &mut Rng) -> Duration {
        let since = *self.since.get_or_insert(now);
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
    fn connections_that_are_closed_at_once_are_an_outage_too() {
        let mut rng = Rng::new(1);
        let mut backoff = Backoff::default();
        let at = |ms: u64| Time::from_micros(ms * 1000);
        assert_eq!(backoff.on_loss(at(0), &mut rng), None, "there was none");
        backoff.on_ready(at(0));
        assert_eq!(backoff.on_loss(at(100), &mut rng), None, "it has lived");
        let mut pauses = Vec::new();
        let mut now = 1000;
        for _ in 0..300 {
            backoff.on_ready(at(now));
            let pause = backoff.on_loss(at(now), &mut rng).unwrap();
            now += pause.as_millis() as u64;
            pauses.push(pause);
        }
        assert!(pauses[..100].iter().all(|pause| (90..=110).contains(&pause.as_millis())));
        assert!(pauses.iter().any(|pause| *pause > Duration::from_secs(1)), "it grows");
        assert_eq!(backoff.failures(), 0, "no dial has failed");
    }

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
