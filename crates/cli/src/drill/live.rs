//! What is seen while a drill runs: a bar on a terminal, plain lines elsewhere. All of it goes to
//! standard error; standard output is the report's.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::adapter_process::lock;
use super::load::Glance;

/// How often a plain line tells the throughput.
const PLAIN_EVERY: Duration = Duration::from_secs(2);
/// The rate shown is that of the last so many glances.
const RATE_OVER: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Rate {
    since: Duration,
    succeeded: usize,
    per_second: f64,
    last_plain: Duration,
}

/// The live view of one drill.
#[derive(Debug)]
pub(crate) struct Live {
    bar: Option<ProgressBar>,
    phase: Mutex<String>,
    rate: Mutex<Rate>,
    log: Mutex<usize>,
}

/// Adapters may log much; the rest is dropped.
const MOST_LOG_LINES: usize = 20;

impl Live {
    /// A bar that is full after `total`, where standard error is a terminal.
    pub(crate) fn start(title: &str, total: Duration) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(u64::try_from(total.as_millis()).unwrap_or(u64::MAX));
            let style = ProgressStyle::with_template("{prefix:.bold} {bar:24.cyan/dim} {wide_msg}");
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_prefix(title.to_owned());
            bar
        });
        if bar.is_none() {
            eprintln!("{title}");
        }
        Self { bar, phase: Mutex::default(), rate: Mutex::default(), log: Mutex::new(0) }
    }

    /// Something happened: it is kept above the bar.
    pub(crate) fn note(&self, at: Duration, text: &str) {
        self.line(&format!("{:>8.2} s  {text}", at.as_secs_f64()));
    }

    /// What goes on now.
    pub(crate) fn phase(&self, text: &str) {
        text.clone_into(&mut lock(&self.phase));
    }

    /// A line of the adapter's standard error.
    pub(crate) fn adapter_log(&self, line: &str) {
        let mut shown = lock(&self.log);
        *shown += 1;
        match *shown {
            n if n < MOST_LOG_LINES => self.line(&format!("  adapter: {line}")),
            MOST_LOG_LINES => self.line("  adapter: … (the rest of its log is not shown)"),
            _ => {}
        }
    }

    /// The state of things, several times a second.
    pub(crate) fn tick(&self, now: Duration, glance: &Glance) {
        let mut rate = lock(&self.rate);
        let over = now.saturating_sub(rate.since);
        if over >= RATE_OVER {
            let done = glance.succeeded.saturating_sub(rate.succeeded);
            rate.per_second = done as f64 / over.as_secs_f64();
            rate.since = now;
            rate.succeeded = glance.succeeded;
        }
        let state = if glance.state.is_empty() { "-" } else { &glance.state };
        let failed = match glance.failed {
            0 => String::new(),
            n => format!(" · {n} failed"),
        };
        let text = format!(
            "{:>5.0}/s · {} waiting{failed} · connection {state} · {}",
            rate.per_second,
            glance.open,
            lock(&self.phase)
        );
        if let Some(bar) = &self.bar {
            bar.set_position(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
            bar.set_message(text);
        } else if now.saturating_sub(rate.last_plain) >= PLAIN_EVERY {
            rate.last_plain = now;
            eprintln!("{:>8.2} s  {text}", now.as_secs_f64());
        }
    }

    /// Takes the bar away; what was noted stays.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}
