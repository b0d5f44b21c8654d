//! What nodes of a cluster say: whether they take a command (redis' `getNodeByQuery`), CLUSTER SLOTS, CLUSTER INFO and ROLE.

use super::map::tag_in;
use crate::server::{Role, Words, bulk};
use crate::world::World;

const UNSTABLE: &str = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
const DOWN: &str = "-CLUSTERDOWN The cluster is down\r\n";
const UNBOUND: &str = "-CLUSTERDOWN Hash slot not served\r\n";
const CROSSSLOT: &str = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";

fn address(node: usize) -> String {
    format!("n{node}:{}", 7000 + node)
}

impl World {
    /// What the node says instead of taking these commands, which are one, or those of a transaction.
    pub(crate) fn slot_refusal(
        &self,
        server: usize,
        commands: &[&Words],
        asking: bool,
    ) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        let keys = || commands.iter().flat_map(|words| words.iter().skip(1));
        let mut tags = keys().filter_map(|key| tag_in(key));
        let tag = tags.next()?;
        if tags.any(|other| other != tag) {
            return Some(CROSSSLOT.to_owned());
        }
        let node = &cluster.nodes[server];
        let piece = cluster.map.piece_of(tag);
        let Some(owner) = node.owner[piece] else { return Some(UNBOUND.to_owned()) };
        if node.is_down || self.now < node.down_until {
            return Some(DOWN.to_owned());
        }
        let slot = cluster.map.range(piece).0;
        let has = |key: &Word, on_target: bool| match key.first() {
            Some(b's') => cluster.moved[piece][0] == on_target,
            Some(b'l') => cluster.moved[piece][1] == on_target,
            _ => false,
        };
        let keys: Vec<&Word> = keys().filter(|key| tag_in(key).is_some()).collect();
        if let (true, Some(target)) = (owner == server, node.migrating[piece]) {
            let missing = keys.iter().filter(|key| !has(key, false)).count();
            return match missing {
                0 => None,
                _ if missing < keys.len() => Some(UNSTABLE.to_owned()),
                _ => Some(format!("-ASK {slot} {}\r\n", address(target))),
            };
        }
        if asking && node.importing[piece].is_some() {
            let is_split = keys.len() > 1 && keys.iter().any(|key| !has(key, true));
            return is_split.then(|| UNSTABLE.to_owned());
        }
        if owner == server { None } else { self.moved(server, piece) }
    }

    /// MOVED, as this node sees it.
    pub(super) fn moved(&self, server: usize, piece: usize) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        let owner = cluster.nodes[server].owner[piece]?;
        Some(format!("-MOVED {} {}\r\n", cluster.map.range(piece).0, address(owner)))
    }

    /// CLUSTER SLOTS and CLUSTER INFO.
    pub(crate) fn cluster_command(&self, server: usize, second: &[u8]) -> Vec<u8> {
        let Some(cluster) = &self.cluster else {
            return b"-ERR This instance has cluster support disabled\r\n".to_vec();
        };
        match second {
            b"SLOTS" => self.cluster_slots(server).into_bytes(),
            b"INFO" => {
                let node = &cluster.nodes[server];
                let state = if node.is_down || self.now < node.down_until { "fail" } else { "ok" };
                let epoch = node.epoch;
                bulk(&format!("cluster_state:{state}\r\ncluster_current_epoch:{epoch}\r\n"))
            }
            _ => b"-ERR unknown subcommand\r\n".to_vec(),
        }
    }

    fn cluster_slots(&self, server: usize) -> String {
        let Some(cluster) = &self.cluster else { return String::new() };
        let node = &cluster.nodes[server];
        let mut entries: Vec<(u16, u16, usize)> = Vec::new();
        for (piece, owner) in node.owner.iter().enumerate() {
            let Some(owner) = *owner else { continue };
            let (first, last) = cluster.map.range(piece);
            match entries.last_mut() {
                Some((_, end, its)) if *its == owner && *end + 1 == first => *end = last,
                _ => entries.push((first, last, owner)),
            }
        }
        let member = |other: usize| {
            let host = match other == server && cluster.plan.hides_address {
                true => String::new(),
                false => format!("n{other}"),
            };
            let (port, id) = (7000 + other, format!("id{other}"));
            let (host_len, id_len) = (host.len(), id.len());
            format!("*3\r\n${host_len}\r\n{host}\r\n:{port}\r\n${id_len}\r\n{id}\r\n")
        };
        let mut text = format!("*{}\r\n", entries.len());
        for (first, last, owner) in entries {
            let is_there = |other: &usize| {
                node.of[*other] == Some(owner) && !cluster.is_failed(*other, self.now)
            };
            let replicas: Vec<usize> = (0..cluster.nodes.len()).filter(is_there).collect();
            text.push_str(&format!("*{}\r\n:{first}\r\n:{last}\r\n", 3 + replicas.len()));
            text.push_str(&member(owner));
            replicas.into_iter().for_each(|replica| text.push_str(&member(replica)));
        }
        text
    }

    /// ROLE
    pub(crate) fn role(&self, server: usize) -> Vec<u8> {
        match self.servers[server].role {
            Role::Primary => b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_vec(),
            Role::ReplicaOf(of) => {
                let host = format!("n{of}");
                let (len, port) = (host.len(), 7000 + of);
                format!(
                    "*5\r\n$5\r\nslave\r\n${len}\r\n{host}\r\n:{port}\r\n$9\r\nconnected\r\n:0\r\n"
                )
                .into_bytes()
            }
        }
    }
}

/// One word.
type Word = Vec<u8>;
