//! The client without I/O: requests and events in, replies and things to do out.
//!
//! The driver's duty: hand in every event with the time, then call [`Core::poll_output`] until it gives nothing, then
//! [`Core::take_writes`] for every socket, and come back at [`Core::poll_timeout`] at the latest.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redial_resp::{Command, Frame};

pub use self::accepting::RequestOptions;
use self::later::Later;

use crate::blocking::Blocking;
use crate::budget::RetryBudget;
use crate::command::Body;
use crate::config::Config;
use crate::credentials::{Grant, Keeper};
use crate::delivery::{Delivery, Resend};
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, State};
use crate::hint::{Advice, Hints};
use crate::ids::{ConnId, Ids, LinkId, OpenedId, PartId};
use crate::link::context::{Context, Notice};
use crate::link::detours::Detour;
use crate::link::{Link, Purpose, SubscriptionKind};
use crate::output::{Input, Output};
use crate::rng::Rng;
use crate::time::Time;
use crate::topology::{NodeId, Signal, Topology};

/// Lends the core's parts to a link.
macro_rules! context {
    ($core:expr) => {
        Context {
            now: $core.now,
            config: &$core.config,
            topology: &*$core.topology,
            rng: &mut $core.rng,
            ids: &mut $core.ids,
            budget: &$core.budget,
            keeper: &mut $core.keeper,
            hints: &mut $core.hints,
            outputs: &mut $core.outputs,
            notices: &mut $core.notices,
            detours: &mut $core.detours,
        }
    };
}

mod accepting;
mod later;
mod steering;

/// The client minus I/O. `T` names a request to the driver: a slot, a number.
///
/// Commands go over one shared connection; a blocking one takes a connection of its own for as long as it waits.
#[derive(Debug)]
pub struct Core<T> {
    config: Config,
    topology: Box<dyn Topology>,
    now: Time,
    rng: Rng,
    ids: Ids,
    budget: RetryBudget,
    keeper: Keeper,
    hints: Hints,
    outputs: VecDeque<Output<T>>,
    notices: Vec<Notice>,
    /// Requests on their way to another link.
    detours: Vec<Detour<T>>,
    /// The same, for later.
    later: Later<T>,
    /// The shared link of node 0 is always the first.
    links: Vec<Link<T>>,
    /// By node: where its shared link is.
    places: Vec<u32>,
    next_link: u32,
    blocking: Blocking<T>,
    /// Of the topology, when it was last looked at.
    version: u64,
    /// The link whose read bytes are being turned into answers.
    reading: Option<LinkId>,
    quitting: bool,
}

impl<T: Copy + Default + PartialEq> Core<T> {
    /// A core that has not begun to dial: [`Input::Connect`] starts it. `seed` drives the jitter.
    #[must_use]
    pub fn new(config: Config, budget: RetryBudget, seed: u64) -> Self {
        let config = Config { liveness: config.liveness.at_least(), ..config };
        let topology = crate::topology::of(&config);
        let node = NodeId::default();
        let endpoint = topology.node(node).endpoint.cloned();
        let shared = Link::new(LinkId(0), Purpose::Shared, node, endpoint);
        Self {
            topology,
            keeper: Keeper::new(&config),
            config,
            now: Time::default(),
            rng: Rng::new(seed),
            ids: Ids::default(),
            budget,
            outputs: VecDeque::new(),
            notices: Vec::new(),
            detours: Vec::new(),
            later: Later::default(),
            links: vec![shared],
            places: vec![0],
            next_link: 1,
            blocking: Blocking::default(),
            version: 0,
            hints: Hints::default(),
            reading: None,
            quitting: false,
        }
    }

    /// The state of the shared link.
    #[must_use]
    pub fn state(&self) -> State {
        self.links.first().map_or(State::End, Link::state)
    }

    /// The shared connection and its server, for logs and for a program that asks.
    #[must_use]
    pub fn server(&self) -> Option<&crate::connection::identity::Server> {
        self.links.first()?.current()?.server.as_ref()
    }

    /// True if each of several nodes has a part of the data.
    #[must_use]
    pub fn is_partitioned(&self) -> bool {
        self.topology.is_partitioned()
    }

    /// The nodes that have a part of the data each; none while that is not known.
    #[must_use]
    pub fn parts(&self) -> Vec<PartId> {
        self.topology.parts().into_iter().map(|node| PartId(node.0)).collect()
    }

    /// Another number when data has gone from one of them to another.
    #[must_use]
    pub fn parts_version(&self) -> u64 {
        self.topology.version()
    }

    /// The node that takes a command, by its keys.
    #[must_use]
    pub fn part_for(&self, command: &Command) -> PartId {
        PartId(self.topology.route(Body::Command(command)).unwrap_or_default().0)
    }

    /// The server that takes a node's commands now.
    #[must_use]
    pub fn server_of(&self, part: PartId) -> Option<&crate::connection::identity::Server> {
        self.links.get(self.at(NodeId(part.0)))?.current()?.server.as_ref()
    }

    /// From acceptance to answer, where a request does not say otherwise.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        self.config.request_timeout
    }

    /// What may be sent again, where a request does not say otherwise.
    #[must_use]
    pub const fn resend(&self) -> Resend {
        self.config.resend
    }

    /// Notes that time has passed. The time of day never goes back here.
    pub fn set_now(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Subscribes (or unsubscribes), now and on every connection to come. Messages come as [`Output::Push`], what becomes of it as
    /// [`Output::Subscription`].
    ///
    /// # Errors
    /// The client was ended.
    pub fn subscribe(
        &mut self,
        kind: SubscriptionKind,
        channel: &[u8],
        wanted: bool,
    ) -> Result<(), Error> {
        if wanted && (self.quitting || self.links.first().is_none_or(Link::has_ended)) {
            return Err(Error::ended());
        }
        let node = self.node_of_channel(kind, channel);
        if !wanted && self.topology.is_partitioned() {
            // It may have been asked for where its shard was before.
            let mut cx = context!(self);
            for link in self.links.iter_mut().filter(|link| link.purpose == Purpose::Subscriber) {
                link.subscribe(&mut cx, kind, channel, false);
            }
            return Ok(());
        }
        self.with_subscriber(node, wanted, |link, cx| link.subscribe(cx, kind, channel, wanted));
        Ok(())
    }

    /// Sharded channels are heard where their slot is, others everywhere.
    fn node_of_channel(&self, kind: SubscriptionKind, channel: &[u8]) -> NodeId {
        if kind != SubscriptionKind::Shard {
            return NodeId::default();
        }
        let mut publish = Command::new("SPUBLISH");
        publish.push_arg(channel);
        self.topology.route(Body::Command(&publish)).unwrap_or_default()
    }

    /// The link for subscriptions; made, or made to dial again, where it is `needed`.
    fn with_subscriber(
        &mut self,
        node: NodeId,
        needed: bool,
        act: impl FnOnce(&mut Link<T>, &mut Context<'_, T>),
    ) {
        let is_its = |link: &Link<T>| link.purpose == Purpose::Subscriber && link.node == node;
        let at = self.links.iter().position(is_its);
        let at = match at {
            Some(at) => at,
            None if needed => self.add_link(Purpose::Subscriber, node),
            None => return,
        };
        let mut cx = context!(self);
        if let Some(link) = self.links.get_mut(at) {
            if needed {
                link.connect(&mut cx);
            }
            act(link, &mut cx);
        }
    }

    /// Listens to what Azure announces.
    fn watch_azure(&mut self) {
        if !self.quitting && self.links.first().is_some_and(|link| !link.has_ended()) {
            self.with_subscriber(NodeId::default(), true, Link::watch_azure);
        }
    }

    /// A server has said what will become of it, or what has. A topology of several nodes would be told here.
    fn on_hint(&mut self, advice: &Advice) {
        let mut cx = context!(self);
        match advice {
            Advice::Relax(within) => {
                let usual = cx.config.request_timeout;
                cx.hints.relax(cx.now, *within);
                let relaxed = cx.hints.request_timeout(cx.now, usual);
                for link in &mut self.links {
                    link.relax_deadlines(cx.now, usual, relaxed);
                }
            }
            Advice::Ask { after, is_over } => {
                if *is_over {
                    cx.hints.end_relaxation();
                }
                for link in self.links.iter_mut().filter(|link| link.moves_at_a_hint()) {
                    link.plan_to_ask(&mut cx, *after);
                }
            }
            Advice::Tell | Advice::Leave { .. } => {}
        }
    }

    /// The error for who waited so long for a subscription to be confirmed, or for what an opened link listens to, and gives up.
    #[must_use]
    pub fn unconfirmed(&self, opened: Option<OpenedId>, within: Duration) -> Error {
        let mut links = self.links.iter();
        let link = match opened {
            None => links.find(|link| link.purpose == Purpose::Subscriber),
            Some(opened) => links.find(|link| link.id == opened.link()),
        };
        let why = link.map(Link::why).unwrap_or_default();
        let text = format!("no server confirmed the subscription within {within:?}{why}");
        Error::new(ErrorKind::Timeout, Delivery::NotSent, text)
    }

    /// Handles something that happened.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        self.set_now(now);
        self.drain_reading();
        match input {
            Input::Connect => self.connect(),
            Input::Disconnect => self.end_all("disconnected by the program"),
            Input::Quit => self.quitting = true,
            Input::Tick => self.handle_timers(),
            Input::Credentials(credentials) => self.config.session.credentials = credentials,
            Input::Granted(Ok(grant)) => self.on_granted(grant),
            Input::Granted(Err(text)) => self.on_ungranted(text),
            Input::Peer(conn, peer) => self.with_owner(conn, |link, _| link.on_peer(conn, peer)),
            Input::Connected(conn) => self.with_owner(conn, |link, cx| link.on_connected(cx, conn)),
            Input::Secured(conn) => self.with_owner(conn, |link, cx| link.on_secured(cx, conn)),
            Input::DialRefused(conn, text) => {
                self.with_owner(conn, |link, cx| link.on_dial_refused(cx, conn, text))
            }
            Input::DialFailed(conn, text) => {
                self.with_owner(conn, |link, cx| link.on_dial_failed(cx, conn, text))
            }
            Input::Read(conn, bytes) => self.on_read(conn, bytes),
            Input::Written(conn, bytes) => {
                self.with_owner(conn, |link, cx| link.on_written(cx, conn, bytes))
            }
            Input::Closed(conn, text) => {
                self.with_owner(conn, |link, cx| link.on_closed(cx, conn, text))
            }
            Input::Inspected(conn, info) => {
                self.with_owner(conn, |link, cx| link.on_inspected(cx, conn, info))
            }
            Input::Retry(id, Some(pause)) => {
                self.with_link(id, |link, cx| link.on_retry(cx, pause))
            }
            Input::Retry(_, None) => self.end_all("the retry strategy gave up"),
            Input::Lead(id, granted) => self.with_link(id, |link, cx| link.on_lead(cx, granted)),
            Input::Finding(id, finding) => {
                self.with_link(id, |link, cx| link.on_finding(cx, &finding))
            }
        }
        self.settle();
    }

    fn with_owner(&mut self, conn: ConnId, act: impl FnOnce(&mut Link<T>, &mut Context<'_, T>)) {
        let mut cx = context!(self);
        // An event of a socket that is gone finds nobody and changes nothing.
        if let Some(link) = self.links.iter_mut().find(|link| link.owns(conn)) {
            act(link, &mut cx);
        }
    }

    fn with_link(&mut self, id: LinkId, act: impl FnOnce(&mut Link<T>, &mut Context<'_, T>)) {
        let mut cx = context!(self);
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            act(link, &mut cx);
        }
    }

    fn connect(&mut self) {
        self.quitting = false;
        let mut cx = context!(self);
        for link in &mut self.links {
            link.connect(&mut cx);
        }
        self.signal(Signal::Connect);
    }

    fn end_all(&mut self, text: &str) {
        self.signal(Signal::Disconnect);
        self.fail_later(text);
        let mut cx = context!(self);
        for link in &mut self.links {
            link.end(&mut cx, text);
        }
        self.blocking.fail(&mut cx, text);
        self.quitting = false;
    }

    fn on_read(&mut self, conn: ConnId, bytes: BytesMut) {
        let mut cx = context!(self);
        let Some(link) = self.links.iter_mut().find(|link| link.owns(conn)) else { return };
        if link.is_current(conn) {
            link.on_read(&mut cx, bytes);
            self.reading = Some(link.id);
        } else {
            link.on_attempt_read(&mut cx, conn, bytes);
        }
    }

    fn handle_timers(&mut self) {
        let mut cx = context!(self);
        for link in &mut self.links {
            while link.next_timer() <= cx.now && link.on_timer(&mut cx) {}
        }
        self.blocking.expire(&mut cx);
        self.run_later();
        if self.topology.poll_timeout() <= self.now {
            self.signal(Signal::Tick);
        }
        if let Some(text) = self.keeper.overdue(self.now) {
            self.on_ungranted(text);
        }
        if self.keeper.take_renewal(self.now) && self.keeper.ask(self.now) {
            self.outputs.push_back(Output::AskCredentials { anew: false });
        }
    }

    /// The provider has given credentials: for the next dial, and for the connections that know others.
    fn on_granted(&mut self, grant: Grant) {
        let changed = Keeper::changes(&self.config.session.credentials, &grant);
        self.keeper.on_granted(self.now, grant.valid_for, changed, &mut self.rng);
        self.config.session.credentials = Some(grant.credentials);
        self.tell_of_credentials();
    }

    /// It has given none.
    fn on_ungranted(&mut self, text: String) {
        let cause = text.clone();
        self.keeper.on_failed(self.now, text, &mut self.rng);
        let mut cx = context!(self);
        if let Some(link) = self.links.first() {
            cx.emit(link, EventKind::CredentialsFailed { cause });
        }
        self.tell_of_credentials();
    }

    fn tell_of_credentials(&mut self) {
        let mut cx = context!(self);
        for link in &mut self.links {
            link.on_credentials(&mut cx);
        }
    }

    /// Passes on what links have to tell each other, and ends what is to end.
    fn settle(&mut self) {
        while !self.notices.is_empty() {
            for notice in std::mem::take(&mut self.notices) {
                self.on_notice(notice);
            }
        }
        self.run_detours();
        if self.quitting
            && self.reading.is_none()
            && self.blocking.is_empty()
            && self.later.is_empty()
            && !self.links.iter().any(Link::has_callers)
        {
            self.end_all("quit");
        }
        // A link of one caller that has ended is not needed again; its number is never used again either.
        if self.reading.is_none() && self.links.len() > 1 {
            let before = self.links.len();
            let may_go = |link: &Link<T>| {
                matches!(link.purpose, Purpose::Blocking | Purpose::Dedicated | Purpose::Monitor)
            };
            self.links.retain(|link| !(may_go(link) && link.has_ended()));
            if self.links.len() < before {
                self.reindex();
                self.place_blocked();
            }
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Free => self.place_blocked(),
            Notice::Hint(advice) => self.on_hint(&advice),
            Notice::Watch => self.watch_azure(),
            Notice::Answered { link, client_id, gone } => {
                self.with_link(link, |link, cx| link.on_inquiry_answered(cx, client_id, gone));
            }
            Notice::Compare { link, node, run_id } => self.compare(link, node, run_id.as_deref()),
            Notice::Adopted { node, run_id } => {
                let mut cx = context!(self);
                let follows = |link: &Link<T>| {
                    link.node == node
                        && !matches!(link.purpose, Purpose::Shared | Purpose::Discovery)
                };
                for link in self.links.iter_mut().filter(|link| follows(link)) {
                    link.on_server_replaced(&mut cx, run_id.as_deref());
                }
            }
            Notice::Demoted { node, run_id } => {
                let at = self.at(node);
                let mut cx = context!(self);
                if let Some(shared) = self.links.get_mut(at) {
                    shared.on_demoted(&mut cx, run_id.as_deref());
                }
            }
            Notice::State { node, state } => {
                let server = self.server_of(PartId(node.0)).filter(|_| state == State::Ready);
                if let Some(lineage) = server.and_then(|server| server.lineage.clone()) {
                    self.signal(Signal::History(node, &lineage));
                }
                self.signal(Signal::State(node, state));
            }
            Notice::Down => self.signal(Signal::Down),
            Notice::Told { node, question, reply } => self.on_told(node, question, &reply),
            Notice::Heard { node, frame } => self.signal(Signal::Heard(node, &frame)),
            Notice::Redirected { node, to } => {
                let _ = self.redirect(node, &to);
            }
            Notice::Resubscribe { node, channel, text } => self.resubscribe(node, &channel, &text),
            Notice::Measured { node, rtt, zone } => {
                self.signal(Signal::Measured(node, rtt, zone.as_deref()));
            }
            Notice::Listens { node } => self.signal(Signal::Listens(node)),
            Notice::Inquire { link, node, client_id, run_id } => {
                let at = self.at(node);
                let mut cx = context!(self);
                if let Some(shared) = self.links.get_mut(at) {
                    shared.inquire(&mut cx, link, client_id, run_id.as_deref());
                }
            }
        }
    }

    /// A link that is not on the server that the shared one uses hears of it, if both know their servers.
    fn compare(&mut self, link: LinkId, node: NodeId, run_id: Option<&str>) {
        let shared = self.links.get(self.at(node)).filter(|shared| shared.is_serving());
        let leads = shared.and_then(Link::run_id).map(str::to_owned);
        if leads.is_some() && run_id.is_some() && leads.as_deref() != run_id {
            self.with_link(link, |link, cx| link.on_server_replaced(cx, leads.as_deref()));
        }
    }

    /// Hands over the answers that what was last read holds: the short way for what a driver does most. Those of [`Self::poll_output`] come
    /// besides, and are all that there is for who never calls this.
    pub fn drain_answers(&mut self, mut each: impl FnMut(T, Result<Frame, Error>)) {
        let Some(id) = self.reading else { return };
        let mut cx = context!(self);
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            loop {
                link.drain_plain(&mut each);
                let Some((token, reply)) = link.poll_answer(&mut cx) else { break };
                each(token, reply);
            }
        }
        self.reading = None;
        self.settle();
    }

    /// Before anything else happens, what was read is dealt with.
    fn drain_reading(&mut self) {
        if self.reading.is_none() {
            return;
        }
        let mut answers = Vec::new();
        self.drain_answers(|token, reply| answers.push(Output::Answer { token, reply }));
        self.outputs.extend(answers);
    }

    /// The next thing to do, or `None`.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        self.drain_reading();
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest; [`Time::NEVER`] if nothing is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        let links = self.links.iter().map(Link::next_timer).min().unwrap_or(Time::NEVER);
        let others = self.blocking.next_deadline().min(self.keeper.next());
        links.min(others).min(self.topology.poll_timeout()).min(self.later.next())
    }

    /// Gives the bytes that are to be written on this connection, in order; they count as written only with [`Input::Written`].
    pub fn take_writes(&mut self, conn: ConnId, each: impl FnMut(Bytes)) {
        let mut cx = context!(self);
        if let Some(link) = self.links.iter_mut().find(|link| link.owns(conn)) {
            link.take_writes(&mut cx, conn, each);
        }
    }

    /// The buffer to read into next, which may hold the beginning of a frame.
    pub fn take_buffer(&mut self, conn: ConnId) -> BytesMut {
        let found = self.links.iter_mut().find_map(|link| link.connection(conn));
        found.map_or_else(BytesMut::new, |conn| conn.take_buffer())
    }
}
