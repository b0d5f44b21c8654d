//! Who listens to what, and how it stands with the server. It lives under the client's lock, beside the core, so that the two never disagree.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redial_proto::{LinkId, OpenedId, SubscriptionChange, SubscriptionKind, Time};
use redial_resp::{Frame, Value};

use super::ask::Ask;
use super::inbox::Inbox;
use super::subscription::{Message, Refused};
use crate::error::Error;

/// What a message costs besides its bytes.
const OVERHEAD: usize = 128;

pub(crate) type Listener = Arc<Inbox<Message>>;

/// One channel or pattern.
#[derive(Debug, Default)]
struct Topic {
    listeners: Vec<Listener>,
    /// Calls that wait for the server's word, and whose they are.
    asks: Vec<(Listener, Ask)>,
    is_confirmed: bool,
}

/// Who listens on a link that was opened for it.
pub(crate) trait Feed: fmt::Debug + Send + Sync {
    /// The server said something by itself.
    fn on_push(&self, frame: &Frame, wakers: &mut Vec<Waker>);

    /// How it stands has changed; if it was interrupted, nothing was heard `since`.
    fn on_change(&self, change: SubscriptionChange, since: Instant, wakers: &mut Vec<Waker>);

    /// The client has ended.
    fn on_end(&self, wakers: &mut Vec<Waker>);
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Registry {
    feeds: HashMap<LinkId, Arc<dyn Feed>>,
    channels: HashMap<Bytes, Topic>,
    patterns: HashMap<Bytes, Topic>,
    shards: HashMap<Bytes, Topic>,
    /// When the core's clock began.
    epoch: Instant,
}

impl Registry {
    pub(crate) fn new(epoch: Instant) -> Self {
        let (feeds, (channels, patterns, shards)) = <_>::default();
        Self { feeds, channels, patterns, shards, epoch }
    }

    fn topics(&mut self, kind: SubscriptionKind) -> &mut HashMap<Bytes, Topic> {
        match kind {
            SubscriptionKind::Pattern => &mut self.patterns,
            SubscriptionKind::Shard => &mut self.shards,
            // The other kinds have links, and feeds, of their own.
            _ => &mut self.channels,
        }
    }

    /// From now on it hears what comes on this link.
    pub(crate) fn add_feed(&mut self, opened: OpenedId, feed: Arc<dyn Feed>) {
        self.feeds.insert(opened.link(), feed);
    }

    pub(crate) fn remove_feed(&mut self, opened: OpenedId) {
        self.feeds.remove(&opened.link());
    }

    /// Listens; `ask` hears of the server's word, unless that is known. True if nobody listened before.
    pub(crate) fn listen(
        &mut self,
        kind: SubscriptionKind,
        name: &Bytes,
        listener: &Listener,
        ask: &Ask,
    ) -> bool {
        let topic = self.topics(kind).entry(name.clone()).or_default();
        let is_new = topic.listeners.is_empty();
        if !topic.listeners.iter().any(|other| Arc::ptr_eq(other, listener)) {
            topic.listeners.push(Arc::clone(listener));
            listener.add_topic(topic.is_confirmed);
        }
        if !topic.is_confirmed {
            ask.open();
            topic.asks.push((Arc::clone(listener), ask.clone()));
        }
        is_new
    }

    /// Forgets a listener. True if nobody listens any more.
    pub(crate) fn unlisten(
        &mut self,
        kind: SubscriptionKind,
        name: &Bytes,
        listener: &Listener,
    ) -> bool {
        let topics = self.topics(kind);
        let Some(topic) = topics.get_mut(name) else { return false };
        let Some(at) = topic.listeners.iter().position(|other| Arc::ptr_eq(other, listener)) else {
            return false;
        };
        topic.listeners.swap_remove(at);
        topic.asks.retain(|(whose, _)| !Arc::ptr_eq(whose, listener));
        // Whoever calls this is the reader: there is nobody to wake.
        let _ = listener.remove_topic(topic.is_confirmed);
        let is_last = topic.listeners.is_empty();
        if is_last {
            topics.remove(name);
        }
        is_last
    }

    /// The client has ended: nobody waits for a confirmation or a message that will not come.
    pub(crate) fn on_end(&mut self, wakers: &mut Vec<Waker>) {
        self.feeds.values().for_each(|feed| feed.on_end(wakers));
        let text = "the client was ended before the server confirmed the subscription";
        let all = self.channels.drain().chain(self.patterns.drain()).chain(self.shards.drain());
        for (_, topic) in all {
            wakers.extend(topic.listeners.iter().filter_map(|listener| listener.end()));
            let asks = topic.asks.iter();
            wakers.extend(asks.filter_map(|(_, ask)| ask.settle(Err(Error::closed(text)))));
        }
    }

    /// How subscriptions stand has changed.
    pub(crate) fn on_change(
        &mut self,
        link: LinkId,
        change: SubscriptionChange,
        wakers: &mut Vec<Waker>,
    ) {
        if let Some(feed) = self.feeds.get(&link) {
            let since = match &change {
                SubscriptionChange::Interrupted { since } => self.instant(*since),
                _ => Instant::now(),
            };
            return feed.on_change(change, since, wakers);
        }
        match change {
            SubscriptionChange::Confirmed { kind, channel } => {
                let Some(topic) = self.topics(kind).get_mut(channel.as_slice()) else { return };
                if !std::mem::replace(&mut topic.is_confirmed, true) {
                    let listeners = topic.listeners.iter();
                    wakers.extend(listeners.filter_map(|listener| listener.on_confirmed()));
                }
                let asks = topic.asks.drain(..);
                wakers.extend(asks.filter_map(|(_, ask)| ask.settle(Ok(()))));
            }
            SubscriptionChange::Refused { kind, channel, text } => {
                self.on_refused(kind, channel, &text, wakers);
            }
            SubscriptionChange::Withdrawn { kind, channel } => {
                if let Some(topic) = self.topics(kind).get_mut(channel.as_slice()) {
                    topic.on_lost(Instant::now(), wakers);
                }
            }
            SubscriptionChange::Interrupted { since } => {
                let since = self.instant(since);
                let maps = [&mut self.channels, &mut self.patterns, &mut self.shards];
                for topic in maps.into_iter().flat_map(HashMap::values_mut) {
                    topic.on_lost(since, wakers);
                }
            }
        }
    }

    fn instant(&self, time: Time) -> Instant {
        let since = self.epoch.checked_add(Duration::from_micros(time.as_micros()));
        since.unwrap_or_else(Instant::now)
    }

    /// The calls that asked for it fail; who had it before is told in the stream.
    fn on_refused(
        &mut self,
        kind: SubscriptionKind,
        channel: Vec<u8>,
        text: &str,
        wakers: &mut Vec<Waker>,
    ) {
        let name = Bytes::from(channel);
        let Some(topic) = self.topics(kind).remove(&name) else { return };
        let shown = format!("{text} ({} \"{}\")", kind.command(true), name.escape_ascii());
        for listener in topic.listeners {
            let asked = topic.asks.iter().any(|(whose, _)| Arc::ptr_eq(whose, &listener));
            wakers.extend(if asked {
                listener.remove_topic(false)
            } else {
                let error = Error::server(&shown);
                listener.refuse(Refused { kind, channel: name.clone(), error })
            });
        }
        for (_, ask) in topic.asks {
            wakers.extend(ask.settle(Err(Error::server(&shown))));
        }
    }

    /// A push: a message, or something that nobody asked for.
    pub(crate) fn on_push(&self, link: LinkId, frame: &Frame, wakers: &mut Vec<Waker>) {
        if let Some(feed) = self.feeds.get(&link) {
            return feed.on_push(frame, wakers);
        }
        let element = frame.element();
        let Some(mut elements) = element.elements() else { return };
        let Some(word) = elements.next() else { return };
        let topics = match word.value() {
            Value::Bulk(b"message") => &self.channels,
            Value::Bulk(b"pmessage") => &self.patterns,
            Value::Bulk(b"smessage") => &self.shards,
            _ => return,
        };
        let Some(name) = elements.next() else { return };
        let Some((name, topic)) = name.text().and_then(|name| topics.get_key_value(name)) else {
            return;
        };
        let (pattern, channel) = if std::ptr::eq(topics, &raw const self.patterns) {
            (Some(name.clone()), elements.next().and_then(|channel| channel.to_bytes()))
        } else {
            (None, Some(name.clone()))
        };
        let payload = elements.next().and_then(|payload| payload.to_bytes());
        let (Some(channel), Some(payload)) = (channel, payload) else { return };
        let bytes = OVERHEAD + channel.len() + payload.len();
        let message = Message { channel, payload, pattern };
        let Some((last, others)) = topic.listeners.split_last() else { return };
        for listener in others {
            wakers.extend(listener.push(message.clone(), bytes));
        }
        wakers.extend(last.push(message, bytes));
    }
}

impl Topic {
    /// Nothing was heard of it since then.
    fn on_lost(&mut self, since: Instant, wakers: &mut Vec<Waker>) {
        if std::mem::replace(&mut self.is_confirmed, false) {
            let listeners = self.listeners.iter();
            wakers.extend(listeners.filter_map(|listener| listener.on_lost(since)));
        }
    }
}
