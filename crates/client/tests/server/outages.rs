//! A server that dies, hangs, or comes back as another: what callers see.

use std::time::{Duration, Instant};

use redial::prelude::*;
use redial::{Client, Delivery, ErrorKind, EventKind, State};

use crate::process::Server;

#[tokio::test]
async fn commands_given_while_the_server_is_down_run_when_it_is_back() {
    let mut server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let port = server.port;
    let mut events = client.events();
    server.kill();
    while !matches!(
        events.next().await.unwrap().unwrap().kind,
        EventKind::State(State::Reconnecting)
    ) {}
    let waiting = tokio::spawn(client.cmd::<i64>("INCR").arg("n").send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _again = Server::start_on(port, &[]);
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_hung_server_gets_its_commands_answered_late_and_once_without_losing_the_connection() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut events = client.events();
    server.signal("-STOP");
    let waiting: Vec<_> =
        (0..50).map(|_| tokio::spawn(client.cmd::<i64>("INCR").arg("n").send())).collect();
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    server.signal("-CONT");
    for request in waiting {
        request.await.unwrap().unwrap();
    }
    assert_eq!(client.cmd::<i64>("INCR").arg("n").await.unwrap(), 51);
    let mut suspected = 0;
    while let Ok(Some(Ok(event))) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        assert!(
            !matches!(event.kind, EventKind::Condemned { .. } | EventKind::Adopted { .. }),
            "{event:?}"
        );
        suspected += usize::from(matches!(event.kind, EventKind::Suspected { .. }));
    }
    assert_eq!(suspected, 1);
}

#[tokio::test]
async fn a_deadline_settles_what_a_hung_server_does_not() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    server.signal("-STOP");
    let begun = Instant::now();
    let timeout = Duration::from_millis(300);
    let error = client.cmd("INCR").arg("n").timeout(timeout).run().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, Delivery::Unknown));
    assert!(begun.elapsed() < timeout * 2);
    server.signal("-CONT");
}

#[tokio::test]
async fn a_port_that_refuses_is_named_when_connecting_fails() {
    let client = Client::builder("redis://127.0.0.1:1").unwrap().build();
    let error = client.cmd("PING").timeout(Duration::from_millis(300)).run().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, Delivery::NotSent));
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_host_that_does_not_resolve_is_named() {
    let client = Client::builder("redis://no-such-host.invalid").unwrap().build();
    let error = client.cmd("PING").timeout(Duration::from_millis(1500)).run().await.unwrap_err();
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

#[tokio::test]
async fn a_retry_strategy_that_gives_up_ends_the_client_until_it_is_started_again() {
    let mut server = Server::start(&[]);
    let client = Client::builder(&server.url())
        .unwrap()
        .retry_strategy(|attempt, _| (attempt < 3).then_some(Duration::from_millis(10)))
        .connect()
        .await
        .unwrap();
    let port = server.port;
    server.kill();
    let error = client.cmd("PING").run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let _again = Server::start_on(port, &[]);
    client.reconnect();
    client.cmd("PING").run().await.unwrap();
}

#[tokio::test]
async fn a_blocked_caller_hears_of_the_end_of_its_connection() {
    let mut server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let blocked = tokio::spawn(client.cmd::<(String, String)>("BLPOP").arg("list").arg(0).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    let error = blocked.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Disconnected, Delivery::Unknown));
}

#[tokio::test]
async fn all_futures_settle_when_the_runtime_goes_before_them() {
    let server = Server::start(&[]);
    let url = server.url();
    server.signal("-STOP");
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Client::builder(&url).unwrap().build() })
    });
    let client = runtime.join().unwrap();
    let error = client.cmd("PING").run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    server.signal("-CONT");
}

/// On a runtime with one thread, who never waits keeps everybody from running.
#[tokio::test]
async fn who_asks_again_as_soon_as_it_is_refused_leaves_others_their_turn() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let disconnected = || {
        client.disconnect();
        let client = client.clone();
        tokio::spawn(async move { client.reconnect() })
    };
    let all = async {
        disconnected();
        while client.get::<Option<String>>("k").await.is_err() {}
        disconnected();
        while client.set("k", "v").once("id").await.is_err() {}
        disconnected();
        let mut pipeline = client.pipeline();
        while {
            pipeline.incr("n").queue();
            pipeline.send().await[0].is_err()
        } {}
        disconnected();
        while {
            let mut transaction = client.transaction();
            transaction.incr("n").queue();
            transaction.exec::<(i64,)>().await.is_err()
        } {}
        disconnected();
        while client.subscribe("news").await.is_err() {}
        disconnected();
        while client.psubscribe("n*").await.is_err() {}
        disconnected();
        while client.cache().await.is_err() {}
        disconnected();
        while client.monitor().await.is_err() {}
        disconnected();
        while client.consumer_group::<Vec<(String, String)>>("s", "g", "c").await.is_err() {}
        disconnected();
        while client.scan_all::<String>().next().await.unwrap().is_err() {}
        disconnected();
        let script = redial::Script::new("return 1");
        while client.script::<i64>(&script).await.is_err() {}
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
}
