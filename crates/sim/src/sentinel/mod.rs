//! Redis Sentinel: who takes whom for dead, who is elected, and how the word spreads.
//!
//! | file | what it owns |
//! |---|---|
//! | [`answers`] | what Sentinels say, also when it is of no use |
//! | [`fault`] | what goes wrong, and the end of it |
//! | [`plan`] | what a seed means here |
//!
//! Sentinels are servers of the world behind those with data. Among hosts there is no network to speak of: one reaches another or it does not.

mod answers;
mod fault;
mod plan;

pub(crate) use self::fault::Fault;
pub(crate) use self::plan::{SentinelPlan, plan};
use crate::oracle::Oracle;
use crate::queue::Event;
use crate::server::Role;
use crate::world::{START, World};

/// How often Sentinels look around (they ping every second, and more often while `down-after-milliseconds` is short).
const CRON: u64 = 100_000;

/// The leader of an election asks whom it has promoted this often, and tells nobody before it has heard.
const INFO_EVERY: u64 = 1_000_000;

/// Who has voted for a leader votes for no other so soon (twice `failover-timeout`, which is minutes by default).
const UNDER_WAY: u64 = 2_000_000;

/// By then a client has heard more than one Sentinel.
const SETTLES_WITHIN: u64 = 1_500_000;

/// One Sentinel's beliefs.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    /// The primary, and the election that its word is from (`config-epoch`).
    pub(crate) names: usize,
    pub(crate) epoch: u64,
    /// Since when it has not reached the primary.
    down_since: Option<u64>,
    /// Until then its answers are of no use, in this way.
    babbles_until: u64,
    babble: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Sentinels {
    pub(crate) plan: SentinelPlan,
    pub(crate) watchers: Vec<Watcher>,
    /// By host: until then it reaches only the others of which that is true.
    apart: Vec<u64>,
    /// When the election that is needed will be held.
    election_at: Option<u64>,
    /// Of the last election: its epoch, and who was elected.
    elected: (u64, usize),
    elected_at: u64,
    /// By host: the last election that it won.
    reigns: Vec<u64>,
    /// By client: the latest of those whose winner it has been on.
    seen: Vec<u64>,
}

impl Sentinels {
    pub(crate) fn new(plan: &SentinelPlan) -> Self {
        let watcher = Watcher { names: 0, epoch: 1, down_since: None, babbles_until: 0, babble: 0 };
        Self {
            plan: plan.clone(),
            watchers: vec![watcher; plan.sentinels],
            apart: vec![0; plan.data + plan.sentinels],
            election_at: None,
            elected: (1, 0),
            elected_at: 0,
            reigns: (0..plan.data + plan.sentinels).map(|host| u64::from(host == 0)).collect(),
            seen: Vec::new(),
        }
    }

    /// The host of a Sentinel.
    fn host(&self, watcher: usize) -> usize {
        self.plan.data + watcher
    }

    /// Whom the newest word names.
    fn named(&self) -> usize {
        let newest = self.watchers.iter().max_by_key(|watcher| watcher.epoch);
        newest.map_or(0, |watcher| watcher.names)
    }
}

impl World {
    /// True if this server is a Sentinel, and has no data.
    pub(crate) fn is_sentinel(&self, server: usize) -> bool {
        self.sentinels.as_ref().is_some_and(|sentinels| server >= sentinels.plan.data)
    }

    pub(crate) fn begin_sentinels(&mut self) {
        if self.sentinels.is_some() {
            self.queue.push(START + CRON, Event::Watch);
        }
    }

    /// Whether a host hears another.
    fn reaches(&self, one: usize, other: usize) -> bool {
        let is_apart = |host: usize| {
            self.sentinels.as_ref().is_some_and(|sentinels| self.now < sentinels.apart[host])
        };
        let works = |host: usize| self.servers[host].works(self.now);
        works(one) && works(other) && is_apart(one) == is_apart(other)
    }

    /// Sentinels look around.
    pub(crate) fn on_watch(&mut self) {
        self.queue.push(self.now + CRON, Event::Watch);
        let count = self.sentinels.as_ref().map_or(0, |sentinels| sentinels.watchers.len());
        for watcher in 0..count {
            self.look(watcher);
        }
        self.elect();
        for from in 0..count {
            for to in 0..count {
                self.greet(from, to);
            }
        }
        for watcher in 0..count {
            self.set_right(watcher);
        }
    }

    fn look(&mut self, watcher: usize) {
        let Some(sentinels) = &self.sentinels else { return };
        let primary = sentinels.watchers[watcher].names;
        let is_seen = self.reaches(sentinels.host(watcher), primary);
        let Some(sentinels) = &mut self.sentinels else { return };
        let down_since = &mut sentinels.watchers[watcher].down_since;
        *down_since = if is_seen { None } else { Some(down_since.unwrap_or(self.now)) };
    }

    /// Holds an election once most Sentinels, who reach each other, have taken the same primary for down for a while.
    fn elect(&mut self) {
        let Some(sentinels) = &self.sentinels else { return };
        let (count, after) = (sentinels.watchers.len(), sentinels.plan.down_after);
        let agrees = |one: usize, other: usize| {
            let (its, others) = (&sentinels.watchers[one], &sentinels.watchers[other]);
            let is_down = others.down_since.is_some_and(|since| since + after <= self.now);
            let is_reached = self.reaches(sentinels.host(one), sentinels.host(other));
            is_down && is_reached && its.names == others.names
        };
        let leader = (0..count)
            .find(|one| (0..count).filter(|other| agrees(*one, *other)).count() * 2 > count);
        let (now, election_at) = (self.now, sentinels.election_at);
        let delay = self.rng.u64(0..1_000_000);
        let next = match (leader, election_at) {
            (None, _) => None,
            (Some(_), None) => Some(now + delay),
            (Some(leader), Some(at)) if at <= now => {
                self.elect_heir(leader);
                Some(now + 2 * after + delay)
            }
            (Some(_), at) => at,
        };
        if let Some(sentinels) = &mut self.sentinels {
            sentinels.election_at = next;
        }
    }

    /// A Sentinel makes of the replica with the most data a primary.
    fn elect_heir(&mut self, leader: usize) {
        let Some(sentinels) = &self.sentinels else { return };
        if self.now < sentinels.elected_at + UNDER_WAY {
            return;
        }
        let (host, before) = (sentinels.host(leader), sentinels.watchers[leader].names);
        let (epoch, _) = sentinels.elected;
        let fits = |server: &usize| {
            let is_replica = self.servers[*server].role != Role::Primary;
            *server != before && is_replica && self.reaches(host, *server)
        };
        let candidates: Vec<usize> = (0..sentinels.plan.data).filter(fits).collect();
        candidates.iter().for_each(|server| self.pull(*server));
        let heir = candidates.into_iter().max_by_key(|server| self.servers[*server].log.len());
        let (Some(heir), Some(sentinels)) = (heir, &mut self.sentinels) else { return };
        (sentinels.elected, sentinels.elected_at) = ((epoch + 1, heir), self.now);
        sentinels.reigns[heir] = epoch + 1;
        self.trace.note(self.now, || {
            format!("sentinel: {host} elects {heir} for {before}, epoch {}", epoch + 1)
        });
        self.promote(heir);
        self.net.leads_to = heir;
        let known = self.now + self.rng.u64(0..=INFO_EVERY);
        self.queue.push(known, Event::Switch { watcher: leader, epoch: epoch + 1, heir });
    }

    /// A client is on a server: not on one that was deposed, once it has been on the one that came after it.
    pub(crate) fn watch_reign(&mut self, client: usize, server: usize) {
        let Some(sentinels) = &mut self.sentinels else { return };
        let count = sentinels.seen.len().max(client + 1);
        sentinels.seen.resize(count, 0);
        let (reign, before) = (sentinels.reigns[server], sentinels.seen[client]);
        // Who was just connected dials where it was last, which may be right by chance, and then hears the first Sentinel.
        if self.now > self.clients[client].connected_at + SETTLES_WITHIN {
            sentinels.seen[client] = reign.max(before);
        }
        if reign < before {
            self.fail(Oracle::WantedRole, || {
                format!(
                    "client {client} is back on server {server} of election {reign}, after {before}"
                )
            });
        }
    }

    /// A Sentinel hears who was elected, and says so on its channel.
    pub(crate) fn on_switch(&mut self, watcher: usize, epoch: u64, heir: usize) {
        let Some(sentinels) = &mut self.sentinels else { return };
        let host = sentinels.host(watcher);
        let its = &mut sentinels.watchers[watcher];
        if its.epoch >= epoch || !self.servers[host].works(self.now) {
            return;
        }
        let before = std::mem::replace(&mut its.names, heir);
        (its.epoch, its.down_since) = (epoch, None);
        self.trace.note(self.now, || {
            format!("sentinel: {host} names {heir} instead of {before}, epoch {epoch}")
        });
        let message =
            format!("{} n{before} {} n{heir} {}", answers::SERVICE, 7000 + before, 7000 + heir);
        self.publish_on(host, "+switch-master", message.as_bytes());
    }

    /// Once in a while a Sentinel says to another what it believes.
    fn greet(&mut self, from: usize, to: usize) {
        let Some(sentinels) = &self.sentinels else { return };
        let Watcher { names, epoch, .. } = sentinels.watchers[from];
        let is_news = epoch > sentinels.watchers[to].epoch;
        if is_news
            && self.reaches(sentinels.host(from), sentinels.host(to))
            && self.rng.u64(0..=sentinels.plan.hello) < CRON
        {
            self.on_switch(to, epoch, names);
        }
    }

    /// Servers that follow another, or none, are told whom to follow, by those who have the newest word.
    fn set_right(&mut self, watcher: usize) {
        let Some(sentinels) = &self.sentinels else { return };
        let (host, data) = (sentinels.host(watcher), sentinels.plan.data);
        let (names, epoch) = (sentinels.watchers[watcher].names, sentinels.watchers[watcher].epoch);
        // Who does not know the last election waits so long before it sets anybody right that it will have heard of it.
        let is_newest = epoch == sentinels.elected.0;
        let is_sane = self.reaches(host, names) && self.servers[names].is_primary();
        let takes = sentinels.plan.reconfigures;
        if !is_newest || !is_sane {
            return;
        }
        for server in (0..data).filter(|server| *server != names) {
            let follows = self.servers[server].role == Role::ReplicaOf(names);
            if !follows && self.reaches(host, server) && self.rng.u64(0..=takes) < CRON {
                self.demote(server, names);
            }
        }
    }
}
