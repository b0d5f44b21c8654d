//! Instructions per command: callgrind over N and over 2 N commands; the difference leaves start and connecting out.
//!
//! Steadier than time, so that a check can hold it. System calls count only up to the kernel's door.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::child;
use crate::clients::Name;
use crate::options::InstructionOptions;
use crate::server::Server;
use crate::sys;
use crate::worker::{Flavor, Setup};
use crate::workload::Data;

/// The mode `instructions`: counts for each client, and prints.
pub(crate) fn report(options: &InstructionOptions) -> Result<()> {
    let server_options = &options.server;
    let data = Data::new(server_options.value_size);
    let binary = &server_options.server_bin;
    let server = Server::start(binary, server_options.server_core, 1000, &data)?;
    let granularity = options.workload.granularity();
    let commands = options.commands.div_ceil(granularity).max(1) * granularity;
    println!(
        "{}: instructions per command, from {commands} and {} commands",
        options.workload.name(),
        2 * commands
    );
    let mut too_many = None;
    for client in options.clients() {
        let setup = Setup {
            client,
            flavor: Flavor::Current,
            url: server.url(),
            value_size: server_options.value_size,
        };
        let once = count(&setup, options, commands)?;
        let twice = count(&setup, options, 2 * commands)?;
        let each = twice.saturating_sub(once) / commands as u64;
        println!("{:<9} {each:>7}", client.text());
        if is_redial(client) && options.at_most.is_some_and(|most| each > most) {
            too_many = Some(each);
        }
    }
    match (too_many, options.at_most) {
        (Some(each), Some(most)) => {
            bail!("redial needs {each} instructions per command, more than {most}")
        }
        _ => Ok(()),
    }
}

/// All instructions of a run, as callgrind collected them.
fn count(setup: &Setup, options: &InstructionOptions, commands: usize) -> Result<u64> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg("callgrind-target")
        .args(child::arguments(setup))
        .args(["--workload", options.workload.name(), "--commands", &commands.to_string()]);
    sys::dies_with_us(&mut command);
    let output = sys::pinned(&[options.server.client_core], || {
        command
            .output()
            .context("cannot run valgrind; install it with the system's package manager")
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} under valgrind ended with {}:\n{text}", setup.client.text(), output.status);
    }
    text.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .with_context(|| format!("valgrind printed no count:\n{text}"))
}

#[cfg(feature = "redial")]
fn is_redial(client: Name) -> bool {
    client == Name::Redial
}

#[cfg(not(feature = "redial"))]
fn is_redial(_: Name) -> bool {
    false
}
