//! What a subscriber link wants to hear, and what the server has confirmed on the present connection.
//!
//! Wanted and confirmed are reconciled on every new connection; the messages themselves are not looked into.

use std::collections::{BTreeSet, VecDeque};

use redial_resp::{Command, Frame, Value};

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubscriptionKind {
    /// SUBSCRIBE
    Channel,
    /// PSUBSCRIBE
    Pattern,
    /// SSUBSCRIBE
    Shard,
}

impl SubscriptionKind {
    const fn command(self, subscribe: bool) -> &'static str {
        match (self, subscribe) {
            (Self::Channel, true) => "SUBSCRIBE",
            (Self::Pattern, true) => "PSUBSCRIBE",
            (Self::Shard, true) => "SSUBSCRIBE",
            (Self::Channel, false) => "UNSUBSCRIBE",
            (Self::Pattern, false) => "PUNSUBSCRIBE",
            (Self::Shard, false) => "SUNSUBSCRIBE",
        }
    }
}

/// What a frame on a subscriber connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An ordinary reply.
    Reply,
    /// A message, or a push of another kind.
    Message,
    /// The answer to the oldest SUBSCRIBE or UNSUBSCRIBE.
    Confirmed,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    wanted: BTreeSet<(SubscriptionKind, Vec<u8>)>,
    /// Sent and not confirmed, in the order sent.
    asked: VecDeque<(SubscriptionKind, Vec<u8>)>,
    /// Refused for now.
    postponed: Vec<(SubscriptionKind, Vec<u8>)>,
}

impl Subscriptions {
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Wants a channel. True if it was not wanted before.
    pub(super) fn want(&mut self, kind: SubscriptionKind, channel: &[u8]) -> bool {
        self.wanted.insert((kind, channel.to_vec()))
    }

    /// Does not want it any more. True if it was wanted.
    pub(super) fn unwant(&mut self, kind: SubscriptionKind, channel: &[u8]) -> bool {
        self.wanted.remove(&(kind, channel.to_vec()))
    }

    /// The command for one channel, now sent.
    pub(super) fn ask(
        &mut self,
        kind: SubscriptionKind,
        channel: &[u8],
        subscribe: bool,
    ) -> Command {
        self.asked.push_back((kind, channel.to_vec()));
        let mut command = Command::new(kind.command(subscribe));
        command.push_arg(channel);
        command
    }

    /// The commands that a new connection needs: one a channel, so that each is confirmed or refused for itself.
    pub(super) fn ask_all(&mut self) -> Vec<Command> {
        self.asked.clear();
        self.postponed.clear();
        let wanted: Vec<_> = self.wanted.iter().cloned().collect();
        wanted.iter().map(|(kind, channel)| self.ask(*kind, channel, true)).collect()
    }

    /// The oldest unconfirmed one was refused: it is not wanted any more.
    pub(super) fn refused(&mut self) -> Option<(SubscriptionKind, Vec<u8>)> {
        let (kind, channel) = self.asked.pop_front()?;
        self.unwant(kind, &channel);
        Some((kind, channel))
    }

    /// The oldest unconfirmed one was refused for now.
    pub(super) fn postpone(&mut self) {
        self.postponed.extend(self.asked.pop_front().filter(|asked| self.wanted.contains(asked)));
    }

    /// Those that are to be asked for again.
    pub(super) fn take_postponed(&mut self) -> Vec<(SubscriptionKind, Vec<u8>)> {
        std::mem::take(&mut self.postponed)
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
        match word {
            b"subscribe" | b"psubscribe" | b"ssubscribe" | b"unsubscribe" | b"punsubscribe"
            | b"sunsubscribe"
                if self.asked.pop_front().is_some() =>
            {
                Heard::Confirmed
            }
            b"message" | b"pmessage" | b"smessage" => Heard::Message,
            _ if is_push => Heard::Message,
            _ => Heard::Reply,
        }
    }
}
