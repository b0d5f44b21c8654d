//! Which of a command's arguments are keys, and the slot that a key belongs to.

use std::sync::OnceLock;

use redial_resp::Command;

use super::{Class, table};

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// Where a command has its keys, as servers tell it: <https://redis.io/docs/latest/develop/reference/key-specs/>.
#[derive(Debug)]
pub(super) struct Keys {
    /// The command changes data.
    pub(super) writes: bool,
    pub(super) places: &'static [Place],
}

/// Where some of them are. Arguments count from the name, which is 0.
#[derive(Debug)]
pub(super) enum Place {
    /// From `begin` to `last`, which is behind `begin`, or if negative from the end; of what lies between, one in `limit`.
    Range { begin: usize, last: isize, step: usize, limit: usize },
    /// Their number is at `begin + at`, the first at `begin + first`.
    Count { begin: usize, at: usize, first: usize, step: usize },
    /// As a range, behind a word that is looked for from here on. There are none without the word.
    Behind { word: &'static [u8], from: usize, last: isize, step: usize, limit: usize },
    /// It depends on more than places: patterns, options.
    Unknown,
}

impl Place {
    /// Which arguments they are; `None` if that can't be told.
    pub(super) fn positions(&self, args: &[&[u8]], into: &mut Vec<usize>) -> Option<()> {
        let range = |begin: usize, last: isize, step: usize, limit: usize| {
            let end = match usize::try_from(last) {
                Ok(behind) => begin.checked_add(behind)?.checked_add(1)?,
                Err(_) => args.len().checked_sub(last.unsigned_abs())?.checked_add(1)?,
            };
            // XREAD has as many ids behind its keys.
            let end = if limit > 1 { begin + end.saturating_sub(begin) / limit } else { end };
            Some((begin..end).step_by(step.max(1)))
        };
        match *self {
            Self::Range { begin, last, step, limit } => {
                into.extend(range(begin, last, step, limit)?)
            }
            Self::Count { begin, at, first, step } => {
                let count: usize = std::str::from_utf8(args.get(begin + at)?).ok()?.parse().ok()?;
                let end = count.checked_mul(step)?.checked_add(begin + first)?;
                // A count that promises more than there is: the server will refuse it.
                into.extend((begin + first..end.min(args.len() + 1)).step_by(step.max(1)));
            }
            Self::Behind { word, from, last, step, limit } => {
                let mut rest = args.iter().enumerate().skip(from);
                if let Some((at, _)) = rest.find(|(_, arg)| arg.eq_ignore_ascii_case(word)) {
                    into.extend(range(at + 1, last, step, limit)?);
                }
            }
            Self::Unknown => return None,
        }
        Some(())
    }
}

/// Which of a command's arguments are keys, in order; the name is 0. `None` for a command that nobody knows, or whose keys depend on more than
/// the places of its arguments (SORT, MIGRATE). Channels are no keys.
#[must_use]
pub fn key_positions(command: &Command) -> Option<Vec<usize>> {
    let args: Vec<&[u8]> = command.args().collect();
    positions(&args, table::keys_of(args.first()?, args.get(1).copied())?)
}

fn positions(args: &[&[u8]], keys: &Keys) -> Option<Vec<usize>> {
    let mut positions = Vec::new();
    keys.places.iter().try_for_each(|place| place.positions(args, &mut positions))?;
    positions.iter().all(|at| *at < args.len()).then_some(positions)
}

/// The keys of a command, as [`key_positions`].
#[must_use]
pub fn keys_of(command: &Command) -> Option<Vec<&[u8]>> {
    let args: Vec<&[u8]> = command.args().collect();
    let positions = positions(&args, table::keys_of(args.first()?, args.get(1).copied())?)?;
    positions.into_iter().map(|at| args.get(at).copied()).collect()
}

/// The keys of a command that writes; `None` for one that does not, that has none, that blocks, or whose keys depend on more than its arguments'
/// places.
#[must_use]
pub fn written_keys(command: &Command) -> Option<Vec<&[u8]>> {
    let keys = table::keys_of(command.name(), command.args().nth(1))?;
    if !keys.writes || Class::of(command).is(Class::BLOCKING) {
        return None;
    }
    keys_of(command).filter(|keys| !keys.is_empty())
}

/// The slot of a key: CRC16 of what stands in its first braces, if anything does, else of all of it
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>).
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    let mut crc = 0;
    for byte in key {
        // Few keys have one; for the others one pass is enough.
        if *byte == b'{' {
            return crc16(hash_tag(key).unwrap_or(key)) % SLOTS;
        }
        crc = crc16_step(crc, *byte);
    }
    crc % SLOTS
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = key.get(open + 1..)?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..close).filter(|tag| !tag.is_empty())
}

/// CRC16-CCITT in the form called XMODEM: polynomial 0x1021, nothing reflected, beginning with 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| crc16_step(crc, *byte))
}

#[inline]
fn crc16_step(crc: u16, byte: u8) -> u16 {
    crc << 8 ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)]
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
    fn the_keys_of_any_command_are_found() {
        for (line, expected) in [
            ("GET a", Some("a")),
            ("PING", Some("")),
            ("XREAD COUNT 5 STREAMS a b 0 0", Some("a b")),
            ("XREADGROUP GROUP streams c STREAMS a >", Some("a")),
            ("EVAL s 2 a b c", Some("a b")),
            ("EVAL s 0", Some("")),
            ("BLPOP a b 0", Some("a b")),
            ("BLMPOP 0 2 a b LEFT", Some("a b")),
            ("GEORADIUS a 1 2 3 km STORE b", Some("a b")),
            ("OBJECT ENCODING a", Some("a")),
            ("XGROUP CREATE a g 0", Some("a")),
            ("memory usage a", Some("a")),
            ("MSETEX 2 a 1 b 2 EX 5", Some("a b")),
            ("VSIM a ELE e", Some("a")),
            ("SPUBLISH c m", Some("")),
            ("GET", None),
            ("SORT a BY w_*", None),
            ("NOBODY KNOWS", None),
        ] {
            let command = command(line);
            let keys = keys_of(&command).map(|keys| String::from_utf8(keys.join(&b' ')).unwrap());
            assert_eq!(keys.as_deref(), expected, "{line}");
        }
    }

    /// What `once` was written for.
    #[rustfmt::skip]
    const WRITES: &str = "APPEND BITFIELD DECR DECRBY DELIFEQ EXPIRE EXPIREAT GEOADD GETDEL GETEX GETSET HDEL HEXPIRE HEXPIREAT HGETDEL HGETEX HINCRBY \
        HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HPEXPIREAT HSET HSETEX HSETNX INCR INCRBY INCRBYFLOAT LINSERT LPOP LPUSH LPUSHX LREM LSET LTRIM MOVE PERSIST \
        PEXPIRE PEXPIREAT PFADD PSETEX RESTORE RPOP RPUSH RPUSHX SADD SET SETBIT SETEX SETNX SETRANGE SPOP SREM VADD VREM VSETATTR XACK XACKDEL XADD \
        XAUTOCLAIM XCLAIM XDEL XDELEX XSETID XTRIM ZADD ZINCRBY ZPOPMAX ZPOPMIN ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE";
    const WRITES_TO_TWO: &str =
        "COPY GEOSEARCHSTORE LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE";

    #[test]
    fn no_write_that_people_listed_was_lost() {
        for (names, expected) in [(WRITES, "a"), (WRITES_TO_TWO, "a b")] {
            for name in names.split_whitespace() {
                assert_eq!(keys(&format!("{name} a b c d e")).as_deref(), Some(expected), "{name}");
            }
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
