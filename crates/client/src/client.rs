//! The handle that programs hold.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use redial_proto::{Core, EventKind, Input, Purpose, State, SubscriptionKind};
use redial_resp::FromReply;

use crate::builder::Builder;
use crate::cache::OpenCache;
use crate::dedicated::Dedicated;
use crate::driver::mailbox::Mailbox;
use crate::driver::process;
use crate::driver::task::Driver;
use crate::durable::Durable;
use crate::error::{CoreErrorKind, Error};
use crate::events::{Events, Hub};
use crate::function::Function;
use crate::group::JoinGroup;
use crate::key_prefix::KeyPrefix;
use crate::monitor::OpenMonitor;
use crate::pipeline::Pipeline;
use crate::pubsub::{Subscribe, ToChannels};
use crate::request::Cmd;
use crate::scan::Scan;
use crate::script::{Script, ScriptCall};
use crate::transaction::Transaction;

/// A client of one server, of the primary behind Sentinels, or of a cluster. Cheap to clone; all clones share its connections, and the last one to go closes them.
///
/// Commands of all clones go over one shared connection (in a cluster one a shard), in the order in which they were first polled; what arrives together is written
/// together. Blocking commands and subscriptions have connections of their own.
#[derive(Clone, Debug)]
pub struct Client(Arc<Handle>);

/// What clones and requests share; its end ends the driver.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) hub: Arc<Hub>,
    /// There may be several nodes, each with a part of the data.
    pub(crate) is_distributed: bool,
    pub(crate) key_prefix: Option<KeyPrefix>,
}

impl Handle {
    /// A key as the server calls it.
    pub(crate) fn key<'a>(&self, key: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.key_prefix {
            None => Cow::Borrowed(key),
            Some(prefix) => Cow::Owned(prefix.key(key)),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.mailbox.with(|state| state.is_abandoned = true);
    }
}

impl Client {
    /// Connects to the server that the URL names, with defaults for all else: `redis://[user:password@]host[:port][/database]`,
    /// `rediss://` for the same over TLS (feature `tls`), `redis+unix:///path/to/socket[?db=N]`, `redis+sentinel://host[:26379],host…/service[/database]`,
    /// `redis+cluster://host[:port],host…`.
    ///
    /// Returns when the first connection is ready. Cancel safe: nothing goes on when the future is dropped. Needs a tokio runtime with time and
    /// I/O enabled.
    ///
    /// # Errors
    /// The URL is malformed; the server refuses the credentials; TLS can't be agreed; or no connection was ready within 10 s, with the reason of the last dial.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url)?.connect().await
    }

    /// Options beside the URL.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn builder(url: &str) -> Result<Builder, Error> {
        Builder::from_url(url)
    }

    pub(crate) fn start(builder: Builder) -> Self {
        let (config, policy, key_prefix) = builder.into_parts();
        let budget = process::budget(&config.endpoint);
        let core = Core::new(config, budget, fastrand::u64(..));
        let is_distributed = core.is_partitioned();
        let mailbox = Mailbox::new(core);
        let hub = Arc::new(Hub::default());
        let handle = Handle {
            mailbox: Arc::clone(&mailbox),
            hub: Arc::clone(&hub),
            is_distributed,
            key_prefix,
        };
        let client = Self(Arc::new(handle));
        client.input(Input::Connect);
        tokio::spawn(Driver::new(mailbox, hub, policy));
        client
    }

    fn input(&self, input: Input) {
        self.0.mailbox.input(input);
    }

    /// A command by name; arguments follow with [`Cmd::arg`], `.await` sends it. A name of two words (`"CLIENT LIST"`) is sent as two.
    ///
    /// Commands that change the state of the connection (SELECT, MULTI, SUBSCRIBE, …) are refused with an error that says what to use instead.
    pub fn cmd<R>(&self, name: &str) -> Cmd<R> {
        Cmd::new(Arc::clone(&self.0), name)
    }

    /// Runs a script; keys and arguments follow.
    pub fn script<R>(&self, script: &Script) -> ScriptCall<R> {
        ScriptCall::new(Arc::clone(&self.0), script)
    }

    /// Calls a function; keys and arguments follow. A server that does not have its library is given it first. Redis 6.2 has no functions, which is said.
    ///
    /// Its delivery is that of any command: it is not called again after it may have run, unless it only reads ([`Library::read_only`](crate::Library::read_only)) or you say so
    /// ([`ScriptCall::resend`]).
    pub fn function<R>(&self, function: &Function) -> ScriptCall<R> {
        ScriptCall::new(Arc::clone(&self.0), function)
    }

    /// All keys, as a stream (SCAN); with a [`key_prefix`](Builder::key_prefix) those that have it, without it.
    pub fn scan_all<T: FromReply>(&self) -> Scan<T> {
        Scan::new(Arc::clone(&self.0), "SCAN", None)
    }

    /// All fields of a hash and their values, as a stream of pairs (HSCAN).
    pub fn hscan_all<K: FromReply, V: FromReply>(&self, key: impl AsRef<[u8]>) -> Scan<(K, V)> {
        Scan::new(Arc::clone(&self.0), "HSCAN", Some(key.as_ref()))
    }

    /// All members of a set, as a stream (SSCAN).
    pub fn sscan_all<T: FromReply>(&self, key: impl AsRef<[u8]>) -> Scan<T> {
        Scan::new(Arc::clone(&self.0), "SSCAN", Some(key.as_ref()))
    }

    /// All members of a sorted set and their scores, as a stream of pairs (ZSCAN).
    pub fn zscan_all<T: FromReply>(&self, key: impl AsRef<[u8]>) -> Scan<(T, f64)> {
        Scan::new(Arc::clone(&self.0), "ZSCAN", Some(key.as_ref()))
    }

    /// Joins a consumer group of a stream, which is made if it is missing, as is the stream. `.await` gives the stream of the entries that this consumer is given, their fields as
    /// an `F`.
    ///
    /// Fails with what the server says (WRONGTYPE, NOPERM), or as any command.
    pub fn consumer_group<F>(
        &self,
        stream: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
    ) -> JoinGroup<F> {
        JoinGroup::new(Arc::clone(&self.0), stream.as_ref(), group.as_ref(), consumer.as_ref())
    }

    /// Several commands in one go.
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(Arc::clone(&self.0))
    }

    /// Commands that run together, with nobody else's in between (MULTI and EXEC).
    pub fn transaction(&self) -> Transaction {
        Transaction::new(Arc::clone(&self.0))
    }

    /// A connection of one's own: for WATCH, SELECT, WAIT. It is dialed at once; commands wait until it is ready. In a cluster it leads to some node; to that of a
    /// key with [`Self::dedicated_for`].
    ///
    /// # Errors
    /// The client was ended.
    pub fn dedicated(&self) -> Result<Dedicated, Error> {
        Dedicated::open(Arc::clone(&self.0), None)
    }

    /// The same, to the node of a cluster that has this key, and so all keys with the same `{tag}`. Where the key moves to another node, commands are answered
    /// `MOVED`: open another. With a single server as [`Self::dedicated`].
    ///
    /// # Errors
    /// The client was ended.
    pub fn dedicated_for(&self, key: impl AsRef<[u8]>) -> Result<Dedicated, Error> {
        Dedicated::open(Arc::clone(&self.0), Some(key.as_ref()))
    }

    /// Writes that are answered when so many replicas have them, which is waited for at most `within`.
    ///
    /// # Errors
    /// No replicas are asked for, `within` is below a millisecond, or the client was ended.
    pub fn durable(&self, replicas: u32, within: Duration) -> Result<Durable, Error> {
        Durable::open(Arc::clone(&self.0), replicas, within)
    }

    /// Subscribes to a channel, or to several: `subscribe("news")`, `subscribe(["news", "sport"])`. `.await` gives the stream of messages, once the server
    /// has confirmed all of them. Restored on every new connection; the stream tells of every interruption.
    ///
    /// Fails when the server refuses one of them (ACL), when not all are confirmed within the request timeout, or when the client was ended; nothing is
    /// subscribed to then. Cancel safe.
    pub fn subscribe(&self, channels: impl ToChannels) -> Subscribe {
        Subscribe::new(Arc::clone(&self.0), SubscriptionKind::Channel, channels)
    }

    /// As [`Self::subscribe`], to all channels that match a glob pattern.
    ///
    /// Keyspace notifications come this way, from a server whose `notify-keyspace-events` has them on
    /// (<https://redis.io/docs/latest/develop/use/keyspace-notifications/>):
    ///
    /// ```no_run
    /// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
    /// client.cmd("CONFIG SET").arg("notify-keyspace-events").arg("Kg$x").run().await?;
    /// let mut users = client.psubscribe("__keyspace@0__:user:*").await?;
    /// while let Some(received) = users.next().await {
    ///     if let Some(message) = received.message() {
    ///         println!("{:?} {:?}", message.channel, message.payload); // __keyspace@0__:user:7 set
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn psubscribe(&self, patterns: impl ToChannels) -> Subscribe {
        Subscribe::new(Arc::clone(&self.0), SubscriptionKind::Pattern, patterns)
    }

    /// As [`Self::subscribe`], to sharded channels (SSUBSCRIBE), which are published to with SPUBLISH. Redis 6.2 refuses it.
    pub fn ssubscribe(&self, channels: impl ToChannels) -> Subscribe {
        Subscribe::new(Arc::clone(&self.0), SubscriptionKind::Shard, channels)
    }

    /// Opens a cache in this program's memory for reads, which the server keeps from growing stale (CLIENT TRACKING, RESP3). `.await` gives it, once the server has agreed.
    ///
    /// Fails where the server refuses (RESP2, ACL), does not answer within the request timeout, or the client was ended.
    pub fn cache(&self) -> OpenCache {
        OpenCache::new(Arc::clone(&self.0))
    }

    /// Opens a stream of every command that the server runs, for whomever (MONITOR). `.await` gives it, once the server has agreed.
    ///
    /// Fails where the server refuses (ACL), does not answer within the request timeout, or the client was ended.
    pub fn monitor(&self) -> OpenMonitor {
        OpenMonitor::new(Arc::clone(&self.0))
    }

    /// What happens on the connections, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.hub.events()
    }

    /// The state of the shared connection.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.mailbox.lock().core.state()
    }

    /// The server behind the shared connection, as it presented itself; `None` without a connection.
    #[must_use]
    pub fn server(&self) -> Option<redial_proto::Server> {
        self.0.mailbox.lock().core.server().cloned()
    }

    /// Waits until the shared connection is ready. Cancel safe; no deadline.
    ///
    /// # Errors
    /// The client was ended, or the server refuses it: wrong password, missing rights, no such database, a certificate that is
    /// refused.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut events = self.events();
        let mut state = self.state();
        loop {
            match state {
                State::Ready | State::Suspect => return Ok(()),
                State::End => return Err(Error::closed("the client has ended")),
                _ => {}
            }
            match events.next().await {
                None => return Err(Error::closed("the client has ended")),
                Some(Ok(event)) => {
                    if let EventKind::DialFailed { cause, needs_attention: true, kind, .. } =
                        event.kind
                    {
                        let text = match kind {
                            CoreErrorKind::Tls => cause,
                            _ => format!("the server refuses this client: {cause}"),
                        };
                        return Err(redial_proto::Error::new(
                            kind,
                            redial_proto::Delivery::NotSent,
                            text,
                        )
                        .into());
                    }
                    if event.purpose == Purpose::Shared {
                        state = self.state();
                    }
                }
                Some(Err(_missed)) => state = self.state(),
            }
        }
    }

    /// Ends the client when everything accepted so far has settled; later requests fail with NotSent. Returns when that is done. Cancel safe: it
    /// ends all the same.
    pub async fn quit(&self) {
        let mut events = self.events();
        self.input(Input::Quit);
        while self.state() != State::End && events.next().await.is_some() {}
    }

    /// Ends the client at once: what waits fails with NotSent, what is in flight with what is known of it.
    pub fn disconnect(&self) {
        self.input(Input::Disconnect);
    }

    /// Starts again after [`Self::quit`], [`Self::disconnect`] or a retry strategy that gave up; nothing otherwise.
    pub fn reconnect(&self) {
        // Without a driver nobody would dial, and every request would wait for it.
        if !self.0.mailbox.lock().is_abandoned {
            self.input(Input::Connect);
        }
    }
}
