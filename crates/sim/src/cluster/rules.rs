//! The rules for requests that hold only where there are several shards.

use redial_proto::ErrorKind;

use super::ClusterPlan;
use crate::ledger::Outcome;
use crate::oracle::Oracle;
use crate::plan::Mood;
use crate::world::{START, World};

/// How often a request may be refused at once, and how long it takes from then on until the next time.
const MOST_AT_ONCE: u64 = 8;
const ROUND: u64 = 40_000;

/// By then a cluster has been found.
const SETTLED: u64 = START + 1_500_000;

/// How long callers of a shard may wait while another one fails, besides four times the path.
const LONGEST_STALL: u64 = 300_000;

impl World {
    /// A server has sent a request on, or refused it for now: it does not go round without a pause.
    pub(crate) fn watch_rounds(&mut self, token: u64) {
        let request = &self.ledger.requests[token as usize];
        let most = MOST_AT_ONCE + (self.now - request.asked) / ROUND;
        if self.cluster.is_some() && u64::from(request.refused) > most {
            let text = format!("request {token} was refused {} times", request.refused);
            self.fail(Oracle::Rounds, || format!("{text}, {most} are allowed by now"));
        }
    }

    /// While one shard fails, callers of the others notice nothing.
    pub(crate) fn watch_others(&mut self, token: u64, outcome: Outcome) {
        let (Mood::OneShard(shard), Some(cluster)) = (self.plan.mood, &self.cluster) else {
            return;
        };
        let request = &self.ledger.requests[token as usize];
        let is_other =
            request.tag.is_some_and(|tag| ClusterPlan::shard_of(&cluster.map, tag) != shard);
        if !is_other || request.kind.blocks() || self.is_ending || request.asked < SETTLED {
            return;
        }
        let took = self.now - request.asked;
        let most = LONGEST_STALL + 4 * (self.plan.delay + self.plan.jitter) + self.plan.late_ticks;
        let was_short = request.due - request.asked <= most;
        let is_bad = match outcome {
            Outcome::Failed(ErrorKind::Timeout, _) => !was_short,
            Outcome::Failed(..) => true,
            Outcome::Reply | Outcome::ErrorReply => took > most,
        };
        if is_bad {
            self.fail(Oracle::OtherShards, || {
                format!("request {token} took {took} µs, {outcome:?}, and its shard is well")
            });
        }
    }
}
