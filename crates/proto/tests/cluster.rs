//! A client of two nodes that share the slots, and answer what the test says.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use redial_proto::{
    Config, ConnId, Core, Deployment, Endpoint, Error, Input, Output, RequestOptions, RetryBudget,
    Seeds, Time,
};
use redial_resp::{Command, Frame, Limits, Scanner};

const MS: u64 = 1000;

type Answer = dyn FnMut(u16, &str) -> String;

struct World {
    core: Core<u64>,
    now: u64,
    sockets: BTreeMap<ConnId, (u16, BytesMut)>,
    /// What callers' commands are answered with, on which node.
    answer: Box<Answer>,
    /// Callers' commands, and where they came to.
    asked: Vec<(u16, String)>,
    answers: BTreeMap<u64, Result<Frame, Error>>,
    todo: VecDeque<Input>,
}

impl World {
    /// Node 1 has the lower half of the slots (`b`, `c`), node 2 the upper (`a`).
    fn new(answer: impl FnMut(u16, &str) -> String + 'static) -> Self {
        let node = |port| Endpoint::Tcp { host: "h".into(), port };
        let mut config = Config::new(node(1));
        let endpoints = vec![node(1), node(2)];
        config.deployment = Deployment::Cluster(Seeds { endpoints, address_map: Vec::new() });
        let mut world = Self {
            core: Core::new(config, RetryBudget::default(), 7),
            now: 1000 * MS,
            sockets: BTreeMap::new(),
            answer: Box::new(answer),
            asked: Vec::new(),
            answers: BTreeMap::new(),
            todo: VecDeque::new(),
        };
        world.input(Input::Connect);
        world.run_for(100);
        world
    }

    fn input(&mut self, input: Input) {
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
                    self.sockets.insert(conn, (port, BytesMut::new()));
                    self.todo.push_back(Input::Connected(conn));
                }
                Output::Close { conn, .. } => drop(self.sockets.remove(&conn)),
                Output::Inspect(conn) => self.todo.push_back(Input::Inspected(conn, None)),
                Output::Lead { link, .. } => self.todo.push_back(Input::Lead(link, true)),
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
            replies += &usual(port, &line).unwrap_or_else(|| {
                self.asked.push((port, line.clone()));
                (self.answer)(port, &line)
            });
        }
        self.todo.push_back(Input::Read(conn, BytesMut::from(replies.as_bytes())));
    }

    fn run_for(&mut self, ms: u64) {
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

    fn submit(&mut self, line: &str, token: u64) {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        words.for_each(|word| command.push_arg(word.as_bytes()));
        self.core.set_now(Time::from_micros(self.now));
        self.core.submit(&command, token, &RequestOptions::default()).unwrap();
    }

    /// Whether these were answered well.
    fn are_answered(&self, tokens: std::ops::Range<u64>) -> bool {
        let answer = |token| self.answers.get(&token).and_then(|reply| reply.as_ref().ok());
        tokens.map(answer).all(|reply| reply.is_some_and(|frame| frame.error().is_none()))
    }

    fn asked_for(&self, key: &str) -> usize {
        self.asked.iter().filter(|(_, line)| line.split(' ').nth(1) == Some(key)).count()
    }
}

/// What every node answers to a handshake and to questions.
fn usual(port: u16, line: &str) -> Option<String> {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let slots = |first: u16, last: u16, port: u16| {
        let id = port.to_string().repeat(40);
        format!(
            "*3\r\n:{first}\r\n:{last}\r\n*3\r\n$1\r\nh\r\n:{port}\r\n${}\r\n{id}\r\n",
            id.len()
        )
    };
    Some(match line {
        _ if line.starts_with("HELLO 3") => "%1\r\n+proto\r\n:3\r\n".into(),
        "CLUSTER SLOTS" => format!("*2\r\n{}{}", slots(0, 8191, 1), slots(8192, 16383, 2)),
        "CLUSTER INFO" => bulk("cluster_state:ok\r\ncluster_current_epoch:7\r\n"),
        "INFO server" => bulk(&format!("run_id:{port}\r\nredis_version:7.0.0\r\n")),
        "INFO replication" => bulk("role:master\r\nmaster_replid:history\r\n"),
        "ROLE" => "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".into(),
        "CLIENT ID" => ":7\r\n".into(),
        "PING" => "+PONG\r\n".into(),
        _ if line.starts_with("CLIENT SETINFO") => "+OK\r\n".into(),
        _ if line.starts_with("CLIENT MAINT_NOTIFICATIONS") => "-ERR unknown\r\n".into(),
        _ if line.starts_with("CLIENT LIST") => bulk(""),
        _ => return None,
    })
}

#[test]
fn a_node_whose_cluster_is_down_is_asked_by_one_command_at_a_time() {
    let mut down = 10;
    let mut world = World::new(move |node, line| match node {
        1 if line != "GET a" && down > 0 => {
            down -= i32::from(line.starts_with("GET"));
            "-CLUSTERDOWN The cluster is down\r\n".into()
        }
        _ => "+OK\r\n".into(),
    });
    // They wait for the connections, and are written together.
    for token in 0..5 {
        world.submit("GET b", token);
    }
    world.submit("GET a", 5);
    world.input(Input::Tick);
    assert!(world.are_answered(5..6), "another node goes on");
    world.run_for(200);
    for token in 6..1000 {
        world.submit("GET c", token);
    }
    world.run_for(60);
    assert_eq!(world.asked_for("c"), 0, "they wait");
    world.run_for(500);
    assert!(world.are_answered(0..1000));
    assert_eq!(world.asked_for("c"), 994, "once each");
}

#[test]
fn a_slot_that_nobody_serves_waits_for_itself_alone() {
    let mut refusals = 3;
    let mut world = World::new(move |_, line| {
        if line == "GET b" && refusals > 0 {
            refusals -= 1;
            return "-CLUSTERDOWN Hash slot not served\r\n".into();
        }
        "+OK\r\n".into()
    });
    world.submit("GET b", 0);
    world.submit("GET c", 1);
    world.input(Input::Tick);
    assert!(world.are_answered(1..2) && !world.answers.contains_key(&0));
    world.run_for(250);
    assert!(world.are_answered(0..1));
}
