//! Who probes an endpoint on behalf of a process: a thousand clients of a server that sleeps must not fill its backlog.
//!
//! The first to ask leads; the others wait for what it finds, and the next of them leads when it stops. `M` names a link of a client.

use std::collections::HashMap;

use crate::config::Endpoint;

/// The links that suspect their connections, by endpoint; the first of each leads.
#[derive(Debug)]
pub struct Board<M>(HashMap<Endpoint, Vec<M>>);

impl<M> Default for Board<M> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<M: Clone + PartialEq> Board<M> {
    /// A link wants to probe: true if it may, false if another does already.
    pub fn join(&mut self, endpoint: &Endpoint, member: M) -> bool {
        let members = self.0.entry(endpoint.clone()).or_default();
        if !members.contains(&member) {
            members.push(member.clone());
        }
        members.first() == Some(&member)
    }

    /// A link stops. Gives the one that leads from now on, if that changed.
    pub fn leave(&mut self, endpoint: &Endpoint, member: &M) -> Option<M> {
        let members = self.0.get_mut(endpoint)?;
        let led = members.first() == Some(member);
        members.retain(|other| other != member);
        let next = members.first().cloned();
        if next.is_none() {
            self.0.remove(endpoint);
        }
        next.filter(|_| led)
    }

    /// Removes everything of which this holds: a client is gone. Gives the new leaders.
    pub fn remove(&mut self, mut gone: impl FnMut(&M) -> bool) -> Vec<M> {
        let mut leaders = Vec::new();
        self.0.retain(|_, members| {
            let led = members.first().is_some_and(&mut gone);
            members.retain(|member| !gone(member));
            leaders.extend(members.first().filter(|_| led).cloned());
            !members.is_empty()
        });
        leaders
    }

    /// Those who wait for what the leader finds.
    pub fn followers(&self, endpoint: &Endpoint) -> impl Iterator<Item = &M> {
        self.0.get(endpoint).into_iter().flat_map(|members| members.iter().skip(1))
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
        assert!(board.join(&endpoint(), 1));
        assert!(!board.join(&endpoint(), 2));
        assert!(!board.join(&endpoint(), 3));
        assert!(board.join(&endpoint(), 1), "asking again changes nothing");
        assert_eq!(board.followers(&endpoint()).copied().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(board.leave(&endpoint(), &2), None);
        assert_eq!(board.leave(&endpoint(), &1), Some(3));
        assert_eq!(board.remove(|member| *member == 3), Vec::<i32>::new());
        assert!(board.join(&endpoint(), 2));
    }
}
