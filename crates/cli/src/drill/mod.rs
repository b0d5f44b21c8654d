//! One drill from beginning to end: the lab, the subject, the fault, the evidence, the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use redial_lab::{Deployment, Endpoint, Lab};

mod adapter_process;
mod audit;
pub(crate) mod client;
mod clock;
mod cluster;
mod conclude;
mod connections;
mod deciders;
mod evidence;
pub(crate) mod html;
mod limits;
mod listener;
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
mod storm;
pub(crate) mod summary;
mod verdict;
mod watchers;
pub(crate) mod workload;

use adapter_process::Unable;
use clock::{Clock, millis};
use live::Live;
use plan::{AFTER_RECOVERY, AUTO_AT_MOST, Length, Plan, Subject};
use report::{Report, Setting, Timeline, UnableReport, Verdict};
use scenarios::Drill;
use stage::{OnStage, Stage};

/// What follows the last event of a drill at least, whatever `--seconds` says.
const AFTERMATH: Duration = Duration::from_secs(2);
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
    lab.delay_replication(plan.replication_delay);
    let server = lab.server_version().to_owned();
    let live = Arc::new(Live::start(&title, plan.expected()));
    let clock = Clock::start();
    let setting = |client: String, worst_lateness: Duration| Setting {
        drill: drill.name(),
        variant: plan.variant,
        client,
        server: server.clone(),
        endpoint: match (plan.deployment, plan.endpoint) {
            (Deployment::Sentinel, _) => "sentinel",
            (Deployment::Cluster, _) => "cluster",
            (Deployment::Pair, Endpoint::Address) => "address",
            (Deployment::Pair, Endpoint::Dns) => "dns",
        },
        tls: plan.tls,
        rtt_ms: millis(plan.rtt),
        replication_delay_ms: millis(plan.replication_delay),
        worst_lateness_ms: millis(worst_lateness),
    };
    let set = Stage::set(plan, lab, clock, Arc::clone(&live));
    let stage = match set.map_err(anyhow::Error::downcast::<Unable>) {
        Ok(stage) => stage,
        Err(Ok(Unable { client, reason })) => {
            live.finish();
            let setting = setting(plan.label.clone().unwrap_or(client), Duration::ZERO);
            let timeline = Timeline::default();
            let (verdict, reasons) = (Verdict::Unable, vec![reason]);
            let report = UnableReport { setting, verdict, reasons, timeline };
            return Ok(Report::Unable(Box::new(report)));
        }
        Err(Err(error)) => return Err(error),
    };
    let result = with_ticks(&stage, &live, || perform(drill, plan, &stage));
    live.finish();
    let end = result?;
    let lateness = stage.lab().wire_stats().worst_lateness;
    let setting = setting(client_name(plan, stage.subject()), lateness);
    match stage.subject().clone() {
        OnStage::Load(load) => conclude::report_client(drill, &stage, &load, setting, clock),
        OnStage::Program(program) => {
            conclude::report_program(drill, &stage, &program, setting, end)
        }
    }
}

/// The drill itself. Returns its end.
fn perform(drill: &dyn Drill, plan: &Plan, stage: &Stage<'_>) -> Result<Duration> {
    let warm = stage.now() + plan.warm_up();
    if drill.watches_quiet_clients() {
        stage.watch_quiet_clients()?;
    }
    if plan.listener {
        stage.listen()?;
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
