//! Credentials from a provider: what a program implements, and how it is asked. When it is asked, and what becomes of its answer, is the core's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use redial_proto::Grant;
use tokio::task::JoinHandle;

/// An error of a provider; its text is shown in events and errors, so it must hold no secret.
pub type CredentialsError = Box<dyn std::error::Error + Send + Sync>;

/// Why credentials are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialsRequest {
    /// A server refused what this provider gave last: what it has kept of that is of no use.
    pub anew: bool,
}

/// Gives the credentials of connections: [`Builder::credentials_provider`](crate::Builder::credentials_provider).
///
/// It is asked at every dial, beside resolving and connecting, and once more before what it gave expires; one question at a time. So it keeps what it has for
/// as long as that is good, rather than fetch it each time. Where it is slow or fails and the last credentials have not expired, they are used
/// instead; where there are none, a dial waits for [`Builder::credentials_timeout`](crate::Builder::credentials_timeout) and fails. Connections in use are told of new credentials with AUTH.
///
/// A closure will do:
///
/// ```no_run
/// # async fn example() -> Result<(), redial::Error> {
/// use redial::{Builder, Grant};
///
/// let builder = Builder::tcp("redis.internal", 6379).credentials_provider(async |_| {
///     let password = std::fs::read_to_string("/run/secrets/redis")?;
///     Ok(Grant::new(Some("app"), password.trim()))
/// });
/// # builder.connect().await?;
/// # Ok(())
/// # }
/// ```
pub trait CredentialsProvider: Send + Sync + 'static {
    /// Gives them, with how long they are good for. Cancel safe: the future is dropped when its answer is not waited for any more.
    ///
    /// # Errors
    /// Whatever prevents it, without secrets.
    fn provide(
        &self,
        request: CredentialsRequest,
    ) -> impl Future<Output = Result<Grant, CredentialsError>> + Send;
}

impl<F, Fut> CredentialsProvider for F
where
    F: Fn(CredentialsRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Grant, CredentialsError>> + Send,
{
    fn provide(
        &self,
        request: CredentialsRequest,
    ) -> impl Future<Output = Result<Grant, CredentialsError>> + Send {
        self(request)
    }
}

type Ask = dyn Fn(CredentialsRequest) -> Question + Send + Sync;

/// A provider of any type.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Ask>);

impl Provider {
    pub(crate) fn new(provider: impl CredentialsProvider) -> Self {
        let provider = Arc::new(provider);
        Self(Arc::new(move |request| {
            let provider = Arc::clone(&provider);
            // A task of its own: what it does is not the driver's to wait for, nor to die of.
            Question(tokio::spawn(async move { provider.provide(request).await }))
        }))
    }

    pub(crate) fn ask(&self, request: CredentialsRequest) -> Question {
        (self.0)(request)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider(..)")
    }
}

/// A question under way; dropping it ends it.
pub(crate) struct Question(JoinHandle<Result<Grant, CredentialsError>>);

impl Future for Question {
    type Output = Result<Grant, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| match outcome {
            Ok(Ok(grant)) => Ok(grant),
            Ok(Err(error)) => Err(format!("the credentials provider failed: {error}")),
            Err(error) if error.is_panic() => Err("the credentials provider panicked".to_owned()),
            Err(_) => Err("the credentials provider was ended with its runtime".to_owned()),
        })
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.abort();
    }
}
