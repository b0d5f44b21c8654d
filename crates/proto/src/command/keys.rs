//! Which keys a write touches, and the slot that a key belongs to.

use std::sync::OnceLock;

use redial_resp::Command;

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// Where the keys of a write are.
enum Place {
    /// `first..=last` with a step; `last` 0 is the last argument.
    Range { first: usize, last: usize, step: usize },
    /// Their number is at `at`, they follow with a step; `also` is one more.
    Counted { at: usize, step: usize, also: Option<usize> },
}

const fn range(first: usize, last: usize) -> Place {
    Place::Range { first, last, step: 1 }
}

/// The keys of a command that writes; `None` for one that does not, that has none, or whose keys depend on more than its arguments' places. From
/// `COMMAND INFO` of Redis 8.2 and Valkey 9.1.
#[must_use]
pub fn written_keys(command: &Command) -> Option<Vec<&[u8]>> {
    let args: Vec<&[u8]> = command.args().collect();
    let name = String::from_utf8(command.name().to_ascii_uppercase()).ok()?;
    let (positions, also) = match place(&name)? {
        Place::Range { first, last: 0, step } => ((first..args.len()).step_by(step), None),
        Place::Range { first, last, step } => ((first..last + 1).step_by(step), None),
        Place::Counted { at, step, also } => {
            let count: usize = std::str::from_utf8(args.get(at)?).ok()?.parse().ok()?;
            let end = count.checked_mul(step)?.checked_add(at + 1)?;
            // A count that promises more than there is: the server will refuse it.
            ((at + 1..end.min(args.len() + 1)).step_by(step), also)
        }
    };
    let keys: Option<Vec<&[u8]>> =
        also.into_iter().chain(positions).map(|at| args.get(at).copied()).collect();
    keys.filter(|keys| !keys.is_empty())
}

fn place(name: &str) -> Option<Place> {
    Some(match name {
        "APPEND" | "BITFIELD" | "DECR" | "DECRBY" | "DELIFEQ" | "EXPIRE" | "EXPIREAT"
        | "GEOADD" | "GETDEL" | "GETEX" | "GETSET" | "HDEL" | "HEXPIRE" | "HEXPIREAT"
        | "HGETDEL" | "HGETEX" | "HINCRBY" | "HINCRBYFLOAT" | "HMSET" | "HPERSIST" | "HPEXPIRE"
        | "HPEXPIREAT" | "HSET" | "HSETEX" | "HSETNX" | "INCR" | "INCRBY" | "INCRBYFLOAT"
        | "LINSERT" | "LPOP" | "LPUSH" | "LPUSHX" | "LREM" | "LSET" | "LTRIM" | "MOVE"
        | "PERSIST" | "PEXPIRE" | "PEXPIREAT" | "PFADD" | "PSETEX" | "RESTORE" | "RPOP"
        | "RPUSH" | "RPUSHX" | "SADD" | "SET" | "SETBIT" | "SETEX" | "SETNX" | "SETRANGE"
        | "SPOP" | "SREM" | "VADD" | "VREM" | "VSETATTR" | "XACK" | "XACKDEL" | "XADD"
        | "XAUTOCLAIM" | "XCLAIM" | "XDEL" | "XDELEX" | "XSETID" | "XTRIM" | "ZADD" | "ZINCRBY"
        | "ZPOPMAX" | "ZPOPMIN" | "ZREM" | "ZREMRANGEBYLEX" | "ZREMRANGEBYRANK"
        | "ZREMRANGEBYSCORE" => range(1, 1),
        "COPY" | "GEOSEARCHSTORE" | "LMOVE" | "RENAME" | "RENAMENX" | "RPOPLPUSH" | "SMOVE"
        | "ZRANGESTORE" => range(1, 2),
        "DEL" | "PFMERGE" | "SDIFFSTORE" | "SINTERSTORE" | "SUNIONSTORE" | "UNLINK" => range(1, 0),
        "BITOP" => range(2, 0),
        "MSET" | "MSETNX" => Place::Range { first: 1, last: 0, step: 2 },
        "LMPOP" | "ZMPOP" => Place::Counted { at: 1, step: 1, also: None },
        "ZDIFFSTORE" | "ZINTERSTORE" | "ZUNIONSTORE" => {
            Place::Counted { at: 2, step: 1, also: Some(1) }
        }
        _ => return None,
    })
}

/// The slot of a key: CRC16 of what stands in its first braces, if anything does, else of all of it
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>).
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = key.get(open + 1..)?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..close).filter(|tag| !tag.is_empty())
}

/// CRC16-CCITT in the form called XMODEM: polynomial 0x1021, nothing reflected, beginning with 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| crc << 8 ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)])
}

const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// A number whose decimal text has the slot of `key`: the smallest one. Between braces it puts another key beside this one, whatever this one
/// looks like.
#[must_use]
pub fn tag_beside(key: &[u8]) -> u32 {
    static TAGS: OnceLock<Vec<u32>> = OnceLock::new();
    // Some milliseconds, for who asks first.
    let tags = TAGS.get_or_init(all_tags);
    tags.get(usize::from(slot(key))).copied().unwrap_or_default()
}

/// For each slot the smallest number that has it.
fn all_tags() -> Vec<u32> {
    let mut tags = vec![None; usize::from(SLOTS)];
    let mut missing = tags.len();
    for number in 0.. {
        if missing == 0 {
            break;
        }
        let slot = slot(number.to_string().as_bytes());
        if let Some(tag @ None) = tags.get_mut(usize::from(slot)) {
            *tag = Some(number);
            missing -= 1;
        }
    }
    tags.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::command;
    use super::*;

    fn keys(line: &str) -> Option<String> {
        let command = command(line);
        let keys = written_keys(&command)?;
        Some(String::from_utf8(keys.join(&b' ')).unwrap())
    }

    #[test]
    fn the_keys_of_a_write_are_found() {
        for (line, expected) in [
            ("SET a v", Some("a")),
            ("incr a", Some("a")),
            ("MSET a 1 b 2", Some("a b")),
            ("DEL a b c", Some("a b c")),
            ("RENAME a b", Some("a b")),
            ("BITOP AND d a b", Some("d a b")),
            ("LMPOP 2 a b LEFT", Some("a b")),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", Some("d a b")),
            ("ZUNIONSTORE d 9 a b", None),
            ("LMPOP x a", None),
            ("LMPOP 99999999999999999999 a", None),
            ("LMPOP 18446744073709551615 a", None),
            ("SET", None),
            ("GET a", None),
            ("EVAL s 1 a", None),
            ("FLUSHALL", None),
        ] {
            assert_eq!(keys(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of the specification, and hash tags as it has them.
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }

    #[test]
    fn there_is_a_tag_beside_every_key() {
        for key in ["", "a", "{", "}", "x{y}z", "{}", "a key with spaces", "\u{fc}"] {
            let tag = tag_beside(key.as_bytes());
            assert_eq!(slot(format!("t:{{{tag}}}:id").as_bytes()), slot(key.as_bytes()), "{key}");
        }
    }
}
