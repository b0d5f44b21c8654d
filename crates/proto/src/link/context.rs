//! What a link may touch outside of itself while it handles an input.

use std::collections::VecDeque;
use std::time::Duration;

use redial_resp::Frame;

use crate::budget::RetryBudget;
use crate::config::Config;
use crate::credentials::Keeper;
use crate::error::Error;
use crate::event::{Event, EventKind, State};
use crate::hint::{Advice, Hints};
use crate::ids::{Ids, LinkId};
use crate::link::detours::Detour;
use crate::link::{Link, Purpose};
use crate::output::Output;
use crate::rng::Rng;
use crate::time::Time;
use crate::topology::{NodeId, Question, Redirect, Topology};

/// The core's parts, lent for one input.
pub(crate) struct Context<'a, T> {
    pub(crate) now: Time,
    pub(crate) config: &'a Config,
    pub(crate) topology: &'a dyn Topology,
    pub(crate) rng: &'a mut Rng,
    pub(crate) ids: &'a mut Ids,
    pub(crate) budget: &'a RetryBudget,
    pub(crate) keeper: &'a mut Keeper,
    pub(crate) hints: &'a mut Hints,
    pub(crate) outputs: &'a mut VecDeque<Output<T>>,
    /// What a link has to tell the others; the core passes it on.
    pub(crate) notices: &'a mut Vec<Notice>,
    /// Requests that are to go on elsewhere; the core sends them there.
    pub(crate) detours: &'a mut Vec<Detour<T>>,
}

/// What one link learns that concerns others.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A blocked connection is to be asked after.
    Inquire { link: LinkId, node: NodeId, client_id: i64, run_id: Option<String> },
    /// The answer to that, for the link that asked.
    Answered { link: LinkId, client_id: i64, gone: bool },
    /// The shared link of a node uses another connection, to this server, from now on.
    Adopted { node: NodeId, run_id: Option<String> },
    /// The shared link of a node is in this state now.
    State { node: NodeId, state: State },
    /// A server calls itself a replica where a primary is wanted; the shared link of the node may be on it still, with nothing to write.
    Demoted { node: NodeId, run_id: Option<String> },
    /// A node says that it can't serve what it should for now: others may know better.
    Down,
    /// A question of the topology is answered, or will not be.
    Told { node: NodeId, question: Question, reply: Result<Frame, String> },
    /// A message that the topology listens to.
    Heard { node: NodeId, frame: Frame },
    /// What the kernel knows of the way to a node's server, and what that says of where it is.
    Measured { node: NodeId, rtt: Duration, zone: Option<String> },
    /// A server has sent on what is not sent again: its caller hears of it, and so does the topology.
    Redirected { node: NodeId, to: Redirect },
    /// A sharded channel is to be asked for where the server says.
    Resubscribe { node: NodeId, channel: Vec<u8>, text: String },
    /// A link of questions has a connection from now on.
    Listens { node: NodeId },
    /// Is this still the server that leads?
    Compare { link: LinkId, node: NodeId, run_id: Option<String> },
    /// A server's hint that concerns all links.
    Hint(Advice),
    /// There is a server, and its host has announcements to make.
    Watch,
    /// A blocking link is free for the next command.
    Free,
}

impl<T: Copy> Context<'_, T> {
    pub(crate) fn answer(&mut self, token: T, reply: Result<Frame, Error>) {
        self.outputs.push_back(Output::Answer { token, reply });
    }

    /// Asks the provider of credentials; `anew`: what it gave was refused.
    pub(crate) fn ask_credentials(&mut self, anew: bool) {
        self.outputs.push_back(Output::AskCredentials { anew });
    }

    pub(crate) fn event(&mut self, link: LinkId, purpose: Purpose, kind: EventKind) {
        self.outputs.push_back(Output::Event(Event { link, purpose, kind }));
    }

    /// True if connections to this node are secured before anything else.
    pub(crate) fn is_secured(&self, node: NodeId) -> bool {
        self.topology.node(node).tls
    }

    pub(crate) fn emit(&mut self, link: &Link<T>, kind: EventKind) {
        self.event(link.id, link.purpose, kind);
    }
}
