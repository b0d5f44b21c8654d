//! Futures that are dropped at every point at which they wait: nothing runs twice, nothing is lost or left behind, and everybody else goes on.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use redial::prelude::*;
use redial::{Client, Library, Received, Script};
use tokio::sync::Notify;

use crate::cluster::{Nodes, wait_until};
use crate::process::Server;

/// How far a future may come.
#[derive(Clone, Copy, Debug)]
struct Point {
    polls: usize,
    /// It is not dropped before it was woken for the next poll.
    is_woken: bool,
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Lets it come so far, and drops it.
async fn until<F: Future>(point: Point, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(Notify::new()));
    let waker = Waker::from(Arc::clone(&woken));
    for poll in 1..=point.polls {
        // Polled inside of the runtime, as a task would be.
        let polled =
            poll_fn(|_| Poll::Ready(future.as_mut().poll(&mut Context::from_waker(&waker)))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        if poll < point.polls || point.is_woken {
            tokio::time::timeout(Duration::from_secs(5), woken.0.notified()).await.unwrap();
        }
    }
    None
}

/// Drops what `make` gives at every point; gives the number of tries, and what came of the last.
async fn at_every_point<T, F: Future<Output = T>>(make: impl Fn(usize) -> F) -> (usize, T) {
    let mut tries = 0;
    for polls in 0..100 {
        for is_woken in [false, true] {
            tries += 1;
            if let Some(output) = until(Point { polls, is_woken }, make(tries)).await {
                return (tries, output);
            }
        }
    }
    panic!("it does not end");
}

async fn connections(admin: &Client) -> usize {
    admin.cmd::<String>("CLIENT LIST").await.unwrap().lines().count()
}

/// All that was opened on the way is closed again.
async fn is_back(admin: &Client, before: usize) {
    wait_until("the others are closed", async || connections(admin).await == before).await;
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_runs_once_or_not_at_all() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    let before = connections(&admin).await;
    let (client, script) = (&client, Script::new("return redis.call('INCR', KEYS[1])"));
    let source = "#!lua name=counting\nredis.register_function('count', function(keys) return redis.call('INCR', keys[1]) end)";
    let library = Library::new(source);
    let function = library.function("count");

    let (tries, _) = at_every_point(async |_| client.incr("command").await.unwrap()).await;
    counted(&admin, "command", tries).await;
    let once = async |n| client.incr("once").once(format!("{n}")).await.unwrap();
    let (tries, _) = at_every_point(once).await;
    counted(&admin, "once", tries).await;
    let scripted = async |_| client.script::<i64>(&script).key("script").await.unwrap();
    let (tries, _) = at_every_point(scripted).await;
    counted(&admin, "script", tries).await;
    if admin.cmd::<()>("FUNCTION LIST").await.is_ok() {
        let called = async |_| client.function::<i64>(&function).key("function").await.unwrap();
        let (tries, _) = at_every_point(called).await;
        counted(&admin, "function", tries).await;
    }
    let piped = async |_| {
        let mut pipeline = client.pipeline();
        pipeline.incr("pipeline").queue();
        pipeline.incr("other").queue();
        assert!(pipeline.await.iter().all(Result::is_ok));
    };
    let (tries, ()) = at_every_point(piped).await;
    counted(&admin, "pipeline", tries).await;
    let transacted = async |_| {
        let mut transaction = client.transaction();
        transaction.incr("transaction").queue();
        transaction.exec::<(i64,)>().await.unwrap()
    };
    let (tries, _) = at_every_point(transacted).await;
    counted(&admin, "transaction", tries).await;
    let watched = async |_| {
        let dedicated = client.dedicated().unwrap();
        dedicated.watch(["watched"]).await.unwrap();
        let value: Option<i64> = dedicated.get("watched").await.unwrap();
        let mut transaction = dedicated.transaction();
        transaction.set("watched", value.unwrap_or(0) + 1).queue();
        transaction.exec::<((),)>().await.unwrap()
    };
    let (tries, _) = at_every_point(watched).await;
    counted(&admin, "watched", tries).await;
    is_back(&admin, before).await;
}

/// The last try has counted, and none twice.
async fn counted(admin: &Client, key: &str, tries: usize) {
    // What was let go of may still be on its way.
    let value = async || admin.get::<usize>(key).await.unwrap();
    let mut last = value().await;
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if value().await == last {
            break;
        }
        last = value().await;
    }
    assert!((1..=tries).contains(&last), "{key}: {last} of {tries}");
}

#[tokio::test]
async fn durable_writes_that_nobody_waits_for_leave_the_others_their_confirmations() {
    let server = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let _replica = Server::start(&["--replicaof", "127.0.0.1", &server.port.to_string()]);
    let client = Client::connect(&server.url()).await.unwrap();
    let durable = client.durable(1, Duration::from_secs(5)).unwrap();
    wait_until("a replica follows", async || durable.set("k", "v").await.is_ok()).await;
    let (durable, tries) = (&durable, std::cell::Cell::new(0));
    let both = async |_| {
        tries.set(tries.get() + 1);
        tokio::join!(durable.incr("a"), durable.incr("b"))
    };
    let beside = async || durable.incr("beside").await.unwrap();
    let (count, (a, b)) = at_every_point(both).await;
    assert!(a.unwrap() <= tries.get() && b.unwrap() <= tries.get());
    for n in 1..=count {
        assert_eq!(beside().await, n as i64);
    }
}

#[tokio::test]
async fn an_element_that_is_pushed_after_its_reader_has_gone_stays() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    let blocked = async |count: u32| {
        wait_until("so many are blocked", async || {
            let info: String = admin.cmd("INFO clients").await.unwrap();
            info.contains(&format!("blocked_clients:{count}\r"))
        })
        .await;
    };
    for polls in [0, 1, 2] {
        let pop = async || client.blpop::<Option<(String, String)>>(["queue"], 0).await.unwrap();
        if polls < 2 {
            assert_eq!(until(Point { polls, is_woken: false }, pop()).await, None);
        } else {
            let all = async { tokio::join!(pop(), pop(), pop()) };
            tokio::select! {
                popped = all => panic!("{popped:?}"),
                () = blocked(3) => {}
            }
        }
        blocked(0).await;
        admin.rpush("queue", ["element"]).await.unwrap();
        assert_eq!(admin.llen("queue").await.unwrap(), 1, "{polls}");
        assert_eq!(pop().await.unwrap().1, "element");
    }
}

#[tokio::test]
async fn streams_give_everything_though_their_readers_lose_patience() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    let keys: BTreeSet<String> = (0..200).map(|n| format!("key:{n}")).collect();
    for key in &keys {
        client.set(key, 1).await.unwrap();
    }
    let mut scan = client.scan_all::<String>().page(10);
    let (mut seen, mut at) = (BTreeSet::new(), 0);
    loop {
        at = (at + 1) % 4;
        let point = Point { polls: at % 2 + usize::from(at > 2), is_woken: at == 1 };
        match until(point, scan.next()).await {
            Some(Some(key)) => drop(seen.insert(key.unwrap())),
            Some(None) => break,
            None => {}
        }
    }
    assert_eq!(seen, keys);

    let mut group =
        client.consumer_group::<Vec<(String, String)>>("stream", "g", "c").await.unwrap();
    let mut ids = BTreeSet::new();
    for n in 0..50 {
        ids.insert(admin.xadd("stream").id("*").field("n", n).await.unwrap());
    }
    let mut given = BTreeSet::new();
    while given.len() < ids.len() {
        at = (at + 1) % 4;
        let point = Point { polls: at % 3, is_woken: at == 1 };
        if let Some(entry) = until(point, group.next()).await {
            let entry = entry.unwrap().unwrap();
            let (_, ()) = at_every_point(async |_| group.ack(&entry).await.unwrap()).await;
            given.insert(entry.id);
        }
    }
    assert_eq!(given, ids);
    let pending: Vec<redial::Frame> =
        admin.cmd("XPENDING").args(["stream", "g", "-", "+", "10"]).await.unwrap();
    assert!(pending.is_empty(), "{pending:?}");
}

#[tokio::test]
async fn what_is_not_opened_to_its_end_is_not_left_open() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    // The connection for subscriptions stays.
    drop(client.subscribe("first").await.unwrap());
    let nothing = async || {
        wait_until("nobody listens", async || {
            let channels: Vec<String> = admin.cmd("PUBSUB CHANNELS").await.unwrap();
            let patterns: u64 = admin.cmd("PUBSUB NUMPAT").await.unwrap();
            channels.is_empty() && patterns == 0
        })
        .await;
    };
    nothing().await;
    let before = connections(&admin).await;
    let client = &client;

    let (_, subscription) =
        at_every_point(async |_| client.subscribe(["a", "b"]).await.unwrap()).await;
    drop(subscription);
    let (_, mut subscription) =
        at_every_point(async |_| client.psubscribe("p*").await.unwrap()).await;
    // A stream that was waited for in vain gives the next message all the same.
    for point in [0, 1].map(|polls| Point { polls, is_woken: false }) {
        assert!(until(point, subscription.next()).await.is_none());
        admin.cmd("PUBLISH").args(["p1", "hello"]).run().await.unwrap();
        assert!(matches!(subscription.next().await, Some(Received::Message(_))));
    }
    drop(subscription);
    nothing().await;

    let (_, cache) = at_every_point(async |_| client.cache().await.unwrap()).await;
    drop(cache);
    is_back(&admin, before).await;
    let (_, monitor) = at_every_point(async |_| client.monitor().await.unwrap()).await;
    drop(monitor);
    is_back(&admin, before).await;
    let url = server.url();
    let (_, another) = at_every_point(async |_| Client::connect(&url).await.unwrap()).await;
    drop(another);
    is_back(&admin, before).await;
}

#[tokio::test]
async fn a_cached_read_goes_on_for_those_who_still_wait() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let cache = client.cache().await.unwrap();
    client.set("k", "v").await.unwrap();
    for point in [(1, false), (1, true)].map(|(polls, is_woken)| Point { polls, is_woken }) {
        cache.clear();
        let cache = &cache;
        let mut second = pin!(async { cache.get::<String>("k").await.unwrap() });
        let first = until(point, async {
            let read = cache.get::<String>("k");
            let mut read = pin!(read.into_future());
            // The first asks, the second waits for its answer.
            poll_fn(|cx| {
                let polled = read.as_mut().poll(cx);
                assert!(second.as_mut().poll(cx).is_pending());
                polled
            })
            .await
        });
        assert!(first.await.is_none());
        let value = tokio::time::timeout(Duration::from_secs(5), second).await;
        assert_eq!(value.unwrap(), "v", "{point:?}");
    }
}

#[tokio::test]
async fn in_a_cluster_what_is_let_go_of_leaves_nothing_behind_either() {
    let nodes = Nodes::start(3, 0).await;
    let client = nodes.client().await;
    let client = &client;
    let all = async |_| {
        let keys = ["a", "b", "c", "d"];
        client.cmd("DEL").args(keys).run().await.unwrap();
        let values: Vec<Option<String>> = client.cmd("MGET").args(keys).await.unwrap();
        assert_eq!(values, [const { None }; 4]);
        client.cmd::<u64>("DBSIZE").await.unwrap()
    };
    at_every_point(all).await;
    at_every_point(async |_| {
        let dedicated = client.dedicated_for("a").unwrap();
        dedicated.incr("a").await.unwrap()
    })
    .await;
    let (_, subscription) =
        at_every_point(async |_| client.ssubscribe(["s1", "s2", "s3"]).await.ok()).await;
    drop(subscription);
    for admin in &nodes.admins {
        wait_until("nobody listens", async || {
            match admin.cmd::<Vec<String>>("PUBSUB SHARDCHANNELS").await {
                Ok(channels) => channels.is_empty(),
                // Redis 6.2 has none.
                Err(_) => true,
            }
        })
        .await;
    }
    assert_eq!(client.cmd::<String>("PING").await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_client_that_was_to_end_and_may_begin_again_does_so() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let client = &client;
    at_every_point(async |_| {
        client.reconnect();
        client.incr("n").await.unwrap();
        client.quit().await;
    })
    .await;
    client.reconnect();
    assert!(client.incr("n").await.unwrap() >= 1);
}
