//! Which commands' replies depend on their keys alone, and where those are.
//!
//! Not in the list, though they read: what depends on time or chance (TTL, RANDOMKEY, SRANDMEMBER, XPENDING), what tells of the server rather than of the key
//! (OBJECT, MEMORY, DUMP), scripts, and what has a cursor. Key positions are those of `COMMAND INFO` of Redis 8.2 and Valkey 9.1.

use redial_resp::{Bytes, Command};

/// The keys; `None` for a command that can't be cached.
pub(super) fn keys(command: &Command) -> Option<Vec<Bytes>> {
    let name = String::from_utf8(command.name().to_ascii_uppercase()).ok()?;
    let args: Vec<&[u8]> = command.args().collect();
    let keys = match name.as_str() {
        "BITCOUNT"
        | "BITFIELD_RO"
        | "BITPOS"
        | "EXPIRETIME"
        | "GEODIST"
        | "GEOHASH"
        | "GEOPOS"
        | "GEORADIUSBYMEMBER_RO"
        | "GEORADIUS_RO"
        | "GEOSEARCH"
        | "GET"
        | "GETBIT"
        | "GETRANGE"
        | "HEXISTS"
        | "HGET"
        | "HGETALL"
        | "HKEYS"
        | "HLEN"
        | "HMGET"
        | "HSTRLEN"
        | "HVALS"
        | "LINDEX"
        | "LLEN"
        | "LPOS"
        | "LRANGE"
        | "PEXPIRETIME"
        | "SCARD"
        | "SISMEMBER"
        | "SMEMBERS"
        | "SMISMEMBER"
        | "STRLEN"
        | "SUBSTR"
        | "TYPE"
        | "XLEN"
        | "XRANGE"
        | "XREVRANGE"
        | "ZCARD"
        | "ZCOUNT"
        | "ZLEXCOUNT"
        | "ZMSCORE"
        | "ZRANGE"
        | "ZRANGEBYLEX"
        | "ZRANGEBYSCORE"
        | "ZRANK"
        | "ZREVRANGE"
        | "ZREVRANGEBYLEX"
        | "ZREVRANGEBYSCORE"
        | "ZREVRANK"
        | "ZSCORE" => args.get(1..2)?,
        "EXISTS" | "MGET" | "SDIFF" | "SINTER" | "SUNION" => args.get(1..)?,
        "LCS" => args.get(1..3)?,
        "SINTERCARD" | "ZDIFF" | "ZINTER" | "ZINTERCARD" | "ZUNION" => {
            let count: usize = std::str::from_utf8(args.get(1)?).ok()?.parse().ok()?;
            args.get(2..count.checked_add(2)?)?
        }
        _ => return None,
    };
    let keys: Vec<Bytes> = keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
    (!keys.is_empty()).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_read_are_found_and_what_depends_on_more_is_refused() {
        for (line, expected) in [
            ("get a", "a"),
            ("MGET a b", "a b"),
            ("HGET a field", "a"),
            ("LCS a b LEN", "a b"),
            ("ZUNION 2 a b WEIGHTS 1 2", "a b"),
            ("ZUNION 9 a b", ""),
            ("ZUNION 18446744073709551615 a", ""),
            ("ZUNION x a", ""),
            ("GET", ""),
            ("TTL a", ""),
            ("SRANDMEMBER a", ""),
            ("SET a v", ""),
            ("PING", ""),
        ] {
            let mut words = line.split(' ');
            let mut command = Command::new(words.next().unwrap_or_default());
            words.for_each(|word| command.push_arg(word.as_bytes()));
            let keys = keys(&command).unwrap_or_default();
            let keys: Vec<_> = keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
            assert_eq!(keys.join(" "), expected, "{line}");
        }
    }
}
