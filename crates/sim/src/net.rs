//! The path between the hosts, as TCP makes it: bytes in order, in any pieces, each direction with its own delay; while a path is cut nothing
//! arrives, and after it is healed a kernel delivers what it holds at its next retransmission, unless the connection was reset.
//!
//! What is read is handed to [`crate::driver`] and [`crate::server`]; which path is cut when is decided in [`crate::fault`].

use std::time::Duration;

use redial_proto::{ConnId, Endpoint, Input, TcpInfo};

use crate::queue::Event;
use crate::world::World;

/// As Linux: `TCP_RTO_MIN` and `TCP_RTO_MAX`.
const RTO_MIN: u64 = 200_000;
const RTO_MAX: u64 = 120_000_000;

/// `TCP_USER_TIMEOUT` as redial sets it.
const USER_TIMEOUT: u64 = 20_000_000;

/// Keepalive as redial sets it: 10 s idle, every 5 s, three times.
const KEEPALIVE_EVERY: u64 = 5_000_000;
const KEEPALIVE_DEAD: u64 = 25_000_000;

/// First retransmission of a SYN.
const SYN_AGAIN: u64 = 1_000_000;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    /// From a client to a server.
    Up,
    /// From a server to a client.
    Down,
}

impl Dir {
    const fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Not there yet.
    Dialing,
    Open,
    /// Its program has closed it; its kernel still sends what it holds.
    Finishing,
    Gone,
}

/// One direction of a connection. Offsets count from its first byte; a FIN counts as one.
#[derive(Debug)]
pub(crate) struct Half {
    /// What the receiving kernel does not have yet.
    data: Vec<u8>,
    pub(crate) written: u64,
    fin: bool,
    sent: u64,
    delivered: u64,
    pub(crate) acked: u64,
    /// Up to where the receiver has said that it has room.
    limit: u64,
    last_arrival: u64,
    /// Something sent was lost: what comes behind it waits for a retransmission.
    lost: bool,
    rto: u64,
    rto_at: u64,
    rto_planned: bool,
    retransmits: u8,
    stuck_since: u64,
}

impl Half {
    fn new(limit: u64) -> Self {
        Self {
            data: Vec::new(),
            written: 0,
            fin: false,
            sent: 0,
            delivered: 0,
            acked: 0,
            limit,
            last_arrival: 0,
            lost: false,
            rto: RTO_MIN,
            rto_at: 0,
            rto_planned: false,
            retransmits: 0,
            stuck_since: 0,
        }
    }

    fn end(&self) -> u64 {
        self.written + u64::from(self.fin)
    }
}

/// A connection, from its dial on.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) client: usize,
    pub(crate) conn: ConnId,
    /// The server that is meant; otherwise whichever leads.
    target: Option<usize>,
    /// The server that it got, once its SYN arrived.
    pub(crate) server: Option<usize>,
    up: Half,
    down: Half,
    pub(crate) client_end: End,
    pub(crate) server_end: End,
    /// Until then nothing passes in either direction: a flow pinned to a dead host.
    pub(crate) pinned_until: u64,
    last_heard: u64,
    /// Whether its server has ever said on it that it is a primary; none if it was not asked.
    pub(crate) told_primary: Option<bool>,
}

impl Pipe {
    pub(crate) fn half(&mut self, dir: Dir) -> &mut Half {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

/// The state of the paths and of the endpoint. All moments are "until then".
#[derive(Debug, Default)]
pub(crate) struct Net {
    /// By server: nothing passes up, nothing passes down.
    pub(crate) cut: Vec<[u64; 2]>,
    /// The server that new connections get.
    pub(crate) leads_to: usize,
    pub(crate) syn_vanish: u64,
    pub(crate) no_dns: u64,
    /// So many dials are accepted by something that never answers.
    pub(crate) mute: u32,
}

/// The server with a name of its own: `n3`.
fn server_at(endpoint: &Endpoint) -> Option<usize> {
    let Endpoint::Tcp { host, .. } = endpoint else { return None };
    host.strip_prefix('n')?.parse().ok()
}

impl World {
    /// One way, now.
    pub(crate) fn delay(&mut self) -> u64 {
        self.plan.delay + self.rng.u64(0..=self.plan.jitter)
    }

    fn is_open(&self, pipe: usize, dir: Dir) -> bool {
        let pipe = &self.pipes[pipe];
        let Some(server) = pipe.server else { return true };
        self.servers[server].host_up
            && self.now >= pipe.pinned_until
            && self.now >= self.net.cut[server][dir as usize]
    }

    pub(crate) fn dial(&mut self, client: usize, conn: ConnId, endpoint: &Endpoint) {
        let id = self.pipes.len();
        let window = self.plan.receive_buffer as u64;
        self.pipes.push(Pipe {
            client,
            conn,
            target: server_at(endpoint),
            server: None,
            up: Half::new(window),
            down: Half::new(u64::MAX),
            client_end: End::Dialing,
            server_end: End::Dialing,
            pinned_until: 0,
            last_heard: self.now,
            told_primary: None,
        });
        self.clients[client].sockets.push(crate::driver::Socket::new(conn, id));
        if self.now < self.net.no_dns {
            let at = self.now + self.rng.u64(1_000..50_000);
            return self.queue.push(at, Event::DialError(id, "no such host"));
        }
        let delay = self.delay();
        self.queue.push(self.now + delay, Event::Syn(id));
    }

    /// A SYN reaches the endpoint.
    pub(crate) fn on_syn(&mut self, id: usize) {
        if self.pipes[id].client_end != End::Dialing {
            return;
        }
        let again = self.now + SYN_AGAIN;
        if self.now < self.net.syn_vanish {
            return self.queue.push(again, Event::Syn(id));
        }
        let delay = self.delay();
        if self.pipes[id].server_end == End::Dialing {
            let server = match self.net.mute {
                0 => self.pipes[id].target.unwrap_or(self.net.leads_to),
                _ => {
                    self.net.mute -= 1;
                    self.servers.len() - 1
                }
            };
            let is_cut = self.now < self.net.cut[server][0];
            if is_cut || !self.servers[server].host_up {
                return self.queue.push(again, Event::Syn(id));
            }
            self.pipes[id].server = Some(server);
            if !self.servers[server].accepts(self.now) {
                return self.queue.push(self.now + delay, Event::DialError(id, "refused"));
            }
            self.pipes[id].server_end = End::Open;
            self.trace.note(self.now, || format!("net: pipe {id} reaches server {server}"));
            self.on_accepted(server, id);
        }
        self.queue.push(self.now + delay, Event::SynAck(id));
        self.queue.push(again, Event::Syn(id));
    }

    pub(crate) fn on_syn_ack(&mut self, id: usize) {
        if !self.is_open(id, Dir::Down) {
            return;
        }
        if self.pipes[id].client_end == End::Gone {
            let delay = self.delay();
            return self.queue.push(self.now + delay, Event::Rst(id, Dir::Up));
        }
        let pipe = &mut self.pipes[id];
        if pipe.client_end != End::Dialing {
            return;
        }
        pipe.client_end = End::Open;
        pipe.last_heard = self.now;
        let (client, conn) = (pipe.client, pipe.conn);
        self.queue.push(self.now + KEEPALIVE_EVERY, Event::Keepalive(id));
        self.input(client, Input::Connected(conn));
    }

    pub(crate) fn on_dial_error(&mut self, id: usize, text: &str) {
        let pipe = &mut self.pipes[id];
        if pipe.client_end == End::Dialing {
            pipe.client_end = End::Gone;
            let (client, conn) = (pipe.client, pipe.conn);
            self.clients[client].forget(conn);
            self.input(client, Input::DialFailed(conn, text.to_owned()));
        }
    }

    /// Room in the client's send buffer.
    pub(crate) fn room(&mut self, id: usize) -> usize {
        let up = &self.pipes[id].up;
        self.plan.send_buffer.saturating_sub((up.written.saturating_sub(up.acked)) as usize)
    }

    /// Gives bytes to a kernel.
    pub(crate) fn send(&mut self, id: usize, dir: Dir, bytes: &[u8]) {
        let half = self.pipes[id].half(dir);
        half.data.extend_from_slice(bytes);
        half.written += bytes.len() as u64;
        self.transmit(id, dir);
    }

    /// Closes with everything delivered before.
    pub(crate) fn finish(&mut self, id: usize, dir: Dir) {
        self.pipes[id].half(dir).fin = true;
        self.transmit(id, dir);
    }

    fn transmit(&mut self, id: usize, dir: Dir) {
        let (now, delay) = (self.now, self.delay());
        let rtt = 2 * (self.plan.delay + self.plan.jitter);
        let half = self.pipes[id].half(dir);
        let upto = if half.limit >= half.written { half.end() } else { half.limit };
        if upto > half.sent {
            half.sent = upto;
            half.last_arrival = half.last_arrival.max(now + delay);
            let at = half.last_arrival;
            self.queue.push(at, Event::Arrive { pipe: id, dir, upto, retransmission: false });
        }
        let half = self.pipes[id].half(dir);
        if half.end() > half.acked && !half.rto_planned {
            half.rto_planned = true;
            half.rto = RTO_MIN + rtt;
            half.rto_at = now + half.rto;
            half.stuck_since = now;
            let at = half.rto_at;
            self.queue.push(at, Event::Rto(id, dir));
        }
    }

    fn has_sender(&self, id: usize, dir: Dir) -> bool {
        let pipe = &self.pipes[id];
        let end = if dir == Dir::Up { pipe.client_end } else { pipe.server_end };
        matches!(end, End::Open | End::Finishing)
    }

    pub(crate) fn on_rto(&mut self, id: usize, dir: Dir) {
        let (now, delay, has_sender) = (self.now, self.delay(), self.has_sender(id, dir));
        let half = self.pipes[id].half(dir);
        if !has_sender || half.acked >= half.end() {
            half.rto_planned = false;
            return;
        }
        if half.rto_at <= now {
            if half.sent > half.acked {
                half.retransmits = half.retransmits.saturating_add(1);
            }
            half.rto = (half.rto * 2).min(RTO_MAX);
            half.rto_at = now + half.rto;
            let (upto, at) = (half.sent, half.last_arrival.max(now + delay));
            half.last_arrival = at;
            let is_over = dir == Dir::Up && now - half.stuck_since >= USER_TIMEOUT;
            self.queue.push(at, Event::Arrive { pipe: id, dir, upto, retransmission: true });
            if is_over {
                return self.break_client(id, "connection timed out");
            }
        }
        let at = self.pipes[id].half(dir).rto_at;
        self.queue.push(at, Event::Rto(id, dir));
    }

    pub(crate) fn on_arrive(&mut self, id: usize, dir: Dir, upto: u64, retransmission: bool) {
        if !self.is_open(id, dir) {
            self.pipes[id].half(dir).lost = true;
            return;
        }
        let delay = self.delay();
        let pipe = &self.pipes[id];
        let end = if dir == Dir::Up { pipe.server_end } else { pipe.client_end };
        if end != End::Open {
            // A host that does not know the connection, or whose program has closed it, resets it.
            if end == End::Gone || end == End::Finishing {
                self.queue.push(self.now + delay, Event::Rst(id, dir.back()));
            }
            return;
        }
        let room = match (dir, pipe.server) {
            (Dir::Up, Some(server)) => self.receive_room(server, id),
            _ => u64::MAX,
        };
        let split = self.rng.u8(..) < self.plan.splits;
        let cut_at = self.rng.u64(..);
        self.pipes[id].last_heard = self.now;
        let half = self.pipes[id].half(dir);
        if half.lost && !retransmission {
            return;
        }
        half.lost = false;
        let mut until = upto.min(half.written).min(half.delivered.saturating_add(room));
        if split && until > half.delivered + 1 {
            until = half.delivered + 1 + cut_at % (until - half.delivered - 1);
            half.last_arrival = half.last_arrival.max(self.now + 1 + cut_at % 700);
            let at = half.last_arrival;
            self.queue.push(at, Event::Arrive { pipe: id, dir, upto, retransmission: false });
        }
        let half = self.pipes[id].half(dir);
        let count = until.saturating_sub(half.delivered) as usize;
        let bytes: Vec<u8> = half.data.drain(..count).collect();
        half.delivered += count as u64;
        let fin = half.fin && half.delivered == half.written && upto > half.written;
        if fin {
            half.delivered += 1;
        }
        let (upto, limit) = (half.delivered, half.delivered.saturating_add(room - count as u64));
        self.queue.push(self.now + delay, Event::Ack { pipe: id, dir, upto, limit });
        self.hand_over(id, dir, &bytes, fin);
    }

    fn hand_over(&mut self, id: usize, dir: Dir, bytes: &[u8], fin: bool) {
        let pipe = &self.pipes[id];
        let (client, conn) = (pipe.client, pipe.conn);
        match (dir, pipe.server) {
            (Dir::Up, Some(server)) => self.on_received(server, id, bytes, fin),
            _ => {
                if !bytes.is_empty() {
                    self.read(client, conn, bytes);
                }
                if fin && self.pipes[id].client_end == End::Open {
                    self.pipes[id].client_end = End::Gone;
                    self.clients[client].forget(conn);
                    self.input(client, Input::Closed(conn, None));
                }
            }
        }
    }

    pub(crate) fn on_ack(&mut self, id: usize, dir: Dir, upto: u64, limit: u64) {
        if !self.is_open(id, dir.back()) || !self.has_sender(id, dir) {
            return;
        }
        let now = self.now;
        let rtt = 2 * (self.plan.delay + self.plan.jitter);
        self.pipes[id].last_heard = now;
        let half = self.pipes[id].half(dir);
        if upto > half.acked {
            half.acked = upto;
            half.retransmits = 0;
            half.rto = RTO_MIN + rtt;
            half.rto_at = now + half.rto;
            half.stuck_since = now;
        }
        half.limit = half.limit.max(limit);
        self.transmit(id, dir);
        let client = self.pipes[id].client;
        if dir == Dir::Up && self.clients[client].waits_for_room(id) {
            self.pump(client);
        }
    }

    /// The receiver of `dir` has room again.
    pub(crate) fn open_window(&mut self, id: usize, dir: Dir, room: u64) {
        let delay = self.delay();
        let half = self.pipes[id].half(dir);
        let (upto, limit) = (half.delivered, half.delivered.saturating_add(room));
        self.queue.push(self.now + delay, Event::Ack { pipe: id, dir, upto, limit });
    }

    /// An end drops the connection with a reset: what its kernel held is gone.
    pub(crate) fn reset(&mut self, id: usize, dir: Dir) {
        let (now, delay) = (self.now, self.delay());
        let half = self.pipes[id].half(dir);
        let keep = half.sent.min(half.written).saturating_sub(half.delivered) as usize;
        half.data.truncate(keep);
        half.written = half.delivered + half.data.len() as u64;
        half.last_arrival = half.last_arrival.max(now + delay);
        let at = half.last_arrival;
        self.queue.push(at, Event::Rst(id, dir));
    }

    pub(crate) fn on_rst(&mut self, id: usize, dir: Dir) {
        if !self.is_open(id, dir) {
            return;
        }
        match (dir, self.pipes[id].server) {
            (Dir::Up, Some(server)) => self.on_reset(server, id),
            _ => self.break_client(id, "connection reset by peer"),
        }
    }

    /// The client's kernel gives the connection up.
    pub(crate) fn break_client(&mut self, id: usize, text: &str) {
        let pipe = &mut self.pipes[id];
        let was = std::mem::replace(&mut pipe.client_end, End::Gone);
        let (client, conn) = (pipe.client, pipe.conn);
        match was {
            End::Open => {
                self.clients[client].forget(conn);
                self.input(client, Input::Closed(conn, Some(text.to_owned())));
            }
            End::Dialing => {
                self.clients[client].forget(conn);
                self.input(client, Input::DialFailed(conn, text.to_owned()));
            }
            End::Finishing | End::Gone => {}
        }
    }

    pub(crate) fn on_keepalive(&mut self, id: usize) {
        if self.pipes[id].client_end != End::Open {
            return;
        }
        let is_open = self.is_open(id, Dir::Up) && self.is_open(id, Dir::Down);
        match self.pipes[id].server_end {
            End::Open if is_open => self.pipes[id].last_heard = self.now,
            End::Gone if is_open => return self.break_client(id, "connection reset by peer"),
            _ if self.now - self.pipes[id].last_heard >= KEEPALIVE_DEAD => {
                return self.break_client(id, "connection timed out");
            }
            _ => {}
        }
        self.queue.push(self.now + KEEPALIVE_EVERY, Event::Keepalive(id));
    }

    /// The client's kernel's view.
    pub(crate) fn tcp_info(&self, id: usize) -> Option<TcpInfo> {
        if !self.plan.has_tcp_info {
            return None;
        }
        let up = &self.pipes[id].up;
        Some(TcpInfo {
            unacked: (up.sent.saturating_sub(up.acked)).div_ceil(1448) as u32,
            retransmits: up.retransmits,
            // Linux counts the SYN.
            bytes_acked: up.acked + 1,
            rtt: Duration::from_micros(2 * self.plan.delay),
        })
    }
}
