//! Typed commands: one definition for every handle, against a real server.

use std::collections::HashMap;
use std::time::Duration;

use redial::commands::{BitOverflow, NO_KEYS, RoleInfo, Side, Unit};
use redial::prelude::*;
use redial::{Client, ErrorKind, FromReply, Outcomes, Protocol, StreamEntry, StreamId};

use crate::process::Server;

#[derive(Debug, PartialEq, FromReply)]
#[redial(rename_all = "kebab-case")]
pub(crate) struct User<T = Option<(String, u8)>> {
    /// Documented.
    first_name: String,
    #[redial(rename = "years")]
    pub age: u32,
    email: Option<String>,
    #[redial(default)]
    visits: u64,
    more: T,
}

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

#[tokio::test]
async fn replies_of_a_shape_of_their_own_are_read_in_both_protocols() {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.connect().await.unwrap();
        client.flushall().await.unwrap();

        let id = client.xadd("s").id("*").field("a", 1).field("b", 2).await.unwrap();
        client.xgroup_create("s", "g", "0").await.unwrap();
        let all: Vec<StreamEntry<HashMap<String, u32>>> =
            client.xrange("s", "-", "+").await.unwrap();
        assert_eq!((all[0].id, all[0].fields["b"]), (id, 2));
        let read = client
            .xreadgroup::<(String, u32, String, u32)>("g", "me")
            .count(5)
            .streams(["s"], [">"]);
        let (stream, entries) = &read.await.unwrap().unwrap()[0];
        assert_eq!((stream.as_str(), entries.len()), ("s", 1));
        assert!(client.xread::<()>().streams(["s"], ["$"]).await.unwrap().is_none());
        assert_eq!(client.xpending("s", "g").await.unwrap().consumers, [("me".to_owned(), 1)]);
        let pending =
            client.xpending_range("s", "g").range("-", "+", 10).consumer("me").await.unwrap();
        assert_eq!((pending[0].id, pending[0].deliveries), (id, 1));
        let claimed =
            client.xautoclaim::<HashMap<String, u32>>("s", "g", "you", 0, "0-0").await.unwrap();
        assert_eq!((claimed.next, claimed.entries.len()), (StreamId::ZERO, 1));
        let ids = client.xautoclaim::<()>("s", "g", "you", 0, "0-0").justid().await.unwrap();
        assert_eq!(ids.ids, std::slice::from_ref(&id));
        let info = client.xinfo_stream("s").await.unwrap();
        assert_eq!((info.length, info.groups, info.first_entry.unwrap().id), (1, 1, id));
        assert_eq!(client.xinfo_groups("s").await.unwrap()[0].pending, 1);
        assert_eq!(client.xinfo_consumers("s", "g").await.unwrap().len(), 2);

        let page = client.scan::<String>(0).match_("s*").count(100).await.unwrap();
        assert_eq!((page.cursor, page.items), (0, vec!["s".to_owned()]));
        client.set("x", "ohmytext").await.unwrap();
        client.set("y", "mynewtext").await.unwrap();
        if let Ok(lcs) = client.lcs::<()>("x", "y").idx().withmatchlen().await {
            assert_eq!(
                (lcs.len, lcs.matches[0].first.clone(), lcs.matches[0].len),
                (6, 4..=7, Some(4))
            );
        }
        let fields =
            client.bitfield("bits").overflow(BitOverflow::Fail).incrby("u2", "0", 5).get("u8", "0");
        assert_eq!(fields.await.unwrap(), [None, Some(0)]);

        let me = client.client_id().await.unwrap();
        assert!(client.client_list().await.unwrap().iter().any(|other| other.id() == Some(me)));
        assert!(matches!(client.role().await.unwrap(), RoleInfo::Primary { .. }));
        assert!(
            client.acl_getuser("default").await.unwrap().unwrap().flags.contains(&"on".to_owned())
        );
        assert_eq!(client.config_get(["maxmemory"]).await.unwrap()["maxmemory"], "0");
        client.config_set([("slowlog-log-slower-than", 0)]).await.unwrap();
        client.ping::<()>().await.unwrap();
        assert!(!client.slowlog_get().count(3).await.unwrap().is_empty());
        assert_eq!(
            client.eval::<i64>("return #KEYS + #ARGV", NO_KEYS).args([1, 2]).await.unwrap(),
            2
        );
    }
}

#[tokio::test]
async fn required_arguments_may_come_by_name_and_blocking_commands_wait() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client
        .geoadd("g")
        .member(13.36, 38.11, "Palermo")
        .member(15.08, 37.5, "Catania")
        .await
        .unwrap();
    let near: Vec<(String, f64)> = client
        .geosearch("g")
        .fromlonlat(15, 37)
        .byradius(200, Unit::Km)
        .asc()
        .withdist()
        .await
        .unwrap();
    assert_eq!(near[0].0, "Catania");
    let km = client.geodist("g", "Palermo", "Catania").unit(Unit::Km).await.unwrap();
    assert!((160.0..170.0).contains(&km.unwrap()));
    let (waited, _) = tokio::join!(
        client.blmove::<Option<String>>("from", "to", Side::Left, Side::Right, 5),
        async { client.rpush("from", ["x"]).await.unwrap() },
    );
    assert_eq!(waited.unwrap().as_deref(), Some("x"));

    let own = client.dedicated().unwrap();
    own.watch(["k"]).await.unwrap();
    own.select(3).await.unwrap();
    assert_eq!(own.wait(0, 10).await.unwrap(), 0);
    let error = client.cmd::<()>("SELECT").arg(3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn a_struct_is_made_of_a_hash() {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.connect().await.unwrap();
        client.del(["u"]).await.unwrap();
        assert_eq!(client.hgetall::<Option<User>>("u").await.unwrap(), None);
        client.hset("u", [("first-name", "Ann"), ("other", "x")]).await.unwrap();
        let error = client.hgetall::<User>("u").await.unwrap_err();
        assert!(error.to_string().contains("the field `years`"), "{error}");
        client.hset("u", [("years", 41)]).await.unwrap();
        let ann: Option<User<Option<u8>>> = client.hgetall("u").await.unwrap();
        let expected =
            User { first_name: "Ann".to_owned(), age: 41, email: None, visits: 0, more: None };
        assert_eq!(ann, Some(expected));
        client.hset("u", [("years", "many")]).await.unwrap();
        assert_eq!(client.hgetall::<User>("u").await.unwrap_err().kind(), ErrorKind::Decode);
    }
}
