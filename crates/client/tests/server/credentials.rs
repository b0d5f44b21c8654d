//! ACL users, and providers of credentials: slow, failing, expiring, and refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redial::{Builder, Client, CredentialsRequest, ErrorKind, EventKind, Grant, Protocol, Purpose};

use crate::process::Server;

const LONG: Duration = Duration::from_secs(3600);

fn builder(server: &Server) -> Builder {
    Builder::tcp("127.0.0.1", server.port)
}

/// A server that lets these users in, and nobody else.
pub(crate) fn server_of(users: &[&str]) -> Server {
    let args: Vec<&str> =
        users.iter().flat_map(|user| std::iter::once("--user").chain(user.split(' '))).collect();
    Server::start(&args)
}

/// A server that lets `app` in with these passwords.
fn server(passwords: &[&str]) -> Server {
    let passwords: Vec<String> = passwords.iter().map(|password| format!(">{password}")).collect();
    let app = format!("app on ~* &* +@all {}", passwords.join(" "));
    server_of(&[&app, "admin on ~* &* +@all >admin", "default off"])
}

async fn admin(server: &Server) -> Client {
    builder(server).credentials(Some("admin"), "admin").connect().await.unwrap()
}

/// Waits for an event of this kind, as something must come of what was done.
async fn event(events: &mut redial::Events, is_it: impl Fn(&EventKind) -> bool) -> EventKind {
    event_of(events, Purpose::Shared, is_it).await
}

pub(crate) async fn event_of(
    events: &mut redial::Events,
    purpose: Purpose,
    is_it: impl Fn(&EventKind) -> bool,
) -> EventKind {
    let found = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            if event.purpose == purpose && is_it(&event.kind) {
                return event.kind;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(8), found).await.unwrap()
}

#[tokio::test]
async fn an_acl_user_is_let_in_and_what_it_may_not_do_is_said() {
    let server = server_of(&["reader on ~public:* +@read +ping >secret"]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let client = Builder::from_url(&format!("redis://reader:secret@127.0.0.1:{}", server.port))
            .unwrap()
            .protocol(protocol)
            .connect()
            .await
            .unwrap();
        let value: Option<String> = client.cmd("GET").arg("public:a").await.unwrap();
        assert_eq!(value, None);
        let error = client.cmd("GET").arg("private").run().await.unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"));
        let error = client.cmd("SET").arg("public:a").arg(1).run().await.unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"));
    }
}

#[tokio::test]
async fn the_provider_is_asked_at_every_dial() {
    let mut server = server(&["one"]);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let provider = move |_: CredentialsRequest| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(Grant::new(Some("app"), "one")) }
    };
    let client = builder(&server).credentials_provider(provider).connect().await.unwrap();
    let who: String = client.cmd("ACL WHOAMI").await.unwrap();
    assert_eq!(who, "app");
    let before = asked.load(Ordering::Relaxed);
    let (port, args) = (server.port, server.args());
    server.kill();
    drop(server);
    let _again = Server::start_again(port, &args);
    client.cmd("PING").run().await.unwrap();
    assert!(asked.load(Ordering::Relaxed) > before);
}

#[tokio::test]
async fn credentials_are_renewed_before_they_expire_on_the_connection_in_use() {
    let server = server(&["token1", "token2", "token3"]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let given = Arc::new(AtomicUsize::new(0));
        let provider = move |_: CredentialsRequest| {
            let number = given.fetch_add(1, Ordering::Relaxed).min(2) + 1;
            let life = Duration::from_secs(if number == 3 { 3600 } else { 1 });
            async move { Ok(Grant::new(Some("app"), format!("token{number}")).valid_for(life)) }
        };
        let client =
            builder(&server).protocol(protocol).credentials_provider(provider).connect().await;
        let client = client.unwrap();
        let id: i64 = client.cmd("CLIENT ID").await.unwrap();
        let mut events = client.events();
        let begun = Instant::now();
        event(&mut events, |kind| matches!(kind, EventKind::Reauthenticated { .. })).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "before the expiry");
        event(&mut events, |kind| matches!(kind, EventKind::Reauthenticated { .. })).await;
        assert_eq!(client.cmd::<i64>("CLIENT ID").await.unwrap(), id, "the same connection");
        let admin = admin(&server).await;
        let info: String = admin.cmd("INFO").arg("commandstats").await.unwrap();
        assert!(info.contains("cmdstat_auth:calls="), "AUTH was sent");
    }
}

#[tokio::test]
async fn subscriptions_outlive_a_renewal_in_both_protocols() {
    let server = server(&["token1", "token2"]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let begun = Instant::now();
        let provider = move |_: CredentialsRequest| {
            let (password, life) = if begun.elapsed() < Duration::from_secs(1) {
                ("token1", Duration::from_secs(2))
            } else {
                ("token2", LONG)
            };
            async move { Ok(Grant::new(Some("app"), password).valid_for(life)) }
        };
        let client =
            builder(&server).protocol(protocol).credentials_provider(provider).connect().await;
        let client = client.unwrap();
        let mut events = client.events();
        let mut subscription = client.subscribe("news").await.unwrap();
        // RESP2 can't say AUTH there: a new connection, and whoever listens is told that there was a gap.
        event_of(&mut events, Purpose::Subscriber, |kind| match protocol {
            Protocol::Resp2 => *kind == EventKind::Gap,
            Protocol::Resp3 => matches!(kind, EventKind::Reauthenticated { .. }),
        })
        .await;
        let heard = async {
            while client.cmd::<i64>("PUBLISH").arg("news").arg("hello").await.unwrap() == 0 {
                tokio::task::yield_now().await;
            }
            loop {
                if let Some(message) = subscription.next().await.unwrap().message() {
                    return message;
                }
            }
        };
        let message = tokio::time::timeout(Duration::from_secs(3), heard).await.unwrap();
        assert_eq!(message.payload, "hello");
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_asked_for_anew_once() {
    let server = server(&["rotated"]);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // As a provider that keeps what it has.
    let provider = move |request: CredentialsRequest| {
        count.fetch_add(1, Ordering::Relaxed);
        let password = if request.anew { "rotated" } else { "stale" };
        async move { Ok(Grant::new(Some("app"), password)) }
    };
    let begun = Instant::now();
    let client = builder(&server).credentials_provider(provider).connect().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    client.cmd("PING").run().await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2);

    let wrong = |_: CredentialsRequest| async { Ok(Grant::new(Some("app"), "wrong")) };
    let begun = Instant::now();
    let error = builder(&server).credentials_provider(wrong).connect().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(2), "{error}");
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    assert!(error.to_string().contains("WRONGPASS"), "{error}");
}

#[tokio::test]
async fn a_provider_that_is_down_or_slow_fails_a_first_dial_in_its_time_and_says_so() {
    let server = server(&["one"]);
    let down = |_: CredentialsRequest| async { Err::<Grant, _>("the vault is sealed".into()) };
    let client = builder(&server).credentials_provider(down).build();
    let waiting = client.cmd("PING").timeout(Duration::from_millis(300)).run().await.unwrap_err();
    assert!(
        waiting.is_timeout() && waiting.to_string().contains("the vault is sealed"),
        "{waiting}"
    );

    let silent = |_: CredentialsRequest| std::future::pending();
    let client = builder(&server)
        .credentials_provider(silent)
        .credentials_timeout(Duration::from_millis(300))
        .build();
    let begun = Instant::now();
    let mut events = client.events();
    let failed = event(&mut events, |kind| matches!(kind, EventKind::DialFailed { .. })).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    let EventKind::DialFailed { cause, kind, .. } = failed else { unreachable!() };
    assert!(cause.contains("did not answer within 300ms"), "{cause}");
    assert_eq!(format!("{kind:?}"), "Auth");
    let waiting = client.cmd("PING").timeout(Duration::from_millis(500)).run().await.unwrap_err();
    assert!(waiting.is_timeout() && waiting.to_string().contains("provider"), "{waiting}");
}

#[tokio::test]
async fn while_a_provider_is_down_slow_or_panics_reconnecting_uses_what_is_still_good() {
    let mut server = server(&["one"]);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let provider = move |_: CredentialsRequest| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                0 => Ok(Grant::new(Some("app"), "one").valid_for(LONG)),
                1 => Err("down".into()),
                2 => panic!("a bug of the provider"),
                _ => std::future::pending().await,
            }
        }
    };
    let client = builder(&server).credentials_provider(provider).connect().await.unwrap();
    for outage in 1..=4 {
        let (port, args) = (server.port, server.args());
        server.kill();
        drop(server);
        server = Server::start_again(port, &args);
        let begun = Instant::now();
        client.cmd("PING").run().await.unwrap();
        // Much less than the 5 s that a dial without credentials waits for their provider.
        assert!(begun.elapsed() < Duration::from_secs(3), "{outage}: {:?}", begun.elapsed());
    }
    assert!(asked.load(Ordering::Relaxed) >= 3);
}

#[tokio::test]
async fn a_renewal_that_is_refused_costs_nobody_the_connection() {
    let server = server(&["token1"]);
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let provider = move |_: CredentialsRequest| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        let (password, life) =
            if first { ("token1", Duration::from_secs(1)) } else { ("wrong", LONG) };
        async move { Ok(Grant::new(Some("app"), password).valid_for(life)) }
    };
    let client = builder(&server).credentials_provider(provider).connect().await.unwrap();
    let mut events = client.events();
    let failed =
        event(&mut events, |kind| matches!(kind, EventKind::CredentialsFailed { .. })).await;
    assert!(format!("{failed:?}").contains("WRONGPASS"), "{failed:?}");
    let who: String = client.cmd("ACL WHOAMI").await.unwrap();
    assert_eq!(who, "app");
    assert!(given.load(Ordering::Relaxed) <= 3, "asked anew once");
}

#[tokio::test]
async fn renewing_under_load_disturbs_no_command() {
    let server = server(&["token0", "token1"]);
    let given = Arc::new(AtomicUsize::new(0));
    let provider = move |_: CredentialsRequest| {
        let number = given.fetch_add(1, Ordering::Relaxed) % 2;
        let grant = Grant::new(Some("app"), format!("token{number}"));
        async move { Ok(grant.valid_for(Duration::from_millis(60))) }
    };
    let client = builder(&server).credentials_provider(provider).connect().await.unwrap();
    let mut events = client.events();
    let callers: Vec<_> = (0..20)
        .map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                for i in 0..60 {
                    let echo: String =
                        client.cmd("ECHO").arg(format!("{caller}-{i}")).await.unwrap();
                    assert_eq!(echo, format!("{caller}-{i}"));
                    // 0.001 is for ever to Redis before 7.0.8 (redis/redis#11687).
                    let popped =
                        client.cmd::<Option<(String, String)>>("BLPOP").arg("none").arg("0.002");
                    assert_eq!(popped.await.unwrap(), None);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let mut renewed = 0;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        let kind = event.map(|event| event.kind);
        renewed += usize::from(matches!(kind, Ok(EventKind::Reauthenticated { .. })));
    }
    assert!(renewed > 3, "{renewed}");
}
