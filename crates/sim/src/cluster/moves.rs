//! Slots that migrate, step by step, as `redis-cli --cluster reshard` does it: IMPORTING, MIGRATING, the keys, and SETSLOT NODE, which reaches nodes at
//! different times.

use super::SHARDS;
use super::fault::Fault;
use crate::fault::Action;
use crate::queue::Event;
use crate::world::World;

/// A step of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Importing,
    Migrating,
    /// One of the named keys.
    Key(usize),
    /// SETSLOT NODE on the new owner, which takes a new epoch.
    Taken,
    /// On the old one.
    Given,
    /// On another one.
    Told(usize),
}

impl World {
    pub(super) fn migrate(&mut self, tag: usize, to: usize, longest: u64, in_order: bool) {
        let Some(cluster) = &self.cluster else { return };
        let piece = cluster.map.piece_of(tag);
        let to = if to < SHARDS { cluster.leader(to) } else { Some(to) };
        let (Some(from), Some(to)) = (cluster.owner(piece), to) else { return };
        let fits = from != to && to < cluster.nodes.len() && cluster.nodes[to].is_primary();
        let is_moving = cluster.nodes.iter().any(|node| node.importing[piece].is_some());
        if !fits || is_moving {
            return;
        }
        let mut steps = vec![Step::Importing, Step::Migrating, Step::Key(0), Step::Key(1)];
        steps.extend([Step::Taken, Step::Given]);
        if !in_order {
            steps.swap(4, 5);
        }
        steps.extend((0..cluster.nodes.len()).filter(|n| *n != from && *n != to).map(Step::Told));
        if let Some(cluster) = &mut self.cluster {
            cluster.moved[piece] = [false; 2];
        }
        let mut at = self.now;
        for step in steps {
            let fault = Fault::Step { piece, from, to, step };
            self.queue.push(at, Event::Act(Action::Cluster(fault)));
            at += self.rng.u64(0..=longest);
        }
    }

    pub(super) fn step(&mut self, piece: usize, from: usize, to: usize, step: Step) {
        let whom = match step {
            Step::Importing | Step::Taken => to,
            Step::Migrating | Step::Given | Step::Key(_) => from,
            Step::Told(other) => other,
        };
        let is_there = self.servers[whom].works(self.now);
        let Some(cluster) = self.cluster.as_mut().filter(|_| is_there) else { return };
        let epoch = cluster.epoch + 1;
        let node = &mut cluster.nodes[whom];
        match step {
            Step::Importing if node.is_primary() && !node.claims(piece) => {
                node.importing[piece] = Some(from);
            }
            Step::Migrating if node.claims(piece) => node.migrating[piece] = Some(to),
            Step::Key(which) if node.migrating[piece].is_some() => {
                cluster.moved[piece][which] = true
            }
            Step::Taken if node.importing[piece].is_some() => {
                node.claim(epoch, &[piece]);
                cluster.epoch = epoch;
                self.spread(to);
            }
            Step::Given if node.migrating[piece].take().is_some() => {
                node.owner[piece] = Some(to);
                self.leave_piece(from, piece);
                self.follow_if_empty(from, to);
            }
            Step::Told(_) if node.is_primary() && node.importing[piece].is_none() => {
                node.owner[piece] = Some(to);
            }
            _ => {}
        }
    }

    /// All that a node has is another's at once: its last slots were moved.
    pub(super) fn drain_node(&mut self, from: usize, to: usize) {
        if from == to || !self.servers[from].works(self.now) || !self.servers[to].works(self.now) {
            return;
        }
        let Some(cluster) = &mut self.cluster else { return };
        let epoch = cluster.new_epoch();
        let pieces: Vec<usize> =
            (0..cluster.map.pieces()).filter(|piece| cluster.nodes[from].claims(*piece)).collect();
        cluster.nodes[to].claim(epoch, &pieces);
        for piece in pieces {
            if let Some(cluster) = &mut self.cluster {
                cluster.nodes[from].owner[piece] = Some(to);
                cluster.nodes[from].migrating[piece] = None;
            }
            self.leave_piece(from, piece);
        }
        self.spread(to);
        self.follow_if_empty(from, to);
    }

    /// Who has no slots any more follows the one that has them.
    fn follow_if_empty(&mut self, node: usize, primary: usize) {
        let Some(cluster) = &mut self.cluster else { return };
        let believes = &mut cluster.nodes[node];
        if believes.is_primary() && !believes.has_any(node) {
            believes.of[node] = Some(primary);
            self.follow_primary(node, primary);
        }
    }
}
