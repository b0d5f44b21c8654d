//! The workloads and the data they read.
//!
//! It does not decide how a client sends them; see `clients`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How many keys there are; a power of two, so that callers step through them with a mask.
pub(crate) const KEYS: usize = 1024;
/// Commands in one pipeline.
pub(crate) const PIPELINE: usize = 1000;
/// Messages that are published at a time.
pub(crate) const MESSAGES: usize = 1000;
/// Items in the list that LRANGE reads.
pub(crate) const ITEMS: usize = 10_000;
/// The list that LRANGE reads.
pub(crate) const LIST: &str = "bench:list";
/// Fields of the hash that HGETALL reads.
pub(crate) const FIELDS: usize = 5_000;
/// The hash that HGETALL reads.
pub(crate) const HASH: &str = "bench:hash";

/// What a client is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// GET, 64 callers on one connection, each in a closed loop.
    Get64,
    /// GET, 512 callers on one connection.
    Get512,
    /// Pipelines of 1,000 GETs, one after the other; counted per GET.
    Pipeline,
    /// One caller, one GET after the other, client and server on the same core.
    Sequence,
    /// Heap allocations of a GET at 64 callers.
    Allocations,
    /// LRANGE of 10,000 items into a vector, one after the other.
    Lrange,
    /// The same, the items looked at in the reply where the client can.
    LrangeLazy,
    /// HGETALL of 5,000 fields into a vector of pairs, one after the other.
    Hgetall,
    /// Messages of a channel, received by one subscriber; published 1,000 at a time by a script in the server.
    Pubsub,
}

impl Workload {
    /// What runs when nothing is asked for.
    pub(crate) const DEFAULT: [Self; 5] =
        [Self::Get64, Self::Get512, Self::Pipeline, Self::Sequence, Self::Allocations];

    /// Tasks that issue commands at the same time.
    pub(crate) fn callers(self) -> usize {
        match self {
            Self::Get64 | Self::Allocations => 64,
            Self::Get512 => 512,
            Self::Pipeline
            | Self::Sequence
            | Self::Lrange
            | Self::LrangeLazy
            | Self::Hgetall
            | Self::Pubsub => 1,
        }
    }

    /// Commands are issued in multiples of this, so that every caller has the same share.
    pub(crate) fn granularity(self) -> usize {
        match self {
            Self::Pipeline => PIPELINE,
            Self::Pubsub => MESSAGES,
            _ => self.callers(),
        }
    }

    /// Whether the client shares the server's core. One caller in sequence never needs two cores at once, and on two it
    /// would measure how deep they sleep.
    pub(crate) fn shares_core(self) -> bool {
        self == Self::Sequence
    }

    /// How many commands the first, unmeasured round takes, to warm up and to learn the rate.
    pub(crate) fn warm_up(self) -> usize {
        match self {
            Self::Get64 | Self::Get512 | Self::Allocations => 512 * 64,
            Self::Pipeline | Self::Pubsub => 50 * PIPELINE,
            Self::Sequence => 5_000,
            Self::Lrange | Self::LrangeLazy | Self::Hgetall => 100,
        }
    }

    /// As it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get64 => "get64",
            Self::Get512 => "get512",
            Self::Pipeline => "pipeline",
            Self::Sequence => "sequence",
            Self::Allocations => "allocations",
            Self::Lrange => "lrange",
            Self::LrangeLazy => "lrange-lazy",
            Self::Hgetall => "hgetall",
            Self::Pubsub => "pubsub",
        }
    }

    /// As it is called in a report.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Get64 => "GET, 64 callers, µs",
            Self::Get512 => "GET, 512 callers, µs",
            Self::Pipeline => "pipeline of 1,000 GETs, µs per GET",
            Self::Sequence => "one caller in sequence, µs",
            Self::Allocations => "heap allocations per GET",
            Self::Lrange => "LRANGE of 10,000 items into a vector, µs",
            Self::LrangeLazy => "LRANGE of 10,000 items, read lazily, µs",
            Self::Hgetall => "HGETALL of 5,000 fields into pairs, µs",
            Self::Pubsub => "pub/sub, µs per message",
        }
    }
}

/// Keys and values, the same in every process.
#[derive(Debug)]
pub(crate) struct Data {
    /// `bench:key:0000` and so on.
    pub(crate) keys: Vec<String>,
    /// Length of each value in bytes.
    pub(crate) value_size: usize,
}

impl Data {
    pub(crate) fn new(value_size: usize) -> Self {
        Self { keys: (0..KEYS).map(|key| format!("bench:key:{key:04}")).collect(), value_size }
    }

    /// The key of a caller's `turn`th command. Callers start at different keys.
    pub(crate) fn key(&self, caller: usize, turn: usize) -> &str {
        &self.keys[(caller * 37 + turn) & (KEYS - 1)]
    }

    /// The keys of one pipeline.
    pub(crate) fn pipeline_keys(&self) -> &[String] {
        &self.keys[..PIPELINE]
    }

    /// Everything that loads the data into a server, ended by a PING.
    pub(crate) fn loading_commands(&self) -> Vec<u8> {
        let value = "v".repeat(self.value_size);
        let mut commands = Vec::new();
        for key in &self.keys {
            encode(&mut commands, &["SET", key, &value]);
        }
        for _ in 0..ITEMS {
            encode(&mut commands, &["RPUSH", LIST, &value]);
        }
        for field in 0..FIELDS {
            encode(&mut commands, &["HSET", HASH, &field_name(field), &value]);
        }
        encode(&mut commands, &["PING"]);
        commands
    }
}

/// What publishes messages, to a channel of this process' own; answered by [`PUBLISHED`].
pub(crate) struct Publication {
    pub(crate) channel: String,
    pub(crate) command: Vec<u8>,
}

/// What a script answers that returns nothing.
pub(crate) const PUBLISHED: &[u8] = b"$-1\r\n";

impl Publication {
    pub(crate) fn new(data: &Data) -> Self {
        let channel = format!("bench:channel:{:010}", std::process::id());
        let script = "for _ = 1, ARGV[3] do redis.call('PUBLISH', ARGV[1], ARGV[2]) end";
        let (payload, count) = ("m".repeat(data.value_size), MESSAGES.to_string());
        let mut command = Vec::new();
        encode(&mut command, &["EVAL", script, "0", &channel, &payload, &count]);
        Self { channel, command }
    }
}

fn field_name(field: usize) -> String {
    format!("field:{field:04}")
}

/// Appends a command in RESP.
pub(crate) fn encode(out: &mut Vec<u8>, args: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
    }
}
