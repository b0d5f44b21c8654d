//! A real cluster: three primaries, each with a replica.

use std::time::{Duration, Instant};

use redial::{Builder, Client, Delivery, ReadFrom, WantedRole};

use crate::process::{Server, free_port};

/// A failover is noticed after this long. Below it, a machine that is busy elsewhere would be taken for one that is down.
const NODE_TIMEOUT: &str = "1500";

const SLOTS: u32 = 16_384;

/// Servers, the first half of them primaries.
pub(crate) struct Nodes {
    pub(crate) servers: Vec<Server>,
    pub(crate) admins: Vec<Client>,
}

/// The bus listens 10,000 above.
fn start_node() -> Server {
    let port = std::iter::repeat_with(free_port).find(|port| *port < 50_000).unwrap();
    Server::start_on(
        port,
        &[
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            NODE_TIMEOUT,
            "--cluster-require-full-coverage",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ],
    )
}

impl Nodes {
    pub(crate) async fn start(primaries: u32, replicas: u32) -> Self {
        let servers: Vec<_> = (0..primaries + replicas).map(|_| start_node()).collect();
        let mut admins = Vec::new();
        for server in &servers {
            admins.push(admin(server).await);
        }
        let nodes = Self { servers, admins };
        for (at, admin) in nodes.admins.iter().enumerate() {
            say(admin, &format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1)).await;
            if (at as u32) < primaries {
                let (from, to) =
                    (SLOTS * at as u32 / primaries, SLOTS * (at as u32 + 1) / primaries);
                let mut add = admin.cmd::<()>("CLUSTER ADDSLOTS");
                for slot in from..to {
                    add = add.arg(slot);
                }
                add.run().await.unwrap();
            }
            if at > 0 {
                let first = nodes.servers[0].port;
                say(admin, &format!("CLUSTER MEET 127.0.0.1 {first}")).await;
            }
        }
        nodes
            .wait_until("everybody knows everybody", async |admin| {
                let info: String = admin.cmd("CLUSTER INFO").await.unwrap();
                info.contains(&format!("cluster_known_nodes:{}", primaries + replicas))
                    && info.contains("cluster_state:ok")
            })
            .await;
        for at in primaries..primaries + replicas {
            let primary = &nodes.admins[((at - primaries) % primaries) as usize];
            let id: String = primary.cmd("CLUSTER MYID").await.unwrap();
            say(&nodes.admins[at as usize], &format!("CLUSTER REPLICATE {id}")).await;
        }
        for at in primaries..primaries + replicas {
            let admin = &nodes.admins[at as usize];
            wait_until("it follows", async || {
                let info: String = admin.cmd("INFO replication").await.unwrap();
                info.contains("master_link_status:up")
            })
            .await;
        }
        nodes
            .wait_until("everybody knows the replicas", async |admin| {
                let nodes: String = admin.cmd("CLUSTER NODES").await.unwrap();
                nodes.matches("slave").count() == replicas as usize
            })
            .await;
        nodes
    }

    async fn wait_until(&self, what: &str, done: impl AsyncFn(&Client) -> bool) {
        for admin in &self.admins {
            wait_until(what, async || done(admin).await).await;
        }
    }

    pub(crate) fn seeds(&self) -> Vec<(&str, u16)> {
        self.servers.iter().map(|server| ("127.0.0.1", server.port)).collect()
    }

    pub(crate) async fn client(&self) -> Client {
        Builder::cluster(self.seeds()).unwrap().connect().await.unwrap()
    }

    /// The primary that has this key's slot, and its place in the list.
    pub(crate) async fn owner_of(&self, key: &str) -> usize {
        for (at, admin) in self.admins.iter().enumerate() {
            let told: Result<Option<String>, _> = admin.cmd("GET").arg(key).await;
            if told.is_ok() {
                return at;
            }
        }
        panic!("nobody has {key}");
    }
}

pub(crate) async fn wait_until(what: &str, done: impl AsyncFn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done().await {
        assert!(Instant::now() < until, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn admin(server: &Server) -> Client {
    let builder = Client::builder(&server.url()).unwrap().wanted_role(WantedRole::Any);
    builder.connect().await.unwrap()
}

pub(crate) async fn say(admin: &Client, line: &str) {
    let mut words = line.split(' ');
    let mut command = admin.cmd::<()>(words.next().unwrap());
    for word in words {
        command = command.arg(word);
    }
    command.run().await.unwrap();
}

#[tokio::test]
async fn commands_go_where_their_keys_are() {
    let nodes = Nodes::start(3, 0).await;
    let client = nodes.client().await;
    for n in 0..300 {
        client.cmd("SET").arg(format!("key:{n}")).arg(n).run().await.unwrap();
    }
    for n in 0..300 {
        let got: u32 = client.cmd("GET").arg(format!("key:{n}")).await.unwrap();
        assert_eq!(got, n);
    }
    for admin in &nodes.admins {
        let keys: u32 = admin.cmd("DBSIZE").await.unwrap();
        assert!((50..200).contains(&keys), "{keys} of 300 keys on one of three nodes");
    }
}

/// Callers that count, each in a key of its own, until they are told to stop.
pub(crate) struct Counting {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<Counted>>,
}

/// What one caller was told.
#[derive(Default, Debug)]
pub(crate) struct Counted {
    key: String,
    pub(crate) acknowledged: u64,
    unknown: u64,
    surely_not: u64,
    pub(crate) errors: Vec<String>,
    pub(crate) longest: Duration,
}

impl Counting {
    pub(crate) fn start(client: &Client, callers: u32) -> Self {
        let stop = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let callers = (0..callers)
            .map(|n| {
                let (client, stop) = (client.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut counted = Counted { key: format!("count:{n}"), ..Counted::default() };
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let begun = Instant::now();
                        match client.cmd::<u64>("INCR").arg(&counted.key).await {
                            Ok(_) => counted.acknowledged += 1,
                            Err(error) => {
                                match error.delivery() {
                                    Delivery::NotSent | Delivery::Rejected => {
                                        counted.surely_not += 1;
                                    }
                                    _ => counted.unknown += 1,
                                }
                                counted.errors.push(error.to_string());
                            }
                        }
                        counted.longest = counted.longest.max(begun.elapsed());
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    counted
                })
            })
            .collect();
        Self { stop, callers }
    }

    /// Nobody's counter is beyond what the caller was told. Where data is not lost, nor below.
    pub(crate) async fn end(self, client: &Client, is_complete: bool) -> Vec<Counted> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut all = Vec::new();
        for caller in self.callers {
            let counted = caller.await.unwrap();
            let value: Option<u64> = client.cmd("GET").arg(&counted.key).await.unwrap();
            let value = value.unwrap_or(0);
            assert!(value <= counted.acknowledged + counted.unknown, "{value} of {counted:?}");
            assert!(!is_complete || value >= counted.acknowledged, "{value} of {counted:?}");
            all.push(counted);
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_is_replaced_and_other_slots_notice_nothing() {
    for signal in ["-KILL", "-STOP"] {
        let nodes = Nodes::start(3, 3).await;
        let client = nodes.client().await;
        let counting = Counting::start(&client, 30);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let victim = nodes.owner_of("count:0").await;
        nodes.servers[victim].signal(signal);
        let replica = &nodes.admins[victim + 3];
        wait_until("the replica leads", async || {
            let info: String = replica.cmd("INFO replication").await.unwrap();
            info.contains("role:master")
        })
        .await;
        let begun = Instant::now();
        client.cmd("INCR").arg("{count:0}").run().await.unwrap();
        // Some 50 ms by the drills; the machine may have other things to do.
        assert!(begun.elapsed() < Duration::from_secs(1), "{signal}: {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(300)).await;
        nodes.servers[victim].signal("-CONT");
        let mut touched = 0;
        for counted in counting.end(&client, false).await {
            if counted.longest > Duration::from_millis(700) {
                touched += 1;
            } else {
                assert!(counted.errors.is_empty(), "{signal}: {counted:?}");
            }
        }
        assert!((3..20).contains(&touched), "{signal}: {touched} of 30 callers stood still");
    }
}

#[tokio::test]
async fn a_planned_failover_costs_no_error() {
    let nodes = Nodes::start(3, 3).await;
    let client = nodes.client().await;
    let counting = Counting::start(&client, 30);
    tokio::time::sleep(Duration::from_millis(200)).await;
    for at in [3, 0] {
        let admin = &nodes.admins[at];
        wait_until("it follows", async || {
            let info: String = admin.cmd("INFO replication").await.unwrap();
            info.contains("master_link_status:up")
        })
        .await;
        // A server that is short of time gives it up after 5 s.
        let asked = std::cell::Cell::new(Instant::now());
        say(admin, "CLUSTER FAILOVER").await;
        wait_until("it leads", async || {
            if asked.get().elapsed() > Duration::from_secs(6) {
                asked.set(Instant::now());
                say(admin, "CLUSTER FAILOVER").await;
            }
            let info: String = admin.cmd("INFO replication").await.unwrap();
            info.contains("role:master")
        })
        .await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    for counted in counting.end(&client, true).await {
        // Where the machine makes it take longer than a silence may last, the old primary is given up with what it has not answered.
        let is_swift = counted.longest < Duration::from_millis(500);
        assert!(counted.errors.is_empty() || !is_swift, "{counted:?}");
    }
}

#[tokio::test]
async fn slots_that_move_under_load_cost_no_error() {
    count_while_slots_move(&Nodes::start(3, 0).await).await;
}

/// Where names are announced and a node has none, redirects do not say where it is.
#[tokio::test]
async fn slots_that_move_to_nodes_without_a_name_cost_no_error() {
    let nodes = Nodes::start(3, 0).await;
    for admin in &nodes.admins {
        let set = admin.cmd("CONFIG SET").args(["cluster-preferred-endpoint-type", "hostname"]);
        if let Err(error) = set.run().await {
            assert!(error.to_string().contains("Unsupported CONFIG"), "before Redis 7: {error}");
            return;
        }
    }
    count_while_slots_move(&nodes).await;
}

async fn count_while_slots_move(nodes: &Nodes) {
    let client = nodes.client().await;
    let counting = Counting::start(&client, 40);
    tokio::time::sleep(Duration::from_millis(100)).await;
    for n in 0..40 {
        let key = format!("count:{n}");
        let from = nodes.owner_of(&key).await;
        let to = (from + 1) % 3;
        move_slot(nodes, &key, from, to).await;
    }
    let counts = counting.end(&client, true).await;
    for counted in &counts {
        assert_eq!(counted.errors, Vec::<String>::new(), "{counted:?}");
    }
    assert!(counts.iter().map(|counted| counted.acknowledged).sum::<u64>() > 400);
}

/// As redis-cli does it: <https://redis.io/docs/latest/commands/cluster-setslot/>.
pub(crate) async fn move_slot(nodes: &Nodes, key: &str, from: usize, to: usize) {
    let slot: u32 = nodes.admins[0].cmd("CLUSTER KEYSLOT").arg(key).await.unwrap();
    let id = async |at: usize| nodes.admins[at].cmd::<String>("CLUSTER MYID").await.unwrap();
    let (source, target) = (id(from).await, id(to).await);
    say(&nodes.admins[to], &format!("CLUSTER SETSLOT {slot} IMPORTING {source}")).await;
    say(&nodes.admins[from], &format!("CLUSTER SETSLOT {slot} MIGRATING {target}")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let keys: Vec<String> =
        nodes.admins[from].cmd("CLUSTER GETKEYSINSLOT").arg(slot).arg(100).await.unwrap();
    for key in keys {
        let port = nodes.servers[to].port;
        say(&nodes.admins[from], &format!("MIGRATE 127.0.0.1 {port} {key} 0 1000")).await;
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    for at in [to, from] {
        say(&nodes.admins[at], &format!("CLUSTER SETSLOT {slot} NODE {target}")).await;
    }
}

#[tokio::test]
async fn pipelines_transactions_and_blocking_commands_go_where_their_keys_are() {
    let nodes = Nodes::start(3, 0).await;
    let client = nodes.client().await;
    let mut pipeline = client.pipeline();
    for n in 0..100 {
        pipeline.cmd("SET").arg(format!("p:{n}")).arg(n);
    }
    assert!(pipeline.await.iter().all(Result::is_ok));
    for tag in 0..10 {
        let mut both = client.transaction();
        both.cmd("INCR").arg(format!("{{{tag}}}a")).cmd("INCR").arg(format!("{{{tag}}}b"));
        let replies: Vec<u64> = both.exec().await.unwrap();
        assert_eq!(replies.len(), 2);
        let key = format!("list:{tag}");
        let waiting = client.cmd::<Option<(String, String)>>("BLPOP").arg(&key).arg(5).send();
        client.cmd("LPUSH").arg(&key).arg("x").run().await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().1, "x");
    }
    let mut both = client.transaction();
    both.cmd("SET").arg("a").arg(1).cmd("SET").arg("b").arg(1);
    let refused: Result<Vec<()>, _> = both.exec().await;
    assert!(refused.unwrap_err().to_string().contains("CROSSSLOT"));
    let error = client.cmd::<()>("RENAME").arg("a").arg("b").await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);
}

#[tokio::test]
async fn commands_that_concern_several_nodes_are_taken_apart() {
    let nodes = Nodes::start(3, 0).await;
    let client = nodes.client().await;
    let keys: Vec<String> = (0..60).map(|n| format!("k:{n}")).collect();
    let pairs = keys.iter().enumerate().flat_map(|(n, key)| [key.clone(), n.to_string()]);
    client.cmd("MSET").args(pairs).run().await.unwrap();
    let values: Vec<Option<u32>> = client.cmd("MGET").args(&keys).arg("nothing").await.unwrap();
    let expected: Vec<_> = (0..60).map(Some).chain([None]).collect();
    assert_eq!(values, expected);
    assert_eq!(client.cmd::<u32>("DBSIZE").await.unwrap(), 60);
    assert_eq!(client.cmd::<u32>("EXISTS").args(&keys).await.unwrap(), 60);
    assert_eq!(client.cmd::<Vec<String>>("KEYS").arg("k:*").await.unwrap().len(), 60);
    assert!(client.cmd::<Option<String>>("RANDOMKEY").await.unwrap().is_some());
    let mut scanned = Vec::new();
    let mut scan = client.scan_all::<String>().page(7);
    while let Some(key) = scan.next().await {
        scanned.push(key.unwrap());
    }
    scanned.sort();
    let mut all = keys.clone();
    all.sort();
    assert_eq!(scanned, all);
    assert_eq!(client.cmd::<u32>("DEL").args(&keys[..30]).await.unwrap(), 30);
    let all = ["a", "1", "b", "2", "c", "3", "PX", "60000"];
    match client.cmd::<bool>("MSETEX").arg(3).args(all).await {
        Ok(is_set) => {
            assert!(is_set && client.cmd::<u32>("PTTL").arg("c").await.unwrap() > 0);
            let values: Vec<u32> = client.cmd("MGET").arg("a").arg("b").arg("c").await.unwrap();
            assert_eq!(values, [1, 2, 3]);
        }
        Err(error) => assert!(error.to_string().contains("unknown command"), "{error}"),
    }
    let sha: String = client.cmd("SCRIPT LOAD").arg("return KEYS[1]").await.unwrap();
    assert_eq!(client.cmd::<Vec<bool>>("SCRIPT EXISTS").arg(&sha).await.unwrap(), [true]);
    for key in &keys {
        let told: String = client.cmd("EVALSHA").arg(&sha).arg(1).arg(key).await.unwrap();
        assert_eq!(told, *key);
    }
    client.cmd("FLUSHALL").run().await.unwrap();
    for admin in &nodes.admins {
        assert_eq!(admin.cmd::<u32>("DBSIZE").await.unwrap(), 0);
    }
    // One part is refused.
    client.cmd("LPUSH").arg("list").arg(1).run().await.unwrap();
    let error = client.cmd::<u32>("SCRIPT KILL").await.unwrap_err();
    assert!(error.to_string().contains("NOTBUSY"), "{error}");
}

#[tokio::test]
async fn watched_keys_durable_writes_and_cached_reads_are_where_their_keys_are() {
    let nodes = Nodes::start(3, 3).await;
    let client = nodes.client().await;
    let durable = client.durable(1, Duration::from_secs(2)).unwrap();
    let cache = client.cache().await.unwrap();
    for n in 0..12 {
        let key = format!("{{{n}}}");
        let own = client.dedicated_for(&key).unwrap();
        own.cmd("WATCH").arg(&key).run().await.unwrap();
        client.cmd("SET").arg(&key).arg("another's").run().await.unwrap();
        let mut mine = own.transaction();
        mine.cmd("SET").arg(&key).arg("mine");
        assert!(mine.exec::<Option<Vec<String>>>().await.unwrap().is_none(), "{key} was changed");

        durable.cmd("SET").arg(&key).arg("safe").run().await.unwrap();
        let got: String = cache.cmd("GET").arg(&key).await.unwrap();
        assert_eq!(got, "safe");
        client.cmd("SET").arg(&key).arg("new").run().await.unwrap();
        wait_until("the cache forgets it", async || {
            cache.cmd::<String>("GET").arg(&key).await.unwrap() == "new"
        })
        .await;
    }
}

#[tokio::test]
async fn sharded_channels_are_heard_where_they_are_also_after_they_moved() {
    let nodes = Nodes::start(3, 0).await;
    let client = nodes.client().await;
    if client.cmd::<()>("SPUBLISH").arg("probe").arg("x").await.is_err() {
        return; // before Redis 7.0
    }
    let names: Vec<String> = (0..9).map(|n| format!("shard:{n}")).collect();
    let mut messages = client.ssubscribe(names.clone()).await.unwrap();
    for name in &names {
        client.cmd("SPUBLISH").arg(name).arg("1").run().await.unwrap();
    }
    let mut heard = Vec::new();
    for _ in &names {
        heard.push(message(&mut messages).await);
    }
    heard.sort();
    assert_eq!(heard, names);
    let from = nodes.owner_of(&names[0]).await;
    move_slot(&nodes, &names[0], from, (from + 1) % 3).await;
    wait_until("it is heard again", async || {
        client.cmd::<u32>("SPUBLISH").arg(&names[0]).arg("2").await.unwrap() == 1
    })
    .await;
    assert_eq!(message(&mut messages).await, names[0]);
}

async fn message(messages: &mut redial::Subscription) -> String {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(5), messages.next()).await;
        if let redial::Received::Message(message) = next.unwrap().unwrap() {
            return String::from_utf8(message.channel.to_vec()).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_cluster_is_said() {
    let alone = Server::start(&[]);
    let (one, other) = tokio::join!(Nodes::start(1, 0), Nodes::start(1, 0));
    let seeds = [("127.0.0.1", one.servers[0].port), ("127.0.0.1", other.servers[0].port)];
    let alone_url = format!("redis+cluster://127.0.0.1:{}", alone.port);
    let (single, nobody, two) = tokio::join!(
        Client::connect(&alone_url),
        Client::connect("redis+cluster://127.0.0.1:1,127.0.0.1:2"),
        Builder::cluster(seeds).unwrap().connect(),
    );
    let [single, nobody, two] = [single, nobody, two].map(|error| error.unwrap_err().to_string());
    assert!(single.contains("single server"), "{single}");
    assert!(nobody.contains("127.0.0.1:1: ") && nobody.contains("127.0.0.1:2: "), "{nobody}");
    assert!(two.contains("two clusters"), "{two}");

    say(&one.admins[0], "CLUSTER DELSLOTS 12182").await;
    let client = one.client().await;
    let error = client.cmd::<()>("GET").arg("foo").await.unwrap_err();
    assert!(error.to_string().contains("Hash slot not served"), "{error}");
    client.cmd("SET").arg("bar").arg(1).run().await.unwrap();
}

#[tokio::test]
async fn reads_go_to_replicas_if_that_is_wanted_and_on_from_one_that_hangs() {
    let nodes = Nodes::start(1, 2).await;
    // Before they have data, replicas are not named.
    nodes.admins[0].cmd("SET").arg("k").arg("before").run().await.unwrap();
    for admin in &nodes.admins {
        wait_until("everybody names both replicas", async || {
            let slots: Vec<redial::Value> = admin.cmd("CLUSTER SLOTS").await.unwrap();
            matches!(slots.as_slice(), [redial::Value::Array(range)] if range.len() == 5)
        })
        .await;
    }
    let seeds = nodes.seeds();
    let builder = Builder::cluster(seeds).unwrap().read_from(ReadFrom::ReplicaPreferred);
    let client = builder.connect().await.unwrap();
    client.cmd("SET").arg("k").arg("v").run().await.unwrap();
    let gets = async |at: usize| {
        let stats: String = nodes.admins[at].cmd("INFO commandstats").await.unwrap();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_get:"));
        let count = line.and_then(|line| line.split(['=', ',']).nth(1)).unwrap_or("0");
        count.parse::<u32>().unwrap()
    };
    wait_until("both replicas are ready", async || {
        client.cmd::<Option<String>>("GET").arg("k").await.unwrap();
        gets(1).await > 0 && gets(2).await > 0
    })
    .await;
    let before = gets(0).await;
    for _ in 0..20 {
        let got: Option<String> = client.cmd("GET").arg("k").await.unwrap();
        assert_eq!(got.as_deref(), Some("v"));
    }
    assert_eq!(gets(0).await, before, "the primary is not asked");
    nodes.servers[1].signal("-STOP");
    let begun = Instant::now();
    for _ in 0..10 {
        client.cmd::<Option<String>>("GET").arg("k").await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    nodes.servers[1].signal("-CONT");
}
