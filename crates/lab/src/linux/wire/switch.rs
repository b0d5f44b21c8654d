//! The decisions of the wire, without its I/O: a packet enters, and is routed, delayed, held or
//! dropped; it is given out when its time has come.
//!
//! Owns the faults. What a fault *means* for a client is not known here.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::flows::{Flow, FlowTable, Key, Way};
use super::packet::{self, Content, Flags, Packet, Segment, Socket};
use super::{CLIENT_IP, NAME_SERVER, dns};
use crate::options::{ENDPOINT_IP, ENDPOINT_NAME};
use crate::{FlowInfo, FlowState, HostId, WireStats};

const DNS_PORT: u16 = 53;

/// Who is connected to the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::linux) enum End {
    Client,
    Host(HostId),
}

/// A packet between its entry and its delivery.
#[derive(Debug)]
pub(super) struct InTransit {
    pub(super) due: Instant,
    pub(super) to: End,
    pub(super) bytes: Vec<u8>,
    path: Path,
}

/// Which traffic a packet belongs to, hence which faults concern it.
#[derive(Debug, Clone, Copy)]
enum Path {
    /// Between hosts (replication, Sentinels, the cluster's bus), names, and what the wire itself sends.
    Aside,
    /// Between the client and this host.
    Client(HostId, Option<(u64, Way)>),
}

/// What is wrong with the wire now.
#[derive(Debug, Default)]
pub(in crate::linux) struct Faults {
    pub(in crate::linux) powered_off: PerHost<bool>,
    pub(in crate::linux) replies_dropped: PerHost<bool>,
    pub(in crate::linux) half_dead_dials: u32,
    pub(in crate::linux) blackhole_until: Option<Instant>,
    /// Hosts that reach each other, and no other host.
    pub(in crate::linux) apart: PerHost<bool>,
    held: PerHost<bool>,
    partitioned: bool,
}

/// One thing for each host that a lab may have.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::linux) struct PerHost<T>([T; HostId::MOST]);

impl<T> std::ops::Index<HostId> for PerHost<T> {
    type Output = T;
    fn index(&self, host: HostId) -> &T {
        &self.0[host.index()]
    }
}

impl<T> std::ops::IndexMut<HostId> for PerHost<T> {
    fn index_mut(&mut self, host: HostId) -> &mut T {
        &mut self.0[host.index()]
    }
}

#[derive(Debug)]
pub(in crate::linux) struct Switch {
    pub(in crate::linux) faults: Faults,
    delay: Duration,
    /// Where new flows go; nowhere with `None`.
    target: Option<HostId>,
    /// Where the name leads; it goes on leading to the last host when there is no target.
    named: HostId,
    flows: FlowTable,
    /// On top of `delay`, from host to host.
    replication_delay: Duration,
    /// In the order of their due times: all are delayed alike.
    queue: VecDeque<InTransit>,
    /// The same, from host to host.
    between_hosts: VecDeque<InTransit>,
    held: VecDeque<InTransit>,
    /// Buffers of delivered packets, to be used again.
    spare: Vec<Vec<u8>>,
    stats: WireStats,
}

impl Switch {
    /// `delay` is one way.
    pub(in crate::linux) fn new(delay: Duration, target: HostId) -> Self {
        Self {
            faults: Faults::default(),
            delay,
            replication_delay: Duration::ZERO,
            target: Some(target),
            named: target,
            flows: FlowTable::default(),
            queue: VecDeque::new(),
            between_hosts: VecDeque::new(),
            held: VecDeque::new(),
            spare: Vec::new(),
            stats: WireStats::default(),
        }
    }

    // --- packets --------------------------------------------------------------------------------

    /// Takes a packet that one end sends.
    pub(super) fn handle_packet(&mut self, now: Instant, from: End, bytes: &[u8]) {
        let Some(packet) = Packet::parse(bytes) else { return };
        match from {
            End::Client if packet.to == NAME_SERVER => self.on_name_query(now, &packet),
            End::Client => self.on_client_packet(now, &packet, bytes),
            End::Host(host) if packet.to == CLIENT_IP => {
                self.on_host_packet(now, host, &packet, bytes);
            }
            End::Host(host) => {
                let Some(to) = HostId::at(packet.to) else { return };
                let faults = &self.faults;
                if faults.powered_off[host] || faults.apart[host] != faults.apart[to] {
                    self.stats.dropped_packets += 1;
                } else {
                    let due = now + self.delay + self.replication_delay;
                    let packet = self.packet(due, End::Host(to), bytes, Path::Aside);
                    self.between_hosts.push_back(packet);
                }
            }
        }
    }

    /// The next packet whose time has come.
    pub(super) fn poll_delivery(&mut self, now: Instant) -> Option<InTransit> {
        while let Some(packet) = self.next_due(now) {
            if matches!(packet.to, End::Host(host) if self.faults.powered_off[host]) {
                self.count_dropped(&packet);
                self.recycle(packet.bytes);
                continue;
            }
            self.stats.worst_lateness = self.stats.worst_lateness.max(now - packet.due);
            return Some(packet);
        }
        None
    }

    fn next_due(&mut self, now: Instant) -> Option<InTransit> {
        let due = |packet: &InTransit| packet.due <= now;
        let queues = [&mut self.queue, &mut self.between_hosts];
        let first = queues.into_iter().filter(|queue| queue.front().is_some_and(due));
        first.min_by_key(|queue| queue.front().map(|packet| packet.due))?.pop_front()
    }

    /// When the next packet is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let fronts = [self.queue.front(), self.between_hosts.front()];
        fronts.into_iter().flatten().map(|packet| packet.due).min()
    }

    /// The receiving kernel took the packet, or would not.
    pub(super) fn on_delivered(&mut self, bytes: Vec<u8>, taken: bool) {
        if taken {
            self.stats.delivered_packets += 1;
            self.stats.delivered_bytes += bytes.len() as u64;
        } else {
            self.stats.refused_packets += 1;
        }
        self.recycle(bytes);
    }

    fn on_name_query(&mut self, now: Instant, packet: &Packet<'_>) {
        let Content::Udp { from_port, to_port: DNS_PORT, payload } = packet.content else { return };
        if let Some(answer) = dns::answer(payload, ENDPOINT_NAME, self.named.ip()) {
            let reply = packet::datagram((NAME_SERVER, DNS_PORT), (CLIENT_IP, from_port), &answer);
            // The name server is as far away as a host: the question's way, and the answer's.
            self.send(now + self.delay, End::Client, &reply, Path::Aside);
        }
    }

    fn on_client_packet(&mut self, now: Instant, packet: &Packet<'_>, bytes: &[u8]) {
        if self.faults.partitioned {
            self.stats.dropped_packets += 1;
            return;
        }
        let Content::Tcp(segment) = packet.content else {
            if let Some(host) = self.host_at(packet.to) {
                self.send(now, End::Host(host), bytes, Path::Client(host, None));
            }
            return;
        };
        let dialed = (packet.to, segment.to_port);
        let key = Key { client_port: segment.from_port, dialed };
        if segment.is_dial()
            && !self.flows.current(&key).is_some_and(|flow| flow.is_same_dial(&segment))
            && !self.open_flow(now, key, &segment)
        {
            return;
        }
        let Some(flow) = self.flows.current(&key) else {
            // No record of it, as of a flow from before the lab: the host's kernel will refuse it.
            if let Some(host) = self.host_at(packet.to) {
                self.send(now, End::Host(host), bytes, Path::Client(host, None));
            }
            return;
        };
        flow.on_entered(now, Way::ToHost, &segment);
        if flow.info.state == FlowState::Reset {
            let client = (CLIENT_IP, segment.from_port);
            return self.reset_again(now, End::Client, &segment, dialed, client);
        }
        let id = flow.info.id;
        if flow.half_dead && segment.payload > 0 {
            flow.on_dropped(Way::ToHost);
            self.stats.dropped_packets += 1;
            return;
        }
        flow.on_sent(now, Way::ToHost, &segment);
        let host = flow.info.host;
        let path = Path::Client(host, Some((id, Way::ToHost)));
        self.send(now, End::Host(host), bytes, path);
    }

    /// Opens and pins a flow, unless its SYN is to vanish.
    fn open_flow(&mut self, now: Instant, key: Key, segment: &Segment) -> bool {
        let blackholed = self.faults.blackhole_until.is_some_and(|until| now < until);
        let host = self.host_at(key.dialed.0).filter(|_| !blackholed && self.target.is_some());
        let Some(host) = host else {
            self.stats.vanished_syns += 1;
            return false;
        };
        let half_dead = self.faults.half_dead_dials > 0;
        self.faults.half_dead_dials -= u32::from(half_dead);
        self.flows.open(now, key, host, segment, half_dead);
        true
    }

    fn on_host_packet(&mut self, now: Instant, host: HostId, packet: &Packet<'_>, bytes: &[u8]) {
        let mut dropped = self.faults.powered_off[host] || self.faults.partitioned;
        let mut in_flow = None;
        if let Content::Tcp(segment) = packet.content {
            dropped |= self.faults.replies_dropped[host] && !segment.flags.has(Flags::SYN);
            let socket = (packet.from, segment.from_port);
            let key = Key { client_port: segment.to_port, dialed: socket };
            if let Some(flow) = self.flows.current(&key).filter(|flow| flow.info.host == host) {
                in_flow = Some((flow.info.id, Way::ToClient));
                flow.on_entered(now, Way::ToClient, &segment);
                if flow.info.state == FlowState::Reset && !self.faults.powered_off[host] {
                    let client = (CLIENT_IP, segment.to_port);
                    return self.reset_again(now, End::Host(host), &segment, client, socket);
                }
                if dropped {
                    flow.on_dropped(Way::ToClient);
                } else {
                    flow.on_sent(now, Way::ToClient, &segment);
                }
            }
        }
        if dropped {
            self.stats.dropped_packets += 1;
        } else {
            self.send(now, End::Client, bytes, Path::Client(host, in_flow));
        }
    }

    fn host_at(&self, ip: Ipv4Addr) -> Option<HostId> {
        if ip == ENDPOINT_IP {
            return self.target;
        }
        HostId::at(ip)
    }

    fn send(&mut self, now: Instant, to: End, bytes: &[u8], path: Path) {
        let packet = self.packet(now + self.delay, to, bytes, path);
        if matches!(path, Path::Client(host, _) if self.faults.held[host]) {
            self.held.push_back(packet);
        } else {
            self.queue.push_back(packet);
        }
    }

    fn packet(&mut self, due: Instant, to: End, bytes: &[u8], path: Path) -> InTransit {
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.extend_from_slice(bytes);
        InTransit { due, to, bytes: copy, path }
    }

    /// Answers a segment of a flow that was reset as the kernel of a host that knows no such flow.
    fn reset_again(
        &mut self,
        now: Instant,
        to: End,
        segment: &Segment,
        from: Socket,
        back: Socket,
    ) {
        if segment.flags.has(Flags::ACK) && !segment.flags.has(Flags::RST) {
            let reset = packet::reset(from, back, segment.acknowledged);
            self.send(now, to, &reset, Path::Aside);
        }
    }

    fn recycle(&mut self, mut bytes: Vec<u8>) {
        const KEPT: usize = 1024;
        if self.spare.len() < KEPT {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    fn count_dropped(&mut self, packet: &InTransit) {
        self.stats.dropped_packets += 1;
        if let Path::Client(_, Some((id, way))) = packet.path
            && let Some(flow) = self.flows.get(id)
        {
            flow.on_dropped(way);
        }
    }

    // --- faults ---------------------------------------------------------------------------------

    pub(in crate::linux) fn point_endpoint(&mut self, to: Option<HostId>) {
        self.target = to;
        self.named = to.unwrap_or(self.named);
    }

    pub(in crate::linux) fn target(&self) -> Option<HostId> {
        self.target
    }

    /// From now on packets from host to host take so much longer, each way. What is on its way is not overtaken.
    pub(in crate::linux) fn delay_replication(&mut self, delay: Duration) {
        self.replication_delay = delay;
    }

    /// From now on these hosts reach each other and not the others.
    pub(in crate::linux) fn split(&mut self, apart: &[HostId]) {
        self.faults.apart = PerHost::default();
        for host in apart {
            self.faults.apart[*host] = true;
        }
    }

    /// Also drops what is on its way between the client and the hosts.
    pub(in crate::linux) fn partition(&mut self, on: bool) {
        self.faults.partitioned = on;
        if !on {
            return;
        }
        let is_cut = |packet: &InTransit| matches!(packet.path, Path::Client(..));
        let (cut, kept) = self.queue.drain(..).partition(is_cut);
        self.queue = kept;
        let cut: VecDeque<_> = cut;
        for packet in cut.into_iter().chain(std::mem::take(&mut self.held)) {
            self.count_dropped(&packet);
            self.recycle(packet.bytes);
        }
    }

    /// Turned off, what was held goes on its way.
    pub(in crate::linux) fn hold(&mut self, now: Instant, host: HostId, on: bool) {
        self.faults.held[host] = on;
        if !on {
            let is_free =
                |packet: &InTransit| matches!(packet.path, Path::Client(h, _) if h == host);
            let (free, held): (VecDeque<_>, VecDeque<_>) = self.held.drain(..).partition(is_free);
            self.held = held;
            let due = now + self.delay;
            self.queue.extend(free.into_iter().map(|packet| InTransit { due, ..packet }));
        }
    }

    /// Sends both ends of every flow of the host a RST. Returns the number of flows.
    pub(in crate::linux) fn reset_flows(&mut self, now: Instant, host: HostId) -> usize {
        let ids = self.live_flows(host);
        for id in &ids {
            let Some(flow) = self.flows.get(*id) else { continue };
            flow.end(now, FlowState::Reset);
            let (client, host_socket) = ((CLIENT_IP, flow.key.client_port), flow.key.dialed);
            let expected = (flow.expected(Way::ToHost), flow.expected(Way::ToClient));
            if let (Some(to_host), Some(to_client)) = expected {
                let to_host = packet::reset(client, host_socket, to_host);
                let to_client = packet::reset(host_socket, client, to_client);
                self.send(now, End::Host(host), &to_host, Path::Aside);
                self.send(now, End::Client, &to_client, Path::Aside);
            }
        }
        ids.len()
    }

    /// Every flow of the host is unknown from now on, and nobody is told: who sends gets a RST.
    pub(in crate::linux) fn forget_flows(&mut self, now: Instant, host: HostId) {
        for id in self.live_flows(host) {
            if let Some(flow) = self.flows.get(id) {
                flow.end(now, FlowState::Reset);
            }
        }
    }

    fn live_flows(&self, host: HostId) -> Vec<u64> {
        let is_live = |flow: &&Flow| {
            flow.info.host == host
                && matches!(flow.info.state, FlowState::Established | FlowState::Closing)
        };
        self.flows.iter().filter(is_live).map(|flow| flow.info.id).collect()
    }

    // --- what was seen --------------------------------------------------------------------------

    pub(in crate::linux) fn flows(&self) -> Vec<FlowInfo> {
        self.flows.iter().map(|flow| flow.info.clone()).collect()
    }

    pub(in crate::linux) fn stats(&self) -> WireStats {
        WireStats {
            in_transit: self.queue.len() + self.between_hosts.len() + self.held.len(),
            ..self.stats
        }
    }
}
