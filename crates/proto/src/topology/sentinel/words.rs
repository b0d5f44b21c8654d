//! What each Sentinel has said, and whose word counts.
//!
//! Sentinels agree by epochs: who wins an election gets a number that none had before, and a Sentinel that hears of a higher one follows it (redis' sentinel.c,
//! `sentinelProcessHelloMessage`). So the highest epoch is the newest word, whoever says it; one that was cut off with an old primary has an older one. Once
//! nobody has named the present primary for a while, a word of its own epoch counts (it was found, and never confirmed), and a majority's of a lower one (the Sentinels
//! were set up anew).

use std::time::Duration;

use super::super::informants::tried;
use crate::config::Endpoint;
use crate::time::Time;
use crate::topology::NodeId;

/// A word counts for a majority for this long: all are asked every 10 s at least while it matters.
const COUNTS_FOR: Duration = Duration::from_secs(15);

/// How long Sentinels may need to say what others know, or what was found ahead of them: the leader of an election asks the promoted one every second, and the
/// others hear of it every two.
const BEHIND_FOR: Duration = Duration::from_secs(10);

/// A Sentinel that was learned of, and that neither answers nor is listed by others any more, is forgotten after this long. Sentinels themselves never forget one but
/// by SENTINEL RESET, after which they need some seconds to find each other again.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A Sentinel.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) endpoint: Endpoint,
    pub(super) node: NodeId,
    /// Its name for life, once it has told.
    pub(super) id: Option<String>,
    pub(super) said: Said,
    /// Of its last answer to `SENTINEL MASTER`.
    pub(super) epoch: u64,
    /// When it was last listed or answered; never passes for one that is configured.
    seen: Time,
}

impl Known {
    fn is_configured(&self) -> bool {
        self.seen == Time::NEVER
    }

    fn has_answered(&self, now: Time) -> bool {
        matches!(&self.said, Said::Named(_, at) if now.since(*at) < COUNTS_FOR)
    }
}

/// What it said last.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    /// Why it is of no use.
    Failed(String),
    Named(Endpoint, Time),
}

/// Where the primary is.
#[derive(Debug)]
pub(super) struct Primary {
    pub(super) endpoint: Endpoint,
    epoch: u64,
    /// When it was last named, or found.
    confirmed: Time,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) list: Vec<Known>,
    pub(super) primary: Option<Primary>,
    /// Who has led before it, and has not called itself a replica since.
    deposed: Vec<Endpoint>,
}

impl Words {
    pub(super) fn get(&mut self, node: NodeId) -> Option<&mut Known> {
        self.list.iter_mut().find(|known| known.node == node)
    }

    pub(super) fn is_known(&self, node: NodeId) -> bool {
        self.list.iter().any(|known| known.node == node)
    }

    /// What each said is old. Which election was the last is not: one that lags behind may be the first to be asked again.
    pub(super) fn forget(&mut self) {
        for known in &mut self.list {
            known.said = Said::Nothing;
        }
    }

    /// This one is configured.
    pub(super) fn add_seed(&mut self, endpoint: Endpoint, node: NodeId) {
        match self.list.iter_mut().find(|known| known.endpoint == endpoint) {
            Some(known) => known.seen = Time::NEVER,
            None => self.push(Time::NEVER, endpoint, node, None),
        }
    }

    fn push(&mut self, seen: Time, endpoint: Endpoint, node: NodeId, id: Option<String>) {
        self.list.push(Known { endpoint, node, id, said: Said::Nothing, epoch: 0, seen });
    }

    /// Another has told of this one.
    pub(super) fn on_listed(
        &mut self,
        now: Time,
        endpoint: Endpoint,
        node: NodeId,
        id: Option<String>,
    ) {
        if let Some(known) = self.list.iter_mut().find(|known| known.endpoint == endpoint) {
            known.seen = known.seen.max(now);
            return;
        }
        match self.list.iter_mut().find(|known| id.is_some() && known.id == id) {
            Some(known) if known.is_configured() || known.has_answered(now) => {
                known.seen = known.seen.max(now);
            }
            // It may have moved; whichever address is its, it will say who it is there.
            _ => self.push(now, endpoint, node, id),
        }
    }

    /// Somebody has told of the others, and not of these for long; gives their nodes.
    pub(super) fn forget_gone(&mut self, now: Time) -> Vec<NodeId> {
        let is_gone = |known: &Known| now.since(known.seen) >= KEPT_FOR;
        let gone = self.list.iter().filter(|known| is_gone(known)).map(|known| known.node);
        let gone = gone.collect();
        self.list.retain(|known| !is_gone(known));
        gone
    }

    /// A Sentinel has told who it is. Gives who is not known any more, since it is the same one: whoever else has that name, or this one, where the other is
    /// configured. Names outlive addresses.
    pub(super) fn on_id(&mut self, node: NodeId, id: String) -> Vec<NodeId> {
        let Some(known) = self.get(node) else { return Vec::new() };
        known.id = Some(id.clone());
        let is_learned = !known.is_configured();
        let has_it = |known: &&Known| known.id.as_ref() == Some(&id);
        let configured = self.list.iter().filter(has_it).find(|known| known.is_configured());
        let kept = configured.map(|known| known.node).filter(|_| is_learned).unwrap_or(node);
        let others = self.list.iter().filter(has_it).map(|known| known.node);
        let others: Vec<_> = others.filter(|its| *its != kept).collect();
        self.list.retain(|known| !others.contains(&known.node));
        others
    }

    /// A Sentinel names this place. True if the primary is somewhere else from now on.
    pub(super) fn on_named(&mut self, now: Time, node: NodeId, endpoint: Endpoint) -> bool {
        let Some(known) = self.get(node) else { return false };
        known.said = Said::Named(endpoint.clone(), now);
        known.seen = known.seen.max(now);
        let epoch = known.epoch;
        let by_majority = self.is_named_by_most(now, &endpoint);
        let Some(primary) = &mut self.primary else {
            self.primary = Some(Primary { endpoint, epoch, confirmed: now });
            return true;
        };
        if primary.endpoint == endpoint {
            primary.epoch = primary.epoch.max(epoch);
            primary.confirmed = now;
            return false;
        }
        let is_forgotten = now.since(primary.confirmed) >= BEHIND_FOR;
        let is_older = epoch < primary.epoch;
        let counts = epoch > primary.epoch || is_forgotten && (!is_older || by_majority);
        if counts {
            self.deposed.retain(|its| *its != endpoint);
            let before = std::mem::replace(primary, Primary { endpoint, epoch, confirmed: now });
            self.deposed.push(before.endpoint);
        }
        counts
    }

    /// A replica has said what it is.
    pub(super) fn on_replica(&mut self, endpoint: &Endpoint) {
        self.deposed.retain(|its| its != endpoint);
    }

    fn is_named_by_most(&self, now: Time, endpoint: &Endpoint) -> bool {
        let names_it = |known: &&Known| match &known.said {
            Said::Named(named, at) => named == endpoint && now.since(*at) < COUNTS_FOR,
            _ => false,
        };
        self.list.iter().filter(names_it).count() * 2 > self.list.len()
    }

    /// A replica leads, and the Sentinels have not said so yet. True if that is news. Not of one that has led before and may not have heard that it does
    /// not any more: its data continues ours too, if it was ours.
    pub(super) fn on_found(&mut self, now: Time, endpoint: &Endpoint) -> bool {
        let epoch = self.primary.as_ref().map_or(0, |primary| primary.epoch);
        let is_known = self.primary.as_ref().is_some_and(|primary| primary.endpoint == *endpoint);
        if is_known || self.deposed.contains(endpoint) {
            return false;
        }
        let endpoint = endpoint.clone();
        self.primary = Some(Primary { endpoint, epoch, confirmed: now });
        true
    }

    /// True if none is of any use.
    pub(super) fn have_all_failed(&self) -> bool {
        self.list.iter().all(|known| matches!(known.said, Said::Failed(_)))
    }

    /// Why no primary is known.
    pub(super) fn why_none(&self, service: &str) -> String {
        let told = self.list.iter().map(|known| match &known.said {
            Said::Failed(text) => (&known.endpoint, Some(text.as_str())),
            _ => (&known.endpoint, None),
        });
        format!("no Sentinel has told where {service:?} is ({})", tried(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str) -> Endpoint {
        Endpoint::Tcp { host: name.to_owned(), port: 1 }
    }

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    fn three() -> Words {
        let mut words = Words::default();
        for n in 1..4 {
            words.add_seed(endpoint(&format!("s{n}")), NodeId(n));
        }
        words
    }

    fn named(words: &mut Words, ms: u64, node: u32, epoch: u64, name: &str) -> bool {
        words.get(NodeId(node)).unwrap().epoch = epoch;
        words.on_named(at(ms), NodeId(node), endpoint(name))
    }

    fn place(words: &Words) -> String {
        words.primary.as_ref().unwrap().endpoint.to_string()
    }

    #[test]
    fn the_newest_epoch_counts_and_one_that_was_cut_off_does_not() {
        let mut words = three();
        assert!(named(&mut words, 0, 1, 5, "old"));
        assert!(named(&mut words, 1, 2, 6, "new"));
        assert!(!named(&mut words, 2, 1, 5, "old"), "it was cut off with it");
        assert_eq!(place(&words), "new:1");
    }

    #[test]
    fn a_majority_brings_a_lower_epoch_back_once_the_present_primary_is_forgotten() {
        let mut words = three();
        named(&mut words, 0, 1, 9, "a");
        for node in [2, 3] {
            assert!(!named(&mut words, 1000, node, 0, "b"), "they may be behind");
        }
        assert!(!named(&mut words, 9_000, 1, 9, "a"), "nothing new");
        for node in [2, 3] {
            assert!(!named(&mut words, 12_000, node, 0, "b"), "one still names it");
        }
        assert!(named(&mut words, 19_001, 2, 0, "b"));
        assert!(named(&mut words, 19_002, 1, 1, "a"), "a higher epoch counts at once");
    }

    #[test]
    fn what_was_found_ahead_of_the_sentinels_holds_until_they_had_time_to_say_so() {
        let mut words = three();
        named(&mut words, 0, 1, 1, "a");
        assert!(words.on_found(at(50), &endpoint("b")));
        assert!(!words.on_found(at(60), &endpoint("b")));
        for node in 1..4 {
            assert!(!named(&mut words, 100, node, 1, "a"), "they do not know yet");
        }
        assert!(!named(&mut words, 200, 1, 2, "b"), "no news, but confirmed");
        assert!(!named(&mut words, 5_000, 2, 1, "a"));
        let mut words = three();
        named(&mut words, 0, 1, 1, "a");
        words.on_found(at(50), &endpoint("b"));
        assert!(!named(&mut words, 10_040, 1, 0, "c"), "an older word");
        assert!(named(&mut words, 10_051, 2, 1, "a"), "they know better");
    }

    #[test]
    fn a_sentinel_under_two_addresses_is_one() {
        let mut words = three();
        words.on_id(NodeId(1), "id".to_owned());
        words.on_listed(at(0), endpoint("10.0.0.1"), NodeId(7), Some("id".to_owned()));
        assert_eq!(words.list.len(), 3);
        words.on_listed(at(0), endpoint("10.0.0.2"), NodeId(8), Some("other".to_owned()));
        words.on_id(NodeId(2), "other".to_owned());
        assert_eq!(words.list.len(), 3);
    }

    #[test]
    fn a_sentinel_that_was_moved_is_found_where_it_is_now() {
        let mut words = three();
        let listed = |words: &mut Words, ms, host, node| {
            words.on_listed(at(ms), endpoint(host), NodeId(node), Some("id".to_owned()));
        };
        listed(&mut words, 0, "10.0.0.1", 7);
        named(&mut words, 1000, 7, 1, "a");
        listed(&mut words, 2000, "10.0.0.2", 8);
        assert_eq!(words.list.len(), 4, "it answers at its old address");
        listed(&mut words, 20_000, "10.0.0.2", 8);
        assert_eq!(words.list.len(), 5);
        assert_eq!(words.on_id(NodeId(8), "id".to_owned()), [NodeId(7)]);
    }

    #[test]
    fn sentinels_that_nobody_knows_any_more_are_forgotten_and_those_of_the_configuration_are_not() {
        let mut words = three();
        words.on_listed(at(0), endpoint("s1"), NodeId(1), None);
        for (node, host) in [(7, "10.0.0.1"), (8, "10.0.0.2"), (9, "10.0.0.3")] {
            words.on_listed(at(0), endpoint(host), NodeId(node), Some(host.to_owned()));
        }
        words.on_listed(at(50_000), endpoint("10.0.0.1"), NodeId(7), None);
        named(&mut words, 50_000, 8, 1, "a");
        assert!(words.forget_gone(at(59_999)).is_empty());
        assert_eq!(words.forget_gone(at(60_000)), [NodeId(9)]);
        assert_eq!(words.forget_gone(at(200_000)), [NodeId(7), NodeId(8)]);
        assert_eq!(words.list.len(), 3);
    }

    #[test]
    fn a_configured_name_is_kept_rather_than_the_address_behind_it() {
        let mut words = three();
        words.on_listed(at(0), endpoint("10.0.0.1"), NodeId(7), Some("id".to_owned()));
        words.on_id(NodeId(1), "id".to_owned());
        words.on_listed(at(0), endpoint("10.0.0.9"), NodeId(8), None);
        assert_eq!(words.on_id(NodeId(8), "id".to_owned()), [NodeId(8)]);
        assert!(words.is_known(NodeId(1)) && words.list.len() == 3);
    }
}
