//! Where callers and the driver meet: the core and the reply places, under one short lock.
//!
//! Callers encode straight into the connection's write buffer. A channel to the driver and a oneshot back cost half as much again at 512
//! callers (docs/design/driver.md).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use redial_proto::{
    Core, Event, EventKind, Input, OpenedId, Output, RequestId, RequestOptions, Time,
};
use redial_resp::Command;

use super::slots::{Slots, Token};
use crate::encoded::Commands;
use crate::pubsub::registry::Registry;

/// The meeting place of one client.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    epoch: Instant,
}

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Core<Token>,
    pub(crate) slots: Slots,
    /// Who listens to published messages.
    pub(crate) registry: Registry,
    /// What callers' inputs made the core want of the driver.
    pub(crate) deferred: Vec<Output<Token>>,
    driver: Option<Waker>,
    /// The driver has been woken, and has not run since.
    is_notified: bool,
    /// No handle is left, or the driver's runtime is gone.
    pub(crate) is_abandoned: bool,
}

impl Mailbox {
    pub(crate) fn new(core: Core<Token>) -> Arc<Self> {
        let epoch = Instant::now();
        let state = State {
            core,
            registry: Registry::new(epoch),
            slots: Slots::default(),
            deferred: Vec::new(),
            driver: None,
            is_notified: false,
            is_abandoned: false,
        };
        Arc::new(Self { state: Mutex::new(state), epoch })
    }

    /// No code of a user runs under the lock, so a poisoned one means a bug of ours elsewhere; going on beats hanging every caller.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_micros(self.epoch.elapsed().as_micros() as u64)
    }

    pub(crate) fn instant(&self, time: Time) -> Option<Instant> {
        self.epoch.checked_add(std::time::Duration::from_micros(time.as_micros()))
    }

    /// Does something to the state and wakes the driver.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        self.refresh(&mut state);
        let result = act(&mut state);
        let waker = state.notify();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Reading the clock costs as much as encoding a command, so it is read once for all commands between two runs of the driver.
    fn refresh(&self, state: &mut State) {
        if !state.is_notified {
            state.core.set_now(self.now());
        }
    }

    /// Tells the core something.
    pub(crate) fn input(&self, input: Input) {
        let now = self.now();
        self.settle(|core| core.handle_input(now, input));
    }

    /// Closes a link that its owner has no more use for.
    pub(crate) fn close(&self, id: OpenedId) {
        self.settle(|core| core.close(id));
    }

    /// Does something that may answer requests.
    fn settle(&self, act: impl FnOnce(&mut Core<Token>)) {
        let mut wakers = Vec::new();
        self.with(|state| {
            act(&mut state.core);
            // Answers go to their places under the same lock: a place that is free again could be another request's by the driver's next run.
            let outputs = state.drain(&mut wakers);
            state.deferred = outputs;
        });
        for waker in wakers {
            waker.wake();
        }
    }

    /// Hands one command to the core.
    pub(crate) fn submit(
        &self,
        command: &Command,
        options: &RequestOptions,
        waker: &Waker,
    ) -> Result<(Token, RequestId), redial_proto::Error> {
        self.submit_as(waker, |core, token| core.submit(command, token, options))
    }

    /// Hands a transaction to the core.
    pub(crate) fn submit_transaction(
        &self,
        commands: &mut Commands,
        options: &RequestOptions,
        waker: &Waker,
    ) -> Result<(Token, RequestId), redial_proto::Error> {
        let class = commands.close_transaction()?;
        let (encoded, count) = (commands.encoded(), commands.len() as u32);
        self.submit_as(waker, |core, token| {
            core.submit_transaction(encoded, count, class, token, options)
        })
    }

    /// One request that is answered in a place of its own.
    #[inline]
    fn submit_as(
        &self,
        waker: &Waker,
        submit: impl FnOnce(&mut Core<Token>, Token) -> Result<RequestId, redial_proto::Error>,
    ) -> Result<(Token, RequestId), redial_proto::Error> {
        self.with(|state| {
            let token = state.slots.wait(waker.clone());
            match submit(&mut state.core, token) {
                Ok(id) => Ok((token, id)),
                Err(error) => {
                    state.slots.give_up(token);
                    Err(error)
                }
            }
        })
    }
}

impl State {
    /// Puts the answers that were just read in their places.
    pub(crate) fn settle_answers(&mut self, wakers: &mut Vec<Waker>) {
        let slots = &mut self.slots;
        self.core.drain_answers(|token, reply| wakers.extend(slots.settle(token, reply)));
    }

    /// Takes everything out of the core: answers go to their places and messages to their streams, the rest is for the driver, what was deferred first.
    pub(crate) fn drain(&mut self, wakers: &mut Vec<Waker>) -> Vec<Output<Token>> {
        let mut rest = std::mem::take(&mut self.deferred);
        self.settle_answers(wakers);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Answer { token, reply } => wakers.extend(self.slots.settle(token, reply)),
                Output::Push { link, frame } => self.registry.on_push(link, &frame, wakers),
                Output::Subscription { link, change } => {
                    self.registry.on_change(link, change, wakers);
                }
                output => {
                    if is_end(&output) {
                        self.registry.on_end(wakers);
                    }
                    rest.push(output);
                }
            }
        }
        rest
    }

    /// The driver is to run; gives whom to wake once the lock is released.
    fn notify(&mut self) -> Option<Waker> {
        if self.is_notified {
            return None;
        }
        self.is_notified = true;
        self.driver.clone()
    }

    /// The driver runs.
    pub(crate) fn on_driver(&mut self, waker: &Waker) {
        self.is_notified = false;
        if !self.driver.as_ref().is_some_and(|old| old.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }
}

/// The client has ended.
fn is_end(output: &Output<Token>) -> bool {
    let end = EventKind::State(redial_proto::State::End);
    // The first link is there as long as the client is; of others nodes may go.
    matches!(output, Output::Event(Event { link, kind, .. }) if *kind == end && link.number() == 0)
}
