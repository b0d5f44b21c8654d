//! The first views. All seeds are asked, and before one is believed the others have a moment to contradict it: two clusters in one list would otherwise be
//! told apart by who answers first.

use std::time::Duration;

use super::super::informants::tried;
use super::view::Owner;
use crate::config::Endpoint;
use crate::time::Time;

/// How long the others have, from the first view on.
const MOMENT: Duration = Duration::from_millis(200);

/// What follows from what the seeds have said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Take(u64, Vec<Owner>),
    /// Others may still answer.
    Wait(Time),
    /// None can be used; what was tried.
    None(String),
}

#[derive(Debug)]
struct View {
    of: Endpoint,
    epoch: u64,
    owners: Vec<Owner>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Views {
    views: Vec<View>,
    failures: Vec<(Endpoint, String)>,
    first: Option<Time>,
}

impl Views {
    pub(super) fn note(&mut self, now: Time, of: &Endpoint, epoch: u64, owners: Vec<Owner>) {
        self.first.get_or_insert(now);
        self.failures.retain(|(its, _)| its != of);
        self.views.retain(|view| view.of != *of);
        self.views.push(View { of: of.clone(), epoch, owners });
    }

    pub(super) fn note_failure(&mut self, of: &Endpoint, text: String) {
        self.failures.retain(|(its, _)| its != of);
        self.views.retain(|view| view.of != *of);
        self.failures.push((of.clone(), text));
    }

    pub(super) fn verdict(&mut self, now: Time, seeds: &[Endpoint]) -> Verdict {
        if self.views.is_empty() {
            if self.failures.is_empty() {
                return Verdict::Wait(Time::NEVER);
            }
            let failure = |seed| {
                let found = self.failures.iter().find(|(of, _)| of == seed);
                found.map(|(_, text)| text.as_str())
            };
            let tried = tried(seeds.iter().map(|seed| (seed, failure(seed))));
            return Verdict::None(format!("no node of the cluster has told its slots ({tried})"));
        }
        let are_all_heard = self.views.len() + self.failures.len() >= seeds.len();
        let until = self.first.unwrap_or(now) + MOMENT;
        if !are_all_heard && now < until {
            return Verdict::Wait(until);
        }
        if let Some(text) = self.conflict() {
            return Verdict::None(text);
        }
        let newest = self.views.iter().enumerate().max_by_key(|(_, view)| view.epoch);
        let Some(at) = newest.map(|(at, _)| at) else { return Verdict::Wait(Time::NEVER) };
        let View { epoch, owners, .. } = self.views.swap_remove(at);
        *self = Self::default();
        Verdict::Take(epoch, owners)
    }

    /// Two views that have no node in common are of two clusters.
    fn conflict(&self) -> Option<String> {
        let (first, others) = self.views.split_first()?;
        let names = |view: &View| -> Vec<String> {
            let members = view
                .owners
                .iter()
                .flat_map(|owner| std::iter::once(&owner.primary).chain(&owner.replicas));
            members.map(|member| member.id.clone()).collect()
        };
        let known = names(first);
        let stranger = others.iter().find(|view| {
            names(view).iter().all(|name| !known.contains(name))
                && !known.iter().all(String::is_empty)
        })?;
        Some(format!(
            "{} and {} are of two clusters, which have no node in common: name the nodes of one",
            first.of, stranger.of
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::Member;
    use super::*;

    fn endpoint(name: &str) -> Endpoint {
        Endpoint::Tcp { host: name.to_owned(), port: 1 }
    }

    fn owners(name: &str) -> Vec<Owner> {
        let primary = Member { id: name.to_owned(), endpoint: endpoint(name) };
        vec![Owner { primary, replicas: Vec::new(), ranges: vec![(0, 16_383)] }]
    }

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    #[test]
    fn the_newest_view_is_taken_when_all_have_spoken_or_had_a_moment() {
        let seeds = [endpoint("a"), endpoint("b")];
        let mut views = Views::default();
        assert_eq!(views.verdict(at(0), &seeds), Verdict::Wait(Time::NEVER));
        views.note(at(5), &seeds[0], 3, owners("a"));
        assert_eq!(views.verdict(at(5), &seeds), Verdict::Wait(at(205)));
        views.note(at(6), &seeds[1], 4, owners("a"));
        assert_eq!(views.verdict(at(6), &seeds), Verdict::Take(4, owners("a")));
        views.note(at(10), &seeds[0], 3, owners("a"));
        assert_eq!(views.verdict(at(210), &seeds), Verdict::Take(3, owners("a")));
        views.note(at(10), &seeds[0], 3, owners("a"));
        views.note_failure(&seeds[1], "refused".to_owned());
        assert_eq!(views.verdict(at(11), &seeds), Verdict::Take(3, owners("a")));
    }

    #[test]
    fn what_was_tried_and_two_clusters_are_told() {
        let seeds = [endpoint("a"), endpoint("b")];
        let mut views = Views::default();
        views.note_failure(&seeds[0], "refused".to_owned());
        let Verdict::None(text) = views.verdict(at(1), &seeds) else { panic!() };
        assert!(text.contains("a:1: refused; b:1: no answer yet"), "{text}");
        views.note(at(2), &seeds[0], 1, owners("a"));
        views.note(at(2), &seeds[1], 9, owners("b"));
        let Verdict::None(text) = views.verdict(at(3), &seeds) else { panic!() };
        assert!(text.contains("two clusters") && text.contains("a:1") && text.contains("b:1"));
    }
}
