//! What a server does for everybody (MONITOR), as a stream.

mod line;

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_core::Stream;
use redial_proto::{OpenedId, SubscriptionChange};
use redial_resp::{Bytes, Frame, Value};

pub use self::line::MonitorLine;
use crate::client::Handle;
use crate::error::Error;
use crate::pubsub::inbox::{Inbox, Limits};
use crate::pubsub::{Ask, Feed, Received, Refused};
use crate::turns;

/// What a line costs besides its bytes.
const OVERHEAD: usize = 128;

/// A monitor that is being opened by [`Client::monitor`](crate::Client::monitor); `.await` it.
#[must_use = "nothing is opened unless this is awaited"]
#[derive(Debug)]
pub struct OpenMonitor {
    handle: Arc<Handle>,
    limits: Limits,
}

impl OpenMonitor {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, limits: Limits::default() }
    }

    /// How much may wait to be read, as [`Subscribe::buffer`](crate::Subscribe::buffer).
    pub const fn buffer(mut self, lines: usize, bytes: usize) -> Self {
        self.limits = Limits { messages: lines, bytes };
        self
    }
}

impl IntoFuture for OpenMonitor {
    type Output = Result<Monitor, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            turns::turn().await;
            let (inbox, ask) = (Inbox::new(self.limits), Ask::default());
            inbox.add_topic(false);
            ask.open();
            let lines = Arc::new(Lines { inbox, ask: ask.clone() });
            let (id, within) = self.handle.mailbox.with(|state| {
                let id = state.core.open_monitor()?;
                state.registry.add_feed(id, Arc::clone(&lines) as _);
                Ok::<_, redial_proto::Error>((id, state.core.request_timeout()))
            })?;
            // Dropping it, also half way, closes the connection.
            let monitor = Monitor { handle: self.handle, id, lines };
            match tokio::time::timeout(within, ask).await {
                Ok(outcome) => outcome.map(|()| monitor),
                Err(_) => {
                    let core = &monitor.handle.mailbox.lock().core;
                    Err(core.unconfirmed(Some(id), within).into())
                }
            }
        })
    }
}

/// Every command that the server runs, for whomever, while this is read; on a connection of its own.
///
/// It costs the server dearly: each command is written to each monitor, which may halve what it can do
/// (<https://redis.io/docs/latest/commands/monitor/>). The stream is bounded and tells of interruptions as [`Subscription`](crate::Subscription) does; it ends when the
/// client is ended or the server does not permit it any more. Among the lines is a PING of this connection now and then while nothing else happens.
#[derive(Debug)]
pub struct Monitor {
    handle: Arc<Handle>,
    id: OpenedId,
    lines: Arc<Lines>,
}

impl Monitor {
    /// What comes next; `None` when nothing can come. Cancel safe.
    pub async fn next(&mut self) -> Option<Received<MonitorLine>> {
        poll_fn(|cx| self.lines.inbox.poll(cx)).await
    }

    /// How many lines were dropped so far because this stream was not read fast enough.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lines.inbox.dropped()
    }
}

impl Stream for Monitor {
    type Item = Received<MonitorLine>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lines.inbox.poll(cx)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.handle.mailbox.with(|state| state.registry.remove_feed(self.id));
        self.handle.mailbox.close(self.id);
    }
}

/// Between the driver and the stream.
#[derive(Debug)]
struct Lines {
    inbox: Inbox<MonitorLine>,
    /// Who waits for the server's first word.
    ask: Ask,
}

impl Feed for Lines {
    fn on_push(&self, frame: &Frame, wakers: &mut Vec<Waker>) {
        if let Value::Simple(text) = frame.value()
            && let Some(line) = MonitorLine::parse(text)
        {
            wakers.extend(self.inbox.push(line, OVERHEAD + text.len()));
        }
    }

    fn on_change(&self, change: SubscriptionChange, since: Instant, wakers: &mut Vec<Waker>) {
        match change {
            SubscriptionChange::Confirmed { .. } => {
                wakers.extend(self.inbox.on_confirmed());
                wakers.extend(self.ask.settle(Ok(())));
            }
            SubscriptionChange::Refused { kind, text, .. } => {
                let error = Error::server(&text);
                wakers.extend(self.inbox.refuse(Refused { kind, channel: Bytes::new(), error }));
                wakers.extend(self.ask.settle(Err(Error::server(&text))));
            }
            SubscriptionChange::Withdrawn { .. } | SubscriptionChange::Interrupted { .. } => {
                wakers.extend(self.inbox.on_lost(since));
            }
        }
    }

    fn on_end(&self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.inbox.end());
        let text = "the client was ended before the server confirmed MONITOR";
        wakers.extend(self.ask.settle(Err(Error::closed(text))));
    }
}
