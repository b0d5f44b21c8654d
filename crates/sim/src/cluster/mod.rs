//! A Redis Cluster: which node believes what, how beliefs spread, and who is elected.
//!
//! | file | what it owns |
//! |---|---|
//! | [`map`] | the slots that a run tells apart |
//! | [`node`] | one node's beliefs, and the rules by which they change |
//! | [`answers`] | what nodes say: redirects, CLUSTER SLOTS, ROLE |
//! | [`fault`] | what goes wrong, and the end of it |
//! | [`moves`] | slots that migrate |
//! | [`drills`] | the drills, with exact expectations |
//! | [`rules`] | what must hold besides |
//! | [`plan`] | what a seed means here |

mod answers;
mod drills;
mod fault;
pub(crate) mod map;
mod moves;
mod node;
mod plan;
mod rules;

pub use self::drills::{CLUSTER_DRILLS, ClusterDrill};
pub(crate) use self::fault::Fault;
use self::map::Map;
use self::node::Node;
pub(crate) use self::plan::{ClusterPlan, endpoint, plan};
use crate::queue::Event;
use crate::server::{Blocked, Role};
use crate::world::{START, World};

/// Primaries with slots at the beginning. Each has a replica, whose number is higher by as much.
pub(crate) const SHARDS: usize = 3;

/// How often nodes look around: `clusterCron`.
const CRON: u64 = 100_000;

/// As redis has it: how long a primary waits after it was in the minority.
const REJOIN: std::ops::Range<u64> = 500_000..5_000_000;

/// `CLUSTER_WRITABLE_DELAY`
const WRITABLE_DELAY: u64 = 2_000_000;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) plan: ClusterPlan,
    pub(crate) map: Map,
    pub(crate) nodes: Vec<Node>,
    /// By node: until then it hears nothing from other nodes, and they nothing from it.
    bus_cut: Vec<u64>,
    /// By node: since when nobody hears from it.
    off_since: Vec<Option<u64>>,
    /// By node: when its replicas will try to take over.
    election_at: Vec<Option<u64>>,
    /// By piece: which of its named keys have moved.
    moved: Vec<[bool; 2]>,
    /// The highest epoch that anybody has had.
    epoch: u64,
    /// When a replica was last elected, and which.
    pub(crate) took_over: Option<(u64, usize)>,
}

impl Cluster {
    pub(crate) fn new(plan: &ClusterPlan, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xc105);
        let map = Map::new(SHARDS);
        let owner: Vec<_> = (0..map.pieces())
            .map(|piece| match plan.is_scattered {
                true => Some(rng.usize(0..SHARDS)),
                false => Some(map.home(piece, SHARDS)),
            })
            .collect();
        let count = 2 * SHARDS + usize::from(plan.has_spare);
        let node = |me| Node {
            me,
            epoch: count as u64,
            config: (0..count).map(|node| node as u64 + 1).collect(),
            of: (0..count).map(|n| (SHARDS..2 * SHARDS).contains(&n).then(|| n - SHARDS)).collect(),
            owner: owner.clone(),
            migrating: vec![None; owner.len()],
            importing: vec![None; owner.len()],
            down_until: 0,
            is_down: false,
        };
        Self {
            plan: plan.clone(),
            nodes: (0..count).map(node).collect(),
            bus_cut: vec![0; count],
            off_since: vec![None; count],
            election_at: vec![None; count],
            moved: vec![[false; 2]; owner.len()],
            epoch: count as u64,
            took_over: None,
            map,
        }
    }

    /// The role that a server has at the beginning.
    pub(crate) fn first_role(server: usize) -> Role {
        if (SHARDS..2 * SHARDS).contains(&server) {
            Role::ReplicaOf(server - SHARDS)
        } else {
            Role::Primary
        }
    }

    fn new_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Who has a piece: of all that think so the one with the highest epoch.
    pub(crate) fn owner(&self, piece: usize) -> Option<usize> {
        let claimers = self.nodes.iter().filter(|node| node.claims(piece));
        claimers.max_by_key(|node| node.config[node.me]).map(|node| node.me)
    }

    /// The primary of a shard: whoever has its first tag.
    fn leader(&self, shard: usize) -> Option<usize> {
        let tag =
            (0..map::TAGS).find(|tag| self.map.home(self.map.piece_of(*tag), SHARDS) == shard)?;
        self.owner(self.map.piece_of(tag))
    }

    /// A replica of a primary, as it sees itself.
    fn replica_of(&self, primary: usize) -> impl Iterator<Item = usize> {
        let follows = move |node: &&Node| node.of[node.me] == Some(primary);
        self.nodes.iter().filter(follows).map(|node| node.me)
    }

    /// True if others take it for dead: nobody has heard from it for the node timeout.
    fn is_failed(&self, node: usize, now: u64) -> bool {
        self.off_since[node].is_some_and(|since| since + self.plan.node_timeout <= now)
    }
}

impl World {
    fn on_bus(&self, node: usize) -> bool {
        let cut = self.cluster.as_ref().map_or(0, |cluster| cluster.bus_cut[node]);
        self.servers[node].works(self.now) && self.now >= cut
    }

    pub(crate) fn begin_cluster(&mut self) {
        if self.cluster.is_some() {
            self.queue.push(START + CRON, Event::Cron);
        }
    }

    /// Nodes look around.
    pub(crate) fn on_cron(&mut self) {
        let now = self.now;
        self.queue.push(now + CRON, Event::Cron);
        let count = self.cluster.as_ref().map_or(0, |cluster| cluster.nodes.len());
        for node in 0..count {
            let is_there = self.on_bus(node);
            let Some(cluster) = &mut self.cluster else { return };
            if !is_there {
                cluster.off_since[node].get_or_insert(now);
            } else if cluster.off_since[node].take().is_some() {
                cluster.election_at[node] = None;
                self.trace.note(now, || format!("cluster: {node} is heard of again"));
                (0..count).filter(|other| *other != node).for_each(|other| {
                    self.tell(node, other);
                    self.tell(other, node);
                });
            }
        }
        for node in 0..count {
            self.update_state(node);
            self.look_after(node);
        }
    }

    /// `clusterUpdateState`
    fn update_state(&mut self, me: usize) {
        let (now, is_there) = (self.now, self.on_bus(me));
        let Some(cluster) = &mut self.cluster else { return };
        let node = &cluster.nodes[me];
        let sizes: Vec<usize> =
            (0..cluster.nodes.len()).filter(|other| node.has_any(*other)).collect();
        let own =
            cluster.off_since[me].is_some_and(|since| since + cluster.plan.node_timeout <= now);
        let reached = sizes.iter().filter(|other| {
            **other == me || if is_there { !cluster.is_failed(**other, now) } else { !own }
        });
        let is_minority = reached.count() * 2 <= sizes.len();
        let uncovered =
            |owner: &Option<usize>| owner.is_none_or(|owner| cluster.is_failed(owner, now));
        let is_uncovered = cluster.plan.needs_all_slots && node.owner.iter().any(uncovered);
        let delay = cluster.plan.node_timeout.clamp(REJOIN.start, REJOIN.end);
        let node = &mut cluster.nodes[me];
        node.is_down = is_minority || is_uncovered;
        if is_minority && node.is_primary() {
            node.down_until = now + delay;
        }
    }

    /// A primary that is dead has a successor.
    fn look_after(&mut self, primary: usize) {
        let now = self.now;
        let delay = self.rng.u64(500_000..1_000_000);
        let Some(cluster) = &mut self.cluster else { return };
        let is_needed = cluster.is_failed(primary, now)
            && cluster.replica_of(primary).any(|replica| cluster.nodes[replica].has_any(primary));
        match cluster.election_at[primary] {
            _ if !is_needed => cluster.election_at[primary] = None,
            None => cluster.election_at[primary] = Some(now + delay),
            Some(at) if at <= now => {
                cluster.election_at[primary] = Some(now + 2 * cluster.plan.node_timeout);
                let replicas: Vec<usize> = cluster.replica_of(primary).collect();
                if let Some(heir) = replicas.into_iter().find(|replica| self.may_lead(*replica)) {
                    self.take_over(heir);
                }
            }
            Some(_) => {}
        }
    }

    /// Most primaries with slots can vote for it.
    fn may_lead(&self, replica: usize) -> bool {
        let Some(cluster) = &self.cluster else { return false };
        let node = &cluster.nodes[replica];
        let voters: Vec<usize> =
            (0..cluster.nodes.len()).filter(|other| node.has_any(*other)).collect();
        let reached = voters.iter().filter(|voter| self.on_bus(**voter)).count();
        self.on_bus(replica) && reached * 2 > voters.len()
    }

    /// A replica has won the election for its primary's place.
    fn take_over(&mut self, heir: usize) {
        let Some(cluster) = &mut self.cluster else { return };
        let Some(before) = cluster.nodes[heir].of[heir] else { return };
        let epoch = cluster.new_epoch();
        cluster.took_over = Some((self.now, heir));
        let node = &mut cluster.nodes[heir];
        let pieces: Vec<usize> =
            (0..node.owner.len()).filter(|piece| node.owner[*piece] == Some(before)).collect();
        node.claim(epoch, &pieces);
        self.trace
            .note(self.now, || format!("cluster: {heir} takes over from {before}, epoch {epoch}"));
        self.promote(heir);
        self.spread(heir);
    }

    /// A node says to all what it is.
    fn spread(&mut self, from: usize) {
        let count = self.cluster.as_ref().map_or(0, |cluster| cluster.nodes.len());
        (0..count).filter(|to| *to != from).for_each(|to| self.tell(from, to));
    }

    fn tell(&mut self, from: usize, to: usize) {
        let Some(cluster) = &self.cluster else { return };
        let at = self.now + self.rng.u64(1_000..=cluster.plan.gossip);
        self.queue.push(at, Event::Gossip { from, to });
    }

    pub(crate) fn on_gossip(&mut self, from: usize, to: usize) {
        // Who is away now will be told everything on return.
        if !self.on_bus(from) || !self.on_bus(to) {
            return;
        }
        let Some(cluster) = &mut self.cluster else { return };
        let header = cluster.nodes[from].header();
        let heard = cluster.nodes[to].hear(&header);
        if heard.is_news {
            self.trace.note(self.now, || format!("cluster: {to} hears of {from}: {heard:?}"));
        }
        for piece in heard.lost {
            self.leave_piece(to, piece);
        }
        if let Some(primary) = heard.follows {
            self.follow_primary(to, primary);
        }
    }

    /// A node is a replica of this one now.
    fn follow_primary(&mut self, node: usize, primary: usize) {
        if let Some(cluster) = &mut self.cluster {
            // `clusterCloseAllSlots`
            cluster.nodes[node].migrating.fill(None);
            cluster.nodes[node].importing.fill(None);
        }
        self.demote(node, primary);
        // What was postponed for the failover's sake is looked at again.
        self.servers[node].paused_until = 0;
        self.queue.push(self.now, Event::Wake(node));
        self.spread(node);
    }

    /// Clients that wait for keys of a piece are sent on.
    fn leave_piece(&mut self, node: usize, piece: usize) {
        let waits = |blocked: &Option<Blocked>| match blocked {
            Some(Blocked::Waiting { token, .. }) => Some(*token),
            _ => None,
        };
        let waiting: Vec<(usize, u64)> = self.servers[node]
            .sessions
            .iter()
            .filter_map(|(pipe, session)| Some((*pipe, waits(&session.blocked)?)))
            .collect();
        for (pipe, token) in waiting {
            let Some(cluster) = &self.cluster else { return };
            let tag = self.ledger.requests[token as usize].tag;
            if tag.is_none_or(|tag| cluster.map.piece_of(tag) != piece) {
                continue;
            }
            let Some(text) = self.moved(node, piece) else { continue };
            if let Some(session) = self.servers[node].sessions.get_mut(&pipe) {
                session.blocked = None;
            }
            self.ledger.refused(token);
            self.reply(node, pipe, text.as_bytes());
            self.serve(node, pipe);
        }
    }

    /// A node starts again, with what it believed.
    pub(crate) fn on_node_started(&mut self, node: usize) {
        let until = self.now + WRITABLE_DELAY;
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(node) = cluster.nodes.get_mut(node).filter(|node| node.is_primary()) {
            node.down_until = until;
        }
    }
}
