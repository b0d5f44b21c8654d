//! Clients of two nodes that share the slots, and answer what the test says.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod moving;
mod world;

use redial_proto::{Delivery, ErrorKind, Input};

use crate::world::World;

#[test]
fn a_node_whose_cluster_is_down_is_asked_by_one_command_at_a_time() {
    let mut down = 10;
    let mut world = World::new(move |node, line| match node {
        1 if line != "GET a" && down > 0 => {
            down -= i32::from(line.starts_with("GET"));
            "-CLUSTERDOWN The cluster is down\r\n".into()
        }
        _ => "+OK\r\n".into(),
    });
    // They wait for the connections, and are written together.
    for token in 0..5 {
        world.submit("GET b", token);
    }
    world.submit("GET a", 5);
    world.input(Input::Tick);
    assert!(world.are_answered(5..6), "another node goes on");
    world.run_for(200);
    for token in 6..1000 {
        world.submit("GET c", token);
    }
    world.run_for(60);
    assert_eq!(world.asked_for("c"), 0, "they wait");
    world.run_for(500);
    assert!(world.are_answered(0..1000));
    assert_eq!(world.asked_for("c"), 994, "once each");
}

#[test]
fn a_slot_that_nobody_serves_waits_for_itself_alone() {
    let mut refusals = 3;
    let mut world = World::new(move |_, line| {
        if line == "GET b" && refusals > 0 {
            refusals -= 1;
            return "-CLUSTERDOWN Hash slot not served\r\n".into();
        }
        "+OK\r\n".into()
    });
    world.submit("GET b", 0);
    world.submit("GET c", 1);
    world.input(Input::Tick);
    assert!(world.are_answered(1..2) && !world.answers.contains_key(&0));
    world.run_for(250);
    assert!(world.are_answered(0..1));
}

#[test]
fn those_that_nobody_can_serve_for_now_wait_in_a_queue_that_has_a_limit() {
    let mut world = World::with(
        |config| config.offline_queue.commands = 3,
        |_, line| match line {
            "GET b" => "-CLUSTERDOWN Hash slot not served\r\n".into(),
            _ => "+OK\r\n".into(),
        },
    );
    for token in 0..5 {
        world.submit("GET b", token);
        world.input(Input::Tick);
    }
    world.submit("GET c", 5);
    world.input(Input::Tick);
    assert!(world.are_answered(5..6), "others go on");
    assert_eq!(world.answers.len(), 3);
    for token in 3..5 {
        let error = world.answers[&token].as_ref().unwrap_err();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::QueueFull, Delivery::Rejected));
        assert!(error.text().contains("(3 commands, "), "{error}");
    }
    world.run_for(11_000);
    assert_eq!(world.answers.len(), 6, "the others wait until their deadline");
}
