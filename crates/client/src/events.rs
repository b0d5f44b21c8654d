//! What a program can watch, and where its subscriptions' messages go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use redial_proto::{Event, EventKind, Purpose, State, SubscriptionKind};
use redial_resp::{Frame, Value};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::error::Error;
use crate::subscription::Message;

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

type Key = (SubscriptionKind, Vec<u8>);

/// One subscription's end of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) messages: mpsc::Sender<Message>,
    /// Messages that did not fit; also its identity.
    pub(crate) dropped: Arc<AtomicU64>,
}

/// Who listens to a channel.
#[derive(Debug, Default)]
struct Channel {
    listeners: Vec<Listener>,
    /// Waiting for the server's confirmation.
    unconfirmed: Vec<oneshot::Sender<Result<(), Error>>>,
    is_confirmed: bool,
}

/// Where a client's events and messages go.
#[derive(Debug)]
pub(crate) struct Hub {
    events: broadcast::Sender<Event>,
    channels: Mutex<HashMap<Key, Channel>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { events: broadcast::channel(EVENT_BUFFER).0, channels: Mutex::default() }
    }
}

impl Hub {
    pub(crate) fn events(&self) -> Events {
        Events(self.events.subscribe())
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<Key, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn on_event(&self, event: Event) {
        trace(&event);
        if event.purpose == Purpose::Shared && event.kind == EventKind::State(State::End) {
            self.on_end();
        }
        #[cfg(feature = "metrics")]
        count(&event);
        // Nobody watching is no failure.
        let _ = self.events.send(event);
    }

    /// The client has ended: nobody waits for a confirmation or a message that will not come.
    fn on_end(&self) {
        for (_, channel) in self.channels().drain() {
            for waiting in channel.unconfirmed {
                let _ = waiting.send(Err(Error::closed(
                    "the client was ended before the server confirmed the subscription",
                )));
            }
        }
    }

    /// Listens to a channel; the receiver hears when the server has confirmed it. True if nobody listened before.
    pub(crate) fn listen(
        &self,
        key: Key,
        listener: Listener,
    ) -> (bool, oneshot::Receiver<Result<(), Error>>) {
        let (confirm, confirmed) = oneshot::channel();
        let mut channels = self.channels();
        let channel = channels.entry(key).or_default();
        let is_new = channel.listeners.is_empty();
        channel.listeners.push(listener);
        if channel.is_confirmed {
            let _ = confirm.send(Ok(()));
        } else {
            channel.unconfirmed.push(confirm);
        }
        (is_new, confirmed)
    }

    /// Forgets a listener that went away. True if nobody listens any more.
    pub(crate) fn unlisten(&self, key: &Key, dropped: &Arc<AtomicU64>) -> bool {
        let mut channels = self.channels();
        let Some(channel) = channels.get_mut(key) else { return false };
        channel.listeners.retain(|listener| !Arc::ptr_eq(&listener.dropped, dropped));
        let is_last = channel.listeners.is_empty();
        if is_last {
            channels.remove(key);
        }
        is_last
    }

    pub(crate) fn on_refused(&self, kind: SubscriptionKind, name: Vec<u8>, text: String) {
        if let Some(channel) = self.channels().remove(&(kind, name)) {
            for waiting in channel.unconfirmed {
                let _ = waiting.send(Err(Error::server(&text)));
            }
        }
    }

    /// A push: a confirmation, a message, or something that nobody asked for.
    pub(crate) fn on_push(&self, frame: &Frame) {
        let element = frame.element();
        let Some(mut elements) = element.elements() else { return };
        let Some(Value::Bulk(word) | Value::Simple(word)) =
            elements.next().map(|word| word.value())
        else {
            return;
        };
        let mut bytes = || elements.next().and_then(|element| element.to_bytes());
        let (kind, name, channel) = match word {
            b"subscribe" | b"psubscribe" | b"ssubscribe" => {
                let kind = match word[0] {
                    b'p' => SubscriptionKind::Pattern,
                    b's' if word[1] == b's' => SubscriptionKind::Shard,
                    _ => SubscriptionKind::Channel,
                };
                return self.on_confirmed(kind, bytes());
            }
            b"message" | b"smessage" => {
                let kind = if word[0] == b's' {
                    SubscriptionKind::Shard
                } else {
                    SubscriptionKind::Channel
                };
                let Some(channel) = bytes() else { return };
                (kind, channel.clone(), channel)
            }
            b"pmessage" => {
                let (Some(pattern), Some(channel)) = (bytes(), bytes()) else { return };
                (SubscriptionKind::Pattern, pattern, channel)
            }
            _ => return,
        };
        let payload = bytes().unwrap_or_default();
        self.deliver(kind, &name, channel, payload);
    }

    fn on_confirmed(&self, kind: SubscriptionKind, name: Option<Bytes>) {
        let Some(name) = name else { return };
        if let Some(channel) = self.channels().get_mut(&(kind, name.to_vec())) {
            channel.is_confirmed = true;
            for waiting in channel.unconfirmed.drain(..) {
                let _ = waiting.send(Ok(()));
            }
        }
    }

    fn deliver(&self, kind: SubscriptionKind, name: &Bytes, channel: Bytes, payload: Bytes) {
        let message = Message { channel, payload };
        if let Some(found) = self.channels().get(&(kind, name.to_vec())) {
            for listener in &found.listeners {
                if listener.messages.try_send(message.clone()).is_err() {
                    listener.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
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
        | EventKind::HistoryChanged { .. } => {
            tracing::info!(link, ?purpose, event = ?event.kind);
        }
        other => tracing::debug!(link, ?purpose, event = ?other),
    }
}

#[cfg(feature = "metrics")]
fn count(event: &Event) {
    let name = match &event.kind {
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
