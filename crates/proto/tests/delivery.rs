//! What becomes of requests that are cancelled, cut off or refused: a core, and sockets that do what the test says.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redial_proto::{
    Class, Config, ConnId, Core, Delivery, Endpoint, Error, ErrorKind, Grant, Input, OpenedId,
    Output, RequestOptions, Resend, RetryBudget, Time,
};
use redial_resp::{Command, Frame, Limits, Scanner};

/// A server's end of a connection.
struct Socket {
    conn: ConnId,
    scanner: Scanner,
    sent: BytesMut,
    /// Commands that the test has not answered.
    asked: Vec<String>,
    /// It is in the transaction of a fence.
    fences: bool,
}

struct World {
    core: Core<u64>,
    now: Duration,
    sockets: Vec<Socket>,
    answers: Vec<(u64, Result<Frame, Error>)>,
    /// The driver says at once what the kernel took.
    tells_written: bool,
    /// Who answers, as of the next handshake.
    run_id: &'static str,
    /// It calls itself a replica.
    is_replica: bool,
    refuses_dials: bool,
    /// MULTI is that of a fence, and not a caller's.
    fences: bool,
    /// The server tells nothing of its connections.
    hides_clients: bool,
    /// What the provider of credentials gives, and how often it was asked.
    grant: Option<Grant>,
    questions: usize,
    dials: usize,
    fenced: u64,
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(Endpoint::Tcp { host: "h".into(), port: 1 });
        change(&mut config);
        let mut world = Self {
            core: Core::new(config, RetryBudget::default(), 7),
            now: Duration::ZERO,
            sockets: Vec::new(),
            answers: Vec::new(),
            tells_written: true,
            run_id: "one",
            is_replica: false,
            refuses_dials: false,
            fences: true,
            hides_clients: false,
            grant: None,
            questions: 0,
            dials: 0,
            fenced: 0,
        };
        world.input(Input::Connect);
        world
    }

    fn input(&mut self, input: Input) {
        let now = Time::from_micros(self.now.as_micros() as u64);
        self.core.handle_input(now, input);
        self.run();
    }

    /// Does what the core wants until it wants nothing.
    fn run(&mut self) {
        let now = Time::from_micros(self.now.as_micros() as u64);
        while let Some(output) = self.core.poll_output() {
            let answer = match output {
                Output::Answer { token, reply } => {
                    self.answers.push((token, reply));
                    continue;
                }
                Output::Dial { conn, .. } if self.refuses_dials => {
                    Input::DialFailed(conn, "refused".into())
                }
                Output::Dial { conn, .. } => {
                    self.dials += 1;
                    let scanner = Scanner::new(Limits::default());
                    let (sent, asked) = (BytesMut::new(), Vec::new());
                    self.sockets.push(Socket { conn, scanner, sent, asked, fences: false });
                    Input::Connected(conn)
                }
                Output::Close { conn, .. } => {
                    self.sockets.retain(|socket| socket.conn != conn);
                    continue;
                }
                Output::Inspect(conn) => Input::Inspected(conn, None),
                Output::AskCredentials { .. } => {
                    self.questions += 1;
                    Input::Granted(self.grant.clone().ok_or_else(|| "none".into()))
                }
                Output::Lead { link, .. } => Input::Lead(link, true),
                _ => continue,
            };
            self.core.handle_input(now, answer);
        }
        self.write();
        if self.core.poll_timeout() <= now {
            self.input(Input::Tick);
        }
    }

    fn write(&mut self) {
        let mut replies = Vec::new();
        for socket in &mut self.sockets {
            let mut taken = 0;
            self.core.take_writes(socket.conn, |bytes| {
                taken += bytes.len();
                socket.sent.extend_from_slice(&bytes);
            });
            if taken > 0 && self.tells_written {
                replies.push(Input::Written(socket.conn, taken));
            }
            while let Ok(Some(len)) = socket.scanner.scan(&socket.sent) {
                let frame = Frame::from_scanned(Bytes::from(socket.sent.split_to(len)));
                let words = frame.decode::<Vec<String>>().unwrap().join(" ");
                socket.fences |= words == "MULTI" && self.fences;
                let usual = match (words.as_str(), socket.fences) {
                    ("MULTI", true) => Some("+OK\r\n".into()),
                    ("EXEC", true) => {
                        socket.fences = false;
                        self.fenced += 1;
                        let told = "id=7 flags=N qbuf=0 tot-net-in=1000000";
                        Some(format!("*2\r\n${}\r\n{told}\r\n:1\r\n", told.len()))
                    }
                    (_, true) => Some("+QUEUED\r\n".into()),
                    (words, false) if words.starts_with("CLIENT LIST ID") && self.hides_clients => {
                        Some("-NOPERM no\r\n".into())
                    }
                    ("INFO replication", false) if self.is_replica => {
                        Some("$12\r\nrole:slave\r\n\r\n".into())
                    }
                    (words, false) => usual(words, self.run_id),
                };
                match usual {
                    Some(reply) => {
                        replies.push(Input::Read(socket.conn, BytesMut::from(reply.as_bytes())));
                    }
                    None => socket.asked.push(words),
                }
            }
        }
        let has_replies = !replies.is_empty();
        for reply in replies {
            let now = Time::from_micros(self.now.as_micros() as u64);
            self.core.handle_input(now, reply);
        }
        if has_replies {
            self.run();
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = Duration::from_micros(self.core.poll_timeout().as_micros()).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            self.input(Input::Tick);
        }
    }

    fn submit(
        &mut self,
        line: &str,
        token: u64,
        options: &RequestOptions,
    ) -> redial_proto::RequestId {
        self.core.set_now(Time::from_micros(self.now.as_micros() as u64));
        let id = self.core.submit(&command(line), token, options).unwrap();
        self.run();
        id
    }

    /// The socket on which this was asked.
    fn socket(&self, asked: &str) -> &Socket {
        self.sockets.iter().find(|socket| socket.asked.iter().any(|line| line == asked)).unwrap()
    }

    fn reply(&mut self, conn: ConnId, reply: &str) {
        self.input(Input::Read(conn, BytesMut::from(reply.as_bytes())));
    }

    fn delivery(&self, token: u64) -> Option<Delivery> {
        let (_, reply) = self.answers.iter().find(|(its, _)| *its == token)?;
        Some(reply.as_ref().map_or_else(Error::delivery, |_| Delivery::Answered))
    }
}

fn command(line: &str) -> Command {
    let (name, args) = line.split_once(' ').unwrap_or((line, ""));
    let mut command = Command::new(name);
    for arg in args.split(' ').filter(|arg| !arg.is_empty()) {
        command.push_arg(arg.as_bytes());
    }
    command
}

/// What a primary answers to a handshake.
fn usual(words: &str, run_id: &str) -> Option<String> {
    let bulk = |text: String| format!("${}\r\n{text}\r\n", text.len());
    Some(match words {
        _ if words.starts_with("AUTH") => "+OK\r\n".into(),
        _ if words.starts_with("HELLO 3") => "%1\r\n+proto\r\n:3\r\n".into(),
        "INFO server" => bulk(format!("run_id:{run_id}\r\nredis_version:8.2.0\r\n")),
        "INFO replication" => bulk("role:master\r\nmaster_replid:history\r\n".into()),
        "CLIENT ID" => ":7\r\n".into(),
        "PING" => "+PONG\r\n".into(),
        _ if words.starts_with("CLIENT SETINFO") => "+OK\r\n".into(),
        _ if words.starts_with("CLIENT MAINT_NOTIFICATIONS") => "-ERR unknown\r\n".into(),
        _ if words.starts_with("CLIENT LIST ID") => bulk(String::new()),
        _ => return None,
    })
}

fn on(link: OpenedId) -> RequestOptions {
    RequestOptions { on: Some(link), ..RequestOptions::default() }
}

#[test]
fn what_stands_behind_a_blocked_command_that_is_cancelled_may_have_run() {
    let mut world = World::new(|_| {});
    let own = world.core.open_dedicated(None).unwrap();
    world.run();
    // The driver has written, and says so when it runs again.
    world.tells_written = false;
    let blocked = world.submit("BLPOP l 0", 1, &on(own));
    world.submit("INCR n", 2, &on(own));
    assert_eq!(world.socket("INCR n").asked, ["BLPOP l 0", "INCR n"]);
    world.core.cancel(blocked, 1);
    world.run();
    assert_eq!(world.delivery(2), Some(Delivery::Unknown));
}

/// So many GETs in one piece, with tokens from 0 on.
fn pipeline(world: &mut World, commands: u64) {
    let get = command("GET k");
    let get = get.as_contiguous().unwrap();
    let encoded = get.repeat(commands as usize);
    let each = (1..=commands).map(|n| (get.len() * n as usize, Class::READ, n - 1));
    world.core.submit_encoded(&encoded, each, &RequestOptions::default(), |_, accepted| {
        accepted.unwrap();
    });
    world.run();
}

#[test]
fn what_is_sent_in_pipelines_pays_for_sending_again_like_anything_else() {
    let mut world = World::new(|_| {});
    for round in 0..5 {
        for answered in [true, true, true, true, true, false] {
            world.answers.clear();
            pipeline(&mut world, 10_000);
            let socket = world.sockets.iter_mut().find(|socket| !socket.asked.is_empty()).unwrap();
            assert_eq!(std::mem::take(&mut socket.asked).len(), 10_000);
            let conn = socket.conn;
            if !answered {
                world.input(Input::Closed(conn, None));
                // Sent again on the next connection, without waiting for anything else.
                world.pass(Duration::from_millis(200));
            }
            let conn = world.sockets[0].conn;
            world.sockets[0].asked.clear();
            world.reply(conn, &"$-1\r\n".repeat(10_000));
            let lost = world.answers.iter().filter(|(_, reply)| reply.is_err()).count();
            assert_eq!((lost, world.answers.len()), (0, 10_000), "round {round}");
        }
    }
}

#[test]
fn durable_writes_go_where_the_client_goes() {
    let mut world = World::new(|_| {});
    let durable = world.core.open_durable(1, Duration::from_millis(100)).unwrap();
    world.run();
    assert_eq!(world.sockets.len(), 2);
    let shared = world.sockets[0].conn;
    // The endpoint leads to another server; the one before still lives, and believes that it leads.
    world.run_id = "two";
    world.input(Input::Closed(shared, None));
    world.pass(Duration::from_secs(1));
    let old = world.sockets[0].conn;
    world.submit("SET k v", 1, &on(durable));
    assert_ne!(world.socket("SET k v").conn, old, "the server that was left");
}

#[test]
fn a_replica_that_lags_makes_no_silence_and_one_that_is_gone_does() {
    let mut world = World::new(|_| {});
    let durable = world.core.open_durable(1, Duration::from_secs(3)).unwrap();
    world.run();
    world.submit("SET k v", 1, &on(durable));
    let conn = world.socket("SET k v").conn;
    world.reply(conn, "+OK\r\n");
    world.pass(Duration::from_millis(2900));
    assert_eq!(world.dials, 2, "nobody was asked who leads");
    world.pass(Duration::from_millis(1500));
    assert!(world.dials > 2, "a WAIT that does not end when it should is silence");
}

#[test]
fn credentials_that_have_expired_already_do_not_ask_the_provider_without_a_pause() {
    let mut world = World::new(|config| config.ask_credentials = true);
    world.grant = Some(Grant::new(None, "late").valid_for(Duration::ZERO));
    world.input(Input::Tick);
    world.pass(Duration::from_secs(10));
    assert!(world.questions > 1 && world.questions < 20, "{}", world.questions);
}

#[test]
fn a_command_that_blocks_a_dedicated_connection_is_no_silence() {
    let mut world = World::new(|_| {});
    world.hides_clients = true;
    let own = world.core.open_dedicated(None).unwrap();
    world.run();
    world.submit("BLPOP l 0", 1, &on(own));
    let conn = world.socket("BLPOP l 0").conn;
    world.pass(Duration::from_secs(60));
    assert_eq!(world.delivery(1), None);
    // What comes behind it is waited for as ever.
    world.submit("GET k", 2, &on(own));
    world.reply(conn, "*-1\r\n");
    assert_eq!(world.delivery(1), Some(Delivery::Answered));
    world.pass(Duration::from_secs(20));
    assert_eq!(world.delivery(2), Some(Delivery::Unknown));
}

#[test]
fn what_waits_for_a_connection_that_is_being_opened_waits_without_an_offline_queue_too() {
    let mut world = World::new(|config| config.enable_offline_queue = false);
    let own = world.core.open_dedicated(None).unwrap();
    assert!(world.core.submit(&command("GET k"), 1, &on(own)).is_ok());
    let durable = world.core.open_durable(1, Duration::from_millis(100)).unwrap();
    assert!(world.core.submit(&command("GET k"), 2, &on(durable)).is_ok());
}

#[test]
fn a_transaction_of_which_every_part_is_refused_in_the_same_words_did_not_run() {
    let mut world = World::new(|_| {});
    world.fences = false;
    let encoded: Vec<u8> = ["MULTI", "INCR n", "EXEC"]
        .iter()
        .flat_map(|line| command(line).as_contiguous().unwrap().to_vec())
        .collect();
    let options = RequestOptions::default();
    world.core.submit_transaction(&encoded, 1, Class::default(), 1, &options).unwrap();
    world.run();
    let conn = world.socket("EXEC").conn;
    world.reply(conn, "-NOAUTH who are you\r\n-NOAUTH who are you\r\n-EXECABORT Transaction discarded because of: NOAUTH who are you\r\n");
    let (_, reply) = &world.answers[0];
    assert_eq!(reply.as_ref().unwrap().error().unwrap().code(), "NOAUTH");
}

#[test]
fn without_connections_for_them_blocking_commands_are_refused() {
    let mut world = World::new(|config| config.max_blocking_connections = 0);
    let refused = world.core.submit(&command("BLPOP l 0"), 1, &RequestOptions::default());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidRequest);
}

#[test]
fn times_of_zero_are_taken_for_short_ones() {
    let mut world = World::new(|config| {
        let zero = Duration::ZERO;
        config.liveness.suspect_after = zero;
        config.liveness.ping_interval = zero;
        config.liveness.condemn_after = zero;
    });
    for _ in 0..1000 {
        let next = Duration::from_micros(world.core.poll_timeout().as_micros());
        world.now = world.now.max(next);
        world.input(Input::Tick);
    }
    assert!(world.now > Duration::from_secs(1), "{:?}", world.now);
    assert_eq!(world.core.state(), redial_proto::State::Ready);
}

#[test]
fn what_ran_once_has_run_whatever_becomes_of_sending_it_again() {
    let mut world = World::new(|config| config.resend = Resend::Always);
    world.submit("INCR n", 1, &RequestOptions::default());
    // The server says that the connection is gone, and that it took what was on it.
    world.pass(Duration::from_secs(11));
    assert_eq!(world.delivery(1), Some(Delivery::Ran));
}

#[test]
fn what_a_lost_connection_left_in_a_server_is_ended_before_the_next_is_used_there() {
    let mut world = World::new(|_| {});
    world.run();
    for (run_id, fenced) in [("one", 1), ("another", 1)] {
        world.submit("INCR n", fenced, &RequestOptions::default());
        let lost = world.socket("INCR n").conn;
        world.run_id = run_id;
        world.input(Input::Closed(lost, None));
        world.pass(Duration::from_secs(1));
        assert_eq!(world.fenced, fenced, "after the connection to `one`, {run_id} answered");
    }
}

#[test]
fn what_is_sent_again_keeps_its_order_also_behind_what_was_refused() {
    let mut world = World::new(|_| {});
    world.run();
    for (token, line) in [(1, "GET a"), (2, "GET b"), (3, "GET c")] {
        world.submit(line, token, &RequestOptions::default());
    }
    let lost = world.socket("GET c").conn;
    world.reply(lost, "-LOADING later\r\n");
    world.run_id = "another";
    world.input(Input::Closed(lost, None));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.socket("GET c").asked, ["GET a", "GET b", "GET c"]);
}

#[test]
fn what_a_client_that_ended_left_in_a_server_is_ended_before_it_is_used_again() {
    let mut world = World::new(|_| {});
    world.run();
    world.submit("INCR n", 1, &RequestOptions::default());
    world.input(Input::Disconnect);
    world.input(Input::Connect);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.fenced, 1, "with a request in flight");
    world.input(Input::Disconnect);
    world.input(Input::Connect);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.fenced, 1, "with nothing in flight");
}

#[test]
fn an_error_that_answers_a_second_try_says_nothing_of_the_first() {
    for (line, second, kind, delivery) in [
        // The fence says that the first server took it.
        ("INCR n", "-OOM no\r\n", Some(ErrorKind::Server), Delivery::Ran),
        ("INCR n", ":1\r\n", None, Delivery::Answered),
        ("GET n", "-WRONGTYPE no\r\n", None, Delivery::Answered),
    ] {
        let mut world = World::new(|config| config.resend = Resend::Always);
        world.run();
        world.submit(line, 1, &RequestOptions::default());
        let lost = world.socket(line).conn;
        world.run_id = "another";
        world.input(Input::Closed(lost, None));
        world.pass(Duration::from_secs(1));
        let conn = world.socket(line).conn;
        world.reply(conn, second);
        let (_, reply) = world.answers.first().unwrap();
        assert_eq!(reply.as_ref().err().map(Error::kind), kind, "{line} {second}");
        assert_eq!(world.delivery(1), Some(delivery), "{line} {second}");
    }
}

#[test]
fn a_server_that_one_link_finds_to_be_a_replica_is_doubted_by_the_shared_one_too() {
    let mut world = World::new(|_| {});
    world.run();
    world.submit("BLPOP q 0", 1, &RequestOptions::default());
    let blocked = world.socket("BLPOP q 0").conn;
    world.is_replica = true;
    world.reply(blocked, "-UNBLOCKED force unblock from blocking operation\r\n");
    assert_eq!(world.core.state(), redial_proto::State::Suspect, "though it has nothing to write");
}

#[test]
fn a_command_that_makes_the_server_close_is_found_out_and_given_up() {
    for (resend, poison) in [(Resend::Safe, "GET big"), (Resend::Always, "INCR big")] {
        let mut world = World::new(|config| config.resend = resend);
        for (token, line) in [(1, "GET a"), (2, poison), (3, "GET b")] {
            world.submit(line, token, &RequestOptions::default());
        }
        let (mut beside, mut last) = (Vec::new(), 3);
        while world.delivery(2).is_none() {
            let socket = world.sockets.iter_mut().find(|socket| !socket.asked.is_empty()).unwrap();
            let (conn, asked) = (socket.conn, std::mem::take(&mut socket.asked));
            if asked.iter().any(|line| line == poison) {
                beside.push(asked.len() - 1);
                world.input(Input::Closed(conn, None));
            } else {
                world.reply(conn, &"$-1\r\n".repeat(asked.len()));
            }
            world.pass(Duration::from_millis(200));
            // Whoever comes meanwhile does not pay for it.
            last += 1;
            world.submit("GET c", last, &RequestOptions::default());
        }
        assert_eq!(beside, [2, 3, 4, 0, 0]);
        assert_eq!(world.delivery(2), Some(Delivery::Unknown));
        while let Some(socket) = world.sockets.iter_mut().find(|socket| !socket.asked.is_empty()) {
            let (conn, asked) = (socket.conn, std::mem::take(&mut socket.asked));
            world.reply(conn, &"$-1\r\n".repeat(asked.len()));
        }
        for token in (1..=last).filter(|token| *token != 2) {
            assert_eq!(world.delivery(token), Some(Delivery::Answered), "{token}");
        }
    }
}

#[test]
fn where_a_network_flaps_not_all_that_was_in_flight_is_suspected() {
    let mut world = World::new(|_| {});
    for token in 0..3000 {
        world.submit("GET a", token, &RequestOptions::default());
    }
    let (mut cuts, mut alone) = (0, 0);
    while world.delivery(2999).is_none() {
        let socket = world.sockets.iter_mut().find(|socket| !socket.asked.is_empty()).unwrap();
        let (conn, asked) = (socket.conn, std::mem::take(&mut socket.asked));
        if cuts < 3 {
            cuts += 1;
            world.input(Input::Closed(conn, None));
            world.pass(Duration::from_millis(200));
        } else {
            alone += usize::from(asked.len() == 1);
            world.reply(conn, &"$-1\r\n".repeat(asked.len()));
        }
    }
    assert_eq!(alone, 1000);
}

#[test]
fn what_blocks_may_be_cut_off_as_often_as_it_happens() {
    let mut world = World::new(|_| {});
    world.submit("XREAD BLOCK 0 STREAMS s $", 1, &RequestOptions::default());
    for _ in 0..20 {
        world.pass(Duration::from_millis(300));
        let conn = world.socket("XREAD BLOCK 0 STREAMS s $").conn;
        world.input(Input::Closed(conn, None));
    }
    assert_eq!(world.delivery(1), None);
}

#[test]
fn a_server_that_closes_every_connection_at_once_is_dialed_with_pauses() {
    let mut world = World::new(|_| {});
    for _ in 0..1000 {
        if let Some(socket) = world.sockets.first() {
            let conn = socket.conn;
            world.input(Input::Closed(conn, None));
        }
        world.pass(Duration::from_millis(1));
    }
    assert!((9..15).contains(&world.dials), "{} dials in a second", world.dials);
}
