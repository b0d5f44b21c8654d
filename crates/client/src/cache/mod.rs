//! Client-side caching: replies that are kept here until the server says that their keys have changed.
//!
//! Which replies are kept, and when they go, is in `store`; docs/design/pubsub.md says why tracking has a connection of its own.

mod cacheable;
mod cached;
mod store;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redial_commands::Executor;
use redial_proto::OpenedId;

pub use self::cached::Cached;
pub use self::store::CacheStats;
use self::store::{Limits, Store};
use crate::client::Handle;
use crate::error::Error;
use crate::pubsub::Ask;
use crate::turns;

/// A cache that is being opened by [`Client::cache`](crate::Client::cache); `.await` it.
#[must_use = "nothing is opened unless this is awaited"]
#[derive(Debug)]
pub struct OpenCache {
    handle: Arc<Handle>,
    limits: Limits,
}

impl OpenCache {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, limits: Limits::default() }
    }

    /// Replies that are kept at the most. Default 10,000.
    pub const fn entries(mut self, most: usize) -> Self {
        self.limits.entries = most;
        self
    }

    /// Bytes that they may take, commands, keys and 200 bytes for each included. Default 64 MiB.
    pub const fn bytes(mut self, most: usize) -> Self {
        self.limits.bytes = most;
        self
    }

    /// How long a reply is kept at the most, whatever the server says. Default 60 s.
    pub const fn ttl(mut self, most: Duration) -> Self {
        self.limits.ttl = most;
        self
    }
}

impl IntoFuture for OpenCache {
    type Output = Result<Cache, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            turns::turn().await;
            let ask = Ask::default();
            ask.open();
            let store = Arc::new(Store::new(self.limits, ask.clone()));
            let (id, within) = self.handle.mailbox.with(|state| {
                let id = state.core.open_tracking()?;
                state.registry.add_feed(id, Arc::clone(&store) as _);
                Ok::<_, redial_proto::Error>((id, state.core.request_timeout()))
            })?;
            // Dropping it, also half way, closes the connection.
            let cache = Cache(Arc::new(Inner { handle: self.handle, id, store }));
            match tokio::time::timeout(within, ask).await {
                Ok(outcome) => outcome.map(|()| cache),
                Err(_) => {
                    let core = &cache.0.handle.mailbox.lock().core;
                    Err(core.unconfirmed(Some(id), within).into())
                }
            }
        })
    }
}

/// Reads that are answered from memory until the server says that their keys have changed (CLIENT TRACKING). Cheap to clone.
///
/// ```no_run
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// use redial::prelude::*;
///
/// let cache = client.cache().entries(50_000).await?;
/// let name: Option<String> = cache.get("user:7:name").await?;
/// let again: Option<String> = cache.cmd("GET").arg("user:7:name").await?; // not sent
/// # Ok(())
/// # }
/// ```
///
/// Reads go over a connection of its own, on which the server remembers their keys. Of several tasks that miss the same reply at the same time one asks the server. When the
/// connection is lost, or given up for another, everything is forgotten at once, and nothing is kept until the server has agreed to track on the next one; reads go on
/// meanwhile.
///
/// How stale a reply can be: for as long as the invalidation is on its way, usually less than a round trip, also for writes of this program, which go over another connection
/// ([`Cache::forget`] reads them back). When the server dies silently, for as long as it takes to notice, some 2.5 s, or until another one leads; when nothing at all can be
/// reached, for up to `condemn_after` (15 s), unless [`OpenCache::ttl`] is shorter. Where a cluster's slots move, what was kept of a key
/// that was not there goes when the client hears of the move (30 s at the latest). A key that expires is heard of when the server deletes it.
///
/// Only reads whose reply depends on their keys alone can be cached; others, and all writes, fail with
/// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest). Null is cached, errors are not.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    handle: Arc<Handle>,
    id: OpenedId,
    store: Arc<Store>,
}

impl Cache {
    /// As [`Client::cmd`](crate::Client::cmd), answered from memory where that is possible.
    pub fn cmd<R>(&self, name: &str) -> Cached<R> {
        let Inner { handle, id, store } = &*self.0;
        Cached::new(Arc::clone(handle), *id, Arc::clone(store), name)
    }

    /// Forgets what depends on this key: the next read is answered by the server. For who wants to read back what was just written over the client.
    pub fn forget(&self, key: impl AsRef<[u8]>) {
        self.0.store.forget(&self.0.handle.key(key.as_ref()));
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.store.clear();
    }

    /// Whether replies are being kept: not while there is no connection, nor after a server has refused to track.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.store.is_tracking()
    }

    /// What it did so far, and what it holds.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.0.store.stats()
    }
}

impl Executor for &Cache {
    type Command<R> = Cached<R>;

    fn begin<R>(self, name: &'static str) -> Cached<R> {
        self.cmd(name)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.stats()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.handle.mailbox.with(|state| state.registry.remove_feed(self.id));
        self.handle.mailbox.close(self.id);
    }
}
