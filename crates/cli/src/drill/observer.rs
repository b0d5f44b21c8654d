//! Watches all servers' `CLIENT LIST` during a drill: which connection is whose, and when a client
//! that sends nothing is there again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redial_lab::{HostId, Lab};

use super::adapter_process::lock;
use super::workload::Spread;

/// The resolution of everything that is learnt here.
const EVERY: Duration = Duration::from_millis(25);
const EVERY_OF_MANY: Duration = Duration::from_secs(2);
/// A server that is asked this often must not hold the observer up for long.
const PATIENCE: Duration = Duration::from_millis(250);

/// One line of `CLIENT LIST`, as far as drills look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) port: u16,
    pub(crate) name: String,
    pub(crate) subscribed: bool,
    pub(crate) blocked: bool,
}

impl Listed {
    /// Parses the reply of `CLIENT LIST`; lines without a TCP address are left out.
    pub(crate) fn parse_all(reply: &str) -> Vec<Self> {
        reply.lines().filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields: HashMap<&str, &str> = HashMap::new();
        for field in line.split(' ') {
            let (key, value) = field.split_once('=')?;
            fields.insert(key, value);
        }
        let flags = fields.get("flags")?;
        Some(Self {
            port: fields.get("addr")?.rsplit_once(':')?.1.parse().ok().filter(|port| *port != 0)?,
            name: (*fields.get("name")?).to_owned(),
            subscribed: fields.get("sub").is_some_and(|n| *n != "0"),
            blocked: flags.contains('b'),
        })
    }
}

/// What has been seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// The name announced on each client port; a port is hardly used twice within a drill.
    names: HashMap<u16, String>,
    /// What each host listed last, and when.
    last: Vec<Vec<Listed>>,
}

/// The observer's threads, one for each host, which end with it.
#[derive(Debug)]
pub(crate) struct Observer {
    seen: Arc<Mutex<Seen>>,
    frozen: Arc<[AtomicBool]>,
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Observer {
    /// Asks less often where there are so many clients that their list is work for the server.
    pub(crate) fn start(lab: &Arc<Lab>, spread: Spread) -> Self {
        let every = if spread == Spread::ONE { EVERY } else { EVERY_OF_MANY };
        let hosts = lab.deployment().servers();
        let last = vec![Vec::new(); hosts.len()];
        let seen = Arc::new(Mutex::new(Seen { last, ..Seen::default() }));
        let frozen: Arc<[AtomicBool]> = hosts.iter().map(|_| AtomicBool::new(false)).collect();
        let over: Arc<AtomicBool> = Arc::default();
        let start = |host: HostId| {
            let (lab, seen, frozen, over) =
                (Arc::clone(lab), Arc::clone(&seen), Arc::clone(&frozen), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if !frozen[host.index()].load(Ordering::Relaxed) {
                        look(&lab, host, &seen);
                    }
                    thread::sleep(every);
                }
            })
        };
        let threads = hosts.into_iter().map(start).collect();
        Self { seen, frozen, over, threads }
    }

    /// A host that can't answer is not asked.
    pub(crate) fn set_frozen(&self, host: HostId, frozen: bool) {
        self.frozen[host.index()].store(frozen, Ordering::Relaxed);
    }

    pub(crate) fn is_frozen(&self, host: HostId) -> bool {
        self.frozen[host.index()].load(Ordering::Relaxed)
    }

    /// The name that was announced from this port of the client.
    pub(crate) fn name_of(&self, port: u16) -> Option<String> {
        lock(&self.seen).names.get(&port).cloned()
    }

    /// Whether the host listed such a connection when it was last asked.
    pub(crate) fn lists(&self, host: HostId, which: impl Fn(&Listed) -> bool) -> bool {
        lock(&self.seen).last[host.index()].iter().any(which)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn look(lab: &Lab, host: HostId, seen: &Mutex<Seen>) {
    let reply = lab.server(host).command_within(&["CLIENT", "LIST"], PATIENCE);
    let listed = match &reply {
        Ok(reply) => Listed::parse_all(reply.as_str().unwrap_or_default()),
        Err(_) => Vec::new(),
    };
    let mut seen = lock(seen);
    for client in listed.iter().filter(|client| !client.name.is_empty()) {
        seen.names.insert(client.port, client.name.clone());
    }
    seen.last[host.index()] = listed;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_known_by_port_name_and_what_they_wait_for() {
        let list = "id=3 addr=10.77.0.9:40000 laddr=10.77.0.1:6379 fd=8 name=drill age=1 idle=0 \
                    flags=N db=0 sub=0 psub=0 cmd=ping\n\
                    id=4 addr=10.77.0.9:40001 fd=9 name=sub flags=P sub=1 psub=0 cmd=subscribe\n\
                    id=5 addr=10.77.0.9:40002 fd=9 name=wait flags=b sub=0 psub=0 cmd=blpop\n\
                    id=6 addr=/run/redis.sock:0 fd=9 name= flags=U sub=0 cmd=client|list\n\
                    rubbish\n";
        let listed = Listed::parse_all(list);
        let ports: Vec<_> = listed.iter().map(|client| client.port).collect();
        assert_eq!(ports, [40000, 40001, 40002]);
        assert!(listed[1].subscribed && !listed[0].subscribed);
        assert!(listed[2].blocked && listed[2].name == "wait");
    }
}
