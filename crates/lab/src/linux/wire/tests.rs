//! The switch without kernels: packets in, packets out, at times that the test names.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::CLIENT_IP;
use super::packet::{self, Content, Flags, Packet, Segment, Socket};
use super::switch::{End, Switch};
use crate::options::ENDPOINT_IP;
use crate::{FlowState, HostId};

const DELAY: Duration = Duration::from_millis(1);
const VIP: Socket = (ENDPOINT_IP, 6379);
const A: End = End::Host(HostId::A);
const B: End = End::Host(HostId::B);

/// A switch, and a clock that moves only when told.
struct World {
    switch: Switch,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { switch: Switch::new(DELAY, HostId::A), now: Instant::now() }
    }

    /// A segment from the client, from this port, to the endpoint.
    fn client(&mut self, port: u16, flags: u8, sequence: u32, acknowledged: u32, payload: &str) {
        let bytes = tcp((CLIENT_IP, port), VIP, flags, (sequence, acknowledged), payload);
        self.switch.handle_packet(self.now, End::Client, &bytes);
    }

    /// A segment from the host A, as the endpoint, to the client.
    fn host(&mut self, port: u16, flags: u8, sequence: u32, acknowledged: u32, payload: &str) {
        let bytes = tcp(VIP, (CLIENT_IP, port), flags, (sequence, acknowledged), payload);
        self.switch.handle_packet(self.now, A, &bytes);
    }

    /// What arrives where, up to one delay from now.
    fn arrivals(&mut self) -> Vec<(End, Segment)> {
        self.now += DELAY;
        let mut arrived = Vec::new();
        while let Some(packet) = self.switch.poll_delivery(self.now) {
            let Some(Packet { content: Content::Tcp(segment), .. }) = Packet::parse(&packet.bytes)
            else {
                panic!("not TCP: {packet:?}")
            };
            arrived.push((packet.to, segment));
            self.switch.on_delivered(packet.bytes, true);
        }
        arrived
    }

    fn ends(&mut self) -> Vec<End> {
        self.arrivals().into_iter().map(|(end, _)| end).collect()
    }

    /// Client at 101, host at 501 afterwards.
    fn establish(&mut self, port: u16) {
        self.client(port, Flags::SYN, 100, 0, "");
        self.host(port, Flags::SYN | Flags::ACK, 500, 101, "");
        self.client(port, Flags::ACK, 101, 501, "");
        assert_eq!(self.ends(), [A, End::Client, A]);
    }
}

/// A TCP packet: the switch does not look at checksums.
fn tcp(from: Socket, to: Socket, flags: u8, numbers: (u32, u32), payload: &str) -> Vec<u8> {
    let mut bytes = packet::reset(from, to, numbers.0);
    bytes[33] = flags;
    bytes[28..32].copy_from_slice(&numbers.1.to_be_bytes());
    bytes.extend_from_slice(payload.as_bytes());
    let length = u16::try_from(bytes.len()).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[test]
fn a_packet_arrives_after_the_delay_and_not_before() {
    let mut world = World::new();
    world.client(1, Flags::SYN, 100, 0, "");
    let early = world.now + DELAY - Duration::from_nanos(1);
    assert!(world.switch.poll_delivery(early).is_none());
    assert_eq!(world.switch.poll_timeout(), Some(world.now + DELAY));
    assert_eq!(world.ends(), [A]);
}

#[test]
fn a_syn_sent_again_belongs_to_the_host_of_the_first_and_a_new_one_does_not() {
    let mut world = World::new();
    world.switch.faults.powered_off[HostId::A] = true;
    world.client(1, Flags::SYN, 100, 0, "");
    world.switch.point_endpoint(Some(HostId::B));
    world.client(1, Flags::SYN, 100, 0, "");
    assert_eq!(world.ends(), []);
    world.client(1, Flags::SYN, 70_000, 0, ""); // the port used again
    world.client(2, Flags::SYN, 100, 0, "");
    assert_eq!(world.ends(), [B, B]);
    let hosts: Vec<_> = world.switch.flows().iter().map(|f| (f.host, f.state)).collect();
    let (a, b) = ((HostId::A, FlowState::Closed), (HostId::B, FlowState::Dialing));
    assert_eq!(hosts, [a, b, b]);
}

#[test]
fn what_had_left_a_host_before_its_power_failed_arrives_and_what_was_going_there_does_not() {
    let mut world = World::new();
    world.establish(1);
    world.host(1, Flags::ACK, 501, 101, "+OK\r\n");
    world.client(1, Flags::ACK, 101, 501, "PING\r\n");
    world.switch.faults.powered_off[HostId::A] = true;
    world.host(1, Flags::ACK, 506, 101, "late");
    assert_eq!(world.ends(), [End::Client]);
    let flow = world.switch.flows().remove(0);
    assert_eq!((flow.to_host.dropped_packets, flow.to_client.dropped_packets), (1, 1));
}

#[test]
fn a_partition_takes_what_is_on_its_way_too() {
    let mut world = World::new();
    world.establish(1);
    world.host(1, Flags::ACK, 501, 101, "+OK\r\n");
    world.client(1, Flags::ACK, 101, 501, "PING\r\n");
    let between_hosts = tcp((HostId::A.ip(), 6379), (HostId::B.ip(), 9), Flags::ACK, (1, 1), "");
    world.switch.handle_packet(world.now, A, &between_hosts);
    world.switch.partition(true);
    world.switch.partition(false);
    assert_eq!(world.ends(), [B]);
}

#[test]
fn a_reset_carries_what_each_end_expects_next_across_the_turn_of_the_sequence() {
    let mut world = World::new();
    let start = u32::MAX - 2;
    world.client(1, Flags::SYN, start, 0, "");
    world.host(1, Flags::SYN | Flags::ACK, start, start.wrapping_add(1), "");
    world.client(1, Flags::ACK, start.wrapping_add(1), start.wrapping_add(1), "12345");
    world.host(1, Flags::ACK, start.wrapping_add(1), 3, "1234567");
    world.arrivals();
    assert_eq!(world.switch.reset_flows(world.now, HostId::A), 1);
    let resets = world.arrivals();
    let numbers: Vec<_> = resets.iter().map(|(end, s)| (*end, s.flags, s.sequence)).collect();
    let reset = Flags(Flags::RST);
    assert_eq!(numbers, [(A, reset, 3), (End::Client, reset, 5)]);
}

#[test]
fn whoever_goes_on_sending_on_a_reset_flow_is_reset_with_the_number_that_it_acknowledges() {
    let mut world = World::new();
    world.establish(1);
    world.switch.reset_flows(world.now, HostId::A);
    world.arrivals();
    world.client(1, Flags::ACK, 101, 777, "more");
    world.host(1, Flags::ACK, 501, 888, "more");
    let numbers: Vec<_> = world.arrivals().iter().map(|(end, s)| (*end, s.sequence)).collect();
    assert_eq!(numbers, [(End::Client, 777), (A, 888)]);
}

#[test]
fn replies_that_a_fault_dropped_are_not_counted_as_heard() {
    let mut world = World::new();
    world.establish(1);
    world.switch.faults.replies_dropped[HostId::A] = true;
    world.host(1, Flags::ACK, 501, 101, "lost");
    world.host(1, Flags::FIN | Flags::ACK, 505, 101, "");
    assert_eq!(world.ends(), []);
    assert_eq!(world.switch.flows()[0].state, FlowState::Established);
    world.switch.reset_flows(world.now, HostId::A);
    assert_eq!(world.arrivals()[1].1.sequence, 501);
}

#[test]
fn held_packets_come_out_in_their_order_and_those_of_the_other_host_are_not_held() {
    let mut world = World::new();
    world.establish(1);
    world.switch.point_endpoint(Some(HostId::B));
    world.switch.hold(world.now, HostId::A, true);
    world.client(1, Flags::ACK, 101, 501, "first");
    world.client(1, Flags::ACK, 106, 501, "second");
    world.client(2, Flags::SYN, 9, 0, "");
    assert_eq!(world.ends(), [B]);
    world.switch.hold(world.now, HostId::A, false);
    let sequences: Vec<_> = world.arrivals().iter().map(|(_, s)| s.sequence).collect();
    assert_eq!(sequences, [101, 106]);
}

#[test]
fn a_half_dead_dial_passes_all_but_what_the_client_says() {
    let mut world = World::new();
    world.switch.faults.half_dead_dials = 1;
    world.establish(1);
    world.client(1, Flags::ACK, 101, 501, "HELLO\r\n");
    assert_eq!(world.ends(), []);
    world.establish(2);
    world.client(2, Flags::ACK, 101, 501, "HELLO\r\n");
    assert_eq!(world.ends(), [A]);
}

#[test]
fn a_storm_of_flows_is_forgotten_from_its_beginning_but_never_a_live_one() {
    let mut world = World::new();
    world.establish(65_535);
    for port in 0..65_535 {
        world.client(port, Flags::SYN, 1, 0, "");
        world.client(port, Flags::RST, 2, 0, "");
    }
    for port in 0..10 {
        world.client(port, Flags::SYN, 9, 0, "");
    }
    world.arrivals();
    let ids: Vec<u64> = world.switch.flows().iter().map(|flow| flow.id).collect();
    assert_eq!((ids.len(), ids[0], ids[1]), (65_536, 0, 11));
    world.client(65_535, Flags::ACK, 101, 501, "still here");
    assert_eq!(world.ends(), [A]);
    assert_eq!(world.switch.flows()[0].to_host.payload_bytes, 10);
}

#[test]
fn packets_to_nowhere_are_dropped() {
    let mut world = World::new();
    let nowhere = (Ipv4Addr::new(10, 77, 9, 9), 6379);
    let bytes = tcp((CLIENT_IP, 1), nowhere, Flags::SYN, (1, 0), "");
    world.switch.handle_packet(world.now, End::Client, &bytes);
    world.switch.point_endpoint(None);
    world.client(1, Flags::SYN, 1, 0, "");
    world.switch.handle_packet(world.now, A, b"");
    world.switch.handle_packet(world.now, A, &[0x60; 40]);
    assert_eq!(world.ends(), []);
    assert_eq!(world.switch.stats().vanished_syns, 2);
}

#[test]
fn hosts_that_are_split_reach_their_own_side_and_the_client_both() {
    let mut world = World::new();
    let hosts: Vec<HostId> = HostId::range(0, 4);
    let between = |world: &mut World, from: HostId, to: HostId| {
        let bytes = tcp((from.ip(), 40_000), (to.ip(), 6379), Flags::SYN, (1, 0), "");
        world.switch.handle_packet(world.now, End::Host(from), &bytes);
        world.ends() == [End::Host(to)]
    };
    assert!(between(&mut world, hosts[0], hosts[3]));
    world.switch.split(&[hosts[0], hosts[2]]);
    assert!(between(&mut world, hosts[0], hosts[2]) && between(&mut world, hosts[3], hosts[1]));
    assert!(!between(&mut world, hosts[0], hosts[1]) && !between(&mut world, hosts[3], hosts[2]));
    world.establish(1000);
    world.switch.split(&[]);
    assert!(between(&mut world, hosts[0], hosts[1]));
}
