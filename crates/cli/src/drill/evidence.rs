//! What the servers hold at the end: the data from which the verdict is drawn.
//!
//! Read on the servers' own control connections, past the network and past the client.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redial_lab::{Reply, Server};

use super::workload::{Record, Step, counter_key, list_key, parse_token, token, value_key};

/// Keys per MGET: large enough to be quick, small enough to be no pause for the server.
const CHUNK: usize = 500;

/// The clients of a crowd may still keep the server busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server's data, as far as the workload wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerData {
    /// Each caller's list: the rounds in the order in which they were applied.
    pub(crate) lists: Vec<Vec<u32>>,
    /// Each caller's counter.
    pub(crate) counters: Vec<i64>,
    /// The keys that exist, and whether they hold the token that was written.
    pub(crate) keys: HashMap<(usize, u32), bool>,
    /// Elements in lists that nobody wrote there.
    pub(crate) foreign: u64,
}

/// Something that answers control commands: a lab's server, or a test's.
pub(crate) trait Ask {
    fn ask(&self, args: &[String]) -> Result<Reply>;
}

impl Ask for Server {
    fn ask(&self, args: &[String]) -> Result<Reply> {
        let reply = self.command_within(args, PATIENCE)?;
        if let Reply::Error(text) = &reply {
            bail!("server {} answered `{text}` to {}", self.host(), args[0]);
        }
        Ok(reply)
    }
}

impl ServerData {
    /// Reads what `callers` callers have written in up to `rounds` rounds.
    pub(crate) fn read(server: &impl Ask, callers: usize, rounds: u32) -> Result<Self> {
        Self::read_of(server, callers, rounds, |_| true)
    }

    /// The same of a server that has the keys of some callers only.
    pub(crate) fn read_of(
        server: &impl Ask,
        callers: usize,
        rounds: u32,
        has: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let mut data = Self::default();
        for caller in 0..callers {
            if !has(caller) {
                data.lists.push(Vec::new());
                data.counters.push(0);
                continue;
            }
            data.read_list(server, caller)?;
            let counter = server.ask(&["GET".into(), counter_key(caller)])?;
            data.counters.push(counter.as_int().unwrap_or(0));
            let wanted: Vec<(usize, u32)> = (0..rounds).map(|round| (caller, round)).collect();
            for chunk in wanted.chunks(CHUNK) {
                data.read_keys(server, chunk)?;
            }
        }
        Ok(data)
    }

    /// Whether this data lacks an acknowledged RPUSH or SET. Of an INCR it can't be told.
    pub(crate) fn lost(&self) -> impl Fn(&Record) -> bool + '_ {
        let lists = self.lists.iter().map(|list| list.iter().copied().collect());
        let lists: Vec<HashSet<u32>> = lists.collect();
        move |record| {
            record.succeeded_at().is_some()
                && match record.step {
                    Step::Push => {
                        lists.get(record.caller).is_none_or(|list| !list.contains(&record.round))
                    }
                    Step::Set => !self.keys.contains_key(&(record.caller, record.round)),
                    Step::Incr | Step::Get | Step::Upload => false,
                }
        }
    }

    fn read_list(&mut self, server: &impl Ask, caller: usize) -> Result<()> {
        let reply = server.ask(&["LRANGE".into(), list_key(caller), "0".into(), "-1".into()])?;
        let items = reply.as_array().context("LRANGE was not answered by an array")?;
        let mut rounds = Vec::with_capacity(items.len());
        for item in items {
            match item.as_str().and_then(parse_token) {
                Some((of, round)) if of == caller => rounds.push(round),
                _ => self.foreign += 1,
            }
        }
        self.lists.push(rounds);
        Ok(())
    }

    fn read_keys(&mut self, server: &impl Ask, wanted: &[(usize, u32)]) -> Result<()> {
        let mut mget = vec!["MGET".to_owned()];
        mget.extend(wanted.iter().map(|&(caller, round)| value_key(caller, round)));
        let reply = server.ask(&mget)?;
        let values = reply.as_array().context("MGET was not answered by an array")?;
        for (&(caller, round), value) in wanted.iter().zip(values) {
            if let Some(value) = value.as_str() {
                self.keys.insert((caller, round), value == token(caller, round));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with one caller's data.
    struct Fake;

    impl Ask for Fake {
        fn ask(&self, args: &[String]) -> Result<Reply> {
            let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
            Ok(match args[0].as_str() {
                "LRANGE" => Reply::Array(vec![bytes("t0-0"), bytes("t0-2"), bytes("t9-1")]),
                "GET" => bytes("3"),
                "MGET" => Reply::Array(
                    args[1..]
                        .iter()
                        .map(|key| match key.as_str() {
                            "key:{0}-0" => bytes("t0-0"),
                            "key:{0}-1" => bytes("t0-7"),
                            _ => Reply::Nil,
                        })
                        .collect(),
                ),
                other => bail!("unexpected {other}"),
            })
        }
    }

    #[test]
    fn lists_counters_and_keys_are_read_and_foreign_elements_are_counted() {
        let data = ServerData::read(&Fake, 1, 3).unwrap();
        assert_eq!(data.lists, [[0, 2]]);
        assert_eq!((data.counters.as_slice(), data.foreign), (&[3][..], 1));
        assert_eq!(data.keys, HashMap::from([((0, 0), true), ((0, 1), false)]));
    }
}
