//! The end of a drill: the evidence is read, the figures are computed, the report is made.
//!
//! Decides in which order, which matters: answers are waited for first, then a frozen server is
//! woken, then data is read, and only then are adapters told to go.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use redial_lab::{Deployment, HostId};

use super::audit::{self, Audit};
use super::clock::{Clock, millis};
use super::cluster::{self, OtherSlots};
use super::connections::{self, Counts, Dialed};
use super::evidence::ServerData;
use super::listener::Listened;
use super::load::{Harvest, Load};
use super::metrics::{self, Errors, Recovery};
use super::plan::DEADLINE;
use super::program::{self, ProgramRun};
use super::report::{
    self, ClientReport, ErrorCounts, ProgramReport, Report, Setting, Switch, Timeline, Verdict,
};
use super::scenarios::Drill;
use super::stage::{LOAD_NAME, MarkKind, Stage};
use super::storm::StormReport;
use super::verdict::{self, Figures};
use super::watchers::Watched;
use super::workload::{Record, Step};

/// A server that was frozen runs what waits in its sockets as soon as it wakes; this is long enough
/// for it to have done so on a loaded machine.
const WAKING: Duration = Duration::from_millis(500);

/// What every server holds that was primary at some time: the primary at the end first; of a cluster
/// all its primaries at the end, as one.
fn evidence(
    drill: &dyn Drill,
    stage: &Stage<'_>,
    harvest: &Harvest,
) -> Result<(ServerData, Vec<ServerData>)> {
    let rounds = harvest.records.iter().map(|record| record.round + 1).max().unwrap_or(0);
    if drill.deployment() == Deployment::Cluster {
        return cluster_evidence(drill, stage, harvest.callers, rounds);
    }
    let read = |host| ServerData::read(stage.lab().server(host), harvest.callers, rounds);
    let survivor = stage.lab().endpoint().unwrap_or(HostId::A);
    let other = survivor.other();
    let mut others = stage.story().saved;
    if stage.lab().server(other).is_running() {
        stage.thaw(other)?;
        thread::sleep(WAKING);
        let role = stage.lab().server(other).command(&["INFO", "replication"])?;
        if role.as_str().is_some_and(|text| text.contains("role:master")) {
            others.push(read(other)?);
        }
    }
    Ok((read(survivor)?, others))
}

fn cluster_evidence(
    drill: &dyn Drill,
    stage: &Stage<'_>,
    callers: usize,
    rounds: u32,
) -> Result<(ServerData, Vec<ServerData>)> {
    let mut others = stage.story().saved;
    let is_spared = |host: &HostId| Some(*host) != drill.hits();
    let first = HostId::PAIR.into_iter().find(is_spared).unwrap_or(HostId::B);
    if let Some(host) = drill.hits()
        && stage.lab().endpoint() != Some(host)
        && stage.has_role(host, "master")
    {
        others.push(cluster::read_stale(stage.lab(), host, callers, rounds)?);
    }
    let whole = cluster::Whole { lab: stage.lab(), first };
    Ok((ServerData::read(&whole, callers, rounds)?, others))
}

/// The flows of the client under load, without those of the clients that are watched beside it.
fn dialed(stage: &Stage<'_>, clock: Clock) -> Vec<Dialed> {
    let flows = stage.lab().flows();
    let name = |port| stage.observer().name_of(port);
    let own = flows.iter().filter(|flow| name(flow.client_port).is_none_or(|n| n == LOAD_NAME));
    own.map(|flow| Dialed::of(flow, clock)).collect()
}

/// What a drill found out about a client, before anything is made of it.
struct Findings {
    settled: Duration,
    successes_before: u64,
    recoveries: Vec<Recovery>,
    errors: Errors,
    audit: Audit,
    never_settled: u64,
    counts: Counts,
    watchers: Vec<Watched>,
    listened: Option<Listened>,
    other_slots: Option<OtherSlots>,
    storm: Option<StormReport>,
}

impl Findings {
    /// Of a load that has stopped; its adapters are still there.
    fn gather(
        drill: &dyn Drill,
        stage: &Stage<'_>,
        harvest: &Harvest,
        clock: Clock,
    ) -> Result<Self> {
        let settled = clock.now();
        let (end, callers) = (harvest.stopped_at, harvest.callers);
        let story = stage.story();
        let fault = story.first(MarkKind::Fault).unwrap_or(end);
        let counts = connections::count(&dialed(stage, clock), end);
        let listened = stage.finish_listening(settled);
        let watchers = stage.take_watchers().map_or_else(Vec::new, |watched| watched.finish(fault));
        let storm = stage.storm(fault);
        let (survivor, others) = evidence(drill, stage, harvest)?;

        let records = &harvest.records;
        let mut audit = audit::audit(records, callers, &survivor, &others);
        audit.wrong_replies += harvest.strays + survivor.foreign;
        let lost = survivor.lost();
        let is_hit =
            |caller| drill.hits().is_none_or(|host| cluster::first_owner(caller) == Some(host));
        let hit: Vec<bool> = (0..callers).map(is_hit).collect();
        let recover = |(from, until)| metrics::recovery(records, &hit, from, until, &lost);
        let apart = |host| cluster::other_slots(records, callers, host, (fault, end));
        let successes = records.iter().filter_map(Record::succeeded_at);
        Ok(Self {
            settled,
            successes_before: successes.filter(|at| *at <= fault).count() as u64,
            recoveries: story.switches(settled).into_iter().map(recover).collect(),
            errors: metrics::errors(records),
            audit,
            never_settled: records.iter().filter(|r| r.settled.is_none()).count() as u64,
            counts,
            watchers,
            listened,
            other_slots: drill.hits().map(apart),
            storm,
        })
    }

    fn reasons(&self, drill: &dyn Drill, callers: usize, server: &str) -> Vec<String> {
        let figures = Figures {
            callers: callers as u64,
            server,
            recoveries: &self.recoveries,
            errors: &self.errors,
            audit: &self.audit,
            never_settled: self.never_settled,
            connections_lost: self.counts.lost,
            watchers: &self.watchers,
            listened: self.listened.as_ref(),
            other_slots: self.other_slots,
            successes_before: self.successes_before,
        };
        let mut reasons = verdict::reasons(&drill.limits(), &figures);
        if let Some(storm) = &self.storm {
            reasons.extend(storm.reasons(&self.recoveries, self.errors.total));
        }
        reasons
    }
}

/// The report on a client behind an adapter.
pub(super) fn report_client(
    drill: &dyn Drill,
    stage: &Stage<'_>,
    load: &Load,
    setting: Setting,
    clock: Clock,
) -> Result<Report> {
    let harvest = load.stop(DEADLINE)?;
    let found = Findings::gather(drill, stage, &harvest, clock)?;
    let (end, callers, records) = (harvest.stopped_at, harvest.callers, &harvest.records);
    let reasons = found.reasons(drill, callers, &setting.server);
    let switches: Vec<Switch> = found.recoveries.iter().map(Switch::of).collect();
    let (audit, watchers) = (found.audit, found.watchers);
    let report = ClientReport {
        setting,
        callers,
        verdict: Verdict::of(&reasons),
        reasons,
        recovery_ms: report::worst(switches.iter().map(|switch| switch.recovery_ms)),
        all_recovered_ms: report::worst(switches.iter().map(|switch| switch.all_recovered_ms)),
        switches,
        longest_stall_ms: millis(metrics::longest_stall(records, end)),
        longest_command_ms: millis(metrics::longest_command(records, found.settled)),
        median_read_ms: millis(metrics::median(records, |step| !step.is_write())),
        median_write_ms: millis(metrics::median(records, Step::is_write)),
        commands: records.len(),
        errors: error_counts(found.errors),
        never_settled: found.never_settled,
        applied_twice: audit.applied_twice,
        failed_but_applied: audit.failed_but_applied,
        acked_but_lost: audit.acked_but_lost,
        order_violations: audit.order_violations,
        wrong_replies: audit.wrong_replies,
        increments: audit.increments,
        examples: audit.examples,
        connections_lost: found.counts.lost,
        probes: probes(&harvest, found.counts.unused_dials),
        idle_noticed_ms: report::worst(watchers.iter().map(|watched| watched.noticed_ms)),
        idle_replaced_ms: report::worst(watchers.iter().map(|watched| watched.replaced_ms)),
        watchers,
        listened: found.listened,
        other_slots: found.other_slots,
        storm: found.storm,
        timeline: timeline(&harvest, stage.story()),
    };
    Ok(Report::Client(Box::new(report)))
}

fn error_counts(errors: Errors) -> ErrorCounts {
    ErrorCounts {
        total: errors.total,
        by_kind: errors.by_kind,
        by_delivery: errors.by_delivery,
        samples: errors.samples,
    }
}

/// As many as the client tells of; of one that tells nothing, the dials that came to nothing.
fn probes(harvest: &Harvest, unused_dials: u64) -> u64 {
    match harvest.changes.iter().filter(|change| change.state == "probe").count() {
        0 => unused_dials,
        told => told as u64,
    }
}

fn timeline(harvest: &Harvest, story: super::stage::Story) -> Timeline {
    Timeline {
        end: harvest.stopped_at,
        slices: metrics::slices(&harvest.records, report::SLICE, harvest.stopped_at),
        changes: harvest.changes.clone(),
        story,
    }
}

/// The report on a user's program.
pub(super) fn report_program(
    drill: &dyn Drill,
    stage: &Stage<'_>,
    program: &ProgramRun,
    setting: Setting,
    end: Duration,
) -> Result<Report> {
    let story = stage.story();
    let samples = program.samples();
    let fault = story.first(MarkKind::Fault).unwrap_or(end);
    let activity = program::activity(&samples, fault, end);
    let led_to = |at: Duration| {
        let led = story.endpoint.iter().rev().find(|(since, _)| *since <= at);
        led.and_then(|(_, host)| *host)
    };
    let switches: Vec<Switch> = story
        .switches(end)
        .into_iter()
        .map(|(from, until)| {
            let back = program::back_after(&samples, led_to(from), from, until).map(millis);
            Switch { at_ms: millis(from), recovery_ms: back, all_recovered_ms: back }
        })
        .collect();
    let exited = program.exited();
    let mut reasons = Vec::new();
    if let Some((at, status)) = &exited {
        let after = at.saturating_sub(fault).as_secs_f64();
        reasons.push(format!("the program ended {after:.1} s after the fault ({status})"));
    }
    if drill.limits().recovery.is_some() && switches.iter().any(|s| s.recovery_ms.is_none()) {
        reasons.push("its commands did not come back while the drill lasted".to_owned());
    }
    let (stall, stalled_at) = activity.longest_stall;
    let connections = stage.lab().flows().len();
    Ok(Report::Program(Box::new(ProgramReport {
        setting,
        verdict: Verdict::of(&reasons),
        reasons,
        stopped_ms: (stalled_at >= fault || fault - stalled_at < program::SAMPLE_EVERY * 4)
            .then(|| millis(stalled_at.saturating_sub(fault))),
        recovery_ms: report::worst(switches.iter().map(|switch| switch.recovery_ms)),
        switches,
        longest_stall_ms: millis(stall),
        commands: activity.commands,
        connections,
        exited: exited.map(|(_, status)| status),
        timeline: Timeline {
            end,
            slices: program::slices(&samples, end),
            changes: Vec::new(),
            story,
        },
    })))
}
