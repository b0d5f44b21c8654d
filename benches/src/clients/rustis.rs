//! rustis, from `Client::connect`.

use anyhow::{Context, Result};
use rustis::client::{BatchPreparedCommand, Client};
use rustis::commands::{HashCommands, ListCommands, StringCommands};
use rustis::resp::BulkString;

use super::Subject;

#[derive(Clone)]
pub(crate) struct Rustis(Client);

impl Subject for Rustis {
    async fn connect(url: &str) -> Result<Self> {
        Ok(Self(Client::connect(url).await?))
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let value: Option<BulkString> = self.0.get(key).await?;
        value.map(|value| value.as_bytes().len()).context("no such key")
    }

    async fn pipeline(&self, keys: &[String]) -> Result<usize> {
        let mut pipeline = self.0.create_pipeline();
        pipeline.reserve(keys.len());
        for key in keys {
            pipeline.get::<()>(key).queue();
        }
        let values: Vec<Option<BulkString>> = pipeline.execute().await?;
        Ok(values.iter().flatten().count())
    }

    async fn lrange(&self, key: &str) -> Result<usize> {
        let values: Vec<BulkString> = self.0.lrange(key, 0, -1).await?;
        Ok(values.len())
    }

    async fn hgetall(&self, key: &str) -> Result<usize> {
        let pairs: Vec<(BulkString, BulkString)> = self.0.hgetall(key).await?;
        Ok(pairs.len())
    }

    fn set(
        &self,
        key: String,
        value: Vec<u8>,
    ) -> impl Future<Output = Result<()>> + Send + use<> + 'static {
        let client = self.0.clone();
        async move { Ok(client.set(key, BulkString::new(value)).await?) }
    }
}
