//! One read through the cache.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use redial_commands::{Draft, ToArg};
use redial_proto::{OpenedId, RequestOptions};
use redial_resp::{Command, FromReply};

use super::cacheable;
use super::store::{Found, Store};
use crate::buffers;
use crate::client::Handle;
use crate::driver::slots::Reply;
use crate::error::Error;
use crate::request::Request;
use crate::turns;

/// A read that is answered from memory where that is possible; `.await` it.
#[must_use = "a command does nothing unless it is awaited"]
pub struct Cached<R> {
    handle: Arc<Handle>,
    id: OpenedId,
    store: Arc<Store>,
    command: Command,
    reply: PhantomData<fn() -> R>,
}

impl<R> Cached<R> {
    pub(super) fn new(handle: Arc<Handle>, id: OpenedId, store: Arc<Store>, name: &str) -> Self {
        Self { handle, id, store, command: buffers::command(name), reply: PhantomData }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl ToArg) -> Self {
        arg.write_to(&mut self.command);
        self
    }

    /// Adds several arguments.
    pub fn args<A: ToArg>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().for_each(|arg| arg.write_to(&mut self.command));
        self
    }

    async fn run(mut self) -> Reply {
        // Before it is looked for: the server tells of keys as it calls them.
        if let Some(prefix) = &self.handle.key_prefix {
            prefix.apply(&mut self.command)?;
        }
        loop {
            // One with arguments so large that they are not copied is not worth being kept.
            let found = match self.command.as_contiguous() {
                Some(encoded) => self.store.find(encoded, || cacheable::keys(&self.command)),
                None => Found::Untracked,
            };
            match found {
                Found::Here(frame) => {
                    buffers::keep(self.command.into_buffer());
                    turns::turn().await;
                    return Ok(frame);
                }
                Found::NotCacheable => {
                    let text = "only reads whose reply depends on their keys alone can be cached (GET, HGETALL, ZRANGE, …); use `Client::cmd` for this command";
                    return Err(redial_proto::Error::new(
                        redial_proto::ErrorKind::InvalidRequest,
                        redial_proto::Delivery::NotSent,
                        text,
                    ));
                }
                Found::Untracked => return self.ask().await,
                Found::Asked(mut reply) => {
                    // Whoever asked may have gone away: then somebody else has to ask.
                    if let Ok(reply) = reply.wait_for(Option::is_some).await
                        && let Some(reply) = &*reply
                    {
                        return reply.clone();
                    }
                }
                Found::Missing(question) => {
                    let reply = self.ask().await;
                    question.answer(&reply);
                    return reply;
                }
            }
        }
    }

    async fn ask(self) -> Reply {
        let options = RequestOptions { on: Some(self.id), ..RequestOptions::default() };
        Request::<R>::as_is(self.handle, self.command, options).reply().await
    }
}

impl<R> Draft for Cached<R> {
    type Of<T> = Cached<T>;

    fn answering<T>(self) -> Cached<T> {
        let Self { handle, id, store, command, .. } = self;
        Cached { handle, id, store, command, reply: PhantomData }
    }

    fn command_mut(&mut self) -> &mut Command {
        &mut self.command
    }
}

impl<R: FromReply + 'static> IntoFuture for Cached<R> {
    type Output = Result<R, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await?.decode().map_err(Error::from) })
    }
}

impl<R> fmt::Debug for Cached<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cached").field(&self.command).finish()
    }
}
