//! Client-side caching: what is answered from memory, and that it is not old.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redial::prelude::*;
use redial::{Cache, Client, ErrorKind, Protocol};

use crate::fake::{Answer, Fake};
use crate::process::Server;

async fn set(client: &Client, value: &str) {
    client.cmd("SET").arg("k").arg(value).run().await.unwrap();
}

async fn get(cache: &Cache) -> Option<String> {
    cache.cmd("GET").arg("k").await.unwrap()
}

/// Reads until the server's word has come; a value that is neither the old nor the new one fails.
async fn until(cache: &Cache, old: Option<&str>, new: Option<&str>) {
    let read = async {
        loop {
            let value = get(cache).await;
            if value.as_deref() == new {
                return;
            }
            assert_eq!(value.as_deref(), old);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap();
}

#[tokio::test]
async fn a_reply_is_answered_from_memory_until_somebody_changes_its_key() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let other = Client::connect(&server.url()).await.unwrap();
    let cache = client.cache().await.unwrap();
    for _ in 0..10 {
        assert_eq!(get(&cache).await, None);
    }
    assert_eq!((cache.stats().misses, cache.stats().hits), (1, 9));
    set(&other, "1").await;
    until(&cache, None, Some("1")).await;
    let typed: Option<String> = cache.get("k").await.unwrap();
    assert_eq!(typed.as_deref(), Some("1"));
    assert_eq!(cache.stats().misses, 2, "typed or not, it is one reply");
    let both: (Option<String>, Option<String>) = cache.cmd("MGET").arg("k").arg("l").await.unwrap();
    assert_eq!(both, (Some("1".into()), None));
    set(&client, "2").await;
    until(&cache, Some("1"), Some("2")).await;
    let both: (String, Option<String>) = cache.cmd("MGET").arg("k").arg("l").await.unwrap();
    assert_eq!(both.0, "2", "what depends on several keys goes with any of them");
    other.cmd("FLUSHALL").run().await.unwrap();
    until(&cache, Some("2"), None).await;
    // Own writes are read back by who says so.
    set(&client, "3").await;
    cache.forget("k");
    assert_eq!(get(&cache).await.as_deref(), Some("3"));
}

#[tokio::test]
async fn of_many_who_miss_one_asks() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let cache = client.cache().await.unwrap();
    set(&client, "v").await;
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { get(&cache).await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().as_deref(), Some("v"));
    }
    assert_eq!(cache.stats().misses, 1);
}

#[tokio::test]
async fn everything_is_forgotten_when_the_connection_is_lost() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    let cache = client.cache().await.unwrap();
    set(&admin, "0").await;
    assert_eq!(get(&cache).await.as_deref(), Some("0"));
    for n in 1..5 {
        // In one go: the server can't tell the cache of the change.
        let (_, _): (i64, String) = admin
            .transaction()
            .cmd("CLIENT KILL")
            .arg("TYPE")
            .arg("normal")
            .cmd("SET")
            .arg("k")
            .arg(n)
            .exec()
            .await
            .unwrap();
        until(&cache, Some(&(n - 1).to_string()), Some(&n.to_string())).await;
        while !cache.is_active() {
            tokio::task::yield_now().await;
        }
        // And it is kept again.
        get(&cache).await;
        let misses = cache.stats().misses;
        get(&cache).await;
        assert_eq!(cache.stats().misses, misses);
    }
}

#[tokio::test]
async fn a_reply_that_its_invalidation_meets_on_the_way_is_not_kept() {
    const INVALIDATION: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    for is_first in [true, false] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let fake = Fake::start(move |_, words| match words[0].as_str() {
            "GET" => {
                let n = count.fetch_add(1, Ordering::Relaxed);
                let reply = format!("$1\r\n{n}\r\n").into_bytes();
                Answer::Bytes(match n {
                    0 if is_first => [INVALIDATION, &reply].concat(),
                    0 => [&reply, INVALIDATION].concat(),
                    _ => reply,
                })
            }
            _ => Answer::Usual,
        })
        .await;
        let client = Client::connect(&fake.url).await.unwrap();
        let cache = client.cache().await.unwrap();
        assert_eq!(get(&cache).await.as_deref(), Some("0"));
        assert_eq!(get(&cache).await.as_deref(), Some("1"), "invalidation first: {is_first}");
        assert_eq!(get(&cache).await.as_deref(), Some("1"));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn readers_and_a_writer_never_see_a_value_that_was_kept_for_longer_than_the_next_one() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let cache = client.cache().await.unwrap();
    let writer = Client::connect(&server.url()).await.unwrap();
    set(&writer, "0").await;
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let mut last = 0;
                while last < 2_000 {
                    let value: u32 = get(&cache).await.unwrap().parse().unwrap();
                    assert!(value >= last, "{value} after {last}");
                    last = value;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for n in 1..=2_000 {
        set(&writer, &n.to_string()).await;
    }
    for reader in readers {
        tokio::time::timeout(Duration::from_secs(10), reader).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_can_not_be_cached_and_who_can_not_cache_is_said() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let cache = client.cache().await.unwrap();
    for name in ["SET", "TTL", "SRANDMEMBER", "PING", "BLPOP"] {
        let error = cache.cmd::<String>(name).arg("k").arg("v").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{name}");
    }
    client.cmd("SADD").arg("set").arg("member").run().await.unwrap();
    let error = cache.cmd::<String>("GET").arg("set").await.unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    let resp2 = Client::builder(&server.url()).unwrap().protocol(Protocol::Resp2).build();
    let error = resp2.cache().await.unwrap_err();
    assert!(error.to_string().contains("needs RESP3"), "{error}");
    let rights = ["app", "reset", "on", ">secret", "~*", "+get", "+hello", "+info", "+ping"];
    client.cmd("ACL SETUSER").args(rights).run().await.unwrap();
    let app = Client::builder(&server.url()).unwrap().credentials(Some("app"), "secret").build();
    let error = app.cache().await.unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"));
    assert_eq!(app.cmd::<Option<String>>("GET").arg("k").await.unwrap(), None, "others go on");
}

#[tokio::test]
async fn a_cache_ends_and_begins_again_with_its_client() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let cache = client.cache().await.unwrap();
    assert_eq!(get(&cache).await, None);
    client.disconnect();
    assert!(!cache.is_active());
    let error = cache.cmd::<Option<String>>("GET").arg("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(client.cache().await.unwrap_err().kind(), ErrorKind::Closed);
    client.reconnect();
    set(&client, "v").await;
    while !cache.is_active() {
        assert_eq!(get(&cache).await.as_deref(), Some("v"));
    }
    drop(cache);
    let listed: String = loop {
        let listed: String = client.cmd("CLIENT LIST").await.unwrap();
        if listed.lines().count() == 1 {
            break listed;
        }
    };
    assert!(!listed.contains("flags=t"), "{listed}");
}
