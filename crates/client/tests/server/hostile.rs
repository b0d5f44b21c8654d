//! Servers that break the protocol, and things that are no Redis at all: a clear error, and nobody else harmed.

use std::time::Duration;

use redial::{Client, Delivery, ErrorKind, EventKind};

use crate::fake::{Answer, Fake};

/// The first connection answers GET with this; what do callers of GET and of ECHO see?
async fn poisoned(reply: &'static [u8]) -> (redial::Error, String, usize) {
    let fake = Fake::start(move |connection, words| match words[0].as_str() {
        "GET" if connection == 0 => Answer::Bytes(reply.to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let resend = redial::Resend::Never;
    let error = client.cmd::<String>("GET").arg("k").resend(resend).await.unwrap_err();
    let echo: String = client.cmd("ECHO").arg("still here").await.unwrap();
    (error, echo, fake.connections())
}

#[tokio::test]
async fn a_reply_that_breaks_the_protocol_costs_its_connection_and_nothing_else() {
    for (reply, expected) in [
        (&b"?what\r\n"[..], "no RESP type"),
        (b"$99999999999\r\n", "limit"),
        (b"*99999999999\r\n", "limit"),
        (b":12x\r\n", "byte"),
        (b"$3\r\nfooXX", "byte"),
    ] {
        let (error, echo, connections) = poisoned(reply).await;
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Disconnected, Delivery::Unknown),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!((echo.as_str(), connections), ("still here", 2));
    }
}

#[tokio::test]
async fn a_reply_nested_ten_thousand_deep_is_refused_without_overflowing_the_stack() {
    static DEEP: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| b"*1\r\n".repeat(10_000));
    let (error, echo, _) = poisoned(&DEEP).await;
    assert!(error.to_string().contains("nest"), "{error}");
    assert_eq!(echo, "still here");
}

#[tokio::test]
async fn a_server_that_answers_more_than_it_was_asked_is_left() {
    let fake = Fake::start(|connection, words| match words[0].as_str() {
        "ECHO" if connection == 0 => Answer::Bytes(b"+mine\r\n+nobody's\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let first: String = client.cmd("ECHO").arg("a").await.unwrap();
    assert_eq!(first, "mine");
    let second: String = client.cmd("ECHO").arg("b").await.unwrap();
    assert_eq!(second, "b", "a reply that nobody asked for must not reach the next caller");
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn an_endpoint_that_speaks_something_else_is_named() {
    for (greeting, expected) in [
        (&b"\x15\x03\x03\x00\x02\x02\x46"[..], "TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
    ] {
        let fake = Fake::start(move |_, _| Answer::Bytes(greeting.to_vec())).await;
        let client = Client::builder(&fake.url).unwrap().build();
        let error = client.cmd("PING").timeout(Duration::from_millis(300)).run().await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_never_answered_does_not_stop_the_next_one() {
    let fake =
        Fake::start(|connection, _| if connection == 0 { Answer::Silence } else { Answer::Usual })
            .await;
    let begun = std::time::Instant::now();
    let client = Client::connect(&fake.url).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    client.cmd("PING").run().await.unwrap();
}

#[tokio::test]
async fn a_server_without_hello_is_used_in_resp2() {
    let fake = Fake::start(|_, words| match words[0].as_str() {
        "HELLO" => Answer::Bytes(b"-ERR unknown command 'HELLO'\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    assert!(!client.server().unwrap().resp3);
    assert_eq!(client.cmd::<String>("ECHO").arg("x").await.unwrap(), "x");
}

#[tokio::test]
async fn a_server_that_is_full_is_dialed_again_after_a_pause() {
    let fake = Fake::start(|connection, _| {
        if connection == 0 {
            Answer::Bytes(b"-ERR max number of clients reached\r\n".to_vec())
        } else {
            Answer::Usual
        }
    })
    .await;
    let begun = std::time::Instant::now();
    Client::connect(&fake.url).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_refusal_for_now_is_waited_out_with_one_scout_at_a_time() {
    let refused = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&refused);
    let begun = std::time::Instant::now();
    let fake = Fake::start(move |_, words| {
        if words[0] == "INCR" && begun.elapsed() < Duration::from_millis(500) {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Answer::Bytes(b"-BUSY Redis is busy running a script.\r\n".to_vec());
        }
        Answer::Usual
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let requests: Vec<_> =
        (0..50).map(|_| tokio::spawn(client.cmd::<()>("INCR").arg("n").send())).collect();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let refused = refused.load(std::sync::atomic::Ordering::Relaxed);
    assert!((50..60).contains(&refused), "{refused}");
}

#[tokio::test]
async fn a_lasting_lack_of_replicas_is_said_soon() {
    let fake = Fake::start(|_, words| match words[0].as_str() {
        "SET" => Answer::Bytes(b"-NOREPLICAS Not enough good replicas to write.\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let begun = std::time::Instant::now();
    let error = client.cmd("SET").arg("k").arg("v").run().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Rejected, Delivery::Rejected));
    assert!(begun.elapsed() < Duration::from_secs(2));
    let again = std::time::Instant::now();
    client.cmd("SET").arg("k").arg("v").run().await.unwrap_err();
    assert!(again.elapsed() < Duration::from_millis(200), "once known, it is said at once");
}

#[tokio::test]
async fn a_script_that_stopped_half_way_on_a_replica_may_have_run() {
    let fake = Fake::start(|_, words| match words[0].as_str() {
        "EVAL" => Answer::Bytes(b"-READONLY You can't write against a read only replica. script: abc, on @user_script:1.\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let mut events = client.events();
    let error = client.cmd("EVAL").arg("s").arg(0).run().await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    let suspected = async {
        while !matches!(events.next().await.unwrap().unwrap().kind, EventKind::Suspected { .. }) {}
    };
    tokio::time::timeout(Duration::from_secs(1), suspected).await.unwrap();
}
