//! Reads that need not come from a primary: which servers take them, and which of them is asked next.
//!
//! A replica answers with what it has, which is behind its primary by what is on the way, and by more where replication is held up; nothing here bounds that.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use super::{NodeId, Order};
use crate::config::{Endpoint, ReadFrom};
use crate::event::State;

/// Round trips that differ by less are the same.
const SAME_DISTANCE: Duration = Duration::from_micros(200);

/// A replica that reads go to.
#[derive(Debug)]
struct Reader {
    node: NodeId,
    of: NodeId,
    endpoint: Endpoint,
}

/// What is known of a node's server.
#[derive(Debug)]
struct Known {
    node: NodeId,
    is_ready: bool,
    rtt: Duration,
    zone: Option<String>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Readers {
    from: ReadFrom,
    list: Vec<Reader>,
    known: Vec<Known>,
    /// Whose turn it is; a choice is no change.
    turn: Cell<usize>,
}

impl Readers {
    pub(super) fn new(from: &ReadFrom) -> Self {
        Self { from: from.clone(), list: Vec::new(), known: Vec::new(), turn: Cell::new(0) }
    }

    /// True if reads may go elsewhere than to primaries.
    pub(super) fn are_wanted(&self) -> bool {
        self.from != ReadFrom::Primary
    }

    pub(super) fn endpoint(&self, node: NodeId) -> Option<&Endpoint> {
        self.list.iter().find(|reader| reader.node == node).map(|reader| &reader.endpoint)
    }

    /// These are the replicas of a node now.
    pub(super) fn sync<'a>(
        &mut self,
        of: NodeId,
        replicas: impl Iterator<Item = &'a Endpoint> + Clone,
        mut new_id: impl FnMut() -> NodeId,
        orders: &mut VecDeque<Order>,
    ) {
        if !self.are_wanted() {
            return;
        }
        let is_kept =
            |reader: &Reader| reader.of != of || replicas.clone().any(|r| *r == reader.endpoint);
        self.list.retain(|reader| {
            if !is_kept(reader) {
                orders.push_back(Order::Dissolve(reader.node));
            }
            is_kept(reader)
        });
        for endpoint in replicas.clone() {
            let is_it = |reader: &Reader| reader.of == of && reader.endpoint == *endpoint;
            if !self.list.iter().any(is_it) {
                let node = new_id();
                self.list.push(Reader { node, of, endpoint: endpoint.clone() });
                orders.push_back(Order::Lead(node));
            }
        }
    }

    /// A node is given up, and with it its replicas.
    pub(super) fn drop_all_of(&mut self, of: NodeId, orders: &mut VecDeque<Order>) {
        self.list.retain(|reader| {
            if reader.of == of {
                orders.push_back(Order::Dissolve(reader.node));
            }
            reader.of != of
        });
    }

    fn known(&mut self, node: NodeId) -> &mut Known {
        let at = self.known.iter().position(|known| known.node == node);
        let at = at.unwrap_or_else(|| {
            self.known.push(Known { node, is_ready: false, rtt: Duration::MAX, zone: None });
            self.known.len() - 1
        });
        &mut self.known[at]
    }

    /// A node's link is in this state. Reads that wait for a replica which does not answer go elsewhere.
    pub(super) fn on_state(&mut self, node: NodeId, state: State, orders: &mut VecDeque<Order>) {
        if !self.are_wanted() {
            return;
        }
        self.known(node).is_ready = state == State::Ready;
        let is_in_trouble = matches!(state, State::Suspect | State::Close | State::Reconnecting);
        if is_in_trouble && self.endpoint(node).is_some() {
            orders.push_back(Order::Rescue(node));
        }
    }

    pub(super) fn on_measured(&mut self, node: NodeId, rtt: Duration, zone: Option<&str>) {
        if self.are_wanted() {
            let known = self.known(node);
            known.rtt = rtt;
            known.zone = zone.map(str::to_owned);
        }
    }

    /// Who takes the next read of what `primary` has.
    pub(super) fn choose(&self, primary: NodeId) -> NodeId {
        let replicas = self.list.iter().filter(|reader| reader.of == primary);
        let ready = |node: NodeId| self.known.iter().find(|its| its.node == node && its.is_ready);
        let replicas: Vec<&Known> =
            replicas.clone().filter_map(|reader| ready(reader.node)).collect();
        let everyone = || replicas.iter().copied().chain(ready(primary));
        let chosen = match &self.from {
            ReadFrom::Primary => None,
            ReadFrom::Replica => self
                .next_of(replicas.iter().copied())
                .or_else(|| self.list.iter().find(|reader| reader.of == primary).map(|r| r.node)),
            ReadFrom::ReplicaPreferred => self.next_of(replicas.iter().copied()),
            ReadFrom::Nearest => {
                let nearest = everyone().map(|known| known.rtt).min().unwrap_or_default();
                let limit = nearest.saturating_add(SAME_DISTANCE);
                self.next_of(everyone().filter(move |known| known.rtt <= limit))
            }
            ReadFrom::Zone(zone) => self
                .next_of(everyone().filter(|known| known.zone.as_ref() == Some(zone)))
                .or_else(|| self.next_of(replicas.iter().copied())),
        };
        chosen.unwrap_or(primary)
    }

    fn next_of<'a>(&self, of: impl Iterator<Item = &'a Known>) -> Option<NodeId> {
        let nodes: Vec<NodeId> = of.map(|known| known.node).collect();
        let at = self.turn.get().checked_rem(nodes.len())?;
        self.turn.set(self.turn.get().wrapping_add(1));
        nodes.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: NodeId = NodeId(0);

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::Tcp { host: "h".to_owned(), port }
    }

    fn readers(from: ReadFrom) -> Readers {
        let (mut readers, mut orders, mut next) = (Readers::new(&from), VecDeque::new(), 0);
        let replicas = [endpoint(1), endpoint(2)];
        readers.sync(
            PRIMARY,
            replicas.iter(),
            || {
                next += 1;
                NodeId(next)
            },
            &mut orders,
        );
        assert_eq!(orders.len(), 2);
        for (node, ms, zone) in [(0, 5, "a"), (1, 1, "b"), (2, 9, "a")] {
            readers.on_state(NodeId(node), State::Ready, &mut orders);
            readers.on_measured(NodeId(node), Duration::from_millis(ms), Some(zone));
        }
        readers
    }

    fn chosen(readers: &Readers) -> Vec<u32> {
        let mut chosen: Vec<_> = (0..6).map(|_| readers.choose(PRIMARY).0).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    #[test]
    fn each_preference_has_its_servers_and_takes_them_in_turn() {
        for (from, expected) in [
            (ReadFrom::Replica, vec![1, 2]),
            (ReadFrom::ReplicaPreferred, vec![1, 2]),
            (ReadFrom::Nearest, vec![1]),
            (ReadFrom::Zone("a".to_owned()), vec![0, 2]),
            (ReadFrom::Zone("nowhere".to_owned()), vec![1, 2]),
        ] {
            assert_eq!(chosen(&readers(from.clone())), expected, "{from:?}");
        }
    }

    #[test]
    fn a_replica_that_does_not_answer_takes_no_reads_and_keeps_none() {
        let (mut readers, mut orders) = (readers(ReadFrom::ReplicaPreferred), VecDeque::new());
        readers.on_state(NodeId(1), State::Suspect, &mut orders);
        assert!(matches!(orders.pop_front(), Some(Order::Rescue(NodeId(1)))));
        assert_eq!(chosen(&readers), [2]);
        readers.on_state(NodeId(2), State::Reconnecting, &mut orders);
        assert_eq!(chosen(&readers), [0], "then the primary");
    }

    #[test]
    fn a_replica_that_is_no_more_is_given_up() {
        let (mut readers, mut orders) = (readers(ReadFrom::Replica), VecDeque::new());
        readers.sync(PRIMARY, [endpoint(2), endpoint(3)].iter(), || NodeId(7), &mut orders);
        assert!(matches!(orders.pop_front(), Some(Order::Dissolve(NodeId(1)))));
        assert!(matches!(orders.pop_front(), Some(Order::Lead(NodeId(7)))));
        assert_eq!(chosen(&readers), [2], "the new one is not ready yet");
    }
}
