//! What servers announce of themselves: frames that a server in this process sends, and messages that a real one publishes.

use std::time::Duration;

use redial::{
    AzureEventKind, AzureEvents, Builder, Client, Endpoint, EventKind, Events, Maintenance,
};

use crate::fake::{Answer, Fake};
use crate::process::Server;

/// Answers `ANNOUNCE frames` with the frames, and a reply behind them.
fn announcing(_: usize, words: &[String]) -> Answer {
    match words {
        [name, frames] if name == "ANNOUNCE" => Answer::Bytes(format!("{frames}+OK\r\n").into()),
        [name] if name == "WHO" => Answer::Bytes(b"+old\r\n".to_vec()),
        _ => Answer::Usual,
    }
}

async fn announce(client: &Client, frames: &str) {
    let _: () = client.cmd("ANNOUNCE").arg(frames).await.unwrap();
}

/// The next event of which this is true.
async fn next(events: &mut Events, is_it: impl Fn(&EventKind) -> bool) -> EventKind {
    let found = async {
        loop {
            let kind = events.next().await.unwrap().unwrap().kind;
            if is_it(&kind) {
                return kind;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.unwrap()
}

async fn next_maintenance(events: &mut Events) -> Maintenance {
    match next(events, |kind| matches!(kind, EventKind::Maintenance(_))).await {
        EventKind::Maintenance(what) => *what,
        _ => unreachable!(),
    }
}

fn address(fake: &Fake) -> String {
    fake.url.trim_start_matches("redis://").to_owned()
}

#[tokio::test]
async fn callers_notice_nothing_of_a_move_that_was_announced() {
    let old = Fake::start(announcing).await;
    let new = Fake::start(|_, words| match words[0].as_str() {
        "WHO" => Answer::Bytes(b"+new\r\n".to_vec()),
        _ => Answer::Usual,
    })
    .await;
    let client = Client::connect(&old.url).await.unwrap();
    let mut events = client.events();
    let callers: Vec<_> = (0..20)
        .map(|number: u32| {
            let client = client.clone();
            tokio::spawn(async move {
                for round in 0..200 {
                    let text = format!("{number} {round}");
                    let echo: String = client.cmd("ECHO").arg(&text).await.unwrap();
                    assert_eq!(echo, text);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let to = address(&new);
    announce(&client, &format!(">4\r\n+MOVING\r\n:1\r\n:10\r\n+{to}\r\n")).await;
    let Maintenance::Moving { to: Some(Endpoint::Tcp { port, .. }), .. } =
        next_maintenance(&mut events).await
    else {
        panic!("no MOVING with an address")
    };
    assert!(to.ends_with(&port.to_string()));
    next(&mut events, |kind| matches!(kind, EventKind::Adopted { .. })).await;
    for caller in callers {
        caller.await.unwrap();
    }
    let who: String = client.cmd("WHO").await.unwrap();
    assert_eq!((who.as_str(), old.connections(), new.connections()), ("new", 1, 1));
}

#[tokio::test]
async fn every_kind_of_announcement_can_be_watched() {
    let fake = Fake::start(announcing).await;
    let client = Client::connect(&fake.url).await.unwrap();
    let mut events = client.events();
    let frames = [
        ">4\r\n+MIGRATING\r\n:1\r\n:5\r\n*1\r\n+1\r\n",
        ">3\r\n+MIGRATED\r\n:2\r\n*1\r\n+1\r\n",
        ">4\r\n+FAILING_OVER\r\n:3\r\n:5\r\n*1\r\n+1\r\n",
        ">3\r\n+FAILED_OVER\r\n:4\r\n*1\r\n+1\r\n",
        ">3\r\n+SMIGRATING\r\n:5\r\n+123,789-1000\r\n",
        ">3\r\n+SMIGRATED\r\n:6\r\n*1\r\n*3\r\n+a:1\r\n+b:2\r\n+7\r\n",
        ">4\r\n+MOVING\r\n:7\r\n:600\r\n_\r\n",
    ];
    announce(&client, &frames.concat()).await;
    let mut seen = Vec::new();
    for _ in frames {
        let shown = format!("{:?}", next_maintenance(&mut events).await);
        seen.push(shown.split([' ', '{']).next().unwrap().to_owned());
    }
    assert_eq!(
        seen,
        [
            "Migrating",
            "Migrated",
            "FailingOver",
            "FailedOver",
            "SlotsMigrating",
            "SlotsMigrated",
            "Moving"
        ]
    );
}

#[tokio::test]
async fn lies_and_rubbish_cost_no_connection_and_no_command() {
    let stranger = Fake::start(|_, words| match words {
        [info, section] if info == "INFO" && section == "server" => {
            Answer::Bytes(b"$16\r\nrun_id:stranger\r\n\r\n".to_vec())
        }
        _ => Answer::Usual,
    })
    .await;
    let silent = Fake::start(|_, _| Answer::Silence).await;
    let fake = Fake::start(announcing).await;
    let client = Client::connect(&fake.url).await.unwrap();
    let mut events = client.events();
    let rubbish = ">1\r\n+MOVING\r\n>4\r\n+MOVING\r\n:1\r\n:-1\r\n+a:1\r\n>2\r\n+WHAT\r\n:1\r\n>1\r\n*0\r\n>0\r\n";
    announce(&client, rubbish).await;
    let ignored = next(&mut events, |kind| matches!(kind, EventKind::HintIgnored { .. })).await;
    assert!(format!("{ignored:?}").contains("MOVING"));
    for (seq, to) in [(1, "127.0.0.1:1".to_owned()), (2, address(&stranger)), (3, address(&silent))]
    {
        announce(&client, &format!(">4\r\n+MOVING\r\n:{seq}\r\n:4\r\n+{to}\r\n")).await;
        next(&mut events, |kind| matches!(kind, EventKind::Probe { .. })).await;
        for number in 0..50 {
            let echo: i64 = client.cmd("ECHO").arg(number).await.unwrap();
            assert_eq!(echo, number);
        }
        let who: String = client.cmd("WHO").await.unwrap();
        assert_eq!(who, "old");
    }
    assert_eq!(fake.connections(), 1);
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), events.next()).await
    {
        let kind = event.unwrap().kind;
        assert!(
            !matches!(kind, EventKind::Suspected { .. } | EventKind::Adopted { .. }),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_knows_no_announcements_refuses_and_nobody_hears_of_it() {
    let server = Server::start(&[]);
    let client = Builder::from_url(&server.url()).unwrap().build();
    let mut events = client.events();
    let pong: String = client.cmd("PING").await.unwrap();
    assert_eq!(pong, "PONG");
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), events.next()).await
    {
        let kind = event.unwrap().kind;
        assert!(matches!(kind, EventKind::State(_) | EventKind::Adopted { .. }), "{kind:?}");
    }
}

async fn azure_client(url: &str) -> Client {
    Builder::from_url(url).unwrap().azure_events(AzureEvents::On).connect().await.unwrap()
}

fn message(kind: &str) -> String {
    format!(
        "NotificationType|NodeMaintenance{kind}|StartTimeInUTC|2021-03-02T23:26:57|IsReplica|False|IPAddress|10.0.0.4|SSLPort|15001|NonSSLPort|13001"
    )
}

/// Publishes until somebody listens: a subscription is made in the background.
async fn publish(client: &Client, message: &str) {
    loop {
        let heard: u32 = client.cmd("PUBLISH").arg("AzureRedisEvents").arg(message).await.unwrap();
        if heard > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_azure_announces_is_heard_and_a_failover_is_looked_at() {
    let server = Server::start(&[]);
    let client = azure_client(&server.url()).await;
    let mut events = client.events();
    publish(&client, &message("Scheduled")).await;
    let Maintenance::Azure(event) = next_maintenance(&mut events).await else {
        panic!("not Azure's")
    };
    assert_eq!(event.kind, AzureEventKind::Scheduled);
    assert_eq!(event.starts, Some(Duration::from_secs(1_614_727_617)));
    assert_eq!((event.is_replica, event.tls_port), (Some(false), Some(15_001)));
    publish(&client, "NotificationType|NodeOnFire").await;
    next(&mut events, |kind| matches!(kind, EventKind::HintIgnored { .. })).await;
    publish(&client, &message("FailoverComplete")).await;
    next(&mut events, |kind| matches!(kind, EventKind::Probe { .. })).await;
    let pong: String = client.cmd("PING").await.unwrap();
    assert_eq!(pong, "PONG");
}

#[tokio::test]
async fn a_program_hears_the_same_channel_beside_us() {
    let server = Server::start(&[]);
    let client = azure_client(&server.url()).await;
    let mut events = client.events();
    let mut mine = client.subscribe("AzureRedisEvents").await.unwrap();
    publish(&client, &message("Ended")).await;
    let heard = tokio::time::timeout(Duration::from_secs(10), mine.next()).await.unwrap();
    let heard = heard.unwrap().message().unwrap();
    assert_eq!(heard.payload, message("Ended"));
    drop(mine);
    next_maintenance(&mut events).await;
    publish(&client, &message("ScaleComplete")).await;
    let Maintenance::Azure(event) = next_maintenance(&mut events).await else { panic!() };
    assert_eq!(event.kind, AzureEventKind::ScaleComplete);
}

#[tokio::test]
async fn a_user_who_may_not_listen_to_azure_is_served_as_ever() {
    let server = Server::start(&[]);
    let admin = Client::connect(&server.url()).await.unwrap();
    let rules = ["on", ">secret", "~*", "resetchannels", "+@all"];
    let acl = admin.cmd::<()>("ACL").arg("SETUSER").arg("narrow");
    rules.iter().fold(acl, |acl, rule| acl.arg(*rule)).await.unwrap();
    let url = server.url().replace("redis://", "redis://narrow:secret@");
    let client = Builder::from_url(&url).unwrap().azure_events(AzureEvents::On).build();
    let mut events = client.events();
    let _: () = client.cmd("SET").arg("k").arg("v").await.unwrap();
    let is_end = |kind: &EventKind| *kind == EventKind::State(redial::State::End);
    next(&mut events, is_end).await;
    let value: String = client.cmd("GET").arg("k").await.unwrap();
    assert_eq!(value, "v");
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), events.next()).await
    {
        let kind = event.unwrap().kind;
        assert!(!matches!(kind, EventKind::DialFailed { .. } | EventKind::Gap), "{kind:?}");
    }
}
