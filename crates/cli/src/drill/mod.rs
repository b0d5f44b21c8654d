//! One drill from beginning to end: the lab, the subject, the fault, the evidence, the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use redial_lab::{Endpoint, HostId, Lab};

mod adapter_process;
mod audit;
pub(crate) mod client;
mod clock;
mod connections;
mod evidence;
pub(crate) mod html;
mod limits;
mod live;
mod load;
mod metrics;
mod observer;
pub(crate) mod plan;
mod program;
mod protocol;
pub(crate) mod report;
pub(crate) mod scenarios;
mod stage;
pub(crate) mod summary;
mod verdict;
mod watchers;
mod workload;

use clock::{Clock, millis};
use connections::Dialed;
use evidence::ServerData;
use live::Live;
use load::{Harvest, Load};
use plan::{AFTER_RECOVERY, AUTO_AT_MOST, DEADLINE, Length, Plan, Subject};
use program::ProgramRun;
use report::{
    ClientReport, ErrorCounts, ProgramReport, Report, Setting, Switch, Timeline, Verdict,
};
use scenarios::Drill;
use stage::{LOAD_NAME, MarkKind, OnStage, Stage};

/// What follows the last event of a drill at least, whatever `--seconds` says.
const AFTERMATH: Duration = Duration::from_secs(2);
/// A server that was frozen runs what waits in its sockets as soon as it wakes; this is long enough
/// for it to have done so on a loaded machine.
const WAKING: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// Runs a drill. [`redial_lab::enter`] must have been called.
///
/// # Errors
/// What kept the drill from being one: a lab that can't be made, an adapter that dies. A client that
/// does badly is no error but a report that says so.
pub(crate) fn run(drill: &dyn Drill, plan: &Plan) -> Result<Report> {
    let title = match plan.variant {
        Some(variant) => format!("{} ({variant})", drill.name()),
        None => drill.name().to_owned(),
    };
    let lab = Lab::start(plan.lab_options())?;
    let server = lab.server_version().to_owned();
    let live = Arc::new(Live::start(&title, plan.expected()));
    let clock = Clock::start();
    let stage = Stage::set(plan, lab, clock, Arc::clone(&live))?;
    let result = with_ticks(&stage, &live, || perform(drill, plan, &stage));
    live.finish();
    let end = result?;
    let setting = Setting {
        drill: drill.name(),
        variant: plan.variant,
        client: client_name(plan, stage.subject()),
        server,
        endpoint: match plan.endpoint {
            Endpoint::Address => "address",
            Endpoint::Dns => "dns",
        },
        rtt_ms: millis(plan.rtt),
        worst_lateness_ms: millis(stage.lab().wire_stats().worst_lateness),
    };
    match stage.subject().clone() {
        OnStage::Load(load) => report_client(drill, &stage, &load, setting, clock),
        OnStage::Program(program) => report_program(drill, &stage, &program, setting, end),
    }
}

/// The drill itself. Returns its end.
fn perform(drill: &dyn Drill, plan: &Plan, stage: &Stage<'_>) -> Result<Duration> {
    let warm = stage.now() + plan.warm_up();
    if drill.watches_quiet_clients() {
        stage.watch_quiet_clients()?;
    }
    stage.wait(warm.saturating_sub(stage.now()))?;
    if let OnStage::Program(program) = stage.subject()
        && program.samples().is_empty()
    {
        bail!(
            "the program sent no command to the Redis at REDIS_URL within {} s; nothing to drill",
            plan.warm_up().as_secs_f64()
        );
    }
    drill.run(stage)?;
    match plan.length {
        Length::Fixed(all) => stage.wait(all.saturating_sub(stage.now()).max(AFTERMATH))?,
        Length::Auto => {
            let since = stage.story().marks.last().map_or(Duration::ZERO, |mark| mark.at);
            if let OnStage::Load(load) = stage.subject() {
                stage.wait_until(AUTO_AT_MOST, || load.all_recovered_since(since))?;
            }
            stage.wait(AFTER_RECOVERY)?;
        }
    }
    Ok(stage.now())
}

/// Runs `perform` while another thread keeps the live view moving.
fn with_ticks<T>(stage: &Stage<'_>, live: &Live, perform: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let OnStage::Load(load) = stage.subject() {
                    live.tick(stage.now(), &load.glance());
                }
                thread::sleep(TICK);
            }
        });
        let result = perform();
        over.store(true, Ordering::Relaxed);
        result
    })
}

fn client_name(plan: &Plan, subject: &OnStage) -> String {
    if let Some(label) = &plan.label {
        return label.clone();
    }
    match (subject, &plan.subject) {
        (OnStage::Load(load), _) => format!("{} {}", load.client, load.version),
        (OnStage::Program(_), Subject::Program(args)) => {
            args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
        }
        (OnStage::Program(_), Subject::Adapter(client)) => client.label.clone(),
    }
}

/// What every server holds that was primary at some time: the primary at the end first.
fn evidence(stage: &Stage<'_>, harvest: &Harvest) -> Result<(ServerData, Vec<ServerData>)> {
    let rounds = harvest.records.iter().map(|record| record.round + 1).max().unwrap_or(0);
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

fn report_client(
    drill: &dyn Drill,
    stage: &Stage<'_>,
    load: &Load,
    setting: Setting,
    clock: Clock,
) -> Result<Report> {
    let harvest = load.stop(DEADLINE)?;
    let end = harvest.stopped_at;
    let dialed: Vec<Dialed> = stage
        .lab()
        .flows()
        .iter()
        .filter(|flow| {
            stage.observer().name_of(flow.client_port).is_none_or(|name| name == LOAD_NAME)
        })
        .map(|flow| Dialed::of(flow, clock))
        .collect();
    let story = stage.story();
    let fault = story.first(MarkKind::Fault).unwrap_or(end);
    let watchers = stage.take_watchers().map_or_else(Vec::new, |w| w.finish(fault));
    let (survivor, others) = evidence(stage, &harvest)?;

    let records = &harvest.records;
    let mut audit = audit::audit(records, harvest.callers, &survivor, &others);
    audit.wrong_replies += harvest.strays + survivor.foreign;
    let lost = survivor.lost();
    let recoveries: Vec<_> = story
        .switches(clock.now())
        .into_iter()
        .map(|(from, until)| metrics::recovery(records, harvest.callers, from, until, &lost))
        .collect();
    let errors = metrics::errors(records);
    let counts = connections::count(&dialed, end);
    let told_probes = harvest.changes.iter().filter(|change| change.state == "probe").count();
    let never_settled = records.iter().filter(|record| record.settled.is_none()).count() as u64;
    let before = |at: Duration| at <= fault;
    let successes = records.iter().filter_map(workload::Record::succeeded_at);
    let reasons = verdict::reasons(
        &drill.limits(),
        &verdict::Figures {
            callers: harvest.callers as u64,
            server: &setting.server,
            recoveries: &recoveries,
            errors: &errors,
            audit: &audit,
            never_settled,
            connections_lost: counts.lost,
            watchers: &watchers,
            successes_before: successes.filter(|at| before(*at)).count() as u64,
        },
    );
    let switches: Vec<Switch> = recoveries.iter().map(Switch::of).collect();
    Ok(Report::Client(Box::new(ClientReport {
        setting,
        callers: harvest.callers,
        verdict: Verdict::of(&reasons),
        reasons,
        recovery_ms: report::worst(switches.iter().map(|switch| switch.recovery_ms)),
        all_recovered_ms: report::worst(switches.iter().map(|switch| switch.all_recovered_ms)),
        switches,
        longest_stall_ms: millis(metrics::longest_stall(records, end)),
        longest_command_ms: millis(metrics::longest_command(records, clock.now())),
        commands: records.len(),
        never_settled,
        applied_twice: audit.applied_twice,
        failed_but_applied: audit.failed_but_applied,
        acked_but_lost: audit.acked_but_lost,
        order_violations: audit.order_violations,
        wrong_replies: audit.wrong_replies,
        examples: audit.examples,
        connections_lost: counts.lost,
        probes: if told_probes > 0 { told_probes as u64 } else { counts.unused_dials },
        idle_noticed_ms: report::worst(watchers.iter().map(|watched| watched.noticed_ms)),
        idle_replaced_ms: report::worst(watchers.iter().map(|watched| watched.replaced_ms)),
        watchers,
        timeline: Timeline {
            end,
            slices: metrics::slices(records, report::SLICE, end),
            changes: harvest.changes,
            story,
        },
        errors: ErrorCounts {
            total: errors.total,
            by_kind: errors.by_kind,
            by_delivery: errors.by_delivery,
            samples: errors.samples,
        },
    })))
}

fn report_program(
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
