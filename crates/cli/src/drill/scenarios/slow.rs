//! Nothing is broken: the server is busy.

use std::time::{Duration, Instant};

use anyhow::bail;
use redial_lab::{HostId, Reply};

use super::{Drill, Limits, Variant};
use crate::drill::limits;
use crate::drill::stage::Stage;

const SLEEP: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_secs(4);
const SCRIPT: Duration = Duration::from_secs(7);
const UPLOAD_BYTES: u64 = 200 << 20;
/// How much longer than planned a busy server may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Runs for ARGV[1] microseconds by the server's clock.
const BUSY_BY_CLOCK: &str = "local t = redis.call('TIME') repeat local n = redis.call('TIME') \
     until (n[1] - t[1]) * 1000000 + (n[2] - t[2]) >= tonumber(ARGV[1]) return 1";
/// Runs for ARGV[1] rounds, and returns how many microseconds TIME says that took.
const BUSY_BY_ROUNDS: &str = "local t = redis.call('TIME') for i = 1, tonumber(ARGV[1]) do end \
     local n = redis.call('TIME') return (n[1] - t[1]) * 1000000 + (n[2] - t[2])";
/// Some milliseconds' worth.
const TRIAL_ROUNDS: u32 = 2_000_000;

pub(crate) struct Slow;

impl Slow {
    fn busy(stage: &Stage<'_>, args: &[&str], lasts: Duration) -> anyhow::Result<()> {
        let server = stage.lab().server(HostId::A);
        match server.command_within(args, lasts + PATIENCE)? {
            Reply::Error(text) => bail!("the server refused {}: {text}", args[0]),
            _ => Ok(()),
        }
    }

    /// A script that keeps the server busy for `lasts`, and its argument. TIME stands still in the scripts
    /// of some versions; there rounds are counted, at the speed of a trial.
    fn busy_script(stage: &Stage<'_>, lasts: Duration) -> anyhow::Result<(&'static str, String)> {
        let rounds = TRIAL_ROUNDS.to_string();
        let began = Instant::now();
        let trial =
            stage.lab().server(HostId::A).command(&["EVAL", BUSY_BY_ROUNDS, "0", &rounds])?;
        if trial.as_int().is_some_and(|micros| micros > 0) {
            return Ok((BUSY_BY_CLOCK, lasts.as_micros().to_string()));
        }
        let times = lasts.as_secs_f64() / began.elapsed().as_secs_f64();
        Ok((BUSY_BY_ROUNDS, format!("{:.0}", f64::from(TRIAL_ROUNDS) * times)))
    }

    fn upload(stage: &Stage<'_>) -> anyhow::Result<()> {
        stage.fault("the client uploads 200 MB", || stage.upload(UPLOAD_BYTES))?;
        stage.wait_for_upload(PATIENCE)?;
        stage.step("the upload has been answered, or given up");
        Ok(())
    }
}

impl Drill for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn summary(&self) -> &'static str {
        "no fault: the server is busy for 4 s, and nothing should come of it"
    }

    fn story(&self) -> &'static str {
        "DEBUG SLEEP 4 on the primary: it answers nothing, then goes on. A client that takes it for \
         dead throws a good connection away and makes its callers guess. Nothing is to be lost, \
         nothing reported, nothing reconnected."
    }

    fn limits(&self) -> Limits {
        limits::SLOW
    }

    fn variants(&self) -> &'static [Variant] {
        &[
            Variant { name: "sleep", summary: "DEBUG SLEEP 4", rtt_ms: 2 },
            Variant { name: "pause-write", summary: "CLIENT PAUSE 4000 WRITE", rtt_ms: 2 },
            Variant { name: "script", summary: "a script of 7 s, -BUSY after 5", rtt_ms: 2 },
            Variant { name: "upload", summary: "a SET of 200 MB by the client", rtt_ms: 20 },
        ]
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        let seconds = |duration: Duration| duration.as_secs().to_string();
        match stage.plan().variant {
            Some("pause-write") => {
                stage.fault("writes are paused for 4 s", || {
                    let millis = PAUSE.as_millis().to_string();
                    Self::busy(stage, &["CLIENT", "PAUSE", &millis, "WRITE"], Duration::ZERO)
                })?;
                stage.wait(PAUSE)?;
            }
            Some("script") => {
                let (script, argument) = Self::busy_script(stage, SCRIPT)?;
                stage.fault("a script runs for 7 s", || {
                    Self::busy(stage, &["EVAL", script, "0", &argument], SCRIPT)
                })?;
            }
            Some("upload") => return Self::upload(stage),
            _ => stage.fault("the server sleeps for 4 s", || {
                Self::busy(stage, &["DEBUG", "SLEEP", &seconds(SLEEP)], SLEEP)
            })?,
        }
        stage.step("the server answers again");
        Ok(())
    }
}
