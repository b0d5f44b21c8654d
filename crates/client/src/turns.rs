//! Who gets on without ever waiting lets others have their turn.
//!
//! A reply from memory, a refusal, a message that is there already: whoever asks on and on for such is always ready, and on a runtime with one thread neither
//! the driver nor a timeout would ever run. So all that may be ready at once counts against tokio's budget of a task, as tokio's own channels do
//! (<https://docs.rs/tokio/latest/tokio/task/coop/>).

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::task::coop;

/// Pending, and woken at once, when it is others' turn.
pub(crate) fn poll_turn(cx: &mut Context<'_>) -> Poll<()> {
    pin!(coop::consume_budget()).poll(cx)
}

/// Waits while it is others' turn.
pub(crate) async fn turn() {
    coop::consume_budget().await;
}
