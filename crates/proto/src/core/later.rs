//! Requests that servers could not settle for now, until they are tried again: sent in circles, or refused while slots move or have no owner. They count as
//! the offline queue does, since they wait like what is in it.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::config::QueueLimits;
use crate::link::detours::Detour;
use crate::time::Time;

/// What is put off is looked at this often: a thousand that wait for a cluster to come back are not a thousand timers.
const TOGETHER: Duration = Duration::from_millis(10);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Later<T> {
    /// With the moment of the next try.
    waiting: Vec<(Time, Detour<T>)>,
    bytes: usize,
    /// No later than the first of them is due.
    next: Time,
}

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self { waiting: Vec::new(), bytes: 0, next: Time::NEVER }
    }
}

impl<T: Copy> Later<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When [`Self::take_due`] has something to do at the latest.
    pub(super) const fn next(&self) -> Time {
        self.next
    }

    /// Why there is no room for one of so many bytes, if there is none.
    pub(super) fn refusal(&self, bytes: usize, limits: &QueueLimits) -> Option<String> {
        let count = self.waiting.len();
        (count >= limits.commands || self.bytes + bytes > limits.bytes).then(|| {
            format!(
                "too many commands wait for servers that refuse them for now ({count} commands, {} bytes)",
                self.bytes
            )
        })
    }

    pub(super) fn push(&mut self, at: Time, detour: Detour<T>) {
        let at = at.next_multiple_of(TOGETHER);
        self.next = self.next.min(at).min(detour.entry.deadline);
        self.bytes += detour.body.len();
        self.waiting.push((at, detour));
    }

    /// What is to be tried again, or has waited until its deadline.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<Detour<T>> {
        if self.next > now {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (at, detour) in std::mem::take(self).waiting {
            if at.min(detour.entry.deadline) <= now {
                due.push(detour);
            } else {
                self.push(at, detour);
            }
        }
        due
    }

    /// Nobody waits for this one any more.
    pub(super) fn abandon(&mut self, request: NonZeroU64) {
        let is_it = |(_, detour): &(Time, Detour<T>)| detour.entry.seq == request;
        if let Some(at) = self.waiting.iter().position(is_it) {
            let (_, detour) = self.waiting.remove(at);
            self.bytes -= detour.body.len();
        }
    }

    /// All of them.
    pub(super) fn take_all(&mut self) -> Vec<Detour<T>> {
        std::mem::take(self).waiting.into_iter().map(|(_, detour)| detour).collect()
    }
}
