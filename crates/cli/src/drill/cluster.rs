//! A cluster as the drill sees it: whose callers are whose, what its servers hold together, and what
//! callers noticed whose slots had nothing to do with the fault.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redial_lab::{Deployment, HostId, Lab, Reply, first_slots, slot_of};
use serde::Serialize;

use super::clock::millis;
use super::evidence::{Ask, ServerData};
use super::metrics;
use super::workload::{Record, list_key};

/// A slot is handed on once at most in a drill; a reply that leads in circles is a fault of the lab.
const MOST_REDIRECTIONS: usize = 4;

/// The primary that has the caller's slot when the lab starts.
pub(super) fn first_owner(caller: usize) -> Option<HostId> {
    let slot = slot_of(&list_key(caller));
    let owns = |host: &HostId| first_slots(*host).is_some_and(|slots| slots.contains(&slot));
    Deployment::Cluster.servers().into_iter().find(owns)
}

/// A key that is nobody's, in a slot that this primary has when the lab starts.
pub(super) fn key_of(host: HostId) -> String {
    let owns = |key: &String| first_slots(host).is_some_and(|slots| slots.contains(&slot_of(key)));
    (0..).map(|n| format!("accepting:{n}")).find(owns).unwrap_or_default()
}

/// All servers of a cluster, asked as one; the first to be asked is one that the fault spares.
pub(super) struct Whole<'a> {
    pub(super) lab: &'a Lab,
    pub(super) first: HostId,
}

impl Ask for Whole<'_> {
    fn ask(&self, args: &[String]) -> Result<Reply> {
        let mut host = self.first;
        for _ in 0..=MOST_REDIRECTIONS {
            let reply = self.lab.server(host).command(args)?;
            let Reply::Error(text) = &reply else { return Ok(reply) };
            let target = text.strip_prefix("MOVED ").and_then(|rest| rest.split(' ').nth(1));
            let ip = target.and_then(|target| target.rsplit_once(':')?.0.parse().ok());
            match ip.and_then(HostId::at) {
                Some(next) => host = next,
                None => bail!("server {host} answered `{text}` to {}", args[0]),
            }
        }
        bail!("the cluster does not agree on who has {}", args.get(1).map_or("", String::as_str))
    }
}

/// What a primary holds that the rest has replaced, or is about to: of its callers as they were when
/// the lab started.
pub(super) fn read_stale(
    lab: &Lab,
    host: HostId,
    callers: usize,
    rounds: u32,
) -> Result<ServerData> {
    let server = lab.server(host);
    // It knows that it is alone, and would answer nothing.
    server.command(&["CONFIG", "SET", "cluster-allow-reads-when-down", "yes"])?;
    ServerData::read_of(server, callers, rounds, |caller| first_owner(caller) == Some(host))
        .with_context(|| format!("cannot read what {host} has"))
}

/// Callers whose slots the fault has nothing to do with, from the fault on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct OtherSlots {
    pub(crate) callers: usize,
    /// Of their commands.
    pub(crate) errors: u64,
    /// The longest time without any success among the callers of one primary; the worst of them.
    pub(crate) longest_stall_ms: f64,
    pub(crate) longest_command_ms: f64,
}

/// What the callers noticed that are not of the primary which the fault `hits`.
pub(super) fn other_slots(
    records: &[Record],
    callers: usize,
    hits: HostId,
    (fault, end): (Duration, Duration),
) -> OtherSlots {
    let mut found =
        OtherSlots { callers: 0, errors: 0, longest_stall_ms: 0.0, longest_command_ms: 0.0 };
    for host in Deployment::Cluster.servers().into_iter().filter(|host| *host != hits) {
        let is_own: Vec<bool> =
            (0..callers).map(|caller| first_owner(caller) == Some(host)).collect();
        let own = |record: &&Record| {
            let is_over = record.settled.as_ref().is_some_and(|settled| settled.at < fault);
            !is_over && is_own.get(record.caller) == Some(&true)
        };
        let count = is_own.iter().filter(|own| **own).count();
        if count == 0 {
            continue;
        }
        let own: Vec<Record> = records.iter().filter(own).cloned().collect();
        let stall = metrics::longest_stall_between(&own, fault, end);
        found.callers += count;
        found.errors += metrics::errors(&own).total;
        found.longest_stall_ms = found.longest_stall_ms.max(millis(stall));
        let longest = millis(metrics::longest_command(&own, end));
        found.longest_command_ms = found.longest_command_ms.max(longest);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Delivery, Outcome};
    use super::super::workload::{Settled, Step};
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn record(caller: usize, issued: u64, at: u64, outcome: Outcome) -> Record {
        let settled = Some(Settled { at: ms(at), outcome });
        Record { caller, round: 0, step: Step::Push, issued: ms(issued), settled }
    }

    fn caller_of(host: HostId) -> usize {
        (0..1000).find(|caller| first_owner(*caller) == Some(host)).unwrap()
    }

    #[test]
    fn callers_of_the_primary_that_is_hit_are_not_among_the_others() {
        let ok = || Outcome::Ok("1".into());
        let failed =
            Outcome::Err { kind: "x".into(), delivery: Delivery::NoClaim, text: String::new() };
        let (hit, other) = (caller_of(HostId::A), caller_of(HostId::B));
        let mut records = vec![
            record(hit, 100, 900, failed.clone()),
            record(other, 0, 90, failed.clone()),
            record(other, 95, 110, ok()),
            record(other, 110, 180, ok()),
        ];
        let callers = hit.max(other) + 1;
        let judge =
            |records: &[Record]| other_slots(records, callers, HostId::A, (ms(100), ms(200)));
        let found = judge(&records);
        assert_eq!((found.errors, found.longest_command_ms), (0, 70.0), "only from the fault on");
        assert!(found.longest_stall_ms >= 70.0, "{found:?}");
        records.push(record(other, 180, 190, failed));
        assert_eq!(judge(&records).errors, 1);
    }

    #[test]
    fn fifty_callers_are_spread_over_all_primaries() {
        for host in &Deployment::Cluster.servers()[..3] {
            let own = (0..50).filter(|caller| first_owner(*caller) == Some(*host)).count();
            assert!(own > 8, "{own} callers at {host}");
            assert!(first_slots(*host).unwrap().contains(&slot_of(&key_of(*host))));
        }
    }
}
