//! The commands of a connection: HELLO, AUTH, CLIENT, INFO, SUBSCRIBE, MULTI and EXEC.

use super::commands::bulk;
use super::session::{Blocked, Words};
use super::{Role, Version};
use crate::caller::Kind;
use crate::world::World;

const OK: &[u8] = b"+OK\r\n";

impl World {
    pub(super) fn administrate(&mut self, server: usize, pipe: usize, words: &Words) -> Vec<u8> {
        let second = words.get(1).map_or(&[][..], Vec::as_slice);
        match words[0].as_slice() {
            b"HELLO" => self.hello(server, pipe, words),
            b"AUTH" => {
                let given = words.last().cloned().unwrap_or_default();
                self.authenticate(server, pipe, &given).map_or_else(|| OK.to_vec(), Into::into)
            }
            b"INFO" if second == b"server" => {
                let run_id = &self.servers[server].run_id;
                let version = match self.servers[server].version {
                    Version::Old => "7.0.15",
                    Version::New => "8.2.3",
                    Version::Ahead => "9.1.2",
                };
                bulk(&format!("# Server\r\nredis_version:{version}\r\nrun_id:{run_id}\r\n"))
            }
            b"INFO" => {
                let told = &mut self.pipes[pipe].told_primary;
                *told = Some(told.unwrap_or(false) || self.servers[server].is_primary());
                self.info_replication(server)
            }
            b"CLIENT" => self.client(server, pipe, words),
            b"PING" => self.ping(server, pipe),
            b"SELECT" => OK.to_vec(),
            b"SUBSCRIBE" | b"UNSUBSCRIBE" => self.subscribe(server, pipe, words),
            b"MULTI" => {
                if let Some(session) = self.servers[server].sessions.get_mut(&pipe) {
                    session.multi = Some(Vec::new());
                }
                OK.to_vec()
            }
            b"EXEC" => self.exec(server, pipe),
            b"GET" => b"$-1\r\n".to_vec(),
            b"ASKING" => OK.to_vec(),
            b"CLUSTER" => self.cluster_command(server, second),
            b"ROLE" => self.role(server),
            b"SENTINEL" => self.sentinel_command(server, words),
            _ => b"-ERR unknown command\r\n".to_vec(),
        }
    }

    fn authenticate(&mut self, server: usize, pipe: usize, given: &[u8]) -> Option<&'static [u8]> {
        let host = &mut self.servers[server];
        let fits = host.password.as_ref().is_none_or(|password| password.as_bytes() == given);
        if !fits {
            return Some(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n");
        }
        if let Some(session) = host.sessions.get_mut(&pipe) {
            session.authed = true;
        }
        None
    }

    fn hello(&mut self, server: usize, pipe: usize, words: &Words) -> Vec<u8> {
        if !self.servers[server].knows_hello {
            return b"-ERR unknown command 'HELLO'\r\n".to_vec();
        }
        if words.len() >= 5
            && let Some(refusal) = self.authenticate(server, pipe, &words[4])
        {
            return refusal.to_vec();
        }
        let host = &mut self.servers[server];
        let role = if host.role == Role::Primary { "master" } else { "replica" };
        let Some(session) = host.sessions.get_mut(&pipe) else { return Vec::new() };
        if !session.authed {
            return b"-NOAUTH HELLO must be called with the client already authenticated\r\n"
                .to_vec();
        }
        session.resp3 = true;
        let id = session.id;
        let len = role.len();
        format!(
            "%3\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:{id}\r\n$4\r\nrole\r\n${len}\r\n{role}\r\n"
        )
        .into_bytes()
    }

    fn info_replication(&mut self, server: usize) -> Vec<u8> {
        self.pull(server);
        let host = &self.servers[server];
        let role = if host.role == Role::Primary { "master" } else { "slave" };
        bulk(&format!(
            "# Replication\r\nrole:{role}\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:{}\r\nsecond_repl_offset:{}\r\n",
            host.replid,
            host.replid2,
            host.log.len(),
            host.replid2_until
        ))
    }

    fn client(&mut self, server: usize, pipe: usize, words: &Words) -> Vec<u8> {
        let id = || String::from_utf8_lossy(words.last().map_or(&[][..], Vec::as_slice)).parse();
        match words.get(1).map_or(&[][..], Vec::as_slice) {
            b"ID" => {
                let id = self.servers[server].sessions.get(&pipe).map_or(0, |session| session.id);
                format!(":{id}\r\n").into_bytes()
            }
            b"LIST" => bulk(&self.client_line(server, id().unwrap_or(0))),
            b"KILL" => {
                let id: i64 = id().unwrap_or(0);
                let found = self.servers[server].sessions.iter().find(|(_, s)| s.id == id);
                match found.map(|(pipe, _)| *pipe) {
                    Some(old) => {
                        self.drop_session(server, old);
                        b":1\r\n".to_vec()
                    }
                    None => b":0\r\n".to_vec(),
                }
            }
            b"SETINFO" if self.servers[server].version == Version::Old => {
                b"-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n".to_vec()
            }
            _ => OK.to_vec(),
        }
    }

    fn client_line(&self, server: usize, id: i64) -> String {
        let host = &self.servers[server];
        let Some((pipe, session)) = host.sessions.iter().find(|(_, session)| session.id == id)
        else {
            return String::new();
        };
        let flags = match session.blocked {
            Some(Blocked::Paused(..) | Blocked::Waiting { .. }) => "b",
            Some(Blocked::Running(_)) | None => "N",
        };
        let qbuf = match host.version {
            Version::Ahead => session.unparsed_ahead(),
            _ => session.unparsed(),
        };
        let mut line = format!("id={id} addr=client:{pipe} flags={flags} qbuf={qbuf}");
        if host.version != Version::Old {
            line.push_str(&format!(" tot-net-in={} tot-net-out=0 tot-cmds=0", session.net_in));
        }
        line.push('\n');
        line
    }

    fn ping(&self, server: usize, pipe: usize) -> Vec<u8> {
        let session = self.servers[server].sessions.get(&pipe);
        if session.is_some_and(|session| !session.resp3 && !session.channels.is_empty()) {
            return b"*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_vec();
        }
        b"+PONG\r\n".to_vec()
    }

    fn subscribe(&mut self, server: usize, pipe: usize, words: &Words) -> Vec<u8> {
        let Some(session) = self.servers[server].sessions.get_mut(&pipe) else { return Vec::new() };
        let channel = words.get(1).cloned().unwrap_or_default();
        let name = String::from_utf8_lossy(&words[0]).to_lowercase();
        if name == "subscribe" {
            session.channels.insert(channel.clone());
        } else {
            session.channels.remove(&channel);
        }
        let mark = if session.resp3 { '>' } else { '*' };
        let count = session.channels.len();
        let channel = String::from_utf8_lossy(&channel).into_owned();
        let (name, channel) = (bulk(&name), bulk(&channel));
        [format!("{mark}3\r\n").as_bytes(), &name, &channel, format!(":{count}\r\n").as_bytes()]
            .concat()
    }

    pub(super) fn enqueue(&mut self, server: usize, pipe: usize, words: &Words) -> Vec<u8> {
        let session = self.servers[server].sessions.get_mut(&pipe);
        if let Some(queued) = session.and_then(|session| session.multi.as_mut()) {
            queued.push(words.clone());
        }
        b"+QUEUED\r\n".to_vec()
    }

    fn exec(&mut self, server: usize, pipe: usize) -> Vec<u8> {
        let session = self.servers[server].sessions.get_mut(&pipe);
        let Some(session) = session else { return Vec::new() };
        let queued = session.multi.take().unwrap_or_default();
        if std::mem::take(&mut session.is_dirty) {
            for (_, token) in queued.iter().filter_map(|words| Kind::recognise(words)) {
                self.ledger.refused(token);
            }
            return b"-EXECABORT Transaction discarded because of previous errors.\r\n".to_vec();
        }
        let mut reply = format!("*{}\r\n", queued.len()).into_bytes();
        for words in &queued {
            let one = match Kind::recognise(words) {
                Some((kind, token)) => self.run_command(server, pipe, kind, token, words),
                None => self.administrate(server, pipe, words),
            };
            reply.extend(one);
        }
        reply
    }
}
