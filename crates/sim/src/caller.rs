//! What programs ask for: commands of every class, each with a token that is never used again, under every policy, in bursts and pipelines,
//! with deadlines short and long, and callers that go away.

use std::time::Duration;

use redial_proto::{Class, RequestOptions, Resend, Time};
use redial_resp::Command;

use crate::queue::Event;
use crate::world::World;

/// A kind of command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Set,
    /// SET NX
    SetOnce,
    Incr,
    /// RPUSH
    Push,
    /// A write that is answered with WRONGTYPE.
    WrongType,
    /// EVAL of a script that the server refuses as a whole where it can't write.
    Script,
    /// EVAL of a script that publishes and then finds that it can't write.
    HalfScript,
    Publish,
    /// BLPOP
    Pop,
    /// XREAD BLOCK
    Read,
    /// MGET of two keys with the same tag.
    GetBoth,
    /// MSET of two keys with the same tag.
    SetBoth,
    /// MULTI, GET, RPUSH, EXEC.
    Transaction,
}

impl Kind {
    /// Changes data when it runs.
    pub(crate) const fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::GetBoth | Self::Read | Self::HalfScript | Self::Publish)
    }

    /// Postponed by CLIENT PAUSE WRITE.
    pub(crate) const fn may_write(self) -> bool {
        !matches!(self, Self::Get | Self::GetBoth | Self::Read)
    }

    pub(crate) const fn blocks(self) -> bool {
        matches!(self, Self::Pop | Self::Read)
    }

    /// True if running it twice is allowed under this policy.
    pub(crate) const fn is_repeatable(self, resend: Resend) -> bool {
        let reads = matches!(self, Self::Get | Self::GetBoth | Self::Read);
        match resend {
            Resend::Never => false,
            Resend::Safe => reads,
            Resend::Idempotent => {
                reads || matches!(self, Self::Set | Self::SetBoth | Self::WrongType)
            }
            Resend::Always => true,
        }
    }

    /// Its commands, one behind the other: more than one for a transaction.
    pub(crate) fn commands(self, token: u64, wish: &Wish) -> Command {
        let key = |name: &str| match wish.tag {
            Some(tag) => format!("{name}{{{tag}}}"),
            None => name.to_owned(),
        };
        let text = token.to_string();
        let padded = || format!("{text}:{}", "x".repeat(wish.padding));
        let words: Vec<String> = match self {
            Self::Get => vec!["GET".into(), key(&text)],
            Self::Set => vec!["SET".into(), key("s"), padded()],
            Self::SetOnce => vec!["SET".into(), key("s"), text, "NX".into()],
            Self::Incr => vec!["INCR".into(), key(&text)],
            Self::Push => vec!["RPUSH".into(), key("l"), text],
            Self::WrongType => vec!["HSET".into(), key("s"), text],
            Self::Script | Self::HalfScript => {
                let script = if self == Self::Script { "#!lua" } else { "publish-and-set" };
                let count = if wish.tag.is_some() { "1" } else { "0" };
                let keys = wish.tag.map(|_| key("s"));
                let before = ["EVAL", script, count].map(String::from);
                before.into_iter().chain(keys).chain([text]).collect()
            }
            Self::Publish => vec!["PUBLISH".into(), "news".into(), text],
            Self::Pop => vec!["BLPOP".into(), key(&text), wish.own.as_secs_f64().to_string()],
            Self::Read => {
                let millis = wish.own.as_millis().max(1).to_string();
                let words = ["XREAD", "BLOCK", &millis, "STREAMS", &key(&text), "$"];
                words.map(String::from).to_vec()
            }
            Self::GetBoth => vec!["MGET".into(), key(&text), key("l")],
            Self::SetBoth => vec!["MSET".into(), key("s"), padded(), key("l"), text],
            Self::Transaction => {
                let mut all = Command::new("MULTI");
                all.begin_next("GET");
                all.push_arg(key("x").as_bytes());
                all.begin_next("RPUSH");
                all.push_arg(key("l").as_bytes());
                all.push_arg(text.as_bytes());
                all.begin_next("EXEC");
                return all;
            }
        };
        let mut command = Command::new(&words[0]);
        for word in &words[1..] {
            command.push_arg(word.as_bytes());
        }
        command
    }

    /// The kind and the token of a command that a server received.
    pub(crate) fn recognise(words: &[Vec<u8>]) -> Option<(Self, u64)> {
        let (kind, at) = match words.first()?.as_slice() {
            b"GET" => (Self::Get, 1),
            b"SET" if words.len() == 4 => (Self::SetOnce, 2),
            b"SET" => (Self::Set, 2),
            b"INCR" => (Self::Incr, 1),
            b"RPUSH" => (Self::Push, 2),
            b"HSET" => (Self::WrongType, 2),
            b"EVAL" if words[1] == b"#!lua" => (Self::Script, words.len() - 1),
            b"EVAL" => (Self::HalfScript, words.len() - 1),
            b"PUBLISH" => (Self::Publish, 2),
            b"BLPOP" => (Self::Pop, 1),
            b"XREAD" => (Self::Read, 4),
            b"MGET" => (Self::GetBoth, 1),
            b"MSET" => (Self::SetBoth, 2),
            _ => return None,
        };
        let digits: Vec<u8> =
            words.get(at)?.iter().copied().take_while(u8::is_ascii_digit).collect();
        Some((kind, String::from_utf8(digits).ok()?.parse().ok()?))
    }
}

/// One request before it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) kind: Kind,
    pub(crate) resend: Resend,
    pub(crate) timeout: Duration,
    /// A blocking command's own timeout; zero waits for ever.
    pub(crate) own: Duration,
    pub(crate) padding: usize,
    /// The hash tag of its keys.
    pub(crate) tag: Option<usize>,
}

impl World {
    /// The callers of a client send something, and say when they will again.
    pub(crate) fn on_call(&mut self, client: usize) {
        let habit = self.plan.clients[client].habit;
        if let Some(wish) = habit.loops {
            if habit.keeps_coming && self.now < self.plan.calls_until {
                self.queue.push(self.now + habit.pause, Event::Call(client));
            }
            self.ask_in_turn(client, wish);
            return self.pump(client);
        }
        if self.now < self.plan.calls_until {
            let pause = self.rng.u64(0..=habit.pause * 2);
            self.queue.push(self.now + 1 + pause, Event::Call(client));
        }
        let burst = if self.rng.u8(..) < habit.bursts { self.rng.u32(2..30) } else { 1 };
        for _ in 0..burst {
            let wish = self.wish(client);
            self.ask(client, wish);
        }
        self.pump(client);
    }

    /// A caller in a closed loop: RPUSH, INCR, SET and GET by turns, as in the drills.
    pub(crate) fn ask_in_turn(&mut self, client: usize, wish: Wish) {
        let kinds = [Kind::Push, Kind::Incr, Kind::Set, Kind::Get];
        let kind = kinds[self.ledger.requests.len() % kinds.len()];
        let tag = self.ledger.requests.len() / kinds.len() % crate::cluster::map::TAGS;
        let tag = self.cluster.as_ref().map(|_| tag);
        self.ask(client, Wish { kind, tag, ..wish });
    }

    pub(crate) fn wish(&mut self, client: usize) -> Wish {
        let habit = self.plan.clients[client].habit;
        let mut kind = match self.rng.u32(0..100) {
            0..25 => Kind::Get,
            25..40 => Kind::Set,
            40..45 => Kind::SetOnce,
            45..62 => Kind::Incr,
            62..78 => Kind::Push,
            78..83 => Kind::WrongType,
            83..87 => Kind::Script,
            87..90 => Kind::HalfScript,
            90..93 => Kind::Publish,
            93..97 => Kind::Pop,
            _ => Kind::Read,
        };
        if kind.blocks() && !habit.blocks {
            kind = Kind::Incr;
        }
        let (kind, tag) = self.place(kind);
        let mut resend = habit.resend;
        if self.rng.u8(..) < habit.other_policies {
            resend = match self.rng.u32(0..4) {
                0 => Resend::Never,
                1 => Resend::Safe,
                2 => Resend::Idempotent,
                _ => Resend::Always,
            };
        }
        let timeout = match self.rng.u32(0..10) {
            0 => Duration::from_millis(self.rng.u64(1..400)),
            1 | 2 => Duration::from_millis(self.rng.u64(400..4000)),
            _ => Duration::from_secs(10),
        };
        let own = match self.rng.u32(0..4) {
            0 if kind == Kind::Pop => Duration::ZERO,
            _ => Duration::from_millis(self.rng.u64(10..4000)),
        };
        let padding = if self.rng.u8(..) < habit.large { self.rng.usize(0..50_000) } else { 8 };
        Wish { kind, resend, timeout, own, padding, tag }
    }

    /// Where there are slots, keys have tags, and some commands more than one key.
    fn place(&mut self, kind: Kind) -> (Kind, Option<usize>) {
        if self.cluster.is_none() {
            return (kind, None);
        }
        let kind = match self.rng.u32(0..12) {
            _ if kind.blocks() => kind,
            0 => Kind::GetBoth,
            1 => Kind::SetBoth,
            2 => Kind::Transaction,
            _ => kind,
        };
        let tag = self.rng.usize(0..crate::cluster::map::TAGS);
        (kind, (kind != Kind::Publish).then_some(tag))
    }

    /// Makes a request. Its token, unless the client has refused it.
    pub(crate) fn ask(&mut self, client: usize, wish: Wish) -> u64 {
        let Wish { kind, resend, timeout, own, .. } = wish;
        let due = if kind.blocks() && own.is_zero() {
            u64::MAX
        } else {
            let own = if kind.blocks() { own } else { Duration::ZERO };
            self.now + (timeout + own).as_micros() as u64
        };
        let token = self.ledger.open(client, &wish, due, self.now);
        let command = kind.commands(token, &wish);
        let (timeout, resend) = (Some(timeout), Some(resend));
        let options = RequestOptions { timeout, resend, ..RequestOptions::default() };
        self.trace.note(self.now, || {
            format!(
                "client {client}: ask {token} {kind:?} {resend:?} {timeout:?} {own:?} {:?}",
                wish.tag
            )
        });
        self.clients[client].core.set_now(Time::from_micros(self.now));
        let core = &mut self.clients[client].core;
        let accepted = match wish.kind {
            Kind::Transaction => {
                core.submit_transaction(command.run(), 2, Class::default(), token, &options)
            }
            _ => core.submit(&command, token, &options),
        };
        match accepted {
            Ok(id) => self.ledger.accepted(token, id),
            Err(error) => self.on_answer(token, Err(error)),
        }
        let habit = self.plan.clients[client].habit;
        if self.rng.u8(..) < habit.cancels {
            let after =
                if self.rng.bool() { self.rng.u64(0..5_000) } else { self.rng.u64(0..2_000_000) };
            self.queue.push(self.now + after, Event::Cancel(token));
        }
        token
    }

    /// The caller goes away.
    pub(crate) fn on_cancel(&mut self, token: u64) {
        let Some((client, id)) = self.ledger.waiting(token) else { return };
        self.trace.note(self.now, || format!("client {client}: cancel {token}"));
        let handed = self.handed(client);
        self.ledger.cancelled(token, self.now, handed);
        self.clients[client].core.set_now(Time::from_micros(self.now));
        self.clients[client].core.cancel(id, token);
        self.pump(client);
    }
}
