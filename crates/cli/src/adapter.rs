//! `redial adapter`: the redial client with its defaults, spoken to over the adapter protocol
//! (docs/adapters.md).
//!
//! Stands on the public API alone, and has no dealings with the drill but its lines. `REDIAL_OPTIONS` changes how writes are sent.

use std::io::{BufRead as _, Write as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redial::{
    Client, Cmd, Delivery, Durable, Error, EventKind, Purpose, Received, TlsConfig, Value,
};
use tokio::sync::mpsc;

/// Runs until `q` or the end of standard input.
pub(crate) fn run() -> Result<()> {
    let url = std::env::var("REDIS_URL")
        .context("REDIS_URL is not set; this command is started by `redial drill`")?;
    let mut builder = match Client::builder(&url) {
        Ok(builder) => builder,
        // redis+sentinel:// and the like.
        Err(error) if url.split("://").next().is_some_and(|scheme| scheme.contains('+')) => {
            println!("unable redial {} {error}", env!("CARGO_PKG_VERSION"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(authority) = std::env::var_os("REDIS_CA_FILE") {
        builder = builder.tls(TlsConfig::new().ca_file(authority)?);
    }
    if let Ok(name) = std::env::var("REDIAL_DRILL_NAME") {
        builder = builder.client_name(name);
    }
    let options = Options::parse(&std::env::var("REDIAL_OPTIONS").unwrap_or_default())?;
    let (say, said) = channel();
    let writer = thread::spawn(move || write_lines(&said));
    let (hear, heard) = mpsc::unbounded_channel();
    // Reading standard input can't be cancelled: the thread ends with the process.
    thread::spawn(move || read_lines(&hear));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(builder, options, heard, say))?;
    runtime.shutdown_background();
    // Whatever a task still wanted to say is cut off with it.
    drop(writer);
    Ok(())
}

fn read_lines(hear: &mpsc::UnboundedSender<String>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if line == "q" || hear.send(line).is_err() {
            return;
        }
    }
}

/// One write for all lines that are ready together.
fn write_lines(said: &Receiver<String>) {
    let mut stdout = std::io::stdout().lock();
    let mut batch = String::new();
    while let Ok(line) = said.recv() {
        batch.clear();
        for line in std::iter::once(line).chain(said.try_iter()) {
            batch.push_str(&line);
            batch.push('\n');
        }
        if stdout.write_all(batch.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            return;
        }
    }
}

/// How writes are sent.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    once: bool,
    /// Replicas that must have a write.
    durable: Option<u32>,
}

/// Longer than a replica of a drill lags, and much shorter than a deadline.
const DURABLE_WITHIN: Duration = Duration::from_secs(3);

impl Options {
    fn parse(text: &str) -> Result<Self> {
        let mut options = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                None if word == "once" => options.once = true,
                Some(("durable", replicas)) => {
                    let replicas = replicas.parse();
                    options.durable = Some(replicas.context("durable=N: N is a number")?);
                }
                _ => bail!("REDIAL_OPTIONS knows `once` and `durable=N`, not `{word}`"),
            }
        }
        Ok(options)
    }

    /// As a part of the client's name in reports.
    fn label(self) -> String {
        let once = if self.once { "+once" } else { "" };
        let durable = self.durable.map(|n| format!("+durable({n})")).unwrap_or_default();
        format!("{once}{durable}")
    }
}

/// The client, and the way to write.
#[derive(Clone)]
struct Subject {
    client: Client,
    durable: Option<Durable>,
    once: bool,
}

impl Subject {
    fn new(client: Client, options: Options) -> Result<Self> {
        let open = |replicas| client.durable(replicas, DURABLE_WITHIN);
        let durable = options.durable.map(open).transpose()?;
        Ok(Self { client, durable, once: options.once })
    }

    fn request(&self, name: &str) -> Cmd<Value> {
        match &self.durable {
            Some(durable) if is_write(name) => durable.cmd(name),
            _ => self.client.cmd(name),
        }
    }

    async fn run(self, id: String, name: &str, request: Cmd<Value>, say: Sender<String>) {
        let told =
            if self.once && is_write(name) { request.once(&id).await } else { request.await };
        let _ = say.send(answer(&id, told));
    }
}

/// The writes of a drill's callers. Others' commands may block or read.
fn is_write(name: &str) -> bool {
    matches!(name, "RPUSH" | "INCR" | "SET")
}

async fn serve(
    builder: redial::Builder,
    options: Options,
    mut heard: mpsc::UnboundedReceiver<String>,
    say: Sender<String>,
) -> Result<()> {
    let _ = say.send(format!("ready redial {}{}", env!("CARGO_PKG_VERSION"), options.label()));
    let mut subjects = Vec::new();
    for _ in 0..number_of_clients() {
        let subject = Subject::new(builder.clone().build(), options)?;
        tokio::spawn(tell_events(subject.client.clone(), say.clone()));
        subjects.push(subject);
    }
    while let Some(line) = heard.recv().await {
        let mut words = line.split(' ');
        let (word, id) = (words.next(), words.next());
        let number = id.and_then(|id| id.parse::<usize>().ok()).unwrap_or(0);
        let subject = &subjects[number % subjects.len()];
        let client = &subject.client;
        match (word, id) {
            (Some("c"), Some(id)) => {
                let args: Vec<String> = words.map(str::to_owned).collect();
                let Some((name, args)) = args.split_first() else { continue };
                let (request, name) = (subject.request(name).args(args), name.clone());
                let (subject, id, say) = (subject.clone(), id.to_owned(), say.clone());
                tokio::spawn(async move { subject.run(id, &name, request, say).await });
            }
            (Some("u"), Some(id)) => {
                let (Some(key), Some(Ok(bytes))) = (words.next(), words.next().map(str::parse))
                else {
                    continue;
                };
                let value = vec![b'x'; bytes];
                let request = client.cmd::<Value>("SET").arg(key).arg(&value).send();
                let (id, say) = (id.to_owned(), say.clone());
                tokio::spawn(async move { say.send(answer(&id, request.await)) });
            }
            (Some("s"), Some(channel)) => {
                tokio::spawn(listen(client.clone(), channel.to_owned(), say.clone()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// As many as the drill asks for in one process; one, if it does not.
fn number_of_clients() -> usize {
    let asked = std::env::var("REDIAL_DRILL_CLIENTS").ok();
    asked.and_then(|number| number.parse().ok()).filter(|number| *number > 0).unwrap_or(1)
}

fn answer(id: &str, told: Result<Value, Error>) -> String {
    match told {
        Ok(Value::Error(error)) => {
            format!("r {id} err {} answered {}", error.code(), one_line(&error.to_string()))
        }
        Ok(value) => format!("r {id} ok {}", word(&value)),
        Err(error) => format!("r {id} err {} {}", kind(&error), claim(&error)),
    }
}

fn kind(error: &Error) -> String {
    error.code().map_or_else(|| format!("{:?}", error.kind()), str::to_owned)
}

fn claim(error: &Error) -> String {
    let delivery = match error.delivery() {
        Delivery::NotSent => "not-sent",
        Delivery::Rejected => "rejected",
        Delivery::Unknown => "unknown",
        Delivery::Ran => "ran",
        Delivery::Answered => "answered",
    };
    format!("{delivery} {}", one_line(&error.to_string()))
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "(nil)".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Boolean(b) => b.to_string(),
        Value::Double(n) => n.to_string(),
        Value::Simple(text) | Value::Bulk(text) | Value::BigNumber(text) => {
            one_line(&String::from_utf8_lossy(text))
        }
        Value::Verbatim { text, .. } => one_line(&String::from_utf8_lossy(text)),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            format!("[{}]", items.len())
        }
        Value::Map(entries) => format!("[{}]", entries.len() * 2),
        Value::Error(error) => one_line(&error.to_string()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn listen(client: Client, channel: String, say: Sender<String>) {
    match client.subscribe(&channel).await {
        Ok(mut subscription) => {
            let _ = say.send(format!("e subscribed {channel}"));
            while let Some(received) = subscription.next().await {
                let _ = say.send(heard(&channel, &received));
            }
        }
        Err(error) => {
            let _ = say.send(format!("e refused {}", one_line(&error.to_string())));
        }
    }
}

fn heard(channel: &str, received: &Received) -> String {
    match received {
        Received::Message(message) => {
            format!("m {channel} {}", one_line(&String::from_utf8_lossy(&message.payload)))
        }
        Received::Interrupted => format!("e interrupted {channel}"),
        Received::Resumed { after } => format!("e resumed {channel} {}", after.as_millis()),
        Received::Dropped(count) => format!("e dropped {channel} {count}"),
        Received::Refused(refused) => {
            format!("e refused {channel} {}", one_line(&refused.error.to_string()))
        }
    }
}

async fn tell_events(client: Client, say: Sender<String>) {
    let mut events = client.events();
    drop(client);
    while let Some(event) = events.next().await {
        // A burst that is missed leaves the states around it.
        let Ok(event) = event else { continue };
        // Links that ask where servers are come and go.
        if event.purpose == Purpose::Discovery {
            continue;
        }
        let what = match event.kind {
            EventKind::State(state) => state.name().to_owned(),
            EventKind::Probe { .. } => "probe".to_owned(),
            EventKind::Adopted { .. } => "adopted".to_owned(),
            EventKind::Condemned { .. } => "condemned".to_owned(),
            EventKind::Recovered { .. } => "recovered".to_owned(),
            EventKind::DialFailed { cause, .. } => format!("dial-failed {}", one_line(&cause)),
            EventKind::HistoryChanged { possible_loss } => {
                format!("history-changed possible-loss={possible_loss}")
            }
            // Its state says `suspect`; the rest is no change of a connection.
            _ => continue,
        };
        let purpose = format!("{:?}", event.purpose).to_lowercase();
        if say.send(format!("e {what} {purpose}")).is_err() {
            return;
        }
    }
}
