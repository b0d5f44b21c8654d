//! How a Sentinel of the lab is configured. What it does then is its own affair.

use std::fmt::Write as _;

use super::certificates::Certificates;
use crate::options::{PORT, SENTINEL_PORT, SERVICE};
use crate::{Deployment, HostId};

/// Without an answer for so long, a Sentinel holds a server for down: a fraction of the default of 30 s, that a drill need not last for minutes.
const DOWN_AFTER_MS: u32 = 1000;
/// The bound of one attempt at a failover; the next begins after twice that.
const FAILOVER_TIMEOUT_MS: u32 = 3000;
/// Two of three.
const QUORUM: usize = 2;

/// The configuration of the host's Sentinel, which knows from the start what it would learn in its
/// first seconds: the replica, and the other Sentinels.
pub(super) fn configuration(host: HostId, tls: bool) -> String {
    let mut lines = if tls {
        format!("port 0\ntls-port {SENTINEL_PORT}\ntls-replication yes\n")
    } else {
        format!("port {SENTINEL_PORT}\n")
    };
    if tls {
        lines.push_str(&Certificates::directives());
    }
    let primary = HostId::A.ip();
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        lines,
        "bind 0.0.0.0\nprotected-mode no\n\
         sentinel myid {}\n\
         sentinel monitor {SERVICE} {primary} {PORT} {QUORUM}\n\
         sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n\
         sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}\n\
         sentinel known-replica {SERVICE} {} {PORT}\n",
        id(host),
        HostId::B.ip(),
    );
    for other in Deployment::Sentinel.sentinels().into_iter().filter(|other| *other != host) {
        let (ip, id) = (other.ip(), id(other));
        let _ = writeln!(lines, "sentinel known-sentinel {SERVICE} {ip} {SENTINEL_PORT} {id}");
    }
    lines
}

/// 40 hexadecimal digits, the host's own.
fn id(host: HostId) -> String {
    format!("{:040x}", host.index() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_knows_the_primary_its_replica_and_the_other_two() {
        let [first, ..] = Deployment::Sentinel.sentinels()[..] else { panic!("no Sentinels") };
        let text = configuration(first, false);
        assert!(text.contains("sentinel monitor mymaster 10.77.0.1 6379 2\n"), "{text}");
        assert!(text.contains("known-replica mymaster 10.77.0.2 6379\n"), "{text}");
        assert_eq!(text.matches("known-sentinel").count(), 2, "{text}");
        assert!(!text.contains("known-sentinel mymaster 10.77.0.3 "), "{text}");
        assert!(configuration(first, true).contains("port 0\ntls-port 26379\n"));
    }
}
