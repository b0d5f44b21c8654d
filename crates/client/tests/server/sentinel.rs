//! Real Sentinels, a primary and two replicas.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redial::{Builder, Client, ReadFrom, Resend, WantedRole};
use tempfile::TempDir;

use crate::cluster::wait_until;
use crate::process::{Server, free_port};

struct Sentinel {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Sentinel {
    fn start(primary: u16, password: Option<&str>) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let path = dir.path().join("sentinel.conf");
        let mut conf = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor orders 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds orders 700\nsentinel failover-timeout orders 5000\n"
        );
        if let Some(password) = password {
            conf.push_str(&format!("requirepass {password}\nsentinel sentinel-pass {password}\n"));
        }
        std::fs::write(&path, conf).unwrap();
        let binary = std::env::var("REDIAL_SERVER").unwrap_or_else(|_| "redis-server".into());
        let child = Command::new(binary)
            .arg(&path)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, _dir: dir }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Watched {
    servers: Vec<Server>,
    admins: Vec<Client>,
    sentinels: Vec<Sentinel>,
}

impl Watched {
    async fn start(replicas: usize, password: Option<&str>) -> Self {
        let mut servers = vec![Server::start(&["--repl-diskless-sync-delay", "0"])];
        let primary = servers[0].port.to_string();
        for _ in 0..replicas {
            servers.push(Server::start(&["--replicaof", "127.0.0.1", &primary]));
        }
        let mut admins = Vec::new();
        for server in &servers {
            let builder = Client::builder(&server.url()).unwrap().wanted_role(WantedRole::Any);
            admins.push(builder.connect().await.unwrap());
        }
        let sentinels: Vec<_> =
            (0..3).map(|_| Sentinel::start(servers[0].port, password)).collect();
        let watched = Self { servers, admins, sentinels };
        for sentinel in &watched.sentinels {
            let url = match password {
                Some(password) => format!("redis://:{password}@127.0.0.1:{}", sentinel.port),
                None => format!("redis://127.0.0.1:{}", sentinel.port),
            };
            let asked = Client::connect(&url).await.unwrap();
            wait_until("the Sentinels know each other and the replicas", async || {
                let told: String = asked.cmd("INFO").arg("sentinel").await.unwrap();
                told.contains(&format!("slaves={replicas},sentinels=3"))
            })
            .await;
        }
        watched
    }

    fn sentinels(&self) -> Vec<(&str, u16)> {
        self.sentinels.iter().map(|sentinel| ("127.0.0.1", sentinel.port)).collect()
    }

    /// The server that leads, other than the first.
    async fn promoted(&self) -> usize {
        let found = std::cell::Cell::new(0);
        wait_until("a replica leads", async || {
            for at in 1..self.servers.len() {
                let info: String = self.admins[at].cmd("INFO replication").await.unwrap();
                if info.contains("role:master") {
                    found.set(at);
                    return true;
                }
            }
            false
        })
        .await;
        found.get()
    }
}

#[tokio::test]
async fn a_primary_that_is_killed_or_hangs_is_left_for_the_one_that_is_promoted() {
    for signal in ["-KILL", "-STOP"] {
        let watched = Watched::start(2, None).await;
        let ports: Vec<_> =
            watched.sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
        let url = format!("redis+sentinel://{}/orders", ports.join(","));
        let client = Client::connect(&url).await.unwrap();
        client.cmd("SET").arg("k").arg("v").run().await.unwrap();
        watched.servers[0].signal(signal);
        let waiting = tokio::spawn(client.cmd::<String>("SET").arg("k").arg("w").send());
        let promoted = watched.promoted().await;
        let begun = Instant::now();
        // It was sent to the old one, which may have run it.
        let _ = waiting.await;
        client.cmd("SET").arg("after").arg("failover").run().await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(400), "{signal}: {:?}", begun.elapsed());
        let got: Option<String> = watched.admins[promoted].cmd("GET").arg("after").await.unwrap();
        assert_eq!(got.as_deref(), Some("failover"));
        watched.servers[0].signal("-CONT");
    }
}

#[tokio::test]
async fn a_planned_failover_is_followed_and_replicas_are_read_from() {
    let watched = Watched::start(2, None).await;
    let builder = Builder::sentinel(watched.sentinels(), "orders").unwrap();
    let client = builder.read_from(ReadFrom::ReplicaPreferred).connect().await.unwrap();
    client.cmd("SET").arg("k").arg("v").run().await.unwrap();
    let url = format!("redis://127.0.0.1:{}", watched.sentinels[0].port);
    let asked = Client::connect(&url).await.unwrap();
    asked.cmd("SENTINEL FAILOVER").arg("orders").run().await.unwrap();
    let promoted = watched.promoted().await;
    // Until the Sentinels make the old one a replica it takes writes, which are lost then: that is no cooperative swap.
    wait_until("writes go to the new primary", async || {
        client.cmd("SET").arg("after").arg("it").run().await.unwrap();
        let got: Option<String> = watched.admins[promoted].cmd("GET").arg("after").await.unwrap();
        got.as_deref() == Some("it")
    })
    .await;
    wait_until("a replica is read from", async || {
        let _: Option<String> = client.cmd("GET").arg("k").await.unwrap();
        let mut read = 0;
        for (at, admin) in watched.admins.iter().enumerate() {
            let stats: String = admin.cmd("INFO commandstats").await.unwrap();
            read += usize::from(at != promoted && stats.contains("cmdstat_get:"));
        }
        read > 0
    })
    .await;
}

#[tokio::test]
async fn sentinels_may_have_a_password_of_their_own_and_one_may_be_down() {
    let watched = Watched::start(1, Some("secret")).await;
    let mut sentinels = watched.sentinels();
    sentinels.insert(0, ("127.0.0.1", 1));
    let builder = Builder::sentinel(sentinels, "orders").unwrap();
    let client = builder.sentinel_credentials(None, "secret").connect().await.unwrap();
    client.cmd("SET").arg("k").arg("v").run().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_sentinels_is_said() {
    let watched = Watched::start(1, Some("secret")).await;
    let data = watched.servers[0].port;
    let with = |sentinels: Vec<(&'static str, u16)>, service: &str| {
        let builder = Builder::sentinel(sentinels, service).unwrap();
        builder.sentinel_credentials(None, "secret").connect()
    };
    let port = watched.sentinels[0].port;
    let without_password = Builder::sentinel([("127.0.0.1", port)], "orders").unwrap().connect();
    let (unknown, nobody, no_sentinel, no_password) = tokio::join!(
        with(vec![("127.0.0.1", port)], "payments"),
        with(vec![("127.0.0.1", 1), ("127.0.0.1", 2)], "orders"),
        Builder::sentinel([("127.0.0.1", data)], "orders").unwrap().connect(),
        without_password,
    );
    let [unknown, nobody, no_sentinel, no_password] =
        [unknown, nobody, no_sentinel, no_password].map(|error| error.unwrap_err().to_string());
    assert!(unknown.contains("no service named \"payments\""), "{unknown}");
    assert!(nobody.contains("127.0.0.1:1: ") && nobody.contains("127.0.0.1:2: "), "{nobody}");
    assert!(no_sentinel.contains("no Sentinel"), "{no_sentinel}");
    assert!(no_password.contains("NOAUTH"), "{no_password}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_are_reset_and_set_up_anew_are_followed() {
    let watched = Watched::start(1, None).await;
    let client = Builder::sentinel(watched.sentinels(), "orders").unwrap().connect().await.unwrap();
    client.cmd("SET").arg("k").arg("v").run().await.unwrap();
    let mut asked = Vec::new();
    for sentinel in &watched.sentinels {
        let url = format!("redis://127.0.0.1:{}", sentinel.port);
        asked.push(Client::connect(&url).await.unwrap());
    }
    for sentinel in &asked {
        sentinel.cmd("SENTINEL RESET").arg("orders").run().await.unwrap();
        client.cmd("SET").arg("k").arg("v").run().await.unwrap();
    }
    // By hand: the replica leads, and the Sentinels are told.
    watched.admins[1].cmd("REPLICAOF").arg("NO").arg("ONE").run().await.unwrap();
    for sentinel in &asked {
        sentinel.cmd("SENTINEL REMOVE").arg("orders").run().await.unwrap();
    }
    client.cmd("SET").arg("k").arg("v").run().await.unwrap();
    for sentinel in &asked {
        let monitor = sentinel.cmd::<()>("SENTINEL MONITOR").arg("orders").arg("127.0.0.1");
        monitor.arg(watched.servers[1].port).arg(2).run().await.unwrap();
    }
    watched.servers[0].signal("-KILL");
    let begun = Instant::now();
    let set = client.cmd::<()>("SET").arg("after").arg("all").resend(Resend::Idempotent);
    set.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let got: Option<String> = watched.admins[1].cmd("GET").arg("after").await.unwrap();
    assert_eq!(got.as_deref(), Some("all"));
}
