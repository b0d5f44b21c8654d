//! Memory: what waiting requests and idle clients occupy.
//!
//! Measured as resident memory of the worker's process, which holds nothing but the client; kernel buffers of sockets are not in it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::child::Worker;
use crate::clients::{Name, Subject};
use crate::options::{MemoryOptions, ServerOptions};
use crate::server::Server;
use crate::sys;
use crate::worker::{Flavor, Order, Setup};
use crate::workload::Data;

/// For a client to see that its connection is gone. An end of file is there at once; this covers a loaded machine.
const NOTICE: Duration = Duration::from_millis(300);
/// Clients that connect at the same time, well below the server's backlog.
const CONNECTING: usize = 64;

/// Requests that wait in a client whose server is away.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Queued {
    pub(crate) waiting: usize,
    /// Requests that the client refused instead of letting them wait.
    pub(crate) refused: usize,
    /// Size of the future that a caller holds for a request, in bytes.
    pub(crate) future_bytes: usize,
    /// Memory before the requests were made.
    pub(crate) before_kib: u64,
    pub(crate) after_kib: u64,
    pub(crate) peak_kib: u64,
}

/// Clients that are connected and do nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Idle {
    pub(crate) clients: usize,
    pub(crate) before_kib: u64,
    pub(crate) after_kib: u64,
    pub(crate) peak_kib: u64,
}

/// A request as its caller holds it.
type Request = Pin<Box<dyn Future<Output = Result<()>>>>;

/// Issues `requests` SETs that cannot be sent, and measures while they wait.
pub(crate) async fn queue<S: Subject>(
    subject: &S,
    requests: usize,
    bytes: usize,
) -> Result<Queued> {
    tokio::time::sleep(NOTICE).await;
    // The list of futures is the measurement's, not the client's, so it is there before; the futures themselves count.
    let mut futures: Vec<Option<Request>> = Vec::with_capacity(requests);
    futures.resize_with(requests, || None);
    let before = sys::memory()?;
    let (mut waiting, mut refused, mut future_bytes) = (0, 0, 0);
    for (index, slot) in futures.iter_mut().enumerate() {
        let request = subject.set(format!("bench:queued:{index:06}"), vec![b'v'; bytes]);
        future_bytes = size_of_val(&request);
        let mut request: Request = Box::pin(request);
        match poll_fn(|context| Poll::Ready(request.as_mut().poll(context))).await {
            Poll::Pending => {
                waiting += 1;
                *slot = Some(request);
            }
            Poll::Ready(_) => refused += 1,
        }
        if index % 1024 == 0 {
            // A client with a task of its own takes requests over only when that task runs.
            tokio::task::yield_now().await;
        }
    }
    tokio::time::sleep(NOTICE).await;
    let after = sys::memory()?;
    // A client whose task does the refusing has done it by now.
    for request in futures.iter_mut().flatten() {
        if poll_fn(|context| Poll::Ready(request.as_mut().poll(context))).await.is_ready() {
            (waiting, refused) = (waiting - 1, refused + 1);
        }
    }
    Ok(Queued {
        waiting,
        refused,
        future_bytes,
        before_kib: before.resident,
        after_kib: after.resident,
        peak_kib: after.peak,
    })
}

/// Connects `clients` more clients, and measures when all are idle.
pub(crate) async fn idle<S: Subject>(url: &str, clients: usize) -> Result<Idle> {
    let mut connected: Vec<S> = Vec::with_capacity(clients);
    let before = sys::memory()?;
    let mut connecting = JoinSet::new();
    while connected.len() < clients {
        while connecting.len() < CONNECTING && connected.len() + connecting.len() < clients {
            let url = url.to_owned();
            connecting.spawn(async move { S::connect(&url).await });
        }
        if let Some(client) = connecting.join_next().await {
            connected.push(client??);
        }
    }
    tokio::time::sleep(NOTICE).await;
    let after = sys::memory()?;
    ensure!(connected.len() == clients, "{} clients of {clients} connected", connected.len());
    Ok(Idle {
        clients,
        before_kib: before.resident,
        after_kib: after.resident,
        peak_kib: after.peak,
    })
}

/// The mode `memory`: both measurements for each client, printed.
pub(crate) fn report(options: &MemoryOptions) -> Result<()> {
    sys::raise_file_limit(options.idle_clients as u64 + 1024)?;
    for client in options.clients() {
        let queued = measure_queue(client, options)?;
        let grown = queued.after_kib.saturating_sub(queued.before_kib);
        println!(
            "{:<9} offline queue: {} of {} requests of {} bytes wait ({} refused): {:.1} MiB more resident \
             ({:.0} bytes a request), of which {:.1} MiB are the callers' futures ({} bytes each); peak {:.1} MiB",
            client.text(),
            queued.waiting,
            options.requests,
            options.request_bytes,
            queued.refused,
            grown as f64 / 1024.0,
            grown as f64 * 1024.0 / options.requests as f64,
            (queued.future_bytes * queued.waiting) as f64 / 1048576.0,
            queued.future_bytes,
            queued.peak_kib as f64 / 1024.0,
        );
        let idle = measure_idle(client, options)?;
        let grown = idle.after_kib.saturating_sub(idle.before_kib);
        println!(
            "{:<9} idle clients: {} take {:.1} MiB, {:.1} KiB each, peak {:.1} MiB",
            client.text(),
            idle.clients,
            grown as f64 / 1024.0,
            grown as f64 / idle.clients as f64,
            idle.peak_kib as f64 / 1024.0,
        );
    }
    Ok(())
}

fn measure_queue(client: Name, options: &MemoryOptions) -> Result<Queued> {
    let (server, mut worker) = start(client, &options.server, 64)?;
    // A command that is answered shows that the client is connected and set up.
    let workload = crate::workload::Workload::Get64;
    let _warm: crate::load::Cost = worker.ask(Order::Run { workload, commands: 64 })?;
    server.stop()?;
    worker.ask(Order::Queue { requests: options.requests, bytes: options.request_bytes })
}

fn measure_idle(client: Name, options: &MemoryOptions) -> Result<Idle> {
    let (_server, mut worker) = start(client, &options.server, options.idle_clients + 64)?;
    worker.ask(Order::Idle { clients: options.idle_clients })
}

fn start(client: Name, options: &ServerOptions, clients: usize) -> Result<(Server, Worker)> {
    let data = Data::new(options.value_size);
    let server = Server::start(&options.server_bin, options.server_core, clients, &data)?;
    let setup = Setup {
        client,
        flavor: Flavor::Current,
        url: server.url(),
        value_size: options.value_size,
    };
    let worker = Worker::start(&setup, &[options.client_core])?;
    Ok((server, worker))
}
