//! The end of a run: after the last fault every client must be ready within the bound, serve, and then end and leave nothing behind.

use std::time::Duration;

use redial_proto::{ErrorKind, Input, Purpose, Resend, State, Time};

use crate::caller::{Kind, Wish};
use crate::cluster::map::TAGS;
use crate::ledger::Outcome;
use crate::oracle::Oracle;
use crate::queue::Event;
use crate::world::World;

/// How long after the last fault a link may take to be ready: `condemn_after` (15 s: the same server, no evidence, a reply that is lost for good), then
/// a dial whose first SYN is pinned to nothing (1 s), the longest pause between dials (2 s), a fence (1 s), and a second for round trips.
const READY_WITHIN: u64 = 20_000_000;

/// A server that was left is not gone back to for 30 s if its data does not continue what came after.
const NO_WAY_BACK: u64 = 30_000_000;

/// What was asked of a client that is ready must be answered by then, and what is published on the leader must be heard.
const SERVED_WITHIN: u64 = 3_000_000;

/// A client whose requests are settled ends by then.
const ENDED_WITHIN: u64 = 2_000_000;

const STEP: u64 = 50_000;

/// Where the end stands.
#[derive(Debug, Default)]
pub(crate) struct Finale {
    phase: Phase,
    /// Microseconds from the last fault until all were ready.
    pub(crate) ready_after: Option<u64>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Healing,
    /// The last requests, by client, and until when they are to be answered.
    Asked(Vec<u64>, u64),
    Ending(u64),
    Over,
}

impl Finale {
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }
}

impl World {
    /// Looks at the clients, from the last fault on.
    pub(crate) fn check(&mut self) {
        match std::mem::take(&mut self.finale.phase) {
            Phase::Healing => self.check_ready(),
            Phase::Asked(tokens, until) => self.check_served(tokens, until),
            Phase::Ending(until) => self.check_ended(until),
            Phase::Over => self.finale.phase = Phase::Over,
        }
        if !self.finale.is_over() {
            self.queue.push(self.now + STEP, Event::Check);
        }
    }

    fn check_ready(&mut self) {
        if self.cluster.is_some() {
            // Nodes that have nothing to do are nobody's concern: it counts that every slot is served.
            if self.now > self.plan.calls_until {
                self.ask_last();
            }
            return;
        }
        let healed_at = self.healed_at.unwrap_or(self.now);
        let is_ready = |state| state == State::Ready;
        // What waits for a server of its own, and who is asked about others.
        let is_extra = |purpose| matches!(purpose, Purpose::Blocking | Purpose::Discovery);
        let unready = self.clients.iter().position(|client| {
            client.links.values().any(|link| !is_extra(link.purpose) && !is_ready(link.state))
        });
        match unready {
            Some(client) if self.now - healed_at > self.ready_within(client) => {
                let links = format!("{:?}", self.clients[client].links);
                let since = (self.now - healed_at) as f64 / 1e6;
                self.fail(Oracle::ReadyAgain, || {
                    format!("client {client} is not ready {since} s after the last fault: {links}")
                });
            }
            Some(_) => {}
            None => {
                self.finale.ready_after.get_or_insert(self.now - healed_at);
                if self.now > self.plan.calls_until {
                    self.ask_last();
                }
            }
        }
    }

    fn ready_within(&self, client: usize) -> u64 {
        let refused = self.clients[client].no_way_back;
        READY_WITHIN + if refused > self.healed_at.unwrap_or(0) { NO_WAY_BACK } else { 0 }
    }

    fn ask_last(&mut self) {
        let wish = Wish {
            kind: Kind::Push,
            resend: Resend::Safe,
            timeout: Duration::from_micros(SERVED_WITHIN),
            own: Duration::ZERO,
            padding: 0,
            tag: None,
        };
        let tags: Vec<Option<usize>> = match self.cluster {
            Some(_) => (0..TAGS).map(Some).collect(),
            None => vec![None],
        };
        let mut tokens = Vec::new();
        for client in 0..self.clients.len() {
            tokens.extend(tags.iter().map(|tag| self.ask(client, Wish { tag: *tag, ..wish })));
        }
        (0..self.clients.len()).for_each(|client| self.pump(client));
        self.finale.phase = Phase::Asked(tokens, self.now + SERVED_WITHIN);
    }

    fn check_served(&mut self, tokens: Vec<u64>, until: u64) {
        if tokens.iter().any(|token| self.ledger.waiting(*token).is_some()) && self.now <= until {
            self.finale.phase = Phase::Asked(tokens, until);
            return;
        }
        for token in &tokens {
            let told = self.ledger.requests[*token as usize].outcome;
            let was_cancelled = self.ledger.waiting(*token).is_none() && told.is_none();
            if was_cancelled || matches!(told, Some((_, Outcome::Reply))) {
                continue;
            }
            if self.may_be_asked_again(*token) {
                self.finale.phase = Phase::Healing;
                return;
            }
            self.fail(Oracle::Serves, || {
                format!("all are ready, and the last request {token} was answered with {told:?}")
            });
        }
        let since = self.now - self.healed_at.unwrap_or(self.now);
        self.finale.ready_after.get_or_insert(since);
        // By now those whose server had been demoted have moved, and their subscriptions with them.
        let leader = self.net.leads_to;
        self.publish(leader, b"the last message");
        let hears = |client: usize| {
            let heard = &self.clients[client].heard;
            !self.plan.clients[client].subscribes
                || heard.iter().any(|message| message.ends_with(b"the last message\r\n"))
        };
        match (0..self.clients.len()).find(|client| !hears(*client)) {
            Some(client) if self.now <= until + SERVED_WITHIN || self.is_kept_away(client) => {
                self.finale.phase = Phase::Asked(tokens, until);
            }
            Some(client) => self.fail(Oracle::Serves, || {
                format!("the subscriber of client {client} is ready and deaf")
            }),
            None => self.end_clients(),
        }
    }

    /// True where a request may have failed for a good reason: the only server there is was left a moment ago, and its data does not continue what
    /// came after; a small queue was still full; an idle client had not noticed yet that its server is another process now; or its server was still
    /// silent, because the path had lost something, and is asked about.
    fn may_be_asked_again(&self, token: u64) -> bool {
        let request = &self.ledger.requests[token as usize];
        let since = self.now - self.healed_at.unwrap_or(self.now);
        match request.outcome {
            _ if self.cluster.is_some() && since < READY_WITHIN => true,
            Some((_, Outcome::Failed(ErrorKind::QueueFull | ErrorKind::Disconnected, _))) => {
                since < READY_WITHIN
            }
            Some((_, Outcome::Failed(ErrorKind::Timeout, _)))
                if self.clients[request.client]
                    .shared()
                    .is_some_and(|link| link.state == State::Suspect) =>
            {
                since < READY_WITHIN
            }
            _ => self.is_kept_away(request.client),
        }
    }

    /// The only server there is was left a moment ago, and its data does not continue what came after.
    fn is_kept_away(&self, client: usize) -> bool {
        let since = self.now - self.healed_at.unwrap_or(self.now);
        self.now - self.clients[client].no_way_back < SERVED_WITHIN
            && since < READY_WITHIN + NO_WAY_BACK
    }

    /// Clients with nothing that blocks are asked to quit, the others are ended.
    fn end_clients(&mut self) {
        self.is_ending = true;
        for client in 0..self.clients.len() {
            let waits = self.ledger.requests.iter().any(|request| {
                request.client == client && request.outcome.is_none() && request.kind.blocks()
            });
            let input = if waits { Input::Disconnect } else { Input::Quit };
            self.input(client, input);
        }
        self.drain();
        self.finale.phase = Phase::Ending(self.now + ENDED_WITHIN);
    }

    fn check_ended(&mut self, until: u64) {
        if self.now < until {
            self.finale.phase = Phase::Ending(until);
            return;
        }
        for client in 0..self.clients.len() {
            let view = &self.clients[client];
            let timer = view.core.poll_timeout();
            if !view.has_ended() || !view.sockets.is_empty() || timer != Time::NEVER {
                let text =
                    format!("{:?}, {} sockets, timer {timer:?}", view.links, view.sockets.len());
                self.fail(Oracle::Ended, || format!("client {client} has not ended: {text}"));
            }
        }
        if let Some(token) = self.ledger.first_open() {
            let text = format!("{:?}", self.ledger.requests[token as usize]);
            self.fail(Oracle::AnsweredOnce, || {
                format!("request {token} was never answered: {text}")
            });
        }
        self.finale.phase = Phase::Over;
    }
}
