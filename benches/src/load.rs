//! Puts a workload on a client and measures what it cost the process.
//!
//! It does not decide how many commands or how often; see `rounds`.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::alloc;
use crate::clients::{Listener, Subject};
use crate::sys;
use crate::workload::{
    Data, FIELDS, HASH, ITEMS, LIST, MESSAGES, PIPELINE, PUBLISHED, Publication, Workload,
};

/// What a number of commands cost the client's process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) commands: usize,
    /// User and system time of all threads, in nanoseconds.
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    /// Only counted in the workload `allocations`, else 0.
    pub(crate) allocations: u64,
    pub(crate) allocated_bytes: u64,
}

/// Measures `work`, which issues `commands` commands.
pub(crate) async fn measure(
    workload: Workload,
    commands: usize,
    work: impl Future<Output = Result<()>>,
) -> Result<Cost> {
    alloc::count(workload == Workload::Allocations);
    let (allocations, allocated_bytes) = alloc::counted();
    let (cpu, wall) = (sys::cpu_time(), Instant::now());
    let result = work.await;
    let (cpu, wall) = (sys::cpu_time() - cpu, wall.elapsed());
    let (allocations_after, allocated_bytes_after) = alloc::counted();
    alloc::count(false);
    result?;
    Ok(Cost {
        commands,
        cpu_ns: cpu.as_nanos() as u64,
        wall_ns: wall.as_nanos() as u64,
        allocations: allocations_after - allocations,
        allocated_bytes: allocated_bytes_after - allocated_bytes,
    })
}

/// Issues `commands` commands on one shared connection and waits for all replies.
pub(crate) async fn run<S: Subject>(
    subject: &S,
    url: &str,
    workload: Workload,
    commands: usize,
    data: &Arc<Data>,
) -> Result<()> {
    let callers = workload.callers();
    let each = commands / callers;
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (subject, data) = (subject.clone(), data.clone());
        match workload {
            Workload::Pipeline => tasks.spawn(pipelines(subject, commands / PIPELINE, data)),
            Workload::Lrange => tasks.spawn(lranges(subject, commands)),
            Workload::LrangeLazy => tasks.spawn(lazy_lranges(subject, commands)),
            Workload::Hgetall => tasks.spawn(hgetalls(subject, commands)),
            Workload::Pubsub => tasks.spawn(messages(subject, url.to_owned(), commands, data)),
            _ => tasks.spawn(gets(subject, caller, each, data)),
        };
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    Ok(())
}

async fn gets<S: Subject>(subject: S, caller: usize, count: usize, data: Arc<Data>) -> Result<()> {
    for turn in 0..count {
        let length = subject.get(data.key(caller, turn)).await?;
        if length != data.value_size {
            bail!("a value of {length} bytes instead of {}", data.value_size);
        }
    }
    Ok(())
}

async fn pipelines<S: Subject>(subject: S, count: usize, data: Arc<Data>) -> Result<()> {
    for _ in 0..count {
        let values = subject.pipeline(data.pipeline_keys()).await?;
        ensure!(values == PIPELINE, "{values} values instead of {PIPELINE}");
    }
    Ok(())
}

async fn lranges<S: Subject>(subject: S, count: usize) -> Result<()> {
    for _ in 0..count {
        let items = subject.lrange(LIST).await?;
        ensure!(items == ITEMS, "{items} items instead of {ITEMS}");
    }
    Ok(())
}

async fn lazy_lranges<S: Subject>(subject: S, count: usize) -> Result<()> {
    for _ in 0..count {
        let items = subject.lrange_lazily(LIST).await?;
        ensure!(items == ITEMS, "{items} items instead of {ITEMS}");
    }
    Ok(())
}

async fn hgetalls<S: Subject>(subject: S, count: usize) -> Result<()> {
    for _ in 0..count {
        let pairs = subject.hgetall(HASH).await?;
        ensure!(pairs == FIELDS, "{pairs} pairs instead of {FIELDS}");
    }
    Ok(())
}

/// Whoever publishes waits until everything has been received, so that no queue grows and nothing is dropped. It costs this process a write and a read for a
/// thousand messages.
async fn messages<S: Subject>(
    subject: S,
    url: String,
    count: usize,
    data: Arc<Data>,
) -> Result<()> {
    let publication = Publication::new(&data);
    let mut listener = subject.listen(&url, &publication.channel).await?;
    let address = url.strip_prefix("redis://").context("the URL must begin with redis://")?;
    let mut publisher = TcpStream::connect(address).await?;
    publisher.set_nodelay(true)?;
    for _ in 0..count / MESSAGES {
        publisher.write_all(&publication.command).await?;
        for _ in 0..MESSAGES {
            let length = listener.next().await?;
            ensure!(length == data.value_size, "a message of {length} bytes");
        }
        let mut reply = [0; PUBLISHED.len()];
        publisher.read_exact(&mut reply).await?;
        ensure!(reply == PUBLISHED, "the script answered {:?}", String::from_utf8_lossy(&reply));
    }
    Ok(())
}
