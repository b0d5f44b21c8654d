//! One dial, from its start until it is adopted or dropped.

use ::core::net::IpAddr;
use std::time::Duration;

use redial_resp::Command;

use crate::config::Endpoint;
use crate::connection::Connection;
use crate::connection::fence::Fence;
use crate::connection::handshake::{Handshake, Opening, Survey};
use crate::ids::ConnId;
use crate::time::Time;

/// A dial under way.
#[derive(Debug)]
pub(crate) struct Attempt<T> {
    pub(crate) id: ConnId,
    /// When the present stage began.
    pub(crate) since: Time,
    pub(super) dialed: Time,
    pub(super) stage: Stage<T>,
    /// Where its node was when it was dialed.
    pub(super) to: Option<Endpoint>,
    /// Where it leads, if a server said so and it is not the configured endpoint.
    pub(super) told: Option<Endpoint>,
    /// Where it has led, if that is known.
    pub(super) peer: Option<IpAddr>,
    /// The round trip that the kernel measured while connecting; zero where it tells nothing.
    pub(super) rtt: Duration,
    /// When its TLS handshake last made progress: it began, or was through.
    pub(super) tls_progress: Option<Time>,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Stage<T> {
    /// The driver resolves and connects.
    Connecting,
    /// Connected; the TLS handshake has not begun.
    Connected,
    /// The TLS handshake is under way.
    Securing,
    /// Connected, and secured where it has to be; waits for credentials, until then at the longest.
    Unauthenticated(Time),
    /// Connected; the handshake, or a later survey, waits for replies.
    Shaking(Box<Shaken<T>>),
    /// It is known who is there. Kept until there is a reason to adopt or to drop it.
    Kept(Box<Shaken<T>>, Box<Survey>),
    /// It ends the old connection on the server and will then be adopted.
    Fencing(Box<Connection<T>>, Fence),
}

/// A connection and its handshake.
#[derive(Debug)]
pub(super) struct Shaken<T> {
    pub(super) conn: Connection<T>,
    pub(super) handshake: Handshake,
    /// The handshake is through, and this is a further survey.
    pub(super) again: bool,
}

impl<T: Copy> Attempt<T> {
    pub(super) const fn new(id: ConnId, now: Time) -> Self {
        Self {
            id,
            since: now,
            dialed: now,
            stage: Stage::Connecting,
            to: None,
            told: None,
            peer: None,
            rtt: Duration::ZERO,
            tls_progress: None,
        }
    }

    pub(super) fn connection(&mut self) -> Option<&mut Connection<T>> {
        match &mut self.stage {
            Stage::Connecting | Stage::Connected | Stage::Securing | Stage::Unauthenticated(_) => {
                None
            }
            Stage::Shaking(shaken) | Stage::Kept(shaken, _) => Some(&mut shaken.conn),
            Stage::Fencing(conn, _) => Some(conn),
        }
    }

    /// The socket is there, and secured where it has to be: begin the handshake. How long it has taken is counted from the first of both.
    pub(super) fn start_handshake(&mut self, now: Time, opening: Opening, generation: u32) {
        let (handshake, commands) = Handshake::start(opening);
        let mut conn = Connection::new(self.id, now);
        conn.generation = generation;
        conn.write_raw(&commands);
        self.stage = Stage::Shaking(Box::new(Shaken { conn, handshake, again: false }));
    }

    /// It is known who is there.
    pub(super) fn on_surveyed(&mut self, now: Time, survey: Box<Survey>) {
        self.since = now;
        if let Stage::Shaking(mut shaken) = std::mem::replace(&mut self.stage, Stage::Connecting) {
            shaken.conn.server = Some(survey.server.clone());
            self.stage = Stage::Kept(shaken, survey);
        }
    }

    /// Asks a kept probe again who is there.
    pub(super) fn ask_again(self, now: Time) -> Self {
        match self.stage {
            Stage::Kept(mut shaken, _) => {
                let commands: Vec<Command> = shaken.handshake.survey();
                shaken.conn.write_raw(&commands);
                shaken.again = true;
                Self { since: now, stage: Stage::Shaking(shaken), ..self }
            }
            stage => Self { stage, ..self },
        }
    }

    /// It was kept, and its server has not had long to answer again.
    pub(super) fn is_asked_again(&self, now: Time) -> bool {
        matches!(&self.stage, Stage::Shaking(shaken) if shaken.again)
            && now.since(self.since) < super::dialing::ASK_AGAIN_AFTER
    }

    pub(super) const fn is_fencing(&self) -> bool {
        matches!(self.stage, Stage::Fencing(..))
    }

    pub(super) const fn is_kept(&self) -> bool {
        matches!(self.stage, Stage::Kept(..))
    }

    /// Connected, and its server is to say who it is.
    pub(super) const fn is_shaking(&self) -> bool {
        matches!(self.stage, Stage::Connected | Stage::Securing | Stage::Shaking(..))
    }
}
