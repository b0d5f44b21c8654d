//! One dial: resolve the name anew, race all its addresses, set what the kernel is to watch. How often, how many and how long is
//! the core's decision; only DNS has a deadline of its own here, since a stuck resolver must not use up the dial's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redial_proto::Endpoint;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::socket::Stream;

/// Longer than `condemn_after`, so that a live server with a zero window is not given up by the kernel before the core does (a zero window counts
/// against it, measured), and far below the fifteen minutes of retransmission.
const USER_TIMEOUT: Duration = Duration::from_secs(20);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

/// A name that does not resolve within this is dialed at its last known addresses.
const RESOLVE_WITHIN: Duration = Duration::from_millis(700);

/// Look-ups that may be stuck in the system's resolver, which can't be interrupted; each holds a thread.
const MOST_LOOKUPS: usize = 2;

/// The next address is tried after this long without a connection, beside the first. RFC 8305 recommends 250 ms for browsing; a failover has less time.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(50);

/// What dials of one client remember of DNS.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    running: Arc<AtomicUsize>,
    /// Dials so far: each begins with another of a name's addresses, since one that accepts and never answers would win every race.
    dials: AtomicUsize,
    /// Where the first name that was ever looked up, which is the configured one, last led. Others are what a server said, and come and go.
    last: Mutex<Option<(String, Vec<SocketAddr>)>>,
}

/// Why a dial came to nothing; the text says what was tried.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another dial may succeed.
    Failed(String),
    /// No dial does before a configuration is changed.
    Refused(String),
}

#[cfg(feature = "entra")]
impl Failure {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Failed(text) | Self::Refused(text) => text,
        }
    }
}

/// Opens a socket.
pub(crate) async fn dial(resolver: Arc<Resolver>, endpoint: Endpoint) -> Result<Stream, Failure> {
    open(&resolver, &endpoint).await.map_err(Failure::Failed)
}

async fn open(resolver: &Resolver, endpoint: &Endpoint) -> Result<Stream, String> {
    match endpoint {
        Endpoint::Tcp { host, port } => {
            let mut addresses = resolver.resolve(host, *port).await?;
            let first = resolver.dials.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
            addresses.rotate_left(first);
            race(addresses).await.map(Stream::Tcp)
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => {
            tokio::net::UnixStream::connect(path).await.map(Stream::Unix).map_err(|error| {
                format!("can't connect to the unix socket {}: {error}", path.display())
            })
        }
        #[cfg(not(unix))]
        Endpoint::Unix(path) => {
            Err(format!("unix sockets ({}) are not supported on this system", path.display()))
        }
    }
}

impl Resolver {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = self.look_up(host, port).await;
        let mut guard = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, last) = guard.get_or_insert_with(|| (host.to_owned(), Vec::new()));
        let mut nothing = Vec::new();
        let last = if name == host { last } else { &mut nothing };
        match found {
            Ok(addresses) if !addresses.is_empty() => {
                last.clone_from(&addresses);
                Ok(addresses)
            }
            Ok(_) => Err(format!("{host} has no addresses")),
            Err(LookUp::Refused(error)) => Err(format!(
                "can't resolve {host}: {error}; check the host name and the DNS of this machine"
            )),
            Err(LookUp::TooSlow) if last.is_empty() => {
                Err(format!("DNS did not answer for {host} within {RESOLVE_WITHIN:?}"))
            }
            Err(LookUp::TooSlow) => Ok(last.clone()),
        }
    }

    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, LookUp> {
        let host = host.to_owned();
        let running = Arc::clone(&self.running);
        if running.fetch_add(1, Ordering::Relaxed) >= MOST_LOOKUPS {
            running.fetch_sub(1, Ordering::Relaxed);
            tokio::time::sleep(RESOLVE_WITHIN).await;
            return Err(LookUp::TooSlow);
        }
        // A task of its own: it goes on in the resolver's thread whether or not this dial still waits for it.
        let lookup = tokio::spawn(async move {
            let found = tokio::net::lookup_host((host, port)).await.map(Iterator::collect);
            running.fetch_sub(1, Ordering::Relaxed);
            found
        });
        match tokio::time::timeout(RESOLVE_WITHIN, lookup).await {
            Ok(Ok(found)) => found.map_err(LookUp::Refused),
            Ok(Err(_)) | Err(_) => Err(LookUp::TooSlow),
        }
    }
}

enum LookUp {
    Refused(io::Error),
    TooSlow,
}

async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, String> {
    let mut racing = JoinSet::new();
    for (place, address) in (0_u32..).zip(addresses) {
        racing.spawn(async move {
            tokio::time::sleep(NEXT_ADDRESS_AFTER * place).await;
            connect(address).await.map_err(|error| format!("can't connect to {address}: {error}"))
        });
    }
    let mut failures = Vec::new();
    while let Some(outcome) = racing.join_next().await {
        match outcome {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(failure)) => failures.push(failure),
            Err(_) => {}
        }
    }
    Err(failures.join("; "))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    watch(&SockRef::from(&socket));
    socket.connect(address).await
}

/// The kernel's own watch over the connection, behind the core's. Set before connecting, so that the SYN is covered. Where a sandbox or an old
/// system refuses an option the connection is made without it: the core does not rely on them.
fn watch(socket: &SockRef<'_>) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    let outcomes = [
        socket.set_tcp_nodelay(true),
        socket.set_tcp_keepalive(&keepalive),
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT)),
    ];
    for error in outcomes.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a socket option is not available");
    }
}
