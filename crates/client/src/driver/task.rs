//! The driver: one task that owns the sockets of one client and awaits nothing but its own poll.
//!
//! A run reads what is there, hands it to the core under one lock, wakes the callers, and writes once. It decides nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use redial_proto::{ConnId, Endpoint, Finding, Input, LinkId, Output, Time};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Sleep;

use super::dial::{Resolver, dial};
use super::mailbox::{Mailbox, State};
use super::process;
use super::slots::Token;
use super::socket::{Read, Socket, Stream};
use crate::events::Hub;
use crate::retry::RetryStrategy;

/// Reads of one socket in one run; past it other sockets and callers get their turn.
const MOST_READS: usize = 8;

/// Runs of the loop in one poll.
const MOST_ROUNDS: usize = 8;

type Dialing = Pin<Box<dyn Future<Output = Result<Stream, String>> + Send>>;

/// What is to be done once the lock is released.
enum Action {
    AskRetry { link: LinkId, attempt: u32, cause: String },
    Lead { link: LinkId, endpoint: Endpoint },
    Resign { link: LinkId, endpoint: Endpoint },
    Publish { endpoint: Endpoint, finding: Finding },
}

/// See the module's documentation.
pub(crate) struct Driver {
    mailbox: Arc<Mailbox>,
    hub: Arc<Hub>,
    retry: Option<RetryStrategy>,
    resolver: Arc<Resolver>,
    sockets: Vec<Socket>,
    dials: Vec<(ConnId, Dialing)>,
    inputs: Vec<Input>,
    actions: Vec<Action>,
    wakers: Vec<Waker>,
    sleep: Option<Pin<Box<Sleep>>>,
    sleep_until: Time,
    /// On a runtime with several threads callers may be half way through their commands when the driver runs; it lets them finish once, and
    /// writes for all of them.
    yields: bool,
    has_yielded: bool,
}

impl Driver {
    pub(crate) fn new(mailbox: Arc<Mailbox>, hub: Arc<Hub>, retry: Option<RetryStrategy>) -> Self {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        Self {
            mailbox,
            hub,
            retry,
            resolver: Arc::default(),
            sockets: Vec::new(),
            dials: Vec::new(),
            inputs: Vec::new(),
            actions: Vec::new(),
            wakers: Vec::new(),
            sleep: None,
            sleep_until: Time::NEVER,
            yields: flavor.is_ok_and(|flavor| flavor != RuntimeFlavor::CurrentThread),
            has_yielded: false,
        }
    }

    fn poll_dials(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while let Some((conn, dialing)) = self.dials.get_mut(at) {
            let Poll::Ready(outcome) = dialing.as_mut().poll(cx) else {
                at += 1;
                continue;
            };
            let conn = *conn;
            drop(self.dials.swap_remove(at));
            match outcome {
                Ok(stream) => {
                    self.sockets.push(Socket::new(conn, stream));
                    self.inputs.push(Input::Connected(conn));
                }
                Err(text) => self.inputs.push(Input::DialFailed(conn, text)),
            }
        }
    }

    fn poll_reads(&mut self, cx: &mut Context<'_>) {
        for socket in &mut self.sockets {
            for reads in 0.. {
                if reads == MOST_READS {
                    cx.waker().wake_by_ref();
                    break;
                }
                match socket.poll_read(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Read::Bytes(bytes)) => {
                        self.inputs.push(Input::Read(socket.conn, bytes))
                    }
                    Poll::Ready(Read::End(text)) => {
                        self.inputs.push(Input::Closed(socket.conn, text));
                        break;
                    }
                }
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        let mut broke = false;
        for socket in self.sockets.iter_mut().filter(|socket| socket.has_outgoing()) {
            match socket.poll_flush(cx) {
                Ok(0) => {}
                Ok(written) => self.inputs.push(Input::Written(socket.conn, written)),
                Err(error) => {
                    broke = true;
                    self.inputs.push(Input::Closed(socket.conn, Some(error.to_string())));
                }
            }
        }
        broke
    }

    /// Under the lock: everything that happened goes into the core, everything that it wants comes out. `None` if no handle is left.
    fn turn(&mut self, waker: &Waker) -> Option<Time> {
        let mailbox = Arc::clone(&self.mailbox);
        let mut guard = mailbox.lock();
        let state = &mut *guard;
        state.on_driver(waker);
        let now = mailbox.now();
        state.core.set_now(now);
        for input in self.inputs.drain(..) {
            state.core.handle_input(now, input);
        }
        if state.is_abandoned {
            state.core.handle_input(now, Input::Disconnect);
        } else if state.core.poll_timeout() <= now {
            state.core.handle_input(now, Input::Tick);
        }
        drain(state, &mut self.wakers, |output, state| {
            self.actions.extend(execute(
                output,
                state,
                &mut self.sockets,
                &mut self.dials,
                &self.resolver,
                &self.hub,
            ));
        });
        for socket in &mut self.sockets {
            if socket.has_lent() {
                // Only now that all its frames are out: what is left is the beginning of the next.
                socket.give_back(state.core.take_buffer(socket.conn));
            }
            state.core.take_writes(socket.conn, |bytes| socket.push(bytes));
        }
        (!state.is_abandoned).then(|| state.core.poll_timeout())
    }

    fn act(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::AskRetry { link, attempt, cause } => {
                    let pause = self.retry.as_ref().and_then(|retry| retry.pause(attempt, &cause));
                    self.inputs.push(Input::Retry(link, pause));
                }
                Action::Lead { link, endpoint } => {
                    let granted = process::join(&self.mailbox, link, &endpoint);
                    self.inputs.push(Input::Lead(link, granted));
                }
                Action::Resign { link, endpoint } => process::leave(&self.mailbox, link, &endpoint),
                Action::Publish { endpoint, finding } => process::publish(&endpoint, &finding),
            }
        }
    }

    /// Sees to it that the driver runs again at `timeout`. True if that is now.
    fn poll_sleep(&mut self, cx: &mut Context<'_>, timeout: Time) -> bool {
        let Some(deadline) = self.mailbox.instant(timeout).filter(|_| timeout != Time::NEVER)
        else {
            self.sleep = None;
            return false;
        };
        match &mut self.sleep {
            Some(sleep) if self.sleep_until == timeout => sleep.as_mut().poll(cx).is_ready(),
            Some(sleep) => {
                self.sleep_until = timeout;
                sleep.as_mut().reset(deadline.into());
                sleep.as_mut().poll(cx).is_ready()
            }
            None => {
                self.sleep_until = timeout;
                self.sleep
                    .insert(Box::pin(tokio::time::sleep_until(deadline.into())))
                    .as_mut()
                    .poll(cx)
                    .is_ready()
            }
        }
    }
}

/// Takes everything out of the core; answers go to their places, the rest to `other`.
fn drain(
    state: &mut State,
    wakers: &mut Vec<Waker>,
    mut other: impl FnMut(Output<Token>, &mut State),
) {
    while let Some(output) = state.core.poll_output() {
        match output {
            Output::Answer { token, reply } => wakers.extend(state.slots.settle(token, reply)),
            output => other(output, state),
        }
    }
}

/// Does what the core wants of sockets; what needs more than that is left for after the lock.
fn execute(
    output: Output<Token>,
    state: &mut State,
    sockets: &mut Vec<Socket>,
    dials: &mut Vec<(ConnId, Dialing)>,
    resolver: &Arc<Resolver>,
    hub: &Hub,
) -> Option<Action> {
    match output {
        Output::Answer { .. } => {}
        Output::Dial { conn, endpoint } => {
            dials.push((conn, Box::pin(dial(Arc::clone(resolver), endpoint))))
        }
        Output::Close { conn, reset } => {
            dials.retain(|(dialing, _)| *dialing != conn);
            if let Some(at) = sockets.iter().position(|socket| socket.conn == conn) {
                sockets.swap_remove(at).close(reset);
            }
        }
        Output::Inspect(conn) => {
            let info = sockets.iter().find(|socket| socket.conn == conn).and_then(Socket::tcp_info);
            state.core.handle_input(Time::default(), Input::Inspected(conn, info));
        }
        Output::Push(frame) => hub.on_push(&frame),
        Output::SubscriptionRefused { kind, channel, text } => hub.on_refused(kind, channel, text),
        Output::Event(event) => hub.on_event(event),
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

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for round in 0.. {
            this.poll_dials(cx);
            this.poll_reads(cx);
            let timeout = this.turn(cx.waker());
            for waker in this.wakers.drain(..) {
                waker.wake();
            }
            this.act();
            let Some(timeout) = timeout else { return Poll::Ready(()) };
            let mut again = !this.inputs.is_empty() || !this.dials.is_empty() && round == 0;
            if this.sockets.iter().any(Socket::has_outgoing) {
                if this.yields && !this.has_yielded {
                    this.has_yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                again |= this.poll_flush(cx);
            }
            this.has_yielded = false;
            again |= this.poll_sleep(cx, timeout);
            if !again {
                return Poll::Pending;
            }
            if round == MOST_ROUNDS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    /// The runtime may go before the handles do: nobody is left waiting.
    fn drop(&mut self) {
        let mailbox = Arc::clone(&self.mailbox);
        {
            let mut state = mailbox.lock();
            state.is_abandoned = true;
            state.core.handle_input(mailbox.now(), Input::Disconnect);
            drain(&mut state, &mut self.wakers, |output, _| {
                if let Output::Event(event) = output {
                    self.hub.on_event(event);
                }
            });
        }
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        process::forget(&mailbox);
    }
}
