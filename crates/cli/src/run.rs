//! `redial drill`: checks what was asked, runs it, prints what was found.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use redial_lab::{Endpoint, LabError};

use crate::drill::plan::{Length, Plan, Subject};
use crate::drill::report::{Report, Verdict};
use crate::drill::scenarios::{DRILLS, Drill, find};
use crate::drill::workload::Spread;
use crate::drill::{self, client, html, summary};
use crate::flags::{ALL, DrillArgs, EndpointKind, Seconds};

/// A client or program did not do what the drill demands.
pub(crate) const EXIT_FAILED: u8 = 1;
/// The drill could not be run: usage, set-up, an adapter that dies.
pub(crate) const EXIT_SETUP: u8 = 2;

const DEFAULT_RTT: Duration = Duration::from_millis(2);

/// Runs the command and reports errors; the exit status is documented in `--help`.
pub(crate) fn drill(args: &DrillArgs) -> ExitCode {
    match try_drill(args) {
        Ok(Verdict::Pass) => ExitCode::SUCCESS,
        Ok(Verdict::Fail) => ExitCode::from(EXIT_FAILED),
        Ok(Verdict::Unable) => ExitCode::from(LabError::EXIT_SKIPPED),
        Err(error) => {
            eprintln!("redial drill: {error:#}");
            ExitCode::from(if is_skip(&error) { LabError::EXIT_SKIPPED } else { EXIT_SETUP })
        }
    }
}

fn try_drill(args: &DrillArgs) -> Result<Verdict> {
    if args.list {
        print!("{}", list());
        return Ok(Verdict::Pass);
    }
    let drills = chosen(args)?;
    if let Some(file) = &args.html {
        // A drill takes long: a file that can't be written must be known before it.
        std::fs::write(file, "").with_context(|| format!("cannot write {}", file.display()))?;
    }
    redial_lab::enter()?;
    let colour = std::io::stderr().is_terminal();
    let mut reports = Vec::new();
    let mut not_run = 0;
    for (drill, plan) in &drills {
        let result = drill::run(*drill, plan)
            .with_context(|| format!("the drill {} could not be run", drill.name()));
        match result {
            Ok(report) => {
                eprint!("{}", summary::text(&report, colour));
                reports.push(report);
            }
            // The others' reports are not lost for it.
            Err(error) if drills.len() > 1 && !is_skip(&error) => {
                eprintln!("redial drill: {error:#}");
                not_run += 1;
            }
            Err(error) => return Err(error),
        }
    }
    if drills.len() > 1 {
        eprint!("{}", summary::table(&reports, colour));
    }
    publish(args, &reports)?;
    if not_run > 0 {
        bail!("{not_run} of {} drills could not be run", drills.len());
    }
    Ok(overall(&reports))
}

/// One failure is a failure; what the client is not able to do counts where there is nothing else.
fn overall(reports: &[Report]) -> Verdict {
    let any = |verdict| reports.iter().any(|report| report.verdict() == verdict);
    if any(Verdict::Fail) {
        Verdict::Fail
    } else if any(Verdict::Pass) {
        Verdict::Pass
    } else {
        Verdict::Unable
    }
}

/// Whether the system, and nobody's doing, is why there is no drill.
fn is_skip(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<LabError>().is_some_and(LabError::is_skip))
}

fn publish(args: &DrillArgs, reports: &[Report]) -> Result<()> {
    if args.json {
        let json = match reports {
            [one] if args.name.as_deref() != Some(ALL) => serde_json::to_string_pretty(one),
            all => serde_json::to_string_pretty(all),
        };
        println!("{}", json.context("cannot write the report as JSON")?);
    }
    if let Some(file) = &args.html {
        std::fs::write(file, html::page(reports))
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("report: {}", file.display());
    }
    Ok(())
}

/// The drills that were asked for, each with its plan.
fn chosen(args: &DrillArgs) -> Result<Vec<(&'static dyn Drill, Plan)>> {
    let name = args.name.as_deref().unwrap_or_default();
    let drills = match find(name) {
        Some(drill) => vec![drill],
        None if name == ALL => DRILLS.to_vec(),
        None => bail!("no drill `{name}`; see redial drill --list"),
    };
    if name == ALL && args.variant.is_some() {
        bail!("--variant belongs to one drill, not to all");
    }
    let subject = if args.program.is_empty() {
        Subject::Adapter(client::resolve(&args.client)?)
    } else {
        Subject::Program(args.program.clone())
    };
    drills.into_iter().map(|drill| Ok((drill, plan(args, drill, subject.clone())?))).collect()
}

fn plan(args: &DrillArgs, drill: &dyn Drill, subject: Subject) -> Result<Plan> {
    let variants = drill.variants();
    let variant = match &args.variant {
        None => variants.first(),
        Some(name) => Some(variants.iter().find(|variant| variant.name == name).ok_or_else(
            || match variants {
                [] => anyhow!("the drill {} has no variants", drill.name()),
                some => {
                    let names: Vec<_> = some.iter().map(|variant| variant.name).collect();
                    anyhow!(
                        "the drill {} has no variant `{name}`, but {}",
                        drill.name(),
                        names.join(", ")
                    )
                }
            },
        )?),
    };
    let crowd = drill.crowd();
    if crowd.is_some() && matches!(subject, Subject::Program(_)) {
        bail!("the drill {} is of a thousand clients and needs an adapter", drill.name());
    }
    let rtt = variant.map_or(DEFAULT_RTT, |variant| Duration::from_millis(variant.rtt_ms));
    Ok(Plan {
        deployment: drill.deployment(),
        subject,
        label: args.client_label.clone(),
        rtt: args.rtt.unwrap_or(rtt),
        replication_delay: args.replication_delay,
        listener: args.listener,
        spread: crowd.map_or(Spread::ONE, |crowd| crowd.spread),
        callers: match crowd {
            Some(crowd) => crowd.callers(),
            None => usize::try_from(args.callers)?,
        },
        pause: crowd.map_or(args.pause, |crowd| crowd.pause),
        length: match args.seconds {
            Seconds::Fixed(all) => Length::Fixed(all),
            Seconds::Auto => Length::Auto,
        },
        promote_after: args.promote_after,
        endpoint: drill.endpoint().unwrap_or(match args.endpoint {
            EndpointKind::Address => Endpoint::Address,
            EndpointKind::Dns => Endpoint::Dns,
        }),
        tcp_retries2: args.tcp_retries2,
        tls: args.tls,
        server_bin: args.server_bin.clone(),
        variant: variant.map(|variant| variant.name),
    })
}

/// What `--list` prints.
fn list() -> String {
    let mut text = String::new();
    for drill in DRILLS {
        text.push_str(&format!("{:<16} {}\n", drill.name(), drill.summary()));
        for line in wrapped(drill.story(), 78) {
            text.push_str(&format!("    {line}\n"));
        }
        for variant in drill.variants() {
            text.push_str(&format!("    --variant {:<12} {}\n", variant.name, variant.summary));
        }
        text.push('\n');
    }
    text.push_str("all              every one of them, one after the other\n");
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|l| !l.is_empty() && l.len() + 1 + word.len() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_drill_and_fits_a_terminal() {
        let list = list();
        for drill in DRILLS {
            assert!(list.contains(drill.name()) && list.contains(drill.summary()));
        }
        assert!(list.lines().all(|line| line.len() <= 90), "{list}");
    }
}
