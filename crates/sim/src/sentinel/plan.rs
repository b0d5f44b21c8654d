//! What a seed means where Sentinels watch.

use fastrand::Rng;
use redial_proto::{Config, Deployment, Endpoint, ReadFrom, Sentinels};

use super::answers::SERVICE;
use super::fault::Fault;
use crate::cluster::endpoint;
use crate::fault::{Action, Ending};
use crate::plan::{MS, Mood, Plan};
use crate::server::Version;
use crate::world::START;

/// How the Sentinels are set up.
#[derive(Clone, Debug)]
pub(crate) struct SentinelPlan {
    /// Servers with data, and Sentinels.
    pub(crate) data: usize,
    pub(crate) sentinels: usize,
    /// `down-after-milliseconds`
    pub(crate) down_after: u64,
    /// The longest, more or less, until a Sentinel hears what another knows, and until a server is told whom to follow.
    pub(crate) hello: u64,
    pub(crate) reconfigures: u64,
    /// Lists have entries of instances that are gone, or do not say that they are.
    pub(crate) is_stale: bool,
}

/// The plan of a seed.
pub(crate) fn plan(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed);
    let mood = match rng.u32(0..20) {
        0 | 1 => Mood::Still,
        2..4 => Mood::Slow,
        _ => Mood::Storm,
    };
    let sentinels = SentinelPlan {
        data: rng.usize(2..4),
        sentinels: [1, 3, 3, 3, 5][rng.usize(0..5)],
        down_after: rng.u64(500..1_500) * MS,
        hello: [200, 2_000][rng.usize(0..2)] * MS,
        reconfigures: [300, 4_000][rng.usize(0..2)] * MS,
        is_stale: rng.u32(0..3) == 0,
    };
    let delay = if rng.u32(0..8) == 0 { rng.u64(10 * MS..25 * MS) } else { rng.u64(50..3 * MS) };
    let version = [Version::Old, Version::New, Version::Ahead][rng.usize(0..3)];
    let count = sentinels.data + sentinels.sentinels;
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
        point(&mut rng, &mut client.config, &sentinels);
        plan.clients.push(client);
    }
    plan_faults(&mut plan, &mut rng, &sentinels);
    plan.sentinels = Some(sentinels);
    plan
}

/// Names some of the Sentinels to a client.
fn point(rng: &mut Rng, config: &mut Config, plan: &SentinelPlan) {
    let mut hosts: Vec<usize> = (plan.data..plan.data + plan.sentinels).collect();
    rng.shuffle(&mut hosts);
    let count = rng.usize(1..=hosts.len());
    let endpoints: Vec<Endpoint> = hosts.into_iter().take(count).map(endpoint).collect();
    config.endpoint = endpoints[0].clone();
    config.deployment = Deployment::Sentinel(Sentinels {
        endpoints,
        service: SERVICE.to_owned(),
        credentials: None,
        tls: false,
    });
    if rng.u32(0..4) == 0 {
        config.read_from = ReadFrom::ReplicaPreferred;
    }
}

fn plan_faults(plan: &mut Plan, rng: &mut Rng, sentinels: &SentinelPlan) {
    let mut at = START + rng.u64(1_500..2_500) * MS;
    let mut add = |at: u64, fault: Fault| plan.actions.push((at, Action::Sentinel(fault)));
    match plan.mood {
        Mood::Still | Mood::Drill | Mood::OneShard(_) => {}
        Mood::Slow => {
            for _ in 0..rng.u32(1..4) {
                let lasts = rng.u64(50..sentinels.down_after / MS - 200) * MS;
                let fault = match rng.u32(0..3) {
                    0 => Fault::Freeze { lasts },
                    one => Fault::Slow { lasts: 2 * lasts, pauses: one == 1 },
                };
                add(at, fault);
                at += 2 * lasts + rng.u64(200..1_000) * MS;
            }
        }
        Mood::Storm => {
            for _ in 0..rng.u32(1..6) {
                let lasts = rng.u64(20..4_000) * MS;
                add(at, fault_of(rng, sentinels, lasts));
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

fn fault_of(rng: &mut Rng, plan: &SentinelPlan, lasts: u64) -> Fault {
    let ending = [Ending::PowerOff, Ending::Fin, Ending::Rst][rng.usize(0..3)];
    let sentinel = rng.usize(0..plan.sentinels);
    match rng.u32(0..18) {
        0..5 => Fault::Stop {
            ending,
            back: rng.u64(100..5_000) * MS,
            keeps_data: rng.bool(),
            loading: if rng.bool() { 0 } else { rng.u64(0..1_000) * MS },
        },
        5 | 6 => Fault::Freeze { lasts: 2 * lasts },
        7 => Fault::Cut { lasts },
        8 | 9 => Fault::Split { sentinels: rng.usize(0..=plan.sentinels / 2), lasts: 2 * lasts },
        10 => Fault::Pin { lasts: lasts * 3 },
        11 => Fault::Reset,
        12 | 13 => Fault::FailOver { sentinel },
        14 => {
            let ending = rng.bool().then_some(ending);
            Fault::StopSentinel { sentinel, ending, lasts: 2 * lasts }
        }
        15 => Fault::Lag { sentinel, lasts: 2 * lasts },
        16 => Fault::Babble { sentinel, lasts: 2 * lasts },
        _ => Fault::StopReplica { ending, back: lasts },
    }
}
