//! The shards: each is a node of the topology for as long as it lives, whoever leads it. A failover is a shard whose place changes, so that what waits for it
//! and what is in flight is treated as in any other failover; only slots that move make requests change nodes.

use super::slots::Slots;
use super::view::{Member, Owner};
use crate::config::Endpoint;
use crate::time::Time;
use crate::topology::NodeId;

/// A shard without slots is kept for this long after a request was sent on to it: it may be about to get some.
const KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(60);

/// One primary and its replicas.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) node: NodeId,
    pub(super) primary: Member,
    pub(super) replicas: Vec<Member>,
    /// When a request was last sent on to it.
    used: Time,
}

/// What a new view changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// These are elsewhere, or are new.
    pub(super) led: Vec<NodeId>,
    /// These take nothing any more.
    pub(super) gone: Vec<NodeId>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Shards {
    list: Vec<Shard>,
    pub(super) slots: Slots,
}

impl Shards {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.list.iter()
    }

    pub(super) fn with_slots(&self) -> impl Iterator<Item = NodeId> {
        self.list.iter().map(|shard| shard.node).filter(|node| self.slots.has_any(*node))
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Shard> {
        self.list.iter().find(|shard| shard.node == node)
    }

    /// Takes over what a node says of all; `is_troubled` says whether a shard's primary does not answer, `new_id` numbers what is new.
    pub(super) fn apply(
        &mut self,
        now: Time,
        owners: Vec<Owner>,
        is_troubled: impl Fn(NodeId) -> bool,
        mut new_id: impl FnMut() -> NodeId,
    ) -> Changes {
        let mut changes = Changes::default();
        let mut matched = Vec::with_capacity(owners.len());
        for owner in &owners {
            let node = self.continued_by(owner, &owners, &matched);
            matched.push(node.unwrap_or_else(&mut new_id));
        }
        let ranges = owners.iter().zip(&matched).flat_map(|(owner, node)| {
            owner.ranges.iter().map(|(first, last)| (*first, *last, *node))
        });
        let slots = Slots::of(ranges);
        for (owner, node) in owners.into_iter().zip(&matched) {
            self.put(*node, owner.primary, owner.replicas, &mut changes);
        }
        self.merge(now, &matched, is_troubled, &mut changes);
        self.slots.replace(slots);
        self.list.retain(|shard| {
            let is_kept = matched.contains(&shard.node)
                || shard.node == NodeId::default()
                || now.since(shard.used) < KEPT_FOR && shard.used > Time::default();
            if !is_kept {
                changes.gone.push(shard.node);
            }
            is_kept
        });
        self.rehome(&mut changes);
        changes
    }

    /// A shard whose primary follows another's now, and does not answer: what it holds is judged as after any failover, since the shard is where that other is. One that
    /// answers has nothing to be moved for, but is kept for a while if it has just lost its slots: it may still be found not to answer.
    fn merge(
        &mut self,
        now: Time,
        matched: &[NodeId],
        is_troubled: impl Fn(NodeId) -> bool,
        changes: &mut Changes,
    ) {
        let leaders: Vec<_> = self.list.iter().filter(|s| matched.contains(&s.node)).collect();
        let followed = |shard: &Shard| {
            let follows = |s: &&&Shard| s.replicas.iter().any(|r| is_same(r, &shard.primary));
            leaders.iter().find(follows).map(|leader| (shard.node, leader.primary.clone()))
        };
        let rest = self.list.iter().filter(|shard| !matched.contains(&shard.node));
        let merged: Vec<_> = rest.filter_map(followed).collect();
        for (node, primary) in merged {
            let is_troubled = is_troubled(node);
            if is_troubled {
                self.put(node, primary, Vec::new(), changes);
            }
            let had_slots = self.slots.has_any(node);
            let shard = self.list.iter_mut().find(|shard| shard.node == node);
            if let Some(shard) = shard.filter(|_| is_troubled || had_slots) {
                shard.used = now;
            }
        }
    }

    /// The shard that this is the continuation of: the one with the same primary, or one whose replica leads now while its own primary leads nothing.
    fn continued_by(&self, owner: &Owner, all: &[Owner], taken: &[NodeId]) -> Option<NodeId> {
        let is_free = |shard: &&Shard| !taken.contains(&shard.node);
        let same = |shard: &&Shard| is_same(&shard.primary, &owner.primary);
        let its = self.list.iter().filter(same).filter(is_free);
        if let Some(shard) = its.max_by_key(|shard| self.slots.has_any(shard.node)) {
            return Some(shard.node);
        }
        let lost_its_primary =
            |shard: &&Shard| !all.iter().any(|owner| is_same(&owner.primary, &shard.primary));
        let promoted = |shard: &&Shard| {
            let was_replica = shard.replicas.iter().any(|replica| is_same(replica, &owner.primary));
            let follows = owner.replicas.iter().any(|replica| is_same(replica, &shard.primary));
            was_replica || follows
        };
        let heirs = self.list.iter().filter(promoted).filter(is_free).filter(lost_its_primary);
        heirs.max_by_key(|shard| self.slots.has_any(shard.node)).map(|shard| shard.node)
    }

    fn put(&mut self, node: NodeId, primary: Member, replicas: Vec<Member>, changes: &mut Changes) {
        match self.list.iter_mut().find(|shard| shard.node == node) {
            Some(shard) => {
                if shard.primary.endpoint != primary.endpoint {
                    changes.led.push(node);
                }
                (shard.primary, shard.replicas) = (primary, replicas);
            }
            None => {
                self.list.push(Shard { node, primary, replicas, used: Time::default() });
                changes.led.push(node);
            }
        }
    }

    /// Node 0 takes what has no key, so it is somewhere even where its shard is gone.
    fn rehome(&mut self, changes: &mut Changes) {
        let home = NodeId::default();
        if self.slots.has_any(home) {
            return;
        }
        let Some(other) = self.list.iter().find(|shard| self.slots.has_any(shard.node)) else {
            return;
        };
        let primary = other.primary.clone();
        self.put(home, primary, Vec::new(), changes);
    }

    /// A server says that a slot is there; gives whose place that is, and whether its link must be told. `lasting`: from now on.
    pub(super) fn on_redirect(
        &mut self,
        now: Time,
        slot: u16,
        endpoint: &Endpoint,
        lasting: bool,
        new_id: impl FnOnce() -> NodeId,
    ) -> (NodeId, bool) {
        let owner = self.slots.get(slot);
        let leads = |shard: &Shard| shard.primary.endpoint == *endpoint;
        // Where node 0 is only a guest, its host is meant.
        let mut found = self.list.iter().filter(|shard| leads(shard)).map(|shard| shard.node);
        let found = found.find(|node| Some(*node) == owner).or_else(|| {
            let leaders = self.list.iter().filter(|shard| leads(shard)).map(|shard| shard.node);
            leaders.max_by_key(|node| (self.slots.has_any(*node), node.0))
        });
        let (node, is_news) = match found {
            Some(node) => (node, false),
            None => match self.promote(owner, endpoint) {
                Some(node) => (node, true),
                None => (self.add(endpoint, new_id()), true),
            },
        };
        if let Some(shard) = self.list.iter_mut().find(|shard| shard.node == node) {
            shard.used = now;
        }
        if lasting {
            self.slots.set(slot, slot, node);
        }
        (node, is_news)
    }

    /// A replica of the slot's owner leads its shard now.
    fn promote(&mut self, owner: Option<NodeId>, endpoint: &Endpoint) -> Option<NodeId> {
        let shard = self.list.iter_mut().find(|shard| Some(shard.node) == owner)?;
        let replica = shard.replicas.iter_mut().find(|replica| replica.endpoint == *endpoint)?;
        std::mem::swap(&mut shard.primary, replica);
        Some(shard.node)
    }

    fn add(&mut self, endpoint: &Endpoint, node: NodeId) -> NodeId {
        let primary = Member { id: String::new(), endpoint: endpoint.clone() };
        self.list.push(Shard { node, primary, replicas: Vec::new(), used: Time::default() });
        node
    }
}

/// By name for life, or where that is not known, by address.
fn is_same(one: &Member, other: &Member) -> bool {
    if one.id.is_empty() || other.id.is_empty() {
        one.endpoint == other.endpoint
    } else {
        one.id == other.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        let endpoint = Endpoint::Tcp { host: name.to_owned(), port: 1 };
        Member { id: name.to_owned(), endpoint }
    }

    fn owner(primary: &str, replicas: &[&str], ranges: &[(u16, u16)]) -> Owner {
        Owner {
            primary: member(primary),
            replicas: replicas.iter().map(|name| member(name)).collect(),
            ranges: ranges.to_vec(),
        }
    }

    fn three() -> (Shards, u32) {
        let (mut shards, mut next) = (Shards::default(), 0);
        let owners = vec![
            owner("a", &["x"], &[(0, 5000)]),
            owner("b", &["y"], &[(5001, 10000)]),
            owner("c", &["z"], &[(10001, 16383)]),
        ];
        let changes = shards.apply(
            Time::default(),
            owners,
            |_| false,
            || {
                next += 1;
                NodeId(next - 1)
            },
        );
        assert_eq!(changes.led, [NodeId(0), NodeId(1), NodeId(2)]);
        (shards, next)
    }

    fn apply(shards: &mut Shards, next: &mut u32, owners: Vec<Owner>) -> Changes {
        shards.apply(
            Time::default(),
            owners,
            |_| false,
            || {
                *next += 1;
                NodeId(*next - 1)
            },
        )
    }

    #[test]
    fn a_replica_that_leads_now_continues_its_shard() {
        let (mut shards, mut next) = three();
        let changes = apply(
            &mut shards,
            &mut next,
            vec![
                owner("a", &["x"], &[(0, 5000)]),
                owner("y", &["b"], &[(5001, 10000)]),
                owner("c", &["z"], &[(10001, 16383)]),
            ],
        );
        assert_eq!(changes, Changes { led: vec![NodeId(1)], gone: vec![] });
        assert_eq!(shards.get(NodeId(1)).unwrap().primary, member("y"));
    }

    #[test]
    fn a_shard_that_splits_keeps_its_own_primary() {
        let (mut shards, mut next) = three();
        let changes = apply(
            &mut shards,
            &mut next,
            vec![
                owner("x", &[], &[(0, 100)]),
                owner("a", &[], &[(101, 5000)]),
                owner("b", &["y"], &[(5001, 10000)]),
                owner("c", &["z"], &[(10001, 16383)]),
            ],
        );
        assert_eq!(changes.led, [NodeId(3)]);
        assert_eq!(shards.slots.get(50), Some(NodeId(3)));
        assert_eq!(shards.slots.get(101), Some(NodeId(0)));
    }

    #[test]
    fn a_shard_without_slots_goes_and_node_0_finds_another_host() {
        let (mut shards, mut next) = three();
        let all = vec![owner("c", &["z"], &[(0, 16383)])];
        let changes = apply(&mut shards, &mut next, all);
        assert_eq!(changes, Changes { led: vec![NodeId(0)], gone: vec![NodeId(1)] });
        assert_eq!(shards.get(NodeId(0)).unwrap().primary, member("c"));
        assert_eq!(shards.slots.get(3), Some(NodeId(2)));
    }

    #[test]
    fn a_redirect_moves_one_slot_to_a_known_or_a_new_node() {
        let (mut shards, _) = three();
        let at = Time::from_micros(1);
        let b = member("b").endpoint;
        assert_eq!(shards.on_redirect(at, 7, &b, true, || NodeId(9)), (NodeId(1), false));
        assert_eq!(shards.slots.get(7), Some(NodeId(1)));
        assert_eq!((shards.slots.get(6), shards.slots.get(8)), (Some(NodeId(0)), Some(NodeId(0))));
        let new = member("n").endpoint;
        assert_eq!(shards.on_redirect(at, 8, &new, false, || NodeId(9)), (NodeId(9), true));
        assert_eq!(shards.slots.get(8), Some(NodeId(0)), "ASK is for once");
        let x = member("x").endpoint;
        assert_eq!(shards.on_redirect(at, 9, &x, true, || NodeId(10)), (NodeId(0), true));
        assert_eq!(shards.get(NodeId(0)).unwrap().primary, member("x"), "its replica leads now");
    }
}
