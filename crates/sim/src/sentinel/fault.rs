//! What goes wrong among Sentinels and the servers that they watch. Which server is the primary is found out when it happens.

use super::answers::BABBLE;
use crate::fault::{Action, Ending};
use crate::queue::Event;
use crate::world::World;

/// A fault. Durations are microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The primary ends, and starts again after `back`, as what it was.
    Stop {
        ending: Ending,
        back: u64,
        keeps_data: bool,
        loading: u64,
    },
    Freeze {
        lasts: u64,
    },
    /// The primary is cut off from everybody.
    Cut {
        lasts: u64,
    },
    /// So many Sentinels are with the primary where the others are not. Clients reach all of them.
    Split {
        sentinels: usize,
        lasts: u64,
    },
    /// The primary's connections pass nothing, new ones do.
    Pin {
        lasts: u64,
    },
    Reset,
    /// Scripts, or postponed writes, of the primary.
    Slow {
        lasts: u64,
        pauses: bool,
    },
    /// SENTINEL FAILOVER, asked of this one.
    FailOver {
        sentinel: usize,
    },
    /// A Sentinel ends, or stands still.
    StopSentinel {
        sentinel: usize,
        ending: Option<Ending>,
        lasts: u64,
    },
    /// It is reached by nobody but clients, and learns nothing.
    Lag {
        sentinel: usize,
        lasts: u64,
    },
    /// What it answers is of no use.
    Babble {
        sentinel: usize,
        lasts: u64,
    },
    /// A replica ends, and starts again.
    StopReplica {
        ending: Ending,
        back: u64,
    },
}

impl World {
    pub(crate) fn act_on_sentinels(&mut self, fault: Fault) {
        let Some(sentinels) = &mut self.sentinels else { return };
        let (now, data, primary) = (self.now, sentinels.plan.data, sentinels.named());
        match fault {
            Fault::Split { sentinels: count, lasts } => {
                for host in [primary].into_iter().chain(data..data + count) {
                    sentinels.apart[host] = now + lasts;
                }
            }
            Fault::Lag { sentinel, lasts } => sentinels.apart[data + sentinel] = now + lasts,
            Fault::Babble { sentinel, lasts } => {
                let watcher = &mut sentinels.watchers[sentinel];
                watcher.babbles_until = now + lasts;
                watcher.babble = self.rng.usize(0..BABBLE.len());
            }
            Fault::FailOver { sentinel } if self.servers[data + sentinel].works(now) => {
                self.elect_heir(sentinel);
            }
            Fault::FailOver { .. } => {}
            Fault::StopSentinel { sentinel, ending, lasts } => match ending {
                Some(ending) => self.stop_for(data + sentinel, ending, lasts, true, 0),
                None => self.act(Action::Freeze { server: data + sentinel, lasts }),
            },
            Fault::StopReplica { ending, back } => {
                if let Some(replica) = (0..data).find(|server| *server != primary) {
                    self.stop_for(replica, ending, back, true, 0);
                }
            }
            fault => self.act_on_named(primary, fault),
        }
    }

    fn act_on_named(&mut self, server: usize, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Stop { ending, back, keeps_data, loading } => {
                self.stop_for(server, ending, back, keeps_data, loading);
            }
            Fault::Freeze { lasts } => self.act(Action::Freeze { server, lasts }),
            Fault::Cut { lasts } => {
                if let Some(sentinels) = &mut self.sentinels {
                    sentinels.apart[server] = now + lasts;
                }
                self.act(Action::Cut { server, up: true, down: true, lasts });
            }
            Fault::Pin { lasts } => self.act(Action::Pin { server, lasts }),
            Fault::Slow { lasts, pauses: true } => self.act(Action::Pause { server, lasts }),
            Fault::Slow { lasts, .. } => self.act(Action::Busy { server, lasts }),
            _ => self.act(Action::ResetAll { server }),
        }
    }

    fn stop_for(
        &mut self,
        server: usize,
        ending: Ending,
        back: u64,
        keeps_data: bool,
        loading: u64,
    ) {
        self.act(Action::Stop { server, ending });
        let start = Action::Start { server, keeps_data, loading };
        self.queue.push(self.now + back, Event::Act(start));
    }

    /// All reach each other. Whoever has the newest word is right; where its primary was demoted or has gone, it is made one.
    pub(crate) fn heal_sentinels(&mut self) {
        let Some(sentinels) = &mut self.sentinels else { return };
        sentinels.apart.fill(0);
        let data = sentinels.plan.data;
        for watcher in &mut sentinels.watchers {
            watcher.babbles_until = 0;
        }
        // An election whose result nobody has been told of yet counts too.
        let (epoch, heir) = sentinels.elected;
        sentinels.election_at = None;
        let told = sentinels.watchers.iter().any(|watcher| watcher.epoch == epoch);
        if !told {
            self.on_switch(0, epoch, heir);
        }
        self.promote(heir);
        self.net.leads_to = heir;
        debug_assert!(heir < data);
    }
}
