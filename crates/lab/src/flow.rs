//! What the wire saw: one record a TCP flow of the client, and totals.

use std::time::{Duration, Instant};

use crate::HostId;

/// How far a flow has got, as the packets that crossed the wire tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowState {
    /// The client's SYN was sent on to the host; the host has not answered.
    Dialing,
    /// The host's SYN-ACK was sent on to the client.
    Established,
    /// One side or both sent FIN.
    Closing,
    /// Either side sent RST, or both sent FIN, or the client's port was used again.
    Closed,
    /// The wire reset it ([`Lab::reset_flows`](crate::Lab::reset_flows)), or its host forgot it
    /// ([`Lab::reboot`](crate::Lab::reboot)): whatever an end still sends is answered by a RST.
    Reset,
}

impl FlowState {
    /// Whether the flow is over.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }
}

/// What was sent one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets sent on, retransmissions included.
    pub packets: u64,
    /// Payload bytes in them.
    pub payload_bytes: u64,
    /// Packets that a fault dropped.
    pub dropped_packets: u64,
    /// When the last packet with payload entered the wire, whether dropped or not.
    pub last_payload_at: Option<Instant>,
}

/// One TCP flow that the client opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowInfo {
    /// Counts the flows of a lab from 0, in the order of their first SYN.
    pub id: u64,
    /// The client's port: the one in the servers' `CLIENT LIST`, `addr`.
    pub client_port: u16,
    /// The host that the flow is pinned to.
    pub host: HostId,
    /// How far it has got.
    pub state: FlowState,
    /// When its first SYN entered the wire.
    pub opened_at: Instant,
    /// When its SYN-ACK was sent on.
    pub established_at: Option<Instant>,
    /// When it ended ([`FlowState::is_ended`]).
    pub ended_at: Option<Instant>,
    /// Client to host.
    pub to_host: Traffic,
    /// Host to client.
    pub to_client: Traffic,
}

/// Totals of the wire since the lab started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WireStats {
    /// Packets delivered, replication included.
    pub delivered_packets: u64,
    /// Bytes of them, IP headers included.
    pub delivered_bytes: u64,
    /// Packets that faults dropped.
    pub dropped_packets: u64,
    /// Packets that the receiving kernel would not take. Not a fault that was asked for: if it is not
    /// 0, the wire lost something.
    pub refused_packets: u64,
    /// SYNs of the client that vanished: no target, or blackholed.
    pub vanished_syns: u64,
    /// Packets on the wire or held now.
    pub in_transit: usize,
    /// The latest that a packet was delivered after its due time.
    pub worst_lateness: Duration,
}
