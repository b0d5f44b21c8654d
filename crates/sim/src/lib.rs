//! A deterministic world that drives `redial-proto` from a seed, with rules that must hold in every run.
//!
//! There is no clock, no socket and no thread in it: a run is a function of its seed, so a failure can be replayed with a full trace.
//!
//! | file | what it owns |
//! |---|---|
//! | `world` | one run: time, and who an event concerns |
//! | `plan` | what a seed means |
//! | `net` | TCP between the hosts |
//! | `server` | Redis servers, as far as clients can tell |
//! | `fault` | what goes wrong |
//! | `cluster` | a Redis Cluster: what nodes believe and say, elections, slots that move |
//! | `sentinel` | Redis Sentinel: what Sentinels believe and say, elections |
//! | `caller` | what programs ask for |
//! | `driver` | the client's sockets and timers, and what its events show |
//! | `ledger` | every request, and the rules for it |
//! | `finale` | the end of a run, and the rules for clients |
//! | `scenario` | the drills, with exact expectations |
//! | `oracle` | the names of the rules |

mod caller;
mod cluster;
mod driver;
mod fault;
mod finale;
mod ledger;
mod net;
mod oracle;
mod plan;
mod queue;
mod scenario;
mod sentinel;
mod server;
mod trace;
mod world;

pub use self::cluster::{CLUSTER_DRILLS, ClusterDrill};
pub use self::oracle::{Failure, Oracle};
pub use self::scenario::{Report, SCENARIOS, Scenario};

/// What a run that kept all rules amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Events of the world.
    pub events: u64,
    /// Requests that callers made.
    pub requests: u64,
    /// Connections that were dialed.
    pub dials: u64,
    /// Virtual microseconds from the last fault until every link was ready.
    pub ready_after: u64,
}

/// What happened in a run, line by line with its virtual time.
pub type Lines = Vec<String>;

/// Runs a seed.
///
/// # Errors
/// The first rule that was broken.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    finish(run_plan(plan::Plan::from_seed(seed), false)).1
}

/// Runs a seed and keeps every input and output, which changes nothing else.
pub fn replay(seed: u64) -> (Lines, Result<Summary, Box<Failure>>) {
    finish(run_plan(plan::Plan::from_seed(seed), true))
}

fn run_plan(plan: plan::Plan, traced: bool) -> world::World {
    let mut world = world::World::new(plan, traced);
    world.run();
    world
}

fn finish(world: world::World) -> (Lines, Result<Summary, Box<Failure>>) {
    let summary = Summary {
        events: world.events,
        requests: world.ledger.requests.len() as u64,
        dials: world.pipes.len() as u64,
        ready_after: world.finale.ready_after.unwrap_or_default(),
    };
    let result = world.failure.map_or(Ok(summary), |failure| Err(Box::new(failure)));
    (world.trace.into_lines(), result)
}
