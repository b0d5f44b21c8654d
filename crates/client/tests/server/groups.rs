//! Consumer groups: entries come once while all is well, and at least once whatever happens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use redial::{Client, ConsumerGroup, ErrorKind, Protocol, StreamEntry, StreamId};

use crate::process::Server;

type Fields = HashMap<String, u32>;
type Group = ConsumerGroup<Fields>;

const LONG: Duration = Duration::from_secs(20);

async fn join(client: &Client, consumer: &str) -> Group {
    client.consumer_group("s", "g", consumer).await.unwrap()
}

async fn add(client: &Client, n: u32) -> StreamId {
    client.cmd("XADD").arg("s").arg("*").arg("n").arg(n).await.unwrap()
}

async fn next(group: &mut Group) -> StreamEntry<Fields> {
    tokio::time::timeout(LONG, group.next()).await.unwrap().unwrap().unwrap()
}

/// Nothing comes within a time in which something would.
async fn is_silent(group: &mut Group) -> bool {
    tokio::time::timeout(Duration::from_millis(150), group.next()).await.is_err()
}

async fn pending(client: &Client) -> i64 {
    let summary: (i64, redial::Value, redial::Value, redial::Value) =
        client.cmd("XPENDING").arg("s").arg("g").await.unwrap();
    summary.0
}

async fn until_none_is_pending(client: &Client, group: &mut Group) {
    let until = Instant::now() + LONG;
    while pending(client).await > 0 {
        assert!(Instant::now() < until, "{} are pending", pending(client).await);
        assert!(is_silent(group).await, "nothing is given again");
    }
}

async fn cut_blocked(client: &Client) {
    let list: String = client.cmd("CLIENT LIST").await.unwrap();
    for line in list.lines().filter(|line| line.contains("cmd=xreadgroup")) {
        let id = line.strip_prefix("id=").unwrap().split(' ').next().unwrap();
        client.cmd("CLIENT KILL").arg("ID").arg(id).run().await.unwrap();
    }
}

#[tokio::test]
async fn a_group_and_its_stream_are_made_and_what_is_not_acknowledged_comes_again_to_the_next_program()
 {
    let server = Server::start(&[]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let client =
            Client::builder(&server.url()).unwrap().protocol(protocol).connect().await.unwrap();
        client.cmd("DEL").arg("s").run().await.unwrap();
        let mut group = join(&client, "c").await;
        let first = add(&client, 1).await;
        let second = add(&client, 2).await;
        let entry = next(&mut group).await;
        assert_eq!((entry.id, entry.fields["n"]), (first, 1));
        group.ack(&entry).await.unwrap();
        assert_eq!(next(&mut group).await.id, second);
        assert!(is_silent(&mut group).await, "what is in hand does not come twice");
        drop(group);
        let mut group = join(&client, "c").await;
        let entry = next(&mut group).await;
        assert_eq!(entry.id, second);
        group.acker().ack_all([&entry]).await.unwrap();
        assert!(is_silent(&mut group).await);
        assert_eq!(pending(&client).await, 0);
    }
}

#[tokio::test]
async fn a_group_begins_with_the_first_entry_or_from_now_on() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    add(&client, 1).await;
    let mut late: Group = client.consumer_group("s", "late", "c").from_now().await.unwrap();
    let mut early = join(&client, "c").await;
    add(&client, 2).await;
    assert_eq!(next(&mut late).await.fields["n"], 2);
    assert_eq!(next(&mut early).await.fields["n"], 1);
}

#[tokio::test]
async fn cut_connections_lose_no_entry_and_give_none_twice() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut group = join(&client, "c").await;
    let writer = Client::connect(&server.url()).await.unwrap();
    let writing = tokio::spawn(async move {
        for n in 0..400 {
            add(&writer, n).await;
            if n % 20 == 0 {
                cut_blocked(&writer).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut seen = BTreeSet::new();
    while seen.len() < 400 {
        let entry = next(&mut group).await;
        assert!(seen.insert(entry.fields["n"]), "{} came twice", entry.fields["n"]);
        group.ack(&entry).await.unwrap();
    }
    writing.await.unwrap();
    assert_eq!(pending(&client).await, 0);
}

#[tokio::test]
async fn what_a_lost_reply_assigned_to_us_is_asked_for() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut group = join(&client, "c").await;
    assert!(is_silent(&mut group).await);
    // The same for the server: an entry is ours, and we have not heard of it.
    let other = Client::connect(&server.url()).await.unwrap();
    let reading = other.cmd::<redial::Value>("EVAL").arg(
        "redis.call('XADD', 's', '*', 'n', 7) return redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', '>')",
    );
    reading.arg(0).await.unwrap();
    assert!(is_silent(&mut group).await);
    cut_blocked(&other).await;
    assert_eq!(next(&mut group).await.fields["n"], 7);
}

/// A server that keeps its data when it is killed.
fn lasting(dir: &tempfile::TempDir) -> Server {
    let dir = dir.path().to_str().unwrap();
    Server::start(&["--dir", dir, "--appendonly", "yes", "--appendfsync", "always"])
}

#[tokio::test]
async fn every_entry_is_dealt_with_although_the_server_is_killed_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = lasting(&dir);
    let (port, args) = (server.port, server.args());
    let client = Client::connect(&server.url()).await.unwrap();
    let mut group = join(&client, "c").await;
    let writer = Client::connect(&server.url()).await.unwrap();
    let writing = tokio::spawn(async move {
        let mut added = BTreeSet::new();
        for n in 0..300 {
            if writer.cmd("XADD").args(["s", "*", "n"]).arg(n).run().await.is_ok() {
                added.insert(n);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        added
    });
    let killing = tokio::spawn(async move {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.kill();
            server = Server::start_again(port, &args);
        }
        server
    });
    let mut seen = BTreeMap::<u32, u32>::new();
    let mut last = Instant::now();
    while !writing.is_finished() || last.elapsed() < Duration::from_millis(500) {
        let Ok(entry) = tokio::time::timeout(Duration::from_millis(100), group.next()).await else {
            continue;
        };
        let entry = entry.unwrap().unwrap();
        *seen.entry(entry.fields["n"]).or_default() += 1;
        last = Instant::now();
        group.ack(&entry).await.unwrap();
    }
    let _server = killing.await.unwrap();
    let added = writing.await.unwrap();
    assert!(added.len() > 200, "{}", added.len());
    let missed: Vec<_> = added.iter().filter(|n| !seen.contains_key(n)).collect();
    assert!(missed.is_empty(), "never given: {missed:?}");
    until_none_is_pending(&client, &mut group).await;
}

#[tokio::test]
async fn an_acknowledgement_that_failed_is_made_good_when_the_server_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = lasting(&dir);
    let (port, args) = (server.port, server.args());
    let brief = Duration::from_millis(300);
    let builder = Client::builder(&server.url()).unwrap().request_timeout(brief);
    let client = builder.connect().await.unwrap();
    let mut group = join(&client, "c").await;
    add(&client, 1).await;
    let entry = next(&mut group).await;
    server.kill();
    assert!(group.ack(&entry).await.unwrap_err().is_timeout());
    let server = Server::start_again(port, &args);
    let observer = Client::connect(&server.url()).await.unwrap();
    assert_eq!(pending(&observer).await, 1);
    let until = Instant::now() + LONG;
    while pending(&observer).await > 0 {
        assert!(Instant::now() < until, "it was not made good");
        // Nothing is given again; that there was no server may be told.
        if let Ok(told) = tokio::time::timeout(brief, group.next()).await {
            assert!(told.unwrap().unwrap_err().is_timeout());
        }
    }
}

#[tokio::test]
async fn an_acknowledgement_that_the_server_refused_is_sent_again_without_any_interruption() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut group = join(&client, "c").await;
    add(&client, 1).await;
    let entry = next(&mut group).await;
    client.cmd("ACL SETUSER").args(["default", "-xack"]).run().await.unwrap();
    assert_eq!(group.ack(&entry).await.unwrap_err().code(), Some("NOPERM"));
    client.cmd("ACL SETUSER").args(["default", "+xack"]).run().await.unwrap();
    until_none_is_pending(&client, &mut group).await;
}

async fn the_living_take_over_from_the_dead(args: &[&str]) {
    let server = Server::start(args);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut dead = join(&client, "dead").await;
    for n in 0..40 {
        add(&client, n).await;
    }
    let mut has_had = BTreeSet::new();
    for _ in 0..20 {
        has_had.insert(next(&mut dead).await.fields["n"]);
    }
    drop(dead);
    let idle = Some(Duration::from_millis(200));
    let living = client.consumer_group("s", "g", "living").claim_after(idle).page(7);
    let mut living: Group = living.await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < 40 {
        let entry = next(&mut living).await;
        assert!(seen.insert(entry.fields["n"]));
        living.ack(&entry).await.unwrap();
    }
    assert!(seen.is_superset(&has_had));
    assert_eq!(pending(&client).await, 0);
}

#[tokio::test]
async fn what_a_consumer_left_behind_is_taken_over_by_another() {
    the_living_take_over_from_the_dead(&[]).await;
}

#[tokio::test]
async fn abandoned_entries_are_found_on_servers_without_xautoclaim_too() {
    the_living_take_over_from_the_dead(&["--rename-command", "XAUTOCLAIM", ""]).await;
}

#[tokio::test]
async fn a_group_that_is_lost_is_made_again_where_it_was_and_told_what_is_in_hand() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut group = join(&client, "c").await;
    add(&client, 1).await;
    let done = next(&mut group).await;
    group.ack(&done).await.unwrap();
    let in_hand = add(&client, 2).await;
    assert_eq!(next(&mut group).await.id, in_hand);
    client.cmd("XGROUP DESTROY").arg("s").arg("g").run().await.unwrap();
    add(&client, 3).await;
    let entry = next(&mut group).await;
    assert_eq!(entry.fields["n"], 3, "neither what was acknowledged nor what is in hand");
    assert_eq!(pending(&client).await, 2);
    group.ack_all([in_hand, entry.id]).await.unwrap();
    assert_eq!(pending(&client).await, 0);
}

#[tokio::test]
async fn a_stream_that_begins_anew_is_read_from_its_beginning() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut group = join(&client, "c").await;
    client.cmd("XADD").args(["s", "9-9", "n", "1"]).run().await.unwrap();
    next(&mut group).await;
    assert!(is_silent(&mut group).await);
    client.cmd("DEL").arg("s").run().await.unwrap();
    client.cmd("XADD").args(["s", "1-1", "n", "2"]).run().await.unwrap();
    let entry = next(&mut group).await;
    assert_eq!((entry.id.to_string().as_str(), entry.fields["n"]), ("1-1", 2));
}

#[tokio::test]
async fn fields_that_do_not_fit_are_told_with_their_id_and_keep_no_other_entry() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut group = join(&client, "c").await;
    let wrong: StreamId = client.cmd("XADD").args(["s", "*", "n", "x"]).await.unwrap();
    add(&client, 1).await;
    let error = group.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Decode, Some(wrong)));
    assert!(error.to_string().contains(&wrong.to_string()), "{error}");
    let entry = next(&mut group).await;
    group.ack_all([wrong, entry.id]).await.unwrap();
    assert_eq!(pending(&client).await, 0);
}

#[tokio::test]
async fn an_entry_that_was_deleted_while_it_was_pending_is_acknowledged_and_not_given() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut group = join(&client, "c").await;
    let id = add(&client, 1).await;
    next(&mut group).await;
    drop(group);
    client.cmd("XDEL").arg("s").arg(id).run().await.unwrap();
    let idle = Some(Duration::from_millis(100));
    let mut group: Group = client.consumer_group("s", "g", "d").claim_after(idle).await.unwrap();
    until_none_is_pending(&client, &mut group).await;
    let id = add(&client, 2).await;
    next(&mut group).await;
    drop(group);
    client.cmd("XDEL").arg("s").arg(id).run().await.unwrap();
    let mut group = join(&client, "d").await;
    until_none_is_pending(&client, &mut group).await;
}

#[tokio::test]
async fn only_what_every_group_has_acknowledged_is_deleted() {
    let server = Server::start(&["--stream-node-max-entries", "10"]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut slow: Group = client.consumer_group("s", "slow", "c").await.unwrap();
    let often = Duration::from_millis(50);
    let mut group: Group = client.consumer_group("s", "g", "c").trim_every(often).await.unwrap();
    for n in 0..100 {
        add(&client, n).await;
    }
    for _ in 0..100 {
        let entry = next(&mut group).await;
        group.ack(&entry).await.unwrap();
    }
    for _ in 0..50 {
        let entry = next(&mut slow).await;
        slow.ack(&entry).await.unwrap();
    }
    let len = async || client.cmd::<i64>("XLEN").arg("s").await.unwrap();
    let until = Instant::now() + LONG;
    while len().await > 60 {
        assert!(Instant::now() < until, "nothing is deleted");
        assert!(is_silent(&mut group).await);
    }
    assert!(is_silent(&mut group).await);
    assert!(len().await >= 50);
    while next(&mut slow).await.fields["n"] < 99 {}
}

#[tokio::test]
async fn what_the_server_refuses_is_told_and_the_end_of_the_client_ends_the_stream() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    client.cmd("SET").arg("s").arg("x").run().await.unwrap();
    let joined = client.consumer_group::<Fields>("s", "g", "c").await;
    assert_eq!(joined.unwrap_err().code(), Some("WRONGTYPE"));
    client.cmd("DEL").arg("s").run().await.unwrap();
    let mut group = join(&client, "c").await;
    assert!(is_silent(&mut group).await);
    client.cmd("SET").arg("s").arg("x").run().await.unwrap();
    let error = group.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    client.disconnect();
    let end = async { while group.next().await.is_some() {} };
    tokio::time::timeout(LONG, end).await.unwrap();
}
