//! A running adapter: its pipes, its first line, and how it ended.
//!
//! Owns the child process and the threads that read it. What its lines mean is the caller's.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::protocol::Line;

/// Interpreters on a loaded machine take seconds to start; no working adapter takes longer.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long an adapter may take to exit once it is told to, before it is killed.
const EXIT_WITHIN: Duration = Duration::from_millis(500);
/// A longer line is rubbish, and must not fill the memory.
const LONGEST_LINE: u64 = 1 << 20;
/// Enough of standard error to tell why an adapter died.
const KEPT_STDERR_LINES: usize = 12;

/// Takes a mutex whose holder may have panicked: what it guards is plain data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of how the adapter's output ended.
#[derive(Debug, Default)]
struct Fate {
    /// Why nothing more will be read; `None` while it speaks.
    ended: Option<String>,
    stderr: VecDeque<String>,
}

/// The client has nothing for such a deployment, as its adapter says: no verdict, and nobody's fault.
#[derive(Debug)]
pub(crate) struct Unable {
    /// Name and version.
    pub(crate) client: String,
    pub(crate) reason: String,
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not able to: {}", self.client, self.reason)
    }
}

impl std::error::Error for Unable {}

/// An adapter that has said `ready`.
#[derive(Debug)]
pub(crate) struct AdapterProcess {
    label: String,
    /// The client's name and version in the adapter's own words.
    pub(crate) client: String,
    pub(crate) version: String,
    child: Child,
    input: Option<ChildStdin>,
    fate: Arc<Mutex<Fate>>,
    readers: Vec<JoinHandle<()>>,
}

impl AdapterProcess {
    /// Takes over a spawned adapter with piped standard streams and waits for its `ready`.
    ///
    /// `on_line` is called on the reader's thread with every line after it, `on_log` with every line
    /// of standard error.
    pub(crate) fn start(
        mut child: Child,
        label: &str,
        on_line: impl FnMut(Line) + Send + 'static,
        mut on_log: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self> {
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(log)) = streams else {
            bail!("the adapter {label} was started without pipes");
        };
        let fate = Arc::new(Mutex::new(Fate::default()));
        let (first, ready) = mpsc::channel();
        let reader_fate = Arc::clone(&fate);
        let reader = thread::spawn(move || {
            let why = read_lines(output, &first, on_line);
            lock(&reader_fate).ended = Some(why);
        });
        let log_fate = Arc::clone(&fate);
        let logger = thread::spawn(move || {
            let _ = each_line(log, |line| {
                on_log(line);
                let mut fate = lock(&log_fate);
                fate.stderr.push_back(line.to_owned());
                if fate.stderr.len() > KEPT_STDERR_LINES {
                    fate.stderr.pop_front();
                }
                true
            });
        });
        let mut process = Self {
            label: label.to_owned(),
            client: String::new(),
            version: String::new(),
            child,
            input: Some(input),
            fate,
            readers: vec![reader, logger],
        };
        match ready.recv_timeout(READY_WITHIN) {
            Ok(Ok(Line::Ready { name, version })) => {
                process.client = name;
                process.version = version;
                Ok(process)
            }
            Ok(Ok(Line::Unable { name, version, reason })) => {
                Err(Unable { client: format!("{name} {version}"), reason }.into())
            }
            Ok(Err(why)) => Err(anyhow!("the adapter {label} {why}{}", process.last_words())),
            _ => Err(anyhow!(
                "the adapter {label} did not say `ready NAME VERSION` within {} s{}",
                READY_WITHIN.as_secs(),
                process.last_words()
            )),
        }
    }

    /// A handle to write to; one writer only, so that lines are not interleaved.
    pub(crate) fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// Writes lines. An adapter that is gone is no error here: [`check`](Self::check) says so.
    pub(crate) fn send(&mut self, lines: &str) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(lines.as_bytes()).and_then(|()| input.flush());
        }
    }

    /// An error if the adapter has stopped speaking, saying why.
    pub(crate) fn check(&mut self) -> Result<()> {
        let ended = lock(&self.fate).ended.clone();
        match ended {
            None => Ok(()),
            Some(why) => {
                let last_words = self.last_words();
                bail!("the adapter {} {why}{last_words}", self.label)
            }
        }
    }

    /// Its exit status if it has exited, and the end of its standard error.
    fn last_words(&mut self) -> String {
        let grace = Instant::now();
        let mut status = self.child.try_wait();
        // Its last words are read when the readers are through.
        while !(matches!(status, Ok(Some(_))) && self.readers.iter().all(JoinHandle::is_finished))
            && grace.elapsed() < EXIT_WITHIN
        {
            thread::sleep(Duration::from_millis(10));
            status = self.child.try_wait();
        }
        let mut words = match status {
            Ok(Some(status)) => format!(" ({status})"),
            _ => String::new(),
        };
        let fate = lock(&self.fate);
        if !fate.stderr.is_empty() {
            words.push_str("\nits last words on standard error:");
            for line in &fate.stderr {
                words.push_str("\n  ");
                words.push_str(line);
            }
        }
        words
    }
}

impl Drop for AdapterProcess {
    fn drop(&mut self) {
        self.send("q\n");
        self.input = None;
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < EXIT_WITHIN {
            thread::sleep(Duration::from_millis(5));
        }
        // It was asked; a client that hangs in its own shutdown must not hang the drill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A grandchild that inherited the pipes may keep the readers: those are not waited for.
        for reader in self.readers.drain(..).filter(JoinHandle::is_finished) {
            let _ = reader.join();
        }
    }
}

/// `ready` or `unable`, or what came instead.
type First = Result<Line, String>;

/// Reads until the end; returns why it ended, as the continuation of "the adapter NAME …".
fn read_lines(
    output: impl Read,
    first: &Sender<First>,
    mut on_line: impl FnMut(Line) + Send,
) -> String {
    let mut ready = false;
    let mut breach = None;
    let read = each_line(output, |text| {
        let line = Line::parse(text);
        if !ready {
            ready = matches!(line, Ok(Line::Ready { .. }));
            return match line {
                Ok(line @ Line::Ready { .. }) => first.send(Ok(line)).is_ok(),
                Ok(line @ Line::Unable { .. }) => {
                    let _ = first.send(Ok(line));
                    false
                }
                _ => {
                    breach = Some(format!(
                        "said `{}` where the protocol wants `ready NAME VERSION` (docs/adapters.md)",
                        excerpt(text)
                    ));
                    false
                }
            };
        }
        match line {
            Ok(line) => {
                on_line(line);
                true
            }
            Err(malformed) => {
                breach = Some(format!(
                    "said `{}` where the protocol wants `{}` (docs/adapters.md)",
                    excerpt(text),
                    malformed.expected
                ));
                false
            }
        }
    });
    let why = match (breach, read) {
        (Some(breach), _) => breach,
        (None, Err(error)) => format!("can't be read any more: {error}"),
        (None, Ok(())) if ready => "ended in the middle of the drill".to_owned(),
        (None, Ok(())) => "ended without having said `ready`".to_owned(),
    };
    if !ready {
        let _ = first.send(Err(why.clone()));
    }
    why
}

/// Calls `take` with each line until it returns false, the stream ends or a line has no end.
fn each_line(stream: impl Read, mut take: impl FnMut(&str) -> bool) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        (&mut stream).take(LONGEST_LINE).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() as u64 == LONGEST_LINE && bytes.last() != Some(&b'\n') {
            return Err(io::Error::other(format!("a line of more than {LONGEST_LINE} bytes")));
        }
        let text = String::from_utf8_lossy(&bytes);
        if !take(text.trim_end_matches(['\n', '\r'])) {
            return Ok(());
        }
    }
}

fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Gives a command the pipes that an adapter is spoken to over.
pub(crate) fn pipe(command: &mut std::process::Command) {
    use std::process::Stdio;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn start(script: &str, on_line: impl FnMut(Line) + Send + 'static) -> Result<AdapterProcess> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        pipe(&mut command);
        AdapterProcess::start(command.spawn().unwrap(), "test", on_line, |_| ())
    }

    fn fails(script: &str) -> String {
        format!("{:#}", start(script, |_| ()).unwrap_err())
    }

    #[test]
    fn an_adapter_is_known_by_its_first_line_and_answers_what_it_is_sent() {
        let (lines, got) = mpsc::channel();
        let script = "echo ready shell 1.0; read word id rest; echo r $id ok $rest; read last";
        let mut process = start(script, move |line| lines.send(line).unwrap()).unwrap();
        assert_eq!((process.client.as_str(), process.version.as_str()), ("shell", "1.0"));
        process.send("c 3 PING\n");
        let line = got.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(line, Line::parse("r 3 ok PING").unwrap());
        assert!(process.check().is_ok());
    }

    #[test]
    fn an_adapter_that_dies_at_once_is_reported_with_its_status_and_last_words() {
        let error = fails("echo 'no such module' >&2; exit 3");
        assert!(error.contains("ended without having said `ready`"), "{error}");
        assert!(error.contains("exit status: 3") && error.contains("no such module"), "{error}");
    }

    #[test]
    fn an_adapter_that_prints_rubbish_first_is_quoted() {
        let error = fails("echo 'Welcome to my program!'; sleep 5");
        assert!(error.contains("said `Welcome to my program!`"), "{error}");
        assert!(error.contains("ready NAME VERSION"), "{error}");
    }

    #[test]
    fn an_adapter_whose_client_can_not_says_so() {
        let error = start("echo unable x 1 no Sentinels; sleep 5", |_| ()).unwrap_err();
        let unable = error.downcast_ref::<Unable>().unwrap();
        assert_eq!((unable.client.as_str(), unable.reason.as_str()), ("x 1", "no Sentinels"));
    }

    #[test]
    fn an_adapter_that_breaks_the_protocol_later_is_quoted_by_check() {
        let mut process = start("echo ready x 1; echo r one ok; sleep 5", |_| ()).unwrap();
        let error = loop {
            if let Err(error) = process.check() {
                break error.to_string();
            }
            thread::yield_now();
        };
        assert!(error.contains("said `r one ok`"), "{error}");
    }

    #[test]
    fn an_endless_line_is_refused_and_not_stored() {
        let error = fails("head -c 3000000 /dev/zero; sleep 5");
        assert!(error.contains("a line of more than"), "{error}");
    }

    #[test]
    fn an_adapter_that_ignores_its_end_is_killed() {
        let process = start("echo ready x 1; trap '' TERM; while :; do sleep 1; done", |_| ());
        let before = Instant::now();
        drop(process.unwrap());
        assert!(before.elapsed() < Duration::from_secs(3));
    }
}
