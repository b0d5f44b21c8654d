//! Maintenance pushes that are true.

use std::time::Duration;

use redial_proto::{Config, EventKind, Maintenance, Protocol, Session};

use crate::world::{Server, World, primary, tcp};

const MOVING_TO_B: &str = ">4\r\n+MOVING\r\n:1\r\n:10\r\n+b:2\r\n";
const MOVING_NOWHERE: &str = ">4\r\n+MOVING\r\n:1\r\n:10\r\n_\r\n";
const MIGRATING: &str = ">4\r\n+MIGRATING\r\n:2\r\n:20\r\n*1\r\n+1\r\n";
const MIGRATED: &str = ">3\r\n+MIGRATED\r\n:3\r\n*1\r\n+1\r\n";
const FAILING_OVER: &str = ">4\r\n+FAILING_OVER\r\n:4\r\n:20\r\n*1\r\n+1\r\n";
const FAILED_OVER: &str = ">3\r\n+FAILED_OVER\r\n:5\r\n*1\r\n+1\r\n";

/// A replica that was promoted: another process, the same data.
fn promoted() -> Server {
    Server { replid: "new history", replid2: "history", ..primary("promoted") }
}

/// The commands by which announcements were asked for.
fn asked(world: &World) -> Vec<&Vec<String>> {
    let asks = |words: &&Vec<String>| words.contains(&"MAINT_NOTIFICATIONS".to_owned());
    world.commands.iter().map(|(_, words)| words).filter(asks).collect()
}

#[test]
fn a_handshake_asks_for_announcements_and_a_refusal_is_no_news() {
    let world = World::new(&[("a:1", primary("a"))]);
    let words = ["CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "internal-ip"];
    assert_eq!(asked(&world), [&words.map(str::to_owned).to_vec()]);
    assert_eq!(world.events, []);
}

#[test]
fn neither_resp2_nor_one_who_does_not_want_it_asks_for_announcements() {
    let configs: [fn(Config) -> Config; 2] = [
        |config| Config {
            session: Session { protocol: Protocol::Resp2, ..config.session },
            ..config
        },
        |config| Config { maintenance_notifications: false, ..config },
    ];
    for change in configs {
        assert!(asked(&World::with(&[("a:1", primary("a"))], change)).is_empty());
    }
}

#[test]
fn connections_that_can_not_be_moved_do_not_ask() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    world.subscribe(b"channel", true);
    world.core.open_dedicated(None).unwrap();
    world.run_for(100);
    assert_eq!((world.connections("a:1"), asked(&world).len()), (3, 1));
}

#[test]
fn the_endpoint_that_is_named_is_used_once_what_is_in_flight_is_answered() {
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", primary("a"))]);
    world.send(1, "SLOW");
    world.push("a:1", MOVING_TO_B);
    world.run_for(300);
    world.send(2, "AFTER");
    assert_eq!((world.dials_to("b:2"), world.server_of("AFTER")), (1, None));
    world.run_for(4000);
    assert_eq!(world.adoptions(), 0);
    world.finish_slow();
    assert!(world.is_answered(1) && world.is_answered(2));
    assert_eq!(world.server_of("AFTER"), Some("b:2"));
    assert_eq!((world.connections("a:1"), world.suspicions(), world.dials.len()), (0, 0, 1));
    let moving = Maintenance::Moving { within: Duration::from_secs(10), to: Some(tcp("b:2")) };
    assert_eq!(world.announced(), [&moving]);
}

#[test]
fn who_connects_while_a_move_is_announced_moves_too() {
    let old = Server { announces: MOVING_TO_B, ..primary("a") };
    let mut world = World::new(&[("a:1", old), ("b:2", primary("a"))]);
    world.run_for(500);
    assert_eq!((world.adoptions(), world.connections("b:2"), world.suspicions()), (1, 1, 0));
    assert_eq!(world.connections("a:1"), 0);
}

#[test]
fn where_no_endpoint_is_named_the_configured_one_is_dialed_after_half_of_the_time() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    world.push("a:1", MOVING_NOWHERE);
    world.run_for(4900);
    assert_eq!(world.dials, []);
    world.run_for(400);
    assert_eq!((world.dials_to("a:1"), world.adoptions(), world.suspicions()), (1, 1, 0));
    assert_eq!(world.connections("a:1"), 1);
    world.run_for(30_000);
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn a_successor_that_is_another_process_with_the_same_data_is_taken() {
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", promoted())]);
    world.push("a:1", MOVING_TO_B);
    world.run_for(300);
    world.send(1, "AFTER");
    assert_eq!(world.server_of("AFTER"), Some("b:2"));
}

#[test]
fn an_endpoint_that_is_not_there_yet_is_dialed_until_it_is() {
    let down = Server { is_down: true, ..primary("a") };
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", down)]);
    world.push("a:1", MOVING_TO_B);
    world.run_for(2000);
    assert_eq!(world.adoptions(), 0);
    world.servers.get_mut("b:2").unwrap().is_down = false;
    world.run_for(600);
    assert_eq!((world.adoptions(), world.connections("a:1")), (1, 0));
}

#[test]
fn an_endpoint_that_is_gone_too_early_is_replaced_by_the_named_one() {
    let down = Server { is_down: true, ..primary("a") };
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", down)]);
    world.push("a:1", MOVING_TO_B);
    world.run_for(1000);
    world.servers.get_mut("a:1").unwrap().is_down = true;
    world.servers.get_mut("b:2").unwrap().is_down = false;
    world.cut("a:1");
    world.send(1, "AFTER");
    world.run_for(500);
    assert!(world.is_answered(1));
    assert_eq!(world.server_of("AFTER"), Some("b:2"));
}

#[test]
fn a_suspicion_that_was_wrong_does_not_end_a_plan() {
    let down = Server { is_down: true, ..primary("a") };
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", down)]);
    world.push("a:1", MOVING_TO_B);
    world.send(1, "SLOW");
    world.run_for(800);
    assert_eq!(world.suspicions(), 1);
    world.finish_slow();
    world.run_for(300);
    world.servers.get_mut("b:2").unwrap().is_down = false;
    world.run_for(700);
    assert_eq!((world.adoptions(), world.connections("a:1")), (1, 0));
}

#[test]
fn who_becomes_suspect_while_a_hint_is_looked_into_is_probed_at_once() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    world.servers.get_mut("a:1").unwrap().role = "slave";
    world.push("a:1", FAILED_OVER);
    world.run_for(900);
    world.send(1, "SLOW");
    world.run_for(700);
    let suspected = |(at, _, kind): &(u64, _, EventKind)| {
        matches!(kind, EventKind::Suspected { .. }).then_some(*at)
    };
    let at = world.events.iter().find_map(suspected).unwrap();
    assert!(world.dials.iter().any(|(dialed, _)| *dialed == at), "{at} {:?}", world.dials);
}

#[test]
fn a_server_that_closes_while_it_is_left_is_asked_how_far_it_came() {
    let mut world = World::new(&[("a:1", primary("a")), ("b:2", primary("a"))]);
    world.send(1, "SLOW");
    world.push("a:1", MOVING_TO_B);
    world.run_for(300);
    world.cut("a:1");
    world.run_for(100);
    assert_eq!(world.server_of("MULTI"), Some("b:2"));
    assert_eq!(world.adoptions(), 1);
    assert!(world.answers[&1].is_err());
}

#[test]
fn announced_silence_is_not_suspicious_at_once() {
    for (begin, over) in [(MIGRATING, MIGRATED), (FAILING_OVER, FAILED_OVER)] {
        let mut world = World::new(&[("a:1", primary("a"))]);
        world.push("a:1", begin);
        world.send(1, "SLOW");
        world.run_for(1900);
        assert_eq!((world.suspicions(), world.dials.len()), (0, 0));
        world.run_for(300);
        assert_eq!(world.suspicions(), 1);
        world.finish_slow();
        world.run_for(300);
        world.push("a:1", over);
        world.run_for(300);
        world.events.clear();
        world.send(2, "SLOW");
        world.run_for(700);
        assert_eq!(world.suspicions(), 1);
    }
}

#[test]
fn announced_silence_condemns_later_and_not_never() {
    let mut world = World::with(&[("a:1", primary("a"))], |config| Config {
        request_timeout: Duration::from_secs(60),
        ..config
    });
    world.push("a:1", ">4\r\n+MIGRATING\r\n:2\r\n:3600\r\n*1\r\n+1\r\n");
    world.send(1, "SLOW");
    world.servers.get_mut("a:1").unwrap().is_down = true;
    world.run_for(29_000);
    assert_eq!(world.count(|kind| matches!(kind, EventKind::Condemned { .. })), 0);
    world.run_for(2000);
    assert_eq!(world.count(|kind| matches!(kind, EventKind::Condemned { .. })), 1);
}

#[test]
fn requests_with_the_usual_deadline_wait_longer_and_those_with_their_own_do_not() {
    let mut world = World::with(&[("a:1", primary("a"))], |config| Config {
        request_timeout: Duration::from_secs(1),
        ..config
    });
    world.send(1, "SLOW");
    world.send_with(2, "OWN", Some(Duration::from_millis(1500)));
    world.run_for(100);
    world.push("a:1", FAILING_OVER);
    world.send(3, "NEW");
    world.run_for(2000);
    assert_eq!(world.answers.keys().copied().collect::<Vec<_>>(), [2]);
    world.finish_slow();
    assert!(world.is_answered(1) && world.is_answered(3));
}

#[test]
fn what_has_happened_is_looked_at_once_and_quietly() {
    for over in [MIGRATED, FAILED_OVER] {
        let mut world = World::new(&[("a:1", primary("a"))]);
        world.push("a:1", over);
        world.run_for(30_000);
        assert_eq!((world.dials.len(), world.connections("a:1")), (1, 1));
        let others = world
            .count(|kind| !matches!(kind, EventKind::Probe { .. } | EventKind::Maintenance(_)));
        assert_eq!(others, 0, "{:?}", world.events);
    }
}

#[test]
fn a_failover_behind_the_endpoint_is_followed_before_any_command_is_refused() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    world.servers.insert("a:1".into(), promoted());
    world.push("a:1", FAILED_OVER);
    world.run_for(300);
    assert_eq!((world.adoptions(), world.connections("a:1"), world.suspicions()), (1, 1, 0));
}

#[test]
fn a_failover_whose_end_is_announced_too_early_is_awaited() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    world.servers.get_mut("a:1").unwrap().role = "slave";
    world.push("a:1", FAILED_OVER);
    world.run_for(3000);
    assert_eq!((world.adoptions(), world.connections("a:1")), (0, 1));
    world.servers.insert("a:1".into(), promoted());
    world.run_for(600);
    assert_eq!(world.adoptions(), 1);
}

#[test]
fn the_same_announcement_is_told_once() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    world.push("a:1", &MIGRATING.repeat(3));
    world.push("a:1", MIGRATING);
    assert_eq!(world.announced().len(), 1);
}

#[test]
fn slots_are_told_to_whoever_watches_and_nothing_is_dialed() {
    let mut world = World::new(&[("a:1", primary("a"))]);
    world.push("a:1", ">3\r\n+SMIGRATING\r\n:1\r\n+1,5-7\r\n");
    world.push("a:1", ">3\r\n+SMIGRATED\r\n:2\r\n*1\r\n*3\r\n+a:1\r\n+b:2\r\n+1,5-7\r\n");
    world.run_for(20_000);
    assert_eq!((world.announced().len(), world.dials.len()), (2, 0));
}
