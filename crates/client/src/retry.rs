//! The user's say in when to dial again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Strategy = dyn Fn(u32, &str) -> Option<Duration> + Send + Sync;

/// `retry_strategy(attempt, cause)`: the pause before the next dial, or `None` to end the client until `connect()` is called.
#[derive(Clone)]
pub(crate) struct RetryStrategy(Arc<Strategy>);

impl RetryStrategy {
    pub(crate) fn new(
        strategy: impl Fn(u32, &str) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(strategy))
    }

    pub(crate) fn pause(&self, attempt: u32, cause: &str) -> Option<Duration> {
        (self.0)(attempt, cause)
    }
}

impl fmt::Debug for RetryStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryStrategy(..)")
    }
}
