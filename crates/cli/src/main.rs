//! The `redial` program: which command was asked for, and the exit status.

use std::process::ExitCode;

use clap::Parser as _;

mod adapter;
mod drill;
mod flags;
mod run;

use flags::{Cli, Command};

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { run::EXIT_SETUP } else { 0 });
        }
    };
    match command {
        Command::Drill(args) => run::drill(&args),
        Command::Adapter => match adapter::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("redial adapter: {error:#}");
                ExitCode::from(run::EXIT_SETUP)
            }
        },
    }
}
