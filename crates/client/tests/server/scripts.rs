//! Scripts, and scans.

use std::collections::BTreeSet;

use redial::{Client, Delivery, ErrorKind, Protocol, Script, ServerError};

use crate::fake::{Answer, Fake};
use crate::process::Server;

#[tokio::test]
async fn a_script_is_sent_whole_once_and_by_its_hash_ever_after() {
    let server = Server::start(&[]);
    let script = Script::new("return {KEYS[1], ARGV[1], ARGV[2]}");
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.connect().await.unwrap();
        client.cmd("SCRIPT FLUSH").run().await.unwrap();
        client.cmd("CONFIG RESETSTAT").run().await.unwrap();
        for _ in 0..3 {
            let told: (String, String, i64) =
                client.script(&script).arg("a").key("k").arg(7).await.unwrap();
            assert_eq!(told, ("k".into(), "a".into(), 7));
        }
        let stats: String = client.cmd("INFO").arg("commandstats").await.unwrap();
        assert!(stats.contains("cmdstat_eval:calls=1,"), "{stats}");
        assert!(stats.contains("cmdstat_evalsha:calls=3,"), "{stats}");
        let known: Vec<bool> = client.cmd("SCRIPT EXISTS").arg(script.sha1()).await.unwrap();
        assert_eq!(known, [true]);
    }
}

#[tokio::test]
async fn a_server_that_has_never_seen_the_script_is_told_even_where_errors_are_decoded() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let script = Script::new("return redis.error_reply('WRONG it is')");
    let told: Result<i64, ServerError> = client.script(&script).await.unwrap();
    assert_eq!(told.unwrap_err().code(), "WRONG");
    let nonsense = Script::new("this is no Lua");
    let error = client.script::<()>(&nonsense).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Server, Delivery::Answered));
}

#[tokio::test]
async fn a_script_that_only_reads_may_not_write() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    if client.server().unwrap().version.starts_with("6.") {
        return;
    }
    client.cmd("SET").arg("k").arg(3).run().await.unwrap();
    let reads = Script::read_only("return redis.call('GET', KEYS[1])");
    assert_eq!(client.script::<i64>(&reads).key("k").await.unwrap(), 3);
    let writes = Script::read_only("return redis.call('INCR', KEYS[1])");
    let error = client.script::<i64>(&writes).key("k").await.unwrap_err();
    assert!(error.to_string().contains("Write commands are not allowed"), "{error}");
    assert_eq!(client.cmd::<i64>("GET").arg("k").await.unwrap(), 3);
}

#[tokio::test]
async fn the_deadline_is_one_for_the_hash_and_the_whole_script() {
    let fake = Fake::start(|_, words| match words[0].as_str() {
        "EVALSHA" => Answer::Bytes(b"-NOSCRIPT No matching script.\r\n".to_vec()),
        "EVAL" => Answer::Silence,
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let script = Script::new("return 1");
    let call = client.script::<i64>(&script).timeout(std::time::Duration::from_millis(300));
    let error = call.await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(error.delivery(), Delivery::Unknown);
}

#[tokio::test]
async fn every_element_is_given_by_a_scan() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut pipeline = client.pipeline();
    for i in 0..500 {
        pipeline.cmd("SET").arg(format!("key:{i}")).arg(i);
        pipeline.cmd("HSET").arg("hash").arg(i).arg(format!("value {i}"));
        pipeline.cmd("ZADD").arg("sorted").arg(f64::from(i) / 2.0).arg(i);
        pipeline.cmd("SADD").arg("set").arg(i);
    }
    for outcome in pipeline.await {
        outcome.unwrap();
    }
    let mut keys = BTreeSet::new();
    let mut scan = client.scan_all::<String>().pattern("key:*").page(50).of_type("string");
    while let Some(key) = scan.next().await {
        keys.insert(key.unwrap());
    }
    assert_eq!(keys.len(), 500);
    let mut fields = BTreeSet::new();
    let mut scan = client.hscan_all::<u32, String>("hash");
    while let Some(pair) = scan.next().await {
        fields.insert(pair.unwrap());
    }
    assert_eq!(fields, (0..500).map(|i| (i, format!("value {i}"))).collect());
    let mut sum = 0.0;
    let mut members = BTreeSet::new();
    let mut scan = client.zscan_all::<u32>("sorted").page(1000);
    while let Some(pair) = scan.next().await {
        let (member, score) = pair.unwrap();
        if members.insert(member) {
            sum += score;
        }
    }
    assert!((sum - 499.0 * 500.0 / 4.0).abs() < 1e-9, "{sum}");
    let mut members = BTreeSet::new();
    let mut scan = client.sscan_all::<u32>("set");
    while let Some(member) = scan.next().await {
        members.insert(member.unwrap());
    }
    assert_eq!(members.len(), 500);
}

#[tokio::test]
async fn a_scan_begins_anew_on_another_server() {
    let mut server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let fill = async |client: &Client| {
        let mut pipeline = client.pipeline();
        for i in 0..300 {
            pipeline.cmd("SET").arg(format!("key:{i}")).arg(i);
        }
        for outcome in pipeline.await {
            outcome.unwrap();
        }
    };
    fill(&client).await;
    let mut scan = client.scan_all::<String>().page(20);
    for _ in 0..150 {
        scan.next().await.unwrap().unwrap();
    }
    let mut keys = BTreeSet::new();
    // Another process with the same data and, by its own seed, another order.
    let args = server.args();
    server.kill();
    let server = Server::start_again(server.port, &args);
    fill(&Client::connect(&server.url()).await.unwrap()).await;
    while let Some(key) = scan.next().await {
        keys.insert(key.unwrap());
    }
    assert_eq!(keys.len(), 300, "all of them are given by the second server");
}

#[tokio::test]
async fn a_scan_of_what_is_no_collection_says_so_and_ends() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client.cmd("SET").arg("k").arg(1).run().await.unwrap();
    let mut scan = client.sscan_all::<String>("k");
    let error = scan.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    assert!(scan.next().await.is_none());
}
