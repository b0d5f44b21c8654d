//! Writes that are answered when replicas have them.

use std::sync::Arc;
use std::time::Duration;

use redial_proto::OpenedId;

use crate::client::Handle;
use crate::error::Error;
use crate::function::Function;
use crate::pipeline::Pipeline;
use crate::request::Cmd;
use crate::script::{Script, ScriptCall};
use crate::transaction::Transaction;

/// A way to write on which a reply means that replicas have it (WAIT).
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// let durable = client.durable(1, Duration::from_millis(500))?;
/// durable.cmd("SET").arg("order:7").arg("paid").run().await?;
/// # Ok(())
/// # }
/// ```
///
/// It has a connection of its own, since WAIT blocks it: what goes over the client is not delayed. All writes that are sent together share one
/// WAIT. One that too few replicas confirmed in time fails with [`ErrorKind::NotDurable`](crate::ErrorKind::NotDurable) and delivery Ran: it is on the
/// primary, and is never sent again. Reads and errors of the server wait for no replica, only for a WAIT that is under way before them.
///
/// Its connection is closed when the last clone is dropped, and what is under way on it ends with what is known of it: keep one until all is answered.
///
/// What a confirmation does not promise: that the replica has it on disk, that it survives the loss of primary and replica together, nor that a failover
/// promotes a replica that has it, where there are several (<https://redis.io/docs/latest/commands/wait/>). Between writes here and writes on the
/// client there is no order.
#[derive(Clone, Debug)]
pub struct Durable(Arc<Link>);

#[derive(Debug)]
struct Link {
    handle: Arc<Handle>,
    id: OpenedId,
}

impl Durable {
    pub(crate) fn open(
        handle: Arc<Handle>,
        replicas: u32,
        within: Duration,
    ) -> Result<Self, Error> {
        let id = handle.mailbox.with(|state| state.core.open_durable(replicas, within))?;
        Ok(Self(Arc::new(Link { handle, id })))
    }

    /// As [`Client::cmd`](crate::Client::cmd). Blocking commands are refused.
    pub fn cmd<R>(&self, name: &str) -> Cmd<R> {
        Cmd::new(Arc::clone(&self.0.handle), name).on(self.0.id)
    }

    /// As [`Client::script`](crate::Client::script).
    pub fn script<R>(&self, script: &Script) -> ScriptCall<R> {
        ScriptCall::new(Arc::clone(&self.0.handle), script).on(self.0.id)
    }

    /// As [`Client::function`](crate::Client::function).
    pub fn function<R>(&self, function: &Function) -> ScriptCall<R> {
        ScriptCall::new(Arc::clone(&self.0.handle), function).on(self.0.id)
    }

    /// As [`Client::pipeline`](crate::Client::pipeline).
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(Arc::clone(&self.0.handle)).on(self.0.id)
    }

    /// As [`Client::transaction`](crate::Client::transaction).
    pub fn transaction(&self) -> Transaction {
        Transaction::new(Arc::clone(&self.0.handle)).on(self.0.id)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.handle.mailbox.close(self.id);
    }
}
