//! What comes back on the connection in use: each frame to the request it answers.

use bytes::BytesMut;
use redial_resp::Frame;

use super::context::{Context, Notice};
use super::hold::OnRefusal;
use super::timers::Timer;
use super::{Link, Mode, Purpose};
use crate::conclude::{self, OnReply, RejectionCause};
use crate::config::WantedRole;
use crate::connection::backlog::{Entry, Owner};
use crate::connection::handshake::{OldListed, old_listed};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, Suspicion};
use crate::output::Output;

/// A settled request.
type Answer<T> = (T, Result<Frame, Error>);

impl<T: Copy + Default> Link<T> {
    /// Bytes from the connection in use; the frames in them are then asked for with [`Self::poll_answer`].
    pub(crate) fn on_read(&mut self, cx: &mut Context<'_, T>, bytes: BytesMut) {
        let Some(conn) = &mut self.current else { return };
        let silence = conn.silence(cx.now).unwrap_or_default();
        conn.on_read(cx.now, bytes);
        if matches!(self.mode, Mode::Suspect { .. }) {
            self.on_spoke(cx, silence);
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

    fn on_frame(&mut self, cx: &mut Context<'_, T>, frame: Frame) -> Option<Answer<T>> {
        if frame.is_push() || self.purpose == Purpose::Subscriber {
            match self.subscriptions.handle(&frame) {
                super::subscriptions::Heard::Reply => {}
                super::subscriptions::Heard::Message => {
                    cx.outputs.push_back(Output::Push(frame));
                    return None;
                }
                super::subscriptions::Heard::Confirmed => {
                    self.current.as_mut()?.in_flight.pop_front();
                    cx.outputs.push_back(Output::Push(frame));
                    return None;
                }
            }
        }
        let conn = self.current.as_mut()?;
        let from = conn.in_flight.first_offset();
        let Some(entry) = conn.in_flight.pop_front() else {
            self.lose(cx, "the server answered more than it was asked", true);
            return None;
        };
        if frame.error().is_some() {
            return self.on_error_frame(cx, entry, from, frame);
        }
        if self.hold.is_relevant()
            && self.hold.on_success(entry.seq, !entry.meta.class.is(crate::command::Class::READ))
        {
            self.timers.stop(Timer::Hold);
        }
        self.deliver(cx, &entry, frame)
    }

    fn deliver(
        &mut self,
        cx: &mut Context<'_, T>,
        entry: &Entry<T>,
        frame: Frame,
    ) -> Option<Answer<T>> {
        match entry.meta.owner {
            Owner::Caller => return Some((entry.token, Ok(frame))),
            Owner::Inquiry(link) => {
                let gone = old_listed(&frame) == OldListed::Gone;
                cx.notices.push(Notice::Answered { link, gone });
            }
            Owner::Subscription if frame.error().is_some() => {
                if let Some((kind, channel)) = self.subscriptions.refused() {
                    let text = frame.error().map(|error| error.to_string()).unwrap_or_default();
                    cx.outputs.push_back(Output::SubscriptionRefused { kind, channel, text });
                }
            }
            Owner::Nobody | Owner::Ping | Owner::Subscription => {}
        }
        None
    }

    fn on_error_frame(
        &mut self,
        cx: &mut Context<'_, T>,
        entry: Entry<T>,
        from: u64,
        frame: Frame,
    ) -> Option<Answer<T>> {
        match conclude::on_error_reply(entry.meta.class, entry.meta.resend, &frame) {
            OnReply::Answer => self.deliver(cx, &entry, frame),
            OnReply::Partial => {
                let text = frame.error().map(|error| error.to_string()).unwrap_or_default();
                let text =
                    format!("a script stopped half way, and scripts do not roll back: {text}");
                Some((entry.token, Err(Error::new(ErrorKind::Rejected, Delivery::Unknown, text))))
                    .filter(|_| entry.meta.owner == Owner::Caller)
            }
            // A replica that was asked for is no demoted primary.
            OnReply::SendAgain(RejectionCause::ReadOnly)
                if cx.config.wanted_role == WantedRole::Any =>
            {
                self.deliver(cx, &entry, frame)
            }
            OnReply::SendAgain(cause) => self.on_rejected(cx, entry, from, frame, cause),
        }
    }

    fn on_rejected(
        &mut self,
        cx: &mut Context<'_, T>,
        mut entry: Entry<T>,
        from: u64,
        frame: Frame,
        cause: RejectionCause,
    ) -> Option<Answer<T>> {
        if cause.asks_for_another_server() {
            if matches!(self.mode, Mode::Serving | Mode::Suspect { .. }) {
                self.suspect(cx, Suspicion::Rejection(cause));
            }
        } else if entry.meta.owner == Owner::Caller {
            match self.hold.on_refusal(cx.now, entry.seq, cause) {
                OnRefusal::Wait(until) => {
                    cx.emit(self, EventKind::Held(cause));
                    self.timers.set(Timer::Hold, until);
                }
                OnRefusal::WaitOn => {}
                OnRefusal::GiveUp => {
                    self.timers.stop(Timer::Hold);
                    return Some((entry.token, Err(rejected(&frame))));
                }
            }
        }
        if entry.meta.owner != Owner::Caller {
            return self.deliver(cx, &entry, frame);
        }
        if !cx.budget.withdraw() {
            let text = format!(
                "the server refused the command and the retry budget is spent: {}",
                rejected(&frame).text()
            );
            return Some((
                entry.token,
                Err(Error::new(ErrorKind::RetryBudget, Delivery::Rejected, text)),
            ));
        }
        entry.meta.delivery = Delivery::Rejected;
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
        let scout = conn.in_flight.append_first(&mut self.queue);
        self.hold.on_pause_over(scout);
        if scout.is_none() {
            self.flush(cx);
        }
    }
}

/// The error of a request that the server kept refusing.
fn rejected(frame: &Frame) -> Error {
    let text = frame.error().map(|error| error.to_string()).unwrap_or_default();
    Error::new(ErrorKind::Rejected, Delivery::Rejected, text)
}
