//! The adapter of redis-rs: `ConnectionManager` with its defaults, which is what its documentation recommends where
//! connections are to be made again.

use std::process::ExitCode;

use futures_util::StreamExt;
use redis::aio::ConnectionManager;
use redis::{Cmd, ErrorKind, RedisError, Value};
use rust_clients::{Args, Client, Failure, Lines, Reply, serve};

struct RedisRs {
    client: redis::Client,
    manager: ConnectionManager,
    out: Lines,
}

impl Client for RedisRs {
    const NAME: &'static str = "redis-rs";
    const VERSION: &'static str = "1.8.1";

    /// redis-rs has no client name that survives a reconnection, so none is announced.
    async fn connect(url: &str, _name: Option<&str>, out: Lines) -> Result<Self, Failure> {
        let client = redis::Client::open(url).map_err(failure)?;
        let manager = client.get_connection_manager().await.map_err(failure)?;
        Ok(Self { client, manager, out })
    }

    async fn run(&self, args: Args) -> Result<Reply, Failure> {
        let mut command = Cmd::new();
        for arg in &args {
            command.arg(arg.as_slice());
        }
        let value = command.query_async(&mut self.manager.clone()).await.map_err(failure)?;
        reply(value)
    }

    async fn subscribe(&self, channel: String) -> Result<(), Failure> {
        let (mut sink, mut messages) =
            self.client.get_async_pubsub().await.map_err(failure)?.split();
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
