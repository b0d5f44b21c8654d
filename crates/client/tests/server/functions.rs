//! Functions, and their libraries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redial::{Client, Delivery, ErrorKind, Library, Protocol, Resend};

use crate::fake::{Answer, Fake};
use crate::process::Server;

const NOT_FOUND: &[u8] = b"-ERR Function not found\r\n";

fn library() -> Library {
    Library::new(
        "#!lua name=counters
        local function add(keys, args) return redis.call('INCRBY', keys[1], args[1]) end
        redis.register_function('add', add)
        local function look(keys) return redis.call('GET', keys[1]) end
        redis.register_function{function_name='look', callback=look, flags={'no-writes'}}",
    )
}

/// `None` where the server has no functions.
async fn client(server: &Server) -> Option<Client> {
    let client = Client::connect(&server.url()).await.unwrap();
    (!client.server().unwrap().version.starts_with("6.")).then_some(client)
}

#[tokio::test]
async fn a_library_is_loaded_once_and_its_functions_are_called_ever_after() {
    let server = Server::start(&[]);
    if client(&server).await.is_none() {
        return;
    }
    let (add, look) = (library().function("add"), library().read_only("look"));
    for (turn, protocol) in [(1, Protocol::Resp2), (2, Protocol::Resp3)] {
        let builder = Client::builder(&server.url()).unwrap().protocol(protocol);
        let client = builder.connect().await.unwrap();
        client.cmd("FUNCTION FLUSH").run().await.unwrap();
        client.cmd("CONFIG RESETSTAT").run().await.unwrap();
        for n in 1..=3 {
            let sum: i64 = client.function(&add).arg(n).key("k").await.unwrap();
            assert_eq!(sum, (turn - 1) * 6 + n * (n + 1) / 2);
        }
        assert_eq!(client.function::<i64>(&look).key("k").await.unwrap(), turn * 6);
        let stats: String = client.cmd("INFO").arg("commandstats").await.unwrap();
        assert!(stats.contains("cmdstat_function|load:calls=1,"), "{stats}");
        assert!(stats.contains("cmdstat_fcall:calls=4,"), "{stats}");
        assert!(stats.contains("cmdstat_fcall_ro:calls=1,"), "{stats}");
    }
}

#[tokio::test]
async fn many_callers_of_a_library_that_nobody_has_loaded_call_it_once_each() {
    let server = Server::start(&[]);
    let Some(client) = client(&server).await else { return };
    let add = library().function("add");
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (client, add) = (client.clone(), add.clone());
            tokio::spawn(async move { client.function::<i64>(&add).key("k").arg(1).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(client.cmd::<i64>("GET").arg("k").await.unwrap(), 50);
    let own = client.dedicated().unwrap();
    own.cmd("SELECT").arg(1).run().await.unwrap();
    assert_eq!(own.function::<i64>(&add).key("k").arg(7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_function_that_is_to_read_only_may_not_write() {
    let server = Server::start(&[]);
    let Some(client) = client(&server).await else { return };
    let error = client.function::<i64>(&library().read_only("add")).key("k").arg(1).await;
    assert!(error.unwrap_err().to_string().contains("write"));
    assert_eq!(client.cmd::<i64>("EXISTS").arg("k").await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_library_is_said() {
    let server = Server::start(&[]);
    let Some(client) = client(&server).await else {
        let client = Client::connect(&server.url()).await.unwrap();
        let error = client.function::<i64>(&library().function("add")).key("k").arg(1).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("no functions") && error.contains("7.0"), "{error}");
        return;
    };
    let nonsense = Library::new("#!lua name=nonsense\nthis is no Lua").function("f");
    let error = client.function::<()>(&nonsense).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Server, Delivery::Answered));
    assert!(error.to_string().contains("compiling"), "{error}");

    client.function::<i64>(&library().function("add")).key("k").arg(1).await.unwrap();
    let newer = Library::new(
        "#!lua name=counters\nredis.register_function('twice', function() return 2 end)",
    );
    let error = client.function::<i64>(&newer.function("twice")).await.unwrap_err();
    assert!(error.to_string().contains("FUNCTION LOAD REPLACE"), "{error}");
    client.cmd("FUNCTION LOAD").arg("REPLACE").arg(newer.source()).run().await.unwrap();
    assert_eq!(client.function::<i64>(&newer.function("twice")).await.unwrap(), 2);
}

#[tokio::test]
async fn a_call_that_was_not_made_since_its_library_could_not_be_loaded_ran_only_if_an_earlier_one_may_have()
 {
    for (lost, delivery) in [(0, Delivery::NotSent), (1, Delivery::Unknown)] {
        let calls = AtomicUsize::new(0);
        let fake = Fake::start(move |_, words| match words[0].as_str() {
            // No protocol: the connection is given up.
            "FCALL" if calls.fetch_add(1, Ordering::Relaxed) < lost => {
                Answer::Bytes(b"?\r\n".to_vec())
            }
            "FCALL" => Answer::Bytes(NOT_FOUND.to_vec()),
            "FUNCTION" => Answer::Silence,
            _ => Answer::Usual,
        })
        .await;
        let add = library().function("add");
        let client = Client::connect(&fake.url).await.unwrap();
        let call = client.function::<i64>(&add).resend(Resend::Always);
        let error = call.timeout(Duration::from_millis(400)).await.unwrap_err();
        assert!(error.is_timeout() && error.to_string().contains("library"), "{error}");
        assert_eq!(error.delivery(), delivery, "{lost} calls before");
    }
}

#[tokio::test]
async fn a_call_whose_reply_was_lost_is_not_repeated() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let fake = Fake::start(move |_, words| match words[0].as_str() {
        // No protocol: the connection is given up.
        "FCALL" if counted.fetch_add(1, Ordering::Relaxed) < 9 => Answer::Bytes(b"?\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&fake.url).await.unwrap();
    let error = client.function::<i64>(&library().function("add")).key("k").arg(1).await;
    assert_eq!(error.unwrap_err().delivery(), Delivery::Unknown);
    client.ready().await.unwrap();
    assert_eq!((calls.load(Ordering::Relaxed), fake.connections() > 1), (1, true));
}
