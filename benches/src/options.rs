//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::clients::Name;
use crate::worker::{Flavor, Setup};
use crate::workload::Workload;

/// redial beside the other Rust Redis clients: CPU time and wall time per command, allocations, instructions, memory.
///
/// Without a subcommand it measures CPU time and throughput in interleaved rounds.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) mode: Option<Mode>,
    #[command(flatten)]
    pub(crate) rounds: RoundOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Resident memory of requests that wait for a server, and of idle clients.
    Memory(MemoryOptions),
    /// Instructions per command, counted by valgrind (callgrind).
    Instructions(InstructionOptions),
    /// Run a number of commands and exit: the program that `instructions` has valgrind run.
    CallgrindTarget {
        #[command(flatten)]
        setup: Setup,
        #[arg(long)]
        workload: Workload,
        /// Rounded down to a multiple of the workload's callers (1,000 for pipeline).
        #[arg(long)]
        commands: usize,
    },
    /// One client's process, under orders of the parent.
    #[command(hide = true)]
    Worker(Setup),
}

/// The server and where things run.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerOptions {
    /// The server program.
    #[arg(long, default_value = "redis-server")]
    pub(crate) server_bin: PathBuf,
    /// The core of the server; the client gets it too where a workload is to run on one core.
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: usize,
    /// The core of a client on a current-thread runtime.
    #[arg(long, default_value_t = 1)]
    pub(crate) client_core: usize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 32, value_parser = number::<1, 4096>)]
    pub(crate) value_size: usize,
}

#[derive(Debug, Args)]
pub(crate) struct RoundOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Rounds: in each, every client has one turn at the workload.
    #[arg(long, default_value_t = 5, value_parser = number::<1, 1000>)]
    pub(crate) rounds: usize,
    /// How long a turn is to last, in seconds; the number of commands follows from a warm-up.
    #[arg(long, default_value_t = 0.4, value_parser = seconds)]
    pub(crate) seconds_per_round: f64,
    /// Clients, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Name>,
    /// Workloads, separated by commas; all but those of aggregates by default.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Runtimes, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "current,multi")]
    pub(crate) runtimes: Vec<Flavor>,
    /// Against a Redis Cluster of three nodes instead of one server, all on the server's core; for the workloads get64, get512 and sequence.
    #[arg(long)]
    pub(crate) cluster: bool,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,
    /// Print Markdown tables, for docs/performance.md.
    #[arg(long)]
    pub(crate) markdown: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MemoryOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Requests that wait in the offline queue.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) requests: usize,
    /// Bytes of each request's value.
    #[arg(long, default_value_t = 64)]
    pub(crate) request_bytes: usize,
    /// Clients that are idle; each needs a file descriptor here and in the server.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle_clients: usize,
    /// Clients, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Name>,
}

#[derive(Debug, Args)]
pub(crate) struct InstructionOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[arg(long, default_value = "get64")]
    pub(crate) workload: Workload,
    /// Commands of the shorter of the two runs; the longer has twice as many.
    #[arg(long, default_value_t = 20_480)]
    pub(crate) commands: usize,
    /// Clients, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Name>,
    /// Fail where redial needs more instructions per command than this.
    #[arg(long)]
    pub(crate) at_most: Option<u64>,
}

impl MemoryOptions {
    /// The raw floor is no client and holds nothing.
    pub(crate) fn clients(&self) -> Vec<Name> {
        chosen(&self.clients).into_iter().filter(|client| *client != Name::Raw).collect()
    }
}

impl InstructionOptions {
    pub(crate) fn clients(&self) -> Vec<Name> {
        chosen(&self.clients)
    }
}

impl RoundOptions {
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        if self.workloads.is_empty() { Workload::DEFAULT.to_vec() } else { self.workloads.clone() }
    }

    pub(crate) fn clients(&self) -> Vec<Name> {
        chosen(&self.clients)
    }
}

fn chosen(clients: &[Name]) -> Vec<Name> {
    if clients.is_empty() { Name::all().to_vec() } else { clients.to_vec() }
}

fn number<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (LEAST..=MOST).contains(&number) => Ok(number),
        _ => Err(format!("a number from {LEAST} to {MOST}")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number from 0.01 to 60".to_owned()),
    }
}
