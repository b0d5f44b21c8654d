//! A client that puts a prefix in front of its keys, beside one that sees them as they are.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use redial::prelude::*;
use redial::{Builder, Client, Delivery, ErrorKind, Library, Outcomes, Script};

use crate::cluster::Nodes;
use crate::process::Server;

/// A server, a client whose keys have `p:` in front, and one that sees all.
async fn start(prefix: &str) -> (Server, Client, Client) {
    let server = Server::start(&[]);
    let client = Client::builder(&server.url()).unwrap().key_prefix(prefix);
    let client = client.connect().await.unwrap();
    let plain = Client::connect(&server.url()).await.unwrap();
    (server, client, plain)
}

async fn keys(plain: &Client) -> BTreeSet<String> {
    plain.cmd("KEYS").arg("*").await.unwrap()
}

fn set<const N: usize>(keys: [&str; N]) -> BTreeSet<String> {
    keys.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_key_of_a_command_has_the_prefix() {
    let (_server, client, plain) = start("p:").await;
    client.set("a", "1").await.unwrap();
    client.cmd("MSET").args(["b", "2", "c", "3"]).run().await.unwrap();
    client.cmd("RENAME").args(["c", "d"]).run().await.unwrap();
    assert_eq!(keys(&plain).await, set(["p:a", "p:b", "p:d"]));
    let values: Vec<Option<String>> = client.cmd("MGET").args(["a", "b", "c"]).await.unwrap();
    assert_eq!(values, [Some("1".into()), Some("2".into()), None]);
    assert_eq!(client.get::<Option<String>>("p:a").await.unwrap(), None);
    // A value that is handed over without being copied.
    client.set("a", vec![b'x'; 100_000]).await.unwrap();
    assert_eq!(plain.cmd::<usize>("STRLEN").arg("p:a").await.unwrap(), 100_000);
}

#[tokio::test]
async fn keys_in_pipelines_and_transactions_and_on_connections_of_ones_own_have_it_too() {
    let (_server, client, plain) = start("p:").await;
    let mut pipeline = client.pipeline();
    for _ in 0..2 {
        pipeline.cmd("SET").arg("a").arg(1).cmd("SORT").arg("l").cmd("INCR").arg("a");
        let typed = pipeline.get::<i64>("a").queue();
        pipeline.set("large", vec![b'x'; 100_000]).queue();
        let outcomes = pipeline.send().await;
        assert_eq!(outcomes.len(), 5);
        assert_eq!(typed.read(&outcomes).unwrap(), 2);
        let refused = outcomes[1].as_ref().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
    }

    let mut transaction = client.transaction();
    transaction.incr("t").queue();
    transaction.cmd("INCR").arg("t");
    let replies: (i64, i64) = transaction.exec().await.unwrap();
    assert_eq!(replies, (1, 2));
    let refused = transaction.cmd("SORT").arg("l").exec::<Outcomes>().await.unwrap_err();
    assert_eq!(refused.delivery(), Delivery::NotSent);

    let own = client.dedicated().unwrap();
    own.cmd("WATCH").arg("t").run().await.unwrap();
    plain.incr("p:t").await.unwrap();
    let lost: Option<(i64,)> = own.transaction().cmd("INCR").arg("t").exec().await.unwrap();
    assert_eq!(lost, None, "the key that was watched is the one that was changed");
    own.incr("own").await.unwrap();
    assert_eq!(keys(&plain).await, set(["p:a", "p:large", "p:t", "p:own"]));
}

#[tokio::test]
async fn blocking_commands_wait_for_the_prefixed_key_and_name_it() {
    let (_server, client, plain) = start("p:").await;
    let popped = tokio::spawn({
        let client = client.clone();
        async move { client.cmd::<(String, String)>("BLPOP").args(["l", "m"]).arg(10).await }
    });
    plain.cmd("RPUSH").args(["p:m", "x"]).run().await.unwrap();
    let popped = tokio::time::timeout(Duration::from_secs(5), popped).await.unwrap();
    assert_eq!(popped.unwrap().unwrap(), ("p:m".into(), "x".into()));
}

#[tokio::test]
async fn what_has_no_key_positions_is_refused_and_can_be_sent_as_it_is() {
    let (_server, client, plain) = start("p:").await;
    plain.cmd("RPUSH").args(["p:l", "2", "1"]).run().await.unwrap();
    let error = client.cmd::<Vec<i64>>("SORT").arg("l").await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::InvalidRequest, Delivery::NotSent));
    assert!(error.to_string().contains("this SORT"), "{error}");
    let sorted = client.cmd::<Vec<i64>>("SORT").arg("p:l").send_as_is();
    assert_eq!(sorted.await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn keys_of_scripts_have_it_and_arguments_do_not() {
    let (_server, client, plain) = start("p:").await;
    let script = Script::new("redis.call('SET', KEYS[1], ARGV[1]) return KEYS[1]");
    for _ in 0..2 {
        let key: String = client.script(&script).key("a").arg("b").await.unwrap();
        assert_eq!(key, "p:a");
    }
    if !client.server().unwrap().version.starts_with("6.") {
        let echo =
            "redis.register_function('echo', function(keys, args) return {keys[1], args[1]} end)";
        let library = Library::new(&format!("#!lua name=l\n{echo}"));
        let told: (String, String) =
            client.function(&library.function("echo")).key("a").arg("b").await.unwrap();
        assert_eq!(told, ("p:a".into(), "b".into()));
    }
    client.cmd("EVAL").arg("return 1").arg(1).arg("k").arg("v").run().await.unwrap();
    assert_eq!(plain.get::<String>("p:a").await.unwrap(), "b");
    assert_eq!(keys(&plain).await, set(["p:a"]));
}

#[tokio::test]
async fn once_keeps_its_token_beside_the_key_whatever_braces_the_prefix_has() {
    for prefix in ["p:", "{p}:", "{}p:", "{p:", "p}:", "p{a}{b}"] {
        let (_server, client, plain) = start(prefix).await;
        for key in ["n", "{x}n", "x}n", "{n"] {
            for _ in 0..2 {
                assert_eq!(client.incr(key).once(key).await.unwrap(), 1, "{prefix} {key}");
            }
            let key = format!("{prefix}{key}");
            let slot = redial_proto::slot(key.as_bytes());
            let tokens = keys(&plain).await.into_iter().filter(|key| key.contains("redial:once:"));
            let tokens: Vec<_> = tokens.collect();
            assert_eq!(tokens.len(), 1, "{prefix} {key}: {tokens:?}");
            assert!(tokens[0].contains(prefix), "{tokens:?}");
            assert_eq!(
                redial_proto::slot(tokens[0].as_bytes()),
                slot,
                "{prefix} {key}: {tokens:?}"
            );
            assert_eq!(plain.get::<i64>(&key).await.unwrap(), 1);
            plain.cmd("FLUSHALL").run().await.unwrap();
        }
    }
}

#[tokio::test]
async fn durable_writes_have_it() {
    let (server, client, plain) = start("p:").await;
    plain.cmd("CONFIG SET").args(["repl-diskless-sync-delay", "0"]).run().await.unwrap();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &server.port.to_string()]);
    let durable = client.durable(1, Duration::from_secs(5)).unwrap();
    let written = async { while durable.set("a", "1").await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
    assert_eq!(durable.incr("n").once("id").await.unwrap(), 1);
    let keys = keys(&plain).await;
    assert!(keys.iter().all(|key| key.starts_with("p:")) && keys.len() == 3, "{keys:?}");
    drop(replica);
}

#[tokio::test]
async fn a_cache_hears_of_its_prefixed_keys() {
    let (_server, client, plain) = start("p:").await;
    let cache = client.cache().await.unwrap();
    assert_eq!(cache.get::<Option<String>>("a").await.unwrap(), None);
    assert_eq!(cache.get::<Option<String>>("a").await.unwrap(), None);
    assert_eq!(cache.stats().hits, 1);
    plain.set("p:a", "new").await.unwrap();
    let heard = async { while cache.get::<Option<String>>("a").await.unwrap().is_none() {} };
    tokio::time::timeout(Duration::from_secs(5), heard).await.unwrap();
    let misses = cache.stats().misses;
    cache.forget("a");
    cache.get::<String>("a").await.unwrap();
    assert_eq!(cache.stats().misses, misses + 1);
}

#[tokio::test]
async fn a_consumer_group_reads_the_prefixed_stream() {
    let (_server, client, plain) = start("p:").await;
    type Order = HashMap<String, String>;
    let mut orders = client.consumer_group::<Order>("orders", "g", "c").await.unwrap();
    plain.cmd("XADD").args(["p:orders", "*", "item", "tea"]).run().await.unwrap();
    let entry = tokio::time::timeout(Duration::from_secs(5), orders.next()).await.unwrap();
    let entry = entry.unwrap().unwrap();
    assert_eq!(entry.fields["item"], "tea");
    orders.ack(&entry).await.unwrap();
    assert_eq!(keys(&plain).await, set(["p:orders"]));
}

#[tokio::test]
async fn a_scan_of_all_keys_gives_those_of_this_client_without_the_prefix() {
    let (_server, client, plain) = start("p[1]*:").await;
    plain.set("p[1]x:other", 0).await.unwrap();
    plain.set("other", 0).await.unwrap();
    client.cmd("MSET").args(["user:1", "a", "user:2", "b", "order", "c"]).run().await.unwrap();
    client.cmd("HSET").args(["hash", "field", "value"]).run().await.unwrap();
    let all = async |pattern: Option<&str>| {
        let mut scan = client.scan_all::<String>().page(100);
        if let Some(pattern) = pattern {
            scan = scan.pattern(pattern);
        }
        let mut keys = BTreeSet::new();
        while let Some(key) = scan.next().await {
            keys.insert(key.unwrap());
        }
        keys
    };
    assert_eq!(all(None).await, set(["user:1", "user:2", "order", "hash"]));
    assert_eq!(all(Some("user:*")).await, set(["user:1", "user:2"]));
    let mut fields = client.hscan_all::<String, String>("hash").pattern("f*");
    assert_eq!(fields.next().await.unwrap().unwrap(), ("field".into(), "value".into()));
    let as_the_server_has_it: BTreeSet<String> = client.cmd("KEYS").arg("*user:1").await.unwrap();
    assert_eq!(as_the_server_has_it, set(["p[1]*:user:1"]));
}

#[tokio::test]
async fn channels_have_no_prefix() {
    let (_server, client, plain) = start("p:").await;
    let mut news = client.subscribe("news").await.unwrap();
    plain.cmd("PUBLISH").args(["news", "from outside"]).run().await.unwrap();
    client.cmd("PUBLISH").args(["news", "from inside"]).run().await.unwrap();
    for expected in ["from outside", "from inside"] {
        let received = tokio::time::timeout(Duration::from_secs(5), news.next()).await.unwrap();
        let message = received.unwrap().message().unwrap();
        assert_eq!(
            (&message.channel[..], &message.payload[..]),
            (&b"news"[..], expected.as_bytes())
        );
    }
}

#[tokio::test]
async fn in_a_cluster_the_prefixed_key_says_which_node_it_is() {
    let nodes = Nodes::start(3, 0).await;
    let client = Builder::cluster(nodes.seeds()).unwrap().key_prefix("p:");
    let client = client.connect().await.unwrap();
    let names: Vec<String> = (0..30).map(|n| format!("k:{n}")).collect();
    let pairs = names.iter().flat_map(|name| [name.as_str(), "v"]);
    client.cmd("MSET").args(pairs).run().await.unwrap();
    assert_eq!(client.cmd::<u32>("EXISTS").args(&names).await.unwrap(), 30);
    let mut scanned = BTreeSet::new();
    let mut scan = client.scan_all::<String>();
    while let Some(key) = scan.next().await {
        scanned.insert(key.unwrap());
    }
    assert_eq!(scanned, names.into_iter().collect());
    for key in ["h:1", "h:2", "h:3"] {
        assert_eq!(client.incr(key).once(key).await.unwrap(), 1);
        client.cmd("SADD").arg(key.replace('h', "s")).arg("m").run().await.unwrap();
        let mut members = client.sscan_all::<String>(key.replace('h', "s"));
        assert_eq!(members.next().await.unwrap().unwrap(), "m");
    }
}
