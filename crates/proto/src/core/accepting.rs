//! The way in: a request is checked, gets its number and its deadline, and goes to the link that takes it.

use std::time::Duration;

use redial_resp::Command;

use super::Core;
use crate::command::{Body, Class, check, check_dedicated, is_idempotent, slot_of};
use crate::connection::backlog::{Entry, Meta, Owner, Tick};
use crate::delivery::{Delivery, Resend};
use crate::error::{Error, ErrorKind};
use crate::ids::{LinkId, OpenedId, PartId, RequestId};
use crate::link::context::Context;
use crate::link::{Link, Purpose};
use crate::output::Output;
use crate::topology::NodeId;

/// What a request may say for itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions {
    /// From acceptance to answer; `None` takes the client's. Of a blocking command: what is added to its own timeout.
    pub timeout: Option<Duration>,
    /// What may be sent again; `None` takes the client's.
    pub resend: Option<Resend>,
    /// The link that was opened for it; `None` is the shared one. Over a dedicated one nothing is ever sent again.
    pub on: Option<OpenedId>,
    /// Which node's; `None`: that of its keys. Not for an opened link.
    pub to: Option<PartId>,
}

impl<T: Copy + Default + PartialEq> Core<T> {
    /// Accepts a request; it will be answered exactly once with [`Output::Answer`], unless it is cancelled. `now` is the time of the last
    /// [`Self::set_now`] or input.
    ///
    /// # Errors
    /// At once, with delivery NotSent: the command changes connection state, an argument is too large, the queue is full, or the client was ended.
    pub fn submit(
        &mut self,
        command: &Command,
        token: T,
        options: &RequestOptions,
    ) -> Result<RequestId, Error> {
        let opened = self.opened(options.on);
        let mut class = match opened {
            Some(Purpose::Dedicated) => check_dedicated(command)?,
            _ => check(command)?,
        };
        if self.config.read_only {
            refuse_write(command)?;
        }
        let resend = options.resend.unwrap_or(self.config.resend);
        if resend == Resend::Idempotent && !is_idempotent(command, class) {
            class = class.without_idempotent();
        }
        if class.is(Class::CONTAINER) && ends_scripts(command) {
            class = class.or(Class::ENDS_SCRIPTS);
        }
        let entry = self.entry(class, token, options);
        if class.is(Class::BLOCKING)
            && let Some(deadline) = crate::blocking::deadline(command, entry.deadline)
        {
            let entry = Entry { deadline, ..entry };
            return match opened {
                None => self.submit_blocking(entry, command),
                Some(Purpose::Dedicated) => self.accept(entry, Body::Command(command), options),
                Some(_) => Err(Error::invalid(
                    "a blocking command would delay the confirmation of all others; use `Client::cmd`, or a connection of your own",
                )),
            };
        }
        self.accept(entry, Body::Command(command), options)
    }

    /// Accepts commands that are encoded one behind the other, as [`Self::submit`] would one after the other, and tells `each` of what became of
    /// them. `commands` says of each where it ends in `encoded`, its class, which is neither STATE nor BLOCKING (see [`crate::check`]) and has
    /// IDEMPOTENT only if its options allow it, and its token.
    pub fn submit_encoded(
        &mut self,
        encoded: &[u8],
        commands: impl Iterator<Item = (usize, Class, T)> + Clone,
        options: &RequestOptions,
        mut each: impl FnMut(T, Result<RequestId, Error>),
    ) {
        let template = self.entry(Class::default(), T::default(), options);
        let writes =
            self.config.read_only && commands.clone().any(|(_, class, _)| !class.is(Class::READ));
        let is_one = options.on.is_some() && !self.is_group(options.on);
        let together = is_one || self.topology.is_single();
        let node = options.on.and_then(|on| self.links.iter().find(|link| link.id == on.link()));
        let node = node.map(|link| link.node).unwrap_or_default();
        let link = link_at(&mut self.links, &self.places, node, options.on);
        if let Some(link) = link.filter(|_| together && !self.quitting && !writes)
            && let Some((base, in_flight)) = link.write_run(&template, encoded)
        {
            let before = in_flight.len();
            for (end, class, token) in commands {
                let (seq, end) = (self.ids.request(), base + end as u64);
                let meta = Meta { class, ..template.meta };
                in_flight.push_written(Entry { seq, token, end, meta, ..template });
                each(token, Ok(RequestId(seq)));
            }
            let sends = in_flight.len() - before;
            link.note_sends(sends);
            return;
        }
        let mut begin = 0;
        for (end, class, token) in commands {
            let body = Body::Encoded(encoded.get(begin..end).unwrap_or_default());
            begin = end;
            if writes && !class.is(Class::READ) {
                each(token, Err(read_only("this command")));
                continue;
            }
            let entry = self.entry(class, token, options);
            each(token, self.accept(entry, body, options));
        }
    }

    /// Accepts a transaction: MULTI, so many commands, EXEC, encoded one behind the other. It is one request: all of it or nothing is sent again. Its
    /// answer is EXEC's, or where that ran nothing, what the server refused. `class` is that of its commands
    /// ([`Class::in_transaction_with`]).
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn submit_transaction(
        &mut self,
        encoded: &[u8],
        commands: u32,
        class: Class,
        token: T,
        options: &RequestOptions,
    ) -> Result<RequestId, Error> {
        let class = class.in_transaction_with(class);
        if self.config.read_only && !class.is(Class::READ) {
            return Err(read_only("a command of this transaction"));
        }
        let entry = self.entry(class, token, options);
        let node = self.node_for(Body::Encoded(encoded), options)?;
        let id = self.accept_at(entry, Body::Encoded(encoded), node, options.on)?;
        if let Some(link) = link_at(&mut self.links, &self.places, node, options.on) {
            link.note_transaction(id.0, commands.saturating_add(2));
        }
        Ok(id)
    }

    /// Opens a connection for one caller alone, who may set state on it. It ends for good when it is lost or its server leads no more: state can't
    /// be carried over. Requests name it in [`RequestOptions::on`]; those before it is ready wait.
    ///
    /// # Errors
    /// The client was ended.
    pub fn open_dedicated(&mut self, key: Option<&[u8]>) -> Result<OpenedId, Error> {
        let node = match key {
            None => NodeId::default(),
            Some(key) => {
                let mut command = Command::new("WATCH");
                command.push_arg(key);
                self.topology.route(Body::Command(&command))?
            }
        };
        self.open_at(Purpose::Dedicated, node)
    }

    /// Opens a link whose writes are answered when so many replicas have them, or fail with [`ErrorKind::NotDurable`] after `within`. Requests name it in
    /// [`RequestOptions::on`]. It outlives failovers as the shared one does.
    ///
    /// # Errors
    /// The client was ended; no replicas are asked for; or `within` is below a millisecond, which WAIT takes for "for ever".
    pub fn open_durable(&mut self, replicas: u32, within: Duration) -> Result<OpenedId, Error> {
        if replicas == 0 || within < Duration::from_millis(1) {
            return Err(Error::invalid(
                "durable writes need at least one replica, and a millisecond to hear from it",
            ));
        }
        let id = self.open(Purpose::Durable)?;
        self.with_link(id.link(), |link, _| link.make_durable(replicas, within));
        Ok(id)
    }

    /// Opens a link whose reads the server remembers (CLIENT TRACKING ON): it says when one of their keys changes, as [`Output::Push`], and the link says
    /// how that stands, as [`Output::Subscription`]. Requests name it in [`RequestOptions::on`].
    ///
    /// # Errors
    /// The client was ended.
    pub fn open_tracking(&mut self) -> Result<OpenedId, Error> {
        self.open(Purpose::Tracking)
    }

    /// Opens a link that monitors its server (MONITOR): lines come as [`Output::Push`], and how it stands as [`Output::Subscription`].
    ///
    /// # Errors
    /// The client was ended.
    pub fn open_monitor(&mut self) -> Result<OpenedId, Error> {
        self.open(Purpose::Monitor)
    }

    fn open(&mut self, purpose: Purpose) -> Result<OpenedId, Error> {
        self.open_at(purpose, NodeId::default())
    }

    fn open_at(&mut self, purpose: Purpose, node: NodeId) -> Result<OpenedId, Error> {
        if self.quitting || self.links.first().is_none_or(Link::has_ended) {
            return Err(Error::ended());
        }
        let at = self.add_link(purpose, node);
        let link = self.links.get_mut(at);
        let id = link.and_then(|link| {
            let id = OpenedId::of(link.id);
            link.group = id.filter(|_| purpose.goes_everywhere());
            id
        });
        id.ok_or_else(|| Error::invalid("there are no numbers left for connections"))
    }

    /// Closes a link that was opened; what waits and what is in flight on it fails.
    pub fn close(&mut self, id: OpenedId) {
        self.drain_reading();
        let is_its = |link: &Link<T>| link.id == id.link() || link.group == Some(id);
        let mut cx = context!(self);
        for link in self.links.iter_mut().filter(|link| is_its(link)) {
            link.end(&mut cx, "closed by its owner");
        }
        self.links.retain(|link| !is_its(link));
        self.reindex();
        self.settle();
    }

    /// What an opened link is for. One that is gone was a dedicated one: others stay until they are closed.
    fn opened(&self, on: Option<OpenedId>) -> Option<Purpose> {
        let on = on?.link();
        let link = self.links.iter().find(|link| link.id == on);
        Some(link.map_or(Purpose::Dedicated, |link| link.purpose))
    }

    fn entry(&mut self, class: Class, token: T, options: &RequestOptions) -> Entry<T> {
        let resend = match self.opened(options.on) {
            Some(Purpose::Dedicated) => Resend::Never,
            _ => options.resend.unwrap_or(self.config.resend),
        };
        let usual = self.config.request_timeout;
        let timeout =
            options.timeout.unwrap_or_else(|| self.hints.request_timeout(self.now, usual));
        Entry {
            seq: self.ids.request(),
            token,
            end: 0,
            deadline: self.now + timeout,
            accepted: Tick::of(self.now),
            meta: Meta {
                owner: Owner::Caller,
                class,
                resend,
                delivery: Delivery::NotSent,
                redirects: 0,
                losses: 0,
            },
        }
    }

    #[inline]
    fn accept(
        &mut self,
        entry: Entry<T>,
        body: Body<'_>,
        options: &RequestOptions,
    ) -> Result<RequestId, Error> {
        let node = self.node_for(body, options)?;
        if options.to.is_some() && slot_of(body)?.is_none() {
            return self.accept_for(entry, body, node);
        }
        self.accept_at(entry, body, node, options.on)
    }

    /// Accepts what is for one node, whatever has which slots.
    fn accept_for(
        &mut self,
        mut entry: Entry<T>,
        body: Body<'_>,
        node: NodeId,
    ) -> Result<RequestId, Error> {
        if !self.has_node(node) {
            return Err(node_gone());
        }
        entry.meta.class = entry.meta.class.or(Class::OF_NODE);
        self.accept_at(entry, body, node, None)
    }

    /// True unless the node was given up.
    pub(super) fn has_node(&self, node: NodeId) -> bool {
        node == NodeId::default() || self.topology.node(node).endpoint.is_some()
    }

    /// True if what was opened is several links.
    fn is_group(&self, on: Option<OpenedId>) -> bool {
        on.is_some() && self.links.iter().any(|link| link.group == on)
    }

    /// The node that takes this; of an opened link, its own.
    #[inline]
    fn node_for(&self, body: Body<'_>, options: &RequestOptions) -> Result<NodeId, Error> {
        match options {
            RequestOptions { on: Some(on), .. } => {
                let opened = self.links.iter().find(|link| link.id == on.link());
                match opened {
                    Some(link) if link.group.is_none() || !self.topology.is_partitioned() => {
                        Ok(link.node)
                    }
                    _ => self.topology.route(body),
                }
            }
            RequestOptions { to: Some(PartId(node)), .. } => Ok(NodeId(*node)),
            _ => self.topology.route(body),
        }
    }

    #[inline]
    fn accept_at(
        &mut self,
        entry: Entry<T>,
        body: Body<'_>,
        node: NodeId,
        on: Option<OpenedId>,
    ) -> Result<RequestId, Error> {
        if self.quitting {
            let text = "the client is ending (`quit`); once it has, `reconnect()` starts it again";
            return Err(Error::new(ErrorKind::Closed, Delivery::NotSent, text));
        }
        if let Some(on) = on
            && self.links.iter().any(|link| link.group == Some(on))
        {
            self.member(on, node);
        }
        let Some(link) = link_at(&mut self.links, &self.places, node, on) else {
            return Err(no_link(on));
        };
        if !link.write_at_once(entry, body) {
            link.accept(&mut context!(self), entry, body)?;
        }
        Ok(RequestId(entry.seq))
    }

    fn submit_blocking(&mut self, entry: Entry<T>, command: &Command) -> Result<RequestId, Error> {
        if self.quitting || self.links.first().is_none_or(Link::has_ended) {
            return Err(Error::ended());
        }
        if self.config.max_blocking_connections == 0 {
            return Err(Error::invalid(
                "blocking commands are off (max_blocking_connections = 0); use a connection of your own, `Client::dedicated`",
            ));
        }
        // One that no node can run is refused here, as it would be later.
        self.topology.route(Body::Command(command))?;
        self.blocking.push(entry, command, &self.config)?;
        self.place_blocked();
        Ok(RequestId(entry.seq))
    }

    /// Gives waiting blocking commands a connection each, as far as there may be.
    pub(super) fn place_blocked(&mut self) {
        while !self.blocking.is_empty() {
            let node =
                self.blocking.front_body().map(|body| self.topology.route(Body::Encoded(&body)));
            // One whose keys are in several places was refused before.
            let node = node.and_then(Result::ok).unwrap_or_default();
            let is_free = |link: &Link<T>| {
                link.purpose == Purpose::Blocking && link.node == node && link.is_free()
            };
            let count = self.links.iter().filter(|link| link.purpose == Purpose::Blocking).count();
            let at = match self.links.iter().position(is_free) {
                Some(at) => at,
                None if count < self.config.max_blocking_connections => {
                    self.add_link(Purpose::Blocking, node)
                }
                None => return,
            };
            let mut cx = context!(self);
            if let Some(link) = self.links.get_mut(at) {
                self.blocking.place(&mut cx, link);
            }
        }
    }

    pub(super) fn add_link(&mut self, purpose: Purpose, node: NodeId) -> usize {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let endpoint = self.topology.node(node).endpoint.cloned();
        let mut link = Link::new(id, purpose, node, endpoint);
        link.connect(&mut context!(self));
        self.links.push(link);
        self.reindex();
        self.links.len() - 1
    }

    /// Nobody waits for this request any more: what was not handed over never is, the reply of what was is dropped. No answer with this token
    /// comes afterwards, so the token may name another request at once.
    pub fn cancel(&mut self, request: RequestId, token: T) {
        self.drain_reading();
        let is_its = |output: &Output<T>| matches!(output, Output::Answer { token: its, .. } if *its == token);
        self.outputs.retain(|output| !is_its(output));
        let mut cx = context!(self);
        let found = self.links.iter_mut().any(|link| link.abandon(&mut cx, request.0));
        self.later.abandon(request.0);
        if !found {
            self.blocking.abandon(request.0);
        }
        self.settle();
    }
}

/// The shared link of a node (of node 0 where there is none), or an opened one.
#[inline]
fn link_at<'a, T: Copy + Default>(
    links: &'a mut [Link<T>],
    places: &[u32],
    node: NodeId,
    on: Option<OpenedId>,
) -> Option<&'a mut Link<T>> {
    match on {
        None => links.get_mut(places.get(node.0 as usize).map_or(0, |at| *at as usize)),
        Some(on) => links.iter_mut().find(|link| {
            let is_its = link.id == on.link() || link.group == Some(on);
            is_its && link.node == node && !link.is_dissolving()
        }),
    }
}

/// SCRIPT KILL, FUNCTION KILL.
fn ends_scripts(command: &Command) -> bool {
    let is_one = |words: &[&str]| {
        let same = |(arg, word): (&[u8], &&str)| arg.eq_ignore_ascii_case(word.as_bytes());
        command.args().len() == words.len() && command.args().zip(words).all(same)
    };
    is_one(&["SCRIPT", "KILL"]) || is_one(&["FUNCTION", "KILL"])
}

/// Refuses what may write, for a client that only reads. State of a connection of one's own (WATCH, SELECT) is no data.
fn refuse_write(command: &Command) -> Result<(), Error> {
    let class = Class::of(command);
    if class.is(Class::READ) || class.is(Class::STATE) {
        return Ok(());
    }
    Err(read_only(&String::from_utf8_lossy(command.name()).to_uppercase()))
}

#[cold]
fn read_only(what: &str) -> Error {
    Error::invalid(format!(
        "{what} may write, and this client only reads (`Builder::read_only`); use another client for writes"
    ))
}

/// The error of a request for a node that has no data any more.
#[cold]
pub(super) fn node_gone() -> Error {
    let text = "the node that it was for has no slots any more, others have them now; send it again to all of them";
    Error::new(ErrorKind::Rejected, Delivery::NotSent, text)
}

#[cold]
fn no_link(on: Option<OpenedId>) -> Error {
    let text = match on {
        None => return Error::invalid("the topology names no link"),
        Some(_) => {
            "the connection that was opened for it has ended, and with it what was set on it (WATCH, SELECT, …); open another \
             with `Client::dedicated` (or `Client::durable`) and begin anew"
        }
    };
    Error::new(ErrorKind::Disconnected, Delivery::NotSent, text)
}
