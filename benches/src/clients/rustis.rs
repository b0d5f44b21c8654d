//! rustis, from `Client::connect`.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use rustis::client::{BatchPreparedCommand, Client, PubSubStream};
use rustis::commands::{HashCommands, ListCommands, PubSubCommands, StringCommands};
use rustis::resp::BulkString;

use super::{Listener, Subject};

#[derive(Clone)]
pub(crate) struct Rustis(Client);

impl Listener for PubSubStream {
    async fn next(&mut self) -> Result<usize> {
        let message = StreamExt::next(self).await.context("the subscription has ended")??;
        Ok(message.payload().len())
    }
}

impl Subject for Rustis {
    type Listener = PubSubStream;

    async fn listen(&self, _url: &str, channel: &str) -> Result<PubSubStream> {
        Ok(self.0.subscribe(channel).await?)
    }

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
