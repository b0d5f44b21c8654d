//! What a lab is made of: its options and the names of its hosts.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// The port on which both servers listen, and the endpoint's.
pub(crate) const PORT: u16 = 6379;
/// The port on which Sentinels listen.
pub(crate) const SENTINEL_PORT: u16 = 26379;
/// The name by which Sentinels know the primary.
pub(crate) const SERVICE: &str = "mymaster";
/// The name of the endpoint in [`Endpoint::Dns`].
pub(crate) const ENDPOINT_NAME: &str = "redis.drill";
/// The address of the endpoint in [`Endpoint::Address`]; both hosts own it.
pub(crate) const ENDPOINT_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// A host that runs a server or a Sentinel, named by a letter. Which hosts there are, and what they run, is the [`Deployment`]'s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(u8);

impl HostId {
    /// The first host: a primary when the lab starts.
    pub const A: Self = Self(0);
    /// The second host: replica of A when the lab starts; in a cluster the second primary.
    pub const B: Self = Self(1);
    /// Both hosts of a pair, A first.
    pub const PAIR: [Self; 2] = [Self::A, Self::B];
    /// As many as any lab has.
    pub(crate) const MOST: usize = 6;

    /// The host of the pair A and B that this one is not.
    #[must_use]
    pub fn other(self) -> Self {
        if self == Self::A { Self::B } else { Self::A }
    }

    /// Its place in the order of hosts, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The host's own address, by which the hosts reach each other.
    #[must_use]
    pub fn ip(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.0 + 1)
    }

    /// The host with this address of its own, in the largest of labs.
    #[must_use]
    pub fn at(ip: Ipv4Addr) -> Option<Self> {
        Self::range(0, Self::MOST).into_iter().find(|host| host.ip() == ip)
    }

    /// So many hosts, from the one with the index `from` on.
    pub(crate) fn range(from: usize, count: usize) -> Vec<Self> {
        (from..from + count).filter_map(|index| u8::try_from(index).ok()).map(Self).collect()
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'A' + self.0))
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which hosts a lab has, and what they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deployment {
    /// A, and its replica B, behind an endpoint.
    #[default]
    Pair,
    /// A, and its replica B, watched by Sentinels on C, D and E.
    Sentinel,
    /// A cluster of the primaries A, B and C, whose replicas are D, E and F; each primary has a third of the slots.
    Cluster,
}

impl Deployment {
    /// The hosts whose servers hold data.
    #[must_use]
    pub fn servers(self) -> Vec<HostId> {
        HostId::range(0, if self == Self::Cluster { 6 } else { 2 })
    }

    /// The hosts that run a Sentinel.
    #[must_use]
    pub fn sentinels(self) -> Vec<HostId> {
        if self == Self::Sentinel { HostId::range(2, 3) } else { Vec::new() }
    }

    /// The host whose server is this one's replica when the lab starts.
    #[must_use]
    pub fn replica_of(self, host: HostId) -> Option<HostId> {
        let servers = self.servers();
        let primaries = servers.len() / 2;
        (host.index() < primaries).then(|| servers.get(host.index() + primaries).copied()).flatten()
    }

    /// All hosts.
    #[must_use]
    pub fn hosts(self) -> Vec<HostId> {
        let mut hosts = self.servers();
        hosts.extend(self.sentinels());
        hosts
    }
}

/// How the client is led to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Endpoint {
    /// One address in front of both hosts. A new flow goes to the host that the endpoint leads to at
    /// the moment of its SYN and stays pinned to it for ever, as behind Azure's load balancer.
    #[default]
    Address,
    /// A name that resolves, with a TTL of 1 s, to the address of the host it leads to.
    Dns,
}

/// How to build a [`Lab`](crate::Lab).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LabOptions {
    /// Which hosts there are. Default [`Deployment::Pair`].
    pub deployment: Deployment,
    /// Round-trip time between any two hosts; half of it each way. Default 2 ms.
    pub rtt: Duration,
    /// What the client connects to; only a pair has an endpoint. Default [`Endpoint::Address`].
    pub endpoint: Endpoint,
    /// `net.ipv4.tcp_retries2` of the client's host. Default `None`: the kernel's own.
    pub tcp_retries2: Option<u32>,
    /// The server program. Default `None`: `redis-server`, else `valkey-server`, from `PATH`.
    pub server_bin: Option<PathBuf>,
    /// Whether the servers speak TLS, and nothing else but over their unix sockets; with certificates made for this lab. Default no.
    pub tls: bool,
    /// Arguments added to the servers' command lines, after the lab's own, so that they win.
    pub server_args: Vec<String>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            deployment: Deployment::default(),
            rtt: Duration::from_millis(2),
            endpoint: Endpoint::Address,
            tcp_retries2: None,
            server_bin: None,
            tls: false,
            server_args: Vec::new(),
        }
    }
}

/// What a server starts with when it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartWith {
    /// Nothing, as a host whose disk is gone.
    Nothing,
    /// What it had, if it is running now (it is told to save first), else what it last saved.
    ItsData,
}
