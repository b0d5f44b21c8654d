//! Runs seeds: `redial-sim --seeds 20000 [--from N] [--jobs 2]`, or one with everything that happened in it: `--seed X --trace`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use redial_sim::{Failure, Lines, Report, Summary};

/// Failures that are printed; the rest is only counted.
const SHOWN: usize = 20;

struct Options {
    from: u64,
    seeds: u64,
    jobs: usize,
    trace: bool,
    drills: bool,
    stop: bool,
}

fn options() -> Result<Options, String> {
    let mut options =
        Options { from: 0, seeds: 1000, jobs: 2, trace: false, drills: false, stop: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
            text.parse::<u64>().map_err(|_| format!("{arg} needs a number, not {text:?}"))
        };
        match arg.as_str() {
            "--from" => options.from = number()?,
            "--seeds" => options.seeds = number()?,
            "--seed" => (options.from, options.seeds) = (number()?, 1),
            "--jobs" => options.jobs = number()?.clamp(1, 256) as usize,
            "--trace" => options.trace = true,
            "--drills" => options.drills = true,
            "--stop" => options.stop = true,
            _ => {
                return Err(format!(
                    "unknown argument {arg:?}; there are --seeds N, --from N, --jobs N, --stop (at the first failure), --seed N, --trace and --drills"
                ));
            }
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    match options() {
        Ok(options) if options.drills => drills(&options),
        Ok(options) if options.trace => trace(options.from),
        Ok(options) => run_all(&options),
        Err(text) => {
            eprintln!("redial-sim: {text}");
            ExitCode::from(2)
        }
    }
}

/// One seed, with everything that happened.
fn trace(seed: u64) -> ExitCode {
    let (lines, result) = redial_sim::replay(seed);
    for line in &lines {
        println!("{line}");
    }
    match result {
        Ok(summary) => {
            println!("seed {seed} passed: {summary:?}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run_all(options: &Options) -> ExitCode {
    let next = AtomicU64::new(options.from);
    let end = options.from.saturating_add(options.seeds);
    let (sender, results) = mpsc::channel();
    let (mut passed, mut failed, mut total) = (0_u64, Vec::new(), Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            let (sender, next, stop) = (sender.clone(), &next, options.stop);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let result = redial_sim::run(seed);
                    if stop && result.is_err() {
                        next.store(end, Ordering::Relaxed);
                    }
                    if sender.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for result in results {
            match result {
                Ok(summary) => {
                    passed += 1;
                    total.events += summary.events;
                    total.requests += summary.requests;
                    total.dials += summary.dials;
                    total.ready_after = total.ready_after.max(summary.ready_after);
                }
                Err(failure) => {
                    if failed.len() < SHOWN {
                        report(&failure);
                    }
                    failed.push(failure);
                }
            }
        }
    });
    println!(
        "{} requests, {} dials, {} events; all ready at the latest {:.3} s after the last fault",
        total.requests,
        total.dials,
        total.events,
        total.ready_after as f64 / 1e6
    );
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a drill with a seed.
type Replay<'a> = Box<dyn Fn(u64, bool) -> (Lines, Result<Report, Box<Failure>>) + 'a>;

/// Every drill with a number of seeds; with `--trace`, what happened in the first that failed.
fn drills(options: &Options) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    let plain = redial_sim::SCENARIOS.iter().map(|drill| {
        let replay: Replay<'_> = Box::new(|seed, traced| drill.replay(seed, traced));
        (drill.name, replay)
    });
    let of_cluster = redial_sim::CLUSTER_DRILLS.iter().map(|drill| {
        let replay: Replay<'_> = Box::new(|seed, traced| drill.replay(seed, traced));
        (drill.name, replay)
    });
    for (name, replay) in plain.chain(of_cluster) {
        let mut worst = None;
        for seed in options.from..options.from + options.seeds {
            let (lines, result) = replay(seed, options.trace);
            match result {
                Ok(report) => {
                    passed += 1;
                    let slower = |worst: Report| report.recovery > worst.recovery;
                    if worst.is_none_or(slower) {
                        worst = Some(report);
                    }
                }
                Err(failure) => {
                    failed += 1;
                    lines.iter().for_each(|line| println!("{line}"));
                    println!("{failure}");
                    if options.trace || options.stop {
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
        if let Some(Report { recovery, longest_stall, requests, errors, replaced }) = worst {
            println!(
                "{name:<28} recovery {recovery:>9.1?}  longest stall {longest_stall:>7.3?}  {requests} requests, {errors} errors, {replaced} replaced",
            );
        }
    }
    println!("{passed} drills passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(failure: &Failure) {
    println!("{failure}");
    println!("  cargo run -p redial-sim --release -- --seed {} --trace", failure.seed);
}
