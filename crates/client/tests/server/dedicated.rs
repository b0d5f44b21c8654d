//! Connections of one caller alone.

use std::time::Duration;

use redial::{Client, Delivery, ErrorKind};

use crate::process::Server;

#[tokio::test]
async fn a_watched_key_that_somebody_changes_makes_the_transaction_run_nothing() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let own = client.dedicated().unwrap();
    for (interferes, expected) in [(false, Some(("OK".to_owned(),))), (true, None)] {
        own.cmd("WATCH").arg("k").run().await.unwrap();
        if interferes {
            client.cmd("SET").arg("k").arg("theirs").run().await.unwrap();
        }
        let mut set = own.transaction();
        set.cmd("SET").arg("k").arg("mine");
        let replies: Option<(String,)> = set.exec().await.unwrap();
        assert_eq!(replies, expected);
    }
    assert_eq!(client.cmd::<String>("GET").arg("k").await.unwrap(), "theirs");
}

#[tokio::test]
async fn state_that_is_set_on_it_is_nobody_elses() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let own = client.dedicated().unwrap();
    own.cmd("SELECT").arg(3).run().await.unwrap();
    own.cmd("SET").arg("k").arg("in 3").run().await.unwrap();
    assert_eq!(client.cmd::<Option<String>>("GET").arg("k").await.unwrap(), None);
    let acknowledged: i64 = own.cmd("WAIT").arg(1).arg(20).await.unwrap();
    assert_eq!(acknowledged, 0);
    for name in ["MULTI", "SUBSCRIBE", "MONITOR", "HELLO"] {
        let error = own.cmd(name).arg("x").run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{name}");
    }
}

#[tokio::test]
async fn a_lost_one_fails_for_good_and_the_client_goes_on() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let own = client.dedicated().unwrap();
    own.cmd("WATCH").arg("k").run().await.unwrap();
    let id: i64 = own.cmd("CLIENT ID").await.unwrap();
    let killed: i64 = client.cmd("CLIENT KILL ID").arg(id).await.unwrap();
    assert_eq!(killed, 1);
    let error = own.cmd::<Option<String>>("GET").arg("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    let error = own.transaction().cmd("SET").arg("k").arg(1).exec::<()>().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Disconnected, Delivery::NotSent));
    assert_eq!(client.cmd::<String>("PING").await.unwrap(), "PONG");
    assert_eq!(client.dedicated().unwrap().cmd::<String>("PING").await.unwrap(), "PONG");
}

#[tokio::test]
async fn it_is_closed_when_it_is_dropped_and_when_a_blocked_caller_goes_away() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let connections = async || {
        let list: String = client.cmd("CLIENT LIST").await.unwrap();
        list.lines().count()
    };
    for leaves in ["drops it", "gives up waiting"] {
        let own = client.dedicated().unwrap();
        own.cmd("PING").run().await.unwrap();
        assert_eq!(connections().await, 2);
        if leaves == "gives up waiting" {
            let waits = own.cmd("BLPOP").arg("l").arg(0).run();
            tokio::time::timeout(Duration::from_millis(50), waits).await.unwrap_err();
        } else {
            drop(own);
        }
        while connections().await > 1 {}
        let pushed: i64 = client.cmd("RPUSH").arg("l").arg("x").await.unwrap();
        assert_eq!(pushed, 1, "{leaves}: nobody popped it");
        client.cmd("DEL").arg("l").run().await.unwrap();
    }
}

#[tokio::test]
async fn after_the_client_has_ended_there_are_none() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let own = client.dedicated().unwrap();
    client.disconnect();
    let error = own.cmd("PING").run().await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(client.dedicated().unwrap_err().kind(), ErrorKind::Closed);
}
