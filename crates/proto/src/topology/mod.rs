//! Which nodes there are, and which of them a command goes to. The only part that knows the kind of deployment.
//!
//! A topology does no I/O and has no connections. It hears of everything that concerns it as a [`Signal`], and what it wants done it says as an
//! [`Order`]: the core alone calls it, and carries its questions over ordinary links.

mod cluster;
mod fields;
mod informants;
mod readers;
mod sentinel;
mod standalone;

use std::time::Duration;

use redial_resp::{Command, Frame};

pub(crate) use standalone::Standalone;

use crate::command::Body;
use crate::config::{Config, Deployment, Endpoint, Session};
use crate::connection::identity::{Lineage, Role};
use crate::error::Error;
use crate::event::State;
use crate::rng::Rng;
use crate::time::Time;

/// One of the nodes that a topology knows; the numbers are the topology's own, and are never used for another node. Number 0 takes what could go
/// anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u32);

/// What the core must know of a node to reach it.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// Where it is reached, once that is known.
    pub(crate) endpoint: Option<&'a Endpoint>,
    /// What its connections are given, if not what is configured.
    pub(crate) session: Option<&'a Session>,
    /// Whether its connections are secured.
    pub(crate) tls: bool,
    /// Whose name its certificate has, if not that of its endpoint.
    pub(crate) tls_name: Option<&'a Endpoint>,
    /// Reads are sent to it although it is a replica.
    pub(crate) is_read_from: bool,
}

impl<'a> Node<'a> {
    /// One that is like the others.
    pub(crate) const fn at(endpoint: Option<&'a Endpoint>, tls: bool) -> Self {
        Self { endpoint, session: None, tls, tls_name: None, is_read_from: false }
    }
}

/// Which of its questions a topology hears the answer to; the numbers are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question(pub(crate) u32);

/// Where a server sends a request on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) slot: u16,
    /// An empty host means that of the server that says so, and `?` one that has no name where names are announced.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// This once, and with ASKING in front.
    pub(crate) is_once: bool,
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Signal<'a> {
    /// The client is to be connected, for the first time or again.
    Connect,
    /// The client was ended.
    Disconnect,
    /// The link that carries a node's commands is in this state.
    State(NodeId, State),
    /// The link that carries a node's commands is on a server with this history of data.
    History(NodeId, &'a Lineage),
    /// A node refuses a slot because all of them together can't serve it, as far as it knows.
    Down,
    /// A question is answered, or will not be; the text says why.
    Answered(NodeId, Question, Result<&'a Frame, &'a str>),
    /// The round trip to the server of a node's link, and the availability zone that it names.
    Measured(NodeId, Duration, Option<&'a str>),
    /// A published message came on a link of questions.
    Heard(NodeId, &'a Frame),
    /// A link of questions has another connection: what it listened to in between is lost.
    Listens(NodeId),
    /// It may be time for something.
    Tick,
}

/// Something to be done.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send this to the node over a link of its own, and hand in the answer. Until it is forgotten, the link is kept.
    Ask(NodeId, Question, Command),
    /// Listen to this channel on that link.
    Listen(NodeId, &'static str),
    /// Nothing more will be asked of this node.
    Forget(NodeId),
    /// The node is reached at another endpoint from now on, or is reached at all.
    Lead(NodeId),
    /// The node takes no commands any more: what waits for it goes elsewhere.
    Dissolve(NodeId),
    /// Reads that were sent to this node and are not answered go elsewhere; its connection is judged as any.
    Rescue(NodeId),
    /// What waits for this node may be for others, which were not known.
    Sort(NodeId),
    /// Where the node is could not be found out; the text says what was tried. What waits, waits on.
    Unfound(NodeId, String),
}

/// A kind of deployment. Boxed once, from the configuration; the core alone calls it.
pub(crate) trait Topology: std::fmt::Debug + Send {
    /// The node that takes this command.
    ///
    /// # Errors
    /// No node can: its keys are in several places. Delivery: NotSent.
    fn route(&self, command: Body<'_>) -> Result<NodeId, Error>;

    /// True if all commands go to the same node.
    fn is_single(&self) -> bool;

    /// True if each of several nodes has a part of the data.
    fn is_partitioned(&self) -> bool {
        !self.is_single()
    }

    /// The nodes that have a part of the data each; none while that is not known.
    fn parts(&self) -> Vec<NodeId> {
        vec![NodeId::default()]
    }

    /// Another number when data has gone from one of them to another.
    fn version(&self) -> u64 {
        0
    }

    /// How to reach a node. One that is gone has no endpoint.
    fn node(&self, node: NodeId) -> Node<'_>;

    /// True if a server in this role may be used as the node that was dialed.
    fn judge(&self, node: NodeId, role: Role) -> bool;

    /// True if a node's place is where those say that elect its servers. Then whoever was left may lead again, also with data that does not continue what came
    /// after; behind a mere address it may be a stale primary that woke up.
    fn vouches(&self) -> bool {
        false
    }

    /// True if a server that refuses writes is not what this node should be.
    fn wants_primary(&self, node: NodeId) -> bool;

    /// A server has sent a request on; gives the node that takes it now.
    fn redirect(&mut self, now: Time, rng: &mut Rng, from: NodeId, to: &Redirect) -> NodeId {
        let _ = (now, rng, to);
        from
    }

    /// Handles something that happened.
    fn handle(&mut self, now: Time, rng: &mut Rng, signal: Signal<'_>) {
        let _ = (now, rng, signal);
    }

    /// The next thing to do, or `None`.
    fn poll_output(&mut self) -> Option<Order> {
        None
    }

    /// When [`Signal::Tick`] is due; [`Time::NEVER`] if nothing is waited for.
    fn poll_timeout(&self) -> Time {
        Time::NEVER
    }
}

/// The topology of this configuration.
pub(crate) fn of(config: &Config) -> Box<dyn Topology> {
    match &config.deployment {
        Deployment::Cluster(seeds) => Box::new(cluster::Cluster::new(config, seeds)),
        Deployment::Sentinel(sentinels) => Box::new(sentinel::Sentinel::new(config, sentinels)),
        Deployment::Standalone => Box::new(Standalone::new(config)),
    }
}
