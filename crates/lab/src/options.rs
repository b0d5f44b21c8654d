//! What a lab is made of: its options and the names of its hosts.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// The port on which both servers listen, and the endpoint's.
pub(crate) const PORT: u16 = 6379;
/// The name of the endpoint in [`Endpoint::Dns`].
pub(crate) const ENDPOINT_NAME: &str = "redis.drill";
/// The address of the endpoint in [`Endpoint::Address`]; both hosts own it.
pub(crate) const ENDPOINT_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// One of the two hosts that run a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostId {
    /// The first host: primary when the lab starts.
    A,
    /// The second host: replica of A when the lab starts.
    B,
}

impl HostId {
    /// Both hosts, A first.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The host that this one is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The host's own address, by which the hosts reach each other.
    #[must_use]
    pub fn ip(self) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(10, 77, 0, 1),
            Self::B => Ipv4Addr::new(10, 77, 0, 2),
        }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
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
    /// Round-trip time between any two hosts; half of it each way. Default 2 ms.
    pub rtt: Duration,
    /// What the client connects to. Default [`Endpoint::Address`].
    pub endpoint: Endpoint,
    /// `net.ipv4.tcp_retries2` of the client's host. Default `None`: the kernel's own.
    pub tcp_retries2: Option<u32>,
    /// The server program. Default `None`: `redis-server`, else `valkey-server`, from `PATH`.
    pub server_bin: Option<PathBuf>,
    /// Whether the servers speak TLS, and nothing else but over their unix sockets; with certificates made for this lab. Default no.
    pub tls: bool,
    /// Arguments added to both servers' command lines, after the lab's own, so that they win.
    pub server_args: Vec<String>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
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
