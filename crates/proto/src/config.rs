//! What the core is told once, at its birth. Every default is what the five promises need; nothing here must be set.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::delivery::Resend;

/// Where a server is reached, as configured; resolved anew at every dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host (name or address) and a port.
    Tcp {
        /// Name or IP address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The protocol to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2 without asking.
    Resp2,
    /// RESP3, and RESP2 where the server refuses HELLO.
    #[default]
    Resp3,
}

/// Which role a server must have for a link to use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantedRole {
    /// Whatever answers.
    Any,
    /// A primary (`role:master`); a server that hides its role counts as one until it says READONLY.
    #[default]
    Primary,
}

/// Whether to listen to Azure's channel `AzureRedisEvents`, which takes a connection for subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AzureEvents {
    /// Where the host has one of the names that Azure gives to its caches (`*.redis.cache.windows.net`, and those of its other clouds).
    #[default]
    Auto,
    /// Behind a name of one's own.
    On,
    /// Never.
    Off,
}

/// Who asks to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// ACL user; `None` is the default user.
    pub username: Option<String>,
    /// Password or token.
    pub password: String,
}

impl fmt::Debug for Credentials {
    /// Never shows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What every connection is given before its first request.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// AUTH; `None` sends none.
    pub credentials: Option<Credentials>,
    /// SELECT; 0 sends none.
    pub database: u32,
    /// CLIENT SETNAME; `None` sends none.
    pub client_name: Option<String>,
    /// RESP3 (with fallback) or RESP2.
    pub protocol: Protocol,
    /// CLIENT NO-EVICT ON, which a server that does not know or permit it may refuse. Default false.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH ON, likewise. Default false.
    pub no_touch: bool,
}

/// When silence becomes a question, and when it becomes an answer.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    /// Nothing read for this long while a command waits: the connection is suspect and its endpoint is asked. Default 500 ms, at least 10 ms.
    pub suspect_after: Duration,
    /// A connection that has been idle for this long is asked with PING. Default 2 s, at least 10 ms.
    pub ping_interval: Duration,
    /// Silence of this length condemns without further evidence. Default 15 s, at least 100 ms.
    pub condemn_after: Duration,
}

impl Liveness {
    /// What is asked without a pause is asked of nobody but the processor.
    pub(crate) fn at_least(self) -> Self {
        let (shortest, long_enough) = (Duration::from_millis(10), Duration::from_millis(100));
        Self {
            suspect_after: self.suspect_after.max(shortest),
            ping_interval: self.ping_interval.max(shortest),
            condemn_after: self.condemn_after.max(long_enough),
        }
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            suspect_after: Duration::from_millis(500),
            ping_interval: Duration::from_secs(2),
            condemn_after: Duration::from_secs(15),
        }
    }
}

/// Bounds of what waits while no connection takes it; the same hold for what a cluster refuses to serve for now.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Commands. Default 200,000.
    pub commands: usize,
    /// Bytes on the wire. Default 128 MiB.
    pub bytes: usize,
    /// Longest wait of one command, inside its deadline. Default: the deadline alone.
    pub age: Option<Duration>,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { commands: 200_000, bytes: 128 << 20, age: None }
    }
}

/// How the servers are found.
#[derive(Clone, Debug, Default)]
pub enum Deployment {
    /// One endpoint, whoever is behind it.
    #[default]
    Standalone,
    /// Redis Sentinel: the primary is whom the Sentinels name.
    Sentinel(Sentinels),
    /// Redis Cluster: each of 16,384 slots has a primary of its own.
    Cluster(Seeds),
}

/// Who answers commands that only read. Of a single endpoint there is no choice.
///
/// What a replica answers is behind its primary: by what is on the way, which is a round trip where all is well, and without bound where replication is held up.
/// A write that was just acknowledged may not be there yet. Transactions, scripts that may write and blocking commands go to primaries in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The primary.
    #[default]
    Primary,
    /// Replicas only; while none is there, reads wait. Where a primary has none at all, it is read from.
    Replica,
    /// Replicas, and the primary while none of them is ready.
    ReplicaPreferred,
    /// Whoever has the shortest round trip as the kernel measures it, the primary included.
    Nearest,
    /// Servers that are in this availability zone, as they say themselves (`availability_zone` of INFO, Valkey 8.1), the primary included; else replicas, else
    /// the primary.
    Zone(String),
}

/// The Sentinels to ask, and what for.
#[derive(Clone, Debug)]
pub struct Sentinels {
    /// Where they are; others are learnt from them.
    pub endpoints: Vec<Endpoint>,
    /// The name that they know the primary by.
    pub service: String,
    /// AUTH for the Sentinels, apart from the servers'; `None` sends none.
    pub credentials: Option<Credentials>,
    /// Whether connections to Sentinels are secured with TLS. The servers have [`Config::tls`].
    pub tls: bool,
}

/// The nodes to ask first.
#[derive(Clone, Debug)]
pub struct Seeds {
    /// Where some of the nodes are; the others are learnt from them.
    pub endpoints: Vec<Endpoint>,
    /// Where a node is reached that announces another address, as seen from this network. Names in certificates stay those of `endpoints`.
    pub address_map: Vec<(Endpoint, Endpoint)>,
}

/// Everything that the core is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server is; of several to ask, the first.
    pub endpoint: Endpoint,
    /// How the servers are found. Default: at `endpoint`.
    pub deployment: Deployment,
    /// Whether sockets are secured with TLS before anything else ([`crate::Output::StartTls`]). Default false.
    pub tls: bool,
    /// What a connection is given before its first request.
    pub session: Session,
    /// When silence becomes a question.
    pub liveness: Liveness,
    /// The role that a server must have. Default: primary.
    pub wanted_role: WantedRole,
    /// From acceptance to answer, resends included. Default 10 s.
    pub request_timeout: Duration,
    /// What may be sent again. Default [`Resend::Safe`].
    pub resend: Resend,
    /// Who answers commands that only read, where there is a choice. Default: primaries.
    pub read_from: ReadFrom,
    /// Whether everything that may write is refused before it is sent. Default false.
    pub read_only: bool,
    /// Bounds of the offline queue.
    pub offline_queue: QueueLimits,
    /// Whether requests wait at all while no connection takes them; otherwise they fail with NotSent. Default true.
    pub enable_offline_queue: bool,
    /// After this many dials in a row have failed, what waits fails. Default: no limit but the deadline.
    pub max_retries_per_request: Option<u32>,
    /// Connections for blocking commands at the most; further ones wait. Default 64.
    pub max_blocking_connections: usize,
    /// Whether the pause before a dial is asked of the user ([`crate::Output::AskRetry`]). Default false.
    pub custom_retry: bool,
    /// Whether credentials are asked of a provider at every dial ([`crate::Output::AskCredentials`]); those of the session are then its last ones. Default
    /// false.
    pub ask_credentials: bool,
    /// How long a dial without credentials waits for the provider. Default 5 s.
    pub credentials_timeout: Duration,
    /// Whether connections ask to be told of maintenance (`CLIENT MAINT_NOTIFICATIONS`). A server that knows no such thing says so, and nothing follows. Default true.
    pub maintenance_notifications: bool,
    /// Whether Azure's announcements are listened to. Default: where the host's name is one of Azure's.
    pub azure_events: AzureEvents,
    /// Refuse a server whose data does not descend from what this client has seen. Default false.
    pub refuse_unrelated_history: bool,
}

impl Config {
    /// The defaults, for this endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            deployment: Deployment::default(),
            tls: false,
            session: Session::default(),
            liveness: Liveness::default(),
            wanted_role: WantedRole::default(),
            request_timeout: Duration::from_secs(10),
            resend: Resend::default(),
            read_from: ReadFrom::default(),
            read_only: false,
            offline_queue: QueueLimits::default(),
            enable_offline_queue: true,
            max_retries_per_request: None,
            max_blocking_connections: 64,
            custom_retry: false,
            ask_credentials: false,
            credentials_timeout: Duration::from_secs(5),
            maintenance_notifications: true,
            azure_events: AzureEvents::default(),
            refuse_unrelated_history: false,
        }
    }
}
