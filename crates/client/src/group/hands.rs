//! What one consumer has in hand: entries that it was given and has not acknowledged, and acknowledgements that the server has not confirmed.
//!
//! By it an entry that comes again is known: one that the program still has is not given to it twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use redial_commands::{StreamId, ToArg};
use redial_proto::{RequestOptions, Resend};
use redial_resp::Command;

use crate::client::Handle;
use crate::error::Error;
use crate::request::Request;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// With the program, or about to be.
    held: BTreeSet<StreamId>,
    /// The program is done with them, and the server may not know.
    owed: BTreeSet<StreamId>,
    /// Confirmed since the present turn began: what was asked before may still tell of them.
    settled: BTreeSet<StreamId>,
    /// Something may have been assigned or acknowledged without our hearing of it.
    is_interrupted: bool,
}

impl Hands {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing that was asked is unanswered now. True if there was an interruption.
    pub(super) fn begin_turn(&self) -> bool {
        let mut state = self.lock();
        state.settled.clear();
        std::mem::take(&mut state.is_interrupted)
    }

    pub(super) fn interrupt(&self) {
        self.lock().is_interrupted = true;
    }

    /// Takes an entry in hand; false if it was, or if the program is done with it.
    pub(super) fn take(&self, id: StreamId) -> bool {
        let mut state = self.lock();
        let is_known = state.owed.contains(&id) || state.settled.contains(&id);
        !is_known && state.held.insert(id)
    }

    pub(super) fn held(&self) -> Vec<StreamId> {
        self.lock().held.iter().copied().collect()
    }

    pub(super) fn owed(&self) -> Vec<StreamId> {
        self.lock().owed.iter().copied().collect()
    }

    pub(super) fn owe(&self, ids: &[StreamId]) {
        let mut state = self.lock();
        for id in ids {
            state.held.remove(id);
            state.owed.insert(*id);
        }
    }

    pub(super) fn settle(&self, ids: &[StreamId]) {
        let mut state = self.lock();
        for id in ids {
            state.owed.remove(id);
            state.settled.insert(*id);
        }
    }
}

/// Acknowledges entries of one [`ConsumerGroup`](super::ConsumerGroup), from any task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acker {
    pub(super) handle: Arc<Handle>,
    pub(super) hands: Arc<Hands>,
    /// As the server calls it.
    pub(super) key: Bytes,
    pub(super) group: Bytes,
}

impl Acker {
    /// Tells the server that the entry has been dealt with (XACK); takes the entry or its [`StreamId`].
    ///
    /// It may be told twice, so it is sent again after any interruption. If that fails, or the future is dropped, the group tells the server later, as long as it is read.
    ///
    /// # Errors
    /// It is not confirmed: no answer by the deadline, say. If the program ends before the group has told the server, the entry is given to a consumer again.
    pub async fn ack(&self, entry: impl Into<StreamId>) -> Result<(), Error> {
        self.clone().acknowledge(vec![entry.into()]).await
    }

    /// As [`Self::ack`], for several at once.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub async fn ack_all<I: Into<StreamId>>(
        &self,
        entries: impl IntoIterator<Item = I>,
    ) -> Result<(), Error> {
        self.clone().acknowledge(entries.into_iter().map(Into::into).collect()).await
    }

    pub(super) async fn acknowledge(self, ids: Vec<StreamId>) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        self.hands.owe(&ids);
        let mut command = Command::new("XACK");
        command.push_arg(&self.key);
        command.push_arg(&self.group);
        for id in &ids {
            id.write_to(&mut command);
        }
        let debt = Debt { hands: self.hands, ids };
        let options = RequestOptions { resend: Some(Resend::Always), ..RequestOptions::default() };
        Request::<i64>::as_is(self.handle, command, options).await?;
        debt.pay();
        Ok(())
    }
}

/// Acknowledgements that the group has to make good unless they are confirmed.
struct Debt {
    hands: Arc<Hands>,
    ids: Vec<StreamId>,
}

impl Debt {
    fn pay(mut self) {
        self.hands.settle(&std::mem::take(&mut self.ids));
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            self.hands.interrupt();
        }
    }
}
