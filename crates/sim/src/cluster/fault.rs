//! What goes wrong in a cluster. Faults name shards; which server that is, is found out when it happens.

use super::SHARDS;
use crate::fault::{Action, Ending};
use crate::queue::Event;
use crate::world::World;

/// A fault of a cluster. Durations are microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A shard's primary ends, and starts again after `back`.
    Stop {
        shard: usize,
        ending: Ending,
        back: u64,
        keeps_data: bool,
        loading: u64,
    },
    Freeze {
        shard: usize,
        lasts: u64,
    },
    /// A shard's primary is cut off from everybody.
    Cut {
        shard: usize,
        lasts: u64,
    },
    /// It is cut off from the other nodes alone.
    CutBus {
        shard: usize,
        lasts: u64,
    },
    /// The same of any node, whose view will be old.
    CutNode {
        server: usize,
        lasts: u64,
    },
    /// Its connections pass nothing, new ones do.
    Pin {
        shard: usize,
        lasts: u64,
    },
    Reset {
        shard: usize,
    },
    /// A script of its own, or postponed writes, of a shard's primary.
    Slow {
        shard: usize,
        lasts: u64,
        pauses: bool,
    },
    /// CLUSTER FAILOVER: writes are postponed for so long, then a replica takes over.
    Failover {
        shard: usize,
        pause: u64,
    },
    TakeOver {
        heir: usize,
    },
    /// The slot of a tag goes to a shard's primary, or to the node without slots; a step takes so long at the most.
    Migrate {
        tag: usize,
        to: usize,
        step: u64,
        in_order: bool,
    },
    Step {
        piece: usize,
        from: usize,
        to: usize,
        step: super::moves::Step,
    },
    /// All slots of a shard but those of tags in use go at once, and then those.
    Drain {
        shard: usize,
        to: usize,
    },
    /// A replica of a shard goes to another.
    MoveReplica {
        shard: usize,
        to: usize,
    },
}

impl World {
    pub(crate) fn act_on_cluster(&mut self, fault: Fault) {
        let leader = |shard| self.cluster.as_ref().and_then(|cluster| cluster.leader(shard));
        match fault {
            Fault::CutNode { server, lasts } => self.cut_bus(server, lasts),
            Fault::TakeOver { heir } if self.on_bus(heir) => self.take_over(heir),
            Fault::TakeOver { .. } => {}
            Fault::Step { piece, from, to, step } => self.step(piece, from, to, step),
            Fault::Migrate { tag, to, step, in_order } => self.migrate(tag, to, step, in_order),
            Fault::Drain { shard, to } => {
                if let (Some(from), Some(to)) = (leader(shard), leader(to)) {
                    self.drain_node(from, to);
                }
            }
            Fault::MoveReplica { shard, to } => {
                if let (Some(from), Some(to)) = (leader(shard), leader(to)) {
                    self.move_replica(from, to);
                }
            }
            Fault::Stop { shard, .. }
            | Fault::Freeze { shard, .. }
            | Fault::Cut { shard, .. }
            | Fault::CutBus { shard, .. }
            | Fault::Pin { shard, .. }
            | Fault::Reset { shard }
            | Fault::Slow { shard, .. }
            | Fault::Failover { shard, .. } => {
                if let Some(server) = leader(shard) {
                    self.act_on_primary(server, fault);
                }
            }
        }
    }

    fn act_on_primary(&mut self, server: usize, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Stop { ending, back, keeps_data, loading, .. } => {
                self.act(Action::Stop { server, ending });
                let start = Action::Start { server, keeps_data, loading };
                self.queue.push(now + back, Event::Act(start));
            }
            Fault::Freeze { lasts, .. } => self.act(Action::Freeze { server, lasts }),
            Fault::Cut { lasts, .. } => {
                self.cut_bus(server, lasts);
                self.act(Action::Cut { server, up: true, down: true, lasts });
            }
            Fault::CutBus { lasts, .. } => self.cut_bus(server, lasts),
            Fault::Pin { lasts, .. } => self.act(Action::Pin { server, lasts }),
            Fault::Slow { lasts, pauses: true, .. } => self.act(Action::Pause { server, lasts }),
            Fault::Slow { lasts, .. } => self.act(Action::Busy { server, lasts }),
            Fault::Failover { pause, .. } => self.fail_over(server, pause),
            _ => self.act(Action::ResetAll { server }),
        }
    }

    fn cut_bus(&mut self, server: usize, lasts: u64) {
        let until = self.now + lasts;
        if let Some(cut) = self.cluster.as_mut().and_then(|cluster| cluster.bus_cut.get_mut(server))
        {
            *cut = (*cut).max(until);
        }
    }

    fn fail_over(&mut self, server: usize, pause: u64) {
        let replicas: Vec<usize> =
            self.cluster.iter().flat_map(|cluster| cluster.replica_of(server)).collect();
        let heir = replicas.into_iter().find(|replica| self.may_lead(*replica));
        let Some(heir) = heir.filter(|_| self.on_bus(server)) else { return };
        // Until the failover is over, or for twice the time that it may take.
        self.act(Action::Pause { server, lasts: pause + 10_000_000 });
        let take_over = Action::Cluster(Fault::TakeOver { heir });
        self.queue.push(self.now + pause, Event::Act(take_over));
    }

    fn move_replica(&mut self, from: usize, to: usize) {
        let replica = self.cluster.as_ref().and_then(|cluster| cluster.replica_of(from).next());
        let Some(replica) = replica.filter(|replica| self.on_bus(*replica)) else { return };
        if let Some(cluster) = &mut self.cluster {
            cluster.nodes[replica].of[replica] = Some(to);
        }
        self.follow_primary(replica, to);
    }

    /// What an administrator does: migrations are given up, slots that nobody has find somebody, and all are told.
    pub(crate) fn heal_cluster(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.bus_cut.fill(0);
        for node in &mut cluster.nodes {
            node.migrating.fill(None);
            node.importing.fill(None);
        }
        let host = (0..cluster.nodes.len())
            .find(|node| cluster.nodes[*node].is_primary() && cluster.nodes[*node].has_any(*node));
        for piece in 0..cluster.map.pieces() {
            let owner = cluster.owner(piece);
            let is_agreed = cluster.nodes.iter().all(|node| node.owner[piece] == owner);
            // Two that send it to each other, or one that was away and still has it, would never find out.
            if let Some(host) = owner.or(host).filter(|_| owner.is_none() || !is_agreed) {
                let epoch = cluster.new_epoch();
                cluster.nodes[host].claim(epoch, &[piece]);
            }
        }
        let count = cluster.nodes.len();
        // A failover that was planned and did not come about.
        self.servers.iter_mut().take(2 * SHARDS).for_each(|server| server.paused_until = 0);
        (0..count).for_each(|node| self.spread(node));
    }
}
