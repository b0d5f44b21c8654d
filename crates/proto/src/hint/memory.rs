//! What a client remembers of hints, all its links together: which it has heard, how many lately, and until when silence is explained.
//!
//! Each bound here is for the hint that is wrong, late, repeated, or a lie: then it costs a little patience and some dials, and no more.

use std::collections::VecDeque;
use std::mem::Discriminant;
use std::time::Duration;

use super::Maintenance;
use super::push::Announced;
use crate::ids::LinkId;
use crate::time::Time;

/// An announcement explains silence for so long at the most. Failovers take 10 to 15 s; what takes twice as long has gone wrong, and is to be
/// noticed as it would be without a word.
const LONGEST_RELAXATION: Duration = Duration::from_secs(30);

/// While silence is explained, it is suspicious after this long. Suspicion costs nobody a command, so this only spares a busy server the dials; a
/// path that is dead is noticed by the kernel's retransmissions as ever.
const SUSPECT_AFTER: Duration = Duration::from_secs(2);

/// The same for silence that condemns. An announcement is no licence for ever: it may come over another connection.
const CONDEMN_AFTER: Duration = Duration::from_secs(30);

/// The same for the client's usual deadline, where it is shorter: what other clients take for announced maintenance. A deadline that a request was
/// given for itself stays.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The same announcement comes over each connection, and again to a connection that is made meanwhile.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// Hints in ten seconds that are listened to. A failover has four; each listener of events has room for 64.
const MOST: u32 = 32;
const MOST_IN: Duration = Duration::from_secs(10);

/// Whether a hint is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    New,
    /// Another link has heard it.
    HeardElsewhere,
    /// This link has heard it, or the server says too much.
    Old,
}

#[derive(Debug)]
struct Heard {
    at: Time,
    link: LinkId,
    kind: Discriminant<Maintenance>,
    seq: i64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    relaxed_until: Time,
    heard: VecDeque<Heard>,
    /// When counting began, and how many came since.
    counted: (Time, u32),
}

impl Hints {
    /// Notes a hint that a link has heard.
    pub(crate) fn note(&mut self, now: Time, link: LinkId, hint: &Announced) -> News {
        if !self.admit(now) {
            return News::Old;
        }
        let Some(seq) = hint.seq else { return News::New };
        while self.heard.front().is_some_and(|heard| now.since(heard.at) >= REMEMBERED_FOR) {
            self.heard.pop_front();
        }
        let kind = std::mem::discriminant(&hint.what);
        let mut news = News::New;
        for heard in self.heard.iter().filter(|heard| heard.kind == kind && heard.seq == seq) {
            if heard.link == link {
                return News::Old;
            }
            news = News::HeardElsewhere;
        }
        self.heard.push_back(Heard { at: now, link, kind, seq });
        news
    }

    /// Whether a further hint, or a word about one that makes no sense, is not one too many.
    pub(crate) fn admit(&mut self, now: Time) -> bool {
        if now.since(self.counted.0) >= MOST_IN {
            self.counted = (now, 0);
        }
        self.counted.1 += 1;
        self.counted.1 <= MOST
    }

    /// Silence is explained for so long.
    pub(crate) fn relax(&mut self, now: Time, within: Duration) {
        self.relaxed_until = self.relaxed_until.max(now + within.min(LONGEST_RELAXATION));
    }

    /// It is not any more.
    pub(crate) const fn end_relaxation(&mut self) {
        self.relaxed_until = Time::from_micros(0);
    }

    fn at_least(&self, now: Time, floor: Duration, usual: Duration) -> Duration {
        if now < self.relaxed_until { usual.max(floor) } else { usual }
    }

    pub(crate) fn suspect_after(&self, now: Time, usual: Duration) -> Duration {
        self.at_least(now, SUSPECT_AFTER, usual)
    }

    pub(crate) fn condemn_after(&self, now: Time, usual: Duration) -> Duration {
        self.at_least(now, CONDEMN_AFTER, usual)
    }

    #[inline]
    pub(crate) fn request_timeout(&self, now: Time, usual: Duration) -> Duration {
        self.at_least(now, REQUEST_TIMEOUT, usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn migrated(seq: Option<i64>) -> Announced {
        Announced { seq, what: Maintenance::Migrated { shards: Vec::new() } }
    }

    #[test]
    fn the_same_hint_is_new_once_and_to_another_link_half_new() {
        let (mut hints, one, other) = (Hints::default(), LinkId(0), LinkId(1));
        assert_eq!(hints.note(at(100), one, &migrated(Some(1))), News::New);
        assert_eq!(hints.note(at(100), one, &migrated(Some(1))), News::Old);
        assert_eq!(hints.note(at(101), other, &migrated(Some(1))), News::HeardElsewhere);
        assert_eq!(hints.note(at(101), one, &migrated(Some(2))), News::New);
        let moved =
            Announced { seq: Some(1), what: Maintenance::FailedOver { shards: Vec::new() } };
        assert_eq!(hints.note(at(101), one, &moved), News::New);
        // A server that began anew counts anew.
        assert_eq!(hints.note(at(170), one, &migrated(Some(1))), News::New);
    }

    #[test]
    fn what_has_no_number_is_always_new_until_it_is_too_much() {
        let mut hints = Hints::default();
        for _ in 0..MOST {
            assert_eq!(hints.note(at(100), LinkId(0), &migrated(None)), News::New);
        }
        assert_eq!(hints.note(at(109), LinkId(0), &migrated(None)), News::Old);
        assert_eq!(hints.note(at(110), LinkId(0), &migrated(None)), News::New);
    }

    #[test]
    fn patience_has_a_floor_an_end_and_a_bound() {
        let mut hints = Hints::default();
        assert_eq!(hints.suspect_after(at(5), MS(500)), MS(500));
        hints.relax(at(5), Duration::from_secs(8));
        assert_eq!(hints.suspect_after(at(12), MS(500)), SUSPECT_AFTER);
        assert_eq!(hints.suspect_after(at(12), MS(9000)), MS(9000));
        assert_eq!(hints.condemn_after(at(12), MS(15_000)), CONDEMN_AFTER);
        assert_eq!(hints.request_timeout(at(12), MS(500)), REQUEST_TIMEOUT);
        assert_eq!(hints.suspect_after(at(13), MS(500)), MS(500));
        hints.relax(at(20), Duration::from_secs(3600));
        assert_eq!(hints.suspect_after(at(49), MS(500)), SUSPECT_AFTER);
        assert_eq!(hints.suspect_after(at(50), MS(500)), MS(500));
        hints.relax(at(60), Duration::from_secs(9));
        hints.end_relaxation();
        assert_eq!(hints.suspect_after(at(61), MS(500)), MS(500));
    }
}
