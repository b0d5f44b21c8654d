//! Which node has which slots: ranges, since clusters hand them out in runs, and a table of 16,384 numbers for each client would weigh more.

use crate::topology::NodeId;

/// The last slot: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model>.
const LAST: u16 = 16_383;

/// The table. Slots that nobody has are `None`.
#[derive(Debug)]
pub(super) struct Slots {
    /// Where each range begins; the first begins at 0, and the last ends with the last slot.
    ranges: Vec<(u16, Option<NodeId>)>,
    /// How often a slot has changed hands.
    version: u64,
}

impl Default for Slots {
    fn default() -> Self {
        Self { ranges: vec![(0, None)], version: 0 }
    }
}

impl Slots {
    /// The table of these ranges; of two that overlap the later one counts. Made at once: in a cluster that is much in pieces they are thousands.
    pub(super) fn of(ranges: impl Iterator<Item = (u16, u16, NodeId)>) -> Self {
        let mut plain = vec![None; usize::from(LAST) + 1];
        for (first, last, node) in ranges {
            if let Some(slots) = plain.get_mut(usize::from(first)..=usize::from(last)) {
                slots.fill(Some(node));
            }
        }
        let mut ranges: Vec<_> = (0..=LAST).zip(plain).collect();
        ranges.dedup_by_key(|(_, node)| *node);
        Self { ranges, version: 0 }
    }

    #[inline]
    pub(super) fn get(&self, slot: u16) -> Option<NodeId> {
        let at = self.ranges.partition_point(|(begin, _)| *begin <= slot);
        self.ranges.get(at.checked_sub(1)?).and_then(|(_, node)| *node)
    }

    /// Gives `first..=last` to a node.
    pub(super) fn set(&mut self, first: u16, last: u16, node: NodeId) {
        if last < first || (first == last && self.get(first) == Some(node)) {
            return;
        }
        self.version += 1;
        let after = (last < LAST).then(|| (last + 1, self.get(last + 1)));
        self.ranges.retain(|(begin, _)| *begin < first || *begin > last.saturating_add(1));
        let at = self.ranges.partition_point(|(begin, _)| *begin < first);
        self.ranges.insert(at, (first, Some(node)));
        if let Some(after) = after {
            self.ranges.insert(at + 1, after);
        }
        self.ranges.dedup_by_key(|(_, node)| *node);
    }

    /// Puts another table in its place.
    pub(super) fn replace(&mut self, other: Self) {
        if self.ranges != other.ranges {
            self.ranges = other.ranges;
            self.version += 1;
        }
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// True if a node has any.
    pub(super) fn has_any(&self, node: NodeId) -> bool {
        self.ranges.iter().any(|(_, its)| *its == Some(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_say_the_same_as_a_plain_table() {
        let mut plain = vec![None; 16_384];
        let mut slots = Slots::default();
        // Runs of many lengths over each other, single slots and both ends.
        let mut seed = 7_u32;
        for round in 0..400_u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let first = (seed >> 16) as u16 % 16_384;
            let len = if round % 3 == 0 { 1 } else { (seed as u16) % 3000 };
            let last = first.saturating_add(len).min(16_383);
            let node = NodeId(seed % 5);
            slots.set(first, last, node);
            plain[usize::from(first)..=usize::from(last)].fill(Some(node));
            for slot in [0, first.saturating_sub(1), first, last, (last + 1).min(16_383), 16_383] {
                assert_eq!(slots.get(slot), plain[usize::from(slot)], "slot {slot}");
            }
        }
        assert!((0..16_384).all(|slot| slots.get(slot) == plain[usize::from(slot)]));
        let known = (0..).zip(&plain).filter_map(|(slot, node)| Some((slot, slot, (*node)?)));
        assert_eq!(Slots::of(known).ranges, slots.ranges);
        assert!(
            slots.ranges.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1)
        );
    }
}
