//! Writes that run exactly once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redial::{Client, ErrorKind, Protocol, Resend};

use crate::fake::{Answer, Fake};
use crate::process::Server;

#[tokio::test]
async fn the_same_id_again_gets_the_first_reply_whatever_it_was() {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.connect().await.unwrap();
        client.cmd("FLUSHALL").run().await.unwrap();
        for _ in 0..3 {
            assert_eq!(client.cmd::<i64>("INCR").arg("n").once("a").await.unwrap(), 1);
            assert_eq!(client.cmd::<i64>("INCR").arg("n").once("b").await.unwrap(), 2);
            let set = client.cmd::<String>("SET").arg("s").arg("text").once("c");
            assert_eq!(set.await.unwrap(), "OK");
            let old = client.cmd::<Option<String>>("GETSET").arg("t").arg("x").once("d");
            assert_eq!(old.await.unwrap(), None);
            let score = client.cmd::<f64>("ZINCRBY").arg("z").arg(0.1).arg("m").once("e");
            assert!((score.await.unwrap() - 0.1).abs() < 1e-12);
            let popped = client.cmd::<Vec<Option<i64>>>("BITFIELD").arg("b");
            let popped = popped.args(["OVERFLOW", "FAIL", "INCRBY", "u2", "0", "5"]).once("f");
            assert_eq!(popped.await.unwrap(), [None]);
            let list = client.cmd::<i64>("RPUSH").arg("l").arg("1").arg("").arg("\r\n").once("g");
            assert_eq!(list.await.unwrap(), 3);
            let all = client.cmd::<Vec<String>>("LPOP").arg("l").arg(9).once("h");
            assert_eq!(all.await.unwrap(), ["1", "", "\r\n"]);
        }
        assert_eq!(client.cmd::<i64>("GET").arg("n").await.unwrap(), 2);
        // Twice EVAL: that of the first command, and none since.
        let stats: String = client.cmd("INFO").arg("commandstats").await.unwrap();
        assert!(stats.contains("cmdstat_eval:calls=1,"), "{stats}");
    }
}

#[tokio::test]
async fn an_error_is_not_remembered_since_nothing_ran() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client.cmd("SET").arg("k").arg("text").run().await.unwrap();
    let incr = || client.cmd::<i64>("INCR").arg("k").once("a");
    let error = incr().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert!(error.to_string().contains("not an integer"), "{error}");
    client.cmd("SET").arg("k").arg(1).run().await.unwrap();
    assert_eq!(incr().await.unwrap(), 2);
    let wrong = client.cmd::<i64>("LPUSH").arg("k").arg("x").once("b").await.unwrap_err();
    assert_eq!(wrong.code(), Some("WRONGTYPE"));
}

#[tokio::test]
async fn after_its_time_an_id_is_another_run() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let incr = || client.cmd::<i64>("INCR").arg("k").once("a").ttl(Duration::from_millis(20));
    assert_eq!(incr().await.unwrap(), 1);
    while client.cmd::<i64>("DBSIZE").await.unwrap() > 1 {}
    assert_eq!(incr().await.unwrap(), 2);
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_and_says_why() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    for (command, why) in [
        (client.cmd::<()>("GET").arg("k"), "single writes"),
        (client.cmd::<()>("EVAL").arg("return 1").arg(0), "single writes"),
        (client.cmd::<()>("BLPOP").arg("l").arg(0), "single writes"),
        (client.cmd::<()>("MSET").arg("a").arg(1).arg("b").arg(2), "several slots"),
        (client.cmd::<()>("SELECT").arg(1), "changes the state"),
        (client.cmd::<()>("RPUSH").arg("l").args(0..8000), "7,000"),
    ] {
        let error = command.once("x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.to_string().contains(why), "{error}");
    }
    let together = client.cmd::<()>("MSET").arg("{t}a").arg(1).arg("{t}b").arg(2).once("y");
    together.await.unwrap();
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_where_others_could_only_say_unknown() {
    // The first EVALSHA is taken and its connection cut: whether it ran nobody knows.
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let fake = Fake::start(move |_, words| match words[0].as_str() {
        "EVALSHA" if count.fetch_add(1, Ordering::Relaxed) == 0 => Answer::Bytes(b"?".to_vec()),
        "EVALSHA" => Answer::Bytes(b"$4\r\n:7\r\n\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let incr = client.cmd::<i64>("INCR").arg("k").resend(Resend::Never).once("a");
    assert_eq!(incr.await.unwrap(), 7);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn fifty_callers_through_kills_count_exactly_what_they_were_told() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let client = Client::connect(&server.url()).await.unwrap();
    let callers: Vec<_> = (0..50)
        .map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut told = 0;
                for i in 0..40 {
                    let id = format!("{caller}:{i}");
                    told += i64::from(client.cmd::<i64>("INCR").arg("n").once(id).await.is_ok());
                }
                told
            })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let killed = client.cmd::<i64>("CLIENT KILL").arg("TYPE").arg("NORMAL");
        let _ = killed.arg("SKIPME").arg("NO").await;
    }
    let mut told = 0;
    for caller in callers {
        told += caller.await.unwrap();
    }
    assert_eq!(told, 50 * 40);
    assert_eq!(client.cmd::<i64>("GET").arg("n").await.unwrap(), told);
    server.kill();
}

#[tokio::test]
async fn an_id_that_is_kept_for_ever_is_kept_for_very_long() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    for _ in 0..2 {
        let incr = client.cmd::<i64>("INCR").arg("n").once("a").ttl(Duration::MAX);
        assert_eq!(incr.await.unwrap(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_remembered_does_not_run() {
    // No right to SET, which is what keeps the token.
    let server = Server::start(&["--user", "app", "on", "~*", "+@all", "-set", ">secret"]);
    let url = server.url().replace("redis://", "redis://app:secret@");
    let client = Client::connect(&url).await.unwrap();
    for _ in 0..2 {
        let error = client.cmd::<i64>("INCR").arg("n").once("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    }
    assert_eq!(client.cmd::<Option<i64>>("GET").arg("n").await.unwrap(), None);
}

#[tokio::test]
async fn a_server_that_never_saw_the_script_does_not_know_whether_it_ran_on_another() {
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |_, words| match words[0].as_str() {
        // Taken, and its connection cut; what answers afterwards was never told of it.
        "EVALSHA" if asked.fetch_add(1, Ordering::Relaxed) == 0 => Answer::Bytes(b"?".to_vec()),
        "EVALSHA" => Answer::Bytes(b"-NOSCRIPT No matching script.\r\n".to_vec()),
        "EVAL" => Answer::Bytes(b"-NOREPLICAS Not enough good replicas to write.\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let error = client.cmd::<i64>("INCR").arg("k").once("a").await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Rejected, redial::Delivery::Unknown));
}

#[tokio::test]
async fn what_takes_from_a_server_whose_memory_is_full_still_runs_once() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client.cmd("RPUSH").arg("l").args(1..=3).run().await.unwrap();
    client.cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).run().await.unwrap();
    let full = client.cmd::<i64>("INCR").arg("n").once("a").await.unwrap_err();
    assert_eq!(full.code(), Some("OOM"), "{full}");
    for _ in 0..2 {
        let popped = client.cmd::<Option<i64>>("LPOP").arg("l").once("b").await.unwrap();
        assert_eq!(popped, Some(1));
    }
}
