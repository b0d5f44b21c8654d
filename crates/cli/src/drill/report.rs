//! What a drill found, in the form in which `--json` prints it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::audit::Increments;
use super::clock::millis;
use super::cluster::OtherSlots;
use super::listener::Listened;
use super::load::StateChange;
use super::metrics::{Recovery, Slice};
use super::stage::Story;
use super::storm::StormReport;
use super::watchers::Watched;

/// Width of the timeline's slices.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// A packet that is later than this changes what recovery is measured as: a third of the shortest
/// limit.
const LATE_MS: f64 = 50.0;

/// A drill's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Pass,
    Fail,
    /// The client has nothing for such a deployment.
    Unable,
}

impl Verdict {
    pub(crate) fn of(reasons: &[String]) -> Self {
        if reasons.is_empty() { Self::Pass } else { Self::Fail }
    }
}

/// Failed commands.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ErrorCounts {
    pub(crate) total: u64,
    pub(crate) by_kind: BTreeMap<String, u64>,
    pub(crate) by_delivery: BTreeMap<String, u64>,
    /// One text of each kind.
    pub(crate) samples: BTreeMap<String, String>,
}

/// One time that the endpoint accepted writes again.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Switch {
    /// Since the drill's start.
    pub(crate) at_ms: f64,
    pub(crate) recovery_ms: Option<f64>,
    pub(crate) all_recovered_ms: Option<f64>,
}

impl Switch {
    pub(crate) fn of(recovery: &Recovery) -> Self {
        Self {
            at_ms: millis(recovery.from),
            recovery_ms: recovery.first.map(millis),
            all_recovered_ms: recovery.all.map(millis),
        }
    }
}

/// The drill, and on what it was run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    pub(crate) drill: &'static str,
    pub(crate) variant: Option<&'static str>,
    /// Name and version of the client, or the program.
    pub(crate) client: String,
    pub(crate) server: String,
    pub(crate) endpoint: &'static str,
    pub(crate) tls: bool,
    pub(crate) rtt_ms: f64,
    pub(crate) replication_delay_ms: f64,
    /// The latest that the lab delivered a packet after its time. A machine that is too busy for the
    /// drill shows here: times of recovery are no better than this.
    pub(crate) worst_lateness_ms: f64,
}

impl Setting {
    /// A sentence on a machine that was too busy for the figures to be trusted, if it was.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.worst_lateness_ms > LATE_MS).then(|| {
            format!(
                "this machine was too busy: the lab delivered packets up to {:.0} ms late, so the \
                 times are the machine's as much as the client's",
                self.worst_lateness_ms
            )
        })
    }
}

/// The report on a client. Durations are milliseconds; `null` means that it never came to pass, or
/// that there was nothing to measure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClientReport {
    #[serde(flatten)]
    pub(crate) setting: Setting,
    pub(crate) callers: usize,
    pub(crate) verdict: Verdict,
    pub(crate) reasons: Vec<String>,
    /// From the endpoint accepting writes to the first write that succeeds; the worst of `switches`.
    pub(crate) recovery_ms: Option<f64>,
    /// Until every caller has had a write succeed.
    pub(crate) all_recovered_ms: Option<f64>,
    pub(crate) switches: Vec<Switch>,
    pub(crate) longest_stall_ms: f64,
    pub(crate) longest_command_ms: f64,
    /// Of the GETs that succeeded, half were answered within this.
    pub(crate) median_read_ms: f64,
    /// Of the writes that succeeded.
    pub(crate) median_write_ms: f64,
    pub(crate) commands: usize,
    pub(crate) errors: ErrorCounts,
    pub(crate) never_settled: u64,
    pub(crate) applied_twice: u64,
    pub(crate) failed_but_applied: u64,
    pub(crate) acked_but_lost: u64,
    pub(crate) order_violations: u64,
    pub(crate) wrong_replies: u64,
    pub(crate) increments: Increments,
    /// Some of the five above, in words.
    pub(crate) examples: Vec<String>,
    pub(crate) connections_lost: u64,
    pub(crate) probes: u64,
    /// The worst of `watchers`.
    pub(crate) idle_noticed_ms: Option<f64>,
    pub(crate) idle_replaced_ms: Option<f64>,
    pub(crate) watchers: Vec<Watched>,
    /// With `--listener`.
    pub(crate) listened: Option<Listened>,
    /// In a cluster, of callers whose slots the fault has nothing to do with.
    pub(crate) other_slots: Option<OtherSlots>,
    /// Where there are many clients.
    pub(crate) storm: Option<StormReport>,
    #[serde(skip)]
    pub(crate) timeline: Timeline,
}

/// The report on a user's program, from the servers' side.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProgramReport {
    #[serde(flatten)]
    pub(crate) setting: Setting,
    pub(crate) verdict: Verdict,
    pub(crate) reasons: Vec<String>,
    /// From the first fault to the last command before the longest silence.
    pub(crate) stopped_ms: Option<f64>,
    /// From the endpoint accepting writes to the program's next command there.
    pub(crate) recovery_ms: Option<f64>,
    pub(crate) switches: Vec<Switch>,
    pub(crate) longest_stall_ms: f64,
    pub(crate) commands: u64,
    pub(crate) connections: usize,
    /// How the program ended by itself, if it did.
    pub(crate) exited: Option<String>,
    #[serde(skip)]
    pub(crate) timeline: Timeline,
}

/// The report on a client that has nothing for such a deployment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UnableReport {
    #[serde(flatten)]
    pub(crate) setting: Setting,
    pub(crate) verdict: Verdict,
    /// As its adapter says.
    pub(crate) reasons: Vec<String>,
    #[serde(skip)]
    pub(crate) timeline: Timeline,
}

/// What the picture shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline {
    pub(crate) end: Duration,
    pub(crate) slices: Vec<Slice>,
    pub(crate) changes: Vec<StateChange>,
    pub(crate) story: Story,
}

/// What a drill has to say at its end.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Report {
    Client(Box<ClientReport>),
    Program(Box<ProgramReport>),
    Unable(Box<UnableReport>),
}

impl Report {
    pub(crate) fn setting(&self) -> &Setting {
        match self {
            Self::Client(report) => &report.setting,
            Self::Program(report) => &report.setting,
            Self::Unable(report) => &report.setting,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Client(report) => report.verdict,
            Self::Program(report) => report.verdict,
            Self::Unable(report) => report.verdict,
        }
    }

    pub(crate) fn reasons(&self) -> &[String] {
        match self {
            Self::Client(report) => &report.reasons,
            Self::Program(report) => &report.reasons,
            Self::Unable(report) => &report.reasons,
        }
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        match self {
            Self::Client(report) => &report.timeline,
            Self::Program(report) => &report.timeline,
            Self::Unable(report) => &report.timeline,
        }
    }
}

/// The largest of values that all exist; nothing if there are none, or one does not exist.
pub(crate) fn worst(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let values: Option<Vec<f64>> = values.into_iter().collect();
    values?.into_iter().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_unknown_as_soon_as_one_is() {
        assert_eq!(worst([Some(1.0), Some(3.0), Some(2.0)]), Some(3.0));
        assert_eq!(worst([Some(1.0), None]), None);
        assert_eq!(worst([]), None);
    }
}
