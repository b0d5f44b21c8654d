//! TLS as far as it is a matter of time and order: when a dial that has a socket may begin its TLS handshake, and what a port that does not
//! answer one is asked. Cryptography, certificates and their texts are the driver's.
//!
//! A TLS handshake costs the server about a millisecond of its one thread, a TCP connect nothing. So connects are raced and handshakes are not: the
//! next one begins when the last has had time enough.

use std::time::Duration;

use bytes::BytesMut;

use super::attempt::{Attempt, Stage};
use super::context::Context;
use super::dialing::Failure;
use super::timers::Timer;
use super::{Link, Mode};
use crate::error::ErrorKind;
use crate::ids::ConnId;
use crate::output::{Output, TcpInfo};
use crate::time::Time;

/// A TLS handshake of one or two round trips that has not ended after this long, or after four round trips, does not progress.
const NEXT_AFTER: Duration = Duration::from_millis(100);
const NEXT_AFTER_ROUND_TRIPS: u32 = 4;

/// A port that speaks no TLS may wait for the rest of what it takes for a command, and looks like a hung server. After this long it is asked
/// in plain text: once, and never where TLS has worked before.
const ASK_AFTER: Duration = Duration::from_secs(1);

pub(super) const TLS_UNANSWERED: &str = "connected, but the TLS handshake was not answered";
pub(super) const PORT_SPEAKS_TLS: &str = "this port speaks TLS, and it was asked without: use rediss:// (or `Builder::tls`), or the server's plain port";

/// The first byte of a TLS alert, and the major version that follows it. No RESP reply begins so.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

impl<T: Copy + Default> Link<T> {
    /// When the next TLS handshake may begin: when the newest has had its time, the server's first answer included. Where there is no connection to lose, as much as
    /// any other handshake.
    fn next_handshake_at(&self) -> Option<Time> {
        let begun = self.attempts.iter().filter(|attempt| attempt.tls_progress.is_some()).count();
        let least = if self.mode == Mode::Dialing { self.patience(begun) } else { NEXT_AFTER };
        let had_time = |attempt: &Attempt<T>| {
            let patience = least.max(attempt.rtt * NEXT_AFTER_ROUND_TRIPS);
            Some(attempt.tls_progress.filter(|_| attempt.is_shaking())? + patience)
        };
        self.attempts.iter().filter_map(had_time).max()
    }

    /// Begins the TLS handshake of the dial that connected last, if it is time: what answered last leads to where the endpoint leads now.
    pub(super) fn secure_next(&mut self, cx: &mut Context<'_, T>) {
        let at = self.next_handshake_at().unwrap_or(cx.now);
        let is_waiting = |attempt: &&mut Attempt<T>| matches!(attempt.stage, Stage::Connected);
        let Some(attempt) = self.attempts.iter_mut().rev().find(is_waiting) else { return };
        if at <= cx.now {
            attempt.stage = Stage::Securing;
            attempt.tls_progress = Some(cx.now);
            let node = cx.topology.node(self.node);
            let (named, is_directory) =
                (node.tls_name.or(self.endpoint.as_ref()), node.session.is_some());
            let Some(endpoint) = attempt.told.as_ref().or(named).cloned() else { return };
            cx.outputs.push_back(Output::StartTls { conn: attempt.id, endpoint, is_directory });
        } else {
            self.timers.set_no_later(Timer::Attempts, at);
        }
    }

    /// When a dial that has a socket and is not secured is to be looked at again.
    pub(super) fn next_look_at_tls(
        &self,
        now: Time,
        attempt: &Attempt<T>,
        shake_within: Duration,
    ) -> Time {
        let look = match (&attempt.stage, attempt.tls_progress) {
            (Stage::Securing, Some(begun)) if !self.asked_other_way => begun + ASK_AFTER,
            (Stage::Connected, _) => self.next_handshake_at().unwrap_or(now).max(now),
            _ => Time::NEVER,
        };
        look.min(attempt.since + shake_within)
    }

    /// Asks a port that does not answer a TLS handshake in plain text.
    pub(super) fn ask_silent(&mut self, cx: &mut Context<'_, T>) {
        let now = cx.now;
        let is_silent = |attempt: &&Attempt<T>| {
            let waited = attempt.tls_progress.map(|begun| now.since(begun));
            matches!(attempt.stage, Stage::Securing) && waited >= Some(ASK_AFTER)
        };
        if let Some(conn) = self.attempts.iter().find(is_silent).map(|attempt| attempt.id) {
            self.ask_other_way(cx, conn);
        }
    }

    /// Asks a port that closes the connection at HELLO whether it speaks TLS. True if the dial now waits for that.
    pub(super) fn ask_closed(&mut self, cx: &mut Context<'_, T>, conn: ConnId) -> bool {
        let is_unheard = |attempt: &&mut Attempt<T>| {
            let unheard =
                matches!(&attempt.stage, Stage::Shaking(shaken) if !shaken.handshake.has_heard());
            attempt.id == conn && unheard
        };
        if cx.is_secured(self.node) || self.asked_other_way {
            return false;
        }
        let Some(attempt) = self.attempts.iter_mut().find(is_unheard) else { return false };
        attempt.stage = Stage::Connecting;
        attempt.since = cx.now;
        self.ask_other_way(cx, conn);
        true
    }

    fn ask_other_way(&mut self, cx: &mut Context<'_, T>, conn: ConnId) {
        if let Some(endpoint) = self.endpoint.clone().filter(|_| !self.asked_other_way) {
            self.asked_other_way = true;
            let tls = cx.is_secured(self.node);
            cx.outputs.push_back(Output::AskOtherWay { conn, endpoint, tls });
        }
    }

    /// The TLS handshake is through.
    pub(crate) fn on_secured(&mut self, cx: &mut Context<'_, T>, conn: ConnId) {
        let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == conn) else {
            return;
        };
        if matches!(attempt.stage, Stage::Securing) {
            attempt.tls_progress = Some(cx.now);
            self.start_handshake(cx, conn);
        }
    }

    /// TLS can't be agreed until a configuration changes.
    pub(crate) fn on_dial_refused(&mut self, cx: &mut Context<'_, T>, conn: ConnId, text: String) {
        if self.is_current(conn) {
            return self.lose(cx, &text, false);
        }
        self.lead_for_itself(cx);
        self.on_attempt_failed(cx, conn, &Failure::Attention(ErrorKind::Tls), text);
    }

    /// The kernel's view of a socket that has just connected.
    pub(super) fn on_attempt_inspected(
        &mut self,
        cx: &mut Context<'_, T>,
        conn: ConnId,
        info: Option<TcpInfo>,
    ) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == conn) {
            attempt.rtt = info.unwrap_or_default().rtt;
        }
        if let Some(next) = self.next_handshake_at() {
            self.timers.set_no_later(Timer::Attempts, next.max(cx.now));
        }
    }

    /// A server that is asked in plain text on its TLS port answers with an alert.
    pub(super) fn is_tls_alert(&self, cx: &Context<'_, T>, conn: ConnId, bytes: &BytesMut) -> bool {
        let is_first = |attempt: &Attempt<T>| {
            attempt.id == conn && matches!(&attempt.stage, Stage::Shaking(shaken) if !shaken.again)
        };
        !cx.is_secured(self.node)
            && bytes.starts_with(&TLS_ALERT)
            && self.attempts.iter().any(is_first)
    }

    /// For the end of a text: what may be the reason that a server closes a connection that has not been answered yet.
    pub(super) fn hint_at_tls(&self, cx: &Context<'_, T>, conn: ConnId) -> &'static str {
        let first = |attempt: &&Attempt<T>| attempt.id == conn;
        match self.attempts.iter().find(first).map(|attempt| &attempt.stage) {
            Some(Stage::Shaking(shaken)) if shaken.again || shaken.handshake.has_heard() => "",
            Some(Stage::Shaking(_)) if cx.is_secured(self.node) => {
                " before it answered; one that asks for a client certificate does so (`TlsConfig::client_certificate_files`)"
            }
            Some(Stage::Shaking(_)) => {
                " before it answered; if this port speaks TLS, use rediss:// (or `Builder::tls`)"
            }
            _ => "",
        }
    }
}
