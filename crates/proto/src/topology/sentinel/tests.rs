//! The topology with three Sentinels that say what a test has them say.

use bytes::Bytes;

use super::*;
use crate::rng::Rng;

struct World {
    sentinel: Sentinel,
    rng: Rng,
    now: Time,
    asked: Vec<(NodeId, Question, String)>,
    led: Vec<String>,
    listens: usize,
    forgotten: Vec<NodeId>,
}

fn endpoint(host: &str) -> Endpoint {
    Endpoint::Tcp { host: host.to_owned(), port: 1 }
}

fn frame(text: String) -> Frame {
    Frame::from_scanned(Bytes::from(text))
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn lineage(replid: &str, replid2: &str) -> Lineage {
    Lineage { replid: replid.into(), replid2: replid2.into(), ..Lineage::default() }
}

impl World {
    /// `a` is named in epoch 1; `a`, `b` and `c` are the servers.
    fn new() -> Self {
        let endpoints: Vec<_> = ["s1", "s2", "s3"].map(endpoint).into();
        let config = Config::new(endpoints[0].clone());
        let sentinels =
            Sentinels { endpoints, service: "main".into(), credentials: None, tls: false };
        let mut world = Self {
            sentinel: Sentinel::new(&config, &sentinels),
            rng: Rng::new(7),
            now: Time::from_micros(1),
            asked: Vec::new(),
            led: Vec::new(),
            listens: 0,
            forgotten: Vec::new(),
        };
        world.signal(Signal::Connect);
        world.signal(Signal::Tick);
        world.name("a", 1);
        world.signal(Signal::History(PRIMARY, &lineage("A", "")));
        world.signal(Signal::State(PRIMARY, State::Ready));
        world
    }

    fn signal(&mut self, signal: Signal<'_>) {
        self.sentinel.handle(self.now, &mut self.rng, signal);
        while let Some(order) = self.sentinel.poll_output() {
            match order {
                Order::Ask(node, question, command) => {
                    let words: Vec<_> = command.args().map(String::from_utf8_lossy).collect();
                    self.asked.push((node, question, words.join(" ")));
                }
                Order::Lead(PRIMARY) => {
                    let primary = self.sentinel.words.primary.as_ref();
                    self.led.push(primary.map(|its| its.endpoint.to_string()).unwrap_or_default());
                }
                Order::Listen(..) => self.listens += 1,
                Order::Forget(node) => self.forgotten.push(node),
                _ => {}
            }
        }
    }

    /// Every Sentinel that was asked names this server, and knows `a`, `b` and `c`.
    fn name(&mut self, host: &str, epoch: u64) {
        while let Some((node, question, line)) = self.next(|line| line.starts_with("SENTINEL")) {
            let field = |name: &str, value: &str| bulk(name) + &bulk(value);
            let instance =
                |host: &str| format!("*4\r\n{}{}", field("ip", host), field("port", "1"));
            let reply = match line.split(' ').nth(1).unwrap() {
                "MASTER" => format!("*2\r\n{}", field("config-epoch", &epoch.to_string())),
                "GET-MASTER-ADDR-BY-NAME" => format!("*2\r\n{}", field(host, "1")),
                "REPLICAS" => format!("*3\r\n{}", ["a", "b", "c"].map(instance).concat()),
                "MYID" => bulk(&format!("{node:?}")),
                _ => "*0\r\n".to_owned(),
            };
            self.signal(Signal::Answered(node, question, Ok(&frame(reply))));
        }
    }

    fn next(&mut self, is_it: impl Fn(&str) -> bool) -> Option<(NodeId, Question, String)> {
        let at = self.asked.iter().position(|(_, _, line)| is_it(line))?;
        Some(self.asked.remove(at))
    }

    /// The primary does not answer, and this server says what it is.
    fn find(&mut self, host: &str, role: &str, replid: &str, replid2: &str) {
        self.now = self.now + Duration::from_secs(1);
        self.signal(Signal::State(PRIMARY, State::Suspect));
        self.signal(Signal::Tick);
        let info = format!("role:{role}\r\nmaster_replid:{replid}\r\nmaster_replid2:{replid2}\r\n");
        while let Some((node, question, _)) = self.next(|line| line == "INFO replication") {
            if self.sentinel.informants.endpoint(node) == Some(&endpoint(host)) {
                self.signal(Signal::Answered(node, question, Ok(&frame(bulk(&info)))));
            }
        }
    }
}

#[test]
fn a_replica_was_promoted_if_its_data_continues_the_primarys_under_another_name() {
    for (replid, replid2, is_it) in
        [("B", "A", true), ("A", "", false), ("B", "", false), ("B", "X", false)]
    {
        let mut world = World::new();
        world.find("b", "master", replid, replid2);
        assert_eq!(world.led.last().unwrap() == "b:1", is_it, "{replid} {replid2}");
    }
}

#[test]
fn who_was_deposed_is_not_taken_for_promoted_until_it_was_a_replica() {
    let mut world = World::new();
    world.find("a", "master", "A", "");
    world.name("b", 2);
    assert_eq!(world.led, ["a:1", "b:1"]);
    // It has started again with its data, which continues what the client saw last.
    world.find("a", "master", "A2", "A");
    assert_eq!(world.led, ["a:1", "b:1"], "nobody has told it yet");
    world.find("a", "slave", "B", "");
    world.signal(Signal::History(PRIMARY, &lineage("B", "A")));
    world.find("a", "master", "C", "B");
    assert_eq!(world.led, ["a:1", "b:1", "a:1"]);
}

#[test]
fn after_an_end_by_hand_it_is_listened_to_again() {
    let mut world = World::new();
    assert_eq!(world.listens, 2);
    world.signal(Signal::Disconnect);
    world.signal(Signal::Connect);
    world.signal(Signal::Tick);
    world.name("b", 2);
    assert_eq!((world.listens, world.led.last().unwrap().as_str()), (4, "b:1"));
    world.signal(Signal::Disconnect);
    world.signal(Signal::Connect);
    world.signal(Signal::Tick);
    world.name("a", 1);
    assert_eq!((world.listens, world.led.last().unwrap().as_str()), (6, "b:1"), "that one lags");
}

#[test]
fn an_error_names_every_sentinel_also_those_that_have_not_answered() {
    let mut words = Words::default();
    for n in 1..12 {
        words.add_seed(endpoint(&format!("s{n}")), NodeId(n));
    }
    words.get(NodeId(2)).unwrap().said = Said::Failed("refused".to_owned());
    let text = words.why_none("main");
    assert!(text.contains("\"main\" is (s1:1: no answer yet; s2:1: refused; "), "{text}");
    assert!(text.ends_with("s8:1: no answer yet; and 3 more)"), "{text}");
}

#[test]
fn a_sentinel_under_a_second_address_is_not_asked_there_any_more() {
    let mut world = World::new();
    let (first, second) = (world.sentinel.listened_to[0], world.sentinel.listened_to[1]);
    // Behind the first name there is another by now, which is known by the second.
    world.signal(Signal::Listens(first));
    let (node, question, _) = world.next(|line| line == "SENTINEL MYID").unwrap();
    let id = frame(bulk(&format!("{second:?}")));
    world.sentinel.words.get(second).unwrap().id = Some(format!("{second:?}"));
    world.signal(Signal::Answered(node, question, Ok(&id)));
    assert_eq!(world.forgotten, [second]);
    let listened_to = &world.sentinel.listened_to;
    assert_eq!((listened_to.len(), listened_to.contains(&second)), (2, false));
    // What its name leads to in the next trouble may be another.
    world.asked.clear();
    world.signal(Signal::State(PRIMARY, State::Suspect));
    world.signal(Signal::Tick);
    assert!(world.asked.iter().any(|(node, ..)| *node == second));
}

#[test]
fn who_was_asked_in_trouble_is_kept_for_a_while_after_it() {
    let mut world = World::new();
    world.find("b", "slave", "A", "");
    let before = world.forgotten.len();
    world.signal(Signal::State(PRIMARY, State::Ready));
    assert_eq!(world.forgotten.len(), before, "the next write may be refused at once");
    world.now = world.now + CALM_AFTER;
    assert!(world.sentinel.poll_timeout() <= world.now);
    world.signal(Signal::Tick);
    assert!(world.forgotten.len() > before);
}

#[test]
fn sentinels_that_the_others_have_forgotten_are_forgotten() {
    let mut world = World::new();
    let list = |world: &mut World, hosts: &[&str]| {
        let Some((node, question, _)) = world.next(|line| line.starts_with("SENTINEL SENTINELS"))
        else {
            panic!("nobody is asked who there is")
        };
        let entry = |host: &&str| {
            let fields = ["ip", host, "port", "1", "runid", host];
            format!("*6\r\n{}", fields.map(bulk).concat())
        };
        let entries: String = hosts.iter().map(entry).collect();
        let answer = frame(format!("*{}\r\n{entries}", hosts.len()));
        world.signal(Signal::Answered(node, question, Ok(&answer)));
    };
    let refresh = |world: &mut World, hosts: &[&str]| {
        world.asked.clear();
        world.now = world.now + REFRESH_EVERY * 2;
        world.signal(Signal::Tick);
        list(world, hosts);
    };
    let known = |world: &World| world.sentinel.words.list.len();
    refresh(&mut world, &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(known(&world), 5);
    for _ in 0..10 {
        // Of one that was reset itself nothing follows.
        refresh(&mut world, &[]);
    }
    assert_eq!(known(&world), 5);
    refresh(&mut world, &["10.0.0.2"]);
    assert_eq!(known(&world), 4);
}

#[test]
fn a_switch_that_is_announced_while_its_sentinel_is_being_asked_is_asked_after() {
    let mut world = World::new();
    let listened_to = world.sentinel.listened_to[0];
    let push = ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$14\r\nmain a 1 b 1 x\r\n";
    world.asked.clear();
    world.signal(Signal::Listens(listened_to));
    let before = std::mem::take(&mut world.asked);
    world.signal(Signal::Heard(listened_to, &frame(push.into())));
    world.name("b", 2);
    assert_eq!(world.led.last().unwrap(), "b:1");
    // The answers to the first questions are late.
    world.asked = before;
    world.name("a", 3);
    assert_eq!(world.led.last().unwrap(), "b:1");
}
