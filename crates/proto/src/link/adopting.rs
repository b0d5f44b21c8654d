//! Putting a probe in the connection's place: judged, fenced where the server is the same, and then the old one is dropped and
//! its requests concluded. Also losing a connection with nothing in its place.

use std::time::Duration;

use super::attempt::{Attempt, Stage};
use super::context::{Context, Notice};
use super::dialing::Failure;
use super::judge::{Found, Identity, Old, Verdict, judge};
use super::timers::Timer;
use super::{Lead, Left, Link, Mode, Purpose};
use crate::conclude::{self, OnLoss};
use crate::connection::Connection;
use crate::connection::backlog::Owner;
use crate::connection::fence::{Fence, FenceReport};
use crate::connection::identity::{Role, Server};
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, State};
use crate::hint::is_azure;
use crate::ids::ConnId;
use crate::output::Output;

/// A server that was left because another led is not gone back to for this long, unless its data continues the other's: it may be a stale
/// primary that woke up.
const NO_WAY_BACK_FOR: Duration = Duration::from_secs(30);

impl<T: Copy + Default> Link<T> {
    fn old(&self, cx: &Context<'_, T>) -> Old {
        let Some(conn) = &self.current else { return Old::Gone };
        match self.mode {
            Mode::Suspect { spoke: None, retransmitting } => {
                Old::Silent { since: conn.silence(cx.now).unwrap_or_default(), retransmitting }
            }
            Mode::Demoted => Old::Demoted,
            Mode::Serving => self.old_by_plan(),
            _ => Old::Speaking,
        }
    }

    pub(crate) fn run_id(&self) -> Option<&str> {
        self.current.as_ref()?.server.as_ref()?.run_id.as_deref()
    }

    pub(super) fn identity(&self, server: &Server) -> Identity {
        match (self.run_id(), server.run_id.as_deref()) {
            (Some(mine), Some(its)) if mine == its => Identity::Same,
            (Some(_), Some(_)) => Identity::Another,
            // Servers do not say who they are, but the node is known to have gone elsewhere.
            _ if self.has_been_led() => Identity::Another,
            _ => Identity::Unknown,
        }
    }

    /// It is known who is behind a dial: judge it.
    pub(super) fn on_surveyed(&mut self, cx: &mut Context<'_, T>, id: ConnId) {
        let Some(attempt) = self.attempts.iter().find(|attempt| attempt.id == id) else { return };
        let Stage::Kept(_, survey) = &attempt.stage else { return };
        // Whoever is there may be asked.
        let is_asked = self.purpose == Purpose::Discovery;
        // The topology does not know a node that is given up, which was no replica.
        let is_given_up = self.is_dissolving() && survey.server.role == Role::Replica;
        let fits = is_asked || !is_given_up && cx.topology.judge(self.node, survey.server.role);
        if !fits && self.purpose != Purpose::Shared {
            let run_id = survey.server.run_id.clone();
            cx.notices.push(Notice::Demoted { node: self.node, run_id });
        }
        let found = Found {
            identity: self.identity(&survey.server),
            role_fits: fits,
            pong: survey.pong,
            old: survey.old,
        };
        if attempt.told.is_some() && !self.continues(&survey.server) {
            let text = "another server is there, and its data is not known to continue this one's";
            return self.on_attempt_failed(cx, id, &Failure::Answered, text.to_owned());
        }
        if let Some(text) = self.refused_history(cx, &survey.server) {
            return self.on_attempt_failed(cx, id, &Failure::Answered, text);
        }
        let old = self.old(cx);
        match judge(old, found, self.condemn_after(cx)) {
            Verdict::Adopt => self.adopt(cx, id),
            Verdict::AdoptFenced => self.fence(cx, id),
            Verdict::MoveOver => self.move_over(cx, id),
            Verdict::Recover if self.mode == Mode::Serving => self.end_plan(cx),
            Verdict::Recover => {
                // Under another name, it is where the node is.
                self.served_from.clone_from(&self.endpoint);
                let silent = self.current.as_ref().map(|conn| cx.now.since(conn.last_read));
                self.recover(cx, silent.unwrap_or_default());
            }
            Verdict::KeepBoth => self.on_kept(cx),
            Verdict::Useless(text) => {
                self.on_attempt_failed(cx, id, &Failure::Answered, text.to_owned())
            }
        }
    }

    /// Judges the kept probes again, since there is new evidence. True if that changed anything.
    pub(super) fn judge_kept(&mut self, cx: &mut Context<'_, T>) -> bool {
        let before = self.mode;
        if let Some(id) =
            self.attempts.iter().find(|attempt| attempt.is_kept()).map(|attempt| attempt.id)
        {
            self.on_surveyed(cx, id);
        } else if self.lead == Lead::Follower
            && matches!(before, Mode::Suspect { retransmitting: true, .. })
        {
            self.dial_now(cx);
        }
        before != self.mode
    }

    fn refused_history(&self, cx: &Context<'_, T>, server: &Server) -> Option<String> {
        let (mine, its) = (self.lineage.as_ref()?, server.lineage.as_ref()?);
        if its.descends_from(mine) {
            return None;
        }
        let came_back = !cx.topology.vouches()
            && self.left.as_ref().is_some_and(|left| {
                server.run_id.as_deref() == Some(left.run_id.as_str())
                    && cx.now.since(left.at) < NO_WAY_BACK_FOR
            });
        if came_back {
            return Some("the server there was left a moment ago, and its data does not continue what came after".into());
        }
        cx.config.refuse_unrelated_history.then(|| {
            "the data of the server there does not descend from what this client has seen (refuse_unrelated_history)".into()
        })
    }

    fn adopt(&mut self, cx: &mut Context<'_, T>, id: ConnId) {
        let again = match (
            &self.lost,
            self.attempts.iter().find(|attempt| attempt.id == id).map(|a| &a.stage),
        ) {
            (Some(lost), Some(Stage::Kept(shaken, _))) => {
                lost.client_id.is_some()
                    && lost.run_id.is_some()
                    && shaken.conn.server.as_ref().and_then(|server| server.run_id.as_ref())
                        == lost.run_id.as_ref()
            }
            _ => false,
        };
        if again { self.fence(cx, id) } else { self.finish_adopting(cx, id, FenceReport::Silent) }
    }

    /// Ends the old connection on the server before the new one is used.
    pub(super) fn fence(&mut self, cx: &mut Context<'_, T>, id: ConnId) {
        let old =
            self.current.as_ref().and_then(|conn| conn.server.as_ref()).or(self.lost.as_ref());
        let Some(old_id) = old.and_then(|server| server.client_id) else {
            return self.finish_adopting(cx, id, FenceReport::Silent);
        };
        self.stop_dialing(cx, Some(id));
        let Some(attempt) = self.attempts.pop() else { return };
        let stage = match attempt.stage {
            Stage::Kept(shaken, _) => {
                let mut conn = shaken.conn;
                conn.write_raw(&Fence::commands(old_id));
                Stage::Fencing(Box::new(conn), Fence::default())
            }
            other => other,
        };
        self.attempts.push(Attempt { since: cx.now, stage, ..attempt });
        self.mode = Mode::Fencing { to: id };
        self.timers.stop(Timer::Suspect);
        self.timers.set(Timer::Attempts, cx.now + super::dialing::FENCE_WITHIN);
    }

    /// The server has ended the old connection, and said how far it had read.
    pub(super) fn on_fenced(&mut self, cx: &mut Context<'_, T>, id: ConnId, report: FenceReport) {
        self.finish_adopting(cx, id, report);
    }

    /// The new connection was lost before the fence was answered.
    pub(super) fn on_fence_failed(&mut self, cx: &mut Context<'_, T>) {
        match &self.current {
            Some(conn) if conn.is_closed => {
                self.mode = Mode::Suspect { spoke: None, retransmitting: false };
                self.lose(cx, "closed while a new connection was being made", true);
            }
            Some(conn) => {
                // All that was in flight may have been answered meanwhile.
                let spoke = conn.silence(cx.now).is_none().then_some(cx.now);
                self.mode = Mode::Suspect { spoke, retransmitting: false };
                self.timers.set(Timer::Suspect, cx.now);
                self.probe(cx);
            }
            None => {
                self.mode = Mode::Dialing;
                self.dial_now(cx);
            }
        }
    }

    fn move_over(&mut self, cx: &mut Context<'_, T>, id: ConnId) {
        if self.current.as_ref().is_none_or(|conn| conn.in_flight.is_empty()) {
            return self.finish_adopting(cx, id, FenceReport::Silent);
        }
        self.stop_dialing(cx, Some(id));
        self.mode = Mode::Moving { to: id };
        self.timers.stop(Timer::Suspect);
        self.watch_silence(cx);
    }

    /// The new connection takes over.
    pub(super) fn finish_adopting(
        &mut self,
        cx: &mut Context<'_, T>,
        id: ConnId,
        report: FenceReport,
    ) {
        let Some(at) = self.attempts.iter().position(|attempt| attempt.id == id) else { return };
        if self.purpose == Purpose::Dedicated && self.current.is_some() {
            return self.end(cx, "its server is not to be used any more");
        }
        let was_told = self.old_by_plan() == Old::Leaving;
        let attempt = self.attempts.remove(at);
        let to = attempt.to;
        let mut conn = match attempt.stage {
            Stage::Kept(shaken, _) => shaken.conn,
            Stage::Fencing(conn, _) => *conn,
            Stage::Connecting
            | Stage::Connected
            | Stage::Securing
            | Stage::Unauthenticated(_)
            | Stage::Shaking(_) => return,
        };
        self.stop_dialing(cx, None);
        // The handshake's waiting is over; a request's begins when it is written.
        conn.waiting_since = None;
        let server = conn.server.clone().unwrap_or_else(Server::unknown);
        let interrupted = self.lost.is_some() || self.current.is_some();
        let old = self.current.as_ref().and_then(|conn| conn.server.as_ref());
        let left = old.or(self.lost.as_ref()).and_then(|server| server.run_id.clone());
        if let Some(run_id) = left.filter(|run_id| Some(run_id) != server.run_id.as_ref()) {
            self.left = Some(Left { run_id, at: cx.now });
        }
        if let Some(old) = self.current.take() {
            cx.outputs.push_back(Output::Close { conn: old.id, reset: true });
            cx.emit(self, EventKind::Condemned { conn: old.id });
            self.conclude_all(cx, old, report, "it was given up for a new one");
        }
        self.note_history(cx, &server);
        if was_told {
            self.moved_at = Some(cx.now);
        }
        self.plan = None;
        self.current = Some(conn);
        self.served_from = to;
        self.mode = Mode::Serving;
        self.lost = None;
        self.cause = None;
        self.asked_other_way = true;
        cx.keeper.on_accepted();
        self.acked = 0;
        self.rtt = Duration::ZERO;
        self.backoff.on_ready(cx.now);
        self.is_behind = false;
        self.hold.reset();
        for timer in [Timer::Suspect, Timer::Silence, Timer::Hold, Timer::Plan] {
            self.timers.stop(timer);
        }
        let Server { run_id, version, .. } = server;
        cx.emit(self, EventKind::Adopted { conn: id, run_id: run_id.clone(), version });
        self.set_state(cx, State::Ready);
        self.authenticate_again(cx);
        self.subscribe_again(cx, interrupted);
        self.ask_waiting(cx);
        self.measure(cx);
        self.arm_idle(cx);
        self.flush(cx);
        self.go_where_it_leads(cx);
        self.hear_early(cx);
        if self.purpose == Purpose::Shared {
            if interrupted {
                cx.notices.push(Notice::Adopted { node: self.node, run_id });
            }
            if is_azure(cx.config) {
                cx.notices.push(Notice::Watch);
            }
        }
    }

    /// What the server announced while it was being asked who it is.
    fn hear_early(&mut self, cx: &mut Context<'_, T>) {
        let early = self.current.as_mut().map(|conn| conn.take_early(cx.now));
        for push in early.into_iter().flatten() {
            // A push answers nobody.
            let _ = self.on_frame(cx, push);
        }
    }

    fn note_history(&mut self, cx: &mut Context<'_, T>, server: &Server) {
        let Some(its) = &server.lineage else { return };
        if let Some(mine) = &self.lineage
            && its.replid != mine.replid
        {
            let continues = its.descends_from(mine) && its.replid2_until >= mine.offset;
            cx.emit(self, EventKind::HistoryChanged { possible_loss: !continues });
        }
        self.lineage = Some(its.clone());
    }

    /// Every request of a connection that is gone goes on or fails.
    fn conclude_all(
        &mut self,
        cx: &mut Context<'_, T>,
        mut old: Connection<T>,
        report: FenceReport,
        text: &str,
    ) {
        let in_flight = std::mem::take(&mut old.in_flight);
        self.inquiries.clear();
        self.asked = false;
        self.transactions.reset();
        self.on_questions_lost(cx, text);
        self.fail_held(cx, text);
        self.on_subscriptions_lost(cx, old.last_read);
        let mut suspected = 0;
        let mut kept = in_flight.sift(|from, entry| {
            if entry.meta.owner != Owner::Caller {
                return false;
            }
            // What blocks has a connection to itself, and may block for days.
            let is_suspect = from < old.untaken() && !self.purpose.blocks(entry.meta.class);
            if is_suspect && suspected < conclude::MOST_SUSPECTED {
                suspected += 1;
                entry.meta.losses = entry.meta.losses.saturating_add(1);
            }
            match conclude::on_loss(&entry.meta, old.was_handed_over(entry), entry.end, report) {
                OnLoss::Fail(delivery) => {
                    cx.answer(entry.token, Err(conclude::lost(delivery, text)));
                    false
                }
                OnLoss::GiveUp(delivery) => {
                    cx.answer(entry.token, Err(conclude::given_up(delivery, text)));
                    false
                }
                OnLoss::SendAgain { delivery, costs_budget: true } if !cx.budget.withdraw() => {
                    let text =
                        format!("the connection was lost and the retry budget is spent: {text}");
                    cx.answer(entry.token, Err(Error::new(ErrorKind::RetryBudget, delivery, text)));
                    false
                }
                OnLoss::SendAgain { delivery, .. } => {
                    entry.meta.delivery = delivery;
                    true
                }
            }
        });
        kept.merge(std::mem::take(&mut self.returned));
        self.queue.merge(kept);
    }

    /// The connection is gone with nothing in its place: conclude its requests and dial. `reset`: we are the one that ends it.
    pub(crate) fn lose(&mut self, cx: &mut Context<'_, T>, text: &str, reset: bool) {
        match (self.mode, &mut self.current) {
            (Mode::Fencing { .. }, Some(conn)) => {
                // The server's answer to the fence says more of its requests than its end does.
                conn.is_closed = true;
                return;
            }
            (Mode::Moving { to }, _) if self.attempts.iter().any(|attempt| attempt.id == to) => {
                if self.is_same_server(to)
                    && let Some(conn) = self.current.as_mut().filter(|c| !c.in_flight.is_empty())
                {
                    conn.is_closed = true;
                    return self.fence(cx, to);
                }
                return self.finish_adopting(cx, to, FenceReport::Silent);
            }
            _ => {}
        }
        self.end_asking(cx);
        let Some(old) = self.current.take() else { return };
        cx.outputs.push_back(Output::Close { conn: old.id, reset });
        if reset {
            cx.emit(self, EventKind::Condemned { conn: old.id });
        }
        self.lost.clone_from(&old.server);
        self.mode = Mode::Dialing;
        self.conclude_all(cx, old, FenceReport::Silent, text);
        for timer in [Timer::Suspect, Timer::Silence, Timer::Idle, Timer::Hold] {
            self.timers.stop(timer);
        }
        self.hold.reset();
        self.cause = Some(text.to_owned());
        self.set_state(cx, State::Close);
        let is_done = self.purpose == Purpose::Blocking && self.queue.is_empty();
        if is_done || self.purpose == Purpose::Dedicated {
            return self.end(cx, text);
        }
        self.set_state(cx, State::Reconnecting);
        self.redial(cx, text);
    }

    fn redial(&mut self, cx: &mut Context<'_, T>, text: &str) {
        if self.judge_kept(cx) {
            return;
        }
        if cx.config.custom_retry {
            self.resign(cx);
            self.lead = Lead::Own;
            let _ = self.backoff.on_failure(cx.now, cx.rng);
            let attempt = self.backoff.failures();
            cx.outputs.push_back(Output::AskRetry {
                link: self.id,
                attempt,
                cause: text.to_owned(),
            });
        } else {
            let pause = self.backoff.on_loss(cx.now, cx.rng).unwrap_or_default();
            self.dial_after(cx, pause);
        }
    }

    /// Ends the link: what waits and what is in flight fails, nothing is dialed any more.
    pub(crate) fn end(&mut self, cx: &mut Context<'_, T>, text: &str) {
        if self.mode == Mode::Ended {
            return;
        }
        self.stop_dialing(cx, None);
        self.timers = super::TimerTable::default();
        // Whoever listens hears of the end; a new beginning has new wishes.
        self.subscriptions = super::Subscriptions::default();
        if let Some(mut old) = self.current.take() {
            // This may come from a caller, ahead of what the driver has to say.
            old.assume_written();
            // With nothing in flight there is nothing that must not be delivered late.
            let reset = !old.in_flight.is_empty();
            cx.outputs.push_back(Output::Close { conn: old.id, reset });
            // What the server holds of it must not run after what is sent once connected again by hand.
            self.lost = old.server.clone().filter(|_| reset);
            self.conclude_all(cx, old, FenceReport::Silent, text);
            self.set_state(cx, State::Close);
        }
        self.mode = Mode::Ended;
        self.plan = None;
        self.fail_queue(cx, ErrorKind::Closed, text);
        self.set_state(cx, State::End);
    }
}
