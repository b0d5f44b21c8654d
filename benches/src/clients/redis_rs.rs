//! redis-rs. `MultiplexedConnection` rather than `ConnectionManager`: it is the faster of the two, and the difference is given in the
//! README.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use redis::AsyncCommands;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster_async::ClusterConnection;

use super::{Listener, Subject};

#[derive(Clone)]
pub(crate) enum RedisRs {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Does the same with either connection.
macro_rules! with {
    ($client:expr, $connection:ident => $work:expr) => {
        match $client.clone() {
            RedisRs::One(mut $connection) => $work,
            RedisRs::Cluster(mut $connection) => $work,
        }
    };
}

impl Listener for PubSub {
    async fn next(&mut self) -> Result<usize> {
        let message = self.on_message().next().await.context("the subscription has ended")?;
        Ok(message.get_payload_bytes().len())
    }
}

impl Subject for RedisRs {
    type Listener = PubSub;

    async fn listen(&self, url: &str, channel: &str) -> Result<PubSub> {
        let mut messages = redis::Client::open(url)?.get_async_pubsub().await?;
        messages.subscribe(channel).await?;
        Ok(messages)
    }

    async fn connect(url: &str) -> Result<Self> {
        if let Some(nodes) = crate::server::nodes(url) {
            let nodes = nodes.iter().map(|node| format!("redis://{node}"));
            let client = redis::cluster::ClusterClient::new(nodes.collect::<Vec<_>>())?;
            return Ok(Self::Cluster(client.get_async_connection().await?));
        }
        Ok(Self::One(redis::Client::open(url)?.get_multiplexed_async_connection().await?))
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let value: Option<Vec<u8>> = with!(self, connection => connection.get(key).await?);
        value.map(|value| value.len()).context("no such key")
    }

    async fn pipeline(&self, keys: &[String]) -> Result<usize> {
        let mut pipeline = redis::Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.get(key);
        }
        let values: Vec<Option<Vec<u8>>> = with!(self, connection => pipeline.query_async(&mut connection).await?);
        Ok(values.iter().flatten().count())
    }

    async fn lrange(&self, key: &str) -> Result<usize> {
        let values: Vec<Vec<u8>> = with!(self, connection => connection.lrange(key, 0, -1).await?);
        Ok(values.len())
    }

    async fn hgetall(&self, key: &str) -> Result<usize> {
        let pairs: Vec<(Vec<u8>, Vec<u8>)> = with!(self, connection => connection.hgetall(key).await?);
        Ok(pairs.len())
    }

    fn set(
        &self,
        key: String,
        value: Vec<u8>,
    ) -> impl Future<Output = Result<()>> + Send + use<> + 'static {
        let client = self.clone();
        async move { Ok(with!(client, connection => connection.set(key, value).await?)) }
    }
}
