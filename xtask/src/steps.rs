//! The steps of a long run: each is announced, timed, and listed at the end.
//!
//! What a step does and whether it may be skipped is the caller's business.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// What became of a step that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Why it could not be run here.
    Skipped(String),
}

#[derive(Debug)]
enum End {
    Passed,
    Skipped(String),
    Failed,
}

/// The steps so far.
#[derive(Debug)]
pub(crate) struct Steps {
    started: Instant,
    ended: Vec<(&'static str, Duration, End)>,
}

impl Steps {
    pub(crate) fn start() -> Self {
        Self { started: now(), ended: Vec::new() }
    }

    /// Runs a step and remembers how it went.
    ///
    /// # Errors
    /// The step's own, with the step's name.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<Outcome>,
    ) -> Result<()> {
        eprintln!("\n=== {name}");
        let started = now();
        let result = step();
        let took = started.elapsed();
        let end = match &result {
            Ok(Outcome::Passed) => End::Passed,
            Ok(Outcome::Skipped(why)) => {
                eprintln!("skipped: {why}");
                End::Skipped(why.clone())
            }
            Err(_) => End::Failed,
        };
        eprintln!("--- {name}: {:.1} s", took.as_secs_f64());
        self.ended.push((name, took, end));
        result.map(drop).with_context(|| format!("the step `{name}` failed"))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The table of all steps.
    pub(crate) fn table(&self) -> Table<'_> {
        Table { steps: self, took: self.elapsed() }
    }
}

/// Its lines are those of a test runner, since that is what reads the end of a CI log.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    steps: &'a Steps,
    took: Duration,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut passed, mut failed, mut ignored) = (0, 0, 0);
        for (name, took, end) in &self.steps.ended {
            let seconds = took.as_secs_f64();
            write!(f, "test {name:<28} ... ")?;
            match end {
                End::Passed => {
                    passed += 1;
                    writeln!(f, "ok      {seconds:>7.1} s")?;
                }
                End::Skipped(why) => {
                    ignored += 1;
                    let why = why.lines().next().unwrap_or_default();
                    writeln!(f, "ignored {seconds:>7.1} s  {why}")?;
                }
                End::Failed => {
                    failed += 1;
                    writeln!(f, "FAILED  {seconds:>7.1} s")?;
                }
            }
        }
        let result = if failed == 0 { "ok" } else { "FAILED" };
        write!(
            f,
            "\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored; finished in {:.1} s",
            self.took.as_secs_f64()
        )
    }
}

fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_table_tells_what_passed_what_was_skipped_and_what_failed() {
        let mut steps = Steps::start();
        steps.step("format", || Ok(Outcome::Passed)).unwrap();
        steps.step("fuzz", || Ok(Outcome::Skipped("no nightly\nmore".into()))).unwrap();
        let table = steps.table().to_string();
        assert!(
            table.ends_with(" s") && table.contains("test result: ok. 1 passed; 0 failed; 1 i")
        );
        assert!(table.contains("no nightly") && !table.contains("more"), "{table}");

        let error = steps.step("drills", || Err(anyhow!("lost a write"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "the step `drills` failed: lost a write");
        let table = steps.table().to_string();
        assert!(table.contains("test result: FAILED. 1 passed; 1 failed; 1 ignored"), "{table}");
    }
}
