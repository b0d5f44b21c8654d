//! Where forms are sent: the servers of one run, and what forms need to know of them.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redial::prelude::*;
use redial::{Client, Dedicated, Protocol, Subscription, WantedRole};
use tempfile::TempDir;

use crate::process::{Server, free_port};

/// The kind of server that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One for all, emptied before each form.
    Shared,
    /// A node that has all slots of its cluster, and a replica; there is another node without slots. Emptied before each form.
    Cluster,
    /// One of its own for each form.
    Alone,
    /// The same, and a replica of it.
    Pair,
    /// A node of a cluster without slots, of its own for each form.
    Node,
    /// A replica in a cluster of its own for each form.
    Follower,
}

/// Servers that all forms share.
pub(crate) struct Servers {
    shared: Vec<Server>,
    cluster: Vec<Server>,
    _users: TempDir,
}

/// What a form is sent on.
pub(crate) struct On {
    pub(crate) client: Client,
    pub(crate) own: Dedicated,
    /// The port of another server.
    pub(crate) other: u16,
    /// The node's own id, in a cluster.
    pub(crate) node: String,
    /// The id of another one that is a primary.
    pub(crate) peer: String,
    /// DUMP of a string.
    pub(crate) dump: Vec<u8>,
    /// FUNCTION DUMP of a library.
    pub(crate) functions: Vec<u8>,
}

/// How many pairs are started at once: one needs a second until its replica is online, several need no more.
const AHEAD: usize = 5;

/// The servers, spoken to in one protocol.
pub(crate) struct Places {
    protocol: Protocol,
    version: String,
    shared: On,
    cluster: On,
    /// Of one form, and its servers.
    own: Option<(On, Vec<Server>)>,
    /// Of forms to come.
    pairs: Vec<Vec<Server>>,
    followers: Vec<Vec<Server>>,
    _heard: Vec<Subscription>,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let users = tempfile::tempdir().unwrap();
        let file = users.path().join("users.acl");
        std::fs::write(&file, "").unwrap();
        let file = file.to_str().unwrap();
        let shared = vec![Server::start(&["--aclfile", file]), Server::start(&[])];
        Self { shared, cluster: cluster().await, _users: users }
    }
}

impl Places {
    pub(crate) async fn open(servers: &Servers, protocol: Protocol) -> Self {
        let mut shared = On::of(protocol, &servers.shared).await;
        shared.remember().await;
        let first = servers.shared.first().unwrap();
        // Something for ACL LOG.
        let stranger = Client::builder(&format!("redis://no:body@127.0.0.1:{}", first.port));
        assert!(stranger.unwrap().connect().await.is_err(), "whoever comes is let in");
        let version = version(&shared.client).await;
        let client = &shared.client;
        let mut heard =
            vec![client.subscribe("a").await.unwrap(), client.psubscribe("a*").await.unwrap()];
        if version != "redis-6.2" {
            heard.push(client.ssubscribe("a").await.unwrap());
        }
        let cluster = On::of(protocol, &servers.cluster).await;
        let (pairs, followers) = (Vec::new(), Vec::new());
        Self { protocol, version, shared, cluster, own: None, pairs, followers, _heard: heard }
    }

    /// `redis-7.0`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) async fn on(&mut self, place: Place) -> &On {
        let servers = match place {
            Place::Shared => {
                self.shared.own = self.shared.client.dedicated().unwrap();
                return &self.shared;
            }
            Place::Cluster => return &self.cluster,
            Place::Alone => vec![Server::start(&[]), Server::start(&[])],
            Place::Pair => next(&mut self.pairs, pair).await,
            Place::Node => vec![node()],
            Place::Follower => next(&mut self.followers, follower).await,
        };
        let on = On::of(self.protocol, &servers).await;
        &self.own.insert((on, servers)).0
    }
}

impl On {
    async fn of(protocol: Protocol, servers: &[Server]) -> Self {
        let (first, last) = (servers.first().unwrap(), servers.last().unwrap());
        let builder = Client::builder(&first.url()).unwrap().client_name("matrix");
        let builder = builder.protocol(protocol).wanted_role(WantedRole::Any);
        let client = builder.connect().await.unwrap();
        Self {
            own: client.dedicated().unwrap(),
            other: last.port,
            node: client.cluster_myid().await.unwrap_or_default(),
            peer: admin(last).await.cluster_myid().await.unwrap_or_default(),
            dump: Vec::new(),
            functions: Vec::new(),
            client,
        }
    }

    /// A slot of the cluster that has not been moved yet.
    pub(crate) fn next_slot() -> u16 {
        static NEXT: AtomicU16 = AtomicU16::new(100);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// What RESTORE and FUNCTION RESTORE are given: each server has a format of its own.
    async fn remember(&mut self) {
        self.client.set("k", "v").await.unwrap();
        self.dump = self.client.dump("k").await.unwrap();
        let library = "#!lua name=l\nredis.register_function('f', function() return 1 end)";
        if self.client.function_load().replace().code(library).await.is_ok() {
            self.functions = self.client.function_dump().await.unwrap();
        }
    }
}

/// The cluster's bus listens 10,000 above.
fn node() -> Server {
    let ports = std::iter::repeat_with(free_port).filter(|port| *port < 50_000);
    let cluster = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"];
    Server::start_on_one_of(ports, &[&cluster[..], &AT_ONCE].concat())
}

/// A replica copies its primary without waiting for others that may come.
const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

/// A node with all slots, its replica, and one without slots.
async fn cluster() -> Vec<Server> {
    let nodes = vec![node(), node(), node()];
    let admins = acquainted(&nodes).await;
    let [first, replica, _] = admins.as_slice() else { panic!("three nodes") };
    first.cluster_addslots(0..16384).await.unwrap();
    for admin in &admins {
        until(async || admin.cluster_info().await.unwrap().contains("cluster_state:ok")).await;
    }
    let id = first.cluster_myid().await.unwrap();
    follow(replica, &id).await;
    until(async || !first.cluster_replicas(&id).await.unwrap().is_empty()).await;
    nodes
}

/// A replica, and its primary.
async fn follower() -> Vec<Server> {
    let nodes = vec![node(), node()];
    let admins = acquainted(&nodes).await;
    let [replica, primary] = admins.as_slice() else { panic!("two nodes") };
    let id = primary.cluster_myid().await.unwrap();
    follow(replica, &id).await;
    nodes
}

/// Nodes that know each other.
async fn acquainted(nodes: &[Server]) -> Vec<Client> {
    let mut admins = Vec::new();
    for (epoch, node) in (1..).zip(nodes) {
        let admin = admin(node).await;
        admin.cluster_set_config_epoch(epoch).await.unwrap();
        for known in nodes.iter().take(admins.len()) {
            admin.cluster_meet("127.0.0.1", known.port).await.unwrap();
        }
        admins.push(admin);
    }
    let all = format!("cluster_known_nodes:{}\r", nodes.len());
    for admin in &admins {
        until(async || admin.cluster_info().await.unwrap().contains(&all)).await;
    }
    admins
}

/// A primary and a replica that follows it.
async fn pair() -> Vec<Server> {
    let primary = Server::start(&AT_ONCE);
    let port = primary.port.to_string();
    let of_it = ["--replicaof", "127.0.0.1", &port];
    let replica = Server::start(&[&AT_ONCE[..], &of_it].concat());
    follows(&admin(&replica).await).await;
    let client = admin(&primary).await;
    until(async || client.info().await.unwrap().contains("state=online")).await;
    vec![primary, replica]
}

/// One of those that were started ahead.
async fn next(ready: &mut Vec<Vec<Server>>, start: impl AsyncFn() -> Vec<Server>) -> Vec<Server> {
    if ready.is_empty() {
        *ready = join_all((0..AHEAD).map(|_| start())).await;
    }
    ready.pop().unwrap()
}

/// Whatever its role is.
async fn admin(server: &Server) -> Client {
    let builder = Client::builder(&server.url()).unwrap().wanted_role(WantedRole::Any);
    builder.connect().await.unwrap()
}

/// Nodes are listed before they are known by their ids.
async fn follow(replica: &Client, primary: &str) {
    until(async || replica.cluster_replicate(primary).await.is_ok()).await;
    follows(replica).await;
}

async fn follows(replica: &Client) {
    until(async || replica.info().await.unwrap().contains("master_link_status:up")).await;
}

/// Nothing tells when but asking.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < end, "the servers don't find each other");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn version(client: &Client) -> String {
    let info = client.info().await.unwrap();
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().rsplit_once('.').unwrap().0.to_owned())
    };
    match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => format!("valkey-{version}"),
        (None, Some(version)) => format!("redis-{version}"),
        _ => panic!("no version in {info}"),
    }
}
