//! Time as the core sees it: a number that the driver hands in with every input.
//!
//! The core has no clock, so a simulation can run an hour in a millisecond and a replay takes the same path twice.

use std::ops::Add;
use std::time::Duration;

/// A moment, in microseconds since an epoch that the driver chooses and keeps for the life of a core.
///
/// Monotonic: an input must not carry an earlier moment than the one before it (an earlier one is taken as "no time has passed").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// Later than every deadline: the moment that stands for "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The first moment from this one on that is a multiple of `step` after the epoch.
    #[must_use]
    pub(crate) fn next_multiple_of(self, step: Duration) -> Self {
        let step = (step.as_micros() as u64).max(1);
        Self(self.0.checked_next_multiple_of(step).unwrap_or(u64::MAX))
    }

    /// How long ago `earlier` was; zero if it was not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates at [`Time::NEVER`].
    fn add(self, rhs: Duration) -> Self {
        // In 64 bits: `as_micros` takes 128, and every request has a deadline.
        let micros = rhs.as_secs().saturating_mul(1_000_000);
        Self(self.0.saturating_add(micros).saturating_add(u64::from(rhs.subsec_micros())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_past_the_end_of_time_is_never_and_differences_do_not_wrap() {
        assert_eq!(Time::from_micros(5) + Duration::MAX, Time::NEVER);
        assert_eq!(Time::from_micros(5).since(Time::from_micros(9)), Duration::ZERO);
    }
}
