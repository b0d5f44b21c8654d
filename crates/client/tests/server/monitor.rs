//! MONITOR: what is seen, and what was missed.

use std::time::Duration;

use redial::{Client, Liveness, Monitor, MonitorLine, Protocol, Received};

use crate::process::Server;

async fn next(monitor: &mut Monitor) -> Option<Received<MonitorLine>> {
    tokio::time::timeout(Duration::from_secs(10), monitor.next()).await.unwrap()
}

/// The commands up to this one, without what clients say for themselves.
async fn until(monitor: &mut Monitor, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let text = match next(monitor).await.unwrap() {
            Received::Message(line) => {
                let words: Vec<_> =
                    line.command.iter().map(|word| String::from_utf8_lossy(word)).collect();
                words.join(" ")
            }
            Received::Interrupted => "interrupted".into(),
            Received::Resumed { .. } => "resumed".into(),
            other => panic!("{other:?}"),
        };
        let is_last = text == last;
        let is_own = ["HELLO", "CLIENT", "INFO", "PING"].iter().any(|own| text.starts_with(own));
        if !is_own {
            seen.push(text);
        }
        if is_last {
            return seen;
        }
    }
}

#[tokio::test]
async fn every_command_is_seen_in_both_protocols_and_an_interruption_is_announced() {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let client =
            Client::builder(&server.url()).unwrap().protocol(protocol).connect().await.unwrap();
        let mut monitor = client.monitor().await.unwrap();
        client.cmd("SET").arg("a key").arg("\"v\"\r\n\0").run().await.unwrap();
        client.cmd("EVAL").arg("return redis.call('GET', 'a')").arg(0).run().await.unwrap();
        assert_eq!(
            until(&mut monitor, "GET a").await,
            ["SET a key \"v\"\r\n\0", "EVAL return redis.call('GET', 'a') 0", "GET a"]
        );
        let monitors = client.cmd::<String>("CLIENT LIST").await.unwrap();
        let own = monitors.lines().find(|line| line.contains("flags=O")).unwrap().to_owned();
        let id = own.split_whitespace().next().unwrap().trim_start_matches("id=").to_owned();
        client.cmd("CLIENT KILL").arg("ID").arg(&id).run().await.unwrap();
        until(&mut monitor, "interrupted").await;
        assert_eq!(until(&mut monitor, "resumed").await, ["resumed"]);
        client.cmd("GET").arg("b").run().await.unwrap();
        assert_eq!(until(&mut monitor, "GET b").await, ["GET b"]);
        drop(monitor);
        while client.cmd::<String>("CLIENT LIST").await.unwrap().contains("flags=O") {}
    }
}

#[tokio::test]
async fn an_idle_monitor_is_asked_whether_it_lives_and_stays() {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let liveness = Liveness { ping_interval: Duration::from_millis(50), ..Liveness::default() };
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.liveness(liveness).connect().await.unwrap();
        let mut monitor = client.monitor().await.unwrap();
        for _ in 0..10 {
            let received = next(&mut monitor).await.unwrap();
            assert!(received.message().is_some_and(|line| line.command[0] == "PING"));
        }
    }
}

#[tokio::test]
async fn a_monitor_that_nobody_reads_drops_the_oldest_lines_and_counts_them() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut sleeper = client.monitor().buffer(10, usize::MAX).await.unwrap();
    let mut reader = client.monitor().await.unwrap();
    for n in 0..100 {
        client.cmd("GET").arg(n).run().await.unwrap();
    }
    until(&mut reader, "GET 99").await;
    while sleeper.dropped() < 90 {
        client.cmd("GET").arg("more").run().await.unwrap();
    }
    assert!(matches!(next(&mut sleeper).await, Some(Received::Dropped(dropped)) if dropped >= 90));
}

#[tokio::test]
async fn who_may_not_monitor_is_told_and_a_monitor_ends_with_its_client() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client
        .cmd("ACL SETUSER")
        .args(["app", "reset", "on", ">secret", "~*", "+@all", "-monitor"])
        .run()
        .await
        .unwrap();
    let app = Client::builder(&server.url()).unwrap().credentials(Some("app"), "secret").build();
    assert_eq!(app.monitor().await.unwrap_err().code(), Some("NOPERM"));
    let mut monitor = client.monitor().await.unwrap();
    client.disconnect();
    while next(&mut monitor).await.is_some() {}
}
