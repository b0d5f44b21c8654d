//! What goes wrong, in the vocabulary of the drills: each fault is a few actions at certain moments. After the last one [`Action::Heal`] makes
//! everything well and lets one primary lead.

use redial_proto::{Credentials, Input};

use crate::net::{Dir, End, Pipe};
use crate::queue::Event;
use crate::server::{Blocked, Role, Rx};
use crate::world::World;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its host with it: nothing is sent, ever.
    PowerOff,
    Fin,
    Rst,
}

/// A change of the world. Durations are microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing passes between a server and anybody, in one direction or both.
    Cut {
        server: usize,
        up: bool,
        down: bool,
        lasts: u64,
    },
    /// The established connections of a server pass nothing, new ones do.
    Pin {
        server: usize,
        lasts: u64,
    },
    Stop {
        server: usize,
        ending: Ending,
    },
    Start {
        server: usize,
        keeps_data: bool,
        loading: u64,
    },
    /// SIGSTOP, or a script that is still young.
    Freeze {
        server: usize,
        lasts: u64,
    },
    /// CLIENT PAUSE WRITE
    Pause {
        server: usize,
        lasts: u64,
    },
    Busy {
        server: usize,
        lasts: u64,
    },
    NoReplicas {
        server: usize,
        lasts: u64,
    },
    MasterDown {
        server: usize,
        lasts: u64,
    },
    /// Too many clients.
    Full {
        server: usize,
        lasts: u64,
    },
    Refuse {
        server: usize,
        lasts: u64,
    },
    Promote {
        server: usize,
    },
    Demote {
        server: usize,
        to: usize,
    },
    /// New connections get this server from now on.
    Lead {
        server: usize,
    },
    /// Every connection of a server is reset, the server lives.
    ResetAll {
        server: usize,
    },
    /// Something on the way resets every connection of a server; what that has received it still runs.
    CutOff {
        server: usize,
    },
    /// The first connection of a server runs a script: nothing more is read of it, and others are told BUSY.
    Script {
        server: usize,
        lasts: u64,
    },
    /// CLIENT KILL of one connection, by somebody else.
    KillOne {
        server: usize,
    },
    SynVanish {
        lasts: u64,
    },
    Mute {
        dials: u32,
    },
    NoDns {
        lasts: u64,
    },
    /// The server wants another password; with `tell`, the client is told it later.
    Password {
        server: usize,
        password: Option<String>,
        tell: bool,
    },
    Disconnect {
        client: usize,
    },
    Quit {
        client: usize,
    },
    Connect {
        client: usize,
    },
    /// What concerns a cluster.
    Cluster(crate::cluster::Fault),
    /// What concerns Sentinels, and whom they watch.
    Sentinel(crate::sentinel::Fault),
    Heal,
}

impl World {
    pub(crate) fn act(&mut self, action: Action) {
        self.trace.note(self.now, || format!("— {action:?}"));
        let now = self.now;
        match action {
            Action::Cut { server, up, down, lasts } => {
                for (dir, is_cut) in [(Dir::Up, up), (Dir::Down, down)] {
                    if is_cut {
                        let until = &mut self.net.cut[server][dir as usize];
                        *until = (*until).max(now + lasts);
                    }
                }
            }
            Action::Pin { server, lasts } => {
                for pipe in self.pipes.iter_mut().filter(|pipe| pipe.server == Some(server)) {
                    pipe.pinned_until = now + lasts;
                }
            }
            Action::Stop { server, ending } => self.stop_server(server, ending),
            Action::Start { server, keeps_data, loading } => {
                self.start_process(server, keeps_data, loading);
            }
            Action::Freeze { server, lasts } => {
                let until = &mut self.servers[server].frozen_until;
                *until = (*until).max(now + lasts);
                let at = *until;
                self.queue.push(at, Event::Wake(server));
            }
            Action::Pause { server, lasts } => {
                self.servers[server].paused_until = now + lasts;
                self.queue.push(now + lasts, Event::Wake(server));
            }
            Action::Busy { server, lasts } => self.servers[server].busy_until = now + lasts,
            Action::NoReplicas { server, lasts } => {
                self.servers[server].no_replicas_until = now + lasts;
            }
            Action::MasterDown { server, lasts } => {
                self.servers[server].master_down_until = now + lasts;
            }
            Action::Full { server, lasts } => self.servers[server].full_until = now + lasts,
            Action::Refuse { server, lasts } => self.servers[server].refuses_until = now + lasts,
            Action::Promote { server } => self.promote(server),
            Action::Demote { server, to } => {
                if self.servers[to].is_primary() && self.servers[server].running {
                    self.demote(server, to);
                }
            }
            Action::Lead { server } => self.net.leads_to = server,
            other => self.act_on_connections(other),
        }
    }

    fn act_on_connections(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::ResetAll { server } => {
                let pipes: Vec<usize> = self.servers[server].sessions.keys().copied().collect();
                for pipe in pipes {
                    self.pipes[pipe].server_end = crate::net::End::Gone;
                    self.reset(pipe, Dir::Down);
                    self.on_reset(server, pipe);
                }
            }
            Action::CutOff { server } => self.cut_off(server),
            Action::Script { server, lasts } => self.run_script(server, now + lasts),
            Action::KillOne { server } => {
                let pipes: Vec<usize> = self.servers[server].sessions.keys().copied().collect();
                if let Some(pipe) = self.rng.choice(&pipes) {
                    self.drop_session(server, *pipe);
                }
            }
            Action::SynVanish { lasts } => self.net.syn_vanish = now + lasts,
            Action::Mute { dials } => self.net.mute = dials,
            Action::NoDns { lasts } => self.net.no_dns = now + lasts,
            Action::Password { server, password, tell } => {
                if tell {
                    let credentials =
                        password.clone().map(|password| Credentials { username: None, password });
                    for client in 0..self.clients.len() {
                        self.input(client, Input::Credentials(credentials.clone()));
                    }
                }
                self.servers[server].password = password;
            }
            Action::Disconnect { client } => self.input(client, Input::Disconnect),
            Action::Quit { client } => self.input(client, Input::Quit),
            Action::Connect { client } => self.connect(client),
            Action::Cluster(fault) => self.act_on_cluster(fault),
            Action::Sentinel(fault) => self.act_on_sentinels(fault),
            _ => self.heal(),
        }
    }

    fn cut_off(&mut self, server: usize) {
        let is_open = |pipe: &Pipe| pipe.server == Some(server) && pipe.client_end == End::Open;
        let pipes: Vec<usize> =
            (0..self.pipes.len()).filter(|pipe| is_open(&self.pipes[*pipe])).collect();
        for pipe in pipes {
            self.break_client(pipe, "connection reset by peer");
            self.reset(pipe, Dir::Up);
        }
    }

    fn run_script(&mut self, server: usize, until: u64) {
        let host = &mut self.servers[server];
        host.busy_until = until;
        if let Some(session) = host.sessions.values_mut().next() {
            session.blocked = Some(Blocked::Running(until));
        }
        self.queue.push(until, Event::Wake(server));
    }

    fn stop_server(&mut self, server: usize, ending: Ending) {
        match ending {
            Ending::PowerOff => {
                self.stop_process(server, Rx::Open);
                self.servers[server].host_up = false;
            }
            Ending::Fin => self.stop_process(server, Rx::Fin),
            Ending::Rst => self.stop_process(server, Rx::Rst),
        }
    }

    /// Everything is well again, and whoever was promoted last is the only primary, and leads.
    fn heal(&mut self) {
        self.net.cut.fill([0; 2]);
        self.net.syn_vanish = 0;
        self.net.no_dns = 0;
        self.net.mute = 0;
        self.pipes.iter_mut().for_each(|pipe| pipe.pinned_until = 0);
        let real = self.servers.len() - 1;
        for server in 0..real {
            self.start_process(server, true, 0);
            let host = &mut self.servers[server];
            for until in [
                &mut host.frozen_until,
                &mut host.paused_until,
                &mut host.busy_until,
                &mut host.loading_until,
                &mut host.no_replicas_until,
                &mut host.master_down_until,
                &mut host.full_until,
                &mut host.refuses_until,
            ] {
                *until = 0;
            }
            if !self.is_sentinel(server) {
                self.servers[server].password.clone_from(&self.plan.password);
            }
            self.queue.push(self.now, Event::Wake(server));
        }
        match (&self.cluster, &self.sentinels) {
            (Some(_), _) => self.heal_cluster(),
            (_, Some(_)) => self.heal_sentinels(),
            _ => self.heal_pair(real),
        }
        let password = self.plan.password.clone();
        let credentials = password.map(|password| Credentials { username: None, password });
        for client in 0..self.clients.len() {
            self.input(client, Input::Credentials(credentials.clone()));
            self.connect(client);
        }
        self.healed_at = Some(self.now);
        self.queue.push(self.now + 1, Event::Check);
    }

    /// One of the servers leads, and the others follow.
    fn heal_pair(&mut self, real: usize) {
        let primaries = (0..real).filter(|server| self.servers[*server].is_primary());
        let leader = primaries.max_by_key(|server| self.servers[*server].promoted_at);
        let leader = leader.unwrap_or(self.net.leads_to);
        self.promote(leader);
        self.net.leads_to = leader;
        for server in (0..real).filter(|server| *server != leader) {
            if self.servers[server].role != Role::ReplicaOf(leader) {
                self.demote(server, leader);
            }
        }
    }
}
