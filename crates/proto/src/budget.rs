//! The retry budget: of what a process sends to an endpoint, at most a fifth may be sent a second time, a burst aside.
//!
//! Without it, resends multiply the load of a server that is already in trouble. Shared by all clients of a process and endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// One resend is paid by this many first sends.
const SENDS_PER_RESEND: i64 = 5;

/// Resends that may come at once: what the largest reasonable number of callers has in flight when its connection is lost.
const BURST: i64 = 20_000;

/// A bucket of resends; clones share it.
#[derive(Clone, Debug)]
pub struct RetryBudget(Arc<AtomicI64>);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(BURST * SENDS_PER_RESEND)))
    }
}

impl RetryBudget {
    /// Counts first sends.
    pub(crate) fn deposit(&self, sends: usize) {
        let sends = i64::try_from(sends).unwrap_or(i64::MAX);
        if self.0.load(Ordering::Relaxed) < BURST * SENDS_PER_RESEND {
            self.0.fetch_add(sends, Ordering::Relaxed);
        }
    }

    /// Pays for one resend, or refuses.
    pub(crate) fn withdraw(&self) -> bool {
        let paid = self.0.fetch_sub(SENDS_PER_RESEND, Ordering::Relaxed) >= SENDS_PER_RESEND;
        if !paid {
            self.0.fetch_add(SENDS_PER_RESEND, Ordering::Relaxed);
        }
        paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_burst_a_fifth_of_the_traffic_may_be_sent_again() {
        let budget = RetryBudget::default();
        for _ in 0..BURST {
            assert!(budget.withdraw());
        }
        assert!(!budget.withdraw());
        budget.deposit(1000);
        assert_eq!((0..1000).filter(|_| budget.withdraw()).count(), 200);
    }
}
