//! MULTI … EXEC on the shared connection.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redial::{Client, Delivery, ErrorKind, EventKind, Protocol, ServerError};

use crate::fake::{Answer, Fake};
use crate::process::Server;

#[tokio::test]
async fn a_transaction_gives_the_replies_of_its_commands_in_both_protocols() {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.connect().await.unwrap();
        let (set, n, value): (String, i64, Option<String>) = client
            .transaction()
            .cmd("SET")
            .arg("k")
            .arg("v")
            .cmd("STRLEN")
            .arg("k")
            .cmd("GET")
            .arg("k")
            .exec()
            .await
            .unwrap();
        assert_eq!((set.as_str(), n, value.as_deref()), ("OK", 1, Some("v")));
        let nothing: Vec<i64> = client.transaction().exec().await.unwrap();
        assert!(nothing.is_empty());
    }
}

#[tokio::test]
async fn a_command_that_fails_as_it_runs_does_not_undo_the_others() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut transaction = client.transaction();
    transaction.cmd("SET").arg("s").arg("text").cmd("LPUSH").arg("s").arg("x");
    let replies: Vec<Result<redial::Value, ServerError>> = transaction.exec().await.unwrap();
    assert_eq!(replies.len(), 2);
    assert!(replies[0].is_ok());
    assert_eq!(replies[1].as_ref().unwrap_err().code(), "WRONGTYPE");
    // It can be filled again.
    transaction.cmd("SET").arg("s").arg("text").cmd("LPUSH").arg("s").arg("x");
    let error = transaction.exec::<(String, i64)>().await.unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    assert_eq!(client.cmd::<String>("GET").arg("s").await.unwrap(), "text");
}

#[tokio::test]
async fn a_command_that_cannot_be_queued_makes_nothing_run_and_is_named() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut set = client.transaction();
    set.cmd("SET").arg("k").arg("v").cmd("GET");
    let error = set.exec::<Vec<redial::Value>>().await.unwrap_err();
    assert!(error.to_string().contains("wrong number of arguments"), "{error}");
    set.cmd("SET").arg("k").arg("v").cmd("SELECT").arg(1);
    let error = set.exec::<Vec<redial::Value>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(!client.cmd::<bool>("EXISTS").arg("k").await.unwrap());
    // The connection is as it was before.
    assert_eq!(client.cmd::<String>("PING").await.unwrap(), "PONG");
}

#[tokio::test]
async fn transactions_of_many_callers_never_see_half_of_one_another() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let mut both = client.transaction();
                    both.cmd("INCR").arg("a").cmd("INCR").arg("b");
                    let (a, b): (i64, i64) = both.exec().await.unwrap();
                    assert_eq!(a, b);
                    let alone: i64 = client.cmd("INCR").arg("c").await.unwrap();
                    assert!(alone > 0);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(client.cmd::<i64>("GET").arg("a").await.unwrap(), 64 * 50);
}

#[tokio::test]
async fn large_arguments_go_into_a_transaction_whole() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let value = Bytes::from(vec![b'x'; 3 << 20]);
    let mut transaction = client.transaction();
    transaction.cmd("SET").arg("k").arg(value.clone()).cmd("GET").arg("k");
    let (_, back): (String, Bytes) = transaction.exec().await.unwrap();
    assert_eq!(back, value);
}

#[tokio::test]
async fn a_transaction_that_a_replica_refuses_waits_for_a_primary_and_runs_once() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client.cmd("REPLICAOF").arg("127.0.0.1").arg(1).run().await.unwrap();
    let mut events = client.events();
    let promotion = async {
        while !matches!(events.next().await.unwrap().unwrap().kind, EventKind::Suspected { .. }) {}
        // A replica is not what a client wants, so the order comes over a plain socket.
        let mut admin = TcpStream::connect(server.url().trim_start_matches("redis://")).unwrap();
        admin.write_all(b"REPLICAOF NO ONE\r\n").unwrap();
        admin
    };
    let mut both = client.transaction();
    both.cmd("INCR").arg("a").cmd("INCR").arg("b");
    let (replies, _admin) = tokio::join!(both.exec::<(i64, i64)>(), promotion);
    assert_eq!(replies.unwrap(), (1, 1));
}

#[tokio::test]
async fn commands_that_ran_outside_of_a_transaction_are_said_to_have_done_so() {
    let fake = Fake::start(|_, words| match words[0].as_str() {
        "MULTI" => Answer::Bytes(b"-NOPERM no permissions to run the 'multi' command\r\n".to_vec()),
        "INCR" => Answer::Bytes(b":1\r\n".to_vec()),
        "EXEC" => Answer::Bytes(b"-ERR EXEC without MULTI\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let error = client.transaction().cmd("INCR").arg("a").exec::<(i64,)>().await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(error.to_string().contains("outside of a transaction"), "{error}");
    assert_eq!(client.cmd::<i64>("INCR").arg("a").await.unwrap(), 1);
}

#[tokio::test]
async fn a_connection_that_is_lost_in_the_middle_of_the_replies_leaves_the_transaction_unknown() {
    let was_asked = AtomicBool::new(false);
    let fake = Fake::start(move |_, words| match words[0].as_str() {
        "INCR" if !was_asked.swap(true, Ordering::Relaxed) => Answer::Bytes(b"?".to_vec()),
        "MULTI" => Answer::Bytes(b"+OK\r\n".to_vec()),
        "INCR" | "GET" => Answer::Bytes(b"+QUEUED\r\n".to_vec()),
        "EXEC" => Answer::Bytes(b"*1\r\n:7\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let incr = || client.transaction().cmd("INCR").arg("a").exec::<(i64,)>();
    assert_eq!(incr().await.unwrap_err().delivery(), Delivery::Unknown);
    assert_eq!(incr().await.unwrap(), (7,));
    assert_eq!(client.transaction().cmd("GET").arg("a").exec::<(i64,)>().await.unwrap(), (7,));
}

#[tokio::test]
async fn a_transaction_whose_caller_goes_away_leaves_the_replies_of_others_in_their_places() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    for i in 0..200 {
        let dropped = client.transaction().cmd("INCR").arg("a").cmd("INCR").arg("a").exec::<()>();
        let _ = tokio::time::timeout(Duration::from_micros(i * 3), dropped).await;
        assert_eq!(client.cmd::<i64>("ECHO").arg(i).await.unwrap(), i as i64);
    }
}
