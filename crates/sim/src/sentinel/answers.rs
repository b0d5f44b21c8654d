//! What Sentinels say: whom they name, and whom they know.

use super::Watcher;
use crate::server::{Words, bulk};
use crate::world::World;

pub(super) const SERVICE: &str = "main";

/// What a Sentinel may say that is of no use: it does not watch that name, or has only started, or is something else.
pub(super) const BABBLE: [&str; 5] = [
    "*-1\r\n",
    "-ERR No such master with that name\r\n",
    "*2\r\n$7\r\nnowhere\r\n$1\r\n0\r\n",
    "-IDONTKNOW I have not enough information to reply. Please ask another Sentinel.\r\n",
    "+OK\r\n",
];

impl World {
    pub(crate) fn sentinel_command(&self, server: usize, words: &Words) -> Vec<u8> {
        let (Some(sentinels), true) = (&self.sentinels, self.is_sentinel(server)) else {
            return b"-ERR unknown command 'SENTINEL'\r\n".to_vec();
        };
        let me = server - sentinels.plan.data;
        let watcher = &sentinels.watchers[me];
        if self.now < watcher.babbles_until {
            return BABBLE[watcher.babble].into();
        }
        match words.get(1).map_or(&[][..], Vec::as_slice) {
            b"MYID" => bulk(&format!("sentinel{me}")),
            _ if words.get(2).is_none_or(|name| name != SERVICE.as_bytes()) => BABBLE[0].into(),
            b"MASTER" => list(&[self.instance(watcher, watcher.names, "master")]),
            b"GET-MASTER-ADDR-BY-NAME" => {
                let (host, port) = (format!("n{}", watcher.names), 7000 + watcher.names);
                [&b"*2\r\n"[..], &bulk(&host), &bulk(&port.to_string())].concat()
            }
            b"SENTINELS" => {
                let others = (0..sentinels.watchers.len()).filter(|other| *other != me);
                let hosts = others.map(|other| sentinels.plan.data + other);
                // One that was taken down long ago is still on the list.
                let gone = sentinels.plan.is_stale.then_some(self.servers.len() - 1);
                self.listed(server, hosts.chain(gone), "sentinel")
            }
            b"REPLICAS" => {
                let replicas = (0..sentinels.plan.data).filter(|its| *its != watcher.names);
                self.listed(server, replicas, "slave")
            }
            _ => b"-ERR Unknown sentinel subcommand\r\n".to_vec(),
        }
    }

    fn listed(&self, me: usize, hosts: impl Iterator<Item = usize>, what: &str) -> Vec<u8> {
        let Some(sentinels) = &self.sentinels else { return Vec::new() };
        let watcher = &sentinels.watchers[me - sentinels.plan.data];
        let entries: Vec<_> = hosts
            .map(|host| {
                let is_down = !sentinels.plan.is_stale && !self.reaches(me, host);
                let flags = if is_down { format!("s_down,{what}") } else { what.to_owned() };
                self.instance(watcher, host, &flags)
            })
            .collect();
        [format!("*{}\r\n", entries.len()).into_bytes(), list(&entries)].concat()
    }

    fn instance(&self, watcher: &Watcher, host: usize, flags: &str) -> Vec<u8> {
        let id = match &self.sentinels {
            Some(sentinels) if host >= sentinels.plan.data => {
                format!("sentinel{}", host - sentinels.plan.data)
            }
            _ => self.servers[host].run_id.clone(),
        };
        let port = (7000 + host).to_string();
        let epoch = watcher.epoch.to_string();
        let fields = [
            ("name", SERVICE),
            ("ip", &format!("n{host}")),
            ("port", &port),
            ("runid", &id),
            ("flags", flags),
            ("config-epoch", &epoch),
        ];
        let mut entry = format!("*{}\r\n", 2 * fields.len()).into_bytes();
        for (name, value) in fields {
            entry.extend([bulk(name), bulk(value)].concat());
        }
        entry
    }
}

fn list(entries: &[Vec<u8>]) -> Vec<u8> {
    entries.concat()
}
