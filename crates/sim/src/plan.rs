//! What a seed means: how fast the network is, what the servers can do, who the clients are, and what goes wrong when.

use fastrand::Rng;
use redial_proto::{Config, Endpoint, Protocol, Resend, WantedRole};

use crate::caller::Wish;
use crate::cluster::{self, ClusterPlan};
use crate::fault::{Action, Ending};
use crate::sentinel::{self, SentinelPlan};
use crate::server::Version;
use crate::world::START;

pub(crate) const MS: u64 = 1000;

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nothing.
    Still,
    /// Servers are slow, for less than `condemn_after`.
    Slow,
    /// Anything.
    Storm,
    /// Anything, but of one shard of a cluster: the others notice nothing.
    OneShard(usize),
    /// A drill: only what its scenario says.
    Drill,
}

impl Mood {
    /// No connection may be replaced.
    pub(crate) fn is_calm(self) -> bool {
        matches!(self, Self::Still | Self::Slow)
    }

    /// Nothing may be suspected.
    pub(crate) fn is_still(self) -> bool {
        self == Self::Still
    }
}

/// How the callers of a client behave. Chances are out of 256.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habit {
    /// Mean time between calls.
    pub(crate) pause: u64,
    pub(crate) bursts: u8,
    pub(crate) cancels: u8,
    pub(crate) goes_on: u8,
    pub(crate) large: u8,
    pub(crate) other_policies: u8,
    pub(crate) resend: Resend,
    pub(crate) blocks: bool,
    /// Instead of all that: so many callers, each in a closed loop.
    pub(crate) loops: Option<Wish>,
    /// With `loops`: callers come at `pause`, whether the ones before were answered or not.
    pub(crate) keeps_coming: bool,
}

/// One client.
#[derive(Clone, Debug)]
pub(crate) struct ClientPlan {
    pub(crate) process: usize,
    pub(crate) config: Config,
    pub(crate) habit: Habit,
    pub(crate) subscribes: bool,
    /// Requests at the beginning: callers in closed loops.
    pub(crate) callers: usize,
}

/// Everything about a run but its course.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) mood: Mood,
    /// One way, and what it varies by.
    pub(crate) delay: u64,
    pub(crate) jitter: u64,
    pub(crate) send_buffer: usize,
    pub(crate) receive_buffer: usize,
    /// Out of 256: how often a piece arrives in two.
    pub(crate) splits: u8,
    pub(crate) has_tcp_info: bool,
    pub(crate) late_ticks: u64,
    pub(crate) replica_lag: u64,
    /// Of a connection, after its server stood still.
    pub(crate) longest_turn: u64,
    /// Where the servers are a cluster.
    pub(crate) cluster: Option<ClusterPlan>,
    /// Where Sentinels watch them; the last of `servers` are the Sentinels.
    pub(crate) sentinels: Option<SentinelPlan>,
    pub(crate) servers: Vec<Version>,
    pub(crate) password: Option<String>,
    pub(crate) hides: bool,
    pub(crate) knows_hello: bool,
    pub(crate) clients: Vec<ClientPlan>,
    pub(crate) actions: Vec<(u64, Action)>,
    pub(crate) calls_until: u64,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::Tcp { host: "redis".to_owned(), port: 6379 }
}

impl Plan {
    /// Clients have links to more than one server.
    pub(crate) fn has_several_nodes(&self) -> bool {
        self.cluster.is_some() || self.sentinels.is_some()
    }

    /// One that does nothing, over a path with this delay.
    pub(crate) fn plain(seed: u64, mood: Mood, delay: u64, servers: Vec<Version>) -> Self {
        Self {
            seed,
            mood,
            delay,
            jitter: 0,
            send_buffer: 200_000,
            receive_buffer: 100_000,
            splits: 0,
            has_tcp_info: true,
            late_ticks: 0,
            replica_lag: MS,
            longest_turn: 0,
            cluster: None,
            sentinels: None,
            servers,
            password: None,
            hides: false,
            knows_hello: true,
            clients: Vec::new(),
            actions: Vec::new(),
            calls_until: START,
        }
    }

    /// The plan of a seed, which says what kind of deployment it is too.
    pub(crate) fn from_seed(seed: u64) -> Self {
        match seed % 3 {
            0 => Self::standalone(seed),
            1 => cluster::plan(seed),
            _ => sentinel::plan(seed),
        }
    }

    fn standalone(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mood = match rng.u32(0..20) {
            0 | 1 => Mood::Still,
            2..5 => Mood::Slow,
            _ => Mood::Storm,
        };
        // A small window over a long path would be too slow for anything.
        let (is_far, small) = (rng.u32(0..8) == 0, rng.u32(0..6) == 0);
        let delay = match (is_far, small) {
            (_, true) => rng.u64(50..MS),
            (true, _) => rng.u64(10 * MS..40 * MS),
            _ => rng.u64(50..3 * MS),
        };
        let version = [Version::Old, Version::New, Version::Ahead][rng.usize(0..3)];
        let servers = vec![version; rng.usize(2..4)];
        let password = (rng.u32(0..4) == 0).then(|| "secret".to_owned());
        let calls_until = START + rng.u64(3_000..10_000) * MS;
        let mut plan = Self {
            jitter: rng.u64(0..=delay),
            send_buffer: if small { rng.usize(200..4_000) } else { 200_000 },
            receive_buffer: if small { rng.usize(200..4_000) } else { 100_000 },
            splits: if rng.bool() { rng.u8(..) } else { 0 },
            has_tcp_info: rng.u32(0..5) != 0,
            late_ticks: if rng.u32(0..4) == 0 { rng.u64(0..3 * MS) } else { 0 },
            replica_lag: rng.u64(0..200 * MS),
            longest_turn: if rng.bool() { rng.u64(0..60 * MS) } else { 0 },
            password,
            hides: rng.u32(0..12) == 0,
            knows_hello: rng.u32(0..5) != 0,
            calls_until,
            ..Self::plain(seed, mood, delay, servers)
        };
        let clients = rng.usize(1..4);
        let is_one_process = rng.bool();
        for client in 0..clients {
            let process = if is_one_process { 0 } else { client };
            let client = plan.client(&mut rng, process);
            plan.clients.push(client);
        }
        plan.plan_faults(&mut rng);
        plan
    }

    pub(crate) fn client(&self, rng: &mut Rng, process: usize) -> ClientPlan {
        let mut config = Config::new(endpoint());
        config.session.credentials = self.password.clone().map(|password| {
            redial_proto::Credentials { username: rng.bool().then(|| "me".to_owned()), password }
        });
        config.session.client_name = rng.bool().then(|| "sim".to_owned());
        config.session.database = if rng.bool() { 0 } else { 3 };
        if rng.u32(0..6) == 0 {
            config.session.protocol = Protocol::Resp2;
        }
        config.custom_retry = rng.u32(0..10) == 0;
        config.max_retries_per_request = (rng.u32(0..10) == 0).then(|| rng.u32(1..20));
        config.enable_offline_queue = rng.u32(0..20) != 0;
        config.max_blocking_connections = [1, 4, 12][rng.usize(0..3)];
        config.wanted_role = WantedRole::Primary;
        if rng.u32(0..10) == 0 {
            config.offline_queue.commands = rng.usize(1..50);
        }
        let resend = match rng.u32(0..8) {
            0 => Resend::Never,
            1 => Resend::Idempotent,
            2 => Resend::Always,
            _ => Resend::Safe,
        };
        let habit = Habit {
            pause: [15, 40, 100, 400][rng.usize(0..4)] * MS,
            bursts: rng.u8(0..30),
            cancels: if rng.bool() { rng.u8(0..60) } else { 0 },
            goes_on: rng.u8(0..100),
            large: if self.send_buffer > 10_000 && rng.u32(0..6) == 0 { 20 } else { 0 },
            other_policies: if rng.bool() { rng.u8(..) } else { 0 },
            resend,
            blocks: rng.bool(),
            loops: None,
            keeps_coming: false,
        };
        ClientPlan { process, config, habit, subscribes: rng.u32(0..4) == 0, callers: 0 }
    }

    fn plan_faults(&mut self, rng: &mut Rng) {
        let mut at = START + rng.u64(100..2_000) * MS;
        match self.mood {
            Mood::Still | Mood::OneShard(_) | Mood::Drill => {}
            Mood::Slow => {
                for _ in 0..rng.u32(1..4) {
                    let lasts = self.add_slowness(rng, at);
                    at += lasts + rng.u64(200..2_000) * MS;
                }
            }
            Mood::Storm => {
                for _ in 0..rng.u32(1..5) {
                    at += self.add_fault(rng, at) + rng.u64(0..2_500) * MS;
                }
                if rng.u32(0..10) == 0 {
                    self.add_end(rng, at);
                }
            }
        }
        let last = self.actions.iter().map(|(at, _)| *at).max().unwrap_or(START);
        let at = at.max(last) + rng.u64(500..4_000) * MS;
        self.actions.push((at, Action::Heal));
    }

    fn add(&mut self, at: u64, action: Action) {
        self.actions.push((at, action));
    }

    /// A slowness of server 0, which leads; gives how long it lasts.
    fn add_slowness(&mut self, rng: &mut Rng, at: u64) -> u64 {
        let lasts = rng.u64(50..4_000) * MS;
        match rng.u32(0..3) {
            0 => self.add(at, Action::Freeze { server: 0, lasts }),
            1 => self.add(at, Action::Pause { server: 0, lasts }),
            _ => {
                self.add(at, Action::Freeze { server: 0, lasts });
                let busy = rng.u64(50..2_000) * MS;
                self.add(at + lasts, Action::Busy { server: 0, lasts: busy });
                return lasts + busy;
            }
        }
        lasts
    }

    /// A client ends, by hand, and is connected again.
    pub(crate) fn add_end(&mut self, rng: &mut Rng, upto: u64) {
        let client = rng.usize(0..self.clients.len());
        let at = rng.u64(START..upto);
        let action =
            if rng.bool() { Action::Disconnect { client } } else { Action::Quit { client } };
        self.add(at, action);
        self.add(at + rng.u64(0..2_000) * MS, Action::Connect { client });
    }

    /// The leadership goes from one server to another at about this moment.
    fn add_promotion(&mut self, rng: &mut Rng, at: u64, from: usize, to: usize) {
        let skew = rng.u64(0..300) * MS;
        self.add(at, Action::Promote { server: to });
        let lead = if rng.bool() { at + skew } else { at.saturating_sub(skew) };
        self.add(lead, Action::Lead { server: to });
        if rng.u32(0..4) != 0 {
            self.add(at + rng.u64(0..3_000) * MS, Action::Demote { server: from, to });
        }
    }

    /// One fault; gives how long until the next may begin.
    fn add_fault(&mut self, rng: &mut Rng, at: u64) -> u64 {
        let (server, to) = self.pair(rng);
        let lasts = rng.u64(20..5_000) * MS;
        let later = at + rng.u64(50..3_000) * MS;
        match rng.u32(0..20) {
            0..2 => {
                let up = rng.bool();
                let down = !up || rng.bool();
                self.add(at, Action::Cut { server, up, down, lasts });
                if rng.u32(0..3) == 0 {
                    self.add_promotion(rng, later, server, to);
                }
            }
            2..4 => self.add(at, Action::Pin { server, lasts: lasts * 3 }),
            4..7 => self.add_stop(rng, at, server, to),
            7..9 => self.add_planned(rng, at, server, to),
            9..11 => {
                self.add(at, Action::Freeze { server, lasts: lasts * 2 });
                if rng.bool() {
                    self.add(at + rng.u64(0..lasts), Action::CutOff { server });
                }
                if rng.bool() {
                    self.add_promotion(rng, later, server, to);
                }
            }
            11 => {
                self.add_slowness(rng, at);
            }
            12 => self.add(at, Action::NoReplicas { server, lasts }),
            13 => {
                // Replies are lost, then a reset.
                let up_to = lasts.min(2_000 * MS);
                self.add(at, Action::Cut { server, up: false, down: true, lasts: up_to });
                self.add(at + up_to, Action::ResetAll { server });
                if rng.bool() {
                    self.add_promotion(rng, at + up_to, server, to);
                }
            }
            14 => {
                for _ in 0..rng.u32(1..5) {
                    self.add(at + rng.u64(0..1_000) * MS, Action::KillOne { server });
                }
            }
            15 => {
                self.add(at, Action::ResetAll { server });
                self.add_dial_trouble(rng, at, server, lasts);
            }
            16 => {
                self.add_dial_trouble(rng, at, server, lasts);
                self.add_stop(rng, at, server, to);
            }
            17 => self.add_password(rng, at),
            18 => self.add(at, Action::MasterDown { server: to, lasts }),
            _ => self.add(at, Action::ResetAll { server }),
        }
        if rng.u32(0..3) == 0 { 0 } else { lasts }
    }

    fn pair(&self, rng: &mut Rng) -> (usize, usize) {
        let count = self.servers.len();
        let server = rng.usize(0..count);
        (server, (server + rng.usize(1..count)) % count)
    }

    fn add_stop(&mut self, rng: &mut Rng, at: u64, server: usize, to: usize) {
        let ending = [Ending::PowerOff, Ending::Fin, Ending::Rst][rng.usize(0..3)];
        self.add(at, Action::Stop { server, ending });
        if rng.u32(0..4) != 0 {
            let after = at + rng.u64(0..3_000) * MS;
            self.add_promotion(rng, after, server, to);
        }
        let back = at + rng.u64(100..5_000) * MS;
        let loading = if rng.bool() { 0 } else { rng.u64(0..2_000) * MS };
        self.add(back, Action::Start { server, keeps_data: rng.bool(), loading });
    }

    /// A planned failover: writes are postponed, then the roles change, and connections stay open or are closed.
    fn add_planned(&mut self, rng: &mut Rng, at: u64, server: usize, to: usize) {
        let pause = rng.u64(0..1_500) * MS;
        if pause > 200 * MS {
            self.add(at, Action::Pause { server, lasts: pause });
        }
        let at = at + pause;
        self.add(at.saturating_sub(rng.u64(0..100) * MS), Action::Promote { server: to });
        self.add(at.saturating_sub(1), Action::Demote { server, to });
        let lead = at + rng.u64(0..500) * MS;
        self.add(lead.saturating_sub(rng.u64(0..250) * MS), Action::Lead { server: to });
        if rng.bool() {
            self.add(at + rng.u64(0..300) * MS, Action::ResetAll { server });
        }
    }

    fn add_dial_trouble(&mut self, rng: &mut Rng, at: u64, server: usize, lasts: u64) {
        let action = match rng.u32(0..5) {
            0 => Action::SynVanish { lasts },
            1 => Action::Mute { dials: rng.u32(1..20) },
            2 => Action::NoDns { lasts },
            3 => Action::Full { server, lasts },
            _ => Action::Refuse { server, lasts },
        };
        self.add(at.saturating_sub(1), action);
    }

    fn add_password(&mut self, rng: &mut Rng, at: u64) {
        let tell = rng.bool();
        for server in 0..self.servers.len() {
            let password = Some("changed".to_owned());
            self.add(at, Action::Password { server, password, tell });
        }
        let server = rng.usize(0..self.servers.len());
        self.add(at + 1, Action::ResetAll { server });
    }
}
