//! The slots of a cluster: which one a key has, and which host has which when the lab starts.
//!
//! The lab's own, so that what it judges is not judged by its own code.

use std::ops::RangeInclusive;

use crate::HostId;

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;
/// How many of a cluster's hosts are primaries when the lab starts.
const PRIMARIES: u16 = 3;

/// The slot of a key: CRC16 (XMODEM) of what stands between its first `{` and the next `}`, or of all
/// where there is nothing between them.
#[must_use]
pub fn slot_of(key: &str) -> u16 {
    let tagged = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = tagged.map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(key);
    let shift = |crc: u16| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    let crc = hashed
        .bytes()
        .fold(0_u16, |crc, byte| (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| shift(crc)));
    crc % SLOTS
}

/// The slots that the host has when the lab starts; none if it is not one of the three primaries.
#[must_use]
pub fn first_slots(host: HostId) -> Option<RangeInclusive<u16>> {
    let index = u16::try_from(host.index()).ok().filter(|index| *index < PRIMARIES)?;
    let share = SLOTS / PRIMARIES;
    let last = if index + 1 == PRIMARIES { SLOTS - 1 } else { (index + 1) * share - 1 };
    Some(index * share..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_slots_that_servers_give_them() {
        // By CLUSTER KEYSLOT of redis-server 7.0.
        for (key, slot) in [("foo", 12_182), ("{foo}bar", 12_182), ("123456789", 12_739), ("", 0)] {
            assert_eq!(slot_of(key), slot, "{key}");
        }
        assert_eq!(slot_of("a{}b{c}"), slot_of("a{}b{c}"));
        assert_ne!(slot_of("{}b{c}"), slot_of("c"), "an empty tag is none");
    }

    #[test]
    fn three_primaries_share_all_slots() {
        let of = |index| HostId::range(index, 1).first().copied().and_then(first_slots);
        assert_eq!(of(0), Some(0..=5460));
        assert_eq!(of(1), Some(5461..=10_921));
        assert_eq!(of(2), Some(10_922..=16_383));
        assert_eq!(of(3), None);
    }
}
