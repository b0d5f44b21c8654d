//! The table of the client's TCP flows: where each is pinned, how far it has got, and what either
//! end expects next (a reset is believed only with that sequence number, RFC 5961).
//!
//! It records; what is dropped or held is decided in `switch`.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::packet::{Flags, Segment, Socket};
use crate::{FlowInfo, FlowState, HostId, Traffic};

/// Past this many flows the oldest ended ones are forgotten: a connection storm must not fill memory.
const REMEMBERED: usize = 65_536;

/// What makes a flow one: the client has one address, so its port and what it dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client_port: u16,
    pub(super) dialed: Socket,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) info: FlowInfo,
    pub(super) key: Key,
    /// Accepted by TCP, and nothing that the client says arrives.
    pub(super) half_dead: bool,
    initial_sequence: u32,
    host_expects: u32,
    /// From the SYN-ACK on.
    client_expects: Option<u32>,
    client_finished: bool,
    host_finished: bool,
}

/// Which way a segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToHost,
    ToClient,
}

impl Flow {
    /// Whether this SYN is the one that opened the flow, sent again.
    pub(super) fn is_same_dial(&self, segment: &Segment) -> bool {
        !self.info.state.is_ended() && self.initial_sequence == segment.sequence
    }

    /// What the receiving end of this way expects next, as far as is known.
    pub(super) fn expected(&self, way: Way) -> Option<u32> {
        match way {
            Way::ToHost => Some(self.host_expects),
            Way::ToClient => self.client_expects,
        }
    }

    fn traffic(&mut self, way: Way) -> &mut Traffic {
        match way {
            Way::ToHost => &mut self.info.to_host,
            Way::ToClient => &mut self.info.to_client,
        }
    }

    /// A segment entered the wire, whatever becomes of it.
    pub(super) fn on_entered(&mut self, now: Instant, way: Way, segment: &Segment) {
        if segment.payload > 0 {
            self.traffic(way).last_payload_at = Some(now);
        }
        // Its acknowledgement tells what its sender has, also where a fault then drops it.
        if segment.flags.has(Flags::ACK) && !segment.flags.has(Flags::RST) {
            let acknowledged = segment.acknowledged;
            match way {
                Way::ToHost => raise(self.client_expects.get_or_insert(acknowledged), acknowledged),
                Way::ToClient => raise(&mut self.host_expects, acknowledged),
            }
        }
    }

    /// A fault took a packet of this flow.
    pub(super) fn on_dropped(&mut self, way: Way) {
        self.traffic(way).dropped_packets += 1;
    }

    /// A segment was sent on and will arrive.
    pub(super) fn on_sent(&mut self, now: Instant, way: Way, segment: &Segment) {
        let traffic = self.traffic(way);
        traffic.packets += 1;
        traffic.payload_bytes += u64::from(segment.payload);
        let expected = match way {
            Way::ToHost => &mut self.host_expects,
            Way::ToClient => self.client_expects.get_or_insert(segment.sequence),
        };
        if !is_after(segment.sequence, *expected) {
            raise(expected, segment.end());
        }
        self.on_flags(now, way, segment.flags);
    }

    fn on_flags(&mut self, now: Instant, way: Way, flags: Flags) {
        if flags.has(Flags::RST) {
            return self.end(now, FlowState::Closed);
        }
        if way == Way::ToClient && flags.has(Flags::SYN) && self.info.state == FlowState::Dialing {
            self.info.state = FlowState::Established;
            self.info.established_at = Some(now);
        }
        if flags.has(Flags::FIN) {
            match way {
                Way::ToHost => self.client_finished = true,
                Way::ToClient => self.host_finished = true,
            }
            if self.client_finished && self.host_finished {
                self.end(now, FlowState::Closed);
            } else if !self.info.state.is_ended() {
                self.info.state = FlowState::Closing;
            }
        }
    }

    pub(super) fn end(&mut self, now: Instant, state: FlowState) {
        if !self.info.state.is_ended() {
            self.info.state = state;
            self.info.ended_at = Some(now);
        }
    }
}

/// Whether `a` comes after `b` in TCP's circular order.
fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

fn raise(value: &mut u32, to: u32) {
    if is_after(to, *value) {
        *value = to;
    }
}

#[derive(Debug, Default)]
pub(super) struct FlowTable {
    /// By id, so oldest first.
    flows: BTreeMap<u64, Flow>,
    /// The newest flow of each key, by id.
    current: HashMap<Key, u64>,
    next_id: u64,
}

impl FlowTable {
    /// Records a new flow, pinned to the host. It takes the place of an older one with the same key.
    pub(super) fn open(
        &mut self,
        now: Instant,
        key: Key,
        host: HostId,
        segment: &Segment,
        half_dead: bool,
    ) -> u64 {
        if let Some(replaced) = self.current(&key) {
            replaced.end(now, FlowState::Closed);
        }
        self.forget_one();
        let id = self.next_id;
        self.next_id += 1;
        self.current.insert(key, id);
        let flow = Flow {
            info: FlowInfo {
                id,
                client_port: key.client_port,
                host,
                state: FlowState::Dialing,
                opened_at: now,
                established_at: None,
                ended_at: None,
                to_host: Traffic::default(),
                to_client: Traffic::default(),
            },
            key,
            half_dead,
            initial_sequence: segment.sequence,
            host_expects: segment.sequence,
            client_expects: None,
            client_finished: false,
            host_finished: false,
        };
        self.flows.insert(id, flow);
        id
    }

    fn forget_one(&mut self) {
        if self.flows.len() < REMEMBERED {
            return;
        }
        let oldest = self.flows.values().find(|flow| flow.info.state.is_ended());
        let oldest = oldest.map(|flow| (flow.info.id, flow.key));
        if let Some((id, key)) = oldest {
            self.flows.remove(&id);
            if self.current.get(&key) == Some(&id) {
                self.current.remove(&key);
            }
        }
    }

    pub(super) fn get(&mut self, id: u64) -> Option<&mut Flow> {
        self.flows.get_mut(&id)
    }

    /// The newest flow with this key.
    pub(super) fn current(&mut self, key: &Key) -> Option<&mut Flow> {
        let id = *self.current.get(key)?;
        self.get(id)
    }

    /// All flows, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.values()
    }
}
