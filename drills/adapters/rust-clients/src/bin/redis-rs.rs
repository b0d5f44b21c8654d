//! The adapter of redis-rs: `ConnectionManager` with its defaults, which is what its documentation recommends where
//! connections are to be made again; `ClusterClient` for a cluster; and for Sentinels `SentinelClient`, whose
//! connections nobody makes again but who asks for another: that is done here, whenever an error says that the connection must be replaced.

use std::process::ExitCode;

use futures_util::StreamExt;
use redis::aio::ConnectionManager;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelServerType};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};
use rust_clients::{Args, Client, Deployment, Failure, Lines, Reply, serve};
use tokio::sync::Mutex;

struct RedisRs {
    way: Way,
    out: Lines,
}

enum Way {
    One { client: redis::Client, manager: ConnectionManager },
    Cluster(ClusterConnection),
    Sentinel(Watched),
}

/// A connection to whom the Sentinels name, and how to get another.
struct Watched {
    client: Mutex<SentinelClient>,
    /// And how many came before it.
    connection: Mutex<(u64, MultiplexedConnection)>,
}

impl Watched {
    async fn open(sentinels: &[String], name: String) -> RedisResult<Self> {
        let urls: Vec<_> = sentinels.iter().map(|host| format!("redis://{host}")).collect();
        let primary = SentinelServerType::Master;
        let mut client = SentinelClient::build(urls, name, None, primary)?;
        let connection = client.get_async_connection().await?;
        Ok(Self { client: Mutex::new(client), connection: Mutex::new((0, connection)) })
    }

    async fn query(&self, command: &Cmd) -> RedisResult<Value> {
        let (number, mut connection) = self.connection.lock().await.clone();
        let result = command.query_async(&mut connection).await;
        if result.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
            self.replace(number).await;
        }
        result
    }

    /// Once for all callers of the same connection.
    async fn replace(&self, number: u64) {
        let mut client = self.client.lock().await;
        if self.connection.lock().await.0 == number
            && let Ok(connection) = client.get_async_connection().await
        {
            *self.connection.lock().await = (number + 1, connection);
        }
    }
}

impl Client for RedisRs {
    const NAME: &'static str = "redis-rs";
    const VERSION: &'static str = "1.8.1";

    /// redis-rs has no client name that survives a reconnection, so none is announced.
    async fn connect(url: &str, _name: Option<&str>, out: Lines) -> Result<Self, Failure> {
        let way = match Deployment::of(url) {
            Deployment::One => {
                let client = redis::Client::open(url).map_err(failure)?;
                let manager = client.get_connection_manager().await.map_err(failure)?;
                Way::One { client, manager }
            }
            Deployment::Cluster(hosts) => {
                let urls = hosts.iter().map(|host| format!("redis://{host}"));
                let client = ClusterClient::new(urls).map_err(failure)?;
                Way::Cluster(client.get_async_connection().await.map_err(failure)?)
            }
            Deployment::Sentinel { sentinels, name } => {
                Way::Sentinel(Watched::open(&sentinels, name).await.map_err(failure)?)
            }
        };
        Ok(Self { way, out })
    }

    async fn run(&self, args: Args) -> Result<Reply, Failure> {
        let mut command = Cmd::new();
        for arg in &args {
            command.arg(arg.as_slice());
        }
        let value = match &self.way {
            Way::One { manager, .. } => command.query_async(&mut manager.clone()).await,
            Way::Cluster(cluster) => command.query_async(&mut cluster.clone()).await,
            Way::Sentinel(watched) => watched.query(&command).await,
        };
        reply(value.map_err(failure)?)
    }

    async fn subscribe(&self, channel: String) -> Result<(), Failure> {
        let client = match &self.way {
            Way::One { client, .. } => client.clone(),
            Way::Sentinel(watched) => {
                watched.client.lock().await.async_get_client().await.map_err(failure)?
            }
            Way::Cluster(_) => {
                return Err(Failure::client("unable", "this adapter listens to no cluster"));
            }
        };
        let (mut sink, mut messages) = client.get_async_pubsub().await.map_err(failure)?.split();
        sink.subscribe(&channel).await.map_err(failure)?;
        while let Some(message) = messages.next().await {
            self.out.message(message.get_channel_name(), message.get_payload_bytes());
        }
        Err(Failure::client(
            "closed",
            "the stream of messages ended, and redis-rs does not make it again",
        ))
    }
}

fn reply(value: Value) -> Result<Reply, Failure> {
    Ok(match value {
        Value::Nil => Reply::Nil,
        Value::Int(value) => Reply::Int(value),
        Value::BulkString(bytes) => Reply::Text(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => {
            Reply::Text(text.into_bytes())
        }
        Value::Okay => Reply::Text(b"OK".to_vec()),
        Value::Array(items) | Value::Set(items) => Reply::Array(items.len()),
        Value::Map(entries) => Reply::Array(entries.len()),
        Value::Double(value) => Reply::Text(value.to_string().into_bytes()),
        Value::Boolean(value) => Reply::Text(value.to_string().into_bytes()),
        Value::ServerError(error) => return Err(Failure::server(error)),
        other => Reply::Text(format!("{other:?}").into_bytes()),
    })
}

fn failure(error: RedisError) -> Failure {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let code = error.code().unwrap_or("ERR");
            Failure::server(format!("{code} {}", error.detail().unwrap_or_default()))
        }
        _ if error.is_timeout() => Failure::client("timeout", error),
        ErrorKind::Io if error.is_connection_dropped() => {
            Failure::client("connection-dropped", error)
        }
        ErrorKind::Io if error.is_connection_refusal() => {
            Failure::client("connection-refused", error)
        }
        kind => Failure::client(format!("{kind:?}").to_lowercase(), error),
    }
}

fn main() -> ExitCode {
    serve::<RedisRs>()
}
