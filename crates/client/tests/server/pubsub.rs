//! Subscriptions: what is heard, what is not, and that the stream tells.

use std::time::Duration;

use redial::{Client, ErrorKind, Protocol, Received, Subscription};

use crate::fake::{Answer, Fake};
use crate::process::Server;

const BOTH: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

async fn client(server: &Server, protocol: Protocol) -> Client {
    Client::builder(&server.url()).unwrap().protocol(protocol).connect().await.unwrap()
}

async fn publish(client: &Client, channel: &str, message: impl ToString) -> i64 {
    client.cmd("PUBLISH").arg(channel).arg(message.to_string()).await.unwrap()
}

/// The next thing in the stream, shortly.
async fn next(subscription: &mut Subscription) -> String {
    let next = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await;
    match next.unwrap() {
        None => "end".into(),
        Some(Received::Message(message)) => String::from_utf8(message.payload.to_vec()).unwrap(),
        Some(Received::Interrupted) => "interrupted".into(),
        Some(Received::Resumed { .. }) => "resumed".into(),
        Some(Received::Dropped(count)) => format!("{count} dropped"),
        Some(Received::Refused(refused)) => {
            format!("refused: {}", String::from_utf8_lossy(&refused.channel))
        }
    }
}

/// Ends all connections that subscribe, as a failover does.
async fn cut(client: &Client) {
    client.cmd("CLIENT KILL").arg("TYPE").arg("pubsub").run().await.unwrap();
}

async fn subscribers(client: &Client, channel: &str) -> i64 {
    let count: (String, i64) = client.cmd("PUBSUB NUMSUB").arg(channel).await.unwrap();
    count.1
}

/// Waits until the server says so.
async fn until_subscribers(client: &Client, channel: &str, count: i64) {
    while subscribers(client, channel).await != count {
        tokio::task::yield_now().await;
    }
}

fn is_6_2(client: &Client) -> bool {
    client.server().unwrap().version.starts_with("6.")
}

#[tokio::test]
async fn one_stream_hears_several_channels_and_patterns_in_both_protocols() {
    let server = Server::start(&[]);
    for protocol in BOTH {
        let client = client(&server, protocol).await;
        let mut subscription = client.subscribe(["a", "b"]).await.unwrap();
        subscription.psubscribe("n*").await.unwrap();
        for (channel, message) in [("a", "1"), ("c", "2"), ("b", "3"), ("news", "4")] {
            publish(&client, channel, message).await;
        }
        assert_eq!(next(&mut subscription).await, "1");
        assert_eq!(next(&mut subscription).await, "3");
        let message = subscription.next().await.unwrap().message().unwrap();
        assert_eq!((&*message.channel, &*message.payload), (b"news".as_slice(), b"4".as_slice()));
        assert_eq!(message.pattern.as_deref(), Some(b"n*".as_slice()));
    }
}

#[tokio::test]
async fn channels_come_and_go_while_the_stream_is_read() {
    let server = Server::start(&[]);
    for protocol in BOTH {
        let client = client(&server, protocol).await;
        let mut subscription = client.subscribe("a").await.unwrap();
        subscription.subscribe(["b", "c"]).await.unwrap();
        subscription.unsubscribe("a");
        until_subscribers(&client, "a", 0).await;
        for channel in ["a", "b", "c"] {
            publish(&client, channel, channel).await;
        }
        assert_eq!(next(&mut subscription).await, "b");
        assert_eq!(next(&mut subscription).await, "c");
        subscription.unsubscribe(["b", "c"]);
        assert_eq!(next(&mut subscription).await, "end");
        subscription.subscribe("a").await.unwrap();
        publish(&client, "a", "again").await;
        assert_eq!(next(&mut subscription).await, "again");
        drop(subscription);
        until_subscribers(&client, "a", 0).await;
    }
}

#[tokio::test]
async fn two_handles_of_one_channel_are_one_subscription_on_the_wire() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut first = client.subscribe("news").await.unwrap();
    let mut second = client.clone().subscribe("news").await.unwrap();
    assert_eq!(publish(&client, "news", "both").await, 1);
    assert_eq!((next(&mut first).await, next(&mut second).await), ("both".into(), "both".into()));
    drop(first);
    assert_eq!(publish(&client, "news", "one").await, 1);
    assert_eq!(next(&mut second).await, "one");
    drop(second);
    until_subscribers(&client, "news", 0).await;
    // While the UNSUBSCRIBE is under way, too.
    for n in 0..50 {
        let mut subscription = client.subscribe("news").await.unwrap();
        assert_eq!(publish(&client, "news", n).await, 1);
        assert_eq!(next(&mut subscription).await, n.to_string());
    }
}

#[tokio::test]
async fn an_interruption_is_announced_and_no_message_comes_twice() {
    let server = Server::start(&[]);
    for protocol in BOTH {
        let client = client(&server, protocol).await;
        let mut subscription = client.subscribe(["a", "b"]).await.unwrap();
        let mut patterns = client.psubscribe("a*").await.unwrap();
        for round in 0..5 {
            for n in 0..100 {
                assert_eq!(publish(&client, "a", round * 100 + n).await, 2);
            }
            cut(&client).await;
            for stream in [&mut subscription, &mut patterns] {
                for n in 0..100 {
                    assert_eq!(next(stream).await, (round * 100 + n).to_string());
                }
                assert_eq!(next(stream).await, "interrupted");
                assert_eq!(next(stream).await, "resumed");
            }
            assert_eq!(publish(&client, "b", "there").await, 1);
            assert_eq!(next(&mut subscription).await, "there");
        }
    }
}

#[tokio::test]
async fn it_goes_on_with_the_next_server_and_tells_how_long_it_was_deaf() {
    let mut server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut subscription = client.subscribe("news").await.unwrap();
    let port = server.port;
    server.kill();
    assert_eq!(next(&mut subscription).await, "interrupted");
    let killed = std::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _again = Server::start_on(port, &[]);
    let resumed = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await.unwrap();
    let Some(Received::Resumed { after }) = resumed else { panic!("{resumed:?}") };
    let elapsed = killed.elapsed();
    assert!(
        after >= Duration::from_millis(300) && after < elapsed + Duration::from_secs(3),
        "{after:?}"
    );
    while client.cmd::<i64>("PUBLISH").arg("news").arg("again").await.unwrap_or(0) == 0 {}
    assert_eq!(next(&mut subscription).await, "again");
}

#[tokio::test]
async fn a_reader_that_sleeps_loses_the_oldest_messages_and_harms_nobody() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut sleeper = client.subscribe("news").buffer(100, usize::MAX).await.unwrap();
    let mut small = client.subscribe("news").buffer(usize::MAX, 2048).await.unwrap();
    let mut reader = client.subscribe("news").await.unwrap();
    for n in 0..10_000 {
        client.cmd("PUBLISH").arg("news").arg(n).run().await.unwrap();
    }
    for n in 0..10_000 {
        assert_eq!(next(&mut reader).await, n.to_string());
    }
    assert_eq!((next(&mut sleeper).await.as_str(), sleeper.dropped()), ("9900 dropped", 9900));
    for n in 9_900..10_000 {
        assert_eq!(next(&mut sleeper).await, n.to_string());
    }
    // 128 bytes besides, four of the channel and four of the number.
    assert_eq!(next(&mut small).await, format!("{} dropped", 10_000 - 2048 / 136));
    assert_eq!(reader.dropped(), 0);
}

#[tokio::test]
async fn a_channel_that_acl_forbids_is_refused_by_name_and_the_others_go_on() {
    let server = Server::start(&[]);
    for protocol in BOTH {
        let admin = client(&server, protocol).await;
        let rights =
            ["app", "reset", "resetchannels", "on", ">secret", "+@all", "~*", "&news", "&mine"];
        admin.cmd("ACL SETUSER").args(rights).run().await.unwrap();
        let builder = Client::builder(&server.url()).unwrap();
        let app =
            builder.protocol(protocol).credentials(Some("app"), "secret").connect().await.unwrap();
        let mut news = app.subscribe("news").await.unwrap();
        let error = app.subscribe(["mine", "theirs"]).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, Some("NOPERM")));
        assert!(error.to_string().contains("\"theirs\""), "{error}");
        until_subscribers(&admin, "mine", 0).await;
        let error = news.subscribe("theirs").await.unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"));
        publish(&admin, "news", "well").await;
        assert_eq!(next(&mut news).await, "well");
        // Forbidden later: the server closes the connection, and refuses the channel on the next one.
        news.subscribe("mine").await.unwrap();
        admin.cmd("ACL SETUSER").args(["app", "resetchannels", "&mine"]).run().await.unwrap();
        assert_eq!(next(&mut news).await, "interrupted");
        assert_eq!(next(&mut news).await, "refused: news");
        assert_eq!(next(&mut news).await, "resumed");
        publish(&admin, "mine", "still").await;
        assert_eq!(next(&mut news).await, "still");
        admin.cmd("ACL SETUSER").args(["app", "resetchannels"]).run().await.unwrap();
        assert_eq!(next(&mut news).await, "interrupted");
        assert_eq!(next(&mut news).await, "refused: mine");
        assert_eq!(next(&mut news).await, "end");
    }
}

#[tokio::test]
async fn sharded_channels_are_channels_of_their_own_and_refused_clearly_by_old_servers() {
    let server = Server::start(&[]);
    for protocol in BOTH {
        let client = client(&server, protocol).await;
        let mut plain = client.subscribe("news").await.unwrap();
        let sharded = client.ssubscribe("news").await;
        if is_6_2(&client) {
            let error = sharded.unwrap_err();
            assert!(error.to_string().contains("need Redis 7.0 or later"), "{error}");
        } else {
            let mut sharded = sharded.unwrap();
            client.cmd("SPUBLISH").arg("news").arg("shard").run().await.unwrap();
            assert_eq!(next(&mut sharded).await, "shard");
            cut(&client).await;
            assert_eq!(next(&mut sharded).await, "interrupted");
            assert_eq!(next(&mut sharded).await, "resumed");
            client.cmd("SPUBLISH").arg("news").arg("again").run().await.unwrap();
            assert_eq!(next(&mut sharded).await, "again");
            assert_eq!(next(&mut plain).await, "interrupted");
            assert_eq!(next(&mut plain).await, "resumed");
        }
        publish(&client, "news", "plain").await;
        assert_eq!(next(&mut plain).await, "plain");
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_client() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut subscription = client.subscribe("news").await.unwrap();
    client.disconnect();
    assert_eq!(next(&mut subscription).await, "end");
    let error = client.subscribe("news").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    client.reconnect();
    let mut subscription = client.subscribe("news").await.unwrap();
    publish(&client, "news", "anew").await;
    assert_eq!(next(&mut subscription).await, "anew");
}

#[tokio::test]
async fn a_subscription_that_nobody_confirms_fails_in_time_and_is_not_wanted_any_more() {
    let fake = Fake::start(|_, words| match words[0].as_str() {
        "SUBSCRIBE" => Answer::Silence,
        _ => Answer::Usual,
    })
    .await;
    let builder = Client::builder(&fake.url).unwrap().request_timeout(Duration::from_millis(200));
    let client = builder.connect().await.unwrap();
    let error = client.subscribe("news").await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
}

#[tokio::test]
async fn a_refusal_that_passes_is_waited_out() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |_, words| match words[0].as_str() {
        "SUBSCRIBE" if asked.fetch_add(1, Ordering::Relaxed) < 2 => {
            Answer::Bytes(b"-BUSY Redis is busy running a script.\r\n".to_vec())
        }
        "SUBSCRIBE" => Answer::Bytes(
            b">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n".to_vec(),
        ),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let mut subscription = client.subscribe("news").await.unwrap();
    assert_eq!(next(&mut subscription).await, "hi");
}

#[tokio::test]
async fn a_shard_that_the_server_takes_away_is_asked_for_again_and_announced() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |_, words| match words[0].as_str() {
        "SSUBSCRIBE" => {
            let mut bytes = b">3\r\n$10\r\nssubscribe\r\n$4\r\nnews\r\n:1\r\n".to_vec();
            if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                bytes.extend_from_slice(b">3\r\n$12\r\nsunsubscribe\r\n$4\r\nnews\r\n:0\r\n");
            }
            Answer::Bytes(bytes)
        }
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let mut subscription = client.ssubscribe("news").await.unwrap();
    assert_eq!(next(&mut subscription).await, "interrupted");
    assert_eq!(next(&mut subscription).await, "resumed");
}

#[tokio::test]
async fn keyspace_notifications_are_ordinary_messages() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client.cmd("CONFIG SET").arg("notify-keyspace-events").arg("KEA").run().await.unwrap();
    let mut events = client.subscribe("__keyevent@0__:expired").await.unwrap();
    events.psubscribe("__keyspace@0__:user:*").await.unwrap();
    client.cmd("SET").arg("user:7").arg("ann").arg("PX").arg(1).run().await.unwrap();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "__keyevent@0__:expired user:7") {
        // Reading a key that is over makes the server notice.
        client.cmd("GET").arg("user:7").run().await.unwrap();
        let next = tokio::time::timeout(Duration::from_millis(20), events.next()).await;
        if let Ok(Some(Received::Message(message))) = next {
            let text = [&message.channel[..], b" ", &message.payload].concat();
            heard.push(String::from_utf8(text).unwrap());
        }
    }
    heard.sort();
    assert_eq!(
        heard,
        [
            "__keyevent@0__:expired user:7",
            "__keyspace@0__:user:7 expire",
            "__keyspace@0__:user:7 expired",
            "__keyspace@0__:user:7 set",
        ]
    );
}
