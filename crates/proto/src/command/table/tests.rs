use redial_resp::Command;

use super::*;

/// The table as it was when people wrote it, from Redis 8.2 and Valkey 9.1: what is generated must say the same.
#[rustfmt::skip]
const BY_HAND: &[(Class, &str)] = &[
    (Class::STATE, "\
        ASKING AUTH DISCARD EXEC HELLO MONITOR MULTI PSUBSCRIBE PSYNC PUNSUBSCRIBE QUIT READONLY READWRITE REPLCONF RESET SELECT \
        SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE SYNC UNSUBSCRIBE UNWATCH WAIT WAITAOF WATCH CLIENT|CACHING CLIENT|CAPA \
        CLIENT|IMPORT-SOURCE CLIENT|MAINT_NOTIFICATIONS CLIENT|NO-EVICT CLIENT|NO-TOUCH CLIENT|REPLY CLIENT|SETINFO \
        CLIENT|SETNAME CLIENT|TRACKING SCRIPT|DEBUG"),
    (Class::READ, "\
        BITCOUNT BITFIELD_RO BITPOS COMMAND DBSIZE DUMP ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH \
        GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET \
        HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSTRLEN HTTL HVALS INFO KEYS LASTSAVE LCS LINDEX LLEN LOLWUT LPOS LRANGE MGET OBJECT \
        PEXPIRETIME PFCOUNT PING PTTL PUBSUB RANDOMKEY ROLE SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER \
        SORT_RO SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TIME TOUCH TTL TYPE XINFO XLEN XPENDING XRANGE XREVRANGE ZCARD ZCOUNT \
        ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX \
        ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION CLIENT|GETNAME CLIENT|GETREDIR CLIENT|ID CLIENT|INFO CLIENT|LIST \
        CLIENT|TRACKINGINFO CONFIG|GET FUNCTION|DUMP FUNCTION|LIST FUNCTION|STATS MEMORY|DOCTOR MEMORY|STATS MEMORY|USAGE \
        SCRIPT|EXISTS"),
    (Class::BLOCKING, "\
        BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN XREADGROUP"),
    (Class::CONTAINER, "\
        CLIENT CONFIG FUNCTION MEMORY SCRIPT"),
    (Class::IDEMPOTENT, "\
        DEL EXPIRE EXPIREAT GEOADD HDEL HMSET HSET LSET MSET PERSIST PEXPIRE PEXPIREAT PFADD PSETEX SADD SET SETBIT SETEX \
        SETRANGE SREM UNLINK XACK XDEL ZADD ZREM ZREMRANGEBYLEX ZREMRANGEBYSCORE CONFIG|SET SCRIPT|LOAD"),
    (Class::SCRIPT, "\
        EVAL EVALSHA FCALL"),
    (Class::READ.or(Class::BLOCKING), "\
        XREAD"),
];

#[test]
fn the_index_can_name_every_entry_and_finds_each() {
    assert!(NAMES.len() < usize::from(EMPTY) && NAMES.len() * 2 < SLOTS);
    assert!(NAMES.iter().all(|(name, ..)| key(name).is_some()));
    for (name, class, keys) in NAMES {
        assert_eq!(entry(name), Some((*class, *keys)), "{}", String::from_utf8_lossy(name));
        assert_eq!(Class::of(&Command::new(name)), *class);
        assert_eq!(Class::of(&Command::new(name.to_ascii_lowercase())), *class);
        assert!(usize::from(*keys) < ARRANGEMENTS.len());
    }
    let sorted = |names: Vec<&[u8]>| names.is_sorted();
    assert!(sorted(NAMES.iter().map(|(name, ..)| *name).collect()));
}

/// Without what servers tell of clusters.
fn judged(class: Class) -> Class {
    Class(class.0 & !Class::SPREAD.0)
}

#[test]
fn nothing_that_people_judged_was_lost() {
    for (class, names) in BY_HAND {
        for name in names.split(' ') {
            let found = match name.split_once('|') {
                Some((name, second)) => lookup_second(name.as_bytes(), second.as_bytes()),
                None => lookup(name.as_bytes()),
            };
            assert_eq!(judged(found), *class, "{name}");
        }
    }
}

#[test]
fn what_servers_added_since_is_known_too() {
    for (line, class) in
        [("VSIM", Class::READ), ("VADD", Class::default()), ("ACL", Class::CONTAINER)]
    {
        assert_eq!(lookup(line.as_bytes()), class, "{line}");
    }
    assert_eq!(lookup_second(b"acl", b"whoami"), Class::READ);
    assert_eq!(judged(lookup_second(b"SLOWLOG", b"RESET")), Class::default());
}
