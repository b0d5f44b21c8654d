//! The one clock of a drill: every time in a record, a mark or a report is a `Duration` since its
//! zero.

use std::time::{Duration, Instant};

/// A monotonic clock that starts when the drill does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    zero: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { zero: Instant::now() }
    }

    pub(crate) fn now(self) -> Duration {
        self.zero.elapsed()
    }

    /// The time of `instant` on this clock; zero for instants before its start.
    pub(crate) fn at(self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.zero)
    }
}

/// Milliseconds with three decimals, the unit of every report.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
