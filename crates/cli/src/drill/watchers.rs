//! Three clients that send next to nothing, and are watched for when they notice that their server
//! is gone: one idle, one that subscribes, one that waits in BLPOP.

use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use redial_lab::{HostId, Lab};
use serde::Serialize;

use super::adapter_process::{AdapterProcess, lock};
use super::clock::{Clock, millis};
use super::observer::{Listed, Observer};
use super::protocol::Line;

/// How often the observer's view is looked at, and how soon a BLPOP that failed is sent again.
const EVERY: Duration = Duration::from_millis(25);

/// What a quiet client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Idle,
    Subscriber,
    Blocked,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Idle, Self::Subscriber, Self::Blocked];

    /// The name that its adapter is given to announce.
    pub(crate) fn client_name(self) -> &'static str {
        match self {
            Self::Idle => "drill-idle",
            Self::Subscriber => "drill-subscriber",
            Self::Blocked => "drill-blocked",
        }
    }

    fn first_line(self) -> &'static str {
        match self {
            Self::Idle => "c 0 PING\n",
            Self::Subscriber => "s drill-channel\n",
            Self::Blocked => "c 0 BLPOP drill-never 0\n",
        }
    }

    /// Whether this connection does what the watcher's is for. One without a name is known by that
    /// alone: nobody else subscribes or blocks.
    fn is_back(self, client: &Listed) -> bool {
        let named = client.name == self.client_name();
        match self {
            Self::Idle => named,
            Self::Subscriber => client.subscribed && (named || client.name.is_empty()),
            Self::Blocked => client.blocked && (named || client.name.is_empty()),
        }
    }
}

/// What the adapter of a watcher has said.
#[derive(Debug, Default)]
struct Heard {
    /// States other than `ready`, and failed commands, with their times.
    signs: Vec<Duration>,
    answered: usize,
}

/// When one quiet client noticed and was back, in milliseconds after the fault.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Watched {
    pub(crate) kind: Kind,
    /// The first that the client told of it; `null` if it told nothing.
    pub(crate) noticed_ms: Option<f64>,
    /// Its connection is at the new primary, subscribed or waiting as before.
    pub(crate) replaced_ms: Option<f64>,
}

struct Watcher {
    kind: Kind,
    process: AdapterProcess,
    heard: Arc<Mutex<Heard>>,
    asked: usize,
    back_at: Option<Duration>,
}

/// The three of them, and the thread that looks after them.
#[derive(Debug)]
pub(crate) struct Watchers {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Vec<Found>>>,
}

/// What the thread hands back: signs and return, on the drill's clock.
#[derive(Debug)]
struct Found {
    kind: Kind,
    signs: Vec<Duration>,
    back_at: Option<Duration>,
}

impl Watchers {
    /// Starts the adapters by `spawn`, which is given the name to announce.
    pub(crate) fn start(
        lab: &Arc<Lab>,
        observer: &Arc<Observer>,
        clock: Clock,
        label: &str,
        spawn: impl Fn(&str) -> Result<Child>,
    ) -> Result<Self> {
        let mut watchers = Vec::new();
        for kind in Kind::ALL {
            let heard: Arc<Mutex<Heard>> = Arc::default();
            let listener = Arc::clone(&heard);
            let on_line = move |line| hear(&listener, clock.now(), &line);
            let child = spawn(kind.client_name())?;
            let mut process = AdapterProcess::start(child, label, on_line, |_| ())?;
            process.send(kind.first_line());
            watchers.push(Watcher { kind, process, heard, asked: 1, back_at: None });
        }
        let over: Arc<AtomicBool> = Arc::default();
        let (lab, observer, ends) = (Arc::clone(lab), Arc::clone(observer), Arc::clone(&over));
        let thread = thread::spawn(move || look_after(watchers, &lab, &observer, clock, &ends));
        Ok(Self { over, thread: Some(thread) })
    }

    /// Whether all of them are at the first primary and do what they are for.
    pub(crate) fn connected(&self, observer: &Observer) -> bool {
        Kind::ALL.iter().all(|kind| observer.lists(HostId::A, |client| kind.is_back(client)))
    }

    /// Ends the watchers; times are counted from `fault`.
    pub(crate) fn finish(mut self, fault: Duration) -> Vec<Watched> {
        self.over.store(true, Ordering::Relaxed);
        let found = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let after = |at: Duration| (at > fault).then(|| millis(at - fault));
        found
            .into_iter()
            .map(|found| Watched {
                kind: found.kind,
                noticed_ms: found.signs.iter().find_map(|at| after(*at)),
                replaced_ms: found.back_at.and_then(after),
            })
            .collect()
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn hear(heard: &Mutex<Heard>, now: Duration, line: &Line) {
    let mut heard = lock(heard);
    match line {
        Line::State { state, .. } if state != "ready" && state != "connect" => {
            heard.signs.push(now);
        }
        Line::Reply { outcome, .. } => {
            heard.answered += 1;
            if matches!(outcome, super::protocol::Outcome::Err { .. }) {
                heard.signs.push(now);
            }
        }
        _ => {}
    }
}

/// Until it is over: notes who is back at B, and lets the blocked one wait again after an answer, as
/// a consumer does.
fn look_after(
    mut watchers: Vec<Watcher>,
    lab: &Lab,
    observer: &Observer,
    clock: Clock,
    over: &AtomicBool,
) -> Vec<Found> {
    while !over.load(Ordering::Relaxed) {
        let new_primary = lab.endpoint().filter(|host| *host == HostId::B);
        for watcher in &mut watchers {
            let kind = watcher.kind;
            if let Some(host) = new_primary
                && watcher.back_at.is_none()
                && observer.lists(host, |client| kind.is_back(client))
            {
                watcher.back_at = Some(clock.now());
            }
            if kind == Kind::Blocked && lock(&watcher.heard).answered >= watcher.asked {
                watcher.process.send(&format!("c {} BLPOP drill-never 0\n", watcher.asked));
                watcher.asked += 1;
            }
        }
        thread::sleep(EVERY);
    }
    watchers
        .into_iter()
        .map(|watcher| Found {
            kind: watcher.kind,
            signs: std::mem::take(&mut lock(&watcher.heard).signs),
            back_at: watcher.back_at,
        })
        .collect()
}
