//! What must hold in every run. The rules that concern single requests are checked in [`crate::ledger`], those that concern clients in
//! [`crate::finale`] and [`crate::driver`]; here they have their names.

use std::fmt;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Oracle {
    /// Every request is answered once; a cancelled one never.
    AnsweredOnce,
    /// Every request is answered by its deadline and a small slack.
    Deadline,
    /// Each reply is its own request's.
    OwnReply,
    /// What is not repeatable under its policy is applied once at the most.
    AppliedOnce,
    /// What is reported as NotSent or Rejected is never applied, before or after.
    SurelyNotRun,
    /// What is reported as Ran was taken by a server, and what is reported as Rejected was refused by one.
    Truthful,
    /// What is reported as NotSent, or was cancelled before it was handed over, never reaches a server afterwards.
    NeverSent,
    /// Requests of one client run in the order of their acceptance on each server, refused and repeated ones aside.
    Order,
    /// No request goes round among servers without a pause.
    Rounds,
    /// While one shard of a cluster fails, callers of the others have no error and do not stand still.
    OtherShards,
    /// After the last fault every link is ready again within the bound.
    ReadyAgain,
    /// A client that is ready serves: its last request succeeds, and its subscription hears the last message.
    Serves,
    /// No server is adopted that has said that it is a replica; and behind Sentinels none that was deposed, by a client that has been on its successor.
    WantedRole,
    /// Where servers are at the most slow, no connection is replaced and no request fails; where not even that, nothing is suspected.
    FalseAlarm,
    /// At the most eight dials are under way for a link.
    Dials,
    /// After an end nothing is dialed, nothing is open and no timer is set.
    Ended,
    /// A timer that was handled is not due again: no busy loop.
    BusyLoop,
    /// In a scenario: what is expected of this one drill.
    Scenario,
}

/// A broken rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run.
    pub seed: u64,
    /// Virtual microseconds since its beginning.
    pub at: u64,
    /// The rule.
    pub oracle: Oracle,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, micros) = (self.at / 1_000_000, self.at % 1_000_000);
        write!(f, "seed {} at {secs}.{micros:06} s, {:?}: {}", self.seed, self.oracle, self.text)
    }
}
