//! One node kept reachable for one purpose: its connection, the requests that wait for one, and the dials that lead to the next.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod.rs` | accepting, queueing and writing requests |
//! | [`replies`] | what comes back on the connection |
//! | [`subscriptions`] | what is to be heard, on this connection and the next |
//! | [`liveness`] | silence, suspicion, PING, deadlines |
//! | [`dialing`] | dials and probes, from the first packet to the survey |
//! | [`authenticating`] | credentials that change |
//! | [`securing`] | when a dial's TLS handshake begins |
//! | [`adopting`] | putting a probe in the connection's place, the fence, losing a connection |
//! | [`asking`] | questions of the topology |
//! | [`detours`] | requests that go on elsewhere |
//! | [`leading`] | the node's place changes |
//! | [`hints`] | what a server announces of itself: asking, and preparing to leave |
//! | [`judge`] | the table that tells dead from slow; no state |
//!
//! What becomes of a single request is decided in [`crate::conclude`] only.

mod adopting;
mod asking;
mod attempt;
mod authenticating;
mod backoff;
pub(crate) mod context;
pub(crate) mod detours;
mod dialing;
mod durable;
mod hints;
mod hold;
mod judge;
mod leading;
mod liveness;
mod replies;
mod securing;
mod subscriptions;
mod timers;
mod transactions;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use redial_resp::Command;

use self::asking::Questions;
pub(crate) use self::attempt::Attempt;
use self::backoff::Backoff;
use self::context::{Context, Notice};
use self::durable::Durable;
use self::hints::Plan;
use self::hold::Hold;
pub use self::subscriptions::SubscriptionKind;
use self::subscriptions::Subscriptions;
use self::timers::{Timer, TimerTable};
use self::transactions::Transactions;
use crate::command::{Body, Class, with_time_left};
use crate::config::Endpoint;
use crate::connection::Connection;
use crate::connection::backlog::{Backlog, Entry, Meta, Owner, Tick};
use crate::connection::identity::{Lineage, Server};
use crate::delivery::{Delivery, Resend};
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, State};
use crate::ids::{ConnId, LinkId, OpenedId};
use crate::time::Time;
use crate::topology::NodeId;

/// Bytes that may be in flight: a value of the largest size that a server takes, and as much again.
const MOST_UNANSWERED: usize = 1 << 30;

/// A blocking command's timeout is not touched for less; dials take this long in any case.
const WORTH_SHORTENING: Duration = Duration::from_millis(100);

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Everybody's ordinary commands.
    Shared,
    /// One blocking command at a time.
    Blocking,
    /// Subscriptions.
    Subscriber,
    /// One caller's, who may set state on it: it ends when its connection does.
    Dedicated,
    /// Writes that are answered when replicas have them.
    Durable,
    /// Reads that are cached, and what the server says of their keys.
    Tracking,
    /// MONITOR.
    Monitor,
    /// Questions about which servers there are.
    Discovery,
}

impl Purpose {
    /// True if such a link is there to hear what its server says by itself: from one that leads no more it would hear too little, and never know.
    pub(crate) const fn listens(self) -> bool {
        matches!(self, Self::Subscriber | Self::Tracking | Self::Monitor)
    }

    /// True if what is opened for this purpose goes wherever a caller's keys lead; the rest stays with one node.
    pub(crate) const fn goes_everywhere(self) -> bool {
        matches!(self, Self::Durable | Self::Tracking)
    }

    /// True if a command of this class keeps such a link's connection until something happens on the server.
    pub(crate) fn blocks(self, class: Class) -> bool {
        matches!(self, Self::Blocking | Self::Dedicated) && class.is(Class::BLOCKING)
    }
}

/// How the link stands to its current connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// No connection, and none wanted.
    Ended,
    /// No connection; dials are under way or due.
    Dialing,
    /// All is well.
    Serving,
    /// Silent for longer than it should be; `spoke`: since then a byte was read, and a probe is to confirm the server.
    Suspect { spoke: Option<Time>, retransmitting: bool },
    /// Its server refuses writes as a replica does.
    Demoted,
    /// Another server leads; what is in flight finishes first.
    Moving { to: ConnId },
    /// The connection `to` is ending the old one on the server.
    Fencing { to: ConnId },
}

/// Whether this link may probe on behalf of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    /// It does not probe.
    None,
    Leader,
    /// Another link probes the same endpoint; its findings are awaited.
    Follower,
    /// It dials for itself: it has no connection, or knows that it must move.
    Own,
}

/// A server that was left for another.
#[derive(Debug)]
struct Left {
    run_id: String,
    at: Time,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Link<T> {
    pub(crate) id: LinkId,
    pub(crate) purpose: Purpose,
    pub(crate) node: NodeId,
    /// The opened link that it is a part of: what was opened for a caller reaches every node that the caller's keys lead to.
    pub(crate) group: Option<OpenedId>,
    /// Where its node is reached, once that is known.
    endpoint: Option<Endpoint>,
    state: State,
    mode: Mode,
    lead: Lead,
    asked_to_lead: Time,
    /// Another link of the process has reconnected ahead of this one, or tries to.
    is_behind: bool,
    queue: Backlog<T>,
    /// Requests that the server refused during the read that is being handled.
    returned: Backlog<T>,
    current: Option<Connection<T>>,
    attempts: Vec<Attempt<T>>,
    backoff: Backoff,
    hold: Hold,
    timers: TimerTable,
    /// `tcpi_bytes_acked` at the last look; 0 before the first.
    acked: u64,
    /// As the kernel measured it at the last look.
    rtt: Duration,
    /// The last server, when its connection was lost with requests in flight: to be fenced if it is the next one too.
    lost: Option<Server>,
    /// Whether the endpoint speaks TLS needs no asking: it has been asked, or has served.
    asked_other_way: bool,
    lineage: Option<Lineage>,
    left: Option<Left>,
    /// When the current connection became suspect.
    suspect_since: Time,
    /// When a server last said that it does not lead.
    demoted_at: Option<Time>,
    /// Whom the answers to the inquiries in flight are for, in order.
    inquiries: VecDeque<(LinkId, i64)>,
    /// First sends that the retry budget has not been told of.
    sends: usize,
    /// Why the last dial failed.
    cause: Option<String>,
    subscriptions: Subscriptions,
    transactions: Transactions,
    /// What a hint has led to.
    plan: Option<Plan>,
    /// When a server's word last led to a move.
    moved_at: Option<Time>,
    /// Where writes wait for their confirmation.
    durable: Option<Box<Durable<T>>>,
    questions: Questions,
    /// The answer to the ASKING in front of the oldest request in flight has come.
    asked: bool,
    /// Where the node was when the connection was dialed.
    served_from: Option<Endpoint>,
    /// The node takes nothing any more; the link ends with what is in flight.
    is_dissolving: bool,
}

impl<T: Copy + Default> Link<T> {
    pub(crate) fn new(
        id: LinkId,
        purpose: Purpose,
        node: NodeId,
        endpoint: Option<Endpoint>,
    ) -> Self {
        Self {
            id,
            purpose,
            node,
            group: None,
            endpoint,
            state: State::Wait,
            mode: Mode::Ended,
            lead: Lead::None,
            asked_to_lead: Time::default(),
            is_behind: false,
            queue: Backlog::default(),
            returned: Backlog::default(),
            current: None,
            attempts: Vec::new(),
            backoff: Backoff::default(),
            hold: Hold::default(),
            timers: TimerTable::default(),
            acked: 0,
            rtt: Duration::ZERO,
            lost: None,
            asked_other_way: false,
            lineage: None,
            left: None,
            suspect_since: Time::default(),
            demoted_at: None,
            inquiries: VecDeque::new(),
            sends: 0,
            cause: None,
            subscriptions: Subscriptions::default(),
            transactions: Transactions::default(),
            plan: None,
            moved_at: None,
            durable: None,
            questions: Questions::default(),
            asked: false,
            served_from: None,
            is_dissolving: false,
        }
    }

    /// Under which number the world outside knows it.
    pub(crate) fn known_as(&self) -> LinkId {
        self.group.map_or(self.id, OpenedId::link)
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.mode == Mode::Ended
    }

    /// True if nothing waits and nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.as_ref().is_none_or(|conn| conn.in_flight.is_empty())
    }

    /// True if a caller waits for anything here.
    pub(crate) fn has_callers(&self) -> bool {
        let in_flight = self.current.as_ref().is_some_and(|conn| conn.in_flight.has_callers());
        let waits = self.queue.has_callers() || self.returned.has_callers();
        in_flight || waits || self.holds_replies()
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.mode == Mode::Serving
    }

    /// True if the next blocking command can be written at once, or as soon as the dial is through.
    pub(crate) fn is_free(&self) -> bool {
        self.is_idle() && matches!(self.mode, Mode::Serving | Mode::Dialing)
    }

    /// True if there is a connection, whether or not it can be written to.
    pub(crate) const fn is_connected(&self) -> bool {
        self.current.is_some()
    }

    pub(crate) fn current(&self) -> Option<&Connection<T>> {
        self.current.as_ref()
    }

    pub(crate) fn owns(&self, conn: ConnId) -> bool {
        self.is_current(conn) || self.attempts.iter().any(|attempt| attempt.id == conn)
    }

    pub(crate) fn is_current(&self, conn: ConnId) -> bool {
        self.current.as_ref().is_some_and(|current| current.id == conn)
    }

    /// The connection with this id, the current one or an attempt's.
    pub(crate) fn connection(&mut self, conn: ConnId) -> Option<&mut Connection<T>> {
        if self.is_current(conn) {
            return self.current.as_mut();
        }
        self.attempts.iter_mut().find(|attempt| attempt.id == conn)?.connection()
    }

    fn set_state(&mut self, cx: &mut Context<'_, T>, state: State) {
        if self.state != state {
            self.state = state;
            if self.purpose == Purpose::Shared {
                cx.notices.push(Notice::State { node: self.node, state });
            }
            cx.emit(self, EventKind::State(state));
        }
    }

    fn can_write(&self) -> bool {
        self.mode == Mode::Serving && !self.hold.is_active()
    }

    /// The ordinary way of a request: straight behind what is in flight. `None` if there is no way, or too much on it.
    fn way(&mut self, entry: &Entry<T>) -> Option<&mut Backlog<T>> {
        let passes = entry.meta.class.is(Class::ENDS_SCRIPTS) && self.mode == Mode::Serving;
        let is_clear = self.can_write() && self.queue.is_empty() || passes;
        let in_flight = &mut self.current.as_mut().filter(|_| is_clear)?.in_flight;
        if in_flight.bytes() > MOST_UNANSWERED {
            return None;
        }
        self.timers.set_no_later(Timer::Deadline, entry.deadline);
        Some(in_flight)
    }

    /// Takes a request if it can be written now.
    #[inline]
    pub(crate) fn write_at_once(&mut self, entry: Entry<T>, body: Body<'_>) -> bool {
        let Some(in_flight) = self.way(&entry) else { return false };
        in_flight.push(entry, body);
        self.sends += 1;
        true
    }

    /// Takes the bytes of several requests like `entry`, if they can be written now, and gives the offset of the first, and where the requests are to be
    /// pushed, whose number is then noted ([`Self::note_sends`]).
    pub(crate) fn write_run(
        &mut self,
        entry: &Entry<T>,
        encoded: &[u8],
    ) -> Option<(u64, &mut Backlog<T>)> {
        let in_flight = self.way(entry)?;
        let base = in_flight.end();
        in_flight.log().append(encoded);
        Some((base, in_flight))
    }

    /// First sends, which pay for sending again.
    pub(crate) const fn note_sends(&mut self, sends: usize) {
        self.sends += sends;
    }

    /// Takes a request that can't be written now into the queue.
    pub(crate) fn accept(
        &mut self,
        cx: &mut Context<'_, T>,
        entry: Entry<T>,
        body: Body<'_>,
    ) -> Result<(), Error> {
        if self.queue.is_empty() && self.can_write() {
            let text = format!("{MOST_UNANSWERED} bytes of commands are unanswered already");
            return Err(Error::new(ErrorKind::QueueFull, Delivery::NotSent, text));
        }
        self.admit(cx, body.encoded_len())?;
        self.queue.push(entry, body);
        self.timers.set_no_later(Timer::Deadline, entry.deadline);
        if let Some(age) = cx.config.offline_queue.age {
            self.timers.set_no_later(Timer::Deadline, cx.now + age);
        }
        Ok(())
    }

    /// Notes that an accepted request is a transaction of so many commands, MULTI and EXEC included.
    pub(crate) fn note_transaction(&mut self, seq: NonZeroU64, commands: u32) {
        let (queue, returned, current) = (&self.queue, &self.returned, &self.current);
        self.transactions.note(seq, commands, |seq| {
            let in_flight = current.as_ref().is_some_and(|conn| conn.in_flight.contains(seq));
            in_flight || queue.contains(seq) || returned.contains(seq)
        });
    }

    /// Whether the offline queue has room.
    fn admit(&self, cx: &Context<'_, T>, bytes: usize) -> Result<(), Error> {
        let refuse = |kind, text: String| Err(Error::new(kind, Delivery::NotSent, text));
        if self.mode == Mode::Ended {
            return Err(Error::ended());
        }
        // Nobody can tell when a link that was just opened is ready, so what is meant for it waits.
        let is_opening = matches!(self.purpose, Purpose::Dedicated | Purpose::Durable)
            && matches!(self.state, State::Connecting | State::Connect);
        if !cx.config.enable_offline_queue && self.current.is_none() && !is_opening {
            let text = format!("there is no connection and the offline queue is off{}", self.why());
            return refuse(ErrorKind::QueueFull, text);
        }
        let limits = cx.config.offline_queue;
        if self.queue.waiting() >= limits.commands
            || self.queue.bytes().saturating_add(bytes) > limits.bytes
        {
            let text = format!(
                "the offline queue is full ({} commands, {} bytes){}",
                self.queue.waiting(),
                self.queue.bytes(),
                self.why()
            );
            return refuse(ErrorKind::QueueFull, text);
        }
        Ok(())
    }

    /// For the end of an error's text: why there is no connection, as far as is known.
    pub(crate) fn why(&self) -> String {
        let Some(endpoint) = &self.endpoint else {
            return match &self.cause {
                Some(cause) => format!("; {cause}"),
                None => "; no server for it was found yet".to_owned(),
            };
        };
        match (&self.cause, self.mode) {
            (_, Mode::Serving) => String::new(),
            (Some(cause), _) => format!("; the last dial of {endpoint} failed: {cause}"),
            (None, Mode::Demoted) => format!(
                "; the server at {endpoint} is a replica now, and no primary was found there yet"
            ),
            (None, Mode::Suspect { .. }) => format!("; {endpoint} does not answer"),
            (None, _) => format!("; {endpoint} was not reached yet"),
        }
    }

    /// A request of the link's own, behind everything else.
    fn push_own(&mut self, cx: &mut Context<'_, T>, owner: Owner, command: &Command) {
        let meta = Meta {
            owner,
            class: Class::READ,
            resend: Resend::Never,
            delivery: Delivery::NotSent,
            redirects: 0,
            losses: 0,
        };
        if let Some(conn) = &mut self.current {
            let entry = Entry {
                seq: cx.ids.request(),
                token: T::default(),
                end: 0,
                deadline: Time::NEVER,
                accepted: Tick::of(cx.now),
                meta,
            };
            conn.in_flight.push(entry, Body::Command(command));
        }
    }

    /// Writes what waits, as far as it may be written.
    fn flush(&mut self, cx: &mut Context<'_, T>) {
        if !self.can_write() {
            return;
        }
        if self.purpose == Purpose::Blocking {
            self.shorten_timeout(cx.now);
        }
        if let Some(conn) = &mut self.current
            && !self.queue.is_empty()
        {
            if self.queue.has_suspects() {
                return self.flush_one(cx);
            }
            self.sends += self.queue.len();
            conn.in_flight.append(&mut self.queue);
        }
        if self.purpose == Purpose::Blocking && self.is_idle() {
            cx.notices.push(Notice::Free);
        }
    }

    /// Writes the next request with nothing beside it; the others wait as for a server that refuses.
    fn flush_one(&mut self, cx: &mut Context<'_, T>) {
        let Some(conn) = self.current.as_mut().filter(|conn| !conn.in_flight.has_callers()) else {
            return;
        };
        if let Some(seq) = conn.in_flight.append_first(&mut self.queue) {
            self.sends += 1;
            self.hold.on_alone(cx.now, seq);
            self.timers.set(Timer::Hold, cx.now + hold::LONGEST_PAUSE);
        }
    }

    /// A blocking command that waited, or is sent again, blocks for what is left of its timeout.
    fn shorten_timeout(&mut self, now: Time) {
        let waited = self.queue.front().map(|entry| entry.accepted.age(now));
        if let Some(waited) = waited.filter(|waited| *waited >= WORTH_SHORTENING) {
            self.queue.rewrite_only(|encoded| with_time_left(encoded, waited));
        }
    }

    /// Gives the driver what is to be written on this connection.
    pub(crate) fn take_writes(
        &mut self,
        cx: &mut Context<'_, T>,
        conn: ConnId,
        each: impl FnMut(bytes::Bytes),
    ) {
        cx.budget.deposit(std::mem::take(&mut self.sends));
        if self.durable.is_some() && self.is_current(conn) {
            self.ask_for_confirmation(cx);
        }
        let Some(found) = self.connection(conn) else { return };
        found.take_writes(cx.now, each);
        if self.is_current(conn) {
            self.watch_silence(cx);
        }
    }

    /// Nobody waits for this request any more. True if it was here.
    pub(crate) fn abandon(&mut self, cx: &mut Context<'_, T>, seq: NonZeroU64) -> bool {
        if self.queue.abandon(seq, 0) {
            if self.queue.is_mostly_dead() || self.queue.waiting() == 0 {
                self.queue.compact(0);
            }
            return true;
        }
        if self.abandon_held(seq) {
            return true;
        }
        let Some(conn) = &mut self.current else { return false };
        let untaken = conn.untaken();
        let blocks =
            conn.in_flight.get(seq).is_some_and(|entry| self.purpose.blocks(entry.meta.class));
        let found = conn.in_flight.abandon(seq, untaken);
        if found && blocks {
            // What it waits for would be popped and thrown away.
            self.drop_blocked(cx, "its caller went away");
        }
        found
    }

    /// Takes the oldest of the commands that wait for a connection of their own.
    pub(crate) fn take_blocked(&mut self, cx: &mut Context<'_, T>, waiting: &mut Backlog<T>) {
        self.queue.append_first(waiting);
        self.shorten_timeout(cx.now);
        if let Some(deadline) = self.queue.front().map(|entry| entry.deadline) {
            self.timers.set_no_later(Timer::Deadline, deadline);
        }
        if self.can_write()
            && let Some(conn) = &mut self.current
        {
            conn.in_flight.append(&mut self.queue);
            self.arm_idle(cx);
        }
    }

    /// Asks this link's server after the blocked connection of another link.
    pub(crate) fn inquire(
        &mut self,
        cx: &mut Context<'_, T>,
        link: LinkId,
        client_id: i64,
        run_id: Option<&str>,
    ) {
        // Of another server the question would make no sense, and while this link is suspect its own fate decides.
        if self.mode == Mode::Serving && run_id.is_some() && self.run_id() == run_id {
            let mut command = Command::new("CLIENT LIST ID");
            command.push_int(client_id);
            self.inquiries.push_back((link, client_id));
            self.push_own(cx, Owner::Inquiry, &command);
        }
    }

    pub(crate) fn on_dial_failed(&mut self, cx: &mut Context<'_, T>, conn: ConnId, text: String) {
        self.on_attempt_failed(cx, conn, &dialing::Failure::Answered, text);
    }

    pub(crate) fn on_written(&mut self, cx: &mut Context<'_, T>, conn: ConnId, bytes: usize) {
        if let Some(conn) = self.connection(conn) {
            conn.on_written(cx.now, bytes);
        }
    }

    /// A socket is at its end.
    pub(crate) fn on_closed(
        &mut self,
        cx: &mut Context<'_, T>,
        conn: ConnId,
        text: Option<String>,
    ) {
        let mut text = text.unwrap_or_else(|| "the server closed the connection".to_owned());
        if self.is_current(conn) {
            self.lose(cx, &text, false);
        } else if !self.ask_closed(cx, conn) {
            text.push_str(self.hint_at_tls(cx, conn));
            self.on_attempt_failed(cx, conn, &dialing::Failure::Answered, text);
        }
    }

    /// Answers everything that waits with an error, in order.
    fn fail_queue(&mut self, cx: &mut Context<'_, T>, kind: ErrorKind, text: &str) {
        let queue = std::mem::take(&mut self.queue);
        queue.sift(|_, entry| {
            if entry.meta.owner == Owner::Caller {
                cx.answer(entry.token, Err(Error::new(kind, entry.meta.delivery, text)));
            }
            false
        });
    }
}
