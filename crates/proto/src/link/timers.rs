//! The timers of a link, one table: at most one moment for each purpose.

use crate::time::Time;

/// What a link waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A request's deadline may have come.
    Deadline,
    /// The connection may have been silent for too long.
    Silence,
    /// The connection may have been idle for long enough to be asked with PING, or a blocked one to be asked after.
    Idle,
    /// While suspect: look at the kernel's view again, and at how long it has lasted.
    Suspect,
    /// The next dial is due.
    Dial,
    /// A dial has taken too long, or a kept probe is to be asked again.
    Attempts,
    /// Requests that the server refused are to be tried again.
    Hold,
    /// Subscriptions that the server refused for now are to be asked for again.
    Subscribe,
    /// What a hint asks for begins, or has had its time.
    Plan,
}

const COUNT: usize = 9;

/// When each is due.
#[derive(Debug)]
pub(crate) struct TimerTable([Time; COUNT]);

impl Default for TimerTable {
    fn default() -> Self {
        Self([Time::NEVER; COUNT])
    }
}

const ALL: [Timer; COUNT] = [
    Timer::Deadline,
    Timer::Silence,
    Timer::Idle,
    Timer::Suspect,
    Timer::Dial,
    Timer::Attempts,
    Timer::Hold,
    Timer::Subscribe,
    Timer::Plan,
];

impl TimerTable {
    fn slot(&mut self, timer: Timer) -> &mut Time {
        &mut self.0[timer as usize]
    }

    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        *self.slot(timer) = at;
    }

    /// Sets it if it would fire later than `at`, or not at all.
    #[inline]
    pub(crate) fn set_no_later(&mut self, timer: Timer, at: Time) {
        let slot = self.slot(timer);
        *slot = (*slot).min(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        *self.slot(timer) = Time::NEVER;
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize] != Time::NEVER
    }

    /// The earliest moment.
    pub(crate) fn next(&self) -> Time {
        self.0.iter().copied().min().unwrap_or(Time::NEVER)
    }

    /// A timer that is due; it is stopped.
    pub(crate) fn expired(&mut self, now: Time) -> Option<Timer> {
        let timer = ALL.into_iter().find(|timer| self.0[*timer as usize] <= now)?;
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_timer_fires_once_and_the_earliest_is_next() {
        let at = Time::from_micros;
        let mut table = TimerTable::default();
        table.set(Timer::Dial, at(20));
        table.set(Timer::Hold, at(10));
        table.set_no_later(Timer::Hold, at(30));
        table.set_no_later(Timer::Dial, at(15));
        assert_eq!(table.next(), at(10));
        assert_eq!(table.expired(at(9)), None);
        assert_eq!(table.expired(at(12)), Some(Timer::Hold));
        assert_eq!(table.expired(at(12)), None);
        assert_eq!(table.expired(at(15)), Some(Timer::Dial));
        assert_eq!(table.next(), Time::NEVER);
    }
}
