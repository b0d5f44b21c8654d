//! Whom the cluster is asked about, and what is asked and not answered: one question of a kind at a time for each node.

use std::collections::VecDeque;
use std::time::Duration;

use redial_resp::Command;

use crate::config::Endpoint;
use crate::time::Time;
use crate::topology::{NodeId, Order, Question};

/// A question that is not answered for this long may be asked again, of somebody else too.
const PATIENCE: Duration = Duration::from_millis(300);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// CLUSTER INFO
    Epoch,
    /// CLUSTER SLOTS; the epoch is asked for in front of it.
    Slots,
    /// ROLE
    Role,
}

/// A question under way.
#[derive(Debug)]
struct Asked {
    node: NodeId,
    question: Question,
    about: About,
    at: Time,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Informants {
    /// Numbers handed out; 0 is for the first shard.
    last: u32,
    has_home: bool,
    questions: u32,
    places: Vec<(Endpoint, NodeId)>,
    asked: Vec<Asked>,
    epochs: Vec<(NodeId, u64)>,
    /// Nodes that have a link for questions alone.
    linked: Vec<NodeId>,
    turn: usize,
}

impl Informants {
    fn next_node(&mut self) -> NodeId {
        self.last += 1;
        NodeId(self.last)
    }

    /// A number for a shard.
    pub(super) fn new_shard(&mut self) -> NodeId {
        if std::mem::replace(&mut self.has_home, true) {
            self.next_node()
        } else {
            NodeId::default()
        }
    }

    /// The number of whoever is to be asked at this place.
    pub(super) fn at(&mut self, endpoint: &Endpoint) -> NodeId {
        if let Some((_, node)) = self.places.iter().find(|(its, _)| its == endpoint) {
            return *node;
        }
        let node = self.next_node();
        self.places.push((endpoint.clone(), node));
        node
    }

    pub(super) fn endpoint(&self, node: NodeId) -> Option<&Endpoint> {
        self.places.iter().find(|(_, its)| *its == node).map(|(endpoint, _)| endpoint)
    }

    /// Asks, unless the same is being asked there.
    pub(super) fn ask(
        &mut self,
        now: Time,
        node: NodeId,
        about: About,
        orders: &mut VecDeque<Order>,
    ) {
        let is_under_way = |asked: &Asked| {
            asked.node == node && asked.about == about && now.since(asked.at) < PATIENCE
        };
        if self.asked.iter().any(is_under_way) {
            return;
        }
        let forgotten = |asked: &Asked| asked.node == node && asked.about == about;
        self.asked.retain(|asked| !forgotten(asked));
        if self.endpoint(node).is_some() && !self.linked.contains(&node) {
            self.linked.push(node);
        }
        let (both, one) = (
            [(About::Epoch, "CLUSTER INFO"), (About::Slots, "CLUSTER SLOTS")],
            [(About::Role, "ROLE")],
        );
        let commands = if about == About::Slots { &both[..] } else { &one[..] };
        for (about, command) in commands {
            self.questions = self.questions.wrapping_add(1);
            let question = Question(self.questions);
            self.asked.push(Asked { node, question, about: *about, at: now });
            orders.push_back(Order::Ask(node, question, Command::new(command)));
        }
    }

    /// Asks one of these for its view, another one each time.
    pub(super) fn ask_next(&mut self, now: Time, of: &[NodeId], orders: &mut VecDeque<Order>) {
        self.turn = self.turn.wrapping_add(1);
        if let Some(node) = of.get(self.turn % of.len().max(1)) {
            self.ask(now, *node, About::Slots, orders);
        }
    }

    /// A question is answered: what it was about.
    pub(super) fn answered(&mut self, node: NodeId, question: Question) -> Option<About> {
        let is_it = |asked: &Asked| asked.node == node && asked.question == question;
        let at = self.asked.iter().position(is_it)?;
        Some(self.asked.swap_remove(at).about)
    }

    pub(super) fn note_epoch(&mut self, node: NodeId, epoch: u64) {
        self.epochs.retain(|(its, _)| *its != node);
        self.epochs.push((node, epoch));
    }

    pub(super) fn epoch(&self, node: NodeId) -> u64 {
        self.epochs.iter().find(|(its, _)| *its == node).map_or(0, |(_, epoch)| *epoch)
    }

    /// Nothing is to be asked for now: the links for it go.
    pub(super) fn forget_all(&mut self, orders: &mut VecDeque<Order>) {
        let linked = std::mem::take(&mut self.linked);
        self.asked.retain(|asked| !linked.contains(&asked.node));
        orders.extend(linked.into_iter().map(Order::Forget));
    }
}
