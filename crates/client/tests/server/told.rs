//! What callers are told is what the server has: every way to send a write, through connections that are killed again and again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redial::{Client, Delivery, Error};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::process::Server;

/// How long callers write.
const FOR: Duration = Duration::from_millis(1500);

/// What happens to the server: from one command to the next some milliseconds pass.
const TROUBLE: &[&[&str]] = &[
    &["CLIENT KILL TYPE normal"],
    &["CLIENT KILL TYPE normal", "CLIENT KILL TYPE normal"],
    &["REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"],
    &["REPLICAOF 127.0.0.1 1", "CLIENT KILL TYPE normal", "REPLICAOF NO ONE"],
    &["CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"],
    &["CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"],
    &["CLIENT PAUSE 30"],
    &["SCRIPT FLUSH"],
];

/// What was told of a request: its reply, or what is known without one; `None`: its caller did not wait for that.
type Outcome = Option<Result<(), Delivery>>;

/// Counters, each incremented by one request only, and what was told of it.
#[derive(Clone, Default)]
struct Told {
    counters: Arc<AtomicU64>,
    outcomes: Arc<Mutex<Vec<(String, Outcome)>>>,
}

impl Told {
    fn counter(&self) -> String {
        format!("n{}", self.counters.fetch_add(1, Ordering::Relaxed))
    }

    fn note<T>(&self, key: &str, told: &Result<T, Error>) {
        let outcome = told.as_ref().map(drop).map_err(Error::delivery);
        self.note_outcome(key, Some(outcome));
    }

    fn note_outcome(&self, key: &str, outcome: Outcome) {
        self.outcomes.lock().unwrap().push((key.to_owned(), outcome));
    }
}

async fn alone(client: &Client, told: &Told) {
    let key = told.counter();
    told.note(&key, &client.cmd::<i64>("INCR").arg(&key).await);
}

async fn given_up(client: &Client, told: &Told) {
    let key = told.counter();
    let patience = Duration::from_micros(fastrand::u64(..2000));
    let incr = tokio::time::timeout(patience, client.cmd::<i64>("INCR").arg(&key).send());
    match incr.await {
        Ok(reply) => told.note(&key, &reply),
        Err(_) => told.note_outcome(&key, None),
    }
}

/// With a refused, a large and a blocking command in it.
async fn in_a_pipeline(client: &Client, told: &Told) {
    let keys: Vec<String> = (0..40).map(|_| told.counter()).collect();
    let mut pipeline = client.pipeline();
    let mut places = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        match at {
            10 => pipeline.cmd("SELECT").arg(1),
            20 => pipeline.cmd("ECHO").arg(bytes::Bytes::from(vec![b'x'; 40_000])),
            30 => pipeline.cmd("BLPOP").arg("none").arg("0.01"),
            _ => &mut pipeline,
        };
        places.push(pipeline.len());
        pipeline.cmd("INCR").arg(key);
    }
    let replies = pipeline.await;
    for (key, place) in keys.iter().zip(places) {
        told.note(key, &replies[place]);
    }
}

async fn in_a_transaction(client: &Client, told: &Told) {
    let (one, other) = (told.counter(), told.counter());
    let mut both = client.transaction();
    both.cmd("INCR").arg(&one).cmd("INCR").arg(&other);
    let reply = both.exec::<(i64, i64)>().await;
    told.note(&one, &reply);
    told.note(&other, &reply);
}

async fn on_its_own(client: &Client, told: &Told) {
    let own = client.dedicated().unwrap();
    let (one, other) = (told.counter(), told.counter());
    let blocked = own.cmd::<Option<(String, String)>>("BLPOP").arg("none").arg("0.01").send();
    let behind = own.cmd::<i64>("INCR").arg(&one).send();
    let patience = Duration::from_millis(fastrand::u64(..20));
    let (_, reply) = tokio::join!(tokio::time::timeout(patience, blocked), behind);
    told.note(&one, &reply);
    told.note(&other, &own.cmd::<i64>("INCR").arg(&other).await);
}

async fn once(client: &Client, told: &Told) {
    let key = told.counter();
    told.note(&key, &client.cmd::<i64>("INCR").arg(&key).once(&key).await);
}

async fn durably(durable: &redial::Durable, told: &Told) {
    let key = told.counter();
    told.note(&key, &durable.cmd::<i64>("INCR").arg(&key).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_are_told_is_what_the_server_has() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let durable = client.durable(1, Duration::from_millis(5)).unwrap();
    let told = Told::default();
    let until = Instant::now() + FOR;
    let mut callers = Vec::new();
    for caller in 0..8 {
        let (client, durable, told) = (client.clone(), durable.clone(), told.clone());
        callers.push(tokio::spawn(async move {
            while Instant::now() < until {
                match caller % 8 {
                    0 => alone(&client, &told).await,
                    1 => given_up(&client, &told).await,
                    2 | 3 => in_a_pipeline(&client, &told).await,
                    4 => in_a_transaction(&client, &told).await,
                    5 => on_its_own(&client, &told).await,
                    6 => once(&client, &told).await,
                    _ => durably(&durable, &told).await,
                }
            }
        }));
    }
    let mut admin = TcpStream::connect(server.url().trim_start_matches("redis://")).await.unwrap();
    while Instant::now() < until {
        for command in *fastrand::choice(TROUBLE).unwrap() {
            admin.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..40))).await;
        }
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let told = std::mem::take(&mut *told.outcomes.lock().unwrap());
    let mut seen = std::collections::BTreeMap::new();
    let keys = told.iter().map(|(key, _)| key);
    let times: Vec<Option<i64>> = client.cmd("MGET").args(keys).await.unwrap();
    for ((key, outcome), times) in told.iter().zip(times) {
        let times = times.unwrap_or(0);
        let is_right = match outcome {
            Some(Ok(()) | Err(Delivery::Ran)) => times == 1,
            // An error that the server answers with (OOM) is a refusal.
            Some(Err(Delivery::NotSent | Delivery::Rejected | Delivery::Answered)) => times == 0,
            Some(Err(Delivery::Unknown)) | None => times <= 1,
        };
        assert!(is_right, "{key}: {outcome:?}, and it ran {times} times");
        *seen.entry(format!("{outcome:?}")).or_insert(0) += 1;
    }
    assert!(seen.len() >= 3, "nothing was cut: {seen:?}");
}
