//! Who probes an endpoint on behalf of a process: a thousand clients of a server that sleeps must not fill its backlog.
//!
//! The first to ask leads; the others wait for what it finds, and the next of them leads when it stops. `M` names a link of a client.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::Endpoint;
use crate::time::Time;

/// Members ask again this often while they suspect: a leader to show that it goes on, the others because it may not.
pub(crate) const ASK_AGAIN_EVERY: Duration = Duration::from_secs(1);

/// A leader that has not asked for this long does not lead: its runtime stands still, and the others' need not.
const LEADS_FOR: Duration = Duration::from_millis(2500);

/// The links that suspect their connections, by endpoint, with the moment at which each last asked; the first of each leads.
#[derive(Debug)]
pub struct Board<M>(HashMap<Endpoint, Vec<(M, Time)>>);

impl<M> Default for Board<M> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<M: Clone + PartialEq> Board<M> {
    /// A link wants to probe, or to go on: true if it may, false if another does already.
    pub fn join(&mut self, endpoint: &Endpoint, member: M, now: Time) -> bool {
        let members = self.0.entry(endpoint.clone()).or_default();
        match members.iter_mut().find(|(other, _)| *other == member) {
            Some((_, asked)) => *asked = now,
            None => members.push((member.clone(), now)),
        }
        // The one that asks has asked just now, so this ends with it at the latest.
        while members.first().is_some_and(|(_, asked)| now.since(*asked) > LEADS_FOR) {
            members.rotate_left(1);
        }
        members.first().is_some_and(|(first, _)| *first == member)
    }

    /// A link stops. Gives the one that leads from now on, if that changed.
    pub fn leave(&mut self, endpoint: &Endpoint, member: &M) -> Option<M> {
        let members = self.0.get_mut(endpoint)?;
        let led = members.first().is_some_and(|(first, _)| first == member);
        members.retain(|(other, _)| other != member);
        let next = members.first().map(|(next, _)| next.clone());
        if next.is_none() {
            self.0.remove(endpoint);
        }
        next.filter(|_| led)
    }

    /// Removes everything of which this holds: a client is gone. Gives the new leaders.
    pub fn remove(&mut self, mut gone: impl FnMut(&M) -> bool) -> Vec<M> {
        let mut leaders = Vec::new();
        self.0.retain(|_, members| {
            let led = members.first().is_some_and(|(first, _)| gone(first));
            members.retain(|(member, _)| !gone(member));
            leaders.extend(members.first().filter(|_| led).map(|(next, _)| next.clone()));
            !members.is_empty()
        });
        leaders
    }

    /// Those who wait for what the leader finds.
    pub fn followers(&self, endpoint: &Endpoint) -> impl Iterator<Item = &M> {
        let members = self.0.get(endpoint).into_iter().flatten();
        members.skip(1).map(|(member, _)| member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::Tcp { host: "h".into(), port: 1 }
    }

    #[test]
    fn one_leads_the_others_follow_and_the_oldest_of_them_succeeds() {
        let mut board = Board::default();
        let now = Time::default();
        assert!(board.join(&endpoint(), 1, now));
        assert!(!board.join(&endpoint(), 2, now));
        assert!(!board.join(&endpoint(), 3, now));
        assert!(board.join(&endpoint(), 1, now), "asking again changes nothing");
        assert_eq!(board.followers(&endpoint()).copied().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(board.leave(&endpoint(), &2), None);
        assert_eq!(board.leave(&endpoint(), &1), Some(3));
        assert_eq!(board.remove(|member| *member == 3), Vec::<i32>::new());
        assert!(board.join(&endpoint(), 2, now));
    }

    #[test]
    fn a_leader_that_stands_still_is_followed_by_one_that_does_not() {
        let mut board = Board::default();
        let at = |secs: u64| Time::from_micros(secs * 1_000_000);
        assert!(board.join(&endpoint(), 1, at(0)));
        assert!(!board.join(&endpoint(), 2, at(0)));
        assert!(!board.join(&endpoint(), 3, at(1)));
        assert!(!board.join(&endpoint(), 3, at(2)));
        assert!(board.join(&endpoint(), 3, at(3)), "neither 1 nor 2 has asked for three seconds");
        assert!(!board.join(&endpoint(), 1, at(4)), "it woke, and follows");
        assert!(board.join(&endpoint(), 3, at(5)));
    }
}
