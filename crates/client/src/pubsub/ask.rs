//! Waiting for the server's word on several channels at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::Error;

/// Ready when every channel is confirmed, or with the first refusal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Channels that nothing is known of yet.
    open: usize,
    error: Option<Error>,
    waker: Option<Waker>,
}

impl Ask {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One channel more is waited for.
    pub(crate) fn open(&self) {
        self.lock().open += 1;
    }

    /// One of them is settled; gives whom to wake.
    pub(crate) fn settle(&self, outcome: Result<(), Error>) -> Option<Waker> {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
        if let Err(error) = outcome {
            state.error.get_or_insert(error);
        }
        if state.open == 0 || state.error.is_some() { state.waker.take() } else { None }
    }
}

impl Future for Ask {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.lock();
        match state.error.take() {
            Some(error) => Poll::Ready(Err(error)),
            None if state.open == 0 => Poll::Ready(Ok(())),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
