//! Credentials that change while the link lives: dials that wait for them, and connections that are told of new ones.

use redial_resp::Command;

use super::attempt::Stage;
use super::context::Context;
use super::dialing::Failure;
use super::timers::Timer;
use super::{Link, Mode, Purpose};
use crate::connection::backlog::Owner;
use crate::connection::handshake::{Opening, Refusal};
use crate::credentials::Readiness;
use crate::event::EventKind;
use crate::ids::ConnId;

impl<T: Copy + Default> Link<T> {
    /// Nothing is between the socket and the server any more: shake hands as soon as there are credentials.
    pub(super) fn start_handshake(&mut self, cx: &mut Context<'_, T>, conn: ConnId) {
        let old_id = self.current.as_ref().and_then(|current| current.server.as_ref()?.client_id);
        let peer = self.attempts.iter().find(|attempt| attempt.id == conn).and_then(|a| a.peer);
        let endpoint_type = self.endpoint_type(cx, peer);
        let node = cx.topology.node(self.node);
        let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == conn) else {
            return;
        };
        let readiness = match node.session {
            Some(_) => Readiness::Ready,
            None => cx.keeper.readiness(cx.now, attempt.dialed),
        };
        match readiness {
            Readiness::Ready => {
                let session = node.session.unwrap_or(&cx.config.session).clone();
                let is_read_from = node.is_read_from;
                let opening = Opening { session, old_id, endpoint_type, is_read_from };
                attempt.start_handshake(cx.now, opening, cx.keeper.generation());
            }
            Readiness::Wait(until) => {
                attempt.stage = Stage::Unauthenticated(until);
                self.timers.set_no_later(Timer::Attempts, until);
            }
            Readiness::Failed(text) => {
                self.on_attempt_failed(cx, conn, &Failure::NoCredentials, text);
            }
        }
    }

    /// True if a dial has all but credentials: another one would have no more.
    pub(super) fn waits_for_credentials(&self) -> bool {
        self.attempts.iter().any(|attempt| matches!(attempt.stage, Stage::Unauthenticated(_)))
    }

    /// Credentials have come, or will not, or are no longer waited for: dials go on.
    pub(crate) fn on_credentials(&mut self, cx: &mut Context<'_, T>) {
        let waiting: Vec<ConnId> = self
            .attempts
            .iter()
            .filter(|attempt| matches!(attempt.stage, Stage::Unauthenticated(_)))
            .map(|attempt| attempt.id)
            .collect();
        for conn in waiting {
            self.start_handshake(cx, conn);
        }
        self.authenticate_again(cx);
    }

    /// Tells the server of new credentials, if it knows other ones: a command of our own, behind what is in flight. A transaction is one request, so
    /// this can't come between its parts. Not while the connection is suspect: it is asked again when it is idle, and its successor knows them.
    pub(super) fn authenticate_again(&mut self, cx: &mut Context<'_, T>) {
        let speaks_resp3 = self.speaks_resp3();
        let Some(conn) = self.current.as_mut().filter(|_| self.mode == Mode::Serving) else {
            return;
        };
        let Some(credentials) = &cx.config.session.credentials else { return };
        if cx.topology.node(self.node).session.is_some() {
            return;
        }
        if conn.generation == cx.keeper.generation() {
            return;
        }
        if self.purpose == Purpose::Subscriber && !speaks_resp3 && !self.subscriptions.is_empty() {
            // RESP2 has no AUTH while subscribed. The server would close it when the credentials expire; now is better.
            return self.lose(
                cx,
                "the credentials were renewed, and RESP2 can't say so to a subscriber's server",
                false,
            );
        }
        conn.generation = cx.keeper.generation();
        let mut auth = Command::new("AUTH");
        if let Some(user) = &credentials.username {
            auth.push_arg(user.as_bytes());
        }
        auth.push_arg(credentials.password.as_bytes());
        self.push_own(cx, Owner::Auth, &auth);
    }

    /// The answer to that. A connection stays what it was when its new credentials are refused.
    pub(super) fn on_authenticated(&mut self, cx: &mut Context<'_, T>, refusal: Option<String>) {
        let Some(conn) = self.current.as_ref().map(|conn| conn.id) else { return };
        match refusal {
            None => {
                cx.keeper.on_accepted();
                cx.emit(self, EventKind::Reauthenticated { conn });
            }
            Some(cause) => {
                cx.emit(self, EventKind::CredentialsFailed { cause });
                if cx.keeper.on_refused(cx.now) {
                    cx.ask_credentials(true);
                }
            }
        }
    }

    /// A server refused the credentials of a dial. True if the provider is asked for others, and the next dial is made at once.
    pub(super) fn ask_anew(
        &mut self,
        cx: &mut Context<'_, T>,
        id: ConnId,
        refusal: &Refusal,
    ) -> bool {
        if !cx.keeper.on_refused(cx.now) {
            return false;
        }
        cx.ask_credentials(true);
        self.on_attempt_failed(cx, id, &Failure::Answered, refusal.text.clone());
        if self.timers.is_set(Timer::Dial) {
            self.timers.set(Timer::Dial, cx.now);
        }
        true
    }
}
