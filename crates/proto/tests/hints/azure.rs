//! Messages on `AzureRedisEvents`.

use redial_proto::{AzureEventKind, AzureEvents, Config, EventKind, Maintenance, Purpose, State};

use crate::world::{Server, World, primary};

const HOST: &str = "x.redis.cache.windows.net:6380";
const CHANNEL: &[u8] = b"AzureRedisEvents";

fn message(kind: &str) -> String {
    format!(
        "NotificationType|NodeMaintenance{kind}|StartTimeInUTC|2021-03-02T23:26:57|IsReplica|False|IPAddress||SSLPort|15001|NonSSLPort|13001"
    )
}

fn azure() -> World {
    World::new(&[(HOST, primary("a"))])
}

fn subscriptions(world: &World) -> usize {
    world.commands.iter().filter(|(_, words)| words[0] == "SUBSCRIBE").count()
}

#[test]
fn only_hosts_of_azure_are_listened_to_unless_the_program_says_so() {
    let other = |azure_events| move |config| Config { azure_events, ..config };
    let listens = |host, azure_events| {
        let world = World::with(&[(host, primary("a"))], other(azure_events));
        (subscriptions(&world), world.connections(host))
    };
    assert_eq!(listens(HOST, AzureEvents::Auto), (1, 2));
    assert_eq!(listens("a:1", AzureEvents::Auto), (0, 1));
    assert_eq!(listens("a:1", AzureEvents::On), (1, 2));
    assert_eq!(listens(HOST, AzureEvents::Off), (0, 1));
}

#[test]
fn a_failover_that_is_complete_is_followed_at_once() {
    let mut world = azure();
    let promoted = Server { replid2: "history", replid: "new", ..primary("b") };
    world.servers.insert(HOST.into(), promoted);
    world.publish(HOST, &message("FailoverComplete"));
    world.run_for(400);
    let moved = |purpose| {
        let adopted = |kind: &EventKind| matches!(kind, EventKind::Adopted { .. });
        world.events.iter().filter(|(_, its, kind)| *its == purpose && adopted(kind)).count()
    };
    assert_eq!((moved(Purpose::Shared), moved(Purpose::Subscriber)), (1, 1));
    let Maintenance::Azure(event) = world.announced()[0] else { unreachable!() };
    assert_eq!(event.kind, AzureEventKind::FailoverComplete);
    // The program subscribes to nothing: there is no gap for it.
    assert_eq!(world.count(|kind| *kind == EventKind::Gap), 0);
}

#[test]
fn what_will_happen_is_told_and_what_is_about_to_happen_is_looked_at_two_seconds_later() {
    let mut world = azure();
    world.publish(HOST, &message("Scheduled"));
    world.publish(HOST, &message("Starting"));
    world.run_for(20_000);
    assert_eq!((world.announced().len(), world.dials.len()), (2, 0));
    world.publish(HOST, &message("Start"));
    world.run_for(1900);
    assert_eq!(world.dials.len(), 0);
    world.run_for(400);
    assert_eq!(world.dials.len(), 1);
    for (kind, dials) in [("Ended", 2), ("ScaleComplete", 3)] {
        world.publish(HOST, &message(kind));
        world.run_for(300);
        assert_eq!(world.dials.len(), dials, "{kind}");
    }
    assert_eq!((world.adoptions(), world.suspicions()), (0, 0));
}

#[test]
fn rubbish_on_the_channel_is_named_and_nothing_follows() {
    let mut world = azure();
    for rubbish in ["", "NotificationType|NodeOnFire", "|||||"] {
        world.publish(HOST, rubbish);
    }
    world.run_for(20_000);
    assert_eq!(world.count(|kind| matches!(kind, EventKind::HintIgnored { .. })), 3);
    assert_eq!(world.dials.len(), 0);
}

#[test]
fn a_user_who_may_not_listen_has_no_trouble_and_no_second_connection() {
    let world = World::new(&[(HOST, Server { may_subscribe: false, ..primary("a") })]);
    assert_eq!((subscriptions(&world), world.connections(HOST)), (1, 1));
    let ended = world.events.iter().filter(|(_, purpose, kind)| {
        *purpose == Purpose::Shared && *kind == EventKind::State(State::End)
    });
    assert_eq!(ended.count(), 0);
}

#[test]
fn a_program_may_listen_to_the_same_channel_and_stop_without_our_going_deaf() {
    let mut world = azure();
    world.subscribe(CHANNEL, true);
    // Asked again, so that the program hears of a confirmation of its own.
    assert_eq!((subscriptions(&world), world.confirmed), (2, 1));
    world.subscribe(CHANNEL, false);
    assert!(!world.commands.iter().any(|(_, words)| words[0] == "UNSUBSCRIBE"));
    world.publish(HOST, &message("Ended"));
    assert_eq!((world.announced().len(), world.pushes), (1, 1));
}

#[test]
fn after_a_reconnection_the_channel_is_listened_to_again() {
    let mut world = azure();
    // Long enough for its loss to be no failed dial.
    world.run_for(200);
    world.cut(HOST);
    world.run_for(300);
    assert_eq!(subscriptions(&world), 2);
    world.publish(HOST, &message("Ended"));
    assert_eq!(world.announced().len(), 1);
}

#[test]
fn a_program_that_subscribes_after_a_refusal_gets_a_connection() {
    let mut world = World::new(&[(HOST, Server { may_subscribe: false, ..primary("a") })]);
    world.servers.get_mut(HOST).unwrap().may_subscribe = true;
    world.subscribe(b"mine", true);
    assert_eq!((subscriptions(&world), world.connections(HOST)), (2, 2));
    assert_eq!(world.confirmed, 1);
}
