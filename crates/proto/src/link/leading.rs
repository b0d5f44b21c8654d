//! The node's place changes: a failover that the topology knows of, or a node that is given up. Whether whoever is at the new place may be used is judged
//! as for any other probe.

use super::context::Context;
use super::detours::Detour;
use super::{Link, Mode, Purpose};
use crate::config::Endpoint;
use crate::event::{EventKind, Suspicion};

impl<T: Copy + Default> Link<T> {
    /// The node is reached here from now on.
    pub(crate) fn lead_to(&mut self, cx: &mut Context<'_, T>, endpoint: &Endpoint) {
        if self.endpoint.as_ref() == Some(endpoint) {
            return;
        }
        self.resign(cx);
        self.endpoint = Some(endpoint.clone());
        self.asked_other_way = false;
        match self.mode {
            Mode::Dialing | Mode::Suspect { .. } | Mode::Demoted => {
                self.stop_dialing(cx, None);
                self.backoff.reset();
                self.cause = None;
                self.dial_now(cx);
            }
            Mode::Serving => self.go_where_it_leads(cx),
            // Nothing is dialed; or the end of a move comes first.
            Mode::Ended | Mode::Moving { .. } | Mode::Fencing { .. } => {}
        }
    }

    /// Leaves a server whose place is not the node's any more. Links for one caller, and those that listen, go where the shared one went.
    pub(super) fn go_where_it_leads(&mut self, cx: &mut Context<'_, T>) {
        let moves = matches!(self.purpose, Purpose::Shared | Purpose::Durable);
        if moves && self.mode == Mode::Serving && self.has_been_led() {
            self.suspect(cx, Suspicion::Moved);
        }
    }

    /// True if the connection is to where the node was.
    pub(super) fn has_been_led(&self) -> bool {
        self.current.is_some() && self.served_from != self.endpoint
    }

    /// The place that is dialed, in words.
    pub(super) fn place(&self) -> String {
        self.endpoint.as_ref().map_or_else(|| "its server".to_owned(), Endpoint::to_string)
    }

    /// Nobody knows where the node is: for errors of what waits.
    pub(crate) fn on_unfound(&mut self, cx: &mut Context<'_, T>, text: String) {
        cx.emit(self, EventKind::Unfound { cause: text.clone() });
        self.cause = Some(text);
    }

    /// The node takes nothing any more. Gives what waits; what is in flight finishes.
    pub(crate) fn dissolve(&mut self) -> Vec<Detour<T>> {
        self.is_dissolving = true;
        self.take_waiting()
    }

    pub(crate) const fn is_dissolving(&self) -> bool {
        self.is_dissolving
    }
}
