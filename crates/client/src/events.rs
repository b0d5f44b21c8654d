//! What a program can watch.

use redial_proto::{Event, EventKind, State};
use tokio::sync::broadcast;

/// Events that a slow watcher may lag behind before it misses some, and is told how many: about five seconds of an outage. Every client
/// has room for them (100 bytes each), whether or not anybody watches.
const EVENT_BUFFER: usize = 64;

/// The stream of a client's [`Event`]s. What it misses when it is slow is counted, never silently dropped.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` when the client is gone. Cancel safe.
    ///
    /// # Errors
    /// The number of events that were missed because this stream was not read for long; the next call goes on behind them.
    pub async fn next(&mut self) -> Option<Result<Event, u64>> {
        match self.0.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Err(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Where a client's events go.
#[derive(Debug)]
pub(crate) struct Hub {
    events: broadcast::Sender<Event>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { events: broadcast::channel(EVENT_BUFFER).0 }
    }
}

impl Hub {
    pub(crate) fn events(&self) -> Events {
        Events(self.events.subscribe())
    }

    pub(crate) fn on_event(&self, event: Event) {
        trace(&event);
        #[cfg(feature = "metrics")]
        count(&event);
        // Nobody watching is no failure.
        let _ = self.events.send(event);
    }
}

fn trace(event: &Event) {
    let (link, purpose) = (event.link.number(), event.purpose);
    match &event.kind {
        EventKind::State(State::Ready) => tracing::info!(link, ?purpose, "ready"),
        EventKind::State(state) => tracing::debug!(link, ?purpose, state = state.name()),
        EventKind::DialFailed { cause, needs_attention: true, .. } => {
            tracing::warn!(link, ?purpose, %cause, "the server refuses this client; its configuration needs attention");
        }
        EventKind::CredentialsFailed { cause } => {
            tracing::warn!(link, ?purpose, %cause, "no new credentials");
        }
        EventKind::Suspected { .. }
        | EventKind::Condemned { .. }
        | EventKind::Adopted { .. }
        | EventKind::HistoryChanged { .. }
        | EventKind::Maintenance(_) => {
            tracing::info!(link, ?purpose, event = ?event.kind);
        }
        other => tracing::debug!(link, ?purpose, event = ?other),
    }
}

#[cfg(feature = "metrics")]
fn count(event: &Event) {
    let name = match &event.kind {
        EventKind::Maintenance(_) => "redial_maintenance_events_total",
        EventKind::Adopted { .. } => "redial_connections_adopted_total",
        EventKind::Condemned { .. } => "redial_connections_condemned_total",
        EventKind::DialFailed { .. } => "redial_dials_failed_total",
        EventKind::Probe { .. } => "redial_probes_total",
        EventKind::Recovered { .. } => "redial_false_suspicions_total",
        EventKind::Suspected { .. } => "redial_suspicions_total",
        _ => return,
    };
    metrics::counter!(name).increment(1);
}
