//! Roles and histories: replicas follow with a lag, are promoted with what they have, and take the new primary's data when they are demoted.

use super::Role;
use super::session::{Blocked, Rx};
use crate::net::{Dir, End};
use crate::queue::Event;
use crate::world::World;

impl World {
    fn new_replid(&mut self) -> String {
        self.histories += 1;
        format!("replid{}", self.histories)
    }

    /// A replica takes what its primary has sent by now.
    pub(crate) fn pull(&mut self, replica: usize) {
        let Role::ReplicaOf(of) = self.servers[replica].role else { return };
        let primary = &self.servers[of];
        let until = self.now.min(primary.down_since.unwrap_or(u64::MAX));
        let until = until.saturating_sub(self.plan.replica_lag);
        let count = primary.log.iter().take_while(|(_, at)| *at <= until).count();
        let is_same = primary.replid == self.servers[replica].replid;
        if is_same && count <= self.servers[replica].log.len() {
            return;
        }
        let log = primary.log[..count].to_vec();
        let replid = primary.replid.clone();
        let server = &mut self.servers[replica];
        server.log = log;
        if !is_same {
            server.replid = replid;
            server.replid2.clear();
            server.replid2_until = -1;
        }
    }

    /// REPLICAOF NO ONE.
    pub(crate) fn promote(&mut self, to: usize) {
        // A process that stands still hears nothing of it.
        if self.servers[to].is_primary() || !self.servers[to].works(self.now) {
            return;
        }
        self.pull(to);
        let (now, replid) = (self.now, self.new_replid());
        let server = &mut self.servers[to];
        server.role = Role::Primary;
        server.promoted_at = now;
        server.replid2_until = server.log.len() as i64;
        server.replid2 = std::mem::replace(&mut server.replid, replid);
        self.trace.note(self.now, || format!("server {to} is primary"));
    }

    /// REPLICAOF `to`. Ordinary connections stay open; blocked ones are told, and closed.
    pub(crate) fn demote(&mut self, server: usize, to: usize) {
        if server == to {
            return;
        }
        self.servers[server].role = Role::ReplicaOf(to);
        self.servers[server].demoted_at = self.now;
        self.trace.note(self.now, || format!("server {server} is a replica of {to}"));
        let waiting = |blocked: &Option<Blocked>| matches!(blocked, Some(Blocked::Waiting { .. }));
        let pipes: Vec<usize> = self.servers[server]
            .sessions
            .iter()
            .filter(|(_, session)| waiting(&session.blocked))
            .map(|(pipe, _)| *pipe)
            .collect();
        for pipe in pipes {
            let text = b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";
            if let Some(session) = self.servers[server].sessions.get_mut(&pipe)
                && let Some(Blocked::Waiting { token, .. }) = session.blocked.take()
            {
                self.ledger.refused(token);
            }
            self.reply(server, pipe, text);
            self.drop_session(server, pipe);
        }
    }

    /// The process ends: with FIN or RST where its host lives, with nothing where it does not.
    pub(crate) fn stop_process(&mut self, server: usize, ending: Rx) {
        let sessions = std::mem::take(&mut self.servers[server].sessions);
        for pipe in sessions.into_keys() {
            if self.pipes[pipe].server_end != End::Open {
                continue;
            }
            match ending {
                Rx::Open => self.pipes[pipe].server_end = End::Gone,
                Rx::Fin => {
                    self.pipes[pipe].server_end = End::Finishing;
                    self.finish(pipe, Dir::Down);
                }
                Rx::Rst => {
                    self.pipes[pipe].server_end = End::Gone;
                    self.reset(pipe, Dir::Down);
                }
            }
        }
        let now = self.now;
        let host = &mut self.servers[server];
        host.running = false;
        host.down_since.get_or_insert(now);
        host.frozen_until = 0;
        host.paused_until = 0;
        host.busy_until = 0;
    }

    /// The process starts again, under another run id. It follows whoever leads, if that is another server.
    pub(crate) fn start_process(&mut self, server: usize, keeps_data: bool, loading: u64) {
        if self.servers[server].running {
            return;
        }
        self.runs += 1;
        let (run, now, replid) = (self.runs, self.now, self.new_replid());
        let (leader, keeps_role) =
            (self.net.leads_to, self.cluster.is_some() || self.sentinels.is_some());
        let follows = leader != server && self.servers[leader].is_primary();
        let host = &mut self.servers[server];
        host.host_up = true;
        host.running = true;
        host.down_since = None;
        host.run_id = format!("run{server}-{run}");
        host.loading_until = now + loading;
        if keeps_data {
            host.replid2_until = host.log.len() as i64;
            host.replid2 = std::mem::replace(&mut host.replid, replid);
        } else {
            host.log.clear();
            host.replid = replid;
            host.replid2.clear();
            host.replid2_until = -1;
        }
        host.demoted_at = now;
        if !keeps_role {
            host.role = if follows { Role::ReplicaOf(leader) } else { Role::Primary };
        }
        let text = format!("server {server} starts as {:?} {:?}", host.role, host.run_id);
        self.trace.note(self.now, || text);
        self.queue.push(now + loading, Event::Wake(server));
        self.on_node_started(server);
    }
}
