//! What a link does with a hint: it asks its endpoint, or prepares to leave. What a hint is worth is said in [`crate::hint`]; what a probe finds is
//! judged in [`super::judge`], so that a hint that is wrong costs some dials and nothing else.

use ::core::net::IpAddr;
use std::time::Duration;

use redial_resp::{Frame, Value};

use super::attempt::Stage;
use super::context::{Context, Notice};
use super::judge::{Found, Identity, Old, Verdict, judge};
use super::timers::Timer;
use super::{Lead, Link, Mode, Purpose};
use crate::config::Endpoint;
use crate::connection::fence::FenceReport;
use crate::connection::identity::Server;
use crate::event::EventKind;
use crate::hint::{Advice, Announced, Maintenance, News, parse_message, parse_push};
use crate::ids::ConnId;
use crate::time::Time;

/// While the connection serves, nobody waits for a dial.
const SPACING: Duration = Duration::from_millis(500);

/// All clients hear of it at once, and a TLS handshake costs the server a millisecond.
const SPREAD: Duration = Duration::from_millis(200);

/// An endpoint that should lead elsewhere by now is asked for so long: Azure's load balancer needs up to 15 s.
const ASK_FOR: Duration = Duration::from_secs(15);

/// A move is tried for so long: a dial needs its second, and nobody leaves for half a minute.
const MOVE_WITHIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// A server that sends every new connection away again is obeyed this often.
const MOVES_APART: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// To know who is behind the endpoint.
    Ask,
    /// To be gone before the endpoint is.
    Leave,
}

/// What a link means to do while its connection serves.
#[derive(Debug)]
pub(super) struct Plan {
    aim: Aim,
    /// Where the server says to go; tried beside the configured endpoint.
    to: Option<Endpoint>,
    begins: Time,
    until: Time,
    dials: u32,
}

impl<T: Copy + Default> Link<T> {
    /// A maintenance push.
    pub(super) fn on_maintenance(&mut self, cx: &mut Context<'_, T>, frame: &Frame) {
        match parse_push(frame) {
            Ok(announced) => self.on_hint(cx, announced),
            Err(cause) => self.ignore_hint(cx, cause),
        }
    }

    /// A message on Azure's channel.
    pub(super) fn on_azure_message(&mut self, cx: &mut Context<'_, T>, frame: &Frame) {
        let (Value::Push(items) | Value::Array(items)) = frame.value() else { return };
        let Some(Value::Bulk(payload) | Value::Simple(payload)) = items.into_iter().nth(2) else {
            return self.ignore_hint(cx, "AzureRedisEvents: a message without text".to_owned());
        };
        match parse_message(payload) {
            Ok(event) => {
                self.on_hint(cx, Announced { seq: None, what: Maintenance::Azure(event) });
            }
            Err(cause) => self.ignore_hint(cx, cause),
        }
    }

    fn ignore_hint(&mut self, cx: &mut Context<'_, T>, cause: String) {
        if cx.hints.admit(cx.now) {
            cx.emit(self, EventKind::HintIgnored { cause });
        }
    }

    fn on_hint(&mut self, cx: &mut Context<'_, T>, hint: Announced) {
        let news = cx.hints.note(cx.now, self.id, &hint);
        let advice = hint.what.advice();
        if news == News::New {
            cx.emit(self, EventKind::Maintenance(Box::new(hint.what)));
        }
        match (advice, news) {
            (_, News::Old) | (Advice::Tell, _) => {}
            // Each connection has to move by itself.
            (Advice::Leave { within, to }, _) => self.plan_to_leave(cx, within, to),
            (advice, News::New) => cx.notices.push(Notice::Hint(advice)),
            (_, News::HeardElsewhere) => {}
        }
    }

    /// Links that can be moved without anybody's noticing. A blocked command can't be carried over, nor a transaction's state, and a subscriber goes where
    /// the shared link went.
    pub(crate) const fn moves_at_a_hint(&self) -> bool {
        matches!(self.purpose, Purpose::Shared | Purpose::Durable)
    }

    /// Asks the endpoint after this long who is there, unless the link is about to find out in any case.
    pub(crate) fn plan_to_ask(&mut self, cx: &mut Context<'_, T>, after: Duration) {
        let begins = cx.now + after + cx.rng.between(Duration::ZERO, SPREAD);
        let is_sooner = self
            .plan
            .as_ref()
            .is_none_or(|plan| plan.aim == Aim::Ask && plan.begins > begins.max(cx.now));
        if self.mode == Mode::Serving && is_sooner {
            let until = begins + ASK_FOR;
            self.plan = Some(Plan { aim: Aim::Ask, to: None, begins, until, dials: 0 });
            self.timers.set(Timer::Plan, begins);
        }
    }

    fn plan_to_leave(&mut self, cx: &mut Context<'_, T>, within: Duration, to: Option<Endpoint>) {
        if !self.moves_at_a_hint() || !matches!(self.mode, Mode::Serving | Mode::Suspect { .. }) {
            return;
        }
        // Where no place is named, the configured endpoint leads there by half the time.
        let wait = if to.is_some() { Duration::ZERO } else { within / 2 };
        let begins = cx.now + wait + cx.rng.between(Duration::ZERO, SPREAD.min(within / 8));
        let begins = self.moved_at.map_or(begins, |moved| begins.max(moved + MOVES_APART));
        let (shortest, longest) = MOVE_WITHIN;
        let until = (cx.now + within.max(shortest)).min(begins + longest);
        if begins >= until {
            return;
        }
        self.end_plan(cx);
        self.plan = Some(Plan { aim: Aim::Leave, to, begins, until, dials: 0 });
        self.timers.set(Timer::Plan, begins);
    }

    /// A plan begins, or its time is over.
    pub(super) fn on_plan_due(&mut self, cx: &mut Context<'_, T>) {
        let Some(plan) = &self.plan else { return };
        if cx.now >= plan.until {
            // One that has its new connection waits for what is in flight, and now judges its silence.
            if !matches!(self.mode, Mode::Moving { .. }) {
                self.end_plan(cx);
            }
            return;
        }
        self.timers.set(Timer::Plan, plan.until);
        match (plan.aim, self.mode) {
            (Aim::Ask, Mode::Serving) => self.probe(cx),
            (Aim::Leave, Mode::Serving | Mode::Suspect { .. }) => self.dial_now(cx),
            _ => {}
        }
    }

    /// There is nothing to do about the hint any more.
    pub(super) fn end_plan(&mut self, cx: &mut Context<'_, T>) {
        if self.plan.take().is_some() {
            self.timers.stop(Timer::Plan);
            if self.mode == Mode::Serving {
                self.stop_dialing(cx, None);
            }
        }
    }

    /// The connection is suspect, or gone: whom a hint would ask about is asked about in any case. A place to go to stays worth a dial.
    pub(super) fn end_asking(&mut self, cx: &mut Context<'_, T>) {
        if self.plan.as_ref().is_some_and(|plan| plan.aim == Aim::Ask) {
            self.end_plan(cx);
        }
    }

    /// True if dials are made for a plan, and nobody waits for them.
    pub(super) fn is_unhurried(&self) -> bool {
        self.plan.is_some() && self.mode == Mode::Serving
    }

    /// A dial while the connection serves.
    pub(super) const fn unhurried_spacing() -> Duration {
        SPACING
    }

    /// The connection serves again after it was suspect, or after its successor was lost: a plan to leave goes on.
    pub(super) fn go_on_leaving(&mut self, cx: &mut Context<'_, T>) {
        match &self.plan {
            Some(plan) if cx.now >= plan.until => self.end_plan(cx),
            Some(plan) if cx.now >= plan.begins => {
                self.lead = Lead::Own;
                self.timers.set_no_later(Timer::Dial, cx.now + SPACING);
            }
            _ => {}
        }
    }

    /// The endpoint for the next dial, if it is not the configured one. That comes in turn when half of the time is over, or the connection does not serve; then what
    /// was told gets one dial at a time, since it must not delay what does not depend on it.
    pub(super) fn told_endpoint(&mut self, now: Time) -> Option<Endpoint> {
        let serves = self.mode == Mode::Serving;
        let is_asked = self.attempts.iter().any(|attempt| attempt.told.is_some());
        let plan = self.plan.as_mut().filter(|plan| now >= plan.begins)?;
        let half = plan.begins + plan.until.since(plan.begins) / 2;
        plan.dials = plan.dials.wrapping_add(1);
        let in_turn = plan.dials % 2 == 1;
        let is_its_turn = if serves { now < half || in_turn } else { in_turn && !is_asked };
        plan.to.clone().filter(|_| is_its_turn)
    }

    /// How the connection in use stands, for the table, while it serves.
    pub(super) fn old_by_plan(&self) -> Old {
        match self.plan.as_ref().map(|plan| plan.aim) {
            Some(Aim::Leave) => Old::Leaving,
            Some(Aim::Ask) => Old::Asked,
            None => Old::Speaking,
        }
    }

    /// Whether a server at an address that was only told is one to go to: the same one by another way, or one whose data continues the old one's.
    /// Where a proxy hides who was there, who is there may be hidden too.
    pub(super) fn continues(&self, server: &Server) -> bool {
        let Some(old) =
            self.current.as_ref().and_then(|conn| conn.server.as_ref()).or(self.lost.as_ref())
        else {
            return false;
        };
        let descends = || match (&server.lineage, &old.lineage) {
            (Some(its), Some(mine)) => its.descends_from(mine),
            _ => false,
        };
        match (&old.run_id, &server.run_id) {
            (None, _) => old.lineage.is_none() || descends(),
            (Some(_), None) => false,
            (Some(mine), Some(its)) => mine == its || descends(),
        }
    }

    /// True if the dial `id` has found the server that the connection in use is from.
    pub(super) fn is_same_server(&self, id: ConnId) -> bool {
        self.found_by(id).is_some_and(|found| found.identity == Identity::Same)
    }

    fn found_by(&self, id: ConnId) -> Option<Found> {
        let attempt = self.attempts.iter().find(|attempt| attempt.id == id)?;
        let Stage::Kept(_, survey) = &attempt.stage else { return None };
        let identity = self.identity(&survey.server);
        Some(Found { identity, role_fits: true, pong: survey.pong, old: survey.old })
    }

    /// What is in flight on the connection that is to be left makes no sound. Where the endpoint leads to another server, that decides. Where a server said
    /// that it will go, it has its time; and then it is judged as any that is silent.
    pub(super) fn on_silent_move(
        &mut self,
        cx: &mut Context<'_, T>,
        to: ConnId,
        silence: Duration,
        retransmitting: bool,
    ) {
        let condemn_after = self.condemn_after(cx);
        let verdict = match (&self.plan, self.found_by(to)) {
            (Some(plan), Some(found)) if plan.aim == Aim::Leave => {
                let has_time = cx.now < plan.until && !retransmitting && silence < condemn_after;
                let old = Old::Silent { since: silence, retransmitting };
                if has_time { Verdict::KeepBoth } else { judge(old, found, condemn_after) }
            }
            _ => Verdict::Adopt,
        };
        match verdict {
            Verdict::Adopt => self.finish_adopting(cx, to, FenceReport::Silent),
            Verdict::AdoptFenced => self.fence(cx, to),
            _ => {
                let next = cx.now + cx.rng.around(self.suspect_after(cx) / 2);
                self.timers.set(Timer::Silence, next);
            }
        }
    }

    /// The new connection was lost before the old one was left, which serves as before: a server that only said that it will go is there until it goes.
    pub(super) fn stay(&mut self, cx: &mut Context<'_, T>) {
        self.mode = Mode::Serving;
        self.go_on_leaving(cx);
        self.flush(cx);
        self.watch_silence(cx);
    }

    /// Requests that wait with the client's usual deadline wait longer, as new ones do.
    pub(crate) fn relax_deadlines(&mut self, now: Time, usual: Duration, relaxed: Duration) {
        for backlog in [&mut self.queue, &mut self.returned] {
            backlog.postpone(now, usual, relaxed);
        }
        if let Some(conn) = &mut self.current {
            conn.in_flight.postpone(now, usual, relaxed);
        }
    }

    /// How an address in a `MOVING` should look to be of use here; `None`: the link does not ask for maintenance pushes. With TLS a name, since certificates have
    /// names; by the server's inner network where the dial led into one.
    pub(super) fn endpoint_type(
        &self,
        cx: &Context<'_, T>,
        peer: Option<IpAddr>,
    ) -> Option<&'static str> {
        if !cx.config.maintenance_notifications || !self.moves_at_a_hint() {
            return None;
        }
        let Some(peer) = peer else { return Some("none") };
        Some(match (is_private(peer), cx.is_secured(self.node)) {
            (true, true) => "internal-fqdn",
            (true, false) => "internal-ip",
            (false, true) => "external-fqdn",
            (false, false) => "external-ip",
        })
    }
}

/// RFC 1918, RFC 4193, RFC 6598, loopback and link-local.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_inner_networks_are_known() {
        for inner in [
            "10.1.2.3",
            "192.168.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.9.9",
            "fd00::1",
            "fe80::1",
            "::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(inner.parse().unwrap()), "{inner}");
        }
        for outer in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!is_private(outer.parse().unwrap()), "{outer}");
        }
    }
}
