//! A connection for one caller alone.

use std::sync::Arc;

use redial_proto::OpenedId;

use crate::client::Handle;
use crate::error::Error;
use crate::function::Function;
use crate::pipeline::Pipeline;
use crate::request::Cmd;
use crate::script::{Script, ScriptCall};
use crate::transaction::Transaction;

/// A connection of one's own, for what others must not share: WATCH before a transaction, SELECT, WAIT behind a write.
///
/// ```no_run
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// let own = client.dedicated()?;
/// own.cmd("WATCH").arg("stock").run().await?;
/// let stock: i64 = own.cmd("GET").arg("stock").await?;
/// // `None`: somebody changed it in between, and nothing ran.
/// let left: Option<(i64,)> =
///     own.transaction().cmd("SET").arg("stock").arg(stock - 1).cmd("GET").arg("stock").exec().await?;
/// # Ok(())
/// # }
/// ```
///
/// It is made when it is opened and closed when it is dropped; commands given before it is ready wait. What was set on it can't be carried over to
/// another connection, so nothing is ever sent again here: when it is lost, or its server leads no more, what is in flight fails with what is known
/// of it, and everything later with NotSent and [`ErrorKind::Disconnected`](crate::ErrorKind::Disconnected). Begin anew then, from the first WATCH.
/// A blocking command on it blocks the commands behind it too; dropping its future ends the connection, since what it would pop must not be
/// thrown away.
#[derive(Debug)]
pub struct Dedicated {
    handle: Arc<Handle>,
    id: OpenedId,
}

impl Dedicated {
    pub(crate) fn open(handle: Arc<Handle>, key: Option<&[u8]>) -> Result<Self, Error> {
        let id = handle.mailbox.with(|state| state.core.open_dedicated(key))?;
        Ok(Self { handle, id })
    }

    /// As [`Client::cmd`](crate::Client::cmd). Commands that set state are welcome (WATCH, UNWATCH, SELECT, WAIT, CLIENT NO-EVICT, …); refused are those
    /// that turn the connection into something else.
    pub fn cmd<R>(&self, name: &str) -> Cmd<R> {
        Cmd::new(Arc::clone(&self.handle), name).on(self.id)
    }

    /// As [`Client::script`](crate::Client::script).
    pub fn script<R>(&self, script: &Script) -> ScriptCall<R> {
        ScriptCall::new(Arc::clone(&self.handle), script).on(self.id)
    }

    /// As [`Client::function`](crate::Client::function).
    pub fn function<R>(&self, function: &Function) -> ScriptCall<R> {
        ScriptCall::new(Arc::clone(&self.handle), function).on(self.id)
    }

    /// As [`Client::pipeline`](crate::Client::pipeline).
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(Arc::clone(&self.handle)).on(self.id)
    }

    /// As [`Client::transaction`](crate::Client::transaction). After WATCH its reply is null if a watched key was changed: execute it as an `Option`.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(Arc::clone(&self.handle)).on(self.id)
    }
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        self.handle.mailbox.close(self.id);
    }
}
