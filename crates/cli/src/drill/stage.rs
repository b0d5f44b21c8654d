//! What a drill acts on: the lab, the subject under test, and the story so far.
//!
//! Owns the order of events and their times. It knows no particular drill, and judges nothing.

use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use redial_lab::{HostId, Lab};
use serde::Serialize;

use super::adapter_process::{lock, pipe};
use super::client::ClientProgram;
use super::clock::Clock;
use super::evidence::ServerData;
use super::listener::{Listened, Listener};
use super::live::Live;
use super::load::Load;
use super::observer::Observer;
use super::plan::{Plan, Subject};
use super::program::ProgramRun;
use super::storm::{Counter, StormReport};
use super::watchers::Watchers;
use super::workload::Spread;

/// The name that the client under load is asked to announce.
pub(crate) const LOAD_NAME: &str = "drill-load";
/// How often a wait looks whether the subject is still there.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often servers are asked whether they take writes.
const LOOK_CLOSELY_EVERY: Duration = Duration::from_millis(2);
/// A FAILOVER command waits for the replica; more than this it is the lab that fails.
const FAILOVER_WITHIN: Duration = Duration::from_secs(10);
/// For the clients that are watched to connect; those that announce no name are waited for in vain.
const WATCHERS_WITHIN: Duration = Duration::from_secs(3);
/// Writes stay paused for longer than it takes to read a server's data and demote it.
const PAUSED_MS: &str = "30000";

/// What kind of moment a mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MarkKind {
    Fault,
    /// The endpoint accepts writes again.
    Accepting,
    Step,
}

/// One moment of the story.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) at: Duration,
    pub(crate) kind: MarkKind,
    pub(crate) text: String,
}

/// What happened so far, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    pub(crate) marks: Vec<Mark>,
    /// Where the endpoint led from when on.
    pub(crate) endpoint: Vec<(Duration, Option<HostId>)>,
    /// Data of servers that were primary, read before they gave it up.
    pub(crate) saved: Vec<ServerData>,
}

impl Story {
    pub(crate) fn first(&self, kind: MarkKind) -> Option<Duration> {
        self.marks.iter().find(|mark| mark.kind == kind).map(|mark| mark.at)
    }

    /// Each moment at which the endpoint accepted writes again, and where its effect ends: at the
    /// next fault, or at `end`.
    pub(crate) fn switches(&self, end: Duration) -> Vec<(Duration, Duration)> {
        let of = |kind| self.marks.iter().filter(move |mark| mark.kind == kind);
        of(MarkKind::Accepting)
            .map(|accepting| {
                let next = of(MarkKind::Fault).map(|fault| fault.at).find(|at| *at > accepting.at);
                (accepting.at, next.unwrap_or(end))
            })
            .collect()
    }
}

/// Who is on the stage.
#[derive(Debug, Clone)]
pub(crate) enum OnStage {
    Load(Arc<Load>),
    Program(Arc<ProgramRun>),
}

/// One drill under way.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(super) plan: &'a Plan,
    pub(super) lab: Arc<Lab>,
    clock: Clock,
    live: Arc<Live>,
    pub(super) subject: OnStage,
    observer: Arc<Observer>,
    pub(super) story: Mutex<Story>,
    watchers: Mutex<Option<Watchers>>,
    listener: Mutex<Option<Listener>>,
    counter: Option<Counter>,
}

impl<'a> Stage<'a> {
    /// Starts the subject against a lab that stands.
    pub(crate) fn set(plan: &'a Plan, lab: Lab, clock: Clock, live: Arc<Live>) -> Result<Self> {
        let lab = Arc::new(lab);
        let subject = match &plan.subject {
            Subject::Adapter(client) => {
                let Spread { processes, clients } = plan.spread;
                let children: Result<Vec<Child>> = (0..processes)
                    .map(|_| spawn_adapter(&lab, client, LOAD_NAME, clients))
                    .collect();
                let log = Arc::clone(&live);
                let load = Load::start(
                    children?,
                    clients,
                    &client.label,
                    clock,
                    (plan.callers, plan.pause),
                    move |line| log.adapter_log(line),
                )?;
                OnStage::Load(Arc::new(load))
            }
            Subject::Program(args) => {
                OnStage::Program(Arc::new(ProgramRun::start(&lab, args, clock)?))
            }
        };
        let observer = Arc::new(Observer::start(&lab, plan.spread));
        let counter = (plan.spread != Spread::ONE).then(|| Counter::start(&lab, clock));
        let story = Story { endpoint: vec![(clock.now(), lab.endpoint())], ..Story::default() };
        Ok(Self {
            plan,
            lab,
            clock,
            live,
            subject,
            observer,
            story: Mutex::new(story),
            watchers: Mutex::default(),
            listener: Mutex::default(),
            counter,
        })
    }

    pub(crate) fn plan(&self) -> &Plan {
        self.plan
    }

    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(crate) fn subject(&self) -> &OnStage {
        &self.subject
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    pub(crate) fn story(&self) -> Story {
        lock(&self.story).clone()
    }

    /// An error if the subject is gone: there is nobody to drill.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.subject {
            OnStage::Load(load) => load.check(),
            OnStage::Program(program) => program.check(),
        }
    }

    /// Waits, as long as the subject lives.
    pub(crate) fn wait(&self, duration: Duration) -> Result<()> {
        self.wait_until(duration, || false).map(|_| ())
    }

    /// Waits until `done`, at most for `duration`; whether it came to that.
    pub(crate) fn wait_until(&self, duration: Duration, done: impl Fn() -> bool) -> Result<bool> {
        self.wait_looking(LOOK_EVERY, duration, done)
    }

    /// The same for what is looked at more often, because its time is a figure.
    pub(crate) fn wait_quickly(&self, duration: Duration, done: impl Fn() -> bool) -> Result<bool> {
        self.wait_looking(LOOK_CLOSELY_EVERY, duration, done)
    }

    fn wait_looking(
        &self,
        every: Duration,
        duration: Duration,
        done: impl Fn() -> bool,
    ) -> Result<bool> {
        let start = Instant::now();
        loop {
            self.check()?;
            if done() {
                return Ok(true);
            }
            let left = duration.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            thread::sleep(left.min(every));
        }
    }

    fn mark(&self, kind: MarkKind, text: &str) {
        let at = self.clock.now();
        self.mark_at(at, kind, text);
    }

    fn mark_at(&self, at: Duration, kind: MarkKind, text: &str) {
        self.live.note(at, text);
        self.live.phase(text);
        lock(&self.story).marks.push(Mark { at, kind, text: text.to_owned() });
    }

    /// Something that is neither fault nor remedy.
    pub(crate) fn step(&self, text: &str) {
        self.mark(MarkKind::Step, text);
    }

    /// Makes a fault; its time is that of its beginning.
    pub(crate) fn fault(&self, text: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
        self.mark(MarkKind::Fault, text);
        make()
    }

    /// From now on the endpoint accepts writes.
    pub(crate) fn accepting(&self, text: &str) {
        self.mark(MarkKind::Accepting, text);
    }

    /// Leads the endpoint to a server that is primary: from now on it accepts writes.
    pub(crate) fn lead_to(&self, host: HostId) {
        self.moved_to(host, &format!("{host} is primary, the endpoint leads to it"));
    }

    /// This host is the primary from now on, and takes writes: who made it one, the text says.
    pub(crate) fn moved_to(&self, host: HostId, text: &str) {
        self.lab.point_endpoint(Some(host));
        let at = self.clock.now();
        lock(&self.story).endpoint.push((at, Some(host)));
        self.mark_at(at, MarkKind::Accepting, text);
    }

    pub(crate) fn promote(&self, host: HostId) -> Result<()> {
        Ok(self.lab.promote(host)?)
    }

    /// The cooperative swap; no write that was acknowledged is missing afterwards.
    pub(crate) fn fail_over(&self, to: HostId) -> Result<()> {
        Ok(self.lab.failover(to, FAILOVER_WITHIN)?)
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&self, host: HostId) -> Result<()> {
        self.observer.set_frozen(host, true);
        Ok(self.lab.server(host).stop_process()?)
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self, host: HostId) -> Result<()> {
        self.lab.server(host).resume_process()?;
        self.observer.set_frozen(host, false);
        Ok(())
    }

    /// Reads what a stale primary has, then makes it a replica, which discards that. Writes are paused
    /// in between, so that none slips through unseen.
    pub(crate) fn save_and_demote(&self, host: HostId) -> Result<()> {
        let server = self.lab.server(host);
        server.command(&["CLIENT", "PAUSE", PAUSED_MS, "WRITE"])?;
        if let OnStage::Load(load) = &self.subject {
            let data = ServerData::read(server, self.plan.callers, load.rounds())?;
            lock(&self.story).saved.push(data);
        }
        self.lab.demote(host)?;
        server.command(&["CLIENT", "UNPAUSE"])?;
        Ok(())
    }

    /// Has the client under test send one large SET beside its callers' commands.
    pub(crate) fn upload(&self, bytes: u64) -> Result<()> {
        match &self.subject {
            OnStage::Load(load) => {
                load.upload(bytes);
                Ok(())
            }
            OnStage::Program(_) => bail!("--variant upload needs an adapter, not a program"),
        }
    }

    /// Waits until the large SET is answered.
    pub(crate) fn wait_for_upload(&self, at_most: Duration) -> Result<bool> {
        let OnStage::Load(load) = &self.subject else { return Ok(false) };
        self.wait_until(at_most, || load.upload_is_answered())
    }

    /// Waits until every caller has had a write succeed; whether it came to that.
    pub(crate) fn wait_for_everybody(&self, at_most: Duration) -> Result<bool> {
        let OnStage::Load(load) = &self.subject else { return Ok(true) };
        self.wait_until(at_most, || load.all_recovered_since(Duration::ZERO))
    }

    /// Starts three more clients that send next to nothing, and waits until they are connected. Nothing
    /// to do where a program of the user is drilled.
    pub(crate) fn watch_quiet_clients(&self) -> Result<()> {
        let Subject::Adapter(client) = &self.plan.subject else { return Ok(()) };
        let watchers =
            Watchers::start(&self.lab, &self.observer, self.clock, &client.label, |name| {
                spawn_adapter(&self.lab, client, name, 1)
            })
            .context("cannot start the clients that are watched beside the load")?;
        let connected = self.wait_until(WATCHERS_WITHIN, || watchers.connected(&self.observer))?;
        if !connected {
            self.step("not all of the quiet clients announced themselves with CLIENT SETNAME");
        }
        *lock(&self.watchers) = Some(watchers);
        Ok(())
    }

    /// Has the client under load listen to messages, and waits until it hears some.
    pub(crate) fn listen(&self) -> Result<()> {
        let OnStage::Load(load) = &self.subject else { return Ok(()) };
        let listener = Listener::start(&self.lab, &self.observer, self.clock, load);
        if !self.wait_until(WATCHERS_WITHIN, || listener.hears())? {
            bail!("the client heard no message: does its adapter know `s` and `m` lines?");
        }
        *lock(&self.listener) = Some(listener);
        Ok(())
    }

    /// What the listener heard until `end`; it is over with it.
    pub(crate) fn finish_listening(&self, end: Duration) -> Option<Listened> {
        let listener = lock(&self.listener).take()?;
        Some(listener.finish(&self.story().switches(end)))
    }

    /// What many clients did to the server since `fault`.
    pub(crate) fn storm(&self, fault: Duration) -> Option<StormReport> {
        let counter = self.counter.as_ref()?;
        let flows = self.lab.flows();
        let dials = flows.iter().map(|flow| self.clock.at(flow.opened_at));
        Some(StormReport::new(self.plan.spread, fault, dials, counter))
    }

    pub(crate) fn take_watchers(&self) -> Option<Watchers> {
        lock(&self.watchers).take()
    }
}

/// Starts an adapter on the client's host.
fn spawn_adapter(lab: &Lab, client: &ClientProgram, name: &str, clients: usize) -> Result<Child> {
    let mut command = lab.client_command(&client.program);
    command.args(&client.args).env("REDIAL_DRILL_NAME", name);
    if clients > 1 {
        command.env("REDIAL_DRILL_CLIENTS", clients.to_string());
    }
    pipe(&mut command);
    lab.spawn(command).with_context(|| format!("cannot start the adapter {}", client.label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effect_of_a_switch_ends_at_the_next_fault() {
        let ms = Duration::from_millis;
        let mark = |at, kind| Mark { at: ms(at), kind, text: String::new() };
        let story = Story {
            marks: vec![
                mark(10, MarkKind::Fault),
                mark(20, MarkKind::Accepting),
                mark(25, MarkKind::Step),
                mark(30, MarkKind::Fault),
                mark(40, MarkKind::Accepting),
            ],
            ..Story::default()
        };
        assert_eq!(story.switches(ms(99)), [(ms(20), ms(30)), (ms(40), ms(99))]);
        assert_eq!(story.first(MarkKind::Fault), Some(ms(10)));
    }
}
