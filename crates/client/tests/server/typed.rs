//! Typed commands: one definition for every handle, against a real server.

use std::collections::HashMap;
use std::time::Duration;

use redial::prelude::*;
use redial::{Client, Outcomes, Protocol};

use crate::process::Server;

#[tokio::test]
async fn a_command_is_the_same_on_client_pipeline_transaction_and_dedicated_connection() {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.connect().await.unwrap();
        client.del(["n", "k"]).await.unwrap();
        assert_eq!(client.incr("n").await.unwrap(), 1);
        assert_eq!(client.dedicated().unwrap().incr("n").await.unwrap(), 2);

        let mut pipeline = client.pipeline();
        let n = pipeline.incr("n").queue();
        let wrong = pipeline.lpush("n", ["x"]).queue();
        let was_set = pipeline.set("k", "v").nx().queue();
        let outcomes = pipeline.await;
        assert_eq!(n.read(&outcomes).unwrap(), 3);
        assert_eq!(wrong.read(&outcomes).unwrap_err().code(), Some("WRONGTYPE"));
        assert!(was_set.read(&outcomes).unwrap());

        let mut transaction = client.transaction();
        let n = transaction.incr("n").queue();
        let wrong = transaction.lpush("n", ["x"]).queue();
        let value = transaction.get::<String>("k").queue();
        let outcomes: Outcomes = transaction.exec().await.unwrap();
        assert_eq!(n.read(&outcomes).unwrap(), 4);
        assert_eq!(wrong.read(&outcomes).unwrap_err().code(), Some("WRONGTYPE"));
        assert_eq!(value.read(&outcomes).unwrap(), "v");
    }
}

#[tokio::test]
async fn options_decide_what_a_reply_is() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client.set("k", "one").ex(30).await.unwrap();
    assert!(!client.set("k", "two").nx().await.unwrap());
    assert!(client.set("k", "two").xx().keepttl().await.unwrap());
    let old: Option<String> = client.set("k", "three").get().await.unwrap();
    assert_eq!(old.as_deref(), Some("two"));
    assert_eq!(client.zadd("z").member(1, "a").member(2.5, "b").await.unwrap(), 2);
    assert_eq!(client.zadd("z").incr().member(1, "a").await.unwrap(), Some(2.0));
    assert_eq!(client.zscore("z", "nobody").await.unwrap(), None);
    let all: Vec<(String, f64)> = client.zrange("z", 0, -1).withscores().await.unwrap();
    assert_eq!(all, [("a".to_owned(), 2.0), ("b".to_owned(), 2.5)]);
    client.hset("h", [("a", 1), ("b", 2)]).await.unwrap();
    let hash: HashMap<String, u32> = client.hgetall("h").await.unwrap();
    assert_eq!(hash.len(), 2);
}

#[tokio::test]
async fn what_any_command_can_do_a_typed_one_with_open_options_can_do() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client.set("n", 1).ex(30).timeout(Duration::from_secs(3)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.incr("n").once("request 7").await.unwrap(), 2);
    }
    let mut pipeline = client.pipeline();
    // Not queued, so not there.
    let _ = pipeline.incr("n");
    assert!(pipeline.is_empty());
}
