//! Real clusters, and what operators and accidents do to them.

use std::time::{Duration, Instant};

use redial::Client;

use crate::cluster::{Counting, Nodes, move_slot, say, wait_until};

#[tokio::test]
async fn what_was_cached_of_a_key_that_was_not_there_does_not_outlive_the_move_of_its_slot() {
    let nodes = Nodes::start(3, 0).await;
    let client = nodes.client().await;
    let cache = client.cache().await.unwrap();
    let get = async || cache.cmd::<Option<String>>("GET").arg("absent").await.unwrap();
    assert_eq!((get().await, get().await), (None, None));
    let from = nodes.owner_of("absent").await;
    move_slot(&nodes, "absent", from, (from + 1) % 3).await;
    client.cmd("SET").arg("absent").arg("here").run().await.unwrap();
    wait_until("the cache hears of it", async || get().await.is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_do_not_end_are_killed_on_every_node() {
    let nodes = Nodes::start(3, 0).await;
    for admin in &nodes.admins {
        say(admin, "CONFIG SET lua-time-limit 50").await;
    }
    let (client, killer) = (nodes.client().await, nodes.client().await);
    let mut running = Vec::new();
    for key in ["a", "b", "c"] {
        // A connection that is made to a busy server is not used before it serves.
        killer.cmd::<Option<String>>("GET").arg(key).await.unwrap();
    }
    for key in ["a", "b", "c"] {
        let endless = client.cmd::<()>("EVAL").arg("while true do end").arg(1).arg(key);
        running.push(tokio::spawn(endless.timeout(Duration::from_secs(30)).send()));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    killer.cmd("SCRIPT KILL").run().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for running in running {
        let error = running.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("killed"), "{error}");
    }
}

/// What it is told to do, in a row; a server that is asked too early says so.
async fn try_to(admin: &Client, line: &str) {
    let mut words = line.split(' ');
    let mut command = admin.cmd::<()>(words.next().unwrap());
    for word in words {
        command = command.arg(word);
    }
    let _ = command.timeout(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takeovers_and_pauses_in_a_row_run_nothing_twice_and_leave_nobody_waiting() {
    let nodes = Nodes::start(3, 3).await;
    let client = nodes.client().await;
    let counting = Counting::start(&client, 30);
    for round in 0..12 {
        tokio::time::sleep(Duration::from_millis(350)).await;
        let shard = round % 3;
        let at = if (round / 3) % 2 == 0 { shard + 3 } else { shard };
        match round % 4 {
            0 => try_to(&nodes.admins[at], "CLUSTER FAILOVER TAKEOVER").await,
            1 => try_to(&nodes.admins[at], "CLUSTER FAILOVER FORCE").await,
            2 => {
                nodes.servers[at].signal("-STOP");
                tokio::time::sleep(Duration::from_millis(900)).await;
                nodes.servers[at].signal("-CONT");
            }
            _ => try_to(&nodes.admins[at], "CLUSTER FAILOVER").await,
        }
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let counts = counting.end(&client, false).await;
    let longest = counts.iter().map(|counted| counted.longest).max().unwrap();
    assert!(longest < Duration::from_secs(6), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_several_keys_wait_while_their_slot_is_half_moved() {
    let nodes = Nodes::start(3, 0).await;
    let client = nodes.client().await;
    let keys = ["{t}1", "{t}2", "{t}3"];
    let from = nodes.owner_of("{t}").await;
    for key in keys {
        client.cmd("SET").arg(key).arg(0).run().await.unwrap();
    }
    let counting = {
        let client = client.clone();
        tokio::spawn(async move {
            for round in 1..=300_u32 {
                let mut all = client.transaction();
                for key in keys {
                    all.cmd("INCR").arg(key);
                }
                let told: Vec<u32> = all.exec().await.unwrap();
                assert_eq!(told, [round; 3]);
                let got: Vec<u32> = client.cmd("MGET").args(keys).await.unwrap();
                assert_eq!(got, [round; 3]);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    };
    for round in 0..6 {
        let (source, target) = ((from + round) % 3, (from + round + 1) % 3);
        half_move(&nodes, &keys, source, target).await;
    }
    counting.await.unwrap();
}

/// As `move_slot`, but with a while between the keys.
async fn half_move(nodes: &Nodes, keys: &[&str], from: usize, to: usize) {
    let slot: u32 = nodes.admins[0].cmd("CLUSTER KEYSLOT").arg(keys[0]).await.unwrap();
    let id = async |at: usize| nodes.admins[at].cmd::<String>("CLUSTER MYID").await.unwrap();
    let (source, target) = (id(from).await, id(to).await);
    say(&nodes.admins[to], &format!("CLUSTER SETSLOT {slot} IMPORTING {source}")).await;
    say(&nodes.admins[from], &format!("CLUSTER SETSLOT {slot} MIGRATING {target}")).await;
    for key in keys {
        let port = nodes.servers[to].port;
        say(&nodes.admins[from], &format!("MIGRATE 127.0.0.1 {port} {key} 0 1000")).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    for at in [to, from] {
        say(&nodes.admins[at], &format!("CLUSTER SETSLOT {slot} NODE {target}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_is_killed_by_a_client_whose_other_commands_wait_for_its_end() {
    let server = crate::process::Server::start(&["--lua-time-limit", "50"]);
    let url = server.url();
    let (client, killer) =
        (Client::connect(&url).await.unwrap(), Client::connect(&url).await.unwrap());
    let endless = client.cmd::<()>("EVAL").arg("while true do end").arg(0);
    let running = tokio::spawn(endless.timeout(Duration::from_secs(30)).send());
    tokio::time::sleep(Duration::from_millis(150)).await;
    let waiting = tokio::spawn(killer.cmd::<Option<String>>("GET").arg("k").send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    killer.cmd("SCRIPT KILL").run().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    waiting.await.unwrap().unwrap();
    assert!(running.await.unwrap().unwrap_err().to_string().contains("killed"));
}
