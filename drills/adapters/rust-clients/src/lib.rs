//! What the three adapters share: the line protocol of `docs/adapters.md`, spoken for any client that implements [`Client`].
//!
//! It does not decide how a client is configured, what its errors are called, or whether anything is sent again:
//! that is the client's own business, and the point of drilling it.

mod deployment;

pub use deployment::Deployment;

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

/// The largest value that `u` may ask for: the server's own limit (`proto-max-bulk-len`).
const LARGEST_VALUE: usize = 512 << 20;

/// A command's name and arguments. Shared, because a client may keep them while it sends again.
pub type Args = Vec<Vec<u8>>;

/// A reply, as far as the protocol tells replies apart.
pub enum Reply {
    /// The server's nil.
    Nil,
    /// An integer.
    Int(i64),
    /// A bulk string, a simple string, or any other scalar in its textual form.
    Text(Vec<u8>),
    /// An aggregate of this many items.
    Array(usize),
}

/// Why a command failed, in the client's own words.
pub struct Failure {
    kind: String,
    delivery: &'static str,
    text: String,
}

impl Failure {
    /// A failure that the client itself reports. None of these clients claims anything about delivery.
    pub fn client(kind: impl Display, text: impl Display) -> Self {
        Self { kind: token(&kind.to_string()), delivery: "-", text: one_line(&text.to_string()) }
    }

    /// An error reply of the server; `text` starts with its code, which becomes the kind.
    pub fn server(text: impl Display) -> Self {
        let text = one_line(&text.to_string());
        let code = text.split(' ').next().unwrap_or_default();
        Self { kind: token(code), delivery: "answered", text }
    }

    /// The reason as one line of text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A client under test.
pub trait Client: Send + Sync + Sized + 'static {
    /// Name and version for the `ready` line, one token each.
    const NAME: &'static str;
    /// The version of the client's crate, as pinned in Cargo.toml.
    const VERSION: &'static str;

    /// Creates the one client that all commands share; `name` is what it should announce with CLIENT SETNAME, if it can.
    fn connect(
        url: &str,
        name: Option<&str>,
        out: Lines,
    ) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Runs one command on the shared client.
    fn run(&self, args: Args) -> impl Future<Output = Result<Reply, Failure>> + Send;

    /// Subscribes on a connection meant for that, and hands on what arrives until the subscription ends.
    fn subscribe(&self, channel: String) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Where an adapter's lines go; clones write to the same output, and whole lines never mix.
#[derive(Clone)]
pub struct Lines(mpsc::UnboundedSender<String>);

impl Lines {
    /// The connection changed state, as far as the client tells.
    pub fn event(&self, state: &str, detail: impl Display) {
        self.line(format!("e {state} {}", one_line(&detail.to_string())));
    }

    /// A message arrived.
    pub fn message(&self, channel: &str, payload: &[u8]) {
        self.line(format!("m {channel} {}", one_line(&String::from_utf8_lossy(payload))));
    }

    fn settled(&self, id: &str, result: Result<Reply, Failure>) {
        self.line(match result {
            Ok(Reply::Nil) => format!("r {id} ok (nil)"),
            Ok(Reply::Int(value)) => format!("r {id} ok {value}"),
            Ok(Reply::Text(text)) => {
                format!("r {id} ok {}", one_line(&String::from_utf8_lossy(&text)))
            }
            Ok(Reply::Array(length)) => format!("r {id} ok [{length}]"),
            Err(Failure { kind, delivery, text }) => format!("r {id} err {kind} {delivery} {text}"),
        });
    }

    fn line(&self, mut line: String) {
        line.push('\n');
        // The writer ends only when standard output is gone, and then nobody is there to be told.
        drop(self.0.send(line));
    }
}

/// Speaks the protocol for the client `C` until the drill is over. The whole of an adapter's `main`.
pub fn serve<C: Client>() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return give_up(C::NAME, &format!("cannot start the tokio runtime: {error}")),
    };
    let code = runtime.block_on(converse::<C>());
    // A client that hangs must not keep its adapter alive: commands in flight are abandoned here.
    runtime.shutdown_background();
    code
}

async fn converse<C: Client>() -> ExitCode {
    let Ok(url) = std::env::var("REDIS_URL") else {
        return give_up(
            C::NAME,
            "REDIS_URL is not set; set it to the endpoint, e.g. redis://127.0.0.1:6379",
        );
    };
    let name = std::env::var("REDIAL_DRILL_NAME").ok().filter(|name| !name.is_empty());
    let (sender, receiver) = mpsc::unbounded_channel();
    let out = Lines(sender);
    let mut writer = tokio::spawn(write_lines(receiver));
    // Before the client can report anything: it need not be connected yet.
    out.line(format!("ready {} {}", C::NAME, C::VERSION));
    let mut clients = Vec::new();
    for _ in 0..number_of_clients() {
        match C::connect(&url, name.as_deref(), out.clone()).await {
            Ok(client) => clients.push(Arc::new(client)),
            Err(failure) => {
                return give_up(C::NAME, &format!("no client for {url}: {}", failure.text()));
            }
        }
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            // Standard output is gone: the drill no longer listens.
            _ = &mut writer => return ExitCode::FAILURE,
            line = lines.next_line() => match line {
                Ok(Some(line)) if line != "q" => handle(&clients, &out, &line),
                Ok(_) => return ExitCode::SUCCESS,
                Err(error) => return give_up(C::NAME, &format!("cannot read standard input: {error}")),
            },
        }
    }
}

/// As many as the drill asks for in one process; one, if it does not.
fn number_of_clients() -> usize {
    let asked = std::env::var("REDIAL_DRILL_CLIENTS").ok();
    asked.and_then(|number| number.parse().ok()).filter(|number| *number > 0).unwrap_or(1)
}

fn handle<C: Client>(clients: &[Arc<C>], out: &Lines, line: &str) {
    let mut fields = line.split(' ').filter(|field| !field.is_empty());
    let (word, id) = (fields.next(), fields.next());
    let number = id.and_then(|id| id.parse::<usize>().ok()).unwrap_or(0);
    let client = &clients[number % clients.len()];
    match (word, id) {
        (Some("c"), Some(id)) => {
            let args: Args = fields.map(|field| field.as_bytes().to_vec()).collect();
            if args.is_empty() {
                out.settled(id, Err(Failure::client("bad-line", "a command needs a name")));
            } else {
                start(client, out, id, args);
            }
        }
        (Some("u"), Some(id)) => match (fields.next(), fields.next().map(str::parse::<usize>)) {
            (Some(key), Some(Ok(bytes))) if bytes <= LARGEST_VALUE => {
                let value = vec![b'x'; bytes];
                start(client, out, id, vec![b"SET".to_vec(), key.as_bytes().to_vec(), value]);
            }
            _ => out.settled(
                id,
                Err(Failure::client("bad-line", "u takes ID KEY BYTES, at most 512 MiB")),
            ),
        },
        (Some("s"), Some(channel)) => {
            let (client, channel) = (client.clone(), channel.to_owned());
            tokio::spawn(async move {
                if let Err(failure) = client.subscribe(channel.clone()).await {
                    eprintln!("{}: subscription to {channel} ended: {}", C::NAME, failure.text());
                }
            });
        }
        // Unknown lines are for newer adapters.
        _ => {}
    }
}

fn start<C: Client>(client: &Arc<C>, out: &Lines, id: &str, args: Args) {
    let (client, out, id) = (client.clone(), out.clone(), id.to_owned());
    tokio::spawn(async move {
        let result = client.run(args).await;
        out.settled(&id, result);
    });
}

/// Writes what is there in one go and flushes: one system call for a batch of replies that became ready together.
async fn write_lines(mut lines: mpsc::UnboundedReceiver<String>) {
    const BATCH: usize = 256;
    let mut out = tokio::io::stdout();
    let mut batch = Vec::with_capacity(BATCH);
    while lines.recv_many(&mut batch, BATCH).await > 0 {
        let text = batch.concat();
        batch.clear();
        if out.write_all(text.as_bytes()).await.is_err() || out.flush().await.is_err() {
            return;
        }
    }
}

fn give_up(name: &str, why: &str) -> ExitCode {
    eprintln!("{name}: {why}");
    ExitCode::FAILURE
}

/// The protocol has one message a line, so line breaks in a reply (INFO has them) become spaces.
fn one_line(text: &str) -> String {
    text.trim_end().replace("\r\n", " ").replace(['\r', '\n'], " ")
}

fn token(text: &str) -> String {
    let token = text.split_whitespace().collect::<Vec<_>>().join("-");
    if token.is_empty() { "error".to_owned() } else { token }
}
