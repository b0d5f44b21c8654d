//! What the core wants of the world: sockets, dials, and those who watch.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use redial_proto::{ConnId, Endpoint, Event, Finding, Input, LinkId, Output, Time};

use super::dial::{Failure, Resolver, dial};
use super::mailbox::State;
use super::other_way;
use super::slots::Token;
use super::socket::{Read, Socket, Stream};
#[cfg(feature = "tls")]
use super::tls::secure;
use crate::credentials::{CredentialsRequest, Provider, Question};
use crate::events::Hub;
use crate::policy::Policy;
#[cfg(feature = "tls")]
use crate::tls::TlsConfig;

/// Reads of one socket in one run; past it other sockets and callers get their turn.
const MOST_READS: usize = 8;

/// A step of a dial. `Ok(None)`: there is nothing to tell.
type Dialing = Pin<Box<dyn Future<Output = Result<Option<Stream>, Failure>> + Send>>;

/// What is to be done once the lock is released.
pub(super) enum Action {
    AskRetry { link: LinkId, attempt: u32, cause: String },
    Lead { link: LinkId, endpoint: Endpoint },
    Resign { link: LinkId, endpoint: Endpoint },
    Publish { endpoint: Endpoint, finding: Finding },
    Event(Event),
}

/// See the module's documentation.
pub(super) struct Io {
    pub(super) hub: Arc<Hub>,
    resolver: Arc<Resolver>,
    #[cfg(feature = "tls")]
    tls: Arc<TlsConfig>,
    /// For connections to those that tell where servers are.
    #[cfg(feature = "tls")]
    directory_tls: Arc<TlsConfig>,
    provider: Option<Provider>,
    question: Option<Question>,
    pub(super) sockets: Vec<Socket>,
    dials: Vec<(ConnId, Dialing)>,
    /// A dial that was never polled has not begun.
    has_new_dials: bool,
}

impl Io {
    pub(super) fn new(hub: Arc<Hub>, policy: &Policy) -> Self {
        Self {
            hub,
            resolver: Arc::default(),
            #[cfg(feature = "tls")]
            tls: Arc::clone(&policy.tls),
            #[cfg(feature = "tls")]
            directory_tls: Arc::clone(policy.directory_tls.as_ref().unwrap_or(&policy.tls)),
            provider: policy.credentials.clone(),
            question: None,
            sockets: Vec::new(),
            dials: Vec::new(),
            has_new_dials: false,
        }
    }

    /// True once after a dial was begun.
    pub(super) const fn take_new_dials(&mut self) -> bool {
        std::mem::replace(&mut self.has_new_dials, false)
    }

    /// Does what the core wants of sockets; what needs more than that is left for after the lock.
    pub(super) fn execute(&mut self, output: Output<Token>, state: &mut State) -> Option<Action> {
        match output {
            // They are dealt with where they come out of the core.
            Output::Answer { .. } | Output::Push { .. } | Output::Subscription { .. } => {}
            Output::Dial { conn, endpoint } => {
                let dial = dial(Arc::clone(&self.resolver), endpoint);
                self.begin(conn, async { dial.await.map(Some) });
            }
            #[cfg(feature = "tls")]
            Output::StartTls { conn, endpoint, is_directory } => {
                let at = self.sockets.iter().position(|socket| socket.conn == conn);
                let stream = at.map(|at| self.sockets.swap_remove(at).into_stream());
                if let Some(Stream::Tcp(stream)) = stream {
                    let tls = if is_directory { &self.directory_tls } else { &self.tls };
                    self.begin(conn, secure(Arc::clone(tls), endpoint, stream));
                }
            }
            #[cfg(not(feature = "tls"))]
            Output::StartTls { .. } => {}
            Output::AskOtherWay { conn, endpoint, tls } => {
                self.begin(conn, other_way::ask(Arc::clone(&self.resolver), endpoint, tls));
            }
            Output::AskCredentials { anew } => {
                let request = CredentialsRequest { anew };
                self.question = self.provider.as_ref().map(|provider| provider.ask(request));
                self.has_new_dials = true;
            }
            Output::Close { conn, reset } => {
                self.dials.retain(|(dialing, _)| *dialing != conn);
                if let Some(at) = self.sockets.iter().position(|socket| socket.conn == conn) {
                    self.sockets.swap_remove(at).close(reset);
                }
            }
            Output::Inspect(conn) => {
                let socket = self.sockets.iter().find(|socket| socket.conn == conn);
                let info = socket.and_then(Socket::tcp_info);
                state.core.handle_input(Time::default(), Input::Inspected(conn, info));
            }
            Output::Event(event) => return Some(Action::Event(event)),
            Output::AskRetry { link, attempt, cause } => {
                return Some(Action::AskRetry { link, attempt, cause });
            }
            Output::Lead { link, endpoint } => return Some(Action::Lead { link, endpoint }),
            Output::Resign { link, endpoint } => return Some(Action::Resign { link, endpoint }),
            Output::Publish { endpoint, finding } => {
                return Some(Action::Publish { endpoint, finding });
            }
        }
        None
    }

    fn begin(
        &mut self,
        conn: ConnId,
        step: impl Future<Output = Result<Option<Stream>, Failure>> + Send + 'static,
    ) {
        self.has_new_dials = true;
        self.dials.push((conn, Box::pin(step)));
    }

    pub(super) fn poll_dials(&mut self, cx: &mut Context<'_>, inputs: &mut Vec<Input>) {
        if let Some(question) = &mut self.question
            && let Poll::Ready(answer) = Pin::new(question).poll(cx)
        {
            self.question = None;
            inputs.push(Input::Granted(answer));
        }
        let mut at = 0;
        while let Some((conn, dialing)) = self.dials.get_mut(at) {
            let Poll::Ready(outcome) = dialing.as_mut().poll(cx) else {
                at += 1;
                continue;
            };
            let conn = *conn;
            drop(self.dials.swap_remove(at));
            match outcome {
                Ok(Some(stream)) => {
                    let is_secured = stream.is_secured();
                    let peer = stream.peer().filter(|_| !is_secured);
                    inputs.extend(peer.map(|peer| Input::Peer(conn, peer)));
                    self.sockets.push(Socket::new(conn, stream));
                    inputs.push(if is_secured {
                        Input::Secured(conn)
                    } else {
                        Input::Connected(conn)
                    });
                }
                Ok(None) => {}
                Err(Failure::Failed(text)) => inputs.push(Input::DialFailed(conn, text)),
                Err(Failure::Refused(text)) => inputs.push(Input::DialRefused(conn, text)),
            }
        }
    }

    pub(super) fn poll_reads(&mut self, cx: &mut Context<'_>, inputs: &mut Vec<Input>) {
        for socket in &mut self.sockets {
            for reads in 0.. {
                if reads == MOST_READS {
                    cx.waker().wake_by_ref();
                    break;
                }
                match socket.poll_read(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Read::Bytes(bytes)) => inputs.push(Input::Read(socket.conn, bytes)),
                    Poll::Ready(Read::End(text)) => {
                        inputs.push(Input::Closed(socket.conn, text));
                        break;
                    }
                    #[cfg(feature = "tls")]
                    Poll::Ready(Read::Refused(text)) => {
                        inputs.push(Input::DialRefused(socket.conn, text));
                        break;
                    }
                }
            }
        }
    }

    /// True if a socket broke.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, inputs: &mut Vec<Input>) -> bool {
        let mut broke = false;
        for socket in self.sockets.iter_mut().filter(|socket| socket.has_outgoing()) {
            let (written, error) = socket.poll_flush(cx);
            if written > 0 {
                inputs.push(Input::Written(socket.conn, written));
            }
            if let Some(error) = error {
                broke = true;
                inputs.push(Input::Closed(socket.conn, Some(error.to_string())));
            }
        }
        broke
    }
}
