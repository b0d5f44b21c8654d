//! What a seed means where there is a cluster.

use fastrand::Rng;
use redial_proto::{Config, Deployment, Endpoint, Seeds};

use super::fault::Fault;
use super::map::TAGS;
use super::{SHARDS, map::Map};
use crate::fault::{Action, Ending};
use crate::plan::{MS, Mood, Plan};
use crate::server::Version;
use crate::world::START;

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPlan {
    /// `cluster-node-timeout`
    pub(crate) node_timeout: u64,
    /// The longest that a word takes from one node to another.
    pub(crate) gossip: u64,
    /// `cluster-require-full-coverage`
    pub(crate) needs_all_slots: bool,
    /// Nodes do not know their own address.
    pub(crate) hides_address: bool,
    /// Slots are handed out in many pieces.
    pub(crate) is_scattered: bool,
    /// There is a primary without slots.
    pub(crate) has_spare: bool,
}

pub(crate) fn endpoint(node: usize) -> Endpoint {
    Endpoint::Tcp { host: format!("n{node}"), port: 7000 + node as u16 }
}

/// The plan of a seed.
pub(crate) fn plan(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed);
    let mood = match rng.u32(0..20) {
        0 | 1 => Mood::Still,
        2 | 3 => Mood::Slow,
        4..10 => Mood::OneShard(rng.usize(0..SHARDS)),
        _ => Mood::Storm,
    };
    let is_local = matches!(mood, Mood::OneShard(_));
    let cluster = ClusterPlan {
        node_timeout: rng.u64(500..1_500) * MS,
        gossip: [20, 200, 1_500][rng.usize(0..3)] * MS,
        needs_all_slots: rng.u32(0..4) == 0 && mood == Mood::Storm,
        hides_address: rng.u32(0..4) == 0,
        is_scattered: rng.u32(0..3) == 0 && !is_local,
        has_spare: rng.u32(0..3) == 0,
    };
    let delay = if rng.u32(0..8) == 0 { rng.u64(10 * MS..25 * MS) } else { rng.u64(50..3 * MS) };
    let count = 2 * SHARDS + usize::from(cluster.has_spare);
    let version = [Version::Old, Version::New, Version::Ahead][rng.usize(0..3)];
    let password = (rng.u32(0..4) == 0).then(|| "secret".to_owned());
    let mut plan = Plan {
        jitter: rng.u64(0..=delay),
        splits: if rng.bool() { rng.u8(..) } else { 0 },
        has_tcp_info: rng.u32(0..5) != 0,
        late_ticks: if rng.u32(0..4) == 0 { rng.u64(0..3 * MS) } else { 0 },
        replica_lag: rng.u64(0..200 * MS),
        longest_turn: if rng.bool() { rng.u64(0..60 * MS) } else { 0 },
        hides: rng.u32(0..12) == 0,
        knows_hello: rng.u32(0..5) != 0,
        calls_until: START + rng.u64(4_000..9_000) * MS,
        password,
        ..Plan::plain(seed, mood, delay, vec![version; count])
    };
    let is_one_process = rng.bool();
    for client in 0..rng.usize(1..4) {
        let process = if is_one_process { 0 } else { client };
        let mut client = plan.client(&mut rng, process);
        point(&mut rng, &mut client.config, count);
        if is_local {
            client.config.custom_retry = false;
            client.config.enable_offline_queue = true;
            client.config.offline_queue.commands = 100_000;
        }
        plan.clients.push(client);
    }
    let moves = cluster.clone();
    plan.cluster = Some(cluster);
    plan_faults(&mut plan, &mut rng, &moves);
    plan
}

/// Names some of the nodes to a client.
fn point(rng: &mut Rng, config: &mut Config, count: usize) {
    config.session.database = 0;
    let mut nodes: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut nodes);
    let endpoints: Vec<_> = nodes.into_iter().take(rng.usize(1..=count)).map(endpoint).collect();
    config.endpoint = endpoints[0].clone();
    config.deployment = Deployment::Cluster(Seeds { endpoints, address_map: Vec::new() });
}

fn plan_faults(plan: &mut Plan, rng: &mut Rng, cluster: &ClusterPlan) {
    let mut at = START + rng.u64(1_500..2_500) * MS;
    let mut add = |at: u64, fault: Fault| plan.actions.push((at, Action::Cluster(fault)));
    match plan.mood {
        Mood::Still | Mood::Drill => {
            for _ in 0..rng.u32(0..4) {
                at += rng.u64(0..1_000) * MS;
                add(at, migration(rng, cluster, 100 * MS));
            }
        }
        Mood::Slow => {
            for _ in 0..rng.u32(1..4) {
                let shard = rng.usize(0..SHARDS);
                let lasts = rng.u64(50..cluster.node_timeout / MS - 200) * MS;
                add(
                    at,
                    match rng.u32(0..3) {
                        0 => Fault::Freeze { shard, lasts },
                        one => Fault::Slow { shard, lasts: 2 * lasts, pauses: one == 1 },
                    },
                );
                at += 2 * lasts + rng.u64(200..1_000) * MS;
            }
        }
        Mood::OneShard(shard) => {
            for _ in 0..rng.u32(1..4) {
                let lasts = rng.u64(20..4_000) * MS;
                add(at, fault_of(rng, shard, lasts));
                at += lasts + rng.u64(0..2_000) * MS;
            }
        }
        Mood::Storm => {
            for _ in 0..rng.u32(1..6) {
                let lasts = rng.u64(20..4_000) * MS;
                let shard = rng.usize(0..SHARDS);
                let fault = match rng.u32(0..12) {
                    0..6 => fault_of(rng, shard, lasts),
                    6..9 => migration(rng, cluster, 400 * MS),
                    9 => Fault::CutNode { server: rng.usize(0..2 * SHARDS), lasts },
                    10 => Fault::Drain { shard, to: (shard + 1) % SHARDS },
                    _ => Fault::MoveReplica { shard, to: (shard + 1) % SHARDS },
                };
                add(at, fault);
                at += if rng.u32(0..3) == 0 { 0 } else { lasts } + rng.u64(0..1_500) * MS;
            }
            if rng.u32(0..10) == 0 {
                plan.add_end(rng, at);
            }
        }
    }
    let last = plan.actions.iter().map(|(at, _)| *at).max().unwrap_or(START);
    let heal = at.max(last) + rng.u64(500..4_000) * MS;
    plan.actions.push((heal, Action::Heal));
}

fn migration(rng: &mut Rng, cluster: &ClusterPlan, step: u64) -> Fault {
    let targets = SHARDS + usize::from(cluster.has_spare);
    let to = rng.usize(0..targets);
    let to = if to < SHARDS { to } else { 2 * SHARDS };
    let step = rng.u64(0..step);
    Fault::Migrate { tag: rng.usize(0..TAGS), to, step, in_order: rng.u32(0..4) != 0 }
}

fn fault_of(rng: &mut Rng, shard: usize, lasts: u64) -> Fault {
    match rng.u32(0..12) {
        0..4 => Fault::Stop {
            shard,
            ending: [Ending::PowerOff, Ending::Fin, Ending::Rst][rng.usize(0..3)],
            back: rng.u64(100..5_000) * MS,
            keeps_data: rng.bool(),
            loading: if rng.bool() { 0 } else { rng.u64(0..1_000) * MS },
        },
        4 | 5 => Fault::Freeze { shard, lasts: lasts * 2 },
        6 => Fault::Cut { shard, lasts },
        7 => Fault::CutBus { shard, lasts },
        8 => Fault::Pin { shard, lasts: lasts * 3 },
        9 => Fault::Reset { shard },
        _ => Fault::Failover { shard, pause: rng.u64(5..500) * MS },
    }
}

impl ClusterPlan {
    /// The shard of a tag, where slots are handed out in runs and nothing has moved.
    pub(crate) fn shard_of(map: &Map, tag: usize) -> usize {
        map.home(map.piece_of(tag), SHARDS)
    }
}
