//! fred, from its `Builder`, with the reconnect policy that its documentation says to set.

use anyhow::{Context, Result};
use bytes::Bytes;
use fred::prelude::{
    Builder, Client, ClientLike, Config, HashesInterface, KeysInterface, ListInterface,
};
use fred::prelude::{ReconnectPolicy, Value};

use super::Subject;

#[derive(Clone)]
pub(crate) struct Fred(Client);

impl Subject for Fred {
    async fn connect(url: &str) -> Result<Self> {
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
