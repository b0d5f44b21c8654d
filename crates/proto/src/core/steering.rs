//! What the topology wants, done; and requests that go from one node's link to another's.

use redial_resp::{Command, Frame};

use super::Core;
use super::accepting::node_gone;
use crate::command::{Body, Class};
use crate::connection::backlog::Owner;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::ids::OpenedId;
use crate::link::context::Context;
use crate::link::detours::{Arrivals, Detour, Why};
use crate::link::{Link, Purpose, SubscriptionKind};
use crate::output::{Output, SubscriptionChange};
use crate::time::Time;
use crate::topology::{NodeId, Order, Question, Redirect, Signal};

/// A request that was sent on so often is slowed down from then on: servers that send it to each other have something to settle first.
const REDIRECTS_AT_ONCE: u8 = 5;

/// By so much, give or take a tenth.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl<T: Copy + Default + PartialEq> Core<T> {
    /// Tells the topology of something, and does what it wants.
    pub(super) fn signal(&mut self, signal: Signal<'_>) {
        self.topology.handle(self.now, &mut self.rng, signal);
        self.follow();
    }

    /// Does what the topology wants.
    fn follow(&mut self) {
        self.carry_out();
        let version = self.topology.version();
        if version != self.version {
            self.version = version;
            self.forget_cached();
        }
    }

    /// Data has gone from node to node. Who reads through a cache starts with an empty one: of a key that was not there, the server that does not have its slot
    /// any more says nothing.
    fn forget_cached(&mut self) {
        let hears = |link: &&Link<T>| link.purpose == Purpose::Tracking && link.hears();
        let mut caches: Vec<_> = self.links.iter().filter(hears).map(Link::known_as).collect();
        caches.sort_unstable();
        caches.dedup();
        for link in caches {
            let (kind, channel) = (SubscriptionKind::Invalidations, Vec::new());
            for change in [
                SubscriptionChange::Interrupted { since: self.now },
                SubscriptionChange::Confirmed { kind, channel },
            ] {
                self.outputs.push_back(Output::Subscription { link, change });
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(order) = self.topology.poll_output() {
            match order {
                Order::Ask(node, question, command) => self.ask(node, question, command),
                Order::Listen(node, channel) => {
                    let at = self.discovery(node);
                    let mut cx = context!(self);
                    if let Some(link) = self.links.get_mut(at) {
                        link.listen(&mut cx, channel);
                    }
                }
                Order::Forget(node) => self.forget(node),
                Order::Lead(node) => self.lead(node),
                Order::Dissolve(node) => self.dissolve(node),
                Order::Rescue(node) => {
                    if let Some(link) = self.shared(node) {
                        let rescued = link.rescue();
                        self.detours.extend(rescued);
                    }
                }
                Order::Sort(node) => {
                    if let Some(link) = self.shared(node) {
                        let waiting = link.take_waiting();
                        self.detours.extend(waiting);
                    }
                }
                Order::Unfound(node, text) => {
                    let at = self.at(node);
                    let mut cx = context!(self);
                    if let Some(link) = self.links.get_mut(at) {
                        link.on_unfound(&mut cx, text);
                    }
                }
            }
        }
    }

    /// A node takes nothing any more: what waits for it goes elsewhere, and what is listened to there is listened to elsewhere.
    fn dissolve(&mut self, node: NodeId) {
        let mut cx = context!(self);
        let (mut waiting, mut channels) = (Vec::new(), Vec::new());
        for link in self.links.iter_mut().filter(|link| link.node == node) {
            let carries = matches!(link.purpose, Purpose::Shared | Purpose::Blocking);
            if link.purpose == Purpose::Subscriber {
                channels.extend(link.take_channels(&mut cx));
            } else if carries || link.group.is_some() {
                waiting.extend(link.dissolve());
            }
        }
        self.detours.extend(waiting);
        self.links.retain(|link| link.node != node || link.purpose != Purpose::Subscriber);
        self.reindex();
        for (kind, channel) in channels {
            let _ = self.subscribe(kind, &channel, true);
        }
    }

    /// The link that carries the commands for a node.
    fn shared(&mut self, node: NodeId) -> Option<&mut Link<T>> {
        let is_its = |link: &&mut Link<T>| link.node == node && link.purpose == Purpose::Shared;
        self.links.iter_mut().find(is_its)
    }

    /// The link for questions to a node; made if there is none.
    fn discovery(&mut self, node: NodeId) -> usize {
        let is_its = |link: &Link<T>| link.node == node && link.purpose == Purpose::Discovery;
        let found = self.links.iter().position(is_its);
        found.unwrap_or_else(|| self.add_link(Purpose::Discovery, node))
    }

    fn ask(&mut self, node: NodeId, question: Question, command: Command) {
        // Over the connection that there is, if it serves: a stuck one would not tell.
        let serves = |link: &Link<T>| {
            link.node == node && link.purpose == Purpose::Shared && link.is_serving()
        };
        let at = self.links.iter().position(serves).unwrap_or_else(|| self.discovery(node));
        let mut cx = context!(self);
        if let Some(link) = self.links.get_mut(at) {
            link.ask(&mut cx, question, command);
        }
    }

    fn forget(&mut self, node: NodeId) {
        let mut cx = context!(self);
        let is_its = |link: &Link<T>| link.node == node && link.purpose == Purpose::Discovery;
        for link in self.links.iter_mut().filter(|link| is_its(link)) {
            link.end(&mut cx, "nothing more is asked of it");
        }
        self.links.retain(|link| !is_its(link));
        self.reindex();
    }

    /// The node is elsewhere now, or is there at all.
    fn lead(&mut self, node: NodeId) {
        if self.shared(node).is_none() {
            self.add_link(Purpose::Shared, node);
            return;
        }
        let mut cx = context!(self);
        let Some(endpoint) = self.topology.node(node).endpoint else { return };
        for link in self.links.iter_mut().filter(|link| link.node == node) {
            link.lead_to(&mut cx, endpoint);
        }
    }

    pub(super) fn on_told(
        &mut self,
        node: NodeId,
        question: Question,
        reply: &Result<Frame, String>,
    ) {
        let reply = reply.as_ref().map_err(String::as_str);
        self.signal(Signal::Answered(node, question, reply));
    }

    /// Sends requests on that left their links.
    pub(super) fn run_detours(&mut self) {
        while !self.detours.is_empty() {
            let mut arrivals: Vec<(usize, Arrivals<T>)> = Vec::new();
            for detour in std::mem::take(&mut self.detours) {
                self.on_detour(detour, &mut arrivals);
            }
            for (at, arrivals) in arrivals {
                let mut cx = context!(self);
                if let Some(link) = self.links.get_mut(at) {
                    link.take_in(&mut cx, arrivals);
                }
            }
        }
        self.end_dissolved();
    }

    fn on_detour(&mut self, mut detour: Detour<T>, arrivals: &mut Vec<(usize, Arrivals<T>)>) {
        let (node, is_once) = match &detour.why {
            Why::Later(at) => return self.put_off(*at, detour),
            Why::Sorted if detour.entry.meta.class.is(Class::OF_NODE) => {
                let is_there = self.has_node(detour.from);
                (if is_there { Ok(detour.from) } else { Err(node_gone()) }, false)
            }
            Why::Sorted => (self.topology.route(Body::Encoded(&detour.body)), false),
            Why::Redirected(to) => {
                let node = self.redirect(detour.from, to);
                let is_once = to.is_once && node != detour.from;
                let redirects = &mut detour.entry.meta.redirects;
                *redirects = redirects.saturating_add(1);
                if *redirects > REDIRECTS_AT_ONCE {
                    let again = self.now + self.rng.around(PAUSE);
                    return self.put_off(again, detour);
                }
                (Ok(node), is_once)
            }
        };
        let node = match node {
            Ok(node) => node,
            Err(error) => return self.refuse(&detour, &error),
        };
        if detour.entry.meta.class.is(Class::BLOCKING) {
            let pushed = self.blocking.push_encoded(detour.entry, &detour.body, &self.config);
            if let Err(error) = pushed {
                self.refuse(&detour, &error);
            }
            return self.place_blocked();
        }
        let at = match detour.group {
            Some(group) => self.member(group, node),
            None => self.at(node),
        };
        match arrivals.iter_mut().find(|(its, _)| *its == at) {
            Some((_, arrivals)) => arrivals.push(&detour, is_once),
            None => {
                let mut first = Arrivals::default();
                first.push(&detour, is_once);
                arrivals.push((at, first));
            }
        }
    }

    /// The link of an opened group to a node; made if there is none.
    pub(super) fn member(&mut self, group: OpenedId, node: NodeId) -> usize {
        let is_its = |link: &Link<T>| {
            link.group == Some(group) && link.node == node && !link.is_dissolving()
        };
        if let Some(at) = self.links.iter().position(is_its) {
            return at;
        }
        let first = self.links.iter().find(|link| link.id == group.link());
        let (purpose, asks) =
            first.map_or((Purpose::Durable, None), |link| (link.purpose, link.durability()));
        let at = self.add_link(purpose, node);
        if let Some(link) = self.links.get_mut(at) {
            link.group = Some(group);
            if let Some((replicas, within)) = asks {
                link.make_durable(replicas, within);
            }
        }
        at
    }

    /// A server says who has a slot; gives the node that takes its requests now.
    pub(super) fn redirect(&mut self, from: NodeId, to: &Redirect) -> NodeId {
        let node = self.topology.redirect(self.now, &mut self.rng, from, to);
        self.follow();
        node
    }

    /// Asks for a sharded channel where a server says that it is.
    pub(super) fn resubscribe(&mut self, from: NodeId, channel: &[u8], text: &str) {
        if let Some(to) = crate::conclude::redirect_of(text) {
            let _ = self.redirect(from, &to);
        }
        let _ = self.subscribe(SubscriptionKind::Shard, channel, true);
    }

    /// Tries a request again at about this moment.
    fn put_off(&mut self, at: Time, detour: Detour<T>) {
        match self.later.refusal(detour.body.len(), &self.config.offline_queue) {
            Some(text) => {
                let error = Error::new(ErrorKind::QueueFull, Delivery::NotSent, text);
                self.refuse(&detour, &error);
            }
            None => self.later.push(at, detour),
        }
    }

    fn refuse(&mut self, detour: &Detour<T>, error: &Error) {
        let entry = &detour.entry;
        if entry.meta.owner == Owner::Caller {
            let reply = Err(Error::new(error.kind(), entry.meta.delivery, error.text()));
            self.outputs.push_back(Output::Answer { token: entry.token, reply });
        }
    }

    /// Links of nodes that are given up go when what was in flight on them is answered.
    fn end_dissolved(&mut self) {
        if self.reading.is_some() || !self.links.iter().any(Link::is_dissolving) {
            return;
        }
        let mut cx = context!(self);
        let mut strays = Vec::new();
        for link in self.links.iter_mut().filter(|link| link.is_dissolving()) {
            strays.extend(link.take_waiting());
            if !link.has_callers() || !link.is_connected() {
                link.end(&mut cx, "its node takes no commands any more");
            }
        }
        self.links.retain(|link| !(link.is_dissolving() && link.has_ended()));
        self.reindex();
        if !strays.is_empty() {
            self.detours.extend(strays);
            self.run_detours();
        }
    }

    /// Sends on what was to wait, and fails what has waited until its deadline.
    pub(super) fn run_later(&mut self) {
        for mut detour in self.later.take_due(self.now) {
            if detour.entry.deadline <= self.now {
                let text = "servers sent the command to each other, or refused it for now, until its deadline";
                let delivery = detour.entry.meta.delivery;
                self.refuse(&detour, &Error::new(ErrorKind::Timeout, delivery, text));
            } else {
                detour.why = Why::Sorted;
                self.detours.push(detour);
            }
        }
    }

    /// The client ends.
    pub(super) fn fail_later(&mut self, text: &str) {
        for detour in self.later.take_all() {
            let error = Error::new(ErrorKind::Closed, Delivery::NotSent, text);
            self.refuse(&detour, &error);
        }
    }

    /// Where the link for a node's commands is; that of node 0 where there is none.
    #[inline]
    pub(super) fn at(&self, node: NodeId) -> usize {
        self.places.get(node.0 as usize).map_or(0, |at| *at as usize)
    }

    /// Links have come or gone.
    pub(super) fn reindex(&mut self) {
        self.places.clear();
        for (at, link) in self.links.iter().enumerate() {
            if link.purpose == Purpose::Shared && !link.is_dissolving() {
                let node = link.node.0 as usize;
                if self.places.len() <= node {
                    self.places.resize(node + 1, 0);
                }
                if let Some(place) = self.places.get_mut(node) {
                    *place = at as u32;
                }
            }
        }
    }
}
