//! Options of the builder that hold for every command or every connection.

use std::time::Duration;

use redial::{Client, ErrorKind, Protocol, Script};

use crate::process::Server;

#[tokio::test]
async fn a_client_that_only_reads_refuses_every_write_before_it_is_sent() {
    let server = Server::start(&[]);
    let writer = Client::connect(&server.url()).await.unwrap();
    writer.cmd("SET").arg("k").arg("v").run().await.unwrap();
    writer.cmd("XADD").args(["s", "1-1", "f", "v"]).run().await.unwrap();
    writer.cmd("CONFIG RESETSTAT").run().await.unwrap();
    let reader = Client::builder(&server.url()).unwrap().read_only(true).connect().await.unwrap();
    for line in [
        "SET k w",
        "INCR n",
        "DEL k",
        "BLPOP list 0.1",
        "EVAL return#1 0",
        "FCALL f 0",
        "PUBLISH c m",
        "FLUSHALL",
        "CONFIG SET maxmemory 0",
        "XREADGROUP GROUP g c STREAMS s >",
        "SORT list STORE k",
        "AN.UNKNOWN k",
    ] {
        let mut words = line.split(' ');
        let cmd = reader.cmd(words.next().unwrap()).args(words);
        let error = cmd.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{line}");
        assert!(error.to_string().contains("only reads"), "{error}");
    }
    assert_eq!(reader.cmd::<String>("GET").arg("k").await.unwrap(), "v");
    reader.cmd("XREAD").args(["BLOCK", "1", "STREAMS", "s", "0"]).run().await.unwrap();
    let script = Script::new("return redis.call('SET', KEYS[1], 'w')");
    reader.script::<()>(&script).key("k").await.unwrap_err();
    reader.cmd::<i64>("INCR").arg("n").once("id").await.unwrap_err();

    let stats: String = writer.cmd("INFO").arg("commandstats").await.unwrap();
    for name in ["set", "incr", "del", "blpop", "eval", "evalsha", "publish", "flushall"] {
        assert!(!stats.contains(&format!("cmdstat_{name}:")), "{name}: {stats}");
    }
}

#[tokio::test]
async fn only_the_writes_of_a_pipeline_are_refused_and_a_transaction_with_one_is_refused_whole() {
    let server = Server::start(&[]);
    let client = Client::builder(&server.url()).unwrap().read_only(true).connect().await.unwrap();
    let mut pipeline = client.pipeline();
    pipeline.cmd("GET").arg("k").cmd("INCR").arg("n").cmd("EXISTS").arg("n").cmd("BLPOP");
    let outcomes = pipeline.arg("l").arg(1).await;
    assert_eq!(outcomes[0].as_ref().unwrap().decode::<Option<String>>().unwrap(), None);
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert_eq!(outcomes[2].as_ref().unwrap().decode::<i64>().unwrap(), 0);
    assert_eq!(outcomes[3].as_ref().unwrap_err().kind(), ErrorKind::InvalidRequest);

    let error = client.transaction().cmd("GET").arg("k").cmd("INCR").arg("n").exec::<()>();
    assert_eq!(error.await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let mut both = client.transaction();
    let both = both.cmd("GET").arg("k").cmd("EXISTS").arg("n").exec::<(Option<String>, i64)>();
    assert_eq!(both.await.unwrap(), (None, 0));
}

#[tokio::test]
async fn state_of_a_connection_of_ones_own_is_no_write() {
    let server = Server::start(&[]);
    let client = Client::builder(&server.url()).unwrap().read_only(true).connect().await.unwrap();
    let own = client.dedicated().unwrap();
    own.cmd("SELECT").arg(3).run().await.unwrap();
    own.cmd("WATCH").arg("k").run().await.unwrap();
    let error = own.cmd("SET").arg("k").arg("v").run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(own.cmd::<i64>("DBSIZE").await.unwrap(), 0);
}

/// The flags of this very connection in CLIENT LIST.
async fn flags(client: &Client) -> String {
    let list: String = client.cmd("CLIENT INFO").await.unwrap();
    let flags = list.split(' ').find_map(|word| word.strip_prefix("flags="));
    flags.unwrap().to_owned()
}

#[tokio::test]
async fn no_evict_and_no_touch_hold_on_every_connection_where_the_server_knows_them() {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.no_evict(true).no_touch(true).connect().await.unwrap();
        let version = client.server().unwrap().version;
        let (major, minor) = version.split_once('.').unwrap();
        let minor = minor.split('.').next().unwrap();
        let version = (major.parse::<u32>().unwrap(), minor.parse::<u32>().unwrap());
        let expected = |flags: &str| {
            assert_eq!(flags.contains('e'), version >= (7, 0), "{version:?} {flags}");
            assert_eq!(flags.contains('T'), version >= (7, 2), "{version:?} {flags}");
        };
        expected(&flags(&client).await);
        let id: i64 = client.cmd("CLIENT ID").await.unwrap();
        let killer = Client::connect(&server.url()).await.unwrap();
        killer.cmd("CLIENT KILL").arg("ID").arg(id).run().await.unwrap();
        let again = async {
            while client.cmd::<i64>("CLIENT ID").await.unwrap() == id {}
            flags(&client).await
        };
        expected(&tokio::time::timeout(Duration::from_secs(5), again).await.unwrap());
    }
}
