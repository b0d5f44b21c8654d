//! Dials: when to start one, what came of it, and when to stop. The same for a link without a connection and for one whose
//! connection is suspect; what a finished handshake leads to is decided in [`super::judge`] and done in [`super::adopting`].

use ::core::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;

use super::attempt::{Attempt, Stage};
use super::context::Context;
use super::securing::{PORT_SPEAKS_TLS, TLS_UNANSWERED};
use super::timers::Timer;
use super::{Lead, Link, Mode};
use crate::board;
use crate::connection::handshake::{Progress, Refusal, RefusalKind};
use crate::error::ErrorKind;
use crate::event::{EventKind, State};
use crate::ids::ConnId;
use crate::output::{Finding, Output};
use crate::time::Time;

/// A dial can be stuck, pinned by a load balancer to the dead host; the next one is started without waiting for it to fail.
const SPACING: Duration = Duration::from_millis(120);

/// While sockets connect and HELLO stays silent, the server is stopped or busy and its backlog must not be filled.
const SPACING_WHILE_SILENT: Duration = Duration::from_millis(300);

/// While one of a process' links reconnects ahead, the others dial this often: a thousand clients of a server that restarts must not be as many crowds.
const SPACING_BEHIND: Duration = Duration::from_millis(600);

/// A dial that has a socket is given this long, and twice as long each time, before there is another beside it where there is nothing to lose: a server that has
/// just started works off its clients one by one, and each further handshake is one more. The others of a process know that there is somebody.
const PATIENCE: Duration = Duration::from_millis(300);
const PATIENCE_BEHIND: Duration = Duration::from_millis(1200);
const LONGEST_PATIENCE: Duration = Duration::from_secs(3);

/// After this long without a reply a handshake counts as silent.
const SILENT_AFTER: Duration = Duration::from_millis(100);

/// A handshake takes one round trip; on a LAN a SYN that was lost comes again after a second, so a dial that has no socket by then is better
/// replaced.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Dials under way at the most.
const MOST_ATTEMPTS: usize = 8;

/// How often a kept probe is asked again who is there; without an answer by the next time, dialing goes on.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A fence is one round trip to a server that has just answered.
pub(super) const FENCE_WITHIN: Duration = Duration::from_secs(1);

/// How often to dial where the configuration is at fault: soon enough after it is mended on the server, and never a storm.
const PAUSE_FOR_ATTENTION: Duration = Duration::from_secs(2);

/// What became of a dial that is of no use.
pub(super) enum Failure {
    /// Nobody answered in time; the next dial is due already.
    Unanswered,
    /// The endpoint answered: refused, closed, or of no use.
    Answered,
    /// A configuration must change: password, rights, database, certificate.
    Attention(ErrorKind),
    /// The provider of credentials gave none.
    NoCredentials,
    /// Too many clients.
    Full,
}

impl<T: Copy + Default> Link<T> {
    /// Dials, and keeps dialing.
    pub(crate) fn connect(&mut self, cx: &mut Context<'_, T>) {
        if self.mode == Mode::Ended {
            self.set_state(cx, State::Connecting);
            self.mode = Mode::Dialing;
            self.backoff.reset();
            self.cause = None;
            self.want_by_purpose();
            self.dial_now(cx);
        }
    }

    /// Begins to dial for this link's own sake.
    pub(super) fn dial_now(&mut self, cx: &mut Context<'_, T>) {
        self.dial_after(cx, Duration::ZERO);
    }

    pub(super) fn dial_after(&mut self, cx: &mut Context<'_, T>, pause: Duration) {
        self.resign(cx);
        self.lead = Lead::Own;
        self.timers.set_no_later(Timer::Dial, cx.now + pause);
    }

    /// Begins to probe, unless another link of the process probes this endpoint already.
    pub(super) fn probe(&mut self, cx: &mut Context<'_, T>) {
        if self.lead == Lead::None {
            self.lead = Lead::Follower;
            self.ask_to_lead(cx);
        }
    }

    fn ask_to_lead(&mut self, cx: &mut Context<'_, T>) {
        self.asked_to_lead = cx.now;
        if let Some(endpoint) = self.endpoint.clone() {
            cx.outputs.push_back(Output::Lead { link: self.id, endpoint });
        }
    }

    /// Shows the others that this link goes on; or takes over from one that does not.
    pub(super) fn ask_again_to_lead(&mut self, cx: &mut Context<'_, T>) {
        if matches!(self.lead, Lead::Leader | Lead::Follower)
            && cx.now.since(self.asked_to_lead) >= board::ASK_AGAIN_EVERY
        {
            self.ask_to_lead(cx);
        }
    }

    pub(crate) fn on_lead(&mut self, cx: &mut Context<'_, T>, granted: bool) {
        match (self.lead, granted) {
            (Lead::Follower, true) => {
                self.lead = Lead::Leader;
                self.is_behind = false;
                self.timers.set_no_later(Timer::Dial, cx.now);
            }
            (Lead::Leader, false) => self.lead = Lead::Follower,
            _ => {}
        }
    }

    /// The process' prober found this. Worth a dial of one's own if it is another server, or if this connection's path is dead.
    pub(crate) fn on_finding(&mut self, cx: &mut Context<'_, T>, finding: &Finding) {
        let is_another = finding.run_id.is_none() || self.run_id() != finding.run_id.as_deref();
        let path_is_dead = matches!(self.mode, Mode::Suspect { retransmitting: true, .. });
        let fits = cx.topology.judge(self.node, finding.role);
        if self.lead == Lead::Follower && fits && (is_another || path_is_dead) {
            self.dial_now(cx);
        }
    }

    /// Ends the part of a prober.
    pub(super) fn resign(&mut self, cx: &mut Context<'_, T>) {
        if matches!(self.lead, Lead::Leader | Lead::Follower)
            && let Some(endpoint) = self.endpoint.clone()
        {
            cx.outputs.push_back(Output::Resign { link: self.id, endpoint });
        }
        self.lead = Lead::None;
    }

    /// Stops dialing and drops every attempt but `keep`.
    pub(super) fn stop_dialing(&mut self, cx: &mut Context<'_, T>, keep: Option<ConnId>) {
        self.resign(cx);
        self.timers.stop(Timer::Dial);
        self.timers.stop(Timer::Attempts);
        for attempt in std::mem::take(&mut self.attempts) {
            if Some(attempt.id) == keep {
                self.attempts.push(attempt);
            } else {
                cx.outputs.push_back(Output::Close { conn: attempt.id, reset: true });
            }
        }
    }

    pub(super) fn on_dial_due(&mut self, cx: &mut Context<'_, T>) {
        if self.attempts.iter().any(Attempt::is_fencing) || !self.may_dial(cx) {
            return;
        }
        if self.waits_for_credentials() {
            self.timers.set(Timer::Dial, cx.now + SPACING);
            return;
        }
        let told = self.told_endpoint(cx.now);
        // Before its node is found there is nothing to dial; then it is told.
        let Some(endpoint) = told.clone().or_else(|| self.endpoint.clone()) else { return };
        if self.attempts.len() >= MOST_ATTEMPTS {
            let oldest = self.attempts.remove(0);
            cx.outputs.push_back(Output::Close { conn: oldest.id, reset: true });
        }
        let id = cx.ids.conn();
        let to = self.endpoint.clone();
        self.attempts.push(Attempt { to, told, ..Attempt::new(id, cx.now) });
        cx.outputs.push_back(Output::Dial { conn: id, endpoint });
        if cx.topology.node(self.node).session.is_none() && cx.keeper.ask(cx.now) {
            cx.ask_credentials(false);
        }
        if self.current.is_some() {
            cx.emit(self, EventKind::Probe { conn: id });
        } else {
            self.backoff.begin(cx.now);
        }
        let silent = |attempt: &&Attempt<T>| {
            let is_silent = attempt.is_shaking() && cx.now.since(attempt.since) >= SILENT_AFTER;
            is_silent && attempt.told.is_none()
        };
        let spacing = if self.is_unhurried() {
            Self::unhurried_spacing()
        } else if self.lead == Lead::Follower {
            SPACING_BEHIND
        } else if self.attempts.iter().filter(silent).count() >= 2 {
            SPACING_WHILE_SILENT
        } else {
            SPACING
        };
        let spacing = cx.rng.around(self.backoff.spacing(cx.now, spacing));
        if !cx.config.custom_retry || self.current.is_some() {
            self.timers.set(Timer::Dial, cx.now + spacing);
        }
        self.timers.set_no_later(Timer::Attempts, cx.now + CONNECT_WITHIN);
    }

    /// Whether this link dials now. Of those in a process that suspect a server, one does; of those that have lost one, all do once, and then one does more often.
    fn may_dial(&mut self, cx: &mut Context<'_, T>) -> bool {
        let reconnects = self.mode == Mode::Dialing && !cx.config.custom_retry;
        let has_dialed = self.backoff.failures() > 0 || !self.attempts.is_empty();
        match self.lead {
            Lead::None => false,
            Lead::Follower if reconnects => {
                self.ask_again_to_lead(cx);
                true
            }
            Lead::Follower => false,
            Lead::Own if reconnects && has_dialed && self.endpoint.is_some() => {
                self.lead = Lead::Follower;
                self.is_behind = true;
                self.timers.set(Timer::Dial, cx.now + cx.rng.around(SPACING_BEHIND));
                self.ask_to_lead(cx);
                false
            }
            Lead::Own | Lead::Leader => true,
        }
    }

    /// How long the last of so many handshakes is given before there is another: longer where others of the process have reconnected, or try to.
    pub(super) fn patience(&self, handshakes: usize) -> Duration {
        let first = if self.is_behind { PATIENCE_BEHIND } else { PATIENCE };
        let doublings = u32::try_from(handshakes.saturating_sub(1)).unwrap_or(u32::MAX).min(4);
        (first * 2_u32.pow(doublings)).min(LONGEST_PATIENCE)
    }

    /// Where a dial has led.
    pub(crate) fn on_peer(&mut self, conn: ConnId, peer: IpAddr) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == conn) {
            attempt.peer = Some(peer);
        }
    }

    pub(crate) fn on_connected(&mut self, cx: &mut Context<'_, T>, conn: ConnId) {
        let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == conn) else {
            return;
        };
        attempt.since = cx.now;
        if cx.is_secured(self.node) {
            attempt.stage = Stage::Connected;
            cx.outputs.push_back(Output::Inspect(conn));
            self.secure_next(cx);
        } else {
            self.start_handshake(cx, conn);
        }
        if self.current.is_none() {
            self.set_state(cx, State::Connect);
        }
        if self.mode == Mode::Dialing && !cx.config.custom_retry {
            let handshakes = self.attempts.iter().filter(|attempt| attempt.is_shaking()).count();
            let patience = cx.rng.around(self.patience(handshakes));
            self.timers.set(Timer::Dial, cx.now + patience);
        }
        // Looked at again when the handshake counts as silent, and at its deadline.
        self.timers.set_no_later(Timer::Attempts, cx.now + ASK_AGAIN_AFTER);
    }

    /// Bytes for a connection that shakes hands.
    pub(crate) fn on_attempt_read(&mut self, cx: &mut Context<'_, T>, id: ConnId, bytes: BytesMut) {
        if self.is_tls_alert(cx, id, &bytes) {
            return self.on_dial_refused(cx, id, PORT_SPEAKS_TLS.to_owned());
        }
        let Some(conn) = self.connection(id) else { return };
        conn.on_read(cx.now, bytes);
        // Once adopted, what follows belongs to requests, of which there are none yet.
        while !self.is_current(id) {
            let Some(conn) = self.connection(id) else { return };
            match conn.next_frame() {
                Ok(Some(frame)) if frame.is_push() => conn.note_early(cx.now, frame),
                Ok(Some(frame)) => self.on_attempt_frame(cx, id, &frame),
                Ok(None) => return,
                Err(error) => {
                    return self.on_attempt_failed(cx, id, &Failure::Answered, error.to_string());
                }
            }
        }
    }

    fn on_attempt_frame(
        &mut self,
        cx: &mut Context<'_, T>,
        id: ConnId,
        frame: &redial_resp::Frame,
    ) {
        let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == id) else {
            return;
        };
        let progress = match &mut attempt.stage {
            Stage::Shaking(shaken) => shaken.handshake.handle(frame),
            Stage::Fencing(_, fence) => {
                if let Some(report) = fence.handle(frame) {
                    self.on_fenced(cx, id, report);
                }
                return;
            }
            Stage::Connecting
            | Stage::Connected
            | Stage::Securing
            | Stage::Unauthenticated(_)
            | Stage::Kept(..) => return,
        };
        match progress {
            Progress::Waiting => {}
            Progress::Write(commands) => {
                if let Some(conn) = attempt.connection() {
                    conn.write_raw(&commands);
                }
            }
            Progress::Refused(refusal) => self.on_refused(cx, id, refusal),
            Progress::Done(survey) => {
                if self.lead == Lead::Leader
                    && let Some(endpoint) = self.endpoint.clone()
                {
                    let finding =
                        Finding { run_id: survey.server.run_id.clone(), role: survey.server.role };
                    cx.outputs.push_back(Output::Publish { endpoint, finding });
                }
                attempt.on_surveyed(cx.now, survey);
                self.on_surveyed(cx, id);
            }
        }
    }

    fn on_refused(&mut self, cx: &mut Context<'_, T>, id: ConnId, refusal: Refusal) {
        let failure = match refusal.kind {
            RefusalKind::Auth | RefusalKind::Session => Failure::Attention(ErrorKind::Auth),
            RefusalKind::Full => Failure::Full,
        };
        self.lead_for_itself(cx);
        let is_told = |attempt: &Attempt<T>| attempt.id == id && attempt.told.is_some();
        let is_told = self.attempts.iter().any(is_told);
        if refusal.kind == RefusalKind::Auth && !is_told && self.ask_anew(cx, id, &refusal) {
            return;
        }
        self.on_attempt_failed(cx, id, &failure, refusal.text);
    }

    /// What refuses this client may serve another; it goes on for itself and lets another lead.
    pub(super) fn lead_for_itself(&mut self, cx: &mut Context<'_, T>) {
        if self.lead == Lead::Leader {
            self.resign(cx);
            self.lead = Lead::Own;
        }
    }

    /// A probe is kept: nothing better is needed as long as it answers.
    pub(super) fn on_kept(&mut self, cx: &mut Context<'_, T>) {
        self.timers.stop(Timer::Dial);
        self.timers.set_no_later(Timer::Attempts, cx.now + ASK_AGAIN_AFTER);
    }

    /// An attempt is of no use: drop it and see when to dial again.
    pub(super) fn on_attempt_failed(
        &mut self,
        cx: &mut Context<'_, T>,
        id: ConnId,
        failure: &Failure,
        mut text: String,
    ) {
        let Some(at) = self.attempts.iter().position(|attempt| attempt.id == id) else { return };
        let attempt = self.attempts.remove(at);
        if attempt.is_fencing() {
            self.on_fence_failed(cx);
        } else if self.mode == (Mode::Moving { to: id }) && self.plan.is_some() {
            self.stay(cx);
        } else if self.mode == (Mode::Moving { to: id }) {
            // The old server does not lead any more, so there is no way back to it.
            self.mode = Mode::Demoted;
            self.dial_now(cx);
        }
        cx.outputs.push_back(Output::Close { conn: id, reset: true });
        let failure = match &attempt.told {
            Some(told) => {
                // Says nothing of the configuration, nor of the configured endpoint.
                text = format!("at {told}, where the server says to go: {text}");
                &Failure::Answered
            }
            None => failure,
        };
        let (needs_attention, kind) = match failure {
            Failure::Attention(kind) => (true, *kind),
            Failure::NoCredentials => (false, ErrorKind::Auth),
            _ => (false, ErrorKind::Unreachable),
        };
        let cause = text.clone();
        if self.current.is_none() {
            self.on_questions_lost(cx, &text);
        }
        cx.emit(self, EventKind::DialFailed { conn: id, cause, needs_attention, kind });
        if attempt.told.is_none() {
            self.cause = Some(text);
        }
        if self.current.is_none() {
            self.set_state(cx, State::Reconnecting);
        }
        if cx.is_secured(self.node) {
            self.secure_next(cx);
        }
        self.plan_next_dial(cx, failure);
    }

    fn plan_next_dial(&mut self, cx: &mut Context<'_, T>, failure: &Failure) {
        if self.is_unhurried() {
            let spacing = cx.rng.around(Self::unhurried_spacing());
            return self.timers.set(Timer::Dial, cx.now + spacing);
        }
        let pause = self.backoff.on_failure(cx.now, cx.rng);
        let pause = match failure {
            Failure::Unanswered if !cx.config.custom_retry => {
                self.timers.set_no_later(Timer::Dial, cx.now + pause);
                return self.check_retries(cx);
            }
            Failure::Unanswered | Failure::Answered if self.lead == Lead::Follower => {
                cx.rng.around(SPACING_BEHIND)
            }
            Failure::Unanswered | Failure::Answered => pause,
            Failure::Attention(_) | Failure::NoCredentials => cx.rng.around(PAUSE_FOR_ATTENTION),
            Failure::Full => cx.rng.between(PAUSE_FOR_ATTENTION / 2, PAUSE_FOR_ATTENTION),
        };
        if cx.config.custom_retry && self.current.is_none() {
            // Attempts still under way may yet succeed; without one the user decides when the next is made.
            self.timers.stop(Timer::Dial);
            if self.attempts.is_empty() {
                let cause = self.cause.clone().unwrap_or_default();
                cx.outputs.push_back(Output::AskRetry {
                    link: self.id,
                    attempt: self.backoff.failures(),
                    cause,
                });
            }
        } else {
            self.timers.set(Timer::Dial, cx.now + pause);
        }
        self.check_retries(cx);
    }

    fn check_retries(&mut self, cx: &mut Context<'_, T>) {
        let Some(most) = cx.config.max_retries_per_request else { return };
        if self.current.is_none()
            && self.backoff.failures().checked_rem(most.saturating_add(1)) == Some(0)
        {
            let text = format!(
                "{} dials in a row have failed (max_retries_per_request = {most}){}",
                self.backoff.failures(),
                self.why()
            );
            self.fail_queue(cx, ErrorKind::MaxRetries, &text);
        }
    }

    /// The user's retry strategy has answered.
    pub(crate) fn on_retry(&mut self, cx: &mut Context<'_, T>, pause: Duration) {
        if self.mode == Mode::Dialing && self.attempts.is_empty() {
            self.timers.set(Timer::Dial, cx.now + pause);
        }
    }

    /// Gives up what has taken too long, and asks kept probes again.
    pub(super) fn on_attempts_due(&mut self, cx: &mut Context<'_, T>) {
        let shake_within = cx.config.liveness.condemn_after;
        let mut overdue = Vec::new();
        for attempt in &self.attempts {
            let age = cx.now.since(attempt.since);
            let text = match &attempt.stage {
                Stage::Connecting if age >= CONNECT_WITHIN => "no TCP connection within 1 s",
                Stage::Connected | Stage::Securing if age >= shake_within => TLS_UNANSWERED,
                Stage::Shaking(_) if age >= shake_within => {
                    "connected, but the handshake was not answered"
                }
                Stage::Fencing(..) if age >= FENCE_WITHIN => {
                    "connected, but the fence was not answered"
                }
                _ => continue,
            };
            overdue.push((attempt.id, text));
        }
        for (id, text) in overdue {
            self.on_attempt_failed(cx, id, &Failure::Unanswered, text.to_owned());
        }
        self.on_credentials(cx);
        if cx.is_secured(self.node) {
            self.ask_silent(cx);
            self.secure_next(cx);
        }
        for attempt in std::mem::take(&mut self.attempts) {
            let due = attempt.is_kept() && cx.now.since(attempt.since) >= ASK_AGAIN_AFTER;
            self.attempts.push(if due { attempt.ask_again(cx.now) } else { attempt });
        }
        let sees = |attempt: &Attempt<T>| attempt.is_kept() || attempt.is_asked_again(cx.now);
        let lost_sight = !self.attempts.iter().any(sees);
        let is_asked = cx.config.custom_retry && self.current.is_none();
        if lost_sight && !is_asked && !self.timers.is_set(Timer::Dial) {
            self.timers.set(Timer::Dial, cx.now);
        }
        if let Some(next) = self.next_attempt_deadline(cx.now, shake_within) {
            self.timers.set_no_later(Timer::Attempts, next);
        }
    }

    fn next_attempt_deadline(&self, now: Time, shake_within: Duration) -> Option<Time> {
        let deadline = |attempt: &Attempt<T>| match &attempt.stage {
            Stage::Connecting => attempt.since + CONNECT_WITHIN,
            Stage::Connected | Stage::Securing => self.next_look_at_tls(now, attempt, shake_within),
            Stage::Unauthenticated(until) => *until,
            Stage::Kept(..) => attempt.since + ASK_AGAIN_AFTER,
            Stage::Shaking(shaken) if shaken.again && now < attempt.since + ASK_AGAIN_AFTER => {
                attempt.since + ASK_AGAIN_AFTER
            }
            Stage::Shaking(_) => attempt.since + shake_within,
            Stage::Fencing(..) => attempt.since + FENCE_WITHIN,
        };
        self.attempts.iter().map(deadline).min()
    }
}
