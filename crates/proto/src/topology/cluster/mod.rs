//! Redis Cluster: 16,384 slots, each with a primary of its own.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod.rs` | the topology: what happens, and what follows from it |
//! | [`seeds`] | the first views, until it is known that they are of one cluster |
//! | [`shards`] | the shards, and whose place is where |
//! | [`slots`] | which shard has which slot |
//! | [`view`] | what nodes answer, read |
//!
//! Why a shard is a node, and which view is believed: docs/design/topology.md.

mod seeds;
mod shards;
mod slots;
mod view;

use std::collections::VecDeque;
use std::time::Duration;

use redial_resp::Frame;

use self::seeds::{Verdict, Views};
use self::shards::Shards;
use super::informants::Informants;
use super::readers::Readers;
use super::{Node, NodeId, Order, Question, Redirect, Signal, Topology};
use crate::command::{Body, slot_of};
use crate::config::{Config, Endpoint, Seeds};
use crate::connection::identity::Role;
use crate::error::Error;
use crate::event::State;
use crate::rng::Rng;
use crate::time::Time;

/// How long a view holds where nothing says that it is old. Redirects tell of slots that moved; this is for replicas that come and go.
const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// The same where reads want replicas and a shard has none: servers do not name a replica before it has data (`isReplicaAvailable` in redis' cluster_legacy.c).
const REFRESH_FOR_REPLICAS: Duration = Duration::from_secs(2);

/// After a redirect there may be more to learn. All clients of a cluster hear of a slot at about the same time.
const REFRESH_SOON: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// While a shard has no primary that answers: its replicas are asked this often whether one of them leads, and others which slots have moved.
const ASK_REPLICAS_EVERY: Duration = Duration::from_millis(50);
const ASK_OTHERS_EVERY: Duration = Duration::from_millis(300);

/// A node that says that the cluster is down may be cut off from it; most of the others know more.
const ASK_WHEN_DOWN: Duration = Duration::from_millis(100);

/// An election is over in seconds (FACTS §5.3); after this long there is no hurry.
const HURRY_FOR: Duration = Duration::from_secs(30);
const UNHURRIED: Duration = Duration::from_secs(1);

/// While nothing is known, the seeds are asked again this often.
const ASK_SEEDS_EVERY: Duration = Duration::from_millis(250);

/// A view of an older epoch than was seen is of a node that lags behind, or is cut off; when nobody has told a newer one for this long, the cluster was set up
/// anew.
const DISTRUST_FOR: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Epoch,
    Slots,
    Role,
}

/// The epoch comes first: a view is worth what its epoch is.
const SLOTS: &[(About, &[&str])] =
    &[(About::Epoch, &["CLUSTER", "INFO"]), (About::Slots, &["CLUSTER", "SLOTS"])];
const ROLE: &[(About, &[&str])] = &[(About::Role, &["ROLE"])];

/// A shard whose primary does not answer.
#[derive(Debug)]
struct Trouble {
    node: NodeId,
    since: Time,
    /// When its replicas are to be asked.
    next: Time,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Cluster {
    seeds: Seeds,
    tls: bool,
    shards: Shards,
    informants: Informants<About>,
    /// What each said last of its epoch.
    epochs: Vec<(NodeId, u64)>,
    turn: usize,
    views: Views,
    readers: Readers,
    trouble: Vec<Trouble>,
    orders: VecDeque<Order>,
    /// When a view is to be asked for.
    refresh: Time,
    /// Of the view in use.
    epoch: u64,
    /// Since when only views of an older epoch are told.
    doubted: Option<Time>,
    is_connected: bool,
}

impl Cluster {
    pub(crate) fn new(config: &Config, seeds: &Seeds) -> Self {
        Self {
            seeds: seeds.clone(),
            tls: config.tls,
            shards: Shards::default(),
            informants: Informants::default(),
            epochs: Vec::new(),
            turn: 0,
            views: Views::default(),
            readers: Readers::new(&config.read_from),
            trouble: Vec::new(),
            orders: VecDeque::new(),
            refresh: Time::NEVER,
            epoch: 0,
            doubted: None,
            is_connected: false,
        }
    }

    /// Where a node is reached that is announced at this place.
    fn mapped(&self, endpoint: Endpoint) -> Endpoint {
        let found = self.seeds.address_map.iter().find(|(announced, _)| *announced == endpoint);
        found.map_or(endpoint, |(_, reached)| reached.clone())
    }

    fn endpoint(&self, node: NodeId) -> Option<&Endpoint> {
        let shard = self.shards.get(node).map(|shard| &shard.primary.endpoint);
        shard.or_else(|| self.readers.endpoint(node)).or_else(|| self.informants.endpoint(node))
    }

    fn connect(&mut self, now: Time) {
        self.is_connected = true;
        self.refresh = now;
        self.views = Views::default();
    }

    fn disconnect(&mut self) {
        self.is_connected = false;
        self.refresh = Time::NEVER;
        self.trouble.clear();
        self.informants.forget_but(&[], &mut self.orders);
    }

    /// Asks for a view: of somebody who should know, another one each time.
    fn ask_for_view(&mut self, now: Time, rng: &mut Rng) {
        if self.shards.is_empty() {
            let seeds = self.seeds.endpoints.clone();
            for seed in seeds {
                let node = self.informants.at(&seed);
                self.informants.ask(now, node, SLOTS, &mut self.orders);
            }
            self.refresh = now + rng.around(ASK_SEEDS_EVERY);
            return;
        }
        let is_well = |node: NodeId| !self.trouble.iter().any(|trouble| trouble.node == node);
        let well: Vec<_> =
            self.shards.iter().map(|shard| shard.node).filter(|n| is_well(*n)).collect();
        if well.is_empty() {
            // Nobody answers whose place is known: whoever may have become somebody is asked, and where it began.
            let replicas = self.shards.iter().flat_map(|shard| &shard.replicas);
            let places: Vec<_> = replicas
                .map(|replica| replica.endpoint.clone())
                .chain(self.seeds.endpoints.iter().cloned())
                .collect();
            for place in places {
                let node = self.informants.at(&place);
                self.informants.ask(now, node, SLOTS, &mut self.orders);
            }
        } else {
            self.turn = self.turn.wrapping_add(1);
            if let Some(node) = well.get(self.turn % well.len()) {
                self.informants.ask(now, *node, SLOTS, &mut self.orders);
            }
        }
        let every = if self.trouble.is_empty() {
            self.refresh_every()
        } else {
            self.pace(now, ASK_OTHERS_EVERY)
        };
        self.refresh = now + rng.around(every);
    }

    fn refresh_every(&self) -> Duration {
        let lacks_replicas = self.shards.iter().any(|shard| shard.replicas.is_empty());
        if self.readers.are_wanted() && lacks_replicas {
            REFRESH_FOR_REPLICAS
        } else {
            REFRESH_EVERY
        }
    }

    /// More slowly once the trouble has lasted.
    fn pace(&self, now: Time, hurried: Duration) -> Duration {
        let since = self.trouble.iter().map(|trouble| trouble.since).max().unwrap_or(now);
        if now.since(since) < HURRY_FOR { hurried } else { UNHURRIED.max(hurried) }
    }

    fn refresh_soon(&mut self, now: Time, rng: &mut Rng) {
        let (from, to) = REFRESH_SOON;
        self.refresh = self.refresh.min(now + rng.between(from, to));
    }

    fn on_state(&mut self, now: Time, rng: &mut Rng, node: NodeId, state: State) {
        self.readers.on_state(node, state, &mut self.orders);
        if self.shards.get(node).is_none() || !self.is_connected {
            return;
        }
        if matches!(state, State::Close | State::Reconnecting) && !self.shards.slots.has_any(node) {
            // What was sent here for once is for whoever has its slot.
            self.orders.push_back(Order::Sort(node));
        }
        match state {
            State::Ready | State::End => {
                self.trouble.retain(|trouble| trouble.node != node);
                self.forget_idle();
            }
            State::Suspect | State::Close | State::Reconnecting => {
                if !self.trouble.iter().any(|trouble| trouble.node == node) {
                    self.trouble.push(Trouble { node, since: now, next: now });
                    self.refresh = self.refresh.min(now + rng.around(ASK_REPLICAS_EVERY));
                }
            }
            State::Wait | State::Connecting | State::Connect => {}
        }
    }

    /// Links of questions are kept only while there is something to ask.
    fn forget_idle(&mut self) {
        if self.trouble.is_empty() && !self.shards.is_empty() {
            self.informants.forget_but(&[], &mut self.orders);
        }
    }

    fn ask_replicas(&mut self, now: Time, rng: &mut Rng) {
        let pace = self.pace(now, ASK_REPLICAS_EVERY);
        let mut due = Vec::new();
        for trouble in self.trouble.iter_mut().filter(|trouble| trouble.next <= now) {
            trouble.next = now + rng.around(pace);
            due.push(trouble.node);
        }
        for shard in due {
            let Some(shard) = self.shards.get(shard) else { continue };
            let replicas: Vec<_> = shard.replicas.iter().map(|r| r.endpoint.clone()).collect();
            for replica in replicas {
                let node = self.informants.at(&replica);
                self.informants.ask(now, node, ROLE, &mut self.orders);
            }
        }
    }

    fn on_answer(
        &mut self,
        now: Time,
        rng: &mut Rng,
        node: NodeId,
        question: Question,
        reply: Result<&Frame, &str>,
    ) {
        let Some(about) = self.informants.answered(node, question) else { return };
        let Some(asked) = self.endpoint(node).cloned() else { return };
        match (about, reply) {
            (About::Epoch, Ok(frame)) => {
                self.epochs.retain(|(its, _)| *its != node);
                self.epochs.push((node, view::parse_epoch(frame).unwrap_or(0)));
            }
            (About::Role, Ok(frame)) if view::is_primary(frame) => {
                self.informants.ask(now, node, SLOTS, &mut self.orders);
            }
            (About::Role | About::Epoch, _) => {}
            (About::Slots, Ok(frame)) => match view::parse_slots(frame, &asked) {
                Ok(owners) => {
                    let owners = self.map_all(owners);
                    self.on_view(now, rng, node, &asked, owners);
                }
                Err(text) => self.on_no_view(now, rng, &asked, text),
            },
            (About::Slots, Err(text)) => self.on_no_view(now, rng, &asked, text.to_owned()),
        }
    }

    fn map_all(&self, mut owners: Vec<view::Owner>) -> Vec<view::Owner> {
        for owner in &mut owners {
            for member in std::iter::once(&mut owner.primary).chain(&mut owner.replicas) {
                member.endpoint = self.mapped(member.endpoint.clone());
            }
        }
        owners
    }

    fn on_view(
        &mut self,
        now: Time,
        rng: &mut Rng,
        node: NodeId,
        asked: &Endpoint,
        owners: Vec<view::Owner>,
    ) {
        let told = self.epochs.iter().find(|(its, _)| *its == node);
        let epoch = told.map_or(0, |(_, epoch)| *epoch);
        if self.shards.is_empty() {
            self.views.note(now, asked, epoch, owners);
            return self.choose(now, rng);
        }
        if epoch < self.epoch {
            let since = *self.doubted.get_or_insert(now);
            if now.since(since) < DISTRUST_FOR {
                self.refresh = self.refresh.min(now + rng.around(ASK_OTHERS_EVERY));
                return;
            }
        }
        self.apply(now, epoch, owners);
    }

    fn on_no_view(&mut self, now: Time, rng: &mut Rng, asked: &Endpoint, text: String) {
        if self.shards.is_empty() {
            self.views.note_failure(asked, text);
            self.choose(now, rng);
        } else if !self.trouble.is_empty() {
            self.refresh = self.refresh.min(now + rng.around(ASK_OTHERS_EVERY));
        }
    }

    /// Before the first view is taken over: whether the seeds agree.
    fn choose(&mut self, now: Time, rng: &mut Rng) {
        match self.views.verdict(now, &self.seeds.endpoints) {
            Verdict::Take(epoch, owners) => {
                self.apply(now, epoch, owners);
                self.orders.push_back(Order::Sort(NodeId::default()));
                self.refresh = now + rng.around(self.refresh_every());
                self.forget_idle();
            }
            Verdict::Wait(until) => self.refresh = self.refresh.min(until),
            Verdict::None(text) => self.orders.push_back(Order::Unfound(NodeId::default(), text)),
        }
    }

    fn apply(&mut self, now: Time, epoch: u64, owners: Vec<view::Owner>) {
        (self.epoch, self.doubted) = (epoch, None);
        let informants = &mut self.informants;
        let version = self.shards.slots.version();
        let is_troubled = |node| self.trouble.iter().any(|trouble| trouble.node == node);
        let new_id = || informants.new_node();
        let changes = self.shards.apply(now, owners, is_troubled, new_id);
        self.orders.extend(changes.led.into_iter().map(Order::Lead));
        self.trouble.retain(|trouble| !changes.gone.contains(&trouble.node));
        if self.shards.slots.version() != version {
            // Where a node does not answer, something may wait for slots that others have by now.
            self.orders.extend(self.shards.iter().map(|shard| Order::Sort(shard.node)));
        }
        for node in &changes.gone {
            self.readers.drop_all_of(*node, &mut self.orders);
        }
        for shard in self.shards.iter() {
            let replicas = shard.replicas.iter().map(|replica| &replica.endpoint);
            let informants = &mut self.informants;
            self.readers.sync(shard.node, replicas, || informants.new_node(), &mut self.orders);
        }
        self.orders.extend(changes.gone.into_iter().map(Order::Dissolve));
    }
}

impl Topology for Cluster {
    #[inline]
    fn route(&self, body: Body<'_>) -> Result<NodeId, Error> {
        let slot = slot_of(body)?;
        // A slot that nobody has is refused by any node, in words that say so.
        let node = slot.and_then(|slot| self.shards.slots.get(slot)).unwrap_or_default();
        let is_read = || body.class().only_reads();
        Ok(if self.readers.are_wanted() && slot.is_some() && is_read() {
            self.readers.choose(node)
        } else {
            node
        })
    }

    fn is_single(&self) -> bool {
        false
    }

    fn parts(&self) -> Vec<NodeId> {
        self.shards.with_slots().collect()
    }

    fn version(&self) -> u64 {
        self.shards.slots.version()
    }

    fn node(&self, node: NodeId) -> Node<'_> {
        let endpoint = self.endpoint(node);
        let is_address = matches!(endpoint, Some(Endpoint::Tcp { host, .. }) if host.parse::<::core::net::IpAddr>().is_ok());
        // Certificates have names, and nodes announce addresses.
        let named = self.seeds.endpoints.first().filter(|_| is_address);
        let is_read_from = self.readers.endpoint(node).is_some();
        Node { tls_name: named, is_read_from, ..Node::at(endpoint, self.tls) }
    }

    fn judge(&self, node: NodeId, role: Role) -> bool {
        !self.wants_primary(node) || role != Role::Replica
    }

    fn vouches(&self) -> bool {
        true
    }

    fn wants_primary(&self, node: NodeId) -> bool {
        self.shards.get(node).is_some()
    }

    fn redirect(&mut self, now: Time, rng: &mut Rng, from: NodeId, to: &Redirect) -> NodeId {
        let had = self.shards.slots.get(to.slot);
        if to.host == view::NAMELESS {
            // Which host that is, a view says.
            self.refresh_soon(now, rng);
            return had.unwrap_or(from);
        }
        let place = match self.endpoint(from) {
            Some(speaker) => view::place(&to.host, to.port, speaker),
            // A node that was given up still says where things are, but not any more where it is itself.
            None if to.host.is_empty() => return had.unwrap_or_default(),
            None => Endpoint::Tcp { host: to.host.clone(), port: to.port },
        };
        let endpoint = self.mapped(place);
        let informants = &mut self.informants;
        let (node, is_news) =
            self.shards.on_redirect(now, to.slot, &endpoint, !to.is_once, || informants.new_node());
        if is_news {
            self.orders.push_back(Order::Lead(node));
        }
        if !to.is_once {
            self.refresh_soon(now, rng);
            // What waits there for the slot is not to come behind what is sent from now on.
            self.orders.extend(had.filter(|had| *had != node).map(Order::Sort));
        } else if self.trouble.iter().any(|trouble| trouble.node == node) {
            // The slot's owner may say something else soon.
            return from;
        }
        node
    }

    fn handle(&mut self, now: Time, rng: &mut Rng, signal: Signal<'_>) {
        match signal {
            Signal::Connect => self.connect(now),
            Signal::Disconnect => self.disconnect(),
            Signal::State(node, state) => self.on_state(now, rng, node, state),
            Signal::Answered(node, question, reply) => {
                self.on_answer(now, rng, node, question, reply);
            }
            Signal::Measured(node, rtt, zone) => self.readers.on_measured(node, rtt, zone),
            Signal::Down => self.refresh = self.refresh.min(now + rng.around(ASK_WHEN_DOWN)),
            Signal::Heard(..) | Signal::History(..) | Signal::Listens(_) => {}
            Signal::Tick => {
                if self.shards.is_empty() {
                    self.choose(now, rng);
                }
                self.ask_replicas(now, rng);
                if self.refresh <= now {
                    self.ask_for_view(now, rng);
                }
            }
        }
    }

    fn poll_output(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    fn poll_timeout(&self) -> Time {
        if !self.is_connected {
            return Time::NEVER;
        }
        self.trouble
            .iter()
            .map(|trouble| trouble.next)
            .min()
            .unwrap_or(Time::NEVER)
            .min(self.refresh)
    }
}
