//! What the callers do and what became of it: the workload without processes, threads or clock.
//!
//! Each caller is a closed loop over four steps with a token that is never used again: RPUSH to a
//! list of its own, INCR of its own counter, SET of a new key, GET of that key. So every loss and
//! every repetition shows exactly in the servers' data. What it means is [`audit`](super::audit)'s.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::time::Duration;

use super::protocol::Outcome;

/// One command of a caller's round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Push,
    Incr,
    Set,
    Get,
    /// The one large SET of `slow --variant upload`; belongs to no caller.
    Upload,
}

impl Step {
    fn next(self) -> Self {
        match self {
            Self::Push => Self::Incr,
            Self::Incr => Self::Set,
            Self::Set => Self::Get,
            Self::Get | Self::Upload => Self::Push,
        }
    }

    pub(crate) fn is_write(self) -> bool {
        self != Self::Get
    }
}

/// One command: who issued it when, and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) caller: usize,
    /// The caller's round; with the caller it makes the token.
    pub(crate) round: u32,
    pub(crate) step: Step,
    pub(crate) issued: Duration,
    pub(crate) settled: Option<Settled>,
}

#[derive(Debug, Clone)]
pub(crate) struct Settled {
    pub(crate) at: Duration,
    pub(crate) outcome: Outcome,
}

impl Record {
    /// When the command succeeded, if it did.
    pub(crate) fn succeeded_at(&self) -> Option<Duration> {
        match &self.settled {
            Some(Settled { at, outcome: Outcome::Ok(_) }) => Some(*at),
            _ => None,
        }
    }
}

/// The value that a caller writes in a round, never used again.
pub(crate) fn token(caller: usize, round: u32) -> String {
    format!("t{caller}-{round}")
}

/// The caller and round of a token.
pub(crate) fn parse_token(token: &str) -> Option<(usize, u32)> {
    let (caller, round) = token.strip_prefix('t')?.split_once('-')?;
    Some((caller.parse().ok()?, round.parse().ok()?))
}

/// All keys of a caller have one tag, so that in a cluster they have one slot.
pub(crate) fn list_key(caller: usize) -> String {
    format!("list:{{{caller}}}")
}

pub(crate) fn counter_key(caller: usize) -> String {
    format!("count:{{{caller}}}")
}

pub(crate) fn value_key(caller: usize, round: u32) -> String {
    format!("key:{{{caller}}}-{round}")
}

/// A reply that answers no open command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stray {
    /// The id was never used.
    NeverIssued,
    /// The command was answered before.
    Again,
}

/// The processes over which the callers are spread, and how many clients each of them has. Callers of the
/// same client share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) processes: usize,
    pub(crate) clients: usize,
}

impl Spread {
    /// One client in one process, shared by all.
    pub(crate) const ONE: Self = Self { processes: 1, clients: 1 };

    /// The caller's process, and its client there.
    fn place(self, caller: usize) -> (usize, usize) {
        let place = caller % (self.processes * self.clients);
        (place / self.clients, place % self.clients)
    }
}

/// All callers and all records.
#[derive(Debug)]
pub(crate) struct Workload {
    spread: Spread,
    records: Vec<Record>,
    /// When each caller that is not waiting for a reply issues its next step.
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    /// Each caller's next step and round.
    next: Vec<(Step, u32)>,
    pause: Duration,
    rng: fastrand::Rng,
    open: usize,
    succeeded: usize,
    failed: usize,
    stopped: bool,
}

impl Workload {
    /// `callers` callers, each pausing `pause` (jittered by a half either way) between a reply and
    /// its next command; their first commands are spread over one pause.
    pub(crate) fn new(
        spread: Spread,
        callers: usize,
        pause: Duration,
        start: Duration,
        seed: u64,
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let due = (0..callers)
            .map(|caller| Reverse((start + pause.mul_f64(rng.f64()), caller)))
            .collect();
        Self {
            spread,
            records: Vec::new(),
            due,
            next: vec![(Step::Push, 0); callers],
            pause,
            rng,
            open: 0,
            succeeded: 0,
            failed: 0,
            stopped: false,
        }
    }

    /// When [`issue_due`](Self::issue_due) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        if self.stopped { None } else { self.due.peek().map(|Reverse((at, _))| *at) }
    }

    /// Appends the lines of all commands that are due to those of their process.
    pub(crate) fn issue_due(&mut self, now: Duration, lines: &mut [String]) {
        while self.next_due().is_some_and(|at| at <= now) {
            let Some(Reverse((_, caller))) = self.due.pop() else { return };
            let (step, round) = self.next[caller];
            let (process, client) = self.spread.place(caller);
            let Some(lines) = lines.get_mut(process) else { return };
            let id = self.record(caller, round, step, now) * self.spread.clients + client;
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Push | Step::Upload => {
                    writeln!(lines, "c {id} RPUSH {} {}", list_key(caller), token(caller, round))
                }
                Step::Incr => writeln!(lines, "c {id} INCR {}", counter_key(caller)),
                Step::Set => {
                    let key = value_key(caller, round);
                    writeln!(lines, "c {id} SET {key} {}", token(caller, round))
                }
                Step::Get => writeln!(lines, "c {id} GET {}", value_key(caller, round)),
            };
        }
    }

    /// The line of one SET of `bytes` bytes beside the callers.
    pub(crate) fn issue_upload(&mut self, bytes: u64, now: Duration) -> String {
        let id = self.record(usize::MAX, 0, Step::Upload, now) * self.spread.clients;
        format!("u {id} upload {bytes}\n")
    }

    fn record(&mut self, caller: usize, round: u32, step: Step, now: Duration) -> usize {
        self.records.push(Record { caller, round, step, issued: now, settled: None });
        self.open += 1;
        self.records.len() - 1
    }

    /// A command has been answered; its caller goes on after its pause.
    pub(crate) fn settle(
        &mut self,
        id: usize,
        outcome: Outcome,
        now: Duration,
    ) -> Result<(), Stray> {
        let number = id / self.spread.clients;
        let record = self.records.get_mut(number).ok_or(Stray::NeverIssued)?;
        if record.settled.is_some() {
            return Err(Stray::Again);
        }
        match &outcome {
            Outcome::Ok(_) => self.succeeded += 1,
            Outcome::Err { .. } => self.failed += 1,
        }
        record.settled = Some(Settled { at: now, outcome });
        self.open -= 1;
        let (caller, step, round) = (record.caller, record.step, record.round);
        if let Some(next) = self.next.get_mut(caller) {
            let wrapped = u32::from(step == Step::Get);
            *next = (step.next(), round + wrapped);
            let jitter = 0.5 + self.rng.f64();
            self.due.push(Reverse((now + self.pause.mul_f64(jitter), caller)));
        }
        Ok(())
    }

    /// No command is issued from now on; replies are still taken.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// How many commands wait for an answer.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    pub(crate) fn succeeded(&self) -> usize {
        self.succeeded
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    pub(crate) fn callers(&self) -> usize {
        self.next.len()
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ok(value: &str) -> Outcome {
        Outcome::Ok(value.into())
    }

    #[test]
    fn a_caller_goes_through_its_four_steps_and_never_uses_a_token_again() {
        let mut load = Workload::new(Spread::ONE, 1, MS, Duration::ZERO, 1);
        let mut lines = [String::new()];
        for step in 0..8 {
            let now = MS * 10 * (step + 1);
            load.issue_due(now, &mut lines);
            load.settle(step as usize, ok("1"), now).unwrap();
        }
        let wanted = "c 0 RPUSH list:{0} t0-0\nc 1 INCR count:{0}\nc 2 SET key:{0}-0 t0-0\n\
                      c 3 GET key:{0}-0\nc 4 RPUSH list:{0} t0-1\nc 5 INCR count:{0}\n\
                      c 6 SET key:{0}-1 t0-1\nc 7 GET key:{0}-1\n";
        assert_eq!(lines, [wanted]);
    }

    #[test]
    fn callers_of_many_clients_are_known_by_the_ids_of_their_commands() {
        let spread = Spread { processes: 2, clients: 3 };
        let mut load = Workload::new(spread, 6, MS, Duration::ZERO, 1);
        let mut lines = [String::new(), String::new()];
        load.issue_due(MS * 5, &mut lines);
        for (process, lines) in lines.iter().enumerate() {
            assert_eq!(lines.lines().count(), 3);
            for line in lines.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let id: usize = words[1].parse().unwrap();
                assert_eq!(words[2], "RPUSH");
                let caller = parse_token(words[4]).unwrap().0;
                assert_eq!((caller / 3, caller % 3), (process, id % 3), "{line}");
                load.settle(id, ok("1"), MS * 6).unwrap();
            }
        }
        assert_eq!((load.open(), load.succeeded()), (0, 6));
    }

    #[test]
    fn a_caller_waits_for_its_reply_before_it_goes_on() {
        let mut load = Workload::new(Spread::ONE, 3, MS, Duration::ZERO, 1);
        let mut lines = [String::new()];
        load.issue_due(MS * 5, &mut lines);
        assert_eq!((lines[0].lines().count(), load.open()), (3, 3));
        load.issue_due(MS * 500, &mut lines);
        assert_eq!(lines[0].lines().count(), 3, "all three wait");
        assert_eq!(load.next_due(), None);
        load.settle(1, ok("1"), MS * 500).unwrap();
        load.issue_due(MS * 510, &mut lines);
        assert_eq!(lines[0].lines().count(), 4);
    }

    #[test]
    fn the_pause_is_jittered_within_half_of_itself() {
        let pause = MS * 20;
        let mut load = Workload::new(Spread::ONE, 200, pause, Duration::ZERO, 7);
        let mut lines = [String::new()];
        load.issue_due(pause, &mut lines);
        for id in 0..200 {
            load.settle(id, ok("1"), MS * 100).unwrap();
        }
        let earliest = load.next_due().unwrap();
        assert!(earliest >= MS * 110 && earliest < MS * 112, "{earliest:?}");
        load.issue_due(MS * 130, &mut lines);
        assert_eq!(lines[0].lines().count(), 400, "nobody pauses longer than 1.5 times");
    }

    #[test]
    fn stray_replies_are_told_apart_and_change_nothing() {
        let mut load = Workload::new(Spread::ONE, 1, MS, Duration::ZERO, 1);
        load.issue_due(MS, &mut [String::new()]);
        assert_eq!(load.settle(9, ok("1"), MS), Err(Stray::NeverIssued));
        load.settle(0, ok("1"), MS).unwrap();
        assert_eq!(load.settle(0, ok("2"), MS), Err(Stray::Again));
        assert_eq!((load.open(), load.succeeded(), load.failed()), (0, 1, 0));
    }

    #[test]
    fn after_stop_replies_are_taken_and_nothing_is_issued() {
        let mut load = Workload::new(Spread::ONE, 2, MS, Duration::ZERO, 1);
        let mut lines = [String::new()];
        load.issue_due(MS, &mut lines);
        load.stop();
        load.settle(0, ok("1"), MS * 2).unwrap();
        load.issue_due(MS * 100, &mut lines);
        assert_eq!((lines[0].lines().count(), load.open()), (2, 1));
    }

    #[test]
    fn tokens_name_their_caller_and_round() {
        assert_eq!(parse_token(&token(12, 345)), Some((12, 345)));
        for not in ["", "t", "t1", "t1-", "x1-2", "t1-2-3", "t-1"] {
            assert_eq!(parse_token(not), None, "{not}");
        }
    }
}
