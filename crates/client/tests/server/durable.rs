//! Writes that are answered when replicas have them.

use std::time::{Duration, Instant};

use redial::{Client, Delivery, ErrorKind};

use crate::process::Server;

const LONG: Duration = Duration::from_secs(5);

/// A primary with a replica that is in sync.
async fn pair() -> (Server, Server, Client) {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let client = Client::connect(&primary.url()).await.unwrap();
    let port = primary.url().rsplit(':').next().unwrap().to_owned();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    while !client.cmd::<String>("INFO").arg("replication").await.unwrap().contains("state=online") {
        tokio::task::yield_now().await;
    }
    (primary, replica, client)
}

#[tokio::test]
async fn a_confirmed_write_is_on_the_replica() {
    let (_primary, replica, client) = pair().await;
    let durable = client.durable(1, LONG).unwrap();
    let reader = Client::builder(&replica.url()).unwrap();
    let reader = reader.wanted_role(redial::WantedRole::Any).connect().await.unwrap();
    for i in 0..20 {
        let n: i64 = durable.cmd("INCR").arg("n").await.unwrap();
        assert_eq!(n, i + 1);
        assert_eq!(reader.cmd::<i64>("GET").arg("n").await.unwrap(), n);
    }
    let mut both = durable.transaction();
    both.cmd("INCR").arg("n").cmd("INCR").arg("n");
    assert_eq!(both.exec::<(i64, i64)>().await.unwrap(), (21, 22));
    assert_eq!(reader.cmd::<i64>("GET").arg("n").await.unwrap(), 22);
}

#[tokio::test]
async fn an_unconfirmed_write_has_run_and_says_so_and_reads_and_errors_do_not_wait() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let durable = client.durable(1, Duration::from_millis(50)).unwrap();
    let error = durable.cmd("SET").arg("k").arg("v").run().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::NotDurable, Delivery::Ran));
    assert!(error.to_string().contains("0 did"), "{error}");
    let begun = Instant::now();
    assert_eq!(durable.cmd::<String>("GET").arg("k").await.unwrap(), "v");
    let error = durable.cmd("LPUSH").arg("k").arg("x").run().await.unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn what_is_written_together_is_confirmed_together() {
    let (_primary, _replica, client) = pair().await;
    let durable = client.durable(1, LONG).unwrap();
    let mut pipeline = durable.pipeline();
    for i in 0..200 {
        pipeline.cmd("RPUSH").arg("l").arg(i);
    }
    assert!(pipeline.await.iter().all(Result::is_ok));
    let stats: String = client.cmd("INFO").arg("commandstats").await.unwrap();
    let waits = stats.lines().find_map(|line| line.strip_prefix("cmdstat_wait:calls=")).unwrap();
    let waits: u32 = waits.split(',').next().unwrap().parse().unwrap();
    assert!(waits <= 3, "{waits} WAITs for one pipeline");
}

#[tokio::test]
async fn while_a_confirmation_is_awaited_the_client_is_not_delayed() {
    let (_primary, replica, client) = pair().await;
    let durable = client.durable(1, LONG).unwrap();
    durable.cmd("SET").arg("k").arg(0).run().await.unwrap();
    replica.signal("-STOP");
    let held = tokio::spawn(durable.cmd("SET").arg("k").arg(1).run());
    for _ in 0..50 {
        let begun = Instant::now();
        client.cmd::<String>("PING").await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    assert!(!held.is_finished());
    replica.signal("-CONT");
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_deadline_and_a_lost_connection_settle_what_is_held() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let durable = client.durable(1, Duration::from_secs(60)).unwrap();
    let set = |value: i64| durable.cmd("SET").arg("k").arg(value);
    let error = set(1).timeout(Duration::from_millis(100)).run().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, Delivery::Ran), "{error}");
    // The WAIT behind it still blocks the connection; the next write can't run before it is over.
    let blocked = tokio::spawn(set(2).run());
    while !client.cmd::<String>("CLIENT LIST").await.unwrap().contains("flags=b") {
        tokio::task::yield_now().await;
    }
    client
        .cmd("CLIENT KILL")
        .arg("TYPE")
        .arg("NORMAL")
        .arg("SKIPME")
        .arg("YES")
        .run()
        .await
        .unwrap();
    let error = blocked.await.unwrap().unwrap_err();
    assert_ne!(error.delivery(), Delivery::NotSent, "{error}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    assert_eq!(client.durable(0, LONG).unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert_eq!(client.durable(1, Duration::ZERO).unwrap_err().kind(), ErrorKind::InvalidRequest);
    let durable = client.durable(1, LONG).unwrap();
    let error = durable.cmd("BLPOP").arg("l").arg(0).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}
