//! What administrators do while a program runs: nothing is counted that its callers were not told, nobody waits for ever, and nobody dials without end.

use std::time::{Duration, Instant};

use redial::prelude::*;
use redial::{Client, Received};

use crate::cluster::{Counted, Counting, Nodes, move_slot, say, wait_until};
use crate::process::Server;

const CALLERS: u32 = 30;

async fn info(admin: &Client, field: &str) -> u64 {
    let info: String = admin.cmd("INFO").arg("all").await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}

fn longest(counts: &[Counted]) -> Duration {
    counts.iter().map(|counted| counted.longest).max().unwrap()
}

fn acknowledged(counts: &[Counted]) -> u64 {
    counts.iter().map(|counted| counted.acknowledged).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_killed_again_and_again_cost_no_caller_its_place() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin =
        Client::builder(&server.url()).unwrap().client_name("admin").connect().await.unwrap();
    let before = info(&admin, "total_connections_received").await;
    let counting = Counting::start(&client, CALLERS);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        admin.cmd("CLIENT KILL").args(["TYPE", "normal", "SKIPME", "yes"]).run().await.unwrap();
    }
    let counts = counting.end(&client, true).await;
    assert!(longest(&counts) < Duration::from_secs(2), "{:?}", longest(&counts));
    assert!(acknowledged(&counts) > 1000, "{}", acknowledged(&counts));
    let dials = info(&admin, "total_connections_received").await - before;
    assert!(dials <= 50, "{dials} connections after 20 were killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_pause_is_waited_for() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    let before = info(&admin, "total_connections_received").await;
    let counting = Counting::start(&client, CALLERS);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        admin.cmd("CLIENT PAUSE").args(["700", "ALL"]).run().await.unwrap();
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    let counts = counting.end(&client, true).await;
    for counted in &counts {
        assert_eq!(counted.errors, Vec::<String>::new(), "{counted:?}");
    }
    let dials = info(&admin, "total_connections_received").await - before;
    assert!(dials <= 20, "{dials} connections for three pauses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_changes_is_asked_of_new_connections_only_and_named() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    let counting = Counting::start(&client, CALLERS);
    admin.cmd("CONFIG SET").args(["requirepass", "new"]).run().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let counts = counting.end(&client, true).await;
    assert!(counts.iter().all(|counted| counted.errors.is_empty()), "who is in stays in");
    // Now the connection is lost, and the password is another.
    let begun = Instant::now();
    admin.cmd("CLIENT KILL").args(["TYPE", "normal", "SKIPME", "yes"]).run().await.unwrap();
    let error = client.incr("n").timeout(Duration::from_secs(3)).await.unwrap_err();
    assert!(error.to_string().contains("NOAUTH"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let dials = info(&admin, "total_connections_received").await;
    assert!(dials < 60, "{dials} connections in three seconds");
    admin.cmd("CONFIG SET").args(["requirepass", ""]).run().await.unwrap();
    client.incr("n").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_full_is_waited_for_and_named() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    let counting = Counting::start(&client, CALLERS);
    admin.cmd("CONFIG SET").args(["maxclients", "1"]).run().await.unwrap();
    admin.cmd("CLIENT KILL").args(["TYPE", "normal", "SKIPME", "yes"]).run().await.unwrap();
    let error = client.get::<()>("k").timeout(Duration::from_secs(1)).await.unwrap_err();
    assert!(error.to_string().contains("max number of clients"), "{error}");
    admin.cmd("CONFIG SET").args(["maxclients", "100"]).run().await.unwrap();
    client.incr("n").await.unwrap();
    let counts = counting.end(&client, true).await;
    assert!(longest(&counts) < Duration::from_secs(5), "{:?}", longest(&counts));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_what_is_idle_is_given_no_reason_to() {
    let server = Server::start(&["--timeout", "1"]);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut news = client.subscribe("news").await.unwrap();
    let popped = tokio::spawn({
        let client = client.clone();
        async move { client.blpop::<Option<(String, String)>>(["queue"], 0).await }
    });
    let begun = Instant::now();
    let mut errors = Vec::new();
    while begun.elapsed() < Duration::from_millis(4500) {
        tokio::time::sleep(Duration::from_millis(1400)).await;
        errors.extend(client.incr("n").await.err());
    }
    assert!(errors.is_empty(), "{errors:?}");
    client.rpush("queue", ["element"]).await.unwrap();
    assert_eq!(popped.await.unwrap().unwrap().unwrap().1, "element");
    client.cmd("PUBLISH").args(["news", "hello"]).run().await.unwrap();
    let message = tokio::time::timeout(Duration::from_secs(5), news.next()).await.unwrap();
    assert!(matches!(message, Some(Received::Message(_))), "{message:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_emptied_forgotten_reset_and_met_again_cost_nothing() {
    let nodes = Nodes::start(3, 1).await;
    let client = nodes.client().await;
    let counting = Counting::start(&client, CALLERS);
    let admins = &nodes.admins;
    let id = async |at: usize| admins[at].cmd::<String>("CLUSTER MYID").await.unwrap();
    // The replica goes, and comes back.
    let replica = id(3).await;
    for admin in admins.iter().take(3) {
        say(admin, &format!("CLUSTER FORGET {replica}")).await;
    }
    // Under another name: the old one is banned for a minute.
    say(&admins[3], "CLUSTER RESET HARD").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    say(&admins[0], &format!("CLUSTER MEET 127.0.0.1 {}", nodes.servers[3].port)).await;
    wait_until("everybody knows it again", async || {
        for admin in admins {
            let known: String = admin.cmd("CLUSTER INFO").await.unwrap();
            if !known.contains("cluster_known_nodes:4") || !known.contains("cluster_state:ok") {
                return false;
            }
        }
        true
    })
    .await;
    // It gets slots of its own, which are taken away again.
    let stays = ["cluster-allow-replica-migration", "no"];
    admins[3].cmd("CONFIG SET").args(stays).run().await.unwrap();
    for n in 0..CALLERS {
        let key = format!("count:{n}");
        let from = nodes.owner_of(&key).await;
        move_slot(&nodes, &key, from, 3).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for n in 0..CALLERS {
        let key = format!("count:{n}");
        move_slot(&nodes, &key, 3, n as usize % 3).await;
    }
    let emptied = id(3).await;
    for admin in admins.iter().take(3) {
        say(admin, &format!("CLUSTER FORGET {emptied}")).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let counts = counting.end(&client, true).await;
    for counted in &counts {
        assert_eq!(counted.errors, Vec::<String>::new(), "{counted:?}");
    }
    assert!(longest(&counts) < Duration::from_secs(2), "{:?}", longest(&counts));
}

#[tokio::test]
async fn a_blocked_caller_that_is_unblocked_by_hand_hears_what_was_meant_for_it() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    for how in ["TIMEOUT", "ERROR"] {
        let popped = client.blpop::<Option<(String, String)>>(["queue"], 0);
        let popped = tokio::spawn(popped.into_future());
        wait_until("it is blocked", async || info(&admin, "blocked_clients").await == 1).await;
        let clients: String = admin.cmd("CLIENT LIST").await.unwrap();
        let blocked = clients.lines().find(|line| line.contains("flags=b")).unwrap();
        let id = blocked.split(' ').next().unwrap().strip_prefix("id=").unwrap();
        admin.cmd("CLIENT UNBLOCK").args([id, how]).run().await.unwrap();
        let popped = tokio::time::timeout(Duration::from_secs(5), popped).await.unwrap().unwrap();
        match how {
            "TIMEOUT" => assert_eq!(popped.unwrap(), None),
            _ => assert_eq!(popped.unwrap_err().code(), Some("UNBLOCKED")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_size_makes_the_server_close_costs_others_a_moment_and_is_named() {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    let admin = Client::connect(&server.url()).await.unwrap();
    client.set("large", vec![b'x'; 1 << 20]).await.unwrap();
    let limits = [
        ["client-output-buffer-limit", "normal 1mb 0 0"],
        ["client-query-buffer-limit", "1mb"],
        ["proto-max-bulk-len", "1mb"],
    ];
    for [limit, size] in limits {
        admin.cmd("CONFIG SET").args([limit, size]).run().await.unwrap();
        let before = info(&admin, "total_connections_received").await;
        let counting = Counting::start(&client, CALLERS);
        client.incr("n").await.unwrap();
        let error = match limit {
            "client-output-buffer-limit" => {
                client.mget::<Vec<String>>(vec!["large"; 64]).await.unwrap_err()
            }
            _ => client.set("k", vec![b'x'; 64 << 20]).await.unwrap_err(),
        };
        let counts = counting.end(&client, true).await;
        let text = error.to_string();
        let is_named = text.contains("client-output-buffer-limit") || text.contains("bulk length");
        assert!(is_named, "{limit}: {text}");
        assert!(longest(&counts) < Duration::from_secs(2), "{limit}: {:?}", longest(&counts));
        let unknown = counts.iter().map(|counted| counted.errors.len()).max().unwrap();
        assert!(unknown <= 3, "{limit}: one caller was cut off {unknown} times");
        let dials = info(&admin, "total_connections_received").await - before;
        assert!(dials <= 6, "{limit}: {dials} connections");
        admin.cmd("FLUSHALL").run().await.unwrap();
    }
}
