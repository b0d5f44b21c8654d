//! How many connections the client gave up, and how many dials it made besides: counted from the
//! flows that crossed the wire, never from what the client says.

use std::time::Duration;

use redial_lab::FlowInfo;

use super::clock::Clock;

/// More than any probe sends, its handshake and then questions twice a second while its server is slow: what carried more carried commands.
const PROBE_AT_MOST: u64 = 8 * 1024;
/// The load never pauses for so long: a connection that is quiet while a younger one works was left
/// for it. (The kernel's retransmissions count as its words.)
const QUIET: Duration = Duration::from_secs(1);

/// One flow of the client under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialed {
    pub(crate) opened: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) last_sent: Option<Duration>,
    pub(crate) sent_bytes: u64,
}

impl Dialed {
    pub(crate) fn of(flow: &FlowInfo, clock: Clock) -> Self {
        Self {
            opened: clock.at(flow.opened_at),
            ended: flow.ended_at.map(|at| clock.at(at)),
            last_sent: flow.to_host.last_payload_at.map(|at| clock.at(at)),
            sent_bytes: flow.to_host.payload_bytes,
        }
    }
}

/// The counts of a drill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections that carried commands and ended, or were left for another.
    pub(crate) lost: u64,
    /// Dials that never carried a command.
    pub(crate) unused_dials: u64,
}

/// Counts what happened until `end`, the end of the load.
pub(crate) fn count(flows: &[Dialed], end: Duration) -> Counts {
    let carried = |flow: &&Dialed| flow.sent_bytes > PROBE_AT_MOST;
    let lost = flows.iter().filter(carried).filter(|flow| {
        let ended = flow.ended.is_some_and(|at| at <= end);
        let last = flow.last_sent.unwrap_or(flow.opened);
        let left = flows.iter().filter(carried).any(|other| {
            other.opened > flow.opened && other.last_sent.unwrap_or(other.opened) > last + QUIET
        });
        ended || left
    });
    Counts {
        lost: lost.count() as u64,
        unused_dials: flows.iter().filter(|flow| !carried(flow)).count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn flow(opened: u64, ended: Option<u64>, last_sent: u64, sent_bytes: u64) -> Dialed {
        Dialed {
            opened: ms(opened),
            ended: ended.map(ms),
            last_sent: Some(ms(last_sent)),
            sent_bytes,
        }
    }

    #[test]
    fn a_connection_that_is_kept_is_not_lost_and_a_dropped_probe_is_none() {
        let flows = [flow(0, None, 14_999, 90_000), flow(3_500, Some(7_000), 3_510, 250)];
        assert_eq!(count(&flows, ms(15_000)), Counts { lost: 0, unused_dials: 1 });
    }

    #[test]
    fn a_connection_that_ended_or_was_left_for_another_is_lost() {
        let ended = [flow(0, Some(3_000), 2_999, 90_000), flow(5_000, None, 14_999, 90_000)];
        assert_eq!(count(&ended, ms(15_000)).lost, 1);
        let left = [flow(0, None, 3_000, 90_000), flow(5_000, None, 14_999, 90_000)];
        assert_eq!(count(&left, ms(15_000)).lost, 1);
    }

    #[test]
    fn what_ends_after_the_load_does_not_count_and_two_in_use_side_by_side_are_kept() {
        let flows = [flow(0, Some(15_100), 14_998, 90_000), flow(1, None, 14_999, 90_000)];
        assert_eq!(count(&flows, ms(15_000)).lost, 0);
    }
}
