//! One command: built, handed over at the first poll, and decoded on the caller's task.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use redial_commands::{Draft, ToArg};
use redial_proto::{OpenedId, RequestId, RequestOptions, Resend};
use redial_resp::{Command, FromReply};

use crate::buffers;
use crate::client::Handle;
use crate::driver::slots::{Reply, Token};
use crate::encoded::Commands;
use crate::error::Error;
use crate::once::Once;
use crate::spread::Scattered;
use crate::turns::poll_turn;

/// A command being built; `.await` sends it. Nothing is sent before the first poll.
///
/// `R` is what its reply is decoded to.
#[must_use = "a command does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Cmd<R> {
    handle: Arc<Handle>,
    command: Command,
    options: RequestOptions,
    reply: PhantomData<fn() -> R>,
}

impl<R> Cmd<R> {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        Self {
            handle,
            command: buffers::command(name),
            options: RequestOptions::default(),
            reply: PhantomData,
        }
    }

    /// Sends it over a link that was opened for it.
    pub(crate) const fn on(mut self, link: OpenedId) -> Self {
        self.options.on = Some(link);
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl ToArg) -> Self {
        arg.write_to(&mut self.command);
        self
    }

    /// Adds several arguments.
    pub fn args<A: ToArg>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            arg.write_to(&mut self.command);
        }
        self
    }

    /// From acceptance to answer, resends included; of a blocking command what is added to its own timeout. Default: the client's
    /// (10 s).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// What may be sent again. Default: the client's ([`Resend::Safe`]).
    pub const fn resend(mut self, resend: Resend) -> Self {
        self.options.resend = Some(resend);
        self
    }

    /// Makes it run exactly once, though it may have to be sent several times: `id` names this one run, and is never used for another within an
    /// hour ([`Once::ttl`]). A request number, an order number, a UUID; the same id again, by this program or another, gets the first
    /// run's reply.
    ///
    /// The write and a token run in one script, so the server has both or neither, its replicas too: after any failure the command is sent again
    /// (as under [`Resend::Always`]) until its deadline. For single writes whose keys are in one slot.
    ///
    /// What it does not promise: a failover that loses the write loses the token with it, and then it runs again, as it should; if both were acknowledged, that
    /// is a lost write like any other ([`Client::durable`](crate::Client::durable) guards against it). A server that evicts keys may evict tokens. A
    /// request that fails with Unknown at its deadline ran once or not at all: ask again with the same id. Integers beyond 2^53 lose
    /// digits in scripts. Tokens are kept under `redial:once:{…}:<id>`, behind the client's [`key_prefix`](crate::Builder::key_prefix) if it has one, to which the user needs rights, as to EVAL and EVALSHA.
    ///
    /// # Errors
    /// Those of any command; [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) where it can't be kept.
    pub fn once(self, id: impl AsRef<[u8]>) -> Once<R> {
        Once::new(self.handle, self.command, self.options, id.as_ref())
    }

    /// Sends it and decodes the reply.
    ///
    /// Cancel safe in this sense: dropping the future before the command was handed to the socket takes it back; afterwards it may run, and
    /// its reply is dropped.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::delivery`] says whether the command ran.
    pub fn send(self) -> Request<R> {
        Request::of_command(self.handle, self.command, self.options)
    }

    /// As [`Self::send`], with its keys as they are written: without the client's [`key_prefix`](crate::Builder::key_prefix).
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_as_is(self) -> Request<R> {
        Request::as_is(self.handle, self.command, self.options)
    }
}

impl<R> Draft for Cmd<R> {
    type Of<T> = Cmd<T>;

    fn answering<T>(self) -> Cmd<T> {
        let Self { handle, command, options, .. } = self;
        Cmd { handle, command, options, reply: PhantomData }
    }

    fn command_mut(&mut self) -> &mut Command {
        &mut self.command
    }
}

impl Cmd<()> {
    /// Sends it, whatever it answers.
    pub fn run(self) -> Request<()> {
        self.send()
    }
}

impl<R: FromReply> IntoFuture for Cmd<R> {
    type Output = Result<R, Error>;
    type IntoFuture = Request<R>;

    fn into_future(self) -> Request<R> {
        self.send()
    }
}

/// A command that was sent; resolves to its decoded reply.
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct Request<R> {
    handle: Arc<Handle>,
    state: State,
    reply: PhantomData<fn() -> R>,
}

#[derive(Debug)]
enum State {
    New(Command, RequestOptions),
    Refused(redial_proto::Error),
    NewTransaction(Box<Commands>, RequestOptions),
    Waiting(Token, RequestId),
    /// In parts, to several nodes.
    Scattered(Box<Scattered>),
    Done,
}

impl<R> Request<R> {
    /// With the client's prefix in front of its keys.
    #[inline]
    pub(crate) fn of_command(
        handle: Arc<Handle>,
        mut command: Command,
        options: RequestOptions,
    ) -> Self {
        if let Some(prefix) = &handle.key_prefix
            && let Err(error) = prefix.apply(&mut command)
        {
            return Self { handle, state: State::Refused(error), reply: PhantomData };
        }
        Self::as_is(handle, command, options)
    }

    /// Whose keys are complete.
    #[inline]
    pub(crate) fn as_is(handle: Arc<Handle>, command: Command, options: RequestOptions) -> Self {
        Self { handle, state: State::New(command, options), reply: PhantomData }
    }

    pub(crate) fn of_transaction(
        handle: Arc<Handle>,
        commands: Box<Commands>,
        options: RequestOptions,
    ) -> Self {
        Self { handle, state: State::NewTransaction(commands, options), reply: PhantomData }
    }

    /// The reply as it came.
    pub(crate) async fn reply(mut self) -> Reply {
        std::future::poll_fn(|cx| self.poll_reply(cx)).await
    }

    /// Takes a command apart that concerns several nodes.
    fn scatter(&mut self) {
        let State::New(command, options) = &self.state else { return };
        if options.on.is_some() || options.to.is_some() {
            return;
        }
        let Some(spread) = redial_proto::spread(command) else { return };
        let options = *options;
        if let State::New(command, _) = std::mem::replace(&mut self.state, State::Done) {
            let scattered = Scattered::new(&self.handle, command, options, spread);
            self.state = State::Scattered(Box::new(scattered));
        }
    }

    pub(crate) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        if self.handle.is_distributed && matches!(self.state, State::New(..)) {
            self.scatter();
        }
        let mailbox = &self.handle.mailbox;
        match &self.state {
            State::Waiting(token, _) => {
                let Some(reply) = mailbox.lock().slots.poll(*token, cx.waker()) else {
                    return Poll::Pending;
                };
                self.state = State::Done;
                Poll::Ready(reply)
            }
            State::New(command, options) => {
                let (next, is_refused) = match mailbox.submit(command, options, cx.waker()) {
                    Ok((token, id)) => (State::Waiting(token, id), false),
                    Err(error) => (State::Refused(error), true),
                };
                if let State::New(command, _) = std::mem::replace(&mut self.state, next) {
                    buffers::keep(command.into_buffer());
                }
                if is_refused { self.poll_refused(cx) } else { Poll::Pending }
            }
            State::Scattered(_) => {
                let State::Scattered(scattered) = &mut self.state else { return Poll::Pending };
                let settled = scattered.poll(cx);
                if settled.is_ready() {
                    self.state = State::Done;
                }
                settled
            }
            State::NewTransaction(..) => {
                let State::NewTransaction(mut commands, options) =
                    std::mem::replace(&mut self.state, State::Done)
                else {
                    return Poll::Pending;
                };
                match mailbox.submit_transaction(&mut commands, &options, cx.waker()) {
                    Ok((token, id)) => {
                        self.state = State::Waiting(token, id);
                        Poll::Pending
                    }
                    Err(error) => {
                        self.state = State::Refused(error);
                        self.poll_refused(cx)
                    }
                }
            }
            State::Refused(_) => self.poll_refused(cx),
            State::Done => Poll::Pending,
        }
    }

    /// Gives the error of what was not even accepted.
    #[cold]
    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        let State::Refused(error) = &self.state else { return Poll::Pending };
        ready!(poll_turn(cx));
        let error = error.clone();
        self.state = State::Done;
        Poll::Ready(Err(error))
    }
}

impl<R: FromReply> Future for Request<R> {
    type Output = Result<R, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(reply) = self.get_mut().poll_reply(cx) else { return Poll::Pending };
        Poll::Ready(match reply {
            Ok(frame) => frame.decode().map_err(Error::from),
            Err(error) => Err(error.into()),
        })
    }
}

impl<R> Drop for Request<R> {
    fn drop(&mut self) {
        if let State::Waiting(token, id) = self.state {
            self.handle.mailbox.with(|state| {
                if state.slots.give_up(token) {
                    state.core.cancel(id, token);
                }
            });
        }
    }
}
