//! Subscriptions: what is wanted is restored on every connection; what was published in between is lost, and the program is told
//! ([`EventKind::Gap`](crate::EventKind::Gap)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use redial_proto::SubscriptionKind;
use tokio::sync::mpsc;

use crate::client::Handle;
use crate::error::Error;
use crate::events::Listener;

/// Messages that wait for a subscription that is not read; further ones are dropped for it, and counted.
const MESSAGE_BUFFER: usize = 1024;

/// A published message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub channel: Bytes,
    /// What was published.
    pub payload: Bytes,
}

/// A stream of messages; it ends when the client is ended. Dropping it unsubscribes, when it was the last for its channel.
#[derive(Debug)]
pub struct Subscription {
    handle: Arc<Handle>,
    key: (SubscriptionKind, Vec<u8>),
    dropped: Arc<AtomicU64>,
    messages: mpsc::Receiver<Message>,
}

impl Subscription {
    pub(crate) async fn open(
        handle: Arc<Handle>,
        kind: SubscriptionKind,
        channel: &[u8],
    ) -> Result<Self, Error> {
        let (sender, messages) = mpsc::channel(MESSAGE_BUFFER);
        let key = (kind, channel.to_vec());
        let dropped = Arc::<AtomicU64>::default();
        let listener = Listener { messages: sender, dropped: Arc::clone(&dropped) };
        // Under one lock, so that the hub and the core agree on who listens.
        let (confirmed, asked) = handle.mailbox.with(|state| {
            let (is_new, confirmed) = handle.hub.listen(key.clone(), listener);
            (confirmed, if is_new { state.core.subscribe(kind, channel, true) } else { Ok(()) })
        });
        // From here on dropping it, also half way, takes the subscription back.
        let subscription = Self { handle, key, dropped, messages };
        asked?;
        match confirmed.await {
            Ok(outcome) => outcome.map(|()| subscription),
            Err(_) => Err(Error::closed(
                "the client was ended before the server confirmed the subscription",
            )),
        }
    }

    /// The next message; `None` when the client was ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }
}

impl Subscription {
    /// How many messages were dropped so far because this stream was not read: more than 1,024 were waiting.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Self { handle, key, dropped, .. } = self;
        handle.mailbox.with(|state| {
            if handle.hub.unlisten(key, dropped) {
                // Of a client that has ended nothing is left to take back.
                let _ = state.core.subscribe(key.0, &key.1, false);
            }
        });
    }
}
