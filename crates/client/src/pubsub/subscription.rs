//! The handle of a subscription, and the call that opens one.

use std::collections::BTreeSet;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use redial_proto::SubscriptionKind;

use super::ask::Ask;
use super::channels::ToChannels;
use super::inbox::{Inbox, Limits, Received};
use super::registry::Listener;
use crate::client::Handle;
use crate::error::Error;
use crate::turns;

/// A published message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub channel: Bytes,
    /// What was published.
    pub payload: Bytes,
    /// The pattern that matched, where it came by one.
    pub pattern: Option<Bytes>,
}

/// A channel that the server does not permit any more.
#[derive(Debug)]
pub struct Refused {
    /// What it is.
    pub kind: SubscriptionKind,
    /// Channel or pattern.
    pub channel: Bytes,
    /// The server's words.
    pub error: Error,
}

/// A subscription that is being opened by [`Client::subscribe`](crate::Client::subscribe) and its like; `.await` it.
#[must_use = "nothing is subscribed to unless this is awaited"]
#[derive(Debug)]
pub struct Subscribe {
    handle: Arc<Handle>,
    kind: SubscriptionKind,
    channels: Vec<Bytes>,
    limits: Limits,
}

impl Subscribe {
    pub(crate) fn new(
        handle: Arc<Handle>,
        kind: SubscriptionKind,
        channels: impl ToChannels,
    ) -> Self {
        Self { handle, kind, channels: channels.to_channels(), limits: Limits::default() }
    }

    /// How much may wait to be read. When a message exceeds it the oldest ones are dropped, and the stream says how many: what comes last says most about
    /// how things are. Default 16,384 messages and 16 MiB, each message counted with 128 bytes besides its own. One message always has room.
    pub const fn buffer(mut self, messages: usize, bytes: usize) -> Self {
        self.limits = Limits { messages, bytes };
        self
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { handle, kind, channels, limits } = self;
        let inbox = Arc::new(Inbox::new(limits));
        // Dropping it, also half way, takes everything back.
        let mut subscription = Subscription { handle, inbox, topics: BTreeSet::new() };
        Box::pin(async move { subscription.add(kind, channels).await.map(|()| subscription) })
    }
}

/// A stream of messages, and of everything that kept messages from it.
///
/// ```no_run
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// use redial::Received;
///
/// let mut prices = client.subscribe(["eur", "usd"]).await?;
/// while let Some(received) = prices.next().await {
///     match received {
///         Received::Message(message) => println!("{:?}: {:?}", message.channel, message.payload),
///         Received::Interrupted => println!("prices may be old from now on"),
///         // What was published meanwhile is lost: read the present state from where it is stored.
///         Received::Resumed { after } => println!("heard nothing for {after:?}, and hear again"),
///         Received::Dropped(count) => println!("too slow: {count} messages were dropped"),
///         Received::Refused(refused) => println!("{}", refused.error),
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// It is restored on every new connection. It ends (`None`) when the client was ended, or when no channel is left. Dropping it unsubscribes from what nobody else
/// of this client listens to. All subscriptions of a client share one connection; a message is delivered once for each channel and each pattern that it
/// matches, as the server sends it.
#[derive(Debug)]
pub struct Subscription {
    handle: Arc<Handle>,
    inbox: Listener,
    /// All that was ever listened to and not given up; some of it may have been refused since.
    topics: BTreeSet<(SubscriptionKind, Bytes)>,
}

impl Subscription {
    /// What comes next; `None` when nothing can come. Cancel safe.
    pub async fn next(&mut self) -> Option<Received> {
        poll_fn(|cx| self.inbox.poll(cx)).await
    }

    /// How many messages were dropped so far because this stream was not read fast enough.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inbox.dropped()
    }

    /// Adds channels. Returns when the server has confirmed all of them.
    ///
    /// When the future is dropped the channels stay wanted.
    ///
    /// # Errors
    /// As [`Client::subscribe`](crate::Client::subscribe); none of these channels is listened to then, and the others go on.
    pub async fn subscribe(&mut self, channels: impl ToChannels) -> Result<(), Error> {
        self.add(SubscriptionKind::Channel, channels.to_channels()).await
    }

    /// Adds patterns, as [`Self::subscribe`].
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub async fn psubscribe(&mut self, patterns: impl ToChannels) -> Result<(), Error> {
        self.add(SubscriptionKind::Pattern, patterns.to_channels()).await
    }

    /// Adds sharded channels, as [`Self::subscribe`].
    ///
    /// # Errors
    /// As [`Client::ssubscribe`](crate::Client::ssubscribe).
    pub async fn ssubscribe(&mut self, channels: impl ToChannels) -> Result<(), Error> {
        self.add(SubscriptionKind::Shard, channels.to_channels()).await
    }

    /// Removes channels, at once; what has come of them already can still be read.
    pub fn unsubscribe(&mut self, channels: impl ToChannels) {
        self.remove(SubscriptionKind::Channel, channels.to_channels());
    }

    /// Removes patterns, as [`Self::unsubscribe`].
    pub fn punsubscribe(&mut self, patterns: impl ToChannels) {
        self.remove(SubscriptionKind::Pattern, patterns.to_channels());
    }

    /// Removes sharded channels, as [`Self::unsubscribe`].
    pub fn sunsubscribe(&mut self, channels: impl ToChannels) {
        self.remove(SubscriptionKind::Shard, channels.to_channels());
    }

    async fn add(&mut self, kind: SubscriptionKind, channels: Vec<Bytes>) -> Result<(), Error> {
        turns::turn().await;
        let ask = Ask::default();
        let Self { handle, inbox, topics } = self;
        // Under one lock, so that core and registry agree on who listens.
        let (asked, within) = handle.mailbox.with(|state| {
            let mut asked = Ok(());
            for name in &channels {
                topics.insert((kind, name.clone()));
                if state.registry.listen(kind, name, inbox, &ask) && asked.is_ok() {
                    asked = state.core.subscribe(kind, name, true);
                }
            }
            (asked, state.core.request_timeout())
        });
        let outcome = match asked {
            Err(error) => Err(error.into()),
            Ok(()) => match tokio::time::timeout(within, ask).await {
                Ok(outcome) => outcome,
                Err(_) => Err(self.handle.mailbox.lock().core.unconfirmed(None, within).into()),
            },
        };
        if outcome.is_err() {
            self.remove(kind, channels);
        }
        outcome
    }

    fn remove(&mut self, kind: SubscriptionKind, channels: Vec<Bytes>) {
        for name in channels {
            self.topics.remove(&(kind, name.clone()));
            self.forget(kind, &name);
        }
    }

    fn forget(&self, kind: SubscriptionKind, name: &Bytes) {
        self.handle.mailbox.with(|state| {
            if state.registry.unlisten(kind, name, &self.inbox) {
                // Of a client that has ended nothing is left to take back.
                let _ = state.core.subscribe(kind, name, false);
            }
        });
    }
}

impl Stream for Subscription {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.inbox.poll(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for (kind, name) in &self.topics {
            self.forget(*kind, name);
        }
    }
}
