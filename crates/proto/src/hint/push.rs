//! Maintenance pushes, word by word. Lenient about how strings are written and what is left out at the end, since the servers that send them differ;
//! strict about what would be acted on: names, times, addresses, slots.

use std::ops::RangeInclusive;
use std::time::Duration;

use redial_resp::{Frame, Value};

use super::{Maintenance, SlotsMoved};
use crate::config::Endpoint;

/// Nobody announces a move an hour ahead by a push; what is larger is a mistake, or was not meant as seconds.
const LONGEST: i64 = 3600;

/// What an event keeps of a list; real ones have a few.
const MOST_ITEMS: usize = 256;

/// Bytes of one string that an event keeps. A name in DNS has 253 at the most.
const LONGEST_TEXT: usize = 260;

const HIGHEST_SLOT: u16 = 16_383;

/// A parsed frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// The server's number for it: several connections may hear the same.
    pub(crate) seq: Option<i64>,
    pub(crate) what: Maintenance,
}

/// True if a push that begins with this word is for [`parse_push`].
pub(crate) fn is_maintenance(word: &[u8]) -> bool {
    matches!(
        word,
        b"MOVING"
            | b"MIGRATING"
            | b"MIGRATED"
            | b"FAILING_OVER"
            | b"FAILED_OVER"
            | b"SMIGRATING"
            | b"SMIGRATED"
    )
}

/// Reads a push that [`is_maintenance`].
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_push(frame: &Frame) -> Result<Announced, String> {
    let (Value::Push(mut items) | Value::Array(mut items)) = frame.value() else {
        return Err("it is no list".into());
    };
    let name = items.next().and_then(text).ok_or("it has no name")?;
    let wrong = |what: &str| format!("{name}: {what}");
    let seq = items.next().and_then(integer);
    let mut within = || {
        let seconds = items.next().and_then(integer);
        let seconds = seconds.filter(|seconds| (0..=LONGEST).contains(seconds));
        let seconds = seconds.ok_or_else(|| wrong("no time from 0 to 3600 s"))?;
        Ok::<_, String>(Duration::from_secs(seconds.unsigned_abs()))
    };
    let what = match name.as_str() {
        "MOVING" => {
            let within = within()?;
            let to = items.next().map_or(Ok(None), target).map_err(|what| wrong(&what))?;
            Maintenance::Moving { within, to }
        }
        "MIGRATING" => Maintenance::Migrating { within: within()?, shards: texts(items.next()) },
        "FAILING_OVER" => {
            Maintenance::FailingOver { within: within()?, shards: texts(items.next()) }
        }
        "MIGRATED" => Maintenance::Migrated { shards: texts(items.next()) },
        "FAILED_OVER" => Maintenance::FailedOver { shards: texts(items.next()) },
        "SMIGRATING" => {
            let slots = items.next().and_then(slots).ok_or_else(|| wrong("no slots"))?;
            Maintenance::SlotsMigrating { slots }
        }
        "SMIGRATED" => {
            let moves = items.next().and_then(moves).ok_or_else(|| wrong("no list of moves"))?;
            Maintenance::SlotsMigrated { moves }
        }
        _ => return Err(wrong("unknown")),
    };
    Ok(Announced { seq, what })
}

/// A string that is short enough to be one.
fn text(value: Value<'_>) -> Option<String> {
    match value {
        Value::Bulk(text) | Value::Simple(text) | Value::Verbatim { text, .. }
            if text.len() <= LONGEST_TEXT =>
        {
            Some(String::from_utf8_lossy(text).into_owned())
        }
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

fn integer(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(number),
        other => text(other)?.trim().parse().ok(),
    }
}

/// A list of strings, or one with commas.
fn texts(value: Option<Value<'_>>) -> Vec<String> {
    match value {
        Some(Value::Array(items) | Value::Set(items) | Value::Push(items)) => {
            items.filter_map(text).take(MOST_ITEMS).collect()
        }
        Some(value) => text(value)
            .iter()
            .flat_map(|text| text.split(','))
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .take(MOST_ITEMS)
            .collect(),
        None => Vec::new(),
    }
}

/// Where a `MOVING` leads; null and the empty string name nothing.
fn target(value: Value<'_>) -> Result<Option<Endpoint>, String> {
    if matches!(value, Value::Null) {
        return Ok(None);
    }
    match text(value).ok_or("the address is no string")? {
        text if text.is_empty() => Ok(None),
        text => endpoint(&text).map(Some).ok_or_else(|| format!("{text:?} is no host:port")),
    }
}

/// `host:port`; an IPv6 address with or without brackets.
fn endpoint(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let is_host = !host.is_empty() && host.chars().all(is_name);
    is_host.then(|| Endpoint::Tcp { host: host.to_owned(), port })
}

/// `123,789-1000`
fn slots(value: Value<'_>) -> Option<Vec<RangeInclusive<u16>>> {
    let number = |text: &str| text.trim().parse().ok().filter(|slot| *slot <= HIGHEST_SLOT);
    // Longer than other strings: every second slot may be listed.
    let (Value::Bulk(text) | Value::Simple(text)) = value else { return None };
    let text = std::str::from_utf8(text).ok()?;
    let mut ranges = Vec::new();
    for part in text.split(',').take(usize::from(HIGHEST_SLOT)) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let range = number(from)?..=number(to)?;
        if range.is_empty() {
            return None;
        }
        ranges.push(range);
    }
    Some(ranges)
}

fn moves(value: Value<'_>) -> Option<Vec<SlotsMoved>> {
    let Value::Array(items) = value else { return None };
    let one = |item: Value<'_>| {
        let Value::Array(mut parts) = item else { return None };
        let from = endpoint_or_null(parts.next()?)?;
        let to = endpoint(&text(parts.next()?)?)?;
        Some(SlotsMoved { from, to, slots: slots(parts.next()?)? })
    };
    items.take(MOST_ITEMS).map(one).collect()
}

#[expect(clippy::option_option, reason = "nothing said, or nonsense")]
fn endpoint_or_null(value: Value<'_>) -> Option<Option<Endpoint>> {
    match value {
        Value::Null => Some(None),
        value => endpoint(&text(value)?).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use redial_resp::Bytes;

    use super::*;

    fn parse(wire: &str) -> Result<Announced, String> {
        parse_push(&Frame::from_scanned(Bytes::copy_from_slice(wire.as_bytes())))
    }

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.into(), port }
    }

    fn what(wire: &str) -> Maintenance {
        parse(wire).unwrap().what
    }

    const SECS: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn moving_names_a_time_and_a_place_or_none() {
        let moving = |to| Maintenance::Moving { within: SECS(15), to };
        let named = parse(">4\r\n+MOVING\r\n:7\r\n:15\r\n$12\r\nh.local:6380\r\n").unwrap();
        assert_eq!(named, Announced { seq: Some(7), what: moving(Some(tcp("h.local", 6380))) });
        for null in ["_\r\n", "$-1\r\n", "$0\r\n\r\n"] {
            assert_eq!(
                what(&format!(">4\r\n$6\r\nMOVING\r\n:7\r\n$2\r\n15\r\n{null}")),
                moving(None)
            );
        }
        assert_eq!(what(">3\r\n+MOVING\r\n:7\r\n:15\r\n"), moving(None));
        for six in ["$11\r\n[fe80::1]:9\r\n", "$9\r\nfe80::1:9\r\n"] {
            let wire = format!(">4\r\n+MOVING\r\n:7\r\n:15\r\n{six}");
            assert_eq!(what(&wire), moving(Some(tcp("fe80::1", 9))));
        }
    }

    #[test]
    fn shards_are_a_list_or_a_string_or_left_out() {
        let shards: Vec<String> = vec!["1".into(), "2".into()];
        for list in ["*2\r\n:1\r\n$1\r\n2\r\n", "$4\r\n1, 2\r\n"] {
            let wire = |name: &str| format!(">4\r\n+{name}\r\n:1\r\n:9\r\n{list}");
            let (within, shards) = (SECS(9), shards.clone());
            assert_eq!(
                what(&wire("MIGRATING")),
                Maintenance::Migrating { within, shards: shards.clone() }
            );
            assert_eq!(what(&wire("FAILING_OVER")), Maintenance::FailingOver { within, shards });
        }
        let over = ">3\r\n+MIGRATED\r\n:2\r\n*2\r\n+1\r\n+2\r\n";
        assert_eq!(what(over), Maintenance::Migrated { shards: shards.clone() });
        let over = ">3\r\n+FAILED_OVER\r\n:2\r\n*2\r\n+1\r\n+2\r\n";
        assert_eq!(what(over), Maintenance::FailedOver { shards });
        let bare = parse(">1\r\n+FAILED_OVER\r\n").unwrap();
        let what = Maintenance::FailedOver { shards: Vec::new() };
        assert_eq!(bare, Announced { seq: None, what });
    }

    #[test]
    fn slots_are_ranges_and_their_moves_name_both_nodes() {
        let wire = ">3\r\n+SMIGRATING\r\n:1\r\n$12\r\n123,789-1000\r\n";
        assert_eq!(what(wire), Maintenance::SlotsMigrating { slots: vec![123..=123, 789..=1000] });
        let wire = ">3\r\n+SMIGRATED\r\n:1\r\n*2\r\n*3\r\n+a:1\r\n+b:2\r\n+5-6\r\n*3\r\n_\r\n+b:2\r\n+9\r\n";
        let moved = |from, slots| SlotsMoved { from, to: tcp("b", 2), slots: vec![slots] };
        let moves = vec![moved(Some(tcp("a", 1)), 5..=6), moved(None, 9..=9)];
        assert_eq!(what(wire), Maintenance::SlotsMigrated { moves });
    }

    #[test]
    fn nonsense_is_refused_and_says_why() {
        for (rest, why) in [
            ("MOVING\r\n:1\r\n:-5\r\n+a:1\r\n", "0 to 3600"),
            ("MOVING\r\n:1\r\n:99999999999\r\n+a:1\r\n", "0 to 3600"),
            ("MOVING\r\n:1\r\n+soon\r\n+a:1\r\n", "0 to 3600"),
            ("MOVING\r\n:1\r\n:5\r\n+nowhere\r\n", "host:port"),
            ("MOVING\r\n:1\r\n:5\r\n+a:0\r\n", "host:port"),
            ("MOVING\r\n:1\r\n:5\r\n+a:70000\r\n", "host:port"),
            ("MOVING\r\n:1\r\n:5\r\n$5\r\na b:1\r\n", "host:port"),
            ("MOVING\r\n:1\r\n:5\r\n*0\r\n", "no string"),
            ("SMIGRATING\r\n:1\r\n+20000\r\n:0\r\n", "no slots"),
            ("SMIGRATING\r\n:1\r\n+9-3\r\n:0\r\n", "no slots"),
            ("SMIGRATED\r\n:1\r\n+moved\r\n:0\r\n", "moves"),
            ("SMIGRATED\r\n:1\r\n*1\r\n*2\r\n+a:1\r\n+5\r\n:0\r\n", "moves"),
            ("RESTING\r\n:1\r\n:5\r\n:0\r\n", "unknown"),
        ] {
            let error = parse(&format!(">4\r\n+{rest}")).unwrap_err();
            assert!(error.contains(why), "{rest:?}: {error}");
        }
        for wire in [
            ">0\r\n",
            ">1\r\n*0\r\n",
            ">1\r\n+MOVING\r\n",
            ">2\r\n+FAILING_OVER\r\n:1\r\n",
            "+MOVING\r\n",
        ] {
            assert!(parse(wire).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let wire = format!(">3\r\n+MIGRATED\r\n:1\r\n*9999\r\n{}", "+1\r\n".repeat(9999));
        let Maintenance::Migrated { shards } = what(&wire) else { unreachable!() };
        assert_eq!(shards.len(), MOST_ITEMS);
    }
}
