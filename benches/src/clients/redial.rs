//! redial, from `Client::connect`.

use std::pin::Pin;
use std::task::{self, Poll};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use redial::{Client, Frame, Received, Subscription};

use super::{Listener, Subject};

#[derive(Clone)]
pub(crate) struct Redial(Client);

impl Listener for Subscription {
    async fn next(&mut self) -> Result<usize> {
        match self.next().await {
            Some(Received::Message(message)) => Ok(message.payload.len()),
            other => bail!("{other:?} instead of a message"),
        }
    }
}

impl Subject for Redial {
    type Listener = Subscription;

    async fn listen(&self, _url: &str, channel: &str) -> Result<Subscription> {
        Ok(self.0.subscribe(channel).await?)
    }

    async fn connect(url: &str) -> Result<Self> {
        Ok(Self(Client::connect(url).await?))
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let value: Option<Vec<u8>> = self.0.cmd("GET").arg(key).await?;
        value.map(|value| value.len()).context("no such key")
    }

    async fn pipeline(&self, keys: &[String]) -> Result<usize> {
        let mut pipeline = self.0.pipeline();
        for key in keys {
            pipeline.cmd("GET").arg(key);
        }
        let mut values: Vec<Option<Vec<u8>>> = Vec::with_capacity(keys.len());
        for reply in pipeline.await {
            values.push(reply?.decode()?);
        }
        Ok(values.iter().flatten().count())
    }

    async fn lrange(&self, key: &str) -> Result<usize> {
        let values: Vec<Bytes> = self.0.cmd("LRANGE").arg(key).arg("0").arg("-1").await?;
        Ok(values.len())
    }

    async fn lrange_lazily(&self, key: &str) -> Result<usize> {
        let reply: Frame = self.0.cmd("LRANGE").arg(key).arg("0").arg("-1").await?;
        let items = reply.elements().context("not a list")?;
        Ok(items.filter(|item| item.text().is_some_and(|text| !text.is_empty())).count())
    }

    async fn hgetall(&self, key: &str) -> Result<usize> {
        let pairs: Vec<(Bytes, Bytes)> = self.0.cmd("HGETALL").arg(key).await?;
        Ok(pairs.len())
    }

    fn set(
        &self,
        key: String,
        value: Vec<u8>,
    ) -> impl Future<Output = Result<()>> + Send + use<> + 'static {
        Waiting(self.0.cmd("SET").arg(key).arg(value).run())
    }
}

/// The request itself: an `async` block around it would hold it twice.
struct Waiting(redial::Request<()>);

impl Future for Waiting {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll(cx).map_err(anyhow::Error::from)
    }
}
