//! fred, from its `Builder`, with the reconnect policy that its documentation says to set.

use anyhow::{Context, Result};
use bytes::Bytes;
use fred::prelude::{
    Builder, Client, ClientLike, Config, EventInterface, HashesInterface, KeysInterface,
    ListInterface, PubsubInterface,
};
use fred::prelude::{ReconnectPolicy, Value};
use fred::types::Message;
use tokio::sync::broadcast::Receiver;

use super::{Listener, Subject};
use crate::workload::MESSAGES;

#[derive(Clone)]
pub(crate) struct Fred(Client);

/// A client of its own, as its documentation says. By default it keeps 32 messages for a receiver and drops the rest.
pub(crate) struct Messages(
    #[expect(dead_code, reason = "ends when it is dropped")] Client,
    Receiver<Message>,
);

impl Listener for Messages {
    async fn next(&mut self) -> Result<usize> {
        self.1.recv().await?.value.as_bytes().map(<[u8]>::len).context("no bytes")
    }
}

impl Subject for Fred {
    type Listener = Messages;

    async fn listen(&self, url: &str, channel: &str) -> Result<Messages> {
        let mut builder = Builder::from_config(Config::from_url(url)?);
        builder.set_policy(ReconnectPolicy::default());
        builder.with_performance_config(|config| config.broadcast_channel_capacity = MESSAGES);
        let client = builder.build()?;
        client.init().await?;
        let messages = client.message_rx();
        client.subscribe(channel).await?;
        Ok(Messages(client, messages))
    }

    async fn connect(url: &str) -> Result<Self> {
        let clustered = crate::server::nodes(url).map(|nodes| {
            let others = nodes.iter().skip(1).map(|node| format!("node={node}"));
            format!("redis-cluster://{}?{}", nodes[0], others.collect::<Vec<_>>().join("&"))
        });
        let url = clustered.as_deref().unwrap_or(url);
        let mut builder = Builder::from_config(Config::from_url(url)?);
        let client = builder.set_policy(ReconnectPolicy::default()).build()?;
        client.init().await?;
        Ok(Self(client))
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let value: Option<Bytes> = self.0.get(key).await?;
        value.map(|value| value.len()).context("no such key")
    }

    async fn pipeline(&self, keys: &[String]) -> Result<usize> {
        let pipeline = self.0.pipeline();
        for key in keys {
            let _queued: Value = pipeline.get(key).await?;
        }
        let values: Vec<Option<Bytes>> = pipeline.all().await?;
        Ok(values.iter().flatten().count())
    }

    async fn lrange(&self, key: &str) -> Result<usize> {
        let values: Vec<Bytes> = self.0.lrange(key, 0, -1).await?;
        Ok(values.len())
    }

    async fn hgetall(&self, key: &str) -> Result<usize> {
        let pairs: Vec<(Bytes, Bytes)> = self.0.hgetall(key).await?;
        Ok(pairs.len())
    }

    fn set(
        &self,
        key: String,
        value: Vec<u8>,
    ) -> impl Future<Output = Result<()>> + Send + use<> + 'static {
        let client = self.0.clone();
        async move { Ok(client.set(key, Bytes::from(value), None, None, false).await?) }
    }
}
