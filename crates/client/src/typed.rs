//! Typed commands of every handle, and what can follow them.

use std::time::Duration;

use redial_commands::{Complete, Executor, OwnConnection};
use redial_proto::Resend;

use crate::client::Client;
use crate::dedicated::Dedicated;
use crate::durable::Durable;
use crate::once::Once;
use crate::pipeline::Pipeline;
use crate::queued::{Queued, Slot};
use crate::request::{Cmd, Request};
use crate::transaction::Transaction;

impl Executor for &Client {
    type Command<R> = Cmd<R>;

    fn begin<R>(self, name: &'static str) -> Cmd<R> {
        self.cmd(name)
    }
}

impl Executor for &Dedicated {
    type Command<R> = Cmd<R>;

    fn begin<R>(self, name: &'static str) -> Cmd<R> {
        self.cmd(name)
    }
}

impl OwnConnection for &Dedicated {}

impl Executor for &Durable {
    type Command<R> = Cmd<R>;

    fn begin<R>(self, name: &'static str) -> Cmd<R> {
        self.cmd(name)
    }
}

impl<'a> Executor for &'a mut Pipeline {
    type Command<R> = Queued<'a, R>;

    fn begin<R>(self, name: &'static str) -> Queued<'a, R> {
        Queued::new(&mut self.commands, name)
    }
}

impl<'a> Executor for &'a mut Transaction {
    type Command<R> = Queued<'a, R>;

    fn begin<R>(self, name: &'static str) -> Queued<'a, R> {
        Queued::new(&mut self.commands, name)
    }
}

/// What a [`Cmd`] can do, for typed commands that still have options open.
pub trait CommandOptions<R>: Complete<Command = Cmd<R>> {
    /// As [`Cmd::timeout`].
    fn timeout(self, timeout: Duration) -> Cmd<R> {
        self.into_command().timeout(timeout)
    }

    /// As [`Cmd::resend`].
    fn resend(self, resend: Resend) -> Cmd<R> {
        self.into_command().resend(resend)
    }

    /// As [`Cmd::once`].
    fn once(self, id: impl AsRef<[u8]>) -> Once<R> {
        self.into_command().once(id)
    }

    /// As [`Cmd::send`].
    fn send(self) -> Request<R> {
        self.into_command().send()
    }

    /// As [`Cmd::send_as_is`].
    fn send_as_is(self) -> Request<R> {
        self.into_command().send_as_is()
    }
}

impl<R, T: Complete<Command = Cmd<R>>> CommandOptions<R> for T {}

/// What a [`Queued`] can do, for typed commands that still have options open.
pub trait Queue<'a, R>: Complete<Command = Queued<'a, R>> {
    /// As [`Queued::queue`].
    fn queue(self) -> Slot<R> {
        self.into_command().queue()
    }
}

impl<'a, R, T: Complete<Command = Queued<'a, R>>> Queue<'a, R> for T {}

/// What does not compile, each beside a line that does.
///
/// An option twice, or two that exclude each other:
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.set("k", "v").ex(3).px(3).await;
/// }
/// ```
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.set("k", "v").nx().xx().await;
/// }
/// ```
/// ```
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.set("k", "v").ex(3).nx().await;
///     let _ = client.set("k", "v").nx().ex(3).await;
/// }
/// ```
///
/// Two that no server takes together:
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.zadd("z").nx().gt().member(1, "a").await;
/// }
/// ```
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.xtrim("s").maxlen(10).limit(5).await;
/// }
/// ```
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.lcs::<String>("a", "b").len().withmatchlen().await;
/// }
/// ```
/// ```
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.zadd("z").xx().gt().member(1, "a").await;
///     let _ = client.zadd("z").gt().xx().member(1, "a").await;
///     let _ = client.xtrim("s").maxlen_about(10).limit(5).await;
///     let _ = client.lcs::<String>("a", "b").idx().withmatchlen().await;
/// }
/// ```
///
/// An option behind what has to come last:
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.zadd("z").member(1, "a").nx().await;
/// }
/// ```
/// ```
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.zadd("z").nx().member(1, "a").member(2, "b").await;
/// }
/// ```
///
/// An option that goes with another one only:
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.bitcount("k").unit(redial::commands::BitUnit::Bit).await;
/// }
/// ```
/// ```
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.bitcount("k").range(0, -1).unit(redial::commands::BitUnit::Bit).await;
/// }
/// ```
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.zrange::<Vec<String>>("z", 0, -1).limit(0, 5).await;
/// }
/// ```
/// ```
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.zrange::<Vec<String>>("z", 0, -1).byscore().limit(0, 5).await;
/// }
/// ```
///
/// A command that lacks something, awaited or queued:
/// ```compile_fail,E0277
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.zadd("z").nx().await;
/// }
/// ```
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// fn f(mut pipeline: redial::Pipeline) {
///     let _ = pipeline.geosearch::<Vec<String>>("g").frommember("m").queue();
/// }
/// ```
/// ```
/// use redial::{commands::Unit, prelude::*};
/// fn f(mut pipeline: redial::Pipeline) {
///     let _ = pipeline.geosearch::<Vec<String>>("g").asc().frommember("m").byradius(1, Unit::Km).queue();
/// }
/// ```
///
/// What sets a connection's state, on one that is shared:
/// ```compile_fail,E0599
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.select(3).await;
/// }
/// ```
/// ```
/// use redial::prelude::*;
/// async fn f(own: redial::Dedicated) {
///     let _ = own.select(3).await;
/// }
/// ```
///
/// Text where a number belongs, and bytes where several keys do:
/// ```compile_fail,E0277
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.expire("k", "30").await;
/// }
/// ```
/// ```compile_fail,E0277
/// use redial::prelude::*;
/// async fn f(client: redial::Client) {
///     let _ = client.del(b"key".to_vec()).await;
/// }
/// ```
#[cfg(doctest)]
struct Refused;
