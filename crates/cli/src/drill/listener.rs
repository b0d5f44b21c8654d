//! The client under load listens to numbered messages, too: what it heard, what it missed, and whether it said so.
//!
//! The messages are published past the wire, on the server that the endpoint leads to. Whether a figure is a failure is
//! [`verdict`](super::verdict)'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use redial_lab::{Lab, Reply};
use serde::Serialize;

use super::clock::{Clock, millis};
use super::load::Load;
use super::observer::Observer;
use super::protocol::Line;

const CHANNEL: &str = "drill-news";
/// The resolution of what is learnt here.
const EVERY: Duration = Duration::from_millis(10);
/// A server that does not answer must not hold the publisher up for long.
const PATIENCE: Duration = Duration::from_millis(100);
/// What was published last is heard within this, on a loaded machine too.
const STRAGGLERS: Duration = Duration::from_millis(500);

/// What the listening client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Message(usize),
    /// It told of an interruption, or of its end.
    Gap,
}

impl Said {
    pub(crate) fn of(line: &Line) -> Option<Self> {
        match line {
            Line::Message { payload } => payload.parse().ok().map(Self::Message),
            Line::State { state, .. } if state == "interrupted" || state == "resumed" => {
                Some(Self::Gap)
            }
            _ => None,
        }
    }
}

/// All that it said, and when.
pub(crate) type Sayings = Vec<(Duration, Said)>;
/// When each message was published; `None` if the server did not say so.
type Published = Vec<Option<Duration>>;

/// What one client heard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Listened {
    /// From the first one that was heard to the last that was published.
    pub(crate) published: usize,
    pub(crate) heard: usize,
    pub(crate) heard_twice: usize,
    pub(crate) missed: usize,
    /// Of those, how many lie between two messages with no word of an interruption between them.
    pub(crate) missed_silently: usize,
    /// For each time that the endpoint accepted writes again: from then to the first message heard that was published later.
    pub(crate) back_ms: Vec<Option<f64>>,
}

/// The client under load, and the publisher's thread.
#[derive(Debug)]
pub(crate) struct Listener {
    load: Arc<Load>,
    over: Arc<AtomicBool>,
    publisher: Option<thread::JoinHandle<Published>>,
}

impl Listener {
    /// Has the client listen, and publishes.
    pub(crate) fn start(
        lab: &Arc<Lab>,
        observer: &Arc<Observer>,
        clock: Clock,
        load: &Arc<Load>,
    ) -> Self {
        load.listen(CHANNEL);
        let over: Arc<AtomicBool> = Arc::default();
        let (lab, observer, ends) = (Arc::clone(lab), Arc::clone(observer), Arc::clone(&over));
        let publisher = thread::spawn(move || publish(&lab, &observer, clock, &ends));
        Self { load: Arc::clone(load), over, publisher: Some(publisher) }
    }

    /// Whether anything was heard yet.
    pub(crate) fn hears(&self) -> bool {
        !self.load.said().is_empty()
    }

    /// Ends it. `switches` are the times at which the endpoint accepted writes again, and where their effect ends.
    pub(crate) fn finish(mut self, switches: &[(Duration, Duration)]) -> Listened {
        self.over.store(true, Ordering::Relaxed);
        let published = self.publisher.take().and_then(|thread| thread.join().ok());
        thread::sleep(STRAGGLERS);
        compare(&published.unwrap_or_default(), &self.load.said(), switches)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn publish(lab: &Lab, observer: &Observer, clock: Clock, over: &AtomicBool) -> Published {
    let mut published = Published::new();
    while !over.load(Ordering::Relaxed) {
        if let Some(host) = lab.endpoint().filter(|host| !observer.is_frozen(*host)) {
            let at = clock.now();
            let number = published.len().to_string();
            let reply = lab.server(host).command_within(&["PUBLISH", CHANNEL, &number], PATIENCE);
            published.push(matches!(reply, Ok(Reply::Int(_))).then_some(at));
        }
        thread::sleep(EVERY);
    }
    published
}

fn compare(published: &Published, said: &Sayings, switches: &[(Duration, Duration)]) -> Listened {
    let mut times = vec![0_usize; published.len()];
    let mut first = None;
    let mut next = 0;
    let mut told = false;
    let mut silently = 0;
    let unheard = |from: usize, to: usize| {
        published.get(from..to).unwrap_or_default().iter().flatten().count()
    };
    for (_, what) in said {
        let Said::Message(number) = *what else {
            told = true;
            continue;
        };
        if let Some(times) = times.get_mut(number) {
            *times += 1;
        }
        if first.is_none() {
            (first, next) = (Some(number), number);
        }
        if !told {
            silently += unheard(next, number);
        }
        told = false;
        next = next.max(number + 1);
    }
    let first = first.unwrap_or(published.len());
    let counted = times.iter().zip(published).skip(first);
    let missed = counted.filter(|(times, at)| **times == 0 && at.is_some()).count();
    Listened {
        published: published.iter().skip(first).flatten().count(),
        heard: times.iter().filter(|times| **times > 0).count(),
        heard_twice: times.iter().map(|times| times.saturating_sub(1)).sum(),
        missed,
        missed_silently: silently + if told { 0 } else { unheard(next, published.len()) },
        back_ms: switches.iter().map(|switch| back_after(published, said, *switch)).collect(),
    }
}

/// How long after `from` something was heard that was published after it.
fn back_after(
    published: &Published,
    said: &Sayings,
    (from, until): (Duration, Duration),
) -> Option<f64> {
    let is_later = |what: &Said| match what {
        Said::Message(number) => {
            published.get(*number).copied().flatten().is_some_and(|at| at >= from)
        }
        Said::Gap => false,
    };
    let heard = said.iter().find(|(at, what)| *at >= from && is_later(what));
    heard.map(|(at, _)| *at).filter(|at| *at < until).map(|at| millis(at - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Ten messages, one each 10 ms, of which number 5 was not confirmed.
    fn listened(said: &[Said]) -> Listened {
        let published = (0..10).map(|n| (n != 5).then_some(ms(n * 10))).collect();
        let said = (0..).map(|n| ms(n * 10 + 1)).zip(said.iter().copied()).collect();
        compare(&published, &said, &[(ms(60), ms(1000))])
    }

    fn all(numbers: impl IntoIterator<Item = usize>) -> Vec<Said> {
        numbers.into_iter().map(Said::Message).collect()
    }

    #[test]
    fn who_hears_everything_misses_nothing() {
        let heard = listened(&all(0..10));
        assert_eq!((heard.published, heard.missed, heard.missed_silently), (9, 0, 0));
        assert_eq!((heard.heard_twice, heard.back_ms), (0, vec![Some(1.0)]));
        assert_eq!(listened(&all(3..10)).missed, 0, "it did not listen yet");
    }

    #[test]
    fn what_is_missed_counts_as_silence_unless_a_gap_was_told() {
        let silent = listened(&all([0, 1, 2, 7, 8, 9]));
        assert_eq!((silent.missed, silent.missed_silently), (3, 3), "5 was not published");
        let mut told = all([0, 1, 2, 7, 8, 9]);
        told.insert(3, Said::Gap);
        let told = listened(&told);
        assert_eq!((told.missed, told.missed_silently), (3, 0));
        let never_back = listened(&all([0, 1, 2]));
        assert_eq!((never_back.missed_silently, never_back.back_ms), (6, vec![None]));
    }

    #[test]
    fn a_message_that_comes_twice_is_counted() {
        assert_eq!(listened(&all([0, 1, 2, 2, 3, 4, 6, 7, 8, 9])).heard_twice, 1);
    }
}
