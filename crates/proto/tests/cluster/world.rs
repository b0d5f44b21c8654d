//! Nodes that tell what the test wants them to tell, and a client of theirs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use redial_proto::{
    Config, ConnId, Core, Deployment, Endpoint, Error, Input, Output, RequestOptions, RetryBudget,
    Seeds, SubscriptionChange, Time,
};
use redial_resp::{Command, Frame, Limits, Scanner};

pub(crate) const MS: u64 = 1000;

type Answer = dyn FnMut(u16, &str) -> String;

/// What a node says of the slots: its epoch, and `first..=last` with the port that has them.
pub(crate) type View = (u64, Vec<(u16, u16, u16)>);

pub(crate) struct World {
    pub(crate) core: Core<u64>,
    pub(crate) now: u64,
    sockets: BTreeMap<ConnId, (u16, BytesMut)>,
    held: BTreeSet<ConnId>,
    /// What callers' commands are answered with, on which node; with nothing, the connection answers nothing any more.
    answer: Box<Answer>,
    /// Callers' commands, and where they came to.
    pub(crate) asked: Vec<(u16, String)>,
    pub(crate) answers: BTreeMap<u64, Result<Frame, Error>>,
    todo: VecDeque<Input>,
    /// What all nodes say of the slots, and what some say instead.
    pub(crate) view: View,
    pub(crate) views: BTreeMap<u16, View>,
    /// Replicas, and whom they follow.
    pub(crate) follows: BTreeMap<u16, u16>,
    /// Nodes that refuse connections.
    pub(crate) dead: BTreeSet<u16>,
    /// Every dial.
    pub(crate) dials: Vec<u16>,
    pub(crate) changes: Vec<SubscriptionChange>,
}

impl World {
    /// Node 1 has the lower half of the slots (`b`, `c`), node 2 the upper (`a`).
    pub(crate) fn new(answer: impl FnMut(u16, &str) -> String + 'static) -> Self {
        Self::with(|_| {}, answer)
    }

    pub(crate) fn with(
        configure: impl FnOnce(&mut Config),
        answer: impl FnMut(u16, &str) -> String + 'static,
    ) -> Self {
        let node = |port| Endpoint::Tcp { host: "h".into(), port };
        let mut config = Config::new(node(1));
        let endpoints = vec![node(1), node(2)];
        config.deployment = Deployment::Cluster(Seeds { endpoints, address_map: Vec::new() });
        configure(&mut config);
        let mut world = Self {
            core: Core::new(config, RetryBudget::default(), 7),
            now: 1000 * MS,
            sockets: BTreeMap::new(),
            held: BTreeSet::new(),
            answer: Box::new(answer),
            asked: Vec::new(),
            answers: BTreeMap::new(),
            todo: VecDeque::new(),
            view: (7, vec![(0, 8191, 1), (8192, 16383, 2)]),
            views: BTreeMap::new(),
            follows: BTreeMap::new(),
            dead: BTreeSet::new(),
            dials: Vec::new(),
            changes: Vec::new(),
        };
        world.input(Input::Connect);
        world.run_for(100);
        world
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.todo.push_back(input);
        self.settle();
        while let Some(input) = self.todo.pop_front() {
            self.core.handle_input(Time::from_micros(self.now), input);
            self.settle();
        }
    }

    fn settle(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Answer { token, reply } => {
                    let again = self.answers.insert(token, reply);
                    assert!(again.is_none(), "{token} was answered twice");
                }
                Output::Dial { conn, endpoint: Endpoint::Tcp { port, .. } } => {
                    self.dials.push(port);
                    if self.dead.contains(&port) {
                        self.todo.push_back(Input::DialFailed(conn, "refused".into()));
                        continue;
                    }
                    self.sockets.insert(conn, (port, BytesMut::new()));
                    self.todo.push_back(Input::Connected(conn));
                }
                Output::Close { conn, .. } => drop(self.sockets.remove(&conn)),
                Output::Inspect(conn) => self.todo.push_back(Input::Inspected(conn, None)),
                Output::Lead { link, .. } => self.todo.push_back(Input::Lead(link, true)),
                Output::Subscription { change, .. } => self.changes.push(change),
                _ => {}
            }
        }
        for conn in self.sockets.keys().copied().collect::<Vec<_>>() {
            self.serve(conn);
        }
    }

    /// What was written on a connection is read and answered.
    fn serve(&mut self, conn: ConnId) {
        let Some((port, read)) = self.sockets.get_mut(&conn) else { return };
        let (port, mut taken) = (*port, 0);
        self.core.take_writes(conn, |bytes| {
            taken += bytes.len();
            read.extend_from_slice(&bytes);
        });
        if taken == 0 {
            return;
        }
        self.todo.push_back(Input::Written(conn, taken));
        let mut scanner = Scanner::new(Limits::default());
        let mut replies = String::new();
        while let Ok(Some(len)) = scanner.scan(read) {
            let frame = Frame::from_scanned(Bytes::from(read.split_to(len)));
            let line = frame.decode::<Vec<String>>().unwrap().join(" ");
            let view = self.views.get(&port).unwrap_or(&self.view);
            let reply = usual(port, &line, view, &self.follows).unwrap_or_else(|| {
                self.asked.push((port, line.clone()));
                (self.answer)(port, &line)
            });
            if reply.is_empty() {
                self.held.insert(conn);
            }
            if !self.held.contains(&conn) {
                replies += &reply;
            }
        }
        self.todo.push_back(Input::Read(conn, BytesMut::from(replies.as_bytes())));
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        let end = self.now + ms * MS;
        loop {
            let next = self.core.poll_timeout().as_micros().max(self.now);
            self.now = next.min(end);
            if next > end {
                return;
            }
            self.input(Input::Tick);
        }
    }

    pub(crate) fn submit(&mut self, line: &str, token: u64) {
        self.submit_with(line, token, &RequestOptions::default());
    }

    pub(crate) fn submit_with(&mut self, line: &str, token: u64, options: &RequestOptions) {
        self.core.set_now(Time::from_micros(self.now));
        self.core.submit(&command(line), token, options).unwrap();
    }

    /// A node goes away with all its connections; dials are refused from now on.
    pub(crate) fn kill(&mut self, port: u16) {
        self.dead.insert(port);
        let its: Vec<_> =
            self.sockets.iter().filter(|(_, (at, _))| *at == port).map(|(conn, _)| *conn).collect();
        for conn in its {
            self.sockets.remove(&conn);
            self.input(Input::Closed(conn, None));
        }
    }

    /// What comes on the newest connection to a node.
    pub(crate) fn say(&mut self, port: u16, text: &str) {
        let its = self.sockets.iter().filter(|(_, (at, _))| *at == port).map(|(conn, _)| *conn);
        let newest = its.max().unwrap();
        self.input(Input::Read(newest, BytesMut::from(text.as_bytes())));
    }

    /// The commands of callers that came to a node.
    pub(crate) fn asked_of(&self, port: u16) -> Vec<&str> {
        let its = self.asked.iter().filter(|(at, _)| *at == port);
        its.map(|(_, line)| line.as_str()).collect()
    }

    /// Whether these were answered well.
    pub(crate) fn are_answered(&self, tokens: std::ops::Range<u64>) -> bool {
        let answer = |token| self.answers.get(&token).and_then(|reply| reply.as_ref().ok());
        tokens.map(answer).all(|reply| reply.is_some_and(|frame| frame.error().is_none()))
    }

    pub(crate) fn asked_for(&self, key: &str) -> usize {
        self.asked.iter().filter(|(_, line)| line.split(' ').nth(1) == Some(key)).count()
    }
}

pub(crate) fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    words.for_each(|word| command.push_arg(word.as_bytes()));
    command
}

/// What every node answers to a handshake and to questions.
fn usual(
    port: u16,
    line: &str,
    (epoch, slots): &View,
    follows: &BTreeMap<u16, u16>,
) -> Option<String> {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let member = |port: u16| {
        let id = port.to_string().repeat(40);
        format!("*3\r\n$1\r\nh\r\n:{port}\r\n${}\r\n{id}\r\n", id.len())
    };
    let range = |(first, last, primary): &(u16, u16, u16)| {
        let replicas = follows.iter().filter(|(_, its)| *its == primary).map(|(port, _)| *port);
        let members: Vec<_> = std::iter::once(*primary).chain(replicas).map(member).collect();
        format!("*{}\r\n:{first}\r\n:{last}\r\n{}", members.len() + 2, members.concat())
    };
    let role = if follows.contains_key(&port) { "slave" } else { "master" };
    Some(match line {
        _ if line.starts_with("HELLO 3") => "%1\r\n+proto\r\n:3\r\n".into(),
        "CLUSTER SLOTS" => {
            format!("*{}\r\n{}", slots.len(), slots.iter().map(range).collect::<String>())
        }
        "CLUSTER INFO" => bulk(&format!("cluster_state:ok\r\ncluster_current_epoch:{epoch}\r\n")),
        "INFO server" => bulk(&format!("run_id:{port}\r\nredis_version:7.0.0\r\n")),
        "INFO replication" => bulk(&format!("role:{role}\r\nmaster_replid:history\r\n")),
        "ROLE" => format!("*3\r\n{}:0\r\n*0\r\n", bulk(role)),
        "CLIENT ID" => ":7\r\n".into(),
        "PING" => "+PONG\r\n".into(),
        _ if line.starts_with("CLIENT SETINFO") => "+OK\r\n".into(),
        _ if line.starts_with("CLIENT MAINT_NOTIFICATIONS") => "-ERR unknown\r\n".into(),
        _ if line.starts_with("CLIENT LIST") => bulk(""),
        _ => return None,
    })
}
