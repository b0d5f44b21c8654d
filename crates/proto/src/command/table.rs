//! Looking up names. What each means is in [`names`](super::names): what servers tell, and IDEMPOTENT, STATE and SCRIPT, which people judged.

use super::Class;
use super::keys::Keys;
use super::names::{KEYS as ARRANGEMENTS, NAMES, SECOND_WORDS};

/// Open addressing; a power of two, more than twice the names, so that a miss ends after a step or two.
const SLOTS: usize = 1024;

const EMPTY: u16 = u16::MAX;

static INDEX: [u16; SLOTS] = index();

/// A name in upper case, packed so that two are compared in three steps.
type Key = [u64; 3];

/// Bit 5 tells the cases apart; that clearing it also folds a few control characters onto digits does no harm, since no server knows such a
/// command.
const UPPER_CASE: u64 = 0xdfdf_dfdf_dfdf_dfdf;

/// What a name says by itself: its class, and which arrangement of keys it has.
type Entry = (Class, u8);

static KEYS: [(Key, Entry); NAMES.len()] = keys();

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

const fn keys() -> [(Key, Entry); NAMES.len()] {
    let mut keys = [([0; 3], (NAMES[0].1, 0)); NAMES.len()];
    let mut i = 0;
    while i < NAMES.len() {
        if let Some(key) = key(NAMES[i].0) {
            keys[i] = (key, (NAMES[i].1, NAMES[i].2));
        }
        i += 1;
    }
    keys
}

const fn slot(key: Key) -> usize {
    let word = key[0] ^ key[1].rotate_left(5) ^ key[2].rotate_left(11);
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % SLOTS
}

const fn index() -> [u16; SLOTS] {
    let mut slots = [EMPTY; SLOTS];
    let keys = keys();
    let mut i = 0;
    while i < keys.len() {
        let mut at = slot(keys[i].0);
        while slots[at] != EMPTY {
            at = (at + 1) % SLOTS;
        }
        slots[at] = i as u16;
        i += 1;
    }
    slots
}

pub(super) fn lookup(name: &[u8]) -> Class {
    entry(name).map_or_else(Class::default, |(class, _)| class)
}

/// The same for a name that is packed already ([`Command::short_name`](redial_resp::Command::short_name)).
#[inline]
pub(super) fn lookup_short(name: u64) -> Class {
    find([name & UPPER_CASE, 0, 0]).map_or_else(Class::default, |(class, _)| class)
}

fn entry(name: &[u8]) -> Option<Entry> {
    find(key(name)?)
}

#[inline]
fn find(key: Key) -> Option<Entry> {
    let mut at = slot(key);
    while let Some((known, entry)) = INDEX.get(at).and_then(|i| KEYS.get(usize::from(*i))) {
        if *known == key {
            return Some(*entry);
        }
        at = (at + 1) % SLOTS;
    }
    None
}

pub(super) fn lookup_second(name: &[u8], second: &[u8]) -> Class {
    entry_of_second(name, second).map_or_else(Class::default, |(class, _)| class)
}

fn entry_of_second(name: &[u8], second: &[u8]) -> Option<Entry> {
    let found = SECOND_WORDS
        .iter()
        .find(|(n, s, ..)| n.eq_ignore_ascii_case(name) && s.eq_ignore_ascii_case(second));
    found.map(|(_, _, class, keys)| (*class, *keys))
}

/// Where the keys of a command are; `None` for one that is not known.
pub(super) fn keys_of(name: &[u8], second: Option<&[u8]>) -> Option<&'static Keys> {
    let of_second = second.and_then(|second| entry_of_second(name, second));
    let (_, arrangement) = of_second.or_else(|| entry(name))?;
    ARRANGEMENTS.get(usize::from(arrangement))
}

/// The same for a name that is packed already, of a command without subcommands.
#[inline]
pub(super) fn keys_of_short(name: u64) -> Option<&'static Keys> {
    let (class, arrangement) = find([name & UPPER_CASE, 0, 0])?;
    if class.is(Class::CONTAINER) {
        return None;
    }
    ARRANGEMENTS.get(usize::from(arrangement))
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

/// How many names are of this class.
#[cfg(test)]
pub(super) fn count_of(class: Class) -> usize {
    let names = NAMES.iter().map(|(_, its, _)| its);
    names.chain(SECOND_WORDS.iter().map(|(_, _, its, _)| its)).filter(|its| its.is(class)).count()
}

#[cfg(test)]
mod tests;
