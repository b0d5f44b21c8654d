//! What a subscriber link wants to hear, and what the server has confirmed on the present connection.
//!
//! Wanted and confirmed are reconciled on every new connection; the messages themselves are not looked into, and who listens is not known here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use redial_resp::{Command, Frame, Value};

use super::context::{Context, Notice};
use super::timers::Timer;
use super::{Link, Purpose};
use crate::connection::backlog::Owner;
use crate::event::EventKind;
use crate::hint::{CHANNEL, is_maintenance};
use crate::output::{Output, SubscriptionChange};
use crate::time::Time;

/// A subscription that the server refused for now, or withdrew, is asked for again after this long.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// In RESP2 a server accepts CLIENT TRACKING and then has no way to say what was invalidated.
const NO_TRACKING: &str = "ERR client-side caching needs RESP3: the server does not know it, or `Builder::protocol` asks for RESP2";

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubscriptionKind {
    /// SUBSCRIBE
    Channel,
    /// PSUBSCRIBE
    Pattern,
    /// SSUBSCRIBE
    Shard,
    /// MONITOR, on a link that is for nothing else; without a name.
    Monitor,
    /// CLIENT TRACKING ON, on the link whose reads are to be cached; without a name.
    Invalidations,
}

impl SubscriptionKind {
    /// The command's name.
    #[must_use]
    pub const fn command(self, subscribe: bool) -> &'static str {
        match (self, subscribe) {
            (Self::Channel, true) => "SUBSCRIBE",
            (Self::Pattern, true) => "PSUBSCRIBE",
            (Self::Shard, true) => "SSUBSCRIBE",
            (Self::Channel, false) => "UNSUBSCRIBE",
            (Self::Pattern, false) => "PUNSUBSCRIBE",
            (Self::Shard, false) => "SUNSUBSCRIBE",
            (Self::Monitor, _) => "MONITOR",
            (Self::Invalidations, true) => "CLIENT TRACKING ON",
            (Self::Invalidations, false) => "CLIENT TRACKING OFF",
        }
    }
}

/// A channel or a pattern.
pub(crate) type Topic = (SubscriptionKind, Vec<u8>);

/// What a frame on a subscriber connection is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An ordinary reply.
    Reply,
    /// A message, or a push of another kind.
    Message,
    /// What Azure announces.
    Azure,
    /// What a server announces of itself.
    Maintenance,
    /// The answer to the oldest SUBSCRIBE or UNSUBSCRIBE.
    Confirmed,
    /// The server ended a subscription by itself.
    Withdrawn(Topic),
}

/// How one topic stands.
#[derive(Debug, Default)]
struct Standing {
    /// By the program.
    is_wanted: bool,
    /// The link listens to it for itself, whoever else does.
    is_watched: bool,
    /// The server has said so on this connection.
    is_confirmed: bool,
    /// Commands about it that are not answered yet; only the last one tells how it stands.
    asked: u32,
}

impl Standing {
    const fn is_needed(&self) -> bool {
        self.is_wanted || self.is_watched
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    topics: BTreeMap<Topic, Standing>,
    /// Sent and not answered, in the order sent, and whether it was to subscribe.
    asked: VecDeque<(Topic, bool)>,
    /// To be asked for again.
    postponed: Vec<Topic>,
    /// Messages are looked at for what Azure announces.
    watches: bool,
}

impl Subscriptions {
    /// True if nothing is wanted.
    pub(super) fn is_empty(&self) -> bool {
        !self.topics.values().any(Standing::is_needed)
    }

    /// True if the program wants anything.
    pub(super) fn has_listeners(&self) -> bool {
        self.topics.values().any(|standing| standing.is_wanted)
    }

    /// Wants a topic, or does not want it any more. True if the server is to be told.
    fn want(&mut self, topic: &Topic, wanted: bool) -> bool {
        if !wanted && !self.topics.contains_key(topic) {
            return false;
        }
        let standing = self.topics.entry(topic.clone()).or_default();
        let is_news = standing.is_wanted != wanted;
        standing.is_wanted = wanted;
        // What is listened to in any case is asked for again: a newcomer waits for its confirmation.
        is_news && (wanted || !standing.is_watched)
    }

    /// Listens to what Azure announces. Gives the topic if that is news.
    fn watch(&mut self) -> Option<Topic> {
        let topic = (SubscriptionKind::Channel, CHANNEL.to_vec());
        self.watches = true;
        let standing = self.topics.entry(topic.clone()).or_default();
        (!std::mem::replace(&mut standing.is_watched, true)).then_some(topic)
    }

    /// The command for one topic, now sent.
    fn ask(&mut self, topic: Topic, subscribe: bool) -> Command {
        let mut command = Command::new(topic.0.command(subscribe));
        if !matches!(topic.0, SubscriptionKind::Monitor | SubscriptionKind::Invalidations) {
            command.push_arg(&topic.1);
        }
        if let Some(standing) = self.topics.get_mut(&topic) {
            standing.asked += 1;
        }
        self.asked.push_back((topic, subscribe));
        command
    }

    /// What the program hears.
    fn confirmed_topics(&self) -> Vec<Topic> {
        let is_heard = |standing: &Standing| standing.is_confirmed && standing.is_wanted;
        let heard = self.topics.iter().filter(|(_, standing)| is_heard(standing));
        heard.map(|(topic, _)| topic.clone()).collect()
    }

    /// The connection is gone. True if the program heard anything on it.
    pub(super) fn on_lost(&mut self) -> bool {
        self.asked.clear();
        self.postponed.clear();
        self.topics.retain(|_, standing| standing.is_needed());
        let mut heard = false;
        for standing in self.topics.values_mut() {
            heard |= standing.is_confirmed && standing.is_wanted;
            (standing.is_confirmed, standing.asked) = (false, 0);
        }
        heard
    }

    /// The commands that a new connection needs: one a topic, so that each is confirmed or refused for itself.
    pub(super) fn ask_all(&mut self) -> Vec<Command> {
        let topics: Vec<_> = self.topics.keys().cloned().collect();
        topics.into_iter().map(|topic| self.ask(topic, true)).collect()
    }

    /// The oldest question is answered. Gives its topic and whether it was to subscribe, if no later question is about the same.
    fn answered(&mut self) -> Option<(Topic, bool)> {
        let (topic, subscribe) = self.asked.pop_front()?;
        let standing = self.topics.get_mut(&topic)?;
        standing.asked = standing.asked.saturating_sub(1);
        (standing.asked == 0).then_some((topic, subscribe))
    }

    /// The server has done what the oldest question asked. Gives the topic if the program hears it from now on.
    fn confirmed(&mut self) -> Option<Topic> {
        let (topic, subscribe) = self.answered()?;
        let standing = self.topics.get_mut(&topic)?;
        standing.is_confirmed = subscribe;
        let is_heard = subscribe && standing.is_wanted;
        if !standing.is_needed() {
            self.topics.remove(&topic);
        }
        is_heard.then_some(topic)
    }

    /// The server refused the oldest question: its topic is not wanted any more. Gives it if the program wanted it.
    fn refused(&mut self) -> Option<Topic> {
        let (topic, _) = self.answered()?;
        let standing = self.topics.remove(&topic)?;
        self.watches &= !standing.is_watched;
        standing.is_wanted.then_some(topic)
    }

    /// True if the oldest question is about a channel of a shard.
    fn is_of_shard(&self) -> bool {
        self.asked.front().is_some_and(|((kind, _), _)| *kind == SubscriptionKind::Shard)
    }

    /// The server has not the shard that the oldest question is about. Gives its channel if that is still wanted: it goes elsewhere.
    fn sent_on(&mut self) -> Option<Vec<u8>> {
        let (topic, _) = self.answered()?;
        let standing = self.topics.remove(&topic)?;
        standing.is_wanted.then_some(topic.1)
    }

    /// The server refused the oldest question for now.
    fn postpone(&mut self) {
        let Some((topic, _)) = self.answered() else { return };
        if self.topics.get(&topic).is_some_and(Standing::is_needed) {
            self.postponed.push(topic);
        } else {
            self.topics.remove(&topic);
        }
    }

    /// What is to be asked for again, and is still wanted.
    fn ask_postponed(&mut self) -> Vec<Command> {
        let mut postponed = std::mem::take(&mut self.postponed);
        postponed.retain(|topic| {
            self.topics
                .get(topic)
                .is_some_and(|standing| standing.is_needed() && standing.asked == 0)
        });
        postponed.into_iter().map(|topic| self.ask(topic, true)).collect()
    }

    /// Tells messages, confirmations and replies apart. In RESP2 all of them are arrays, and PING is answered `["pong", ""]`.
    pub(super) fn handle(&mut self, frame: &Frame) -> Heard {
        let is_push = frame.is_push();
        let (Value::Push(mut items) | Value::Array(mut items)) = frame.value() else {
            return Heard::Reply;
        };
        let Some(Value::Bulk(word) | Value::Simple(word)) = items.next() else {
            return if is_push { Heard::Message } else { Heard::Reply };
        };
        let (kind, subscribe) = match word {
            b"message" if self.watches && is_azure(items.next()) => return Heard::Azure,
            b"message" | b"pmessage" | b"smessage" => return Heard::Message,
            b"subscribe" => (SubscriptionKind::Channel, true),
            b"psubscribe" => (SubscriptionKind::Pattern, true),
            b"ssubscribe" => (SubscriptionKind::Shard, true),
            b"unsubscribe" => (SubscriptionKind::Channel, false),
            b"punsubscribe" => (SubscriptionKind::Pattern, false),
            b"sunsubscribe" => (SubscriptionKind::Shard, false),
            _ if is_push && is_maintenance(word) => return Heard::Maintenance,
            _ if is_push => return Heard::Message,
            _ => return Heard::Reply,
        };
        let Some(Value::Bulk(name) | Value::Simple(name)) = items.next() else {
            return Heard::Message;
        };
        let is_asked = |((asked_kind, asked_name), was): &(Topic, bool)| {
            (*asked_kind, asked_name.as_slice(), *was) == (kind, name, subscribe)
        };
        if self.asked.front().is_some_and(is_asked) {
            return Heard::Confirmed;
        }
        // A shard that moves away, for one. Nobody asked for it, so it answers nothing.
        let topic = (kind, name.to_vec());
        match self.topics.get_mut(&topic) {
            Some(standing) if !subscribe && standing.is_confirmed => {
                standing.is_confirmed = false;
                self.postponed.push(topic.clone());
                Heard::Withdrawn(topic)
            }
            _ => Heard::Message,
        }
    }
}

impl<T: Copy + Default> Link<T> {
    /// Wants a channel, or does not want it any more.
    pub(crate) fn subscribe(
        &mut self,
        cx: &mut Context<'_, T>,
        kind: SubscriptionKind,
        channel: &[u8],
        wanted: bool,
    ) {
        let topic = (kind, channel.to_vec());
        if !self.subscriptions.want(&topic, wanted) {
            return;
        }
        if self.current.is_some() {
            let command = self.subscriptions.ask(topic, wanted);
            self.push_own(cx, Owner::Subscription, &command);
        } else if !wanted {
            self.subscriptions.topics.remove(&topic);
        }
    }

    /// What a link of this purpose listens to from its first connection on.
    pub(super) fn want_by_purpose(&mut self) {
        let kind = match self.purpose {
            Purpose::Monitor => SubscriptionKind::Monitor,
            Purpose::Tracking => SubscriptionKind::Invalidations,
            _ => return,
        };
        self.subscriptions.want(&(kind, Vec::new()), true);
    }

    pub(super) fn speaks_resp3(&self) -> bool {
        let server = self.current.as_ref().and_then(|conn| conn.server.as_ref());
        server.is_some_and(|server| server.resp3)
    }

    /// True if the server has confirmed anything on this connection.
    pub(crate) fn hears(&self) -> bool {
        self.subscriptions.topics.values().any(|standing| standing.is_confirmed)
    }

    /// The node takes nothing any more: gives what is to be heard elsewhere.
    pub(crate) fn take_channels(&mut self, cx: &mut Context<'_, T>) -> Vec<Topic> {
        self.on_subscriptions_lost(cx, cx.now);
        let topics = std::mem::take(&mut self.subscriptions.topics);
        let wanted = topics.into_iter().filter(|(_, standing)| standing.is_wanted);
        let wanted = wanted.map(|(topic, _)| topic).collect();
        self.end(cx, "its node takes no commands any more");
        wanted
    }

    /// Asks a new connection for everything that is wanted.
    pub(super) fn subscribe_again(&mut self, cx: &mut Context<'_, T>, interrupted: bool) {
        if self.subscriptions.is_empty() {
            return;
        }
        let has_listeners =
            self.purpose != Purpose::Discovery && self.subscriptions.has_listeners();
        if interrupted && has_listeners {
            cx.emit(self, EventKind::Gap);
        }
        if self.purpose == Purpose::Tracking && !self.speaks_resp3() {
            self.subscriptions = Subscriptions::default();
            let (kind, channel) = (SubscriptionKind::Invalidations, Vec::new());
            let text = NO_TRACKING.to_owned();
            return self.on_change(cx, SubscriptionChange::Refused { kind, channel, text });
        }
        for command in self.subscriptions.ask_all() {
            self.push_own(cx, Owner::Subscription, &command);
        }
    }

    /// Listens for itself to what Azure announces.
    pub(crate) fn watch_azure(&mut self, cx: &mut Context<'_, T>) {
        let news = self.subscriptions.watch();
        if let Some(topic) = news.filter(|_| self.current.is_some()) {
            let command = self.subscriptions.ask(topic, true);
            self.push_own(cx, Owner::Subscription, &command);
        }
    }

    /// The connection that carried the subscriptions is gone; `since` is when it was last heard.
    pub(super) fn on_subscriptions_lost(&mut self, cx: &mut Context<'_, T>, since: Time) {
        self.timers.stop(Timer::Subscribe);
        let confirmed = self.subscriptions.confirmed_topics();
        if !self.subscriptions.on_lost() {
            return;
        }
        if self.purpose != Purpose::Subscriber || !cx.topology.is_partitioned() {
            return self.on_change(cx, SubscriptionChange::Interrupted { since });
        }
        // Those of other nodes go on.
        for (kind, channel) in confirmed {
            self.on_change(cx, SubscriptionChange::Withdrawn { kind, channel });
        }
    }

    /// The oldest question about a subscription is answered.
    pub(super) fn on_subscription_reply(&mut self, cx: &mut Context<'_, T>, frame: &Frame) {
        let Some(error) = frame.error() else {
            if let Some((kind, channel)) = self.subscriptions.confirmed() {
                self.on_change(cx, SubscriptionChange::Confirmed { kind, channel });
            }
            return;
        };
        if error.code() == "MOVED"
            && cx.topology.is_partitioned()
            && self.subscriptions.is_of_shard()
        {
            if let Some(channel) = self.subscriptions.sent_on() {
                let text = error.to_string();
                cx.notices.push(Notice::Resubscribe { node: self.node, channel, text });
            }
            return;
        }
        if matches!(error.code(), "ERR" | "MOVED" | "NOAUTH" | "NOPERM") {
            let text = error.to_string();
            let watched = self.subscriptions.watches;
            if let Some((kind, channel)) = self.subscriptions.refused() {
                let text = self.explain(kind, text);
                self.on_change(cx, SubscriptionChange::Refused { kind, channel, text });
            } else if watched && self.subscriptions.is_empty() {
                // The connection was for Azure's announcements alone, which this user may not hear.
                self.end(cx, "nothing to listen to");
            }
        } else {
            // BUSY, LOADING and the like pass; the wish stays.
            self.subscriptions.postpone();
            self.timers.set_no_later(Timer::Subscribe, cx.now + ASK_AGAIN_AFTER);
        }
    }

    fn explain(&self, kind: SubscriptionKind, text: String) -> String {
        if kind != SubscriptionKind::Shard || !text.contains("unknown command") {
            return text;
        }
        let server = self.current.as_ref().and_then(|conn| conn.server.as_ref());
        let version = server.map_or("unknown", |server| server.version.as_str());
        format!(
            "ERR sharded channels need Redis 7.0 or later, or Valkey; the server's version is {version}. Use `Client::subscribe` with it"
        )
    }

    /// The server ended a subscription by itself; it is asked for again.
    pub(super) fn on_withdrawn(&mut self, cx: &mut Context<'_, T>, topic: Topic) {
        let (kind, channel) = topic;
        self.on_change(cx, SubscriptionChange::Withdrawn { kind, channel });
        self.timers.set_no_later(Timer::Subscribe, cx.now + ASK_AGAIN_AFTER);
    }

    /// What was refused for a while is asked for again.
    pub(super) fn on_subscribe_due(&mut self, cx: &mut Context<'_, T>) {
        for command in self.subscriptions.ask_postponed() {
            self.push_own(cx, Owner::Subscription, &command);
        }
    }

    fn on_change(&mut self, cx: &mut Context<'_, T>, change: SubscriptionChange) {
        // What the topology listens to concerns nobody else.
        if self.purpose == Purpose::Discovery {
            return;
        }
        cx.outputs.push_back(Output::Subscription { link: self.known_as(), change });
    }
}

fn is_azure(channel: Option<Value<'_>>) -> bool {
    matches!(channel, Some(Value::Bulk(name) | Value::Simple(name)) if name == CHANNEL)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const NEWS: &[u8] = b"news";

    fn news() -> Topic {
        (SubscriptionKind::Channel, NEWS.to_vec())
    }

    fn ask(subscriptions: &mut Subscriptions, wanted: bool) {
        assert!(subscriptions.want(&news(), wanted));
        subscriptions.ask(news(), wanted);
    }

    fn hears(subscriptions: &mut Subscriptions, text: &'static str) -> Heard {
        subscriptions.handle(&Frame::from_scanned(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn only_the_answer_to_the_last_question_tells_how_a_channel_stands() {
        let mut subscriptions = Subscriptions::default();
        for wanted in [true, false, true] {
            ask(&mut subscriptions, wanted);
        }
        assert_eq!(subscriptions.confirmed(), None, "it will be unsubscribed once more");
        assert_eq!(subscriptions.confirmed(), None);
        assert_eq!(subscriptions.confirmed(), Some(news()));
    }

    #[test]
    fn a_refusal_that_a_later_question_overtakes_takes_no_wish_away() {
        let mut subscriptions = Subscriptions::default();
        for wanted in [true, false, true] {
            ask(&mut subscriptions, wanted);
        }
        assert_eq!(subscriptions.refused(), None);
        subscriptions.confirmed();
        assert_eq!(subscriptions.confirmed(), Some(news()));
    }

    #[test]
    fn an_interruption_is_told_once_and_only_of_what_was_confirmed() {
        let mut subscriptions = Subscriptions::default();
        ask(&mut subscriptions, true);
        assert!(!subscriptions.on_lost(), "nothing was heard yet");
        subscriptions.ask_all();
        subscriptions.confirmed();
        assert!(subscriptions.on_lost());
        assert!(!subscriptions.on_lost());
        assert_eq!(subscriptions.ask_all().len(), 1);
    }

    #[test]
    fn what_was_unsubscribed_while_a_refusal_was_waited_out_is_not_asked_for_again() {
        let mut subscriptions = Subscriptions::default();
        ask(&mut subscriptions, true);
        subscriptions.postpone();
        ask(&mut subscriptions, false);
        assert!(subscriptions.ask_postponed().is_empty());
        subscriptions.confirmed();
        assert!(subscriptions.is_empty() && subscriptions.topics.is_empty());
    }

    #[test]
    fn a_confirmation_answers_only_the_question_that_it_names() {
        let mut subscriptions = Subscriptions::default();
        ask(&mut subscriptions, true);
        let other = hears(&mut subscriptions, "*3\r\n$9\r\nsubscribe\r\n$5\r\nother\r\n:1\r\n");
        assert_eq!(other, Heard::Message);
        let news = hears(&mut subscriptions, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
        assert_eq!(news, Heard::Confirmed);
    }

    #[test]
    fn a_channel_that_the_server_takes_away_is_asked_for_again() {
        let mut subscriptions = Subscriptions::default();
        ask(&mut subscriptions, true);
        subscriptions.confirmed();
        let gone = ">3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n";
        assert_eq!(hears(&mut subscriptions, gone), Heard::Withdrawn(news()));
        assert_eq!(subscriptions.ask_postponed().len(), 1);
        assert_eq!(subscriptions.confirmed(), Some(news()));
    }
}
