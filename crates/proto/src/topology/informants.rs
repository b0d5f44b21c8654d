//! Who is asked where servers are, and what is asked and not answered: one question of a kind at a time for each node. `A` is what a question is about.

use std::collections::VecDeque;
use std::time::Duration;

use redial_resp::Command;

use crate::config::Endpoint;
use crate::time::Time;
use crate::topology::{NodeId, Order, Question};

/// A question that is not answered for this long may be asked again, of somebody else too.
const PATIENCE: Duration = Duration::from_millis(300);

/// Places that an error names: of a long list the first tell enough.
const MOST_NAMED: usize = 8;

/// What came of asking these, for an error; `None`: nothing yet.
pub(super) fn tried<'a>(asked: impl Iterator<Item = (&'a Endpoint, Option<&'a str>)>) -> String {
    let mut told: Vec<_> = asked
        .map(|(place, told)| format!("{place}: {}", told.unwrap_or("no answer yet")))
        .collect();
    let others = told.len().saturating_sub(MOST_NAMED);
    if others > 0 {
        told.truncate(MOST_NAMED);
        told.push(format!("and {others} more"));
    }
    told.join("; ")
}

/// A question under way.
#[derive(Debug)]
struct Asked<A> {
    node: NodeId,
    question: Question,
    about: A,
    at: Time,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Informants<A> {
    /// Numbers handed out; 0 is for the first shard.
    last: u32,
    has_home: bool,
    questions: u32,
    places: Vec<(Endpoint, NodeId)>,
    asked: Vec<Asked<A>>,
    /// Nodes that have a link for questions alone.
    linked: Vec<NodeId>,
}

impl<A> Default for Informants<A> {
    fn default() -> Self {
        Self {
            last: 0,
            has_home: false,
            questions: 0,
            places: Vec::new(),
            asked: Vec::new(),
            linked: Vec::new(),
        }
    }
}

impl<A: Copy + PartialEq> Informants<A> {
    fn next_node(&mut self) -> NodeId {
        self.last += 1;
        NodeId(self.last)
    }

    /// A number for a node that takes commands: 0 for the first.
    pub(super) fn new_node(&mut self) -> NodeId {
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

    /// Asks these one behind the other, unless the last of them is being asked there.
    pub(super) fn ask(
        &mut self,
        now: Time,
        node: NodeId,
        questions: &[(A, &[&str])],
        orders: &mut VecDeque<Order>,
    ) {
        let Some((last, _)) = questions.last() else { return };
        let of_it = |asked: &Asked<A>| asked.node == node && asked.about == *last;
        let is_under_way = |asked: &Asked<A>| of_it(asked) && now.since(asked.at) < PATIENCE;
        if self.asked.iter().any(is_under_way) {
            return;
        }
        let is_asked_anew = |asked: &Asked<A>| {
            asked.node == node && questions.iter().any(|(about, _)| *about == asked.about)
        };
        self.asked.retain(|asked| !is_asked_anew(asked));
        self.keep(node);
        for (about, words) in questions {
            self.questions = self.questions.wrapping_add(1);
            let question = Question(self.questions);
            self.asked.push(Asked { node, question, about: *about, at: now });
            let (name, args) = words.split_first().unwrap_or((&"PING", &[]));
            let mut command = Command::new(name);
            args.iter().for_each(|arg| command.push_arg(arg.as_bytes()));
            orders.push_back(Order::Ask(node, question, command));
        }
    }

    /// What it was asked about these is out of date; the answers are not listened to.
    pub(super) fn drop_asked(&mut self, node: NodeId, abouts: &[A]) {
        self.asked.retain(|asked| asked.node != node || !abouts.contains(&asked.about));
    }

    /// There is a link for questions to this node from now on.
    pub(super) fn keep(&mut self, node: NodeId) {
        if self.endpoint(node).is_some() && !self.linked.contains(&node) {
            self.linked.push(node);
        }
    }

    /// A question is answered: what it was about.
    pub(super) fn answered(&mut self, node: NodeId, question: Question) -> Option<A> {
        let is_it = |asked: &Asked<A>| asked.node == node && asked.question == question;
        let at = self.asked.iter().position(is_it)?;
        Some(self.asked.swap_remove(at).about)
    }

    /// Nothing is to be asked of the others for now: the links for it go.
    pub(super) fn forget_but(&mut self, kept: &[NodeId], orders: &mut VecDeque<Order>) {
        let others: Vec<_> =
            self.linked.iter().copied().filter(|node| !kept.contains(node)).collect();
        self.forget(&others, orders);
    }

    /// Nothing is to be asked of these.
    pub(super) fn forget(&mut self, nodes: &[NodeId], orders: &mut VecDeque<Order>) {
        let (gone, linked) = self.linked.drain(..).partition(|node| nodes.contains(node));
        self.linked = linked;
        let gone: Vec<NodeId> = gone;
        self.asked.retain(|asked| !gone.contains(&asked.node));
        orders.extend(gone.into_iter().map(Order::Forget));
    }
}
