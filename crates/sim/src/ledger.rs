//! Every request: when it was accepted, what servers did with it, what its caller was told; and the rules that the three must keep.

use redial_proto::{Delivery, Error, ErrorKind, ReadFrom, RequestId, Resend};
use redial_resp::Frame;

use crate::caller::{Kind, Wish};
use crate::oracle::Oracle;
use crate::world::World;

/// How late an answer may be: a driver's timer, and the sweep that finds the deadline.
const SLACK: u64 = 5_000;

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Reply,
    ErrorReply,
    Failed(ErrorKind, Delivery),
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) client: usize,
    pub(crate) kind: Kind,
    pub(crate) resend: Resend,
    /// The hash tag of its keys.
    pub(crate) tag: Option<usize>,
    pub(crate) asked: u64,
    pub(crate) due: u64,
    id: Option<RequestId>,
    /// When its caller went away.
    cancelled: Option<u64>,
    /// For each socket what had been handed to it when nobody waited any more.
    handed: Handed,
    pub(crate) outcome: Option<(u64, Outcome)>,
    /// How often a server ran it, and how often one refused it.
    ran: u32,
    pub(crate) refused: u32,
    /// The server that ran it last.
    pub(crate) ran_on: Option<usize>,
}

/// What was handed to sockets up to some moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handed {
    /// Pipes that there were.
    pub(crate) pipes: usize,
    /// Of those that were still open, how much.
    pub(crate) open: Vec<(usize, u64)>,
}

impl Handed {
    /// True if what begins at `start` in the stream of `pipe` may have been handed over by then.
    fn covers(&self, pipe: usize, start: u64) -> bool {
        let open = self.open.iter().find(|(other, _)| *other == pipe);
        pipe < self.pipes && open.is_none_or(|(_, upto)| start < *upto)
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) requests: Vec<Request>,
}

impl Ledger {
    pub(crate) fn open(&mut self, client: usize, wish: &Wish, due: u64, now: u64) -> u64 {
        self.requests.push(Request {
            client,
            kind: wish.kind,
            resend: wish.resend,
            tag: wish.tag,
            asked: now,
            due,
            id: None,
            cancelled: None,
            handed: Handed::default(),
            outcome: None,
            ran: 0,
            refused: 0,
            ran_on: None,
        });
        self.requests.len() as u64 - 1
    }

    fn of(&mut self, token: u64) -> &mut Request {
        &mut self.requests[token as usize]
    }

    pub(crate) fn accepted(&mut self, token: u64, id: RequestId) {
        self.of(token).id = Some(id);
    }

    /// The client and the id of a request that somebody waits for.
    pub(crate) fn waiting(&self, token: u64) -> Option<(usize, RequestId)> {
        let request = &self.requests[token as usize];
        let waits = request.outcome.is_none() && request.cancelled.is_none();
        request.id.filter(|_| waits).map(|id| (request.client, id))
    }

    pub(crate) fn cancelled(&mut self, token: u64, now: u64, handed: Handed) {
        let request = self.of(token);
        request.cancelled = Some(now);
        request.handed = handed;
    }

    /// A server refused it before it ran.
    pub(crate) fn refused(&mut self, token: u64) {
        self.of(token).refused += 1;
    }

    /// A blocking command's own timeout came: nothing happened, and that is the answer.
    pub(crate) fn passed(&mut self, token: u64) {
        self.of(token).ran += 1;
    }

    /// The first request that somebody still waits for.
    pub(crate) fn first_open(&self) -> Option<u64> {
        let at = self.requests.iter().position(|r| r.outcome.is_none() && r.cancelled.is_none())?;
        Some(at as u64)
    }
}

/// The digits at the end of a reply, which are its token.
fn token_in(frame: &Frame) -> Option<u64> {
    let text = std::str::from_utf8(frame.as_bytes()).ok()?.trim_end();
    let digits = text.rfind(|c: char| !c.is_ascii_digit()).map_or(text, |at| &text[at + 1..]);
    digits.parse().ok()
}

impl World {
    /// What was handed to a client's sockets so far.
    pub(crate) fn handed(&self, client: usize) -> Handed {
        Handed { pipes: self.pipes.len(), open: self.clients[client].handed() }
    }

    /// A server parsed a request, which began at `start` in the stream of `pipe`.
    pub(crate) fn arrived(&mut self, token: u64, pipe: usize, start: u64) {
        let request = &self.ledger.requests[token as usize];
        let told = request.outcome.map(|(_, outcome)| outcome);
        let was_not_sent = matches!(told, Some(Outcome::Failed(_, Delivery::NotSent)));
        if !was_not_sent && request.cancelled.is_none() {
            return;
        }
        if !request.handed.covers(pipe, start) {
            let why = if was_not_sent { "reported as NotSent" } else { "cancelled" };
            self.fail(Oracle::NeverSent, || {
                format!("request {token} was {why} and sent afterwards")
            });
        }
    }

    /// A server ran a request.
    pub(crate) fn ran(&mut self, token: u64, server: usize, applied: bool) {
        let request = &mut self.ledger.requests[token as usize];
        request.ran += 1;
        request.ran_on = Some(server);
        let (client, kind, ran, tag) = (request.client, request.kind, request.ran, request.tag);
        let is_repeatable = kind.is_repeatable(request.resend);
        // Where slots move, what was in flight to one node is sent again behind what has gone to another since; and reads that replicas answer do
        // not keep step with writes.
        let reads_elsewhere = self.plan.clients[client].config.read_from != ReadFrom::Primary;
        let is_late =
            self.cluster.is_some() && is_repeatable || reads_elsewhere && !kind.may_write();
        let is_plain = request.refused == 0 && ran == 1 && !kind.blocks() && !is_late;
        let outcome = request.outcome;
        if applied && !is_repeatable && ran > 1 {
            self.fail(Oracle::AppliedOnce, || {
                format!("request {token} ({kind:?}) ran {ran} times")
            });
        }
        if let Some((_, Outcome::Failed(_, delivery))) = outcome
            && delivery.surely_did_not_run()
        {
            self.fail(Oracle::SurelyNotRun, || {
                format!("request {token} was reported as {delivery:?} and ran afterwards")
            });
        }
        let hides = self.servers[server].hides;
        let last = self.clients[client]
            .last_run
            .entry((self.servers[server].run_id.clone(), tag))
            .or_default();
        if is_plain && !hides {
            let newer = *last;
            *last = newer.max(token);
            if newer > token {
                self.fail(Oracle::Order, || {
                    format!("server {server} ran request {token} after request {newer}")
                });
            }
        }
    }

    /// A caller is told.
    pub(crate) fn on_answer(&mut self, token: u64, reply: Result<Frame, Error>) {
        self.trace.note(self.now, || format!("told {token}: {reply:?}"));
        let now = self.now;
        let request = &mut self.ledger.requests[token as usize];
        let (client, before, due) = (request.client, request.outcome, request.due);
        let outcome = match &reply {
            Ok(frame) if frame.error().is_some() => Outcome::ErrorReply,
            Ok(_) => Outcome::Reply,
            Err(error) => Outcome::Failed(error.kind(), error.delivery()),
        };
        request.outcome = Some((now, outcome));
        let was_cancelled = request.cancelled;
        if before.is_some() || was_cancelled.is_some() {
            return self.fail(Oracle::AnsweredOnce, || {
                format!("request {token} was answered {before:?}, cancelled: {was_cancelled:?}, and now {outcome:?}")
            });
        }
        if now > due.saturating_add(SLACK + self.plan.late_ticks) {
            self.fail(Oracle::Deadline, || {
                format!("request {token} was answered {} µs after its deadline", now - due)
            });
        }
        let handed = self.handed(client);
        self.ledger.requests[token as usize].handed = handed;
        match reply {
            Ok(frame) => self.check_reply(token, &frame),
            Err(error) => self.check_error(token, &error),
        }
        self.watch_alarm(token, outcome);
        self.watch_others(token, outcome);
    }

    fn check_reply(&mut self, token: u64, frame: &Frame) {
        let request = &self.ledger.requests[token as usize];
        let (kind, ran, refused) = (request.kind, request.ran, request.refused);
        let is_nil = matches!(frame.as_bytes(), b"_\r\n" | b"*-1\r\n");
        if let Some(error) = frame.error() {
            let names_itself = kind != Kind::WrongType || error.code() != "WRONGTYPE";
            if refused == 0 && kind != Kind::HalfScript {
                self.fail(Oracle::OwnReply, || {
                    format!("request {token} ({kind:?}) got {frame:?}, and was refused by nobody")
                });
            }
            if names_itself {
                return;
            }
        } else if ran == 0 {
            self.fail(Oracle::OwnReply, || {
                format!("request {token} got {frame:?} and ran nowhere")
            });
        }
        if !(is_nil && kind.blocks()) && token_in(frame) != Some(token) {
            self.fail(Oracle::OwnReply, || format!("request {token} ({kind:?}) got {frame:?}"));
        }
    }

    fn check_error(&mut self, token: u64, error: &Error) {
        let request = &self.ledger.requests[token as usize];
        let (kind, ran, refused) = (request.kind, request.ran, request.refused);
        let delivery = error.delivery();
        if delivery.surely_did_not_run() && ran > 0 {
            self.fail(Oracle::SurelyNotRun, || {
                format!("request {token} ({kind:?}) ran {ran} times and is reported as {error:?}")
            });
        }
        let is_true = match delivery {
            Delivery::Rejected => refused > 0,
            Delivery::Ran => ran > 0 || refused > 0,
            Delivery::Answered => false,
            Delivery::NotSent | Delivery::Unknown => true,
        };
        if !is_true {
            self.fail(Oracle::Truthful, || {
                format!("request {token} ({kind:?}) ran {ran} times, was refused {refused} times, and is reported as {error:?}")
            });
        }
    }

    /// Where servers are slow at the most, nothing fails but by a deadline.
    fn watch_alarm(&mut self, token: u64, outcome: Outcome) {
        let Outcome::Failed(kind, delivery) = outcome else { return };
        let is_expected = matches!(kind, ErrorKind::Timeout | ErrorKind::QueueFull);
        if self.plan.mood.is_calm() && !self.is_ending && !is_expected {
            self.fail(Oracle::FalseAlarm, || {
                format!(
                    "request {token} failed with {kind:?}, {delivery:?}, and servers were only slow"
                )
            });
        }
    }
}
