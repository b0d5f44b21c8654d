//! The workload in motion: one thread writes to the adapter what is due, its reader settles.

use std::io::Write as _;
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::adapter_process::{AdapterProcess, lock};
use super::clock::Clock;
use super::listener::{Said, Sayings};
use super::protocol::Line;
use super::workload::{Record, Spread, Step, Workload};

/// The longest the writer sleeps when nothing is due; a reply wakes it before.
const IDLE: Duration = Duration::from_millis(100);

/// The words of the protocol that are states.
const STATES: &[&str] =
    &["wait", "connecting", "connect", "ready", "suspect", "reconnecting", "close", "end"];

/// A change of the client's connection, as the client tells it.
#[derive(Debug, Clone)]
pub(crate) struct StateChange {
    pub(crate) at: Duration,
    pub(crate) state: String,
    pub(crate) detail: String,
}

impl StateChange {
    /// Whether this is a state, which lasts, and not an event on the way (a probe, an error).
    pub(crate) fn is_state(&self) -> bool {
        STATES.contains(&self.state.as_str())
    }
}

#[derive(Debug)]
struct State {
    workload: Workload,
    changes: Vec<StateChange>,
    strays: u64,
    /// What the client heard, if it was asked to listen.
    said: Sayings,
    /// Lines for the writer beside the callers' commands.
    extra: String,
    over: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

/// What the live view shows of a load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Glance {
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    pub(crate) open: usize,
    pub(crate) state: String,
}

/// Everything that the load saw, for the report.
#[derive(Debug, Clone)]
pub(crate) struct Harvest {
    pub(crate) records: Vec<Record>,
    pub(crate) changes: Vec<StateChange>,
    /// Replies that answered nothing, or something a second time.
    pub(crate) strays: u64,
    pub(crate) callers: usize,
    /// When the last command could be issued.
    pub(crate) stopped_at: Duration,
}

/// The workload and the client under test, in one process or several.
#[derive(Debug)]
pub(crate) struct Load {
    clock: Clock,
    shared: Arc<Shared>,
    processes: Mutex<Vec<AdapterProcess>>,
    pub(crate) client: String,
    pub(crate) version: String,
}

impl Load {
    /// Waits for the adapters to be ready and starts the callers. Each child has so many clients as were asked of it.
    pub(crate) fn start(
        children: Vec<Child>,
        clients: usize,
        label: &str,
        clock: Clock,
        (callers, pause): (usize, Duration),
        on_log: impl Fn(&str) + Clone + Send + 'static,
    ) -> Result<Self> {
        let spread = Spread { processes: children.len(), clients };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                // Nobody calls before the adapter is ready.
                workload: Workload::new(Spread::ONE, 0, pause, Duration::ZERO, 0),
                changes: Vec::new(),
                strays: 0,
                said: Sayings::new(),
                extra: String::new(),
                over: false,
            }),
            wake: Condvar::new(),
        });
        let (mut processes, mut inputs) = (Vec::new(), Vec::new());
        for child in children {
            let reader = Arc::clone(&shared);
            let on_line = move |line| take_line(&reader, clock, line);
            let mut process = AdapterProcess::start(child, label, on_line, on_log.clone())?;
            let Some(input) = process.take_input() else {
                bail!("the adapter {label} has no standard input");
            };
            processes.push(process);
            inputs.push(input);
        }
        let Some(first) = processes.first() else { bail!("there is no adapter to load") };
        let (client, version) = (first.client.clone(), first.version.clone());
        lock(&shared.state).workload =
            Workload::new(spread, callers, pause, clock.now(), fastrand::u64(..));
        let writer = Arc::clone(&shared);
        thread::spawn(move || write_what_is_due(&writer, clock, inputs));
        Ok(Self { clock, shared, processes: Mutex::new(processes), client, version })
    }

    /// An error if the adapter has died or broken the protocol.
    pub(crate) fn check(&self) -> Result<()> {
        lock(&self.processes).iter_mut().try_for_each(AdapterProcess::check)
    }

    /// Sends one SET of so many bytes beside the callers' commands.
    pub(crate) fn upload(&self, bytes: u64) {
        let mut state = lock(&self.shared.state);
        let line = state.workload.issue_upload(bytes, self.clock.now());
        state.extra.push_str(&line);
        self.shared.wake.notify_one();
    }

    /// Has the client subscribe to a channel.
    pub(crate) fn listen(&self, channel: &str) {
        lock(&self.shared.state).extra.push_str(&format!("s {channel}\n"));
        self.shared.wake.notify_one();
    }

    /// What it heard so far.
    pub(crate) fn said(&self) -> Sayings {
        lock(&self.shared.state).said.clone()
    }

    /// Whether no large SET waits for an answer.
    pub(crate) fn upload_is_answered(&self) -> bool {
        let state = lock(&self.shared.state);
        !state.workload.records().iter().any(|r| r.step == Step::Upload && r.settled.is_none())
    }

    /// One more than the highest round that a caller has reached.
    pub(crate) fn rounds(&self) -> u32 {
        lock(&self.shared.state).workload.records().iter().map(|r| r.round + 1).max().unwrap_or(0)
    }

    /// Ends the callers' loops, waits until every command is answered or has been open for
    /// `deadline`, and returns what there is to know.
    pub(crate) fn stop(&self, deadline: Duration) -> Result<Harvest> {
        let stopped_at = self.clock.now();
        lock(&self.shared.state).workload.stop();
        loop {
            self.check()?;
            let state = lock(&self.shared.state);
            let open = state.workload.records().iter().rev().find(|r| r.settled.is_none());
            let waited = open.map(|r| self.clock.now().saturating_sub(r.issued));
            if waited.is_none_or(|waited| waited >= deadline) {
                return Ok(Harvest {
                    records: state.workload.records().to_vec(),
                    changes: state.changes.clone(),
                    strays: state.strays,
                    callers: state.workload.callers(),
                    stopped_at,
                });
            }
            drop(state);
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn glance(&self) -> Glance {
        let state = lock(&self.shared.state);
        Glance {
            succeeded: state.workload.succeeded(),
            failed: state.workload.failed(),
            open: state.workload.open(),
            state: state
                .changes
                .iter()
                .rev()
                .find(|change| change.is_state())
                .map(|change| change.state.clone())
                .unwrap_or_default(),
        }
    }

    /// Whether every caller has had a write succeed after `since`.
    pub(crate) fn all_recovered_since(&self, since: Duration) -> bool {
        let state = lock(&self.shared.state);
        let mut recovered = vec![false; state.workload.callers()];
        for record in state.workload.records().iter().rev() {
            if record.step.is_write()
                && record.succeeded_at().is_some_and(|at| at > since)
                && let Some(seen) = recovered.get_mut(record.caller)
            {
                *seen = true;
            }
            // A command takes seconds at most where there is recovery; older ones tell nothing new.
            if record.issued + Duration::from_secs(20) < since {
                break;
            }
        }
        recovered.iter().all(|seen| *seen)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        lock(&self.shared.state).over = true;
        self.shared.wake.notify_one();
    }
}

fn take_line(shared: &Shared, clock: Clock, line: Line) {
    let now = clock.now();
    let mut state = lock(&shared.state);
    if let Some(what) = Said::of(&line) {
        state.said.push((now, what));
    }
    match line {
        Line::Reply { id, outcome } => {
            if state.workload.settle(id, outcome, now).is_err() {
                state.strays += 1;
            }
            drop(state);
            shared.wake.notify_one();
        }
        Line::State { state: word, detail } => {
            state.changes.push(StateChange { at: now, state: word, detail });
        }
        Line::Ready { .. } | Line::Unable { .. } | Line::Message { .. } | Line::Unknown => {}
    }
}

/// Until the load is over or an adapter takes no more. Dropping the inputs is the adapters' signal to
/// exit.
fn write_what_is_due(shared: &Shared, clock: Clock, mut inputs: Vec<ChildStdin>) {
    let mut lines = vec![String::new(); inputs.len()];
    loop {
        lines.iter_mut().for_each(String::clear);
        let mut state = lock(&shared.state);
        if state.over {
            return;
        }
        lines[0].push_str(&state.extra);
        state.extra.clear();
        let now = clock.now();
        state.workload.issue_due(now, &mut lines);
        if lines.iter().all(String::is_empty) {
            let due = state.workload.next_due();
            let sleep = due.map_or(IDLE, |at| at.saturating_sub(now).min(IDLE));
            // Whatever ends the wait, the loop looks again.
            drop(shared.wake.wait_timeout(state, sleep));
            continue;
        }
        drop(state);
        for (input, lines) in inputs.iter_mut().zip(&lines).filter(|(_, lines)| !lines.is_empty()) {
            if input.write_all(lines.as_bytes()).and_then(|()| input.flush()).is_err() {
                return;
            }
        }
    }
}
