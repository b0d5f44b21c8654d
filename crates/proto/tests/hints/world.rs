//! Servers by address, and a network without delay: what is written is answered at once, unless the server holds it back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use redial_proto::{
    Config, ConnId, Core, Endpoint, Error, EventKind, Input, Maintenance, Output, Purpose,
    RequestOptions, RetryBudget, SubscriptionChange, SubscriptionKind, Time,
};
use redial_resp::{Bytes, Command, Frame, Limits, Scanner};

pub(crate) const MS: u64 = 1000;

/// Who is behind an address.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) run_id: &'static str,
    pub(crate) role: &'static str,
    pub(crate) replid: &'static str,
    pub(crate) replid2: &'static str,
    /// Nobody listens.
    pub(crate) is_down: bool,
    /// It takes connections, and says nothing.
    pub(crate) is_mute: bool,
    /// What it announces as soon as it is asked to announce.
    pub(crate) announces: &'static str,
    /// May SUBSCRIBE.
    pub(crate) may_subscribe: bool,
}

pub(crate) fn primary(run_id: &'static str) -> Server {
    Server {
        run_id,
        role: "master",
        replid: "history",
        replid2: "",
        is_down: false,
        is_mute: false,
        announces: "",
        may_subscribe: true,
    }
}

struct Socket {
    address: String,
    read: BytesMut,
    /// Replies that wait behind a SLOW.
    held: Option<Vec<u8>>,
}

pub(crate) struct World {
    pub(crate) core: Core<u64>,
    pub(crate) now: u64,
    pub(crate) servers: BTreeMap<String, Server>,
    sockets: BTreeMap<ConnId, Socket>,
    pub(crate) dials: Vec<(u64, String)>,
    pub(crate) events: Vec<(u64, Purpose, EventKind)>,
    pub(crate) answers: BTreeMap<u64, Result<Frame, Error>>,
    pub(crate) commands: Vec<(String, Vec<String>)>,
    pub(crate) pushes: usize,
    /// Subscriptions of the program that were confirmed.
    pub(crate) confirmed: usize,
    todo: VecDeque<Input>,
}

pub(crate) fn tcp(address: &str) -> Endpoint {
    let (host, port) = address.rsplit_once(':').unwrap();
    Endpoint::Tcp { host: host.into(), port: port.parse().unwrap() }
}

impl World {
    /// A client of `a:1`, connected.
    pub(crate) fn new(servers: &[(&str, Server)]) -> Self {
        Self::with(servers, |config| config)
    }

    pub(crate) fn with(servers: &[(&str, Server)], change: impl FnOnce(Config) -> Config) -> Self {
        let config = change(Config::new(tcp(servers[0].0)));
        let mut world = Self {
            core: Core::new(config, RetryBudget::default(), 7),
            now: 1_000_000,
            servers: servers.iter().map(|(at, who)| ((*at).to_owned(), who.clone())).collect(),
            sockets: BTreeMap::new(),
            dials: Vec::new(),
            events: Vec::new(),
            answers: BTreeMap::new(),
            commands: Vec::new(),
            pushes: 0,
            confirmed: 0,
            todo: VecDeque::new(),
        };
        world.input(Input::Connect);
        world.run_for(10);
        world.dials.clear();
        world.events.clear();
        world
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.todo.push_back(input);
        while let Some(input) = self.todo.pop_front() {
            self.core.handle_input(Time::from_micros(self.now), input);
            self.settle();
        }
    }

    fn settle(&mut self) {
        while let Some(output) = self.core.poll_output() {
            self.on_output(output);
        }
        let ids: Vec<ConnId> = self.sockets.keys().copied().collect();
        for id in ids {
            let mut written = BytesMut::new();
            self.core.take_writes(id, |bytes| written.extend_from_slice(&bytes));
            if !written.is_empty() {
                self.todo.push_back(Input::Written(id, written.len()));
                self.serve(id, &written);
            }
        }
    }

    fn on_output(&mut self, output: Output<u64>) {
        match output {
            Output::Dial { conn, endpoint } => {
                let address = endpoint.to_string();
                self.dials.push((self.now, address.clone()));
                if self.servers.get(&address).is_none_or(|server| server.is_down) {
                    let text = "connection refused".to_owned();
                    return self.todo.push_back(Input::DialFailed(conn, text));
                }
                let socket = Socket { address, read: BytesMut::new(), held: None };
                self.sockets.insert(conn, socket);
                self.todo.push_back(Input::Peer(conn, "10.0.0.1".parse().unwrap()));
                self.todo.push_back(Input::Connected(conn));
            }
            Output::Close { conn, .. } => drop(self.sockets.remove(&conn)),
            Output::Inspect(conn) => self.todo.push_back(Input::Inspected(conn, None)),
            Output::Lead { link, .. } => self.todo.push_back(Input::Lead(link, true)),
            Output::Event(event) => self.events.push((self.now, event.purpose, event.kind)),
            Output::Answer { token, reply } => drop(self.answers.insert(token, reply)),
            Output::Subscription { change: SubscriptionChange::Confirmed { .. }, .. } => {
                self.confirmed += 1;
            }
            Output::Push { .. } => self.pushes += 1,
            _ => {}
        }
    }

    /// The server's side of a socket.
    fn serve(&mut self, id: ConnId, bytes: &[u8]) {
        let socket = self.sockets.get_mut(&id).unwrap();
        if self.servers[&socket.address].is_mute {
            return;
        }
        socket.read.extend_from_slice(bytes);
        let mut replies = Vec::new();
        while let Ok(Some(len)) = Scanner::new(Limits::default()).scan(&socket.read) {
            let frame = Frame::from_scanned(Bytes::from(socket.read.split_to(len)));
            let words: Vec<String> = frame.decode().unwrap();
            if words == ["SLOW"] {
                socket.held = Some(std::mem::take(&mut replies));
            } else {
                let reply = reply(&self.servers[&socket.address], &words);
                socket.held.as_mut().unwrap_or(&mut replies).extend(reply);
            }
            self.commands.push((socket.address.clone(), words));
        }
        self.say(id, &replies);
    }

    fn say(&mut self, id: ConnId, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut buffer = self.core.take_buffer(id);
            buffer.extend_from_slice(bytes);
            self.todo.push_back(Input::Read(id, buffer));
        }
    }

    fn sockets_at(&self, address: &str) -> Vec<ConnId> {
        let at = |(id, socket): (&ConnId, &Socket)| (socket.address == address).then_some(*id);
        self.sockets.iter().filter_map(at).collect()
    }

    /// The server says this on the oldest connection to it.
    pub(crate) fn push(&mut self, address: &str, bytes: &str) {
        let id = self.sockets_at(address)[0];
        self.say(id, bytes.as_bytes());
        self.input(Input::Tick);
    }

    /// The server publishes a message on Azure's channel.
    pub(crate) fn publish(&mut self, address: &str, message: &str) {
        let id = *self.sockets_at(address).last().unwrap();
        let channel = "AzureRedisEvents";
        let frame = format!(
            ">3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{message}\r\n",
            channel.len(),
            message.len()
        );
        self.say(id, frame.as_bytes());
        self.input(Input::Tick);
    }

    /// SLOW is answered, and what waits behind it.
    pub(crate) fn finish_slow(&mut self) {
        let held = |socket: &mut Socket| socket.held.take();
        let found = self.sockets.iter_mut().find_map(|(id, socket)| Some((*id, held(socket)?)));
        let (id, behind) = found.unwrap();
        self.say(id, &[b"+OK\r\n", behind.as_slice()].concat());
        self.input(Input::Tick);
    }

    /// The server closes every connection to it.
    pub(crate) fn cut(&mut self, address: &str) {
        for id in self.sockets_at(address) {
            self.sockets.remove(&id);
            self.input(Input::Closed(id, None));
        }
    }

    pub(crate) fn connections(&self, address: &str) -> usize {
        self.sockets_at(address).len()
    }

    pub(crate) fn run_for(&mut self, millis: u64) {
        let end = self.now + millis * MS;
        loop {
            let next = self.core.poll_timeout().as_micros();
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.input(Input::Tick);
        }
    }

    /// Sends a command under this number.
    pub(crate) fn send(&mut self, token: u64, name: &str) {
        self.send_with(token, name, None);
    }

    pub(crate) fn send_with(&mut self, token: u64, name: &str, timeout: Option<Duration>) {
        self.core.set_now(Time::from_micros(self.now));
        let options = RequestOptions { timeout, ..RequestOptions::default() };
        self.core.submit(&Command::new(name), token, &options).unwrap();
        self.input(Input::Tick);
    }

    /// The program subscribes, or does not want to any more.
    pub(crate) fn subscribe(&mut self, channel: &[u8], wanted: bool) {
        self.core.subscribe(SubscriptionKind::Channel, channel, wanted).unwrap();
        self.input(Input::Tick);
    }

    pub(crate) fn is_answered(&self, token: u64) -> bool {
        matches!(self.answers.get(&token), Some(Ok(_)))
    }

    /// Where a command went, last.
    pub(crate) fn server_of(&self, name: &str) -> Option<&str> {
        let is_it = |(_, words): &&(String, Vec<String>)| words[0] == name;
        self.commands.iter().rev().find(is_it).map(|(address, _)| address.as_str())
    }

    pub(crate) fn announced(&self) -> Vec<&Maintenance> {
        let mut announced = Vec::new();
        for (_, _, kind) in &self.events {
            if let EventKind::Maintenance(what) = kind {
                announced.push(&**what);
            }
        }
        announced
    }

    pub(crate) fn count(&self, is_it: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|(_, _, kind)| is_it(kind)).count()
    }

    pub(crate) fn suspicions(&self) -> usize {
        self.count(|kind| matches!(kind, EventKind::Suspected { .. }))
    }

    pub(crate) fn adoptions(&self) -> usize {
        self.count(|kind| matches!(kind, EventKind::Adopted { .. }))
    }

    pub(crate) fn dials_to(&self, address: &str) -> usize {
        self.dials.iter().filter(|(_, to)| to == address).count()
    }
}

fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

fn reply(server: &Server, words: &[String]) -> Vec<u8> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["HELLO", ..] => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
        ["INFO", "server"] => bulk(&format!("run_id:{}\r\nredis_version:7.0.0\r\n", server.run_id)),
        ["INFO", "replication"] => bulk(&format!(
            "role:{}\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nsecond_repl_offset:1\r\n",
            server.role, server.replid, server.replid2
        )),
        ["CLIENT", "MAINT_NOTIFICATIONS", ..] if !server.announces.is_empty() => {
            format!("+OK\r\n{}", server.announces).into()
        }
        ["CLIENT", "MAINT_NOTIFICATIONS", ..] => {
            b"-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n".to_vec()
        }
        ["CLIENT", "ID"] => b":7\r\n".to_vec(),
        ["CLIENT", "LIST", ..] => bulk("id=7 flags=N\n"),
        ["PING"] => b"+PONG\r\n".to_vec(),
        ["SUBSCRIBE", _] if !server.may_subscribe => b"-NOPERM No permissions\r\n".to_vec(),
        ["SUBSCRIBE", channel] => {
            [b">3\r\n$9\r\nsubscribe\r\n".to_vec(), bulk(channel), b":1\r\n".to_vec()].concat()
        }
        ["UNSUBSCRIBE", channel] => {
            [b">3\r\n$11\r\nunsubscribe\r\n".to_vec(), bulk(channel), b":0\r\n".to_vec()].concat()
        }
        _ => b"+OK\r\n".to_vec(),
    }
}
