//! Options. None must be set: the promises hold by default.

use std::path::PathBuf;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Duration;

use redial_proto::{
    AzureEvents, Config, Credentials, Delivery, Deployment, Endpoint, EventKind, Liveness,
    Protocol, QueueLimits, ReadFrom, Resend, Seeds, Sentinels, WantedRole,
};

use crate::client::Client;
use crate::credentials::{CredentialsProvider, Provider};
use crate::error::{CoreErrorKind, Error};
use crate::key_prefix::KeyPrefix;
use crate::policy::Policy;
use crate::retry::RetryStrategy;
#[cfg(feature = "tls")]
use crate::tls::TlsConfig;
use crate::url;

/// How long [`Builder::connect`] waits for the first connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What a client is made from.
#[must_use = "a builder does nothing until `connect` or `build`"]
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
    policy: Policy,
    key_prefix: Option<KeyPrefix>,
}

impl Builder {
    /// From a URL, see [`Client::connect`].
    ///
    /// # Errors
    /// The URL is malformed; the text says what and how it should look.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        url::parse(url).map(Self::with_config)
    }

    /// A TCP endpoint. The host is a name or an address, without brackets.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::with_config(Config::new(Endpoint::Tcp { host: host.into(), port }))
    }

    /// The primary that Sentinels name, by some of the Sentinels (host and port, 26379 by default in URLs) and the name of the service that they watch. Others are learnt from
    /// them. Credentials and TLS are the servers'; those of the Sentinels are apart ([`Self::sentinel_credentials`], [`Self::sentinel_tls`]).
    ///
    /// # Errors
    /// No Sentinel is named.
    pub fn sentinel<H: Into<String>>(
        sentinels: impl IntoIterator<Item = (H, u16)>,
        service: impl Into<String>,
    ) -> Result<Self, Error> {
        let endpoints: Vec<_> = sentinels
            .into_iter()
            .map(|(host, port)| Endpoint::Tcp { host: host.into(), port })
            .collect();
        let Some(first) = endpoints.first().cloned() else {
            return Err(Error::config("there is no Sentinel to ask"));
        };
        let service = service.into();
        let sentinels = Sentinels { endpoints, service, credentials: None, tls: false };
        let deployment = Deployment::Sentinel(sentinels);
        Ok(Self::with_config(Config { deployment, ..Config::new(first) }))
    }

    /// User and password of the Sentinels (`requirepass` or ACL in their own configuration). Default: none, whatever the servers have. Of no effect without
    /// Sentinels.
    pub fn sentinel_credentials(mut self, username: Option<&str>, password: &str) -> Self {
        if let Deployment::Sentinel(sentinels) = &mut self.config.deployment {
            let (username, password) = (username.map(str::to_owned), password.to_owned());
            sentinels.credentials = Some(Credentials { username, password });
        }
        self
    }

    /// Secures connections to Sentinels with TLS; `None` does not. Default: as the servers' where the URL says `rediss+sentinel://`, else none. Of no effect without
    /// Sentinels.
    #[cfg(feature = "tls")]
    pub fn sentinel_tls(mut self, tls: Option<TlsConfig>) -> Self {
        if let Deployment::Sentinel(sentinels) = &mut self.config.deployment {
            sentinels.tls = tls.is_some();
            self.policy.directory_tls = tls.map(Arc::new);
        }
        self
    }

    /// A Redis Cluster, by some of its nodes: host (name or address, without brackets) and port. The others are learnt from them. Credentials, TLS and all other
    /// options hold for every node.
    ///
    /// # Errors
    /// None is named.
    pub fn cluster<H: Into<String>>(
        nodes: impl IntoIterator<Item = (H, u16)>,
    ) -> Result<Self, Error> {
        let endpoints: Vec<_> = nodes
            .into_iter()
            .map(|(host, port)| Endpoint::Tcp { host: host.into(), port })
            .collect();
        let Some(first) = endpoints.first().cloned() else {
            return Err(Error::config("a cluster needs at least one node to ask"));
        };
        let seeds = Seeds { endpoints, address_map: Vec::new() };
        let deployment = Deployment::Cluster(seeds);
        Ok(Self::with_config(Config { deployment, ..Config::new(first) }))
    }

    /// Where a node of a cluster is reached that announces another address (`announced`, as in CLUSTER SLOTS), as seen from here: through NAT, a tunnel, published
    /// ports. Of no effect for one server. Default: where it announces.
    pub fn address_map<H: Into<String>>(
        mut self,
        announced_and_reached: impl IntoIterator<Item = ((H, u16), (H, u16))>,
    ) -> Self {
        let endpoint = |(host, port): (H, u16)| Endpoint::Tcp { host: host.into(), port };
        if let Deployment::Cluster(seeds) = &mut self.config.deployment {
            let pairs = announced_and_reached.into_iter();
            seeds.address_map = pairs.map(|(from, to)| (endpoint(from), endpoint(to))).collect();
        }
        self
    }

    /// A unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::with_config(Config::new(Endpoint::Unix(path.into())))
    }

    fn with_config(config: Config) -> Self {
        Self { config, policy: Policy::default(), key_prefix: None }
    }

    /// Secures connections with TLS. Default: with [`TlsConfig::new`] where the URL says `rediss://`, else none. Not for unix sockets.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.config.tls = matches!(self.config.endpoint, Endpoint::Tcp { .. });
        self.policy.tls = Arc::new(tls);
        self
    }

    /// User and password. Default: those of the URL, or none.
    pub fn credentials(mut self, username: Option<&str>, password: &str) -> Self {
        self.config.session.credentials = Some(Credentials {
            username: username.map(str::to_owned),
            password: password.to_owned(),
        });
        self.config.ask_credentials = false;
        self
    }

    /// Asks for user and password at every dial, and again before they expire; see [`CredentialsProvider`]. Takes the place of [`Self::credentials`] and of the
    /// URL's.
    pub fn credentials_provider(mut self, provider: impl CredentialsProvider) -> Self {
        self.config.session.credentials = None;
        self.config.ask_credentials = true;
        self.policy.credentials = Some(Provider::new(provider));
        self
    }

    /// How long a dial that has no credentials yet waits for their provider. Default 5 s.
    pub const fn credentials_timeout(mut self, timeout: Duration) -> Self {
        self.config.credentials_timeout = timeout;
        self
    }

    /// The database to select. Default: that of the URL, or 0.
    pub const fn database(mut self, database: u32) -> Self {
        self.config.session.database = database;
        self
    }

    /// Puts this in front of every key of every command, by the places that servers tell keys to have: `app:` makes `client.get("name")` read `app:name`. Also in pipelines,
    /// transactions, `KEYS` of scripts and functions, [`Client::consumer_group`], [`Client::cache`] and what [`Cmd::once`](crate::Cmd::once) keeps. Default: nothing.
    ///
    /// A help against mixing up keys, not a guard; rights are a matter of the server's ACL (`~app:*`). What is not a key in a key's place stays as it is: channels (as in ioredis), patterns
    /// of `KEYS` and `SCAN`, and replies that name keys (`KEYS`, `RANDOMKEY`, `BLPOP`, `XREAD`), which have the prefix as the server has it. But [`Client::scan_all`] looks only at
    /// keys with the prefix, and gives them without it. `FLUSHDB` and `DBSIZE` know no prefix.
    ///
    /// A command whose keys can't be told (`SORT` and `MIGRATE`, those of modules that redial does not know) fails with [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest): write the prefix
    /// yourself, and send it with [`Cmd::send_as_is`](crate::Cmd::send_as_is).
    pub fn key_prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.key_prefix = KeyPrefix::new(prefix.as_ref());
        self
    }

    /// Who answers commands that only read, where there are replicas to choose from: behind Sentinels and in a cluster. Default: primaries. See [`ReadFrom`] for what
    /// that costs.
    pub fn read_from(mut self, read_from: ReadFrom) -> Self {
        self.config.read_from = read_from;
        self
    }

    /// A name for `CLIENT LIST`. Default: none.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.config.session.client_name = Some(name.into());
        self
    }

    /// RESP3 with fallback (default), or RESP2 without asking.
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.config.session.protocol = protocol;
        self
    }

    /// From a request's acceptance to its answer, resends included. Default 10 s.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// What may be sent again by itself. Default [`Resend::Safe`].
    pub const fn resend(mut self, resend: Resend) -> Self {
        self.config.resend = resend;
        self
    }

    /// Refuses everything that may write with [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest), before it is sent: what is not known to read only,
    /// scripts and functions too unless they are read-only ones ([`Script::read_only`](crate::Script::read_only)). A guard against mistakes; rights are a matter of the server's ACL.
    /// Default false.
    ///
    /// To read from a replica, say [`WantedRole::Any`] too ([`Self::wanted_role`]).
    pub const fn read_only(mut self, read_only: bool) -> Self {
        self.config.read_only = read_only;
        self
    }

    /// Asks on every connection not to be disconnected when clients take too much memory (`CLIENT NO-EVICT`, from Redis 7.0). A server that does not know it, or does
    /// not permit it, is used all the same. Default false.
    pub const fn no_evict(mut self, no_evict: bool) -> Self {
        self.config.session.no_evict = no_evict;
        self
    }

    /// Asks on every connection that reading a key does not count as using it, so that it may be evicted as if it had not been read (`CLIENT NO-TOUCH`, from Redis 7.2). A server that
    /// does not know it, or does not permit it, is used all the same. Default false.
    pub const fn no_touch(mut self, no_touch: bool) -> Self {
        self.config.session.no_touch = no_touch;
        self
    }

    /// When silence becomes a question, and when an answer.
    pub const fn liveness(mut self, liveness: Liveness) -> Self {
        self.config.liveness = liveness;
        self
    }

    /// Bounds of what waits while no connection takes it. Default 200,000 commands, 128 MiB.
    pub const fn offline_queue(mut self, limits: QueueLimits) -> Self {
        self.config.offline_queue = limits;
        self
    }

    /// Whether requests wait while there is no connection. Default true; otherwise they fail at once with NotSent.
    pub const fn enable_offline_queue(mut self, enable: bool) -> Self {
        self.config.enable_offline_queue = enable;
        self
    }

    /// After this many failed dials in a row everything that waits fails, as in ioredis. Default: no limit but the deadline.
    pub const fn max_retries_per_request(mut self, most: Option<u32>) -> Self {
        self.config.max_retries_per_request = most;
        self
    }

    /// Connections for blocking commands at the most; with 0 such commands are refused. Default 64.
    pub const fn max_blocking_connections(mut self, most: usize) -> Self {
        self.config.max_blocking_connections = most;
        self
    }

    /// Take whatever server answers, or a primary only (default).
    pub const fn wanted_role(mut self, role: WantedRole) -> Self {
        self.config.wanted_role = role;
        self
    }

    /// Whether to ask servers to be told of their maintenance (`CLIENT MAINT_NOTIFICATIONS`, which Redis Cloud and Redis Software know), so that connections are
    /// moved before they are cut. Others refuse it, and nothing comes of that. Needs RESP3. What is announced can be watched
    /// ([`EventKind::Maintenance`](crate::EventKind::Maintenance)). Default true.
    pub const fn maintenance_notifications(mut self, ask: bool) -> Self {
        self.config.maintenance_notifications = ask;
        self
    }

    /// Whether to listen to what Azure Cache for Redis announces on the channel `AzureRedisEvents`; takes a connection for subscriptions. Default: where the host's name is one
    /// of Azure's; say [`AzureEvents::On`] behind a name of your own.
    pub const fn azure_events(mut self, listen: AzureEvents) -> Self {
        self.config.azure_events = listen;
        self
    }

    /// Refuse a server whose data does not descend from what this client has seen. Default false: an event tells.
    pub const fn refuse_unrelated_history(mut self, refuse: bool) -> Self {
        self.config.refuse_unrelated_history = refuse;
        self
    }

    /// Decides the pause before each dial of an outage: the number of the attempt, from 1, and why the last one failed; `None` ends the
    /// client until [`Client::reconnect`]. Called on the driver's task: it must not block. Default: about 100 ms for 20 s, then exponential with
    /// jitter up to 2 s. Probes of a connection that still exists are not asked about.
    pub fn retry_strategy(
        mut self,
        strategy: impl Fn(u32, &str) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.config.custom_retry = true;
        self.policy.retry = Some(RetryStrategy::new(strategy));
        self
    }

    /// A client that begins to connect at once; requests wait in its offline queue. Needs to be called in a tokio runtime.
    #[must_use]
    pub fn build(self) -> Client {
        Client::start(self)
    }

    /// Connects, and returns when the first connection is ready.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect(self) -> Result<Client, Error> {
        let endpoint = self.config.endpoint.clone();
        let client = self.build();
        let mut events = client.events();
        if let Ok(ready) = tokio::time::timeout(CONNECT_WITHIN, client.ready()).await {
            return ready.map(|()| client);
        }
        let (mut reason, mut is_summed_up) = (String::from("nothing answered"), false);
        while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
            // Some may have been missed; the last ones are here.
            let Ok(event) = event else { continue };
            match event.kind {
                EventKind::Unfound { cause } => (reason, is_summed_up) = (cause, true),
                EventKind::DialFailed { cause, .. } if !is_summed_up => reason = cause,
                _ => {}
            }
        }
        let text = format!("{endpoint} was not reached within {CONNECT_WITHIN:?}: {reason}");
        Err(redial_proto::Error::new(CoreErrorKind::Unreachable, Delivery::NotSent, text).into())
    }

    pub(crate) fn into_parts(self) -> (Config, Policy, Option<KeyPrefix>) {
        (self.config, self.policy, self.key_prefix)
    }
}
