//! Who answered: which process, in which role, with which history of data. Read from INFO, whose fields are documented at
//! <https://redis.io/docs/latest/commands/info/>.

use redial_resp::{Frame, Value};

/// The role that a server claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `role:master`
    Primary,
    /// `role:slave`
    Replica,
    /// Hidden by a proxy or an ACL.
    Unknown,
}

/// Where a server's data comes from: two servers with a common id have a common past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// `master_replid`: the history that the server writes now.
    pub replid: String,
    /// `master_replid2`: the history that it followed before it was promoted.
    pub replid2: String,
    /// `second_repl_offset`: up to where it followed that one; −1 if it never did.
    pub replid2_until: i64,
    /// `master_repl_offset`
    pub offset: i64,
}

impl Lineage {
    /// True if this server's data continues what `earlier` had.
    #[must_use]
    pub fn descends_from(&self, earlier: &Self) -> bool {
        !earlier.replid.is_empty()
            && (self.replid == earlier.replid || self.replid2 == earlier.replid)
    }
}

/// What a handshake learns of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `run_id`: another one is another process. `None` where a proxy or an ACL hides it.
    pub run_id: Option<String>,
    /// What it claims to be.
    pub role: Role,
    /// Its data's history, where it tells.
    pub lineage: Option<Lineage>,
    /// `redis_version`, for events.
    pub version: String,
    /// The number that the server gave our connection (`CLIENT ID`): by it a fence finds the connection again.
    pub client_id: Option<i64>,
    /// `availability_zone`, where the server has one.
    pub zone: Option<String>,
    /// True for RESP3.
    pub resp3: bool,
}

impl Server {
    pub(crate) const fn unknown() -> Self {
        Self {
            run_id: None,
            role: Role::Unknown,
            lineage: None,
            version: String::new(),
            client_id: None,
            zone: None,
            resp3: false,
        }
    }

    /// Takes what an INFO reply says; an error reply leaves all as it is.
    pub(crate) fn read_info(&mut self, frame: &Frame) {
        let (Value::Bulk(text) | Value::Simple(text) | Value::Verbatim { text, .. }) =
            frame.value()
        else {
            return;
        };
        let text = String::from_utf8_lossy(text);
        let mut lineage = Lineage { replid2_until: -1, ..Lineage::default() };
        for (key, value) in text.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match key {
                "run_id" => self.run_id = Some(value.to_owned()),
                "availability_zone" => {
                    self.zone = Some(value.to_owned()).filter(|zone| !zone.is_empty());
                }
                "redis_version" => value.clone_into(&mut self.version),
                "role" => {
                    self.role = match value {
                        "master" => Role::Primary,
                        "slave" | "replica" => Role::Replica,
                        _ => Role::Unknown,
                    }
                }
                "master_replid" => value.clone_into(&mut lineage.replid),
                "master_replid2" => value.clone_into(&mut lineage.replid2),
                "master_repl_offset" => lineage.offset = value.parse().unwrap_or(0),
                "second_repl_offset" => lineage.replid2_until = value.parse().unwrap_or(-1),
                _ => {}
            }
        }
        if !lineage.replid.is_empty() {
            self.lineage = Some(lineage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn info(text: &str) -> Frame {
        Frame::from_scanned(Bytes::from(format!("${}\r\n{text}\r\n", text.len())))
    }

    #[test]
    fn info_tells_process_role_and_history() {
        let mut server = Server::unknown();
        server.read_info(&info("# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n"));
        server.read_info(&info(
            "role:master\r\nmaster_replid:new\r\nmaster_replid2:old\r\nmaster_repl_offset:20\r\nsecond_repl_offset:15\r\n",
        ));
        assert_eq!(server.run_id.as_deref(), Some("abc"));
        assert_eq!((server.role, server.version.as_str()), (Role::Primary, "7.0.15"));
        let lineage = server.lineage.unwrap();
        assert_eq!((lineage.offset, lineage.replid2_until), (20, 15));
        let before = Lineage { replid: "old".into(), ..Lineage::default() };
        assert!(lineage.descends_from(&before));
        assert!(!before.descends_from(&lineage));
    }

    #[test]
    fn a_server_that_refuses_info_stays_unknown() {
        let mut server = Server::unknown();
        server.read_info(&Frame::from_scanned(Bytes::from_static(b"-NOPERM no\r\n")));
        assert_eq!(server, Server::unknown());
    }
}
