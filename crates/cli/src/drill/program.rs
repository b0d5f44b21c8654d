//! A user's own program on the stage: run on the client's host and watched from the servers' side.
//!
//! Nothing of the program is known but the commands that reach the servers, so recovery is when
//! commands arrive again, to the resolution of the sampling.

use std::ffi::OsString;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redial_lab::{HostId, Lab, Server};

use super::adapter_process::lock;
use super::clock::Clock;
use super::metrics::Slice;
use super::report::SLICE;

/// The resolution of what is known of a program.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_millis(250);

/// Commands that the drill itself sends, or that only set up a connection: they are no sign that the
/// program works.
const NOT_COUNTED: &[&str] = &[
    "auth",
    "client",
    "command",
    "config",
    "debug",
    "eval",
    "failover",
    "hello",
    "info",
    "mget",
    "ping",
    "psync",
    "replconf",
    "replicaof",
    "role",
    "select",
    "shutdown",
];

/// Commands of the program that one primary executed up to a moment since the last sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) host: HostId,
    pub(crate) commands: u64,
}

/// The program and the threads that watch the servers; all end with it.
#[derive(Debug)]
pub(crate) struct ProgramRun {
    clock: Clock,
    child: Mutex<Child>,
    exited: Mutex<Option<(Duration, String)>>,
    samples: Arc<Mutex<Vec<Sample>>>,
    over: Arc<AtomicBool>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl ProgramRun {
    /// Starts the program with `REDIS_URL` set. Its standard output goes to standard error: standard
    /// output is the report's.
    pub(crate) fn start(lab: &Arc<Lab>, args: &[OsString], clock: Clock) -> Result<Self> {
        let Some((program, rest)) = args.split_first() else {
            bail!("there is no program behind `--`");
        };
        let mut command = lab.client_command(program);
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr()));
        let child = lab
            .spawn(command)
            .with_context(|| format!("cannot start {}", program.to_string_lossy()))?;
        let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
        let over: Arc<AtomicBool> = Arc::default();
        let start = |host: HostId| {
            let (lab, samples, over) = (Arc::clone(lab), Arc::clone(&samples), Arc::clone(&over));
            thread::spawn(move || sample(lab.server(host), clock, &samples, &over))
        };
        let threads = lab.deployment().servers().into_iter().map(start).collect();
        Ok(Self {
            clock,
            child: Mutex::new(child),
            exited: Mutex::default(),
            samples,
            over,
            threads: Mutex::new(threads),
        })
    }

    /// Notes whether the program has ended by itself. That is a finding, never an error.
    pub(crate) fn check(&self) -> Result<()> {
        let mut exited = lock(&self.exited);
        if exited.is_none()
            && let Some(status) = lock(&self.child).try_wait()?
        {
            *exited = Some((self.clock.now(), status.to_string()));
        }
        Ok(())
    }

    /// When and how the program ended by itself.
    pub(crate) fn exited(&self) -> Option<(Duration, String)> {
        lock(&self.exited).clone()
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        lock(&self.samples).clone()
    }
}

impl Drop for ProgramRun {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
        for thread in lock(&self.threads).drain(..) {
            let _ = thread.join();
        }
    }
}

fn sample(server: &Server, clock: Clock, samples: &Mutex<Vec<Sample>>, over: &AtomicBool) {
    let mut last = None;
    while !over.load(Ordering::Relaxed) {
        if let Some(total) = commands_as_primary(server) {
            let before = last.replace(total).unwrap_or(total);
            // Less than before: the server was restarted.
            let commands = if total < before { total } else { total - before };
            if commands > 0 {
                lock(samples).push(Sample { at: clock.now(), host: server.host(), commands });
            }
        } else {
            // A replica executes what its primary sends: that is not the program's.
            last = None;
        }
        thread::sleep(SAMPLE_EVERY);
    }
}

fn commands_as_primary(server: &Server) -> Option<u64> {
    let role = server.command_within(&["INFO", "replication"], PATIENCE).ok()?;
    if !role.as_str()?.contains("role:master") {
        return None;
    }
    let stats = server.command_within(&["INFO", "commandstats"], PATIENCE).ok()?;
    Some(count_commands(stats.as_str()?))
}

/// The calls in `INFO commandstats`, without those that are [not counted](NOT_COUNTED).
fn count_commands(stats: &str) -> u64 {
    let calls = stats.lines().filter_map(|line| {
        let (command, fields) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let family = command.split('|').next().unwrap_or(command);
        if NOT_COUNTED.contains(&family) {
            return None;
        }
        fields.split(',').next()?.parse::<u64>().ok()
    });
    calls.sum()
}

/// What the samples say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    pub(crate) commands: u64,
    pub(crate) before_fault: u64,
    /// The longest time without a command, and when it began.
    pub(crate) longest_stall: (Duration, Duration),
}

pub(crate) fn activity(samples: &[Sample], fault: Duration, end: Duration) -> Activity {
    let mut times: Vec<Duration> = samples.iter().map(|sample| sample.at).collect();
    times.sort_unstable();
    let commands = |from: &dyn Fn(&Sample) -> bool| {
        samples.iter().filter(|sample| from(sample)).map(|sample| sample.commands).sum()
    };
    times.push(end);
    let gaps = times.windows(2).map(|pair| (pair[1].saturating_sub(pair[0]), pair[0]));
    Activity {
        commands: commands(&|_| true),
        before_fault: commands(&|sample| sample.at <= fault),
        longest_stall: gaps.max().unwrap_or((end, Duration::ZERO)),
    }
}

/// The samples as slices of the timeline.
pub(crate) fn slices(samples: &[Sample], end: Duration) -> Vec<Slice> {
    let index = |at: Duration| (at.as_micros() / SLICE.as_micros()) as usize;
    let mut slices = vec![Slice::default(); index(end) + 1];
    for sample in samples {
        if let Some(slice) = slices.get_mut(index(sample.at)) {
            slice.succeeded += u32::try_from(sample.commands).unwrap_or(u32::MAX);
        }
    }
    slices
}

/// From `accepting` to the first sample with commands at the host that the endpoint leads to.
pub(crate) fn back_after(
    samples: &[Sample],
    host: Option<HostId>,
    accepting: Duration,
    until: Duration,
) -> Option<Duration> {
    let back =
        |sample: &&Sample| Some(sample.host) == host && sample.at > accepting && sample.at <= until;
    samples.iter().filter(back).map(|sample| sample.at - accepting).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, host: HostId, commands: u64) -> Sample {
        Sample { at: Duration::from_millis(ms), host, commands }
    }

    #[test]
    fn only_the_programs_own_commands_are_counted() {
        let stats = "# Commandstats\r\ncmdstat_set:calls=10,usec=5,rejected_calls=0\r\n\
                     cmdstat_info:calls=99,usec=5\r\ncmdstat_client|list:calls=7,usec=1\r\n\
                     cmdstat_get:calls=5,usec=5\r\nrubbish\r\n";
        assert_eq!(count_commands(stats), 15);
    }

    #[test]
    fn the_longest_silence_and_the_return_are_found() {
        let ms = Duration::from_millis;
        let samples = [
            at(100, HostId::A, 5),
            at(150, HostId::A, 5),
            at(900, HostId::B, 3),
            at(950, HostId::B, 3),
        ];
        let found = activity(&samples, ms(150), ms(1000));
        assert_eq!((found.commands, found.before_fault), (16, 10));
        assert_eq!(found.longest_stall, (ms(750), ms(150)));
        let back = |host, from| back_after(&samples, host, ms(from), ms(1000));
        assert_eq!(back(Some(HostId::B), 500), Some(ms(400)));
        assert_eq!(back(Some(HostId::A), 500), None, "the old primary is not where it leads");
        assert_eq!(activity(&[], ms(1), ms(70)).longest_stall.0, ms(70));
    }
}
