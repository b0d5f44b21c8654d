//! What comes back on the connection in use: each frame to the request it answers.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::BytesMut;
use redial_resp::{Frame, Value};

use super::context::{Context, Notice};
use super::detours::Why;
use super::hold::OnRefusal;
use super::subscriptions::Heard;
use super::timers::Timer;
use super::transactions::Gathered;
use super::{Link, Mode, Purpose};
use crate::command::Class;
use crate::conclude::{self, OnReply, RejectionCause};
use crate::connection::backlog::{Entry, Owner};
use crate::connection::handshake::{OldListed, old_listed};
use crate::delivery::{Delivery, Resend};
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, Suspicion};
use crate::output::Output;

/// Before what a server refuses for one slot is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// A settled request.
type Answer<T> = (T, Result<Frame, Error>);

impl<T: Copy + Default> Link<T> {
    /// Bytes from the connection in use; the frames in them are then asked for with [`Self::poll_answer`].
    pub(crate) fn on_read(&mut self, cx: &mut Context<'_, T>, bytes: BytesMut) {
        // What broke the protocol while its fence is under way is not read any further.
        let Some(conn) = self.current.as_mut().filter(|conn| !conn.is_closed) else { return };
        let silence = conn.silence(cx.now).unwrap_or_default();
        conn.on_read(cx.now, bytes);
        if matches!(self.mode, Mode::Suspect { .. }) {
            self.on_spoke(cx, silence);
        }
    }

    /// Hands over the run of ordinary answers that stands first in what was read: what [`Self::poll_answer`] would give one by one, without
    /// asking of each what holds for all of them.
    #[inline]
    pub(crate) fn drain_plain(&mut self, each: &mut impl FnMut(T, Result<Frame, Error>)) {
        let has_own_ways = matches!(self.purpose, Purpose::Subscriber | Purpose::Monitor);
        if has_own_ways || self.hold.is_relevant() || self.durable.is_some() {
            return;
        }
        let Some(conn) = &mut self.current else { return };
        while let Some((token, frame)) = conn.next_plain() {
            each(token, Ok(frame));
        }
    }

    /// The next request that what was read settles.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_, T>) -> Option<Answer<T>> {
        loop {
            match self.current.as_mut()?.next_frame() {
                Ok(Some(frame)) => {
                    if let Some(answer) = self.on_frame(cx, frame) {
                        return Some(answer);
                    }
                }
                Ok(None) => {
                    self.on_read_finished(cx);
                    return None;
                }
                Err(error) => {
                    self.lose(cx, &error.to_string(), true);
                    return None;
                }
            }
        }
    }

    pub(super) fn on_frame(&mut self, cx: &mut Context<'_, T>, frame: Frame) -> Option<Answer<T>> {
        if self.purpose == Purpose::Monitor && is_monitor_line(&frame) {
            cx.outputs.push_back(Output::Push { link: self.known_as(), frame });
            return None;
        }
        if frame.is_push() || self.purpose == Purpose::Subscriber {
            match self.subscriptions.handle(&frame) {
                Heard::Reply => {}
                Heard::Maintenance => {
                    self.on_maintenance(cx, &frame);
                    return None;
                }
                Heard::Azure => {
                    self.on_azure_message(cx, &frame);
                    cx.outputs.push_back(Output::Push { link: self.id, frame });
                    return None;
                }
                Heard::Message if self.purpose == Purpose::Discovery => {
                    cx.notices.push(Notice::Heard { node: self.node, frame });
                    return None;
                }
                Heard::Message => {
                    cx.outputs.push_back(Output::Push { link: self.known_as(), frame });
                    return None;
                }
                Heard::Confirmed => {
                    self.current.as_mut()?.in_flight.pop_front();
                    self.on_subscription_reply(cx, &frame);
                    return None;
                }
                Heard::Withdrawn(topic) => {
                    self.on_withdrawn(cx, topic);
                    return None;
                }
            }
        }
        let conn = self.current.as_mut()?;
        let from = conn.in_flight.first_offset();
        let oldest = conn.in_flight.front().filter(|oldest| oldest.end <= conn.untaken());
        let Some(entry) = oldest.copied() else {
            self.lose(cx, "the server answered more than it was asked", true);
            return None;
        };
        if entry.meta.class.is(Class::ASKING) && !std::mem::replace(&mut self.asked, true) {
            return None;
        }
        if entry.meta.class.is(Class::TRANSACTION) {
            return self.on_transaction_frame(cx, entry, from, frame);
        }
        self.asked = false;
        conn.in_flight.pop_front();
        self.on_reply(cx, entry, from, frame)
    }

    /// One of the replies of MULTI … EXEC.
    fn on_transaction_frame(
        &mut self,
        cx: &mut Context<'_, T>,
        entry: Entry<T>,
        from: u64,
        frame: Frame,
    ) -> Option<Answer<T>> {
        let gathered = self.transactions.gather(entry.seq, frame);
        if !matches!(gathered, Gathered::Incomplete) {
            self.asked = false;
            self.current.as_mut()?.in_flight.pop_front();
        }
        match gathered {
            Gathered::Incomplete => None,
            Gathered::Reply(frame) => self.on_reply(cx, entry, from, frame),
            Gathered::Unprotected(text) => {
                let text = format!(
                    "MULTI was refused, so its commands ran one by one, outside of a transaction: {text}"
                );
                self.fail(&entry, Error::new(ErrorKind::Rejected, Delivery::Unknown, text))
            }
        }
    }

    #[inline]
    fn on_reply(
        &mut self,
        cx: &mut Context<'_, T>,
        entry: Entry<T>,
        from: u64,
        frame: Frame,
    ) -> Option<Answer<T>> {
        if frame.error().is_some() {
            return self.on_error_frame(cx, entry, from, frame);
        }
        if self.hold.is_relevant() {
            let is_write = !entry.meta.class.is(Class::READ);
            self.on_served(entry.seq, is_write);
        }
        self.deliver(cx, &entry, frame)
    }

    #[inline]
    fn deliver(
        &mut self,
        cx: &mut Context<'_, T>,
        entry: &Entry<T>,
        frame: Frame,
    ) -> Option<Answer<T>> {
        if entry.meta.owner == Owner::Caller {
            return self.hold_reply(entry, frame).map(|frame| (entry.token, Ok(frame)));
        }
        self.on_own_reply(cx, entry.meta.owner, &frame);
        None
    }

    /// The server ran a request: what is held for a scout may follow.
    fn on_served(&mut self, seq: NonZeroU64, is_write: bool) {
        if self.hold.on_success(seq, is_write) {
            self.timers.stop(Timer::Hold);
        }
    }

    /// The reply of a request that the link sent for itself, or that nobody waits for.
    fn on_own_reply(&mut self, cx: &mut Context<'_, T>, owner: Owner, frame: &Frame) {
        match owner {
            Owner::Inquiry => {
                let gone = old_listed(frame) == OldListed::Gone;
                let asked = self.inquiries.pop_front();
                cx.notices.extend(asked.map(|(link, client_id)| Notice::Answered {
                    link,
                    client_id,
                    gone,
                }));
            }
            Owner::Subscription => self.on_subscription_reply(cx, frame),
            Owner::Wait => self.on_confirmation(cx, frame),
            Owner::Question => self.on_question_answered(cx, frame),
            Owner::Auth => {
                let refusal = frame.error().map(|error| error.to_string());
                self.on_authenticated(cx, refusal);
            }
            Owner::Caller | Owner::Nobody | Owner::Ping => {}
        }
    }

    fn on_error_frame(
        &mut self,
        cx: &mut Context<'_, T>,
        entry: Entry<T>,
        from: u64,
        frame: Frame,
    ) -> Option<Answer<T>> {
        let judged = conclude::on_error_reply(entry.meta.class, entry.meta.resend, &frame);
        if let OnReply::SendAgain(RejectionCause::ClusterDown)
        | OnReply::Refused(RejectionCause::ClusterDown) = judged
        {
            cx.notices.push(Notice::Down);
        }
        let cause = match judged.clone() {
            // A replica that was asked for is no demoted primary.
            OnReply::SendAgain(RejectionCause::ReadOnly)
                if !cx.topology.wants_primary(self.node) =>
            {
                None
            }
            OnReply::Redirect(to) if self.sends_on(cx, &entry) => {
                return self.send_on(cx, entry, from, Why::Redirected(to));
            }
            OnReply::Redirect(to) => {
                if !to.is_once {
                    cx.notices.push(Notice::Redirected { node: self.node, to });
                }
                None
            }
            OnReply::Answer => None,
            // What is refused is this slot's, not the node's.
            OnReply::SendAgain(cause)
                if cause.is_of_slot(&message(&frame)) && self.sends_on(cx, &entry) =>
            {
                let waited = entry.accepted.age(cx.now);
                if cause.longest_wait().is_some_and(|longest| waited >= longest) {
                    return self.fail(&entry, rejected(&entry, &frame));
                }
                let again = cx.now + cx.rng.around(PAUSE);
                return self.send_on(cx, entry, from, Why::Later(again));
            }
            OnReply::SendAgain(cause) | OnReply::Refused(cause) | OnReply::Partial(cause) => {
                Some(cause)
            }
        };
        let Some(cause) = cause else {
            self.on_served(entry.seq, false);
            return self.deliver_error(cx, &entry, frame);
        };
        // What is refused for a slot is no reason for others to wait.
        let is_of_slot = cause.is_of_slot(&message(&frame)) && self.has_others(cx);
        if is_of_slot {
            self.on_served(entry.seq, false);
        } else if cause.asks_for_another_server() {
            if matches!(self.mode, Mode::Serving | Mode::Suspect { .. }) {
                self.suspect(cx, Suspicion::Rejection(cause));
            }
        } else if self.wait_for(cx, entry.seq, cause) == OnRefusal::GiveUp {
            let failed = self.fail(&entry, rejected(&entry, &frame));
            return failed.or_else(|| self.deliver_error(cx, &entry, frame));
        }
        match judged {
            OnReply::SendAgain(_) if entry.meta.owner == Owner::Caller => {
                self.send_again(cx, entry, from, &frame)
            }
            OnReply::Partial(_) => {
                let text = frame.error().map(|error| error.to_string()).unwrap_or_default();
                let text =
                    format!("a script stopped half way, and scripts do not roll back: {text}");
                self.fail(&entry, Error::new(ErrorKind::Rejected, Delivery::Unknown, text))
            }
            _ => self.deliver_error(cx, &entry, frame),
        }
    }

    /// An error that answers a write is no more than what became of its last try.
    fn deliver_error(
        &mut self,
        cx: &mut Context<'_, T>,
        entry: &Entry<T>,
        frame: Frame,
    ) -> Option<Answer<T>> {
        let delivery = entry.meta.delivery;
        let is_whole = entry.meta.class.is(Class::READ) || delivery.surely_did_not_run();
        match frame.error() {
            Some(error) if !is_whole && entry.meta.owner == Owner::Caller => {
                self.fail(entry, Error::new(ErrorKind::Server, delivery, error.to_string()))
            }
            _ => self.deliver(cx, entry, frame),
        }
    }

    /// The server refuses for now: requests wait, and one of them will see whether it has passed.
    fn wait_for(
        &mut self,
        cx: &mut Context<'_, T>,
        seq: NonZeroU64,
        cause: RejectionCause,
    ) -> OnRefusal {
        let refusal = self.hold.on_refusal(cx.now, seq, cause);
        match refusal {
            OnRefusal::Wait(until) => {
                cx.emit(self, EventKind::Held(cause));
                self.timers.set(Timer::Hold, until);
            }
            OnRefusal::WaitOn => {}
            OnRefusal::GiveUp if !self.hold.is_active() => self.timers.stop(Timer::Hold),
            OnRefusal::GiveUp => {}
        }
        refusal
    }

    #[expect(clippy::unused_self, reason = "reads as what the link does with the request")]
    fn fail(&self, entry: &Entry<T>, error: Error) -> Option<Answer<T>> {
        (entry.meta.owner == Owner::Caller).then_some((entry.token, Err(error)))
    }

    /// True if there are other nodes that may take the request.
    fn sends_on(&self, cx: &Context<'_, T>, entry: &Entry<T>) -> bool {
        let may_leave = entry.meta.owner == Owner::Caller && entry.meta.resend != Resend::Never;
        may_leave && self.has_others(cx)
    }

    /// True if there are other nodes, and requests may go to them from here.
    fn has_others(&self, cx: &Context<'_, T>) -> bool {
        let may_leave = matches!(self.purpose, Purpose::Shared | Purpose::Blocking)
            || self.purpose.goes_everywhere();
        may_leave && cx.topology.is_partitioned()
    }

    fn send_on(
        &mut self,
        cx: &mut Context<'_, T>,
        mut entry: Entry<T>,
        from: u64,
        why: Why,
    ) -> Option<Answer<T>> {
        // Where it was to see whether others may follow, they may: the server answers.
        self.on_served(entry.seq, false);
        entry.meta.delivery = entry.meta.delivery.or_unknown(Delivery::Rejected);
        self.detour(cx, entry, from, why);
        None
    }

    fn send_again(
        &mut self,
        cx: &mut Context<'_, T>,
        mut entry: Entry<T>,
        from: u64,
        frame: &Frame,
    ) -> Option<Answer<T>> {
        entry.meta.delivery = entry.meta.delivery.or_unknown(Delivery::Rejected);
        if !cx.budget.withdraw() {
            let text = "the server refused the command and the retry budget is spent";
            let text = format!("{text}: {}", rejected(&entry, frame).text());
            return self
                .fail(&entry, Error::new(ErrorKind::RetryBudget, entry.meta.delivery, text));
        }
        let conn = self.current.as_mut()?;
        self.returned.push_from(entry, conn.in_flight.log(), from);
        None
    }

    /// All frames of a read are handled.
    fn on_read_finished(&mut self, cx: &mut Context<'_, T>) {
        if !self.returned.is_empty() {
            let returned = std::mem::take(&mut self.returned);
            self.queue.merge(returned);
        }
        let Some(conn) = &mut self.current else { return };
        conn.finish_read(cx.now);
        self.acked = 0;
        let drained = conn.in_flight.is_empty();
        match self.mode {
            Mode::Moving { to } if drained => {
                self.finish_adopting(cx, to, crate::connection::fence::FenceReport::Silent);
            }
            _ if !self.queue.is_empty() => self.flush(cx),
            _ if drained && self.purpose == Purpose::Blocking => cx.notices.push(Notice::Free),
            _ => {}
        }
    }

    /// The pause after a refusal is over: see with one request whether the cause has passed.
    pub(super) fn on_pause_over(&mut self, cx: &mut Context<'_, T>) {
        if self.mode != Mode::Serving {
            self.hold.reset();
            return;
        }
        let Some(conn) = &mut self.current else { return };
        let under_way = self.hold.scout().filter(|seq| conn.in_flight.contains(*seq));
        // A scout that was taken back before it was written will never tell.
        let scout = under_way.or_else(|| conn.in_flight.append_first(&mut self.queue));
        self.hold.on_pause_over(scout);
        if scout.is_some() {
            self.timers.set(Timer::Hold, cx.now + super::hold::LONGEST_PAUSE);
        }
        if scout.is_none() {
            self.flush(cx);
        }
    }
}

/// Lines of MONITOR are simple strings that begin with the time, in every protocol.
fn is_monitor_line(frame: &Frame) -> bool {
    matches!(frame.value(), Value::Simple(line) if line.first().is_some_and(u8::is_ascii_digit))
}

/// What an error says behind its code.
fn message(frame: &Frame) -> String {
    frame.error().map(|error| error.message().into_owned()).unwrap_or_default()
}

/// The error of a request that the server kept refusing.
fn rejected<T>(entry: &Entry<T>, frame: &Frame) -> Error {
    let text = frame.error().map(|error| error.to_string()).unwrap_or_default();
    let delivery = entry.meta.delivery.or_unknown(Delivery::Rejected);
    Error::new(ErrorKind::Rejected, delivery, text)
}
