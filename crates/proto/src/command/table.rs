//! The names. Properties are those of `COMMAND INFO` of Redis 8.2 and Valkey 9.1 (flags `readonly`, `blocking`), except IDEMPOTENT and STATE,
//! which are ours and were reviewed by hand.

use super::Class;

const R: Class = Class::READ;
const I: Class = Class::IDEMPOTENT;
const B: Class = Class::BLOCKING;
const E: Class = Class::SCRIPT;
const S: Class = Class::STATE;
const C: Class = Class::CONTAINER;

#[rustfmt::skip]
const NAMES: &[(&[u8], Class)] = &[
    (b"ASKING", S), (b"AUTH", S), (b"BITCOUNT", R), (b"BITFIELD_RO", R), (b"BITPOS", R), (b"BLMOVE", B), (b"BLMPOP", B), (b"BLPOP", B),
    (b"BRPOP", B), (b"BRPOPLPUSH", B), (b"BZMPOP", B), (b"BZPOPMAX", B), (b"BZPOPMIN", B), (b"CLIENT", C), (b"COMMAND", R), (b"CONFIG", C),
    (b"DBSIZE", R), (b"DEL", I), (b"DISCARD", S), (b"DUMP", R), (b"ECHO", R), (b"EVAL", E), (b"EVALSHA", E), (b"EVALSHA_RO", R), (b"EVAL_RO", R),
    (b"EXEC", S), (b"EXISTS", R), (b"EXPIRE", I), (b"EXPIREAT", I), (b"EXPIRETIME", R), (b"FCALL", E), (b"FCALL_RO", R), (b"FUNCTION", C),
    (b"GEOADD", I), (b"GEODIST", R), (b"GEOHASH", R), (b"GEOPOS", R), (b"GEORADIUSBYMEMBER_RO", R), (b"GEORADIUS_RO", R), (b"GEOSEARCH", R),
    (b"GET", R), (b"GETBIT", R), (b"GETRANGE", R), (b"HDEL", I), (b"HELLO", S), (b"HEXISTS", R), (b"HEXPIRETIME", R), (b"HGET", R), (b"HGETALL", R),
    (b"HKEYS", R), (b"HLEN", R), (b"HMGET", R), (b"HMSET", I), (b"HPEXPIRETIME", R), (b"HPTTL", R), (b"HRANDFIELD", R), (b"HSCAN", R), (b"HSET", I),
    (b"HSTRLEN", R), (b"HTTL", R), (b"HVALS", R), (b"INFO", R), (b"KEYS", R), (b"LASTSAVE", R), (b"LCS", R), (b"LINDEX", R), (b"LLEN", R), (b"LOLWUT", R),
    (b"LPOS", R), (b"LRANGE", R), (b"LSET", I), (b"MEMORY", C), (b"MGET", R), (b"MONITOR", S), (b"MSET", I), (b"MULTI", S), (b"OBJECT", R), (b"PERSIST", I),
    (b"PEXPIRE", I), (b"PEXPIREAT", I), (b"PEXPIRETIME", R), (b"PFADD", I), (b"PFCOUNT", R), (b"PING", R), (b"PSETEX", I), (b"PSUBSCRIBE", S), (b"PSYNC", S),
    (b"PTTL", R), (b"PUBSUB", R), (b"PUNSUBSCRIBE", S), (b"QUIT", S), (b"RANDOMKEY", R), (b"READONLY", S), (b"READWRITE", S), (b"REPLCONF", S), (b"RESET", S),
    (b"ROLE", R), (b"SADD", I), (b"SCAN", R), (b"SCARD", R), (b"SCRIPT", C), (b"SDIFF", R), (b"SELECT", S), (b"SET", I), (b"SETBIT", I), (b"SETEX", I),
    (b"SETRANGE", I), (b"SINTER", R), (b"SINTERCARD", R), (b"SISMEMBER", R), (b"SMEMBERS", R), (b"SMISMEMBER", R), (b"SORT_RO", R), (b"SRANDMEMBER", R), (b"SREM", I),
    (b"SSCAN", R), (b"SSUBSCRIBE", S), (b"STRLEN", R), (b"SUBSCRIBE", S), (b"SUBSTR", R), (b"SUNION", R), (b"SUNSUBSCRIBE", S), (b"SYNC", S), (b"TIME", R),
    (b"TOUCH", R), (b"TTL", R), (b"TYPE", R), (b"UNLINK", I), (b"UNSUBSCRIBE", S), (b"UNWATCH", S), (b"WAIT", S), (b"WAITAOF", S),
    (b"WATCH", S), (b"XACK", I), (b"XDEL", I), (b"XINFO", R), (b"XLEN", R), (b"XPENDING", R), (b"XRANGE", R), (b"XREAD", R.or(B)), (b"XREADGROUP", B),
    (b"XREVRANGE", R), (b"ZADD", I), (b"ZCARD", R), (b"ZCOUNT", R), (b"ZDIFF", R), (b"ZINTER", R), (b"ZINTERCARD", R), (b"ZLEXCOUNT", R), (b"ZMSCORE", R),
    (b"ZRANDMEMBER", R), (b"ZRANGE", R), (b"ZRANGEBYLEX", R), (b"ZRANGEBYSCORE", R), (b"ZRANK", R), (b"ZREM", I), (b"ZREMRANGEBYLEX", I),
    (b"ZREMRANGEBYSCORE", I), (b"ZREVRANGE", R), (b"ZREVRANGEBYLEX", R), (b"ZREVRANGEBYSCORE", R), (b"ZREVRANK", R), (b"ZSCAN", R), (b"ZSCORE", R), (b"ZUNION", R),
];

#[rustfmt::skip]
const SECOND_WORDS: &[(&[u8], &[u8], Class)] = &[
    (b"CLIENT", b"CACHING", S), (b"CLIENT", b"CAPA", S), (b"CLIENT", b"GETNAME", R), (b"CLIENT", b"GETREDIR", R), (b"CLIENT", b"ID", R),
    (b"CLIENT", b"IMPORT-SOURCE", S), (b"CLIENT", b"INFO", R), (b"CLIENT", b"LIST", R), (b"CLIENT", b"MAINT_NOTIFICATIONS", S),
    (b"CLIENT", b"NO-EVICT", S), (b"CLIENT", b"NO-TOUCH", S), (b"CLIENT", b"REPLY", S), (b"CLIENT", b"SETINFO", S), (b"CLIENT", b"SETNAME", S),
    (b"CLIENT", b"TRACKING", S), (b"CLIENT", b"TRACKINGINFO", R), (b"CONFIG", b"GET", R), (b"CONFIG", b"SET", I), (b"FUNCTION", b"DUMP", R),
    (b"FUNCTION", b"LIST", R), (b"FUNCTION", b"STATS", R), (b"MEMORY", b"DOCTOR", R), (b"MEMORY", b"STATS", R), (b"MEMORY", b"USAGE", R),
    (b"SCRIPT", b"DEBUG", S), (b"SCRIPT", b"EXISTS", R), (b"SCRIPT", b"LOAD", I),
];

/// Open addressing; a power of two, more than twice the names, so that a miss ends after a step or two.
const SLOTS: usize = 512;

const EMPTY: u8 = u8::MAX;

static INDEX: [u8; SLOTS] = index();

/// A name in upper case, packed so that two are compared in three steps.
type Key = [u64; 3];

/// Bit 5 tells the cases apart; that clearing it also folds a few control characters onto digits does no harm, since no server knows such a
/// command.
const UPPER_CASE: u64 = 0xdfdf_dfdf_dfdf_dfdf;

static KEYS: [(Key, Class); NAMES.len()] = keys();

const fn key(name: &[u8]) -> Option<Key> {
    if name.len() > size_of::<Key>() {
        return None;
    }
    let mut key: Key = [0; 3];
    let mut i = 0;
    while i < name.len() {
        key[i / 8] |= (name[i] as u64) << (i % 8 * 8);
        i += 1;
    }
    Some([key[0] & UPPER_CASE, key[1] & UPPER_CASE, key[2] & UPPER_CASE])
}

const fn keys() -> [(Key, Class); NAMES.len()] {
    let mut keys = [([0; 3], NAMES[0].1); NAMES.len()];
    let mut i = 0;
    while i < NAMES.len() {
        if let Some(key) = key(NAMES[i].0) {
            keys[i] = (key, NAMES[i].1);
        }
        i += 1;
    }
    keys
}

const fn slot(key: Key) -> usize {
    let word = key[0] ^ key[1].rotate_left(5) ^ key[2].rotate_left(11);
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize % SLOTS
}

const fn index() -> [u8; SLOTS] {
    let mut slots = [EMPTY; SLOTS];
    let keys = keys();
    let mut i = 0;
    while i < keys.len() {
        let mut at = slot(keys[i].0);
        while slots[at] != EMPTY {
            at = (at + 1) % SLOTS;
        }
        slots[at] = i as u8;
        i += 1;
    }
    slots
}

pub(super) fn lookup(name: &[u8]) -> Class {
    key(name).map_or_else(Class::default, find)
}

/// The same for a name that is packed already ([`Command::short_name`](redial_resp::Command::short_name)).
#[inline]
pub(super) fn lookup_short(name: u64) -> Class {
    find([name & UPPER_CASE, 0, 0])
}

#[inline]
fn find(key: Key) -> Class {
    let mut at = slot(key);
    while let Some((known, class)) = INDEX.get(at).and_then(|i| KEYS.get(usize::from(*i))) {
        if *known == key {
            return *class;
        }
        at = (at + 1) % SLOTS;
    }
    Class::default()
}

pub(super) fn lookup_second(name: &[u8], second: &[u8]) -> Class {
    SECOND_WORDS
        .iter()
        .find(|(n, s, _)| n.eq_ignore_ascii_case(name) && s.eq_ignore_ascii_case(second))
        .map_or_else(Class::default, |(_, _, class)| *class)
}

/// What to do instead of a refused command.
pub(super) fn advice(name: &str, second: Option<&str>) -> &'static str {
    match (name, second) {
        ("CLIENT", Some("SETNAME" | "SETINFO")) => {
            "set the name with `Builder::client_name`, it is announced on every connection"
        }
        ("CLIENT", Some("TRACKING" | "CACHING")) => {
            "tracking needs a connection of its own, which this version does not offer yet"
        }
        ("CLIENT", Some("REPLY")) => {
            "every reply is matched with its request; to ignore one, drop its future or the result"
        }
        ("CLIENT", Some("NO-EVICT")) => "set it with `Builder::no_evict`",
        ("CLIENT", Some("NO-TOUCH")) => "set it with `Builder::no_touch`",
        ("CLIENT", _) => {
            "it would hold for whichever connection happens to be in use; there is no setting for it yet"
        }
        ("SELECT", _) => {
            "name the database in the URL (`redis://host/1`) or with `Builder::database`, or use a client for each"
        }
        ("MULTI" | "EXEC" | "DISCARD", _) => {
            "a transaction is one request; build it with `transaction()`"
        }
        ("WATCH" | "UNWATCH", _) => "watch keys on a connection of your own, `Client::dedicated`",
        ("SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE", _) => {
            "use `Client::subscribe`, which has a connection of its own and restores it"
        }
        ("UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE", _) => {
            "drop the `Subscription` that `Client::subscribe` gave"
        }
        ("AUTH" | "HELLO", _) => {
            "give user and password in the URL or with `Builder::credentials`, they are used on every connection"
        }
        ("QUIT", _) => {
            "use `Client::quit` to finish what is under way, or `Client::disconnect` to end at once"
        }
        ("WAIT" | "WAITAOF", _) => {
            "it counts the replicas that have what its own connection wrote: send both on a connection of your own, `Client::dedicated`"
        }
        ("MONITOR" | "SYNC" | "PSYNC" | "REPLCONF", _) => {
            "it turns the connection into a stream of another kind, which redial does not offer yet"
        }
        ("READONLY" | "READWRITE" | "ASKING", _) => {
            "redial sends it itself where a cluster needs it"
        }
        ("SCRIPT", _) => {
            "debugging turns the connection into a stream of another kind; use redis-cli for it"
        }
        _ => "it would undo the authentication, database and name that redial gave the connection",
    }
}

#[cfg(test)]
mod tests {
    use redial_resp::Command;

    use super::*;

    #[test]
    fn the_index_can_name_every_entry_and_finds_each() {
        assert!(NAMES.len() < usize::from(EMPTY) && NAMES.len() * 2 < SLOTS);
        assert!(NAMES.iter().all(|(name, _)| key(name).is_some()));
        for (name, class) in NAMES {
            assert_eq!(lookup(name), *class, "{}", String::from_utf8_lossy(name));
            assert_eq!(Class::of(&Command::new(name)), *class);
            assert_eq!(Class::of(&Command::new(name.to_ascii_lowercase())), *class);
        }
        assert!(
            NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "sorted, so that reviews see what is missing"
        );
    }
}
