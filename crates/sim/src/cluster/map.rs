//! The slots as far as a run tells them apart: those of its callers' tags, each by itself, and the ranges between. Whose they are is each node's own belief.

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// Hash tags of callers' keys.
pub(crate) const TAGS: usize = 24;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Map {
    /// Where each piece begins; it ends where the next one does.
    begins: Vec<u16>,
}

/// The slot of a tag's keys.
fn slot_of(tag: usize) -> u16 {
    redial_proto::slot(tag.to_string().as_bytes())
}

/// The tag in a key, if it has one.
pub(crate) fn tag_in(key: &[u8]) -> Option<usize> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = key.get(open + 1..)?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    std::str::from_utf8(rest.get(..close)?).ok()?.parse().ok()
}

impl Map {
    /// Cut at every tag's slot, and so that so many shards have the same number of slots.
    pub(crate) fn new(shards: usize) -> Self {
        let thirds = (0..shards).map(|shard| (usize::from(SLOTS) * shard / shards) as u16);
        let tags = (0..TAGS).map(slot_of).flat_map(|slot| [slot, slot + 1]);
        let mut begins: Vec<u16> = thirds.chain(tags).filter(|slot| *slot < SLOTS).collect();
        begins.sort_unstable();
        begins.dedup();
        Self { begins }
    }

    pub(crate) fn pieces(&self) -> usize {
        self.begins.len()
    }

    /// First and last slot of a piece.
    pub(crate) fn range(&self, piece: usize) -> (u16, u16) {
        let end = self.begins.get(piece + 1).copied().unwrap_or(SLOTS);
        (self.begins[piece], end - 1)
    }

    pub(crate) fn piece_of(&self, tag: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= slot_of(tag)) - 1
    }

    /// The shard that has a piece where slots are handed out in runs.
    pub(crate) fn home(&self, piece: usize, shards: usize) -> usize {
        let first = usize::from(self.begins[piece]);
        (0..shards).rev().find(|shard| usize::from(SLOTS) * shard / shards <= first).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_has_a_piece_of_its_own_and_every_shard_some_tags() {
        let map = Map::new(3);
        let mut of_shard = [0; 3];
        for tag in 0..TAGS {
            let piece = map.piece_of(tag);
            assert_eq!(map.range(piece), (slot_of(tag), slot_of(tag)));
            of_shard[map.home(piece, 3)] += 1;
        }
        assert!(of_shard.iter().all(|tags| *tags >= 4), "{of_shard:?}");
        assert_eq!(map.range(0).0, 0);
        assert_eq!(map.range(map.pieces() - 1).1, SLOTS - 1);
        assert_eq!((tag_in(b"17{5}"), tag_in(b"17"), tag_in(b"a{x}")), (Some(5), None, None));
    }
}
