//! What a server says of its own future: the pushes that `CLIENT MAINT_NOTIFICATIONS` turns on, and the messages on Azure's channel
//! `AzureRedisEvents`. Read here, and judged by one table ([`Maintenance::advice`]) that says what each is worth.
//!
//! A hint is never more than a reason to ask: what is done with it is the link's ([`crate::link`]), and what a probe finds decides.

mod azure;
mod memory;
mod push;

use std::ops::RangeInclusive;
use std::time::Duration;

pub use self::azure::{AzureEvent, AzureEventKind};
pub(crate) use self::azure::{CHANNEL, is_azure, parse_message};
pub(crate) use self::memory::{Hints, News};
pub(crate) use self::push::{Announced, is_maintenance, parse_push};
use crate::config::Endpoint;

/// A server that is about to be patched ends connections within seconds of saying so; a second later there may be something to find.
const EXPECTED_WITHIN: Duration = Duration::from_secs(2);

/// What a server announces. The frames are those of <https://redis.io/docs/latest/develop/clients/sch/>; strings are shown as the server wrote
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Maintenance {
    /// `MOVING`: the endpoint behind this connection goes away.
    Moving {
        /// From now.
        within: Duration,
        /// Where to go instead; `None`: where the configured endpoint leads by then.
        to: Option<Endpoint>,
    },
    /// `MIGRATING`: shards move to other hosts; replies may be late.
    Migrating {
        /// How long that is expected to take.
        within: Duration,
        /// As numbered by the server; may be empty.
        shards: Vec<String>,
    },
    /// `MIGRATED`: they have.
    Migrated {
        /// As numbered by the server; may be empty.
        shards: Vec<String>,
    },
    /// `FAILING_OVER`: replicas of shards are being promoted; replies may be late.
    FailingOver {
        /// How long that is expected to take.
        within: Duration,
        /// As numbered by the server; may be empty.
        shards: Vec<String>,
    },
    /// `FAILED_OVER`: they have been.
    FailedOver {
        /// As numbered by the server; may be empty.
        shards: Vec<String>,
    },
    /// `SMIGRATING`: slots are on their way to another node.
    SlotsMigrating {
        /// Which.
        slots: Vec<RangeInclusive<u16>>,
    },
    /// `SMIGRATED`: slots have another node.
    SlotsMigrated {
        /// From where to where.
        moves: Vec<SlotsMoved>,
    },
    /// A message on `AzureRedisEvents`.
    Azure(AzureEvent),
}

/// Slots that have another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsMoved {
    /// The node that had them, where it is said.
    pub from: Option<Endpoint>,
    /// The node that has them.
    pub to: Endpoint,
    /// Which.
    pub slots: Vec<RangeInclusive<u16>>,
}

/// What a hint is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Whoever watches is told.
    Tell,
    /// Silence is explained for so long.
    Relax(Duration),
    /// It is time to ask the endpoint who is there.
    Ask {
        after: Duration,
        /// What was announced before is over.
        is_over: bool,
    },
    /// The connection has so long to be replaced.
    Leave { within: Duration, to: Option<Endpoint> },
}

impl Maintenance {
    /// The table: one row a frame or message.
    pub(crate) fn advice(&self) -> Advice {
        use AzureEventKind as Azure;
        const NOW: Duration = Duration::ZERO;
        match self {
            Self::Moving { within, to } => Advice::Leave { within: *within, to: to.clone() },
            Self::Migrating { within, .. } | Self::FailingOver { within, .. } => {
                Advice::Relax(*within)
            }
            Self::Migrated { .. } | Self::FailedOver { .. } => {
                Advice::Ask { after: NOW, is_over: true }
            }
            // Slots are a matter of which node takes a command; one endpoint has one node.
            Self::SlotsMigrating { .. } | Self::SlotsMigrated { .. } => Advice::Tell,
            Self::Azure(event) => match event.kind {
                // Minutes or 20 s ahead the old server is still the right one.
                Azure::Scheduled | Azure::Starting => Advice::Tell,
                Azure::Start => Advice::Ask { after: EXPECTED_WITHIN, is_over: false },
                Azure::FailoverComplete | Azure::Ended | Azure::ScaleComplete => {
                    Advice::Ask { after: NOW, is_over: false }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure(kind: AzureEventKind) -> Advice {
        Maintenance::Azure(AzureEvent::new(kind)).advice()
    }

    #[test]
    fn what_begins_relaxes_and_what_is_over_is_asked_about() {
        let within = Duration::from_secs(9);
        let shards = Vec::new();
        let relax = Advice::Relax(within);
        assert_eq!(Maintenance::Migrating { within, shards: shards.clone() }.advice(), relax);
        assert_eq!(Maintenance::FailingOver { within, shards: shards.clone() }.advice(), relax);
        let over = Advice::Ask { after: Duration::ZERO, is_over: true };
        assert_eq!(Maintenance::Migrated { shards: shards.clone() }.advice(), over);
        assert_eq!(Maintenance::FailedOver { shards }.advice(), over);
    }

    #[test]
    fn an_endpoint_that_goes_away_is_left() {
        let within = Duration::from_secs(9);
        for to in [None, Some(Endpoint::Tcp { host: "h".into(), port: 1 })] {
            let advice = Maintenance::Moving { within, to: to.clone() }.advice();
            assert_eq!(advice, Advice::Leave { within, to });
        }
    }

    #[test]
    fn slots_are_for_whoever_watches() {
        assert_eq!(Maintenance::SlotsMigrating { slots: Vec::new() }.advice(), Advice::Tell);
        assert_eq!(Maintenance::SlotsMigrated { moves: Vec::new() }.advice(), Advice::Tell);
    }

    #[test]
    fn azure_is_asked_when_something_has_happened_and_not_when_it_will() {
        use AzureEventKind as Azure;
        assert_eq!(azure(Azure::Scheduled), Advice::Tell);
        assert_eq!(azure(Azure::Starting), Advice::Tell);
        assert_eq!(azure(Azure::Start), Advice::Ask { after: EXPECTED_WITHIN, is_over: false });
        for kind in [Azure::FailoverComplete, Azure::Ended, Azure::ScaleComplete] {
            assert_eq!(azure(kind), Advice::Ask { after: Duration::ZERO, is_over: false });
        }
    }
}
