//! One run: time, the events to come, and everything that there is. It only hands events to whom they concern.

use std::collections::VecDeque;

use redial_proto::{Board, Core, Input, LinkId, RetryBudget, State, SubscriptionKind};

use crate::cluster::{Cluster, SHARDS};
use crate::driver::Client;
use crate::ledger::Ledger;
use crate::net::{Net, Pipe};
use crate::oracle::{Failure, Oracle};
use crate::plan::{ClientPlan, Plan};
use crate::queue::{Event, Queue};
use crate::sentinel::Sentinels;
use crate::server::{Role, Server};
use crate::trace::Trace;

/// When runs begin: not at zero, so that a moment before the beginning can be told from none.
pub(crate) const START: u64 = 1_000_000;

/// A run that is longer than this has not come to its end: ten virtual minutes.
const LONGEST: u64 = START + 600_000_000;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) queue: Queue,
    pub(crate) rng: fastrand::Rng,
    pub(crate) plan: Plan,
    pub(crate) net: Net,
    pub(crate) pipes: Vec<Pipe>,
    /// The last one is no server: a host that accepts and never answers.
    pub(crate) servers: Vec<Server>,
    /// Where the servers are one.
    pub(crate) cluster: Option<Cluster>,
    /// Where Sentinels watch them.
    pub(crate) sentinels: Option<Sentinels>,
    pub(crate) clients: Vec<Client>,
    pub(crate) boards: Vec<Board<(usize, LinkId)>>,
    /// What clients are told before time goes on.
    pub(crate) pending: VecDeque<(usize, Input)>,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    pub(crate) failure: Option<Failure>,
    pub(crate) healed_at: Option<u64>,
    /// The clients are being ended.
    pub(crate) is_ending: bool,
    pub(crate) finale: crate::finale::Finale,
    /// How many histories of data, and runs of processes, there were.
    pub(crate) histories: u32,
    pub(crate) runs: u32,
    pub(crate) events: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, traced: bool) -> Self {
        let mut servers: Vec<Server> = plan
            .servers
            .iter()
            .enumerate()
            .map(|(name, version)| {
                let mut server = Server::new(name, *version);
                if plan.cluster.is_some() {
                    server.role = Cluster::first_role(name);
                    server.replid = format!("replid-of-{}", name % SHARDS);
                } else if name > 0 {
                    server.role = Role::ReplicaOf(0);
                }
                if plan.sentinels.as_ref().is_some_and(|sentinels| name >= sentinels.data) {
                    server.role = Role::Primary;
                    return server;
                }
                server.password.clone_from(&plan.password);
                server.hides = plan.hides;
                server.knows_hello = plan.knows_hello;
                server
            })
            .collect();
        let mut mute = Server::new(servers.len(), plan.servers[0]);
        mute.frozen_until = u64::MAX;
        servers.push(mute);
        let clients = plan
            .clients
            .iter()
            .enumerate()
            .map(|(at, client)| {
                let seed = plan.seed.wrapping_mul(31).wrapping_add(at as u64);
                let core = Core::new(client.config.clone(), RetryBudget::default(), seed);
                Client::new(core, client.process)
            })
            .collect();
        Self {
            now: START,
            queue: Queue::default(),
            rng: fastrand::Rng::with_seed(plan.seed ^ 0x5eed),
            net: Net { cut: vec![[0; 2]; servers.len()], ..Net::default() },
            pipes: Vec::new(),
            boards: plan.clients.iter().map(|_| Board::default()).collect(),
            servers,
            cluster: plan.cluster.as_ref().map(|cluster| Cluster::new(cluster, plan.seed)),
            sentinels: plan.sentinels.as_ref().map(Sentinels::new),
            clients,
            pending: VecDeque::new(),
            ledger: Ledger::default(),
            trace: Trace::new(traced),
            failure: None,
            healed_at: None,
            is_ending: false,
            finale: crate::finale::Finale::default(),
            histories: 0,
            runs: 0,
            events: 0,
            plan,
        }
    }

    /// Notes the first broken rule; the run ends with it.
    pub(crate) fn fail(&mut self, oracle: Oracle, text: impl FnOnce() -> String) {
        if self.failure.is_none() {
            let (seed, at) = (self.plan.seed, self.now - START);
            self.failure = Some(Failure { seed, at, oracle, text: text() });
        }
    }

    /// Runs until the end, or until a rule is broken.
    pub(crate) fn run(&mut self) {
        self.begin();
        while self.failure.is_none() && !self.finale.is_over() {
            let Some((at, event)) = self.queue.pop() else {
                return self.fail(Oracle::ReadyAgain, || "nothing will ever happen again".into());
            };
            self.now = self.now.max(at);
            self.events += 1;
            if self.now > LONGEST {
                return self.fail(Oracle::BusyLoop, || "the run does not come to its end".into());
            }
            self.handle(event);
            self.drain();
        }
    }

    fn begin(&mut self) {
        self.begin_cluster();
        self.begin_sentinels();
        for (at, action) in self.plan.actions.clone() {
            self.queue.push(at, Event::Act(action));
        }
        for client in 0..self.clients.len() {
            self.connect(client);
            let ClientPlan { habit, callers, .. } = &self.plan.clients[client];
            let (habit, callers) = (*habit, *callers);
            match habit.loops {
                Some(wish) if !habit.keeps_coming => (0..callers).for_each(|_| {
                    self.ask_in_turn(client, wish);
                }),
                _ => self.queue.push(self.now, Event::Call(client)),
            }
            self.pump(client);
        }
    }

    /// Connects a client, at first or after an end, with which its subscriptions ended too.
    pub(crate) fn connect(&mut self, client: usize) {
        self.drain();
        let view = &self.clients[client];
        let is_new = view.shared().is_none_or(|link| link.state == State::End);
        if is_new {
            self.clients[client].connected_at = self.now;
        }
        self.input(client, Input::Connect);
        self.drain();
        if is_new && self.plan.clients[client].subscribes {
            let core = &mut self.clients[client].core;
            if let Err(error) = core.subscribe(SubscriptionKind::Channel, b"news", true) {
                self.fail(Oracle::Serves, || format!("SUBSCRIBE was refused: {error}"));
            }
            self.pump(client);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Syn(pipe) => self.on_syn(pipe),
            Event::SynAck(pipe) => self.on_syn_ack(pipe),
            Event::DialError(pipe, text) => self.on_dial_error(pipe, text),
            Event::Arrive { pipe, dir, upto, retransmission } => {
                self.on_arrive(pipe, dir, upto, retransmission);
            }
            Event::Ack { pipe, dir, upto, limit } => self.on_ack(pipe, dir, upto, limit),
            Event::Rto(pipe, dir) => self.on_rto(pipe, dir),
            Event::Rst(pipe, dir) => self.on_rst(pipe, dir),
            Event::Keepalive(pipe) => self.on_keepalive(pipe),
            Event::Wake(server) => self.on_wake(server),
            Event::Turn { server, pipe } => self.serve(server, pipe),
            Event::Unblock { server, pipe, token, element } => {
                self.on_unblock(server, pipe, token, element);
            }
            Event::Tick(client) => self.on_tick(client),
            Event::Call(client) => self.on_call(client),
            Event::Cancel(token) => self.on_cancel(token),
            Event::Act(action) => self.act(action),
            Event::Cron => self.on_cron(),
            Event::Gossip { from, to } => self.on_gossip(from, to),
            Event::Watch => self.on_watch(),
            Event::Switch { watcher, epoch, heir } => self.on_switch(watcher, epoch, heir),
            Event::Check => self.check(),
        }
    }
}
