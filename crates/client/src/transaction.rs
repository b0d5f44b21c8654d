//! MULTI … EXEC as one request.

use std::sync::Arc;
use std::time::Duration;

use redial_commands::ToArg;
use redial_proto::{OpenedId, RequestOptions, Resend};
use redial_resp::FromReply;

use crate::client::Handle;
use crate::encoded::Commands;
use crate::request::Request;

/// Commands that run together on the server, with nobody else's in between (MULTI and EXEC).
///
/// ```no_run
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// let (visits, last): (i64, Option<String>) =
///     client.transaction().cmd("INCR").arg("visits").cmd("GET").arg("last").exec().await?;
///
/// // The same with typed commands.
/// use redial::prelude::*;
/// let mut transaction = client.transaction();
/// let visits = transaction.incr("visits").queue();
/// let last = transaction.get::<Option<String>>("last").queue();
/// let outcomes: redial::Outcomes = transaction.exec().await?;
/// println!("{:?}: {} visits", last.read(&outcomes)?, visits.read(&outcomes)?);
/// # Ok(())
/// # }
/// ```
///
/// It is one request, written in one piece on the shared connection: others' commands come before it or behind it. On a lost connection it ran as a
/// whole or not at all; [`Error::delivery`](crate::Error::delivery) says which is known, and it is sent again as a whole where that is harmless. A
/// command that the server refuses to queue makes the whole of it fail, and nothing runs. One that fails as it runs (a wrong type, say) does not undo
/// the others: decode its place as a `Result<_, ServerError>`. WATCH needs a
/// connection of one's own: [`Client::dedicated`](crate::Client::dedicated).
#[must_use = "a transaction does nothing unless it is executed"]
#[derive(Debug)]
pub struct Transaction {
    handle: Arc<Handle>,
    pub(crate) commands: Commands,
    options: RequestOptions,
}

impl Transaction {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        let commands = Commands::of_transaction(handle.key_prefix.clone());
        Self { handle, commands, options: RequestOptions::default() }
    }

    /// Sends it over a link that was opened for it.
    pub(crate) const fn on(mut self, link: OpenedId) -> Self {
        self.options.on = Some(link);
        self
    }

    /// Begins the next command. Commands that change the state of the connection make [`Self::exec`] fail; blocking ones do not block in a
    /// transaction.
    pub fn cmd(&mut self, name: &str) -> &mut Self {
        self.commands.begin(name);
        self
    }

    /// Adds an argument to the last command, as [`Pipeline::arg`](crate::Pipeline::arg).
    pub fn arg(&mut self, arg: impl ToArg) -> &mut Self {
        self.commands.arg(arg);
        self
    }

    /// How many commands it has, MULTI and EXEC not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// True if it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Cmd::timeout`](crate::Cmd::timeout), for the whole of it.
    pub const fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// As [`Cmd::resend`](crate::Cmd::resend), for the whole of it. Under [`Resend::Safe`] it is sent again after it was handed over only if all
    /// its commands read.
    pub const fn resend(&mut self, resend: Resend) -> &mut Self {
        self.options.resend = Some(resend);
        self
    }

    /// Executes it; `R` is decoded from the list of the commands' replies: a tuple, a `Vec`, or [`Outcomes`](crate::Outcomes) for the slots of typed
    /// commands. Cancel safety is that of [`Cmd::send`](crate::Cmd::send). The transaction is empty then, and may be filled again.
    ///
    /// # Errors
    /// As of any command. The server refused one of the commands: its error, and nothing ran. `R` does not fit the replies, or has no place for
    /// the error of one of them: all ran.
    pub fn exec<R: FromReply>(&mut self) -> Request<R> {
        let commands = Box::new(self.commands.take());
        Request::of_transaction(Arc::clone(&self.handle), commands, self.options)
    }
}
