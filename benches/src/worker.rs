//! The process in which one client is measured, so that allocators, threads and connections of two clients never mix.
//!
//! It reads one [`Order`] a line from standard input and answers each with one line of JSON. What to measure, how long and in which turn is
//! decided by the parent.

use std::future::Future;
use std::io::BufRead;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::runtime::{Builder, Runtime};

use crate::clients::raw::Raw;
use crate::clients::{self, Name, Subject};
use crate::load;
use crate::memory;
use crate::workload::{Data, Workload};

/// The runtime a client runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Flavor {
    /// tokio `current_thread`.
    Current,
    /// tokio `multi_thread` with two workers.
    Multi,
}

/// What the parent asks for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// Issue commands; answered by a [`load::Cost`].
    Run { workload: Workload, commands: usize },
    /// Let SETs wait while the server is away; answered by a [`memory::Queued`].
    Queue { requests: usize, bytes: usize },
    /// Connect more clients and leave them idle; answered by a [`memory::Idle`].
    Idle { clients: usize },
}

/// How a worker is set up.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Setup {
    #[arg(long)]
    pub(crate) client: Name,
    #[arg(long)]
    pub(crate) flavor: Flavor,
    #[arg(long)]
    pub(crate) url: String,
    #[arg(long)]
    pub(crate) value_size: usize,
}

/// Serves orders until standard input ends.
pub(crate) fn serve(setup: &Setup) -> Result<()> {
    let data = Arc::new(Data::new(setup.value_size));
    match setup.client {
        Name::Raw => serve_raw(setup, &data),
        Name::RedisRs => serve_client::<clients::redis_rs::RedisRs>(setup, data),
        Name::Fred => serve_client::<clients::fred::Fred>(setup, data),
        Name::Rustis => serve_client::<clients::rustis::Rustis>(setup, data),
        #[cfg(feature = "redial")]
        Name::Redial => serve_client::<clients::redial::Redial>(setup, data),
    }
}

/// Runs one order and prints nothing: the program that valgrind counts.
pub(crate) fn run_once(setup: &Setup, workload: Workload, commands: usize) -> Result<()> {
    let data = Arc::new(Data::new(setup.value_size));
    match setup.client {
        Name::Raw => Raw::connect(&setup.url, &data)?.run(workload, commands),
        Name::RedisRs => run_client::<clients::redis_rs::RedisRs>(setup, workload, commands, &data),
        Name::Fred => run_client::<clients::fred::Fred>(setup, workload, commands, &data),
        Name::Rustis => run_client::<clients::rustis::Rustis>(setup, workload, commands, &data),
        #[cfg(feature = "redial")]
        Name::Redial => run_client::<clients::redial::Redial>(setup, workload, commands, &data),
    }
}

fn run_client<S: Subject>(
    setup: &Setup,
    workload: Workload,
    commands: usize,
    data: &Arc<Data>,
) -> Result<()> {
    block_on(setup.flavor, async {
        let subject = S::connect(&setup.url).await?;
        load::run(&subject, &setup.url, workload, commands, data).await
    })
}

fn serve_client<S: Subject>(setup: &Setup, data: Arc<Data>) -> Result<()> {
    block_on(setup.flavor, async {
        let subject = S::connect(&setup.url).await?;
        // Read on the runtime, so that the client's own tasks go on while the others have their turn.
        let mut orders = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = orders.next_line().await? {
            match parse(&line)? {
                Order::Run { workload, commands } => {
                    let work = load::run(&subject, &setup.url, workload, commands, &data);
                    answer(&load::measure(workload, commands, work).await?)?;
                }
                Order::Queue { requests, bytes } => {
                    answer(&memory::queue(&subject, requests, bytes).await?)?;
                }
                Order::Idle { clients } => {
                    answer(&memory::idle::<S>(&setup.url, clients).await?)?;
                }
            }
        }
        Ok(())
    })
}

fn serve_raw(setup: &Setup, data: &Data) -> Result<()> {
    let mut raw = Raw::connect(&setup.url, data)?;
    for line in std::io::stdin().lock().lines() {
        let Order::Run { workload, commands } = parse(&line?)? else {
            anyhow::bail!("the raw floor has no memory to measure; choose a client");
        };
        let work = async { raw.run(workload, commands) };
        answer(&block_on(Flavor::Current, load::measure(workload, commands, work))?)?;
    }
    Ok(())
}

fn block_on<T>(flavor: Flavor, work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime: Runtime = match flavor {
        Flavor::Current => Builder::new_current_thread().enable_all().build()?,
        Flavor::Multi => Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
    };
    let result = runtime.block_on(work);
    // Clients keep tasks that never end, and reading standard input blocks a thread.
    runtime.shutdown_background();
    result
}

fn parse(line: &str) -> Result<Order> {
    serde_json::from_str(line).with_context(|| format!("not an order: {line}"))
}

fn answer(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
