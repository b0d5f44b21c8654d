//! What a drill demands of a client: the one table of thresholds, the same for every client.
//!
//! Common to all drills and not in the table: every command is answered, none runs twice, none
//! that is said to have had no effect has one, none overtakes a newer one of its caller, and every
//! reply is the command's own.

use std::time::Duration;

/// The errors that a drill forgives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllowedErrors {
    None,
    /// One for each caller at each switch: what was in flight when the connection was lost. All of
    /// them may have run; a command that surely did not run is the client's to send again.
    InFlight,
    /// As many, of any kind.
    OnePerCaller,
}

/// The demands of one drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// From the endpoint accepting writes to the first success; `None` where nothing moves.
    pub(crate) recovery: Option<Duration>,
    pub(crate) errors: AllowedErrors,
    /// Asynchronous replication may lose what was acknowledged just before a host died. Where no
    /// host dies, or none takes its last writes with it, a loss is the client's doing.
    pub(crate) may_lose: bool,
    /// No connection may be given up: nothing is wrong with it.
    pub(crate) keeps_connection: bool,
    /// Servers that tell what ran (Redis 8, Valkey 8.1 and later) leave no error that may have run.
    pub(crate) server_can_tell: bool,
    /// Watchers (idle, subscriber, blocked) must be on the new primary within this of the fault.
    pub(crate) watchers: Option<Duration>,
}

const fn limits(recovery_ms: u64, errors: AllowedErrors) -> Limits {
    Limits {
        recovery: Some(Duration::from_millis(recovery_ms)),
        errors,
        may_lose: false,
        keeps_connection: false,
        server_can_tell: false,
        watchers: None,
    }
}

pub(crate) const PLANNED: Limits = limits(150, AllowedErrors::InFlight);
pub(crate) const DEMOTION: Limits = limits(150, AllowedErrors::None);
pub(crate) const KILL: Limits = Limits { may_lose: true, ..limits(150, AllowedErrors::InFlight) };
pub(crate) const POWER_OFF: Limits = Limits { watchers: Some(Duration::from_secs(5)), ..KILL };
pub(crate) const REPLIES_LOST: Limits = limits(150, AllowedErrors::InFlight);
pub(crate) const HANG: Limits =
    Limits { may_lose: true, ..limits(350, AllowedErrors::OnePerCaller) };
pub(crate) const HANG_AND_WAKE: Limits = limits(350, AllowedErrors::OnePerCaller);
pub(crate) const PARTITION: Limits =
    Limits { server_can_tell: true, ..limits(250, AllowedErrors::OnePerCaller) };
pub(crate) const SLOW: Limits =
    Limits { recovery: None, keeps_connection: true, ..limits(0, AllowedErrors::None) };
/// From the moment at which the promoted server takes writes, which Sentinels announce up to a second later.
pub(crate) const SENTINEL: Limits = KILL;
/// Nothing is wrong with the connection: the word of two Sentinels is all that there is, and it comes up to a second after the promotion.
pub(crate) const SENTINEL_LIES: Limits =
    Limits { may_lose: true, ..limits(1500, AllowedErrors::InFlight) };
pub(crate) const CLUSTER_POWER_OFF: Limits = KILL;
/// Both hosts live, the new primary has all, and what the old one held back it refuses by MOVED.
pub(crate) const CLUSTER_FAILOVER: Limits = limits(150, AllowedErrors::None);
pub(crate) const CLUSTER_PARTITION: Limits = KILL;
/// Nothing fails: every slot is served all the time, by one or the other.
pub(crate) const CLUSTER_RESHARD: Limits =
    Limits { recovery: None, ..limits(0, AllowedErrors::None) };
/// Beside the storm's own: some clients wait before they dial, which spares the server.
pub(crate) const STORM: Limits = limits(5000, AllowedErrors::InFlight);
pub(crate) const HOST_BACK_WITHOUT_STATE: Limits = limits(250, AllowedErrors::InFlight);
pub(crate) const DNS_SWITCH: Limits = DEMOTION;
pub(crate) const HALF_DEAD_DIAL: Limits =
    Limits { may_lose: true, ..limits(1000, AllowedErrors::OnePerCaller) };

/// A client that listens and missed something hears again within this of the moment at which the load's first write succeeded. Who missed nothing was not
/// interrupted: after a short partition the server's kernel delivers what it held, in its own time, which is better than to lose it.
pub(crate) const HEARS_WITHIN: Duration = Duration::from_millis(250);

/// The callers of a cluster's other slots share nothing with the fault but the client: a stall of theirs is the client's doing. Twenty of their pauses.
pub(crate) const OTHER_SLOTS_STALL: Duration = Duration::from_millis(50);

/// Whether a server of this product and version tells what ran on a connection that is lost:
/// `tot-net-in` in `CLIENT LIST`.
pub(crate) fn server_tells(product_and_version: &str) -> bool {
    let Some((product, version)) = product_and_version.split_once(' ') else { return false };
    let mut numbers = version.split('.').map_while(|n| n.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match product {
        "redis" => version >= (8, 0),
        "valkey" => version >= (8, 1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_that_tell_are_known_by_product_and_version() {
        for tells in ["redis 8.2.3", "valkey 8.1.8", "valkey 9.1.2", "redis 10.0"] {
            assert!(server_tells(tells), "{tells}");
        }
        for silent in ["redis 7.0.15", "redis 6.2", "valkey 8.0.4", "keydb 9.0", "redis", ""] {
            assert!(!server_tells(silent), "{silent}");
        }
    }
}
