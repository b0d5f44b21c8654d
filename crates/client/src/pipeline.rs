//! Several commands in one go, each with its own outcome.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use redial_commands::ToArg;
use redial_proto::{Core, OpenedId, RequestOptions, Resend};
use redial_resp::{Frame, FromReply, OwnedValue};

use crate::client::Handle;
use crate::driver::slots::{Batch, Reply, Token};
use crate::encoded::{Commands, Sealed};
use crate::error::Error;
use crate::turns::poll_turn;

/// Commands that are written together and answered together. Not a transaction: others' commands may run in between, and each command
/// succeeds or fails for itself.
///
/// ```no_run
/// use redial::prelude::*;
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// let mut pipeline = client.pipeline();
/// let visits = pipeline.incr("visits").queue();
/// let name = pipeline.get::<Option<String>>("name").queue();
/// let outcomes = pipeline.await;
/// println!("{:?}, {} visits", name.read(&outcomes)?, visits.read(&outcomes)?);
/// # Ok(())
/// # }
/// ```
///
/// A function that has a `&mut Pipeline` calls typed commands on `(*pipeline)`: they take the reference itself, which is then gone.
#[must_use = "a pipeline does nothing unless it is sent"]
#[derive(Debug)]
pub struct Pipeline {
    handle: Arc<Handle>,
    pub(crate) commands: Commands,
    options: RequestOptions,
}

impl Pipeline {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        let commands = Commands::of_pipeline(handle.key_prefix.clone());
        Self { handle, commands, options: RequestOptions::default() }
    }

    /// Sends it over a link that was opened for it.
    pub(crate) const fn on(mut self, link: OpenedId) -> Self {
        self.options.on = Some(link);
        self
    }

    /// Begins the next command.
    pub fn cmd(&mut self, name: &str) -> &mut Self {
        self.commands.begin(name);
        self
    }

    /// Adds an argument to the last command.
    ///
    /// Before the first [`Self::cmd`] there is none; the argument then belongs to a command without a name, which the server will refuse.
    pub fn arg(&mut self, arg: impl ToArg) -> &mut Self {
        self.commands.arg(arg);
        self
    }

    /// How many commands it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// True if it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Cmd::timeout`](crate::Cmd::timeout), for each of its commands.
    pub const fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// As [`Cmd::resend`](crate::Cmd::resend), for each of its commands.
    pub const fn resend(&mut self, resend: Resend) -> &mut Self {
        self.options.resend = Some(resend);
        self
    }

    /// Sends all of it; the outcomes are in the commands' order. Dropping the future takes back what was not handed to the socket.
    ///
    /// A blocking command among them goes over a connection of its own and does not delay the others. The pipeline is empty then, and may be filled
    /// again.
    pub fn send(&mut self) -> PipelineRequest {
        let mut commands = self.commands.take();
        commands.close();
        let state = State::New(Box::new(commands), self.options);
        PipelineRequest { handle: Arc::clone(&self.handle), state }
    }
}

impl std::future::IntoFuture for &mut Pipeline {
    type Output = Vec<Result<OwnedReply, Error>>;
    type IntoFuture = PipelineRequest;

    fn into_future(self) -> PipelineRequest {
        self.send()
    }
}

impl std::future::IntoFuture for Pipeline {
    type Output = Vec<Result<OwnedReply, Error>>;
    type IntoFuture = PipelineRequest;

    fn into_future(mut self) -> PipelineRequest {
        self.send()
    }
}

/// A reply that is decoded when it is asked for.
#[derive(Clone, Debug)]
pub struct OwnedReply(Frame);

impl OwnedReply {
    #[inline]
    pub(crate) fn from_reply(reply: Reply) -> Result<Self, Error> {
        let frame = reply?;
        match frame.error() {
            Some(error) => Err(Error::server(&error.to_string())),
            None => Ok(Self(frame)),
        }
    }

    pub(crate) const fn of(frame: Frame) -> Self {
        Self(frame)
    }

    /// The reply as a type of the caller's.
    ///
    /// # Errors
    /// It does not fit the type.
    pub fn decode<R: FromReply>(&self) -> Result<R, Error> {
        self.0.decode().map_err(Error::from)
    }

    /// The whole reply as a tree.
    ///
    /// # Errors
    /// The reply is malformed.
    pub fn value(&self) -> Result<OwnedValue, Error> {
        self.decode()
    }
}

/// Submits commands that are encoded one behind the other, the first as `token`. Gives the bytes behind them.
fn submit_run<'a>(
    core: &mut Core<Token>,
    batch: &mut Batch,
    encoded: &'a [u8],
    run: &[Sealed],
    token: Token,
    options: &RequestOptions,
) -> &'a [u8] {
    // What stands behind this run is another's: something not encoded comes between them.
    let (encoded, rest) = encoded.split_at(run.iter().map(Sealed::len).sum());
    let mut end = 0;
    let commands = (token.index()..).zip(run).filter_map(move |(index, command)| {
        let Sealed::Encoded { len, class } = command else { return None };
        end += len;
        Some((end, *class, token.nth(index)))
    });
    core.submit_encoded(encoded, commands, options, |token, result| batch.note(token, result));
    rest
}

/// A pipeline that was sent; resolves to the outcome of each command.
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct PipelineRequest {
    handle: Arc<Handle>,
    state: State,
}

#[derive(Debug)]
enum State {
    New(Box<Commands>, RequestOptions),
    Waiting(Token),
    Done,
}

impl PipelineRequest {
    fn submit(&mut self, commands: &Commands, options: &RequestOptions) -> Token {
        let sealed = &commands.sealed;
        self.handle.mailbox.with(|state| {
            let token = state.slots.wait_batch(sealed.len());
            let Some(batch) = state.slots.batch(token) else { return token };
            let mut encoded = commands.encoded();
            for run in sealed.chunk_by(|one, next| one.is_encoded() && next.is_encoded()) {
                let token = token.nth(batch.noted());
                match run {
                    [Sealed::Whole(command)] => {
                        batch.note(token, state.core.submit(command, token, options));
                    }
                    [Sealed::Refused(error)] => batch.note(token, Err(error.clone())),
                    run => {
                        encoded = submit_run(&mut state.core, batch, encoded, run, token, options)
                    }
                }
            }
            token
        })
    }
}

impl Future for PipelineRequest {
    type Output = Vec<Result<OwnedReply, Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if matches!(this.state, State::New(..)) {
            // All of them may be refused at once.
            ready!(poll_turn(cx));
        }
        let token = match std::mem::replace(&mut this.state, State::Done) {
            State::New(commands, options) => this.submit(&commands, &options),
            State::Waiting(token) => token,
            State::Done => return Poll::Pending,
        };
        match this.handle.mailbox.lock().slots.poll_batch(token, cx.waker()) {
            Some(outcomes) => Poll::Ready(outcomes),
            None => {
                this.state = State::Waiting(token);
                Poll::Pending
            }
        }
    }
}

impl Drop for PipelineRequest {
    fn drop(&mut self) {
        if let State::Waiting(token) = self.state {
            self.handle.mailbox.with(|state| {
                for (id, token) in state.slots.give_up_batch(token) {
                    state.core.cancel(id, token);
                }
            });
        }
    }
}
