//! The clients, one file each, behind the trait [`Subject`].
//!
//! Each is used as its documentation presents it, with default options, and gives a value in the type that costs it least.
//! [`raw`] is no client: it is the floor that no client can pass.

pub(crate) mod fred;
pub(crate) mod raw;
#[cfg(feature = "redial")]
pub(crate) mod redial;
pub(crate) mod redis_rs;
pub(crate) mod rustis;

use std::future::Future;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A client under measurement. Clones share one connection.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    type Listener: Listener;

    fn connect(url: &str) -> impl Future<Output = Result<Self>> + Send;

    /// GET; the length of the value. A missing key is an error.
    fn get(&self, key: &str) -> impl Future<Output = Result<usize>> + Send;

    /// One pipeline of GETs; how many values came back.
    fn pipeline(&self, keys: &[String]) -> impl Future<Output = Result<usize>> + Send;

    /// LRANGE of the whole list into a vector; its length.
    fn lrange(&self, key: &str) -> impl Future<Output = Result<usize>> + Send;

    /// The same with the least that the client can do for each item that is looked at.
    fn lrange_lazily(&self, key: &str) -> impl Future<Output = Result<usize>> + Send {
        self.lrange(key)
    }

    /// HGETALL of the whole hash into a vector of pairs; its length.
    fn hgetall(&self, key: &str) -> impl Future<Output = Result<usize>> + Send;

    /// Subscribes to a channel; returns when the server has confirmed it.
    fn listen(
        &self,
        url: &str,
        channel: &str,
    ) -> impl Future<Output = Result<Self::Listener>> + Send;

    /// SET, for requests that are to wait in the client: the future that a caller would hold, and nothing around it.
    fn set(
        &self,
        key: String,
        value: Vec<u8>,
    ) -> impl Future<Output = Result<()>> + Send + use<Self> + 'static;
}

/// One subscriber of one channel.
pub(crate) trait Listener: Send + 'static {
    /// The length of the next message; an error if messages were lost.
    fn next(&mut self) -> impl Future<Output = Result<usize>> + Send;
}

/// The names of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Name {
    /// Pre-encoded GETs on a blocking socket, replies counted: what the kernel costs.
    Raw,
    RedisRs,
    Fred,
    Rustis,
    #[cfg(feature = "redial")]
    Redial,
}

impl Name {
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As on the command line.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::RedisRs => "redis-rs",
            Self::Fred => "fred",
            Self::Rustis => "rustis",
            #[cfg(feature = "redial")]
            Self::Redial => "redial",
        }
    }

    /// Whether redial is to be compared with it.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::RedisRs | Self::Fred | Self::Rustis)
    }
}
