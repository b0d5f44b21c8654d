//! Interleaved rounds: A B C D A B C D …, so that whatever else the machine does meets every client alike.
//!
//! It does not decide how the figures are shown; see `report`.

use anyhow::{Context, Result};

use crate::child::Worker;
use crate::clients::Name;
use crate::load::Cost;
use crate::options::RoundOptions;
use crate::report::{Report, Row};
use crate::server::{self, Servers};
use crate::sys;
use crate::worker::{Flavor, Order, Setup};
use crate::workload::{Data, Workload};

/// More than a turn ever needs; a workload whose warm-up was mismeasured must not run for minutes.
const MOST_COMMANDS: f64 = 50e6;

/// A client's turn in a workload.
struct Lane {
    client: Name,
    worker: Worker,
    commands: usize,
    costs: Vec<Cost>,
}

/// Measures everything that the options ask for.
pub(crate) fn measure(options: &RoundOptions) -> Result<Report> {
    let data = Data::new(options.server.value_size);
    let (binary, core) = (&options.server.server_bin, options.server.server_core);
    let server = Servers::start(binary, core, &data, options.cluster)?;
    let mut rows = Vec::new();
    for workload in options.workloads() {
        for flavor in &options.runtimes {
            // Allocations do not depend on the runtime, and a sequence leaves its threads nothing to share.
            let once = matches!(workload, Workload::Allocations | Workload::Sequence);
            if once && *flavor == Flavor::Multi && options.runtimes.len() > 1 {
                continue;
            }
            rows.extend(turns(options, &server, workload, *flavor)?);
        }
    }
    Ok(Report {
        machine: sys::machine(),
        server: server::version(binary),
        value_size: options.server.value_size,
        rounds: options.rounds,
        seconds_per_round: options.seconds_per_round,
        rows,
    })
}

fn turns(
    options: &RoundOptions,
    server: &Servers,
    workload: Workload,
    flavor: Flavor,
) -> Result<Vec<Row>> {
    eprintln!("{} ({flavor:?} runtime) …", workload.title());
    let cores = cores(options, workload, flavor)?;
    let mut lanes = Vec::new();
    for client in options.clients() {
        // The raw floor has no runtime: it stands beside the current-thread ones. And it knows one server only.
        if client == Name::Raw && (flavor == Flavor::Multi || options.cluster) {
            continue;
        }
        lanes.push(warm_up(options, server, workload, flavor, client, &cores)?);
    }
    for _ in 0..options.rounds {
        for lane in &mut lanes {
            let cost = lane.worker.ask(Order::Run { workload, commands: lane.commands })?;
            lane.costs.push(cost);
        }
    }
    Ok(lanes.into_iter().map(|lane| Row::new(workload, flavor, lane.client, &lane.costs)).collect())
}

/// Starts the client's process and learns how many commands fill a turn.
fn warm_up(
    options: &RoundOptions,
    server: &Servers,
    workload: Workload,
    flavor: Flavor,
    client: Name,
    cores: &[usize],
) -> Result<Lane> {
    let value_size = options.server.value_size;
    let setup = Setup { client, flavor, url: server.url(), value_size };
    let mut worker = Worker::start(&setup, cores)?;
    let warm_up = Order::Run { workload, commands: workload.warm_up() };
    let _cold: Cost = worker.ask(warm_up)?;
    let cost: Cost = worker.ask(warm_up)?;
    let rate = cost.commands as f64 / (cost.wall_ns.max(1) as f64 / 1e9);
    let wanted = (rate * options.seconds_per_round).min(MOST_COMMANDS) as usize;
    let granularity = workload.granularity();
    let commands = wanted.div_ceil(granularity).max(1) * granularity;
    Ok(Lane { client, worker, commands, costs: Vec::new() })
}

/// Where the client runs: on a core of its own; a multi-thread runtime on all that the server leaves.
fn cores(options: &RoundOptions, workload: Workload, flavor: Flavor) -> Result<Vec<usize>> {
    let server = options.server.server_core;
    if workload.shares_core() {
        return Ok(vec![server]);
    }
    match flavor {
        Flavor::Current => Ok(vec![options.server.client_core]),
        Flavor::Multi => {
            let mut cores = sys::allowed_cores()?;
            cores.retain(|core| *core != server);
            (!cores.is_empty())
                .then_some(cores)
                .context("a multi-thread runtime needs a core beside the server's; leave it out with --runtimes current")
        }
    }
}
