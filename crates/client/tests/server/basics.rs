//! Connecting, commands, pipelines, errors.

use std::time::Duration;

use bytes::Bytes;
use redial::{Client, Delivery, ErrorKind, Protocol};

use crate::process::Server;

#[tokio::test]
async fn a_value_that_was_set_is_got_back_over_tcp_and_unix_in_both_protocols() {
    let server = Server::start(&[]);
    for url in [server.url(), server.unix_url()] {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let client = Client::builder(&url).unwrap().protocol(protocol).connect().await.unwrap();
            client.cmd("SET").arg("k").arg("v").run().await.unwrap();
            let value: Option<String> = client.cmd("GET").arg("k").await.unwrap();
            assert_eq!(value.as_deref(), Some("v"));
            let missing: Option<Bytes> = client.cmd("GET").arg("nothing").await.unwrap();
            assert_eq!(missing, None);
            let sum: i64 = client.cmd("INCRBY").arg("n").arg(5).await.unwrap();
            assert_eq!(sum % 5, 0);
            assert_eq!(client.server().unwrap().resp3, protocol == Protocol::Resp3);
        }
    }
}

#[tokio::test]
async fn a_pipeline_gives_each_command_its_own_outcome() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let replies = client
        .pipeline()
        .cmd("SET")
        .arg("s")
        .arg("text")
        .cmd("INCR")
        .arg("s")
        .cmd("SELECT")
        .arg(1)
        .cmd("GET")
        .arg("s")
        .await;
    assert_eq!(replies.len(), 4);
    assert_eq!(replies[1].as_ref().unwrap_err().code(), Some("ERR"));
    assert_eq!(replies[2].as_ref().unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert_eq!(replies[3].as_ref().unwrap().decode::<String>().unwrap(), "text");
    assert!(client.pipeline().await.is_empty());
}

#[tokio::test]
async fn each_command_of_a_pipeline_runs_once_whatever_stands_between_them() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let id: i64 = client.cmd("CLIENT ID").await.unwrap();
    let large = Bytes::from(vec![b'x'; 1 << 20]);
    let mut pipeline = client.pipeline();
    pipeline.cmd("INCR").arg("a").cmd("SELECT").arg(1);
    pipeline.cmd("INCR").arg("b").cmd("APPEND").arg("large").arg(large);
    pipeline.cmd("INCR").arg("c").cmd("BLPOP").arg("l").arg(0.01);
    let replies = pipeline.cmd("INCR").arg("d").await;
    for at in [0, 2, 4, 6] {
        assert_eq!(replies[at].as_ref().unwrap().decode::<i64>().unwrap(), 1, "{at}");
    }
    let counters = client.cmd::<Vec<i64>>("MGET").args(["a", "b", "c", "d"]).await.unwrap();
    assert_eq!(counters, [1, 1, 1, 1]);
    let same: i64 = client.cmd("CLIENT ID").await.unwrap();
    assert_eq!(same, id, "nothing was answered that was not asked");
}

#[tokio::test]
async fn ten_thousand_concurrent_commands_get_their_own_replies() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let tasks: Vec<_> = (0..10_000)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(
                async move { client.cmd::<i64>("ECHO").arg(i).await.map(|echo| echo == i) },
            )
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn values_of_every_size_come_back_whole() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    for size in [0, 1, 4095, 16 * 1024, 1 << 20, 20 << 20] {
        let value = vec![b'x'; size];
        client.cmd("SET").arg("k").arg(value).run().await.unwrap();
        let back: Bytes = client.cmd("GET").arg("k").await.unwrap();
        assert_eq!(back.len(), size);
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_at_once() {
    let server = Server::start(&["--requirepass", "right"]);
    for url in [server.url(), format!("redis://:wrong@127.0.0.1:{}", server.port)] {
        let error = tokio::time::timeout(Duration::from_secs(2), Client::connect(&url))
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    }
    let url = format!("redis://:right@127.0.0.1:{}", server.port);
    let client = Client::connect(&url).await.unwrap();
    client.cmd("PING").run().await.unwrap();
}

#[tokio::test]
async fn a_blocking_command_delays_nobody_and_is_answered() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let waiter = {
        let client = client.clone();
        tokio::spawn(
            async move { client.cmd::<(String, String)>("BLPOP").arg("list").arg(0).await },
        )
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let pong: String = client.cmd("PING").timeout(Duration::from_secs(1)).await.unwrap();
    assert_eq!(pong, "PONG");
    client.cmd("RPUSH").arg("list").arg("item").run().await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap(), ("list".into(), "item".into()));
}

#[tokio::test]
async fn a_blocking_command_that_is_dropped_takes_no_element() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let blocked = client.cmd::<Option<(String, String)>>("BLPOP").arg("list").arg(0).send();
    assert!(tokio::time::timeout(Duration::from_millis(100), blocked).await.is_err());
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.cmd("RPUSH").arg("list").arg("item").run().await.unwrap();
    let len: i64 = client.cmd("LLEN").arg("list").await.unwrap();
    assert_eq!(len, 1);
}

#[tokio::test]
async fn quit_lets_what_was_accepted_finish_and_refuses_what_comes_later() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let accepted = tokio::spawn(client.cmd::<i64>("INCR").arg("n").send());
    tokio::task::yield_now().await;
    client.quit().await;
    assert_eq!(accepted.await.unwrap().unwrap(), 1);
    let error = client.cmd("PING").run().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Closed, Delivery::NotSent));
    client.reconnect();
    client.cmd("PING").run().await.unwrap();
}
