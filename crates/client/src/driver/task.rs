//! The driver: one task that owns the sockets of one client and awaits nothing but its own poll.
//!
//! A run reads what is there, hands it to the core under one lock, wakes the callers, and writes once. It decides nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use redial_proto::{Input, Output, Time};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Sleep;

use super::io::{Action, Io};
use super::mailbox::Mailbox;
use super::process;
use super::socket::Socket;
use crate::events::Hub;
use crate::policy::Policy;
use crate::retry::RetryStrategy;

/// Runs of the loop in one poll.
const MOST_ROUNDS: usize = 8;

/// See the module's documentation.
pub(crate) struct Driver {
    mailbox: Arc<Mailbox>,
    retry: Option<RetryStrategy>,
    io: Io,
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
    pub(crate) fn new(mailbox: Arc<Mailbox>, hub: Arc<Hub>, policy: Policy) -> Self {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        Self {
            mailbox,
            io: Io::new(hub, &policy),
            retry: policy.retry,
            inputs: Vec::new(),
            actions: Vec::new(),
            wakers: Vec::new(),
            sleep: None,
            sleep_until: Time::NEVER,
            yields: flavor.is_ok_and(|flavor| flavor != RuntimeFlavor::CurrentThread),
            has_yielded: false,
        }
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
            // At once: answers that another socket's input finds waiting take a longer way.
            state.settle_answers(&mut self.wakers);
        }
        if state.is_abandoned {
            state.core.handle_input(now, Input::Disconnect);
        } else if state.core.poll_timeout() <= now {
            state.core.handle_input(now, Input::Tick);
        }
        loop {
            let outputs = state.drain(&mut self.wakers);
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                self.actions.extend(self.io.execute(output, state));
            }
        }
        for socket in &mut self.io.sockets {
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
                // What watches may call back into the client: never under its lock.
                Action::Event(event) => self.io.hub.on_event(event),
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

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for round in 0.. {
            this.io.poll_dials(cx, &mut this.inputs);
            this.io.poll_reads(cx, &mut this.inputs);
            let timeout = this.turn(cx.waker());
            for waker in this.wakers.drain(..) {
                waker.wake();
            }
            this.act();
            let Some(timeout) = timeout else { return Poll::Ready(()) };
            let mut again = !this.inputs.is_empty() | this.io.take_new_dials();
            if this.io.sockets.iter().any(Socket::has_outgoing) {
                if this.yields && !this.has_yielded {
                    this.has_yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                again |= this.io.poll_flush(cx, &mut this.inputs);
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
        let outputs;
        {
            let mut state = mailbox.lock();
            state.is_abandoned = true;
            for input in self.inputs.drain(..) {
                state.core.handle_input(mailbox.now(), input);
            }
            state.core.handle_input(mailbox.now(), Input::Disconnect);
            outputs = state.drain(&mut self.wakers);
        }
        for output in outputs {
            if let Output::Event(event) = output {
                self.io.hub.on_event(event);
            }
        }
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        process::forget(&mailbox);
    }
}
