//! Hints that are wrong, and frames that are none. Each may cost dials; none may cost a connection that serves, or a command.

use redial_proto::EventKind;

use crate::world::{Server, World, primary};

fn moving(seq: u32, seconds: u32, to: &str) -> String {
    format!(">4\r\n+MOVING\r\n:{seq}\r\n:{seconds}\r\n+{to}\r\n")
}

/// After a lie: the first connection serves, and no command was lost.
fn assert_unharmed(world: &mut World) {
    world.send(99, "AFTER");
    assert!(world.is_answered(99));
    assert_eq!(world.server_of("AFTER"), Some("a:1"));
    assert_eq!((world.adoptions(), world.suspicions(), world.connections("a:1")), (0, 0, 1));
}

#[test]
fn an_endpoint_where_nobody_is_costs_dials_for_as_long_as_announced() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    // The way to the configured endpoint leads to the server that is left: it must not be taken for another one in the first half.
    world.push("a:1", &moving(1, 4, "nobody:9"));
    world.run_for(1900);
    assert_eq!((world.dials_to("a:1"), world.adoptions()), (0, 0));
    assert!((2..=5).contains(&world.dials.len()), "{:?}", world.dials);
    let attention = |kind: &EventKind| matches!(kind, EventKind::DialFailed { needs_attention, .. } if *needs_attention);
    assert_eq!(world.count(attention), 0);
    assert_unharmed(&mut world);
}

#[test]
fn a_server_with_other_data_is_not_gone_to() {
    let stranger = Server { replid: "another history", ..primary("stranger") };
    let replica = Server { role: "slave", ..primary("replica") };
    for liar in [stranger, replica] {
        let mut world = World::new(&[("a:1", primary("a")), ("b:2", liar)]);
        world.push("a:1", &moving(1, 4, "b:2"));
        world.run_for(1900);
        assert!(world.dials_to("b:2") >= 2);
        assert_unharmed(&mut world);
        assert_eq!(world.connections("b:2"), 0);
    }
}

#[test]
fn a_slow_command_is_not_given_up_for_a_server_that_was_only_named() {
    let promoted = Server { replid: "new history", replid2: "history", ..primary("promoted") };
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", promoted)]);
    world.send(1, "SLOW");
    world.push("a:1", &moving(1, 8, "b:2"));
    world.run_for(7000);
    assert_eq!((world.adoptions(), world.answers.len()), (0, 0));
    world.finish_slow();
    assert!(world.is_answered(1));
    assert_eq!(world.adoptions(), 1);
}

#[test]
fn the_same_server_by_another_way_is_no_reason_to_give_up_a_slow_command_at_all() {
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", primary("a"))]);
    world.send(1, "SLOW");
    world.push("a:1", &moving(1, 1, "b:2"));
    world.run_for(9000);
    assert_eq!((world.adoptions(), world.answers.len()), (0, 0));
    world.finish_slow();
    assert!(world.is_answered(1));
}

#[test]
fn a_successor_that_dies_before_it_is_used_leaves_everything_as_it_was() {
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", primary("a"))]);
    world.send(1, "SLOW");
    world.push("a:1", &moving(1, 4, "b:2"));
    world.run_for(300);
    world.servers.get_mut("b:2").unwrap().is_down = true;
    world.send(2, "WAITING");
    world.cut("b:2");
    world.finish_slow();
    world.run_for(100);
    assert!(world.is_answered(1) && world.is_answered(2));
    assert_eq!(world.server_of("WAITING"), Some("a:1"));
    assert_unharmed(&mut world);
}

#[test]
fn a_lie_does_not_delay_what_does_not_depend_on_it() {
    let mute = Server { is_mute: true, ..primary("mute") };
    for begin in [300, 3900, 7000] {
        let mut world = World::new(&[("a:1", primary("a")), ("b:2", mute.clone())]);
        world.push("a:1", &moving(1, 20, "b:2"));
        world.run_for(begin);
        assert!(world.dials_to("b:2") >= 1);
        world.servers.get_mut("a:1").unwrap().is_down = true;
        world.cut("a:1");
        world.run_for(1000);
        // Dials come every 120 ms, give or take a tenth, and a told one in between.
        world.servers.get_mut("a:1").unwrap().is_down = false;
        world.run_for(280);
        assert_eq!(world.connections("a:1"), 1, "{begin}: {:?}", world.dials);
    }
}

#[test]
fn a_server_that_sends_everybody_away_for_ever_is_obeyed_every_ten_seconds() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    for seq in 0..60 {
        let address = "a:1";
        world.push(address, &moving(seq, 60, "a:1"));
        world.run_for(500);
    }
    assert!((2..=4).contains(&world.adoptions()), "{}", world.adoptions());
    world.send(1, "AFTER");
    assert!(world.is_answered(1));
}

#[test]
fn rubbish_is_named_and_nothing_follows() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    let rubbish = [
        ">4\r\n+MOVING\r\n:1\r\n:-1\r\n+b:2\r\n",
        ">4\r\n+MOVING\r\n:1\r\n:9223372036854775807\r\n+b:2\r\n",
        ">4\r\n+MOVING\r\n:1\r\n:1\r\n+here\r\n",
        ">1\r\n+MIGRATING\r\n",
        ">2\r\n+SMIGRATED\r\n*0\r\n",
    ];
    for frame in rubbish {
        world.push("a:1", frame);
    }
    world.push("a:1", ">2\r\n+UNKNOWN\r\n:1\r\n");
    world.push("a:1", ">1\r\n*0\r\n");
    world.run_for(20_000);
    let ignored = world.count(|kind| matches!(kind, EventKind::HintIgnored { .. }));
    assert_eq!((ignored, world.dials.len()), (rubbish.len(), 0));
    assert_unharmed(&mut world);
}

#[test]
fn a_flood_of_hints_does_not_become_a_flood_of_events() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    let flood: String =
        (0..1000).map(|seq| format!(">2\r\n+MIGRATED\r\n:{seq}\r\n>1\r\n+MOVING\r\n")).collect();
    world.push("a:1", &flood);
    world.run_for(1000);
    assert!(world.events.len() < 40, "{}", world.events.len());
    assert_unharmed(&mut world);
}
