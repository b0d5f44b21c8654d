//! Slots, nodes and what belongs to them come and go.

use std::time::Duration;

use redial_proto::{Delivery, Input, RequestOptions, Resend, SubscriptionChange, SubscriptionKind};

use crate::world::{View, World};

/// Node 2 has no slots any more.
fn without_2() -> View {
    (8, vec![(0, 16383, 1)])
}

fn ok(_: u16, _: &str) -> String {
    "+OK\r\n".into()
}

#[test]
fn what_is_for_one_node_goes_to_no_other() {
    let mut world = World::new(ok);
    let parts = world.core.parts();
    world.kill(2);
    let to_2 = RequestOptions { to: parts.get(1).copied(), ..RequestOptions::default() };
    world.submit_with("FLUSHALL", 0, &to_2);
    // A slot moves, which has requests that wait looked at again; not this one.
    world.view = (8, vec![(0, 8190, 1), (8191, 16383, 2)]);
    world.run_for(2000);
    assert!(world.asked.is_empty(), "{:?}", world.asked);
    world.dead.clear();
    world.run_for(3000);
    assert_eq!(world.asked_of(2).last(), Some(&"FLUSHALL"));
    assert!(world.are_answered(0..1));
}

#[test]
fn what_is_for_one_node_fails_when_that_is_given_up() {
    let mut world = World::new(ok);
    let parts = world.core.parts();
    world.kill(2);
    let to_2 = RequestOptions { to: parts.get(1).copied(), ..RequestOptions::default() };
    world.submit_with("DBSIZE", 0, &to_2);
    world.view = without_2();
    world.run_for(2000);
    assert!(world.asked.is_empty(), "{:?}", world.asked);
    let error = world.answers[&0].as_ref().unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent, "{error}");
}

/// Confirms subscriptions, but to `a`, which is at node 1.
fn channels(port: u16, line: &str) -> String {
    match line.split_once(' ') {
        Some((_, "a")) if port == 2 => "-MOVED 15495 h:1\r\n".into(),
        Some((name, channel)) => {
            let (name, len) = (name.to_lowercase(), channel.len());
            format!(">3\r\n${}\r\n{name}\r\n${len}\r\n{channel}\r\n:1\r\n", name.len())
        }
        None => ok(port, line),
    }
}

fn confirmed(world: &World) -> Vec<&str> {
    let confirmed = world.changes.iter().filter_map(|change| match change {
        SubscriptionChange::Confirmed { channel, .. } => std::str::from_utf8(channel).ok(),
        _ => None,
    });
    confirmed.collect()
}

#[test]
fn a_channel_that_is_elsewhere_and_not_wanted_any_more_leaves_the_others_alone() {
    let mut world = World::new(channels);
    let shard = SubscriptionKind::Shard;
    world.core.subscribe(shard, b"c9", true).unwrap();
    world.input(Input::Tick);
    for (name, wanted) in [(b"a".as_slice(), true), (b"a", false), (b"{foo}", true)] {
        world.core.subscribe(shard, name, wanted).unwrap();
    }
    world.run_for(20_000);
    assert_eq!(confirmed(&world), ["c9", "{foo}"]);
    assert_eq!(
        world.asked_of(2),
        ["SSUBSCRIBE c9", "SSUBSCRIBE a", "SUNSUBSCRIBE a", "SSUBSCRIBE {foo}"]
    );
}

#[test]
fn a_channel_goes_where_its_slot_is_when_its_node_is_given_up() {
    let mut world = World::new(channels);
    world.core.subscribe(SubscriptionKind::Shard, b"c9", true).unwrap();
    world.input(Input::Tick);
    assert_eq!(confirmed(&world), ["c9"]);
    world.kill(2);
    world.view = without_2();
    world.run_for(2000);
    assert_eq!(confirmed(&world), ["c9", "c9"]);
    assert_eq!(world.asked_of(1), ["SSUBSCRIBE c9"]);
    world.dials.clear();
    world.run_for(60_000);
    assert!(!world.dials.contains(&2), "it is not dialed for ever");
}

#[test]
fn a_durable_write_follows_its_slot_from_a_node_that_is_given_up() {
    let mut world = World::new(|port, line| match line {
        "SET a 1" | "WAIT 1 1000" if port == 2 => String::new(),
        "GET c9" if port == 2 => "-MOVED 14595 h:1\r\n".into(),
        "WAIT 1 1000" => ":1\r\n".into(),
        _ => ok(port, line),
    });
    let opened = world.core.open_durable(1, Duration::from_secs(1)).unwrap();
    let options = RequestOptions { on: Some(opened), ..RequestOptions::default() };
    world.submit_with("SET a 1", 0, &options);
    world.input(Input::Tick);
    world.view = without_2();
    world.submit("GET c9", 1);
    world.input(Input::Tick);
    world.run_for(300);
    world.say(2, "-MOVED 15495 h:1\r\n:0\r\n");
    world.run_for(100);
    assert_eq!(world.asked_of(1), ["GET c9", "SET a 1", "WAIT 1 1000"]);
    assert!(world.are_answered(0..2));
}

#[test]
fn who_sends_nothing_again_learns_from_a_redirect_all_the_same() {
    let mut world = World::new(|port, line| match line {
        "INCR a" if port == 2 => "-MOVED 15495 h:1\r\n".into(),
        _ => ok(port, line),
    });
    let never = RequestOptions { resend: Some(Resend::Never), ..RequestOptions::default() };
    world.submit_with("INCR a", 0, &never);
    world.input(Input::Tick);
    let told = world.answers[&0].as_ref().unwrap();
    assert_eq!(told.error().unwrap().code(), "MOVED");
    world.submit_with("INCR a", 1, &never);
    world.input(Input::Tick);
    assert_eq!(world.asked_of(1), ["INCR a"]);
}

#[test]
fn a_node_that_lags_behind_is_not_believed_while_others_know_more() {
    let mut world = World::new(ok);
    let promoted = (9, vec![(0, 8191, 1), (8192, 16383, 3)]);
    let behind = std::mem::replace(&mut world.view, promoted);
    world.kill(2);
    world.run_for(3000);
    world.dead.clear();
    world.views.insert(1, behind);
    world.dials.clear();
    for token in 0..100 {
        world.run_for(1000);
        world.submit("SET a 1", token);
        world.input(Input::Tick);
        assert!(world.are_answered(token..token + 1), "it waits at {token} s");
    }
    assert!(world.asked_of(2).is_empty() && !world.dials.contains(&2), "{:?}", world.dials);
}

/// Redis 6.2 goes on holding writes after it has become a replica (redis/redis#9676).
#[test]
fn what_a_primary_holds_that_follows_another_now_is_concluded() {
    let mut world = World::new(|port, line| match (port, line) {
        (2, "GET {a}1") => "-MOVED 15495 h:3\r\n".into(),
        (3, line) if !line.starts_with("GET {a}") => String::new(),
        _ => ok(port, line),
    });
    for (token, line) in ["GET {a}1", "INCR a", "GET a"].iter().enumerate() {
        world.submit(line, token as u64);
        world.input(Input::Tick);
    }
    assert_eq!(world.asked_of(3), ["GET {a}1", "INCR a", "GET a"]);
    assert!(world.are_answered(0..1) && world.answers.len() == 1);
    world.view.0 = 9;
    world.follows.insert(3, 2);
    world.run_for(1500);
    let error = world.answers[&1].as_ref().unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
    assert!(world.are_answered(2..3), "a read is sent again");
    assert_eq!(world.asked_of(2), ["GET {a}1", "GET a"]);
}

/// The same where redirects told of the other first, so that a view finds both where it expects them.
#[test]
fn what_a_node_holds_whose_slots_another_has_by_now_is_concluded() {
    let mut world = World::new(|port, line| match (port, line) {
        (2, "GET a") => "-MOVED 15495 h:3\r\n".into(),
        (2, "INCR c9" | "GET c9") => String::new(),
        _ => ok(port, line),
    });
    // It is another's turn to be asked for a view.
    world.run_for(35_000);
    world.view = (9, vec![(0, 8191, 1), (8192, 16383, 3)]);
    for (token, line) in ["GET a", "INCR c9", "GET c9"].iter().enumerate() {
        world.submit(line, token as u64);
    }
    world.input(Input::Tick);
    world.follows.insert(2, 3);
    world.run_for(300);
    assert!(world.are_answered(0..1) && world.answers.len() == 1, "it may still answer");
    world.run_for(1200);
    let error = world.answers[&1].as_ref().unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
    assert!(world.are_answered(2..3));
    assert_eq!(world.asked_of(3), ["GET a", "GET c9"]);
}

/// Where names are announced, one that has none is `?`, and may be on any host.
#[test]
fn a_redirect_to_a_node_without_a_name_has_the_nodes_asked_where_that_is() {
    let mut world = World::new(|port, line| match port {
        2 => "-MOVED 15495 ?:2\r\n".into(),
        _ => ok(port, line),
    });
    world.view = (8, vec![(0, 8191, 1), (8192, 16383, 3)]);
    world.submit("INCR a", 0);
    world.input(Input::Tick);
    world.run_for(300);
    assert!(world.are_answered(0..1));
    assert_eq!(world.asked_of(3), ["INCR a"]);
}
