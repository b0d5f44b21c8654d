//! The adapter of rustis: `Client::connect`, as its README begins, with nothing else set.

use std::process::ExitCode;

use futures_util::StreamExt;
use rust_clients::{Args, Client, Failure, Lines, Reply, serve};
use rustis::client::Client as RustisClient;
use rustis::commands::PubSubCommands;
use rustis::resp::{CommandBuilder, RefBulkString, Value};
use rustis::{ClientError, Error, ErrorKind};
use tokio::sync::broadcast::error::RecvError;

/// The drill's commands whose first argument is a key.
const KEYED: &[&str] = &["RPUSH", "INCR", "SET", "GET", "BLPOP"];

struct Rustis {
    client: RustisClient,
    url: String,
    out: Lines,
}

impl Client for Rustis {
    const NAME: &'static str = "rustis";
    const VERSION: &'static str = "0.27.2";

    async fn connect(url: &str, name: Option<&str>, out: Lines) -> Result<Self, Failure> {
        let url = match name {
            Some(name) => {
                let separator = if url.contains('?') { '&' } else { '?' };
                format!("{url}{separator}connection_name={name}")
            }
            None => url.to_owned(),
        };
        let client = RustisClient::connect(url.as_str()).await.map_err(failure)?;
        report_events(&client, &out);
        Ok(Self { client, url, out })
    }

    async fn run(&self, args: Args) -> Result<Reply, Failure> {
        let Some((name, args)) = args.split_first() else {
            return Err(Failure::client("bad-line", "a command needs a name"));
        };
        let mut command = CommandBuilder::new(name);
        let mut args = args;
        // rustis routes by what is marked as key, and every command of the drill that has one has it first.
        if KEYED.iter().any(|keyed| name.eq_ignore_ascii_case(keyed.as_bytes()))
            && let Some((key, rest)) = args.split_first()
        {
            command = command.key(RefBulkString::new(key));
            args = rest;
        }
        for arg in args {
            command = command.arg(RefBulkString::new(arg));
        }
        let value: Value = self.client.send(command, None).await.map_err(failure)?;
        reply(value)
    }

    async fn subscribe(&self, channel: String) -> Result<(), Failure> {
        let client = RustisClient::connect(self.url.as_str()).await.map_err(failure)?;
        let mut messages = client.subscribe(channel).await.map_err(failure)?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(failure)?;
            let channel = String::from_utf8_lossy(message.channel());
            self.out.message(&channel, message.payload());
        }
        Err(Failure::client("closed", "the stream of messages ended"))
    }
}

/// rustis tells of reconnections and of nothing else.
fn report_events(client: &RustisClient, out: &Lines) {
    let (mut reconnections, out) = (client.on_reconnect(), out.clone());
    tokio::spawn(async move {
        loop {
            match reconnections.recv().await {
                Ok(()) => out.event("ready", "reconnected"),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
}

fn reply(value: Value) -> Result<Reply, Failure> {
    Ok(match value {
        Value::Null => Reply::Nil,
        Value::Integer(value) => Reply::Int(value),
        Value::BulkString(bytes) => Reply::Text(bytes),
        Value::SimpleString(text) => Reply::Text(text.into_bytes()),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => Reply::Array(items.len()),
        Value::Map(entries) => Reply::Array(entries.len()),
        Value::Double(value) => Reply::Text(value.to_string().into_bytes()),
        Value::Boolean(value) => Reply::Text(value.to_string().into_bytes()),
        Value::Error(error) => return Err(Failure::server(error)),
    })
}

fn failure(error: Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::Redis(reply) => return Failure::server(reply),
        ErrorKind::DisconnectedByPeer => "disconnected-by-peer",
        ErrorKind::Client(ClientError::DisconnectedFromServer) => "disconnected",
        ErrorKind::Client(ClientError::SendQueueFull) => "send-queue-full",
        ErrorKind::Client(ClientError::MaxCommandAttemptsReached) => "max-attempts",
        ErrorKind::Client(_) => "client",
        ErrorKind::IO(_) => "io",
        ErrorKind::EOF => "eof",
        ErrorKind::Timeout(_) => "timeout",
        _ => "error",
    };
    Failure::client(kind, error)
}

fn main() -> ExitCode {
    serve::<Rustis>()
}
