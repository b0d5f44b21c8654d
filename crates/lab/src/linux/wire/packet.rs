//! IPv4, TCP and UDP headers: read from packets of our own kernels, and written for resets and
//! answers of the name server.

use std::net::Ipv4Addr;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// The flags of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u8);

impl Flags {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const SYN: u8 = 0x02;
    pub(super) const RST: u8 = 0x04;
    pub(super) const ACK: u8 = 0x10;

    pub(super) fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// What the wire needs to know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
    pub(super) content: Content<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Tcp(Segment),
    Udp { from_port: u16, to_port: u16, payload: &'a [u8] },
    Other,
}

/// A TCP header, and the size of what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) from_port: u16,
    pub(super) to_port: u16,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: Flags,
    pub(super) payload: u32,
}

impl Segment {
    /// The sequence number behind this segment: SYN and FIN count one each.
    pub(super) fn end(&self) -> u32 {
        let signs = u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN));
        self.sequence.wrapping_add(self.payload).wrapping_add(signs)
    }

    /// Opens a flow: SYN without ACK.
    pub(super) fn is_dial(&self) -> bool {
        self.flags.has(Flags::SYN) && !self.flags.has(Flags::ACK)
    }
}

impl<'a> Packet<'a> {
    /// Reads an IPv4 packet; `None` for anything else (IPv6's router solicitations, say) and for one
    /// that is shorter than it claims.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let header = usize::from(first & 0x0f) * 4;
        if first >> 4 != 4 || header < 20 {
            return None;
        }
        let body = bytes.get(header..usize::from(u16_at(bytes, 2)?))?;
        let from = Ipv4Addr::from(u32_at(bytes, 12)?);
        let to = Ipv4Addr::from(u32_at(bytes, 16)?);
        let content = match *bytes.get(9)? {
            TCP => Content::Tcp(parse_tcp(body)?),
            UDP => Content::Udp {
                from_port: u16_at(body, 0)?,
                to_port: u16_at(body, 2)?,
                payload: body.get(8..)?,
            },
            _ => Content::Other,
        };
        Some(Self { from, to, content })
    }
}

fn parse_tcp(body: &[u8]) -> Option<Segment> {
    let header = usize::from(*body.get(12)? >> 4) * 4;
    Some(Segment {
        from_port: u16_at(body, 0)?,
        to_port: u16_at(body, 2)?,
        sequence: u32_at(body, 4)?,
        acknowledged: u32_at(body, 8)?,
        flags: Flags(*body.get(13)?),
        payload: u32::try_from(body.len().checked_sub(header)?).ok()?,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// One end of a connection.
pub(super) type Socket = (Ipv4Addr, u16);

/// A bare RST that the receiving kernel takes for the peer's, if `sequence` is what it expects next.
pub(super) fn reset(from: Socket, to: Socket, sequence: u32) -> Vec<u8> {
    const WORDS: u8 = 5;
    let mut tcp = Vec::with_capacity(20);
    tcp.extend_from_slice(&from.1.to_be_bytes());
    tcp.extend_from_slice(&to.1.to_be_bytes());
    tcp.extend_from_slice(&sequence.to_be_bytes());
    tcp.extend_from_slice(&[0, 0, 0, 0, WORDS << 4, Flags::RST, 0, 0, 0, 0, 0, 0]);
    let mut pseudo = Vec::with_capacity(32);
    pseudo.extend_from_slice(&from.0.octets());
    pseudo.extend_from_slice(&to.0.octets());
    pseudo.extend_from_slice(&[0, TCP, 0, 20]);
    pseudo.extend_from_slice(&tcp);
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    ipv4(from.0, to.0, TCP, &tcp)
}

/// A UDP packet.
pub(super) fn datagram(from: Socket, to: Socket, payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::with_capacity(8 + payload.len());
    udp.extend_from_slice(&from.1.to_be_bytes());
    udp.extend_from_slice(&to.1.to_be_bytes());
    udp.extend_from_slice(&length(8 + payload.len()).to_be_bytes());
    udp.extend_from_slice(&[0, 0]); // no checksum: IPv4 leaves UDP the choice
    udp.extend_from_slice(payload);
    ipv4(from.0, to.0, UDP, &udp)
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(20 + body.len());
    packet.extend_from_slice(&[0x45, 0]);
    packet.extend_from_slice(&length(20 + body.len()).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]); // may not be fragmented, TTL 64
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(body);
    packet
}

/// What is written here is far below 64 KiB.
fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// The Internet checksum (RFC 1071); over bytes that hold their own it is 0.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Socket = (Ipv4Addr::new(10, 77, 0, 100), 6379);
    const TO: Socket = (Ipv4Addr::new(10, 77, 0, 50), 40_001);

    #[test]
    fn a_reset_is_read_back_as_written_and_its_checksums_hold() {
        let bytes = reset(FROM, TO, 0x8000_0001);
        assert_eq!(checksum(&bytes[..20]), 0);
        let pseudo = [&bytes[12..20], &[0, TCP, 0, 20], &bytes[20..]].concat();
        assert_eq!(checksum(&pseudo), 0);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.from, packet.to), (FROM.0, TO.0));
        let Content::Tcp(segment) = packet.content else { panic!("{packet:?}") };
        assert_eq!(segment.flags, Flags(Flags::RST));
        assert_eq!((segment.sequence, segment.end()), (0x8000_0001, 0x8000_0001));
    }

    #[test]
    fn a_datagram_is_read_back_as_written() {
        let bytes = datagram(FROM, TO, b"odd");
        let packet = Packet::parse(&bytes).unwrap();
        let expected = Content::Udp { from_port: 6379, to_port: 40_001, payload: b"odd" };
        assert_eq!(packet.content, expected);
    }

    #[test]
    fn a_packet_cut_anywhere_is_no_packet() {
        for whole in [reset(FROM, TO, 1), datagram(FROM, TO, b"x")] {
            for cut in 0..whole.len() {
                assert_eq!(Packet::parse(&whole[..cut]), None, "cut at {cut}");
            }
        }
    }
}
