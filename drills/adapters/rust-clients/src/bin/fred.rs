//! The adapter of fred: a client from its `Builder`, as its README makes one, with `ReconnectPolicy::default()`.
//!
//! The policy is the one thing added: without it fred's client ends at the first lost connection, and its
//! documentation says to set one.

use std::process::ExitCode;

use fred::clients::SubscriberClient;
use fred::prelude::{Builder, ClientLike, Config, ErrorKind, EventInterface, PubsubInterface};
use fred::prelude::{ReconnectPolicy, Value};
use fred::types::{ClusterHash, CustomCommand};
use rust_clients::{Args, Client, Deployment, Failure, Lines, Reply, serve};

struct Fred {
    client: fred::clients::Client,
    builder: Builder,
    out: Lines,
}

impl Client for Fred {
    const NAME: &'static str = "fred";
    const VERSION: &'static str = "10.1.0";

    /// fred announces only names of its own making, so the drill's is not used.
    async fn connect(url: &str, _name: Option<&str>, out: Lines) -> Result<Self, Failure> {
        let config = Config::from_url(&own_url(url)).map_err(failure)?;
        let mut builder = Builder::from_config(config);
        builder.set_policy(ReconnectPolicy::default());
        let client = builder.build().map_err(failure)?;
        report_events(&client, &out);
        client.init().await.map_err(failure)?;
        Ok(Self { client, builder, out })
    }

    async fn run(&self, args: Args) -> Result<Reply, Failure> {
        let mut args = args.into_iter();
        let name = args.next().unwrap_or_default();
        let name = String::from_utf8_lossy(&name).into_owned();
        let command = CustomCommand::new(name, ClusterHash::FirstKey, false);
        let args: Vec<Value> = args.map(|arg| Value::Bytes(arg.into())).collect();
        let value: Value = self.client.custom(command, args).await.map_err(failure)?;
        Ok(reply(value))
    }

    async fn subscribe(&self, channel: String) -> Result<(), Failure> {
        let subscriber: SubscriberClient =
            self.builder.build_subscriber_client().map_err(failure)?;
        let mut messages = subscriber.message_rx();
        subscriber.init().await.map_err(failure)?;
        subscriber.manage_subscriptions();
        subscriber.subscribe(channel).await.map_err(failure)?;
        loop {
            let message =
                messages.recv().await.map_err(|error| Failure::client("closed", error))?;
            self.out.message(&message.channel, message.value.as_bytes().unwrap_or_default());
        }
    }
}

/// The drill's URL in fred's form.
fn own_url(url: &str) -> String {
    let tls = if url.starts_with("rediss") { "s" } else { "" };
    let nodes = |hosts: &[String]| {
        let others: Vec<_> = hosts.iter().skip(1).map(|host| format!("node={host}")).collect();
        (hosts.first().cloned().unwrap_or_default(), others.join("&"))
    };
    match Deployment::of(url) {
        Deployment::One => url.to_owned(),
        Deployment::Sentinel { sentinels, name } => {
            let (first, others) = nodes(&sentinels);
            format!("redis{tls}-sentinel://{first}?sentinelServiceName={name}&{others}")
        }
        Deployment::Cluster(hosts) => {
            let (first, others) = nodes(&hosts);
            format!("redis{tls}-cluster://{first}?{others}")
        }
    }
}

/// fred calls these from tasks of its own, for as long as the client lives.
fn report_events(client: &fred::clients::Client, out: &Lines) {
    let lines = out.clone();
    client.on_reconnect(move |server| {
        lines.event("ready", server);
        async { Ok(()) }
    });
    let lines = out.clone();
    client.on_error(move |(error, server)| {
        let server = server.map(|server| server.to_string()).unwrap_or_default();
        lines.event("reconnecting", format!("{server} {error}"));
        async { Ok(()) }
    });
    let lines = out.clone();
    client.on_unresponsive(move |server| {
        lines.event("suspect", server);
        async { Ok(()) }
    });
}

fn reply(value: Value) -> Reply {
    match value {
        Value::Null => Reply::Nil,
        Value::Integer(value) => Reply::Int(value),
        Value::Bytes(bytes) => Reply::Text(bytes.to_vec()),
        Value::Array(items) => Reply::Array(items.len()),
        Value::Map(entries) => Reply::Array(entries.len()),
        scalar => Reply::Text(scalar.into_string().unwrap_or_default().into_bytes()),
    }
}

/// fred does not mark error replies; it keeps the server's text, whose first word is a code in capitals.
fn failure(error: fred::error::Error) -> Failure {
    let code = error.details().split(' ').next().unwrap_or_default();
    let is_code = code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    match error.kind() {
        ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled => {}
        _ if is_code => return Failure::server(error.details()),
        _ => {}
    }
    Failure::client(format!("{:?}", error.kind()).to_lowercase(), error.details())
}

fn main() -> ExitCode {
    serve::<Fred>()
}
