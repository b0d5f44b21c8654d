//! Silence, and what it raises: a question, never a verdict. Also the deadlines of requests, which say nothing about the connection.

use std::time::Duration;

use redial_resp::Command;

use super::context::{Context, Notice};
use super::timers::Timer;
use super::{Attempt, Lead, Link, Mode, Purpose};
use crate::config::ReadFrom;
use crate::connection::backlog::Owner;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, State, Suspicion};
use crate::ids::ConnId;
use crate::output::{Output, TcpInfo};
use crate::time::Time;

/// How often the kernel is asked about a suspect connection; about the first retransmission timeout (200 ms, `TCP_RTO_MIN`).
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(150);

/// A connection that spoke again waits this long for a probe to confirm its server before it is used again without.
const CONFIRM_WITHIN: Duration = Duration::from_millis(200);

/// Two demotions of a link are at least this far apart, dials included.
const DEMOTED_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long the endpoint is asked at least before silence alone condemns.
const ASK_AT_LEAST: Duration = Duration::from_secs(1);

/// How much later than its deadline a request may be settled.
const SWEEP_EVERY: Duration = Duration::from_millis(5);

/// Before silence condemns, a link that waits for another's findings asks for itself: there may be proof of life.
const ASK_BEFORE_CONDEMNING: Duration = Duration::from_secs(2);

/// An idle connection for blocking commands is closed after this long.
const BLOCKING_IDLE: Duration = Duration::from_secs(30);

impl<T: Copy + Default> Link<T> {
    /// How long silence may last before it is suspicious: more where the round trip is long.
    pub(super) fn suspect_after(&self, cx: &Context<'_, T>) -> Duration {
        cx.hints.suspect_after(cx.now, cx.config.liveness.suspect_after.max(self.rtt * 4))
    }

    /// How long silence may last before it condemns.
    #[expect(clippy::unused_self, reason = "reads as what the link grants its connection")]
    pub(super) fn condemn_after(&self, cx: &Context<'_, T>) -> Duration {
        cx.hints.condemn_after(cx.now, cx.config.liveness.condemn_after)
    }

    /// Sees to it that the connection is looked at when it has waited for half of that. The first look notes how far the kernel is, the second
    /// one compares.
    pub(super) fn watch_silence(&mut self, cx: &mut Context<'_, T>) {
        let half = self.suspect_after(cx) / 2;
        let since = self.current.as_ref().and_then(|conn| conn.waiting_since);
        if let (Some(since), Mode::Serving | Mode::Demoted | Mode::Moving { .. }) =
            (since, self.mode)
            && self.purpose != Purpose::Blocking
            && !self.timers.is_set(Timer::Silence)
        {
            self.timers.set(Timer::Silence, (since + half).max(cx.now + Duration::from_millis(1)));
        }
    }

    /// Handles a timer that is due.
    pub(crate) fn on_timer(&mut self, cx: &mut Context<'_, T>) -> bool {
        match self.timers.expired(cx.now) {
            None => return false,
            Some(Timer::Deadline) => self.on_deadline(cx),
            Some(Timer::Silence) => self.on_silence(cx),
            Some(Timer::Idle) => self.on_idle(cx),
            Some(Timer::Suspect) => self.on_still_suspect(cx),
            Some(Timer::Dial) => self.on_dial_due(cx),
            Some(Timer::Attempts) => self.on_attempts_due(cx),
            Some(Timer::Hold) => self.on_pause_over(cx),
            Some(Timer::Subscribe) => self.on_subscribe_due(cx),
            Some(Timer::Plan) => self.on_plan_due(cx),
        }
        true
    }

    /// The earliest moment at which a timer is due.
    pub(crate) fn next_timer(&self) -> Time {
        self.timers.next()
    }

    fn on_silence(&mut self, cx: &mut Context<'_, T>) {
        let half = self.suspect_after(cx) / 2;
        let Some(conn) = &self.current else { return };
        match conn.silence(cx.now) {
            Some(silence) if silence >= half => cx.outputs.push_back(Output::Inspect(conn.id)),
            _ => self.watch_silence(cx),
        }
    }

    /// The kernel's view of a connection that has been silent for a while.
    pub(crate) fn on_inspected(
        &mut self,
        cx: &mut Context<'_, T>,
        id: ConnId,
        info: Option<TcpInfo>,
    ) {
        if !self.is_current(id) {
            return self.on_attempt_inspected(cx, id, info);
        }
        self.rtt = info.map_or(self.rtt, |info| info.rtt);
        self.tell_distance(cx);
        let suspect_after = self.suspect_after(cx);
        let Some(conn) = self.current.as_mut().filter(|conn| conn.id == id) else { return };
        let info = info.unwrap_or_default();
        // Only of the command that is waited for: a hung server's kernel acknowledges newer ones too. The SYN counts as a byte.
        let first_look = self.acked == 0;
        let uploading = conn.in_flight.front().is_some_and(|oldest| oldest.end + 1 > self.acked);
        let progress = info.bytes_acked > self.acked && uploading && !first_look;
        self.acked = info.bytes_acked;
        let Some(silence) = conn.silence(cx.now) else { return };
        let oldest = conn.in_flight.front();
        let is_blocked = oldest.is_some_and(|oldest| {
            let confirms =
                || self.durable.as_ref().is_some_and(|durable| durable.may_wait(silence));
            self.purpose.blocks(oldest.meta.class)
                || (oldest.meta.owner == Owner::Wait && confirms())
        });
        let is_retransmitting = info.is_retransmitting();
        if progress && !is_retransmitting {
            // A large upload on its way: the peer's kernel takes it.
            conn.waiting_since = Some(cx.now);
            if matches!(self.mode, Mode::Suspect { .. }) {
                self.recover(cx, silence);
            }
        }
        match &mut self.mode {
            Mode::Suspect { retransmitting, .. } => *retransmitting = is_retransmitting,
            Mode::Serving if is_retransmitting => self.suspect(cx, Suspicion::Retransmission),
            Mode::Serving if is_blocked => {
                // Its silence is what was asked for; the kernel may still know of a dead path.
                self.timers.set(Timer::Silence, cx.now + cx.rng.around(suspect_after));
            }
            Mode::Serving if silence >= suspect_after && !progress => {
                self.suspect(cx, Suspicion::Silence)
            }
            Mode::Moving { to } if silence >= suspect_after => {
                let to = *to;
                self.on_silent_move(cx, to, silence, is_retransmitting);
            }
            _ => {
                let next = suspect_after.saturating_sub(silence).max(Duration::from_millis(50));
                let next = cx.now + cx.rng.around(next.min(suspect_after / 2));
                self.timers.set(Timer::Silence, next);
            }
        }
        if let Mode::Suspect { retransmitting: true, .. } = self.mode {
            self.judge_kept(cx);
        }
    }

    /// Where there is a choice of servers, it is made by distance.
    fn tell_distance(&self, cx: &mut Context<'_, T>) {
        if self.purpose == Purpose::Shared && cx.config.read_from != ReadFrom::Primary {
            let server = self.current.as_ref().and_then(|conn| conn.server.as_ref());
            let zone = server.and_then(|server| server.zone.clone());
            cx.notices.push(Notice::Measured { node: self.node, rtt: self.rtt, zone });
        }
    }

    /// Asks the endpoint about the current connection.
    pub(super) fn suspect(&mut self, cx: &mut Context<'_, T>, why: Suspicion) {
        self.end_asking(cx);
        let Some(conn) = &self.current else { return };
        let id = conn.id;
        cx.emit(self, EventKind::Suspected { conn: id, why });
        let demoted = matches!(why, Suspicion::Rejection(_) | Suspicion::Moved);
        let retransmitting = why == Suspicion::Retransmission;
        self.mode =
            if demoted { Mode::Demoted } else { Mode::Suspect { spoke: None, retransmitting } };
        self.set_state(cx, State::Suspect);
        self.backoff.reset();
        self.hold.reset();
        self.timers.stop(Timer::Hold);
        self.suspect_since = cx.now;
        self.timers.set(Timer::Suspect, cx.now + LOOK_AGAIN_AFTER);
        self.timers.stop(Timer::Silence);
        if demoted {
            // What the server says of itself needs no second opinion. But where READONLY comes from one that calls itself primary, or
            // hides its role, each new connection would be demoted in turn.
            self.dial_now(cx);
            let again = self.demoted_at.replace(cx.now).map(|before| before + DEMOTED_AGAIN_AFTER);
            if let Some(again) = again.filter(|again| *again > cx.now) {
                self.timers.set(Timer::Dial, again);
            }
        } else if self.plan.is_some() && self.lead == Lead::Own {
            self.dial_now(cx);
        } else {
            self.probe(cx);
        }
    }

    fn on_still_suspect(&mut self, cx: &mut Context<'_, T>) {
        let Some(conn) = &self.current else { return };
        match self.mode {
            Mode::Suspect { spoke: Some(at), .. } => {
                let silence = at.since(conn.last_read);
                if cx.now.since(at) >= CONFIRM_WITHIN {
                    return self.recover(cx, silence);
                }
            }
            Mode::Suspect { spoke: None, .. } => {
                let silence = conn.silence(cx.now).unwrap_or_default();
                cx.outputs.push_back(Output::Inspect(conn.id));
                self.ask_again_to_lead(cx);
                if self.lead == Lead::Follower
                    && silence + ASK_BEFORE_CONDEMNING >= self.condemn_after(cx)
                {
                    self.dial_now(cx);
                }
                // A process that stood still finds long silence when it goes on; the endpoint gets its time to answer all the same.
                let was_asked = cx.now.since(self.suspect_since) >= ASK_AT_LEAST;
                let is_over = silence >= self.condemn_after(cx) && was_asked;
                if is_over && self.has_nothing_better(cx) {
                    let text = format!(
                        "{} was silent for {silence:.1?} and nothing better was found",
                        self.place()
                    );
                    return self.lose(cx, &text, true);
                }
            }
            Mode::Demoted => self.watch_silence(cx),
            _ => return,
        }
        self.timers.set(Timer::Suspect, cx.now + LOOK_AGAIN_AFTER);
    }

    /// No probe has an answer to judge by, and none is about to have one.
    fn has_nothing_better(&self, cx: &Context<'_, T>) -> bool {
        !self.attempts.iter().any(|attempt| attempt.is_kept() || attempt.is_asked_again(cx.now))
    }

    /// Bytes came from the current connection.
    pub(super) fn on_spoke(&mut self, cx: &mut Context<'_, T>, silence: Duration) {
        if let Mode::Suspect { spoke, retransmitting } = &mut self.mode {
            *retransmitting = false;
            if spoke.is_none() {
                *spoke = Some(cx.now);
            }
            if self.judge_kept(cx) {
                return;
            }
            if !self.attempts.iter().any(Attempt::is_shaking) {
                self.recover(cx, silence);
            }
        }
    }

    /// It was slow, and nothing happened.
    pub(super) fn recover(&mut self, cx: &mut Context<'_, T>, silent: Duration) {
        let Some(conn) = &self.current else { return };
        let id = conn.id;
        self.stop_dialing(cx, None);
        self.mode = Mode::Serving;
        self.timers.stop(Timer::Suspect);
        cx.emit(self, EventKind::Recovered { conn: id, silent });
        self.set_state(cx, State::Ready);
        self.arm_idle(cx);
        self.go_on_leaving(cx);
        self.flush(cx);
        self.watch_silence(cx);
        self.go_where_it_leads(cx);
    }

    pub(super) fn arm_idle(&mut self, cx: &mut Context<'_, T>) {
        let interval = cx.rng.around(cx.config.liveness.ping_interval);
        self.timers.set(Timer::Idle, cx.now + interval);
    }

    fn on_idle(&mut self, cx: &mut Context<'_, T>) {
        let interval = cx.config.liveness.ping_interval;
        let Some(conn) = &self.current else { return };
        let idle = cx.now.since(conn.last_read);
        let oldest = conn.in_flight.front();
        let is_blocked = oldest.is_some_and(|oldest| self.purpose.blocks(oldest.meta.class));
        if self.purpose == Purpose::Blocking || is_blocked {
            return self.on_blocking_idle(cx, idle);
        }
        if self.purpose.listens() {
            let run_id = self.run_id().map(str::to_owned);
            cx.notices.push(Notice::Compare { link: self.id, node: self.node, run_id });
        }
        let is_quiet = conn.in_flight.is_empty() && idle >= interval / 2;
        self.authenticate_again(cx);
        self.measure(cx);
        if self.mode == Mode::Serving && is_quiet {
            self.push_own(cx, Owner::Ping, &Command::new("PING"));
        }
        self.arm_idle(cx);
    }

    /// Has the kernel's view of the connection looked at, where its distance matters.
    pub(super) fn measure(&self, cx: &mut Context<'_, T>) {
        if let Some(conn) =
            self.current.as_ref().filter(|_| cx.config.read_from != ReadFrom::Primary)
        {
            cx.outputs.push_back(Output::Inspect(conn.id));
        }
    }

    /// A connection that waits in BLPOP answers no PING, so another connection asks the server whether it is still there.
    fn on_blocking_idle(&mut self, cx: &mut Context<'_, T>, idle: Duration) {
        let Some(conn) = &self.current else { return };
        if self.mode == Mode::Serving && conn.in_flight.is_empty() {
            if idle >= BLOCKING_IDLE {
                self.end(cx, "idle");
                return;
            }
        } else if let Some(server) = &conn.server
            && let Some(client_id) = server.client_id
        {
            cx.notices.push(Notice::Inquire {
                link: self.id,
                node: self.node,
                client_id,
                run_id: server.run_id.clone(),
            });
        }
        self.arm_idle(cx);
    }

    /// The answer: whether the server still has the connection.
    pub(crate) fn on_inquiry_answered(
        &mut self,
        cx: &mut Context<'_, T>,
        client_id: i64,
        gone: bool,
    ) {
        // The connection that was asked after may have been replaced meanwhile.
        let server = self.current.as_ref().and_then(|conn| conn.server.as_ref());
        if gone && server.is_some_and(|server| server.client_id == Some(client_id)) {
            self.lose(cx, "its server has closed it without our hearing of it", true);
        }
    }

    /// The shared link uses another connection from now on.
    pub(crate) fn on_server_replaced(&mut self, cx: &mut Context<'_, T>, run_id: Option<&str>) {
        let is_same = match (self.run_id(), run_id) {
            (Some(mine), Some(its)) => mine == its,
            // Where a proxy hides who is there, a gap too many is better than a subscriber that is deaf on a demoted server.
            _ if self.purpose.listens() => false,
            // A blocked command is answered by a server that is demoted (-UNBLOCKED).
            _ => return,
        };
        match (self.purpose, self.mode) {
            (Purpose::Blocking | Purpose::Dedicated, _) if !is_same => {
                self.lose(cx, "the endpoint leads to another server now", true);
            }
            (Purpose::Blocking, _) => self.on_idle(cx),
            // A subscriber hears nothing of a failover from a demoted server: it goes on, with nothing to say. And one that was left may take
            // writes for as long as it believes that it leads; what it confirms is lost with it.
            (purpose, mode) if !is_same && (purpose.listens() || purpose == Purpose::Durable) => {
                match mode {
                    Mode::Serving => self.suspect(cx, Suspicion::Moved),
                    Mode::Suspect { .. } => {
                        self.mode = Mode::Demoted;
                        self.dial_now(cx);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Another link of the node has found this server to be a replica.
    pub(crate) fn on_demoted(&mut self, cx: &mut Context<'_, T>, run_id: Option<&str>) {
        if self.mode == Mode::Serving && run_id.is_some() && self.run_id() == run_id {
            self.suspect(cx, Suspicion::Moved);
        }
    }

    /// Settles what has waited until its deadline.
    fn on_deadline(&mut self, cx: &mut Context<'_, T>) {
        let (now, why) = (cx.now, self.why());
        let age = cx.config.offline_queue.age;
        let mut next = self.queue.expire(now, 0, age, |entry, _| {
            let text = format!("no connection took the command by its deadline{why}");
            cx.answer(entry.token, Err(Error::new(ErrorKind::Timeout, entry.meta.delivery, text)));
        });
        if self.queue.waiting() == 0 || self.queue.is_mostly_dead() {
            self.queue.compact(0);
        }
        let mut blocked = false;
        if let Some(conn) = &mut self.current {
            let untaken = conn.untaken();
            let silence = conn.silence(now).unwrap_or_default();
            let in_flight = conn.in_flight.expire(now, untaken, None, |entry, never_handed| {
                let known = entry.meta.delivery;
                let delivery =
                    if never_handed { known } else { known.or_unknown(Delivery::Unknown) };
                let text = format!("no answer by the deadline; nothing was read for {silence:.1?}");
                cx.answer(entry.token, Err(Error::new(ErrorKind::Timeout, delivery, text)));
                blocked |= self.purpose.blocks(entry.meta.class);
            });
            next = [next, in_flight].into_iter().flatten().min();
        }
        next = [next, self.expire_held(cx)].into_iter().flatten().min();
        if let Some(next) = next {
            // One sweep for all deadlines of five milliseconds: with many waiting, a sweep is what costs.
            self.timers.set_no_later(Timer::Deadline, next.max(now + SWEEP_EVERY));
        }
        if blocked {
            self.drop_blocked(cx, "its deadline has passed");
        }
    }

    /// Drops a connection whose blocking command nobody waits for: what it would pop must not be thrown away.
    pub(super) fn drop_blocked(&mut self, cx: &mut Context<'_, T>, why: &str) {
        if let Some(conn) = &mut self.current {
            // This may come from a caller, ahead of what the driver has to say of what stands behind it.
            conn.assume_written();
        }
        self.lose(cx, why, true);
    }
}
