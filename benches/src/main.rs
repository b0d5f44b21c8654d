//! `redial-bench`: redial beside the other Rust Redis clients.
//!
//! How it measures, and why so, is in README.md. Linux only: it pins cores and reads the kernel's accounts.

mod alloc;
mod child;
mod clients;
mod instructions;
mod load;
mod memory;
mod options;
mod report;
mod rounds;
mod server;
mod sys;
mod worker;
mod workload;

use anyhow::Result;
use clap::Parser;

use crate::options::{Cli, Mode};

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.mode {
        Some(Mode::Memory(options)) => memory::report(&options),
        Some(Mode::Instructions(options)) => instructions::report(&options),
        Some(Mode::CallgrindTarget { setup, workload, commands }) => {
            worker::run_once(&setup, workload, commands)
        }
        Some(Mode::Worker(setup)) => worker::serve(&setup),
        None => {
            let report = rounds::measure(&cli.rounds)?;
            if cli.rounds.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else if cli.rounds.markdown {
                print!("{}", report.markdown());
            } else {
                print!("{}", report.table());
            }
            Ok(())
        }
    }
}
