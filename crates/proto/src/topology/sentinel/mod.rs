//! Redis Sentinel: the primary is whom the Sentinels name, or whom they are about to name.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod.rs` | the topology: what happens, and what follows from it |
//! | [`words`] | what each Sentinel has said, and whose word counts |
//! | [`answers`] | what they answer, read |
//!
//! Sentinels tell of a promotion up to two seconds late, so that while the primary does not answer its replicas are asked themselves: docs/design/topology.md.

mod answers;
mod words;

use std::collections::VecDeque;
use std::time::Duration;

use redial_resp::Frame;

use self::words::{Said, Words};
use super::informants::Informants;
use super::readers::Readers;
use super::{Node, NodeId, Order, Question, Signal, Topology};
use crate::command::Body;
use crate::config::{Config, Endpoint, Protocol, Sentinels, Session};
use crate::connection::identity::{Lineage, Role, Server};
use crate::error::Error;
use crate::event::State;
use crate::rng::Rng;
use crate::time::Time;

const PRIMARY: NodeId = NodeId(0);

/// The channel on which Sentinels announce a new primary.
const SWITCH: &str = "+switch-master";

/// At the beginning, the next Sentinel is asked when the last one has not answered for this long.
const NEXT_AFTER: Duration = Duration::from_millis(200);

/// When all have failed they are asked again after this long.
const ROUND_AFTER: Duration = Duration::from_millis(500);

/// While the primary does not answer: replicas and Sentinels are asked this often.
const ASK_REPLICAS_EVERY: Duration = Duration::from_millis(50);
const ASK_SENTINELS_EVERY: Duration = Duration::from_millis(200);

/// Sentinels wait for 30 s by default before they take a primary for down, and an election takes seconds; after that there is no hurry.
const HURRY_FOR: Duration = Duration::from_secs(60);
const UNHURRIED: Duration = Duration::from_secs(1);

/// Who was asked in trouble is kept for this long after it: a server that hides its role is ready again at once, and refuses the next write.
const CALM_AFTER: Duration = Duration::from_secs(1);

/// Replicas and Sentinels come and go: Sentinels themselves ask every 10 s.
const REFRESH_EVERY: Duration = Duration::from_secs(10);

/// Sentinels that are listened to.
const LISTENED_TO: usize = 2;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Id,
    Epoch,
    Address,
    Sentinels,
    Replicas,
    Role,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Sentinel {
    service: String,
    seeds: Vec<Endpoint>,
    /// Of connections to Sentinels.
    session: Session,
    sentinel_tls: bool,
    tls: bool,
    words: Words,
    informants: Informants<About>,
    readers: Readers,
    replicas: Vec<Endpoint>,
    /// The primary's data.
    lineage: Option<Lineage>,
    listened_to: Vec<NodeId>,
    /// Since when the primary does not answer, or is no primary.
    trouble: Option<Time>,
    /// When Sentinels are to be asked where the primary is; replicas, whether they lead; and both who there is.
    next_word: Time,
    next_role: Time,
    next_refresh: Time,
    /// When who was asked in trouble can be forgotten.
    calm_at: Time,
    /// Whose turn it is at the beginning.
    turn: usize,
    orders: VecDeque<Order>,
    is_connected: bool,
}

impl Sentinel {
    pub(crate) fn new(config: &Config, sentinels: &Sentinels) -> Self {
        let mut informants = Informants::default();
        let primary = informants.new_node();
        debug_assert_eq!(primary, PRIMARY);
        let session = Session {
            credentials: sentinels.credentials.clone(),
            client_name: config.session.client_name.clone(),
            protocol: Protocol::Resp3,
            ..Session::default()
        };
        Self {
            service: sentinels.service.clone(),
            seeds: sentinels.endpoints.clone(),
            session,
            sentinel_tls: sentinels.tls,
            tls: config.tls,
            words: Words::default(),
            informants,
            readers: Readers::new(&config.read_from),
            replicas: Vec::new(),
            lineage: None,
            listened_to: Vec::new(),
            trouble: None,
            next_word: Time::NEVER,
            next_role: Time::NEVER,
            next_refresh: Time::NEVER,
            calm_at: Time::NEVER,
            turn: 0,
            orders: VecDeque::new(),
            is_connected: false,
        }
    }

    fn connect(&mut self, now: Time) {
        self.is_connected = true;
        self.add_seeds();
        self.turn = 0;
        self.next_word = now;
        self.next_refresh = Time::NEVER;
    }

    /// Those that are configured count again, also where two of them led to the same Sentinel before.
    fn add_seeds(&mut self) {
        for seed in self.seeds.clone() {
            let node = self.informants.at(&seed);
            self.words.add_seed(seed, node);
        }
    }

    fn disconnect(&mut self) {
        self.is_connected = false;
        self.trouble = None;
        self.calm_at = Time::NEVER;
        self.words.forget();
        self.listened_to.clear();
        self.informants.forget_but(&[], &mut self.orders);
    }

    /// Asks a Sentinel where the primary is: the epoch first, since a word is worth what its epoch is.
    fn ask_where(&mut self, now: Time, node: NodeId) {
        let service = self.service.as_str();
        let questions: &[(About, &[&str])] = &[
            (About::Id, &["SENTINEL", "MYID"]),
            (About::Epoch, &["SENTINEL", "MASTER", service]),
            (About::Address, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service]),
        ];
        self.informants.ask(now, node, questions, &mut self.orders);
    }

    fn ask_who(&mut self, now: Time, node: NodeId) {
        let service = self.service.as_str();
        let questions: &[(About, &[&str])] = &[
            (About::Sentinels, &["SENTINEL", "SENTINELS", service]),
            (About::Replicas, &["SENTINEL", "REPLICAS", service]),
        ];
        self.informants.ask(now, node, questions, &mut self.orders);
    }

    /// It is time to ask where the primary is.
    fn on_word_due(&mut self, now: Time, rng: &mut Rng) {
        if let (Some(_), Some(since)) = (&self.words.primary, self.trouble) {
            for node in self.words.list.iter().map(|known| known.node).collect::<Vec<_>>() {
                self.ask_where(now, node);
            }
            self.next_word = now + rng.around(pace(now, since, ASK_SENTINELS_EVERY));
            return;
        }
        if self.words.primary.is_some() && !self.listened_to.is_empty() {
            self.next_word = Time::NEVER;
            return;
        }
        let Some(node) = self.words.list.get(self.turn).map(|known| known.node) else {
            self.turn = 0;
            self.add_seeds();
            self.next_word = now + rng.around(ROUND_AFTER);
            return;
        };
        self.turn += 1;
        self.ask_where(now, node);
        self.next_word = now + rng.around(NEXT_AFTER);
    }

    fn on_role_due(&mut self, now: Time, rng: &mut Rng) {
        let Some(since) = self.trouble else {
            self.next_role = Time::NEVER;
            return;
        };
        for replica in self.replicas.clone() {
            let node = self.informants.at(&replica);
            self.informants.ask(
                now,
                node,
                &[(About::Role, &["INFO", "replication"])],
                &mut self.orders,
            );
        }
        self.next_role = now + rng.around(pace(now, since, ASK_REPLICAS_EVERY));
    }

    fn on_refresh_due(&mut self, now: Time, rng: &mut Rng) {
        self.next_refresh = now + rng.around(REFRESH_EVERY);
        for node in self.listened_to.clone() {
            self.ask_where(now, node);
            self.ask_who(now, node);
        }
    }

    fn on_state(&mut self, now: Time, node: NodeId, state: State) {
        self.readers.on_state(node, state, &mut self.orders);
        if node != PRIMARY || !self.is_connected {
            return;
        }
        match state {
            State::Ready => {
                self.trouble = None;
                self.calm_at = now + CALM_AFTER;
            }
            State::Suspect | State::Close | State::Reconnecting if self.trouble.is_none() => {
                self.trouble = Some(now);
                self.add_seeds();
                self.calm_at = Time::NEVER;
                self.next_word = now;
                self.next_role = now;
            }
            _ => {}
        }
    }

    /// Only who is listened to is kept while all is well.
    fn forget_idle(&mut self) {
        if self.trouble.is_none() && self.words.primary.is_some() {
            self.informants.forget_but(&self.listened_to, &mut self.orders);
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
        match (about, reply) {
            (About::Id, Ok(frame)) => {
                if let Some(id) = answers::parse_id(frame) {
                    let others = self.words.on_id(node, id);
                    self.forget(&others);
                }
            }
            (About::Epoch, Ok(frame)) => {
                if let (Some(known), Some(epoch)) =
                    (self.words.get(node), answers::parse_epoch(frame))
                {
                    known.epoch = epoch;
                }
            }
            (About::Address, Ok(frame)) => match answers::parse_address(frame, &self.service) {
                Ok(endpoint) => self.on_named(now, rng, node, endpoint),
                Err(text) => self.on_failed(now, node, text),
            },
            (About::Address, Err(text)) => self.on_failed(now, node, text.to_owned()),
            (About::Sentinels, Ok(frame)) => {
                let others = answers::parse_list(frame);
                let knows_others = !others.is_empty();
                for listed in others {
                    let its = self.informants.at(&listed.endpoint);
                    let id = Some(listed.id).filter(|id| !id.is_empty());
                    self.words.on_listed(now, listed.endpoint, its, id);
                }
                if knows_others {
                    let gone = self.words.forget_gone(now);
                    self.forget(&gone);
                }
                self.listen();
            }
            (About::Replicas, Ok(frame)) if frame.error().is_none() => {
                let listed = answers::parse_list(frame).into_iter();
                self.replicas = listed.filter(|l| !l.is_down).map(|l| l.endpoint).collect();
                self.sync_readers();
            }
            (About::Role, Ok(frame)) => self.on_role(now, node, frame),
            _ => {}
        }
    }

    fn on_named(&mut self, now: Time, rng: &mut Rng, node: NodeId, endpoint: Endpoint) {
        let is_first = self.listened_to.is_empty();
        let is_news = self.words.on_named(now, node, endpoint);
        if is_first {
            self.next_word = Time::NEVER;
            self.next_refresh = now + rng.around(REFRESH_EVERY);
            self.listened_to = vec![node];
            self.orders.push_back(Order::Listen(node, SWITCH));
            self.forget_idle();
        }
        if is_news {
            self.orders.push_back(Order::Lead(PRIMARY));
        }
        if is_first || is_news {
            self.ask_who(now, node);
        }
    }

    fn on_failed(&mut self, now: Time, node: NodeId, text: String) {
        if let Some(known) = self.words.get(node) {
            known.said = Said::Failed(text);
        }
        if let Some(at) = self.listened_to.iter().position(|its| *its == node) {
            // Another steps in, and this one may come back.
            self.listened_to.remove(at);
            self.listen();
            self.forget_idle();
        }
        if self.words.primary.is_none() || self.listened_to.is_empty() {
            self.next_word = self.next_word.min(now + Duration::from_millis(1));
            let text = self.words.why_none(&self.service);
            self.orders.push_back(Order::Unfound(PRIMARY, text));
            if self.words.have_all_failed() {
                self.add_seeds();
                self.next_word = now + ROUND_AFTER;
                self.turn = 0;
            }
        }
    }

    /// These are no Sentinels any more, or not under these addresses: their links would be taken for links to servers, and be given servers' passwords.
    fn forget(&mut self, nodes: &[NodeId]) {
        if nodes.is_empty() {
            return;
        }
        self.listened_to.retain(|node| !nodes.contains(node));
        self.informants.forget(nodes, &mut self.orders);
        if self.words.primary.is_some() {
            self.listen();
        }
    }

    /// Listens to as many Sentinels as it should; first to those that have answered.
    fn listen(&mut self) {
        let rank = |said: &Said| match said {
            Said::Named(..) => 0,
            Said::Nothing => 1,
            Said::Failed(_) => 2,
        };
        let mut others: Vec<_> = self
            .words
            .list
            .iter()
            .filter(|known| !self.listened_to.contains(&known.node))
            .map(|known| (rank(&known.said), known.node))
            .collect();
        others.sort_unstable();
        for (_, node) in others.into_iter().take(LISTENED_TO.saturating_sub(self.listened_to.len()))
        {
            self.listened_to.push(node);
            self.informants.keep(node);
            self.orders.push_back(Order::Listen(node, SWITCH));
        }
    }

    /// A replica that leads while its primary does not answer was promoted, and the Sentinels will say so. But one whose data does not continue the
    /// primary's (under another name, as `REPLICAOF NO ONE` has it) has led before it, and nobody has told it yet that it does not any more.
    fn on_role(&mut self, now: Time, node: NodeId, frame: &Frame) {
        let mut server = Server::unknown();
        server.read_info(frame);
        let continues = match (&self.lineage, &server.lineage) {
            (Some(mine), Some(its)) => its.descends_from(mine) && its.replid != mine.replid,
            _ => false,
        };
        let Some(endpoint) = self.informants.endpoint(node).cloned() else { return };
        if server.role == Role::Replica {
            self.words.on_replica(&endpoint);
        }
        if server.role != Role::Primary || !continues {
            return;
        }
        if self.trouble.is_some() && self.words.on_found(now, &endpoint) {
            self.orders.push_back(Order::Lead(PRIMARY));
        }
    }

    fn sync_readers(&mut self) {
        let primary = self.words.primary.as_ref().map(|primary| &primary.endpoint);
        let replicas = self.replicas.iter().filter(|replica| Some(*replica) != primary);
        let informants = &mut self.informants;
        self.readers.sync(PRIMARY, replicas, || informants.new_node(), &mut self.orders);
    }
}

/// More slowly once it has lasted.
fn pace(now: Time, since: Time, hurried: Duration) -> Duration {
    if now.since(since) < HURRY_FOR { hurried } else { UNHURRIED }
}

impl Topology for Sentinel {
    fn route(&self, body: Body<'_>) -> Result<NodeId, Error> {
        let is_read = self.readers.are_wanted() && body.class().only_reads();
        Ok(if is_read { self.readers.choose(PRIMARY) } else { PRIMARY })
    }

    fn is_single(&self) -> bool {
        !self.readers.are_wanted()
    }

    fn is_partitioned(&self) -> bool {
        false
    }

    fn node(&self, node: NodeId) -> Node<'_> {
        if node == PRIMARY {
            return Node::at(
                self.words.primary.as_ref().map(|primary| &primary.endpoint),
                self.tls,
            );
        }
        let reader = self.readers.endpoint(node);
        let endpoint = reader.or_else(|| self.informants.endpoint(node));
        if self.words.is_known(node) {
            return Node { session: Some(&self.session), ..Node::at(endpoint, self.sentinel_tls) };
        }
        Node { is_read_from: reader.is_some(), ..Node::at(endpoint, self.tls) }
    }

    fn judge(&self, node: NodeId, role: Role) -> bool {
        node != PRIMARY || role != Role::Replica
    }

    fn vouches(&self) -> bool {
        true
    }

    fn wants_primary(&self, node: NodeId) -> bool {
        node == PRIMARY
    }

    fn handle(&mut self, now: Time, rng: &mut Rng, signal: Signal<'_>) {
        match signal {
            Signal::Connect => self.connect(now),
            Signal::Disconnect => self.disconnect(),
            Signal::State(node, state) => self.on_state(now, node, state),
            Signal::History(PRIMARY, lineage) => self.lineage = Some(lineage.clone()),
            Signal::Answered(node, question, reply) => {
                self.on_answer(now, rng, node, question, reply);
            }
            Signal::Measured(node, rtt, zone) => self.readers.on_measured(node, rtt, zone),
            Signal::Heard(node, frame) => {
                if answers::is_switch(frame, &self.service) {
                    // What it is being asked it may have answered before.
                    self.informants.drop_asked(node, &[About::Id, About::Epoch, About::Address]);
                    self.ask_where(now, node);
                }
            }
            // What it announced in between was not heard.
            Signal::Listens(node) if self.listened_to.contains(&node) => self.ask_where(now, node),
            Signal::Listens(_) | Signal::Down | Signal::History(..) => {}
            Signal::Tick => {
                if self.next_word <= now {
                    self.on_word_due(now, rng);
                }
                if self.next_role <= now {
                    self.on_role_due(now, rng);
                }
                if self.next_refresh <= now {
                    self.on_refresh_due(now, rng);
                }
                if self.calm_at <= now {
                    self.calm_at = Time::NEVER;
                    self.forget_idle();
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
        self.next_word.min(self.next_role).min(self.next_refresh).min(self.calm_at)
    }
}

#[cfg(test)]
mod tests;
