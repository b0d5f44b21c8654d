//! Commands that concern several nodes: taken apart, one command a slot or one a node, and what comes back made into one reply.
//!
//! Which they are, and what becomes of the replies, is what servers tell as `request_policy` and `response_policy`
//! (<https://redis.io/docs/latest/develop/reference/command-tips/>); those of the policy `special` go to one node, and so does PING, which asks after a
//! connection. `all_nodes` means all primaries here: replicas have no commands of callers.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use redial_resp::{Command, Frame, Value};

use super::Class;
use super::keys::slot;

/// How the parts' replies are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Each element where its key stood (no policy, MGET).
    InOrder,
    /// `agg_sum`
    Sum,
    /// `all_succeeded`: any of them.
    AllSucceed,
    /// `one_succeeded`
    OneSucceeds,
    /// `agg_logical_and`, element by element.
    And,
    /// Arrays, one behind the other (no policy).
    Concat,
    /// The first that is not nil (RANDOMKEY).
    First,
}

/// Over what a command is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Keys, so many arguments each.
    Keys(usize),
    /// The same behind their number, and options behind them.
    Counted(usize),
    Nodes,
}

#[rustfmt::skip]
const POLICIES: &[(&str, Over, Merge)] = &[
    ("ACL DELUSER", Over::Nodes, Merge::AllSucceed), ("ACL SAVE", Over::Nodes, Merge::AllSucceed), ("ACL SETUSER", Over::Nodes, Merge::AllSucceed),
    ("COMMANDLOG GET", Over::Nodes, Merge::Concat), ("COMMANDLOG LEN", Over::Nodes, Merge::Sum), ("COMMANDLOG RESET", Over::Nodes, Merge::AllSucceed),
    ("CONFIG RESETSTAT", Over::Nodes, Merge::AllSucceed), ("CONFIG REWRITE", Over::Nodes, Merge::AllSucceed), ("CONFIG SET", Over::Nodes, Merge::AllSucceed),
    ("DBSIZE", Over::Nodes, Merge::Sum), ("DEL", Over::Keys(1), Merge::Sum), ("EXISTS", Over::Keys(1), Merge::Sum),
    ("FLUSHALL", Over::Nodes, Merge::AllSucceed), ("FLUSHDB", Over::Nodes, Merge::AllSucceed),
    ("FUNCTION DELETE", Over::Nodes, Merge::AllSucceed), ("FUNCTION FLUSH", Over::Nodes, Merge::AllSucceed), ("FUNCTION KILL", Over::Nodes, Merge::OneSucceeds),
    ("FUNCTION LOAD", Over::Nodes, Merge::AllSucceed), ("FUNCTION RESTORE", Over::Nodes, Merge::AllSucceed),
    ("KEYS", Over::Nodes, Merge::Concat), ("LATENCY RESET", Over::Nodes, Merge::Sum), ("MEMORY PURGE", Over::Nodes, Merge::AllSucceed),
    ("MGET", Over::Keys(1), Merge::InOrder), ("MSET", Over::Keys(2), Merge::AllSucceed),
    ("MSETEX", Over::Counted(2), Merge::AllSucceed), ("RANDOMKEY", Over::Nodes, Merge::First),
    ("SCRIPT EXISTS", Over::Nodes, Merge::And), ("SCRIPT FLUSH", Over::Nodes, Merge::AllSucceed), ("SCRIPT KILL", Over::Nodes, Merge::OneSucceeds),
    ("SCRIPT LOAD", Over::Nodes, Merge::AllSucceed),
    ("SLOWLOG GET", Over::Nodes, Merge::Concat), ("SLOWLOG LEN", Over::Nodes, Merge::Sum), ("SLOWLOG RESET", Over::Nodes, Merge::AllSucceed),
    ("TOUCH", Over::Keys(1), Merge::Sum), ("UNLINK", Over::Keys(1), Merge::Sum),
];

/// One command a slot.
#[derive(Debug)]
pub struct Part {
    /// What to send.
    pub command: Command,
    /// Which of the whole's keys are in it, counted from 0.
    pub keys: Vec<usize>,
}

/// What a command that concerns several nodes is taken apart into.
#[derive(Debug)]
pub enum Spread {
    /// One command for each slot.
    Slots(Vec<Part>, Merge),
    /// The same command for each node.
    Nodes(Merge),
}

/// Takes a command apart, if it concerns several nodes; `None`: it goes to one, by its keys.
#[must_use]
pub fn spread(command: &Command) -> Option<Spread> {
    if !Class::of(command).is(Class::SPREAD) {
        return None;
    }
    let args: Vec<&[u8]> = command.args().collect();
    let (first, rest) = args.split_first()?;
    let second = rest.first().copied().unwrap_or_default();
    let is_its = |name: &str| match name.split_once(' ') {
        Some((one, two)) => {
            first.eq_ignore_ascii_case(one.as_bytes())
                && second.eq_ignore_ascii_case(two.as_bytes())
        }
        None => first.eq_ignore_ascii_case(name.as_bytes()),
    };
    let (_, over, merge) = POLICIES.iter().find(|(name, ..)| is_its(name))?;
    match over {
        Over::Nodes => Some(Spread::Nodes(*merge)),
        Over::Keys(step) => Some(Spread::Slots(parts(first, rest, *step)?, *merge)),
        Over::Counted(step) => Some(Spread::Slots(counted_parts(first, rest, *step)?, *merge)),
    }
}

/// As [`parts`]. What is to be done only if it can be done to all keys, or to none (NX, XX), is not taken apart.
fn counted_parts(name: &[u8], rest: &[&[u8]], step: usize) -> Option<Vec<Part>> {
    let (count, rest) = rest.split_first()?;
    let count: usize = std::str::from_utf8(count).ok()?.parse().ok()?;
    let (keys, options) = rest.split_at_checked(count.checked_mul(step)?)?;
    let is_condition =
        |word: &[u8]| word.eq_ignore_ascii_case(b"NX") || word.eq_ignore_ascii_case(b"XX");
    if options.iter().any(|word| is_condition(word)) {
        return None;
    }
    let parts = parts(name, keys, step)?;
    let whole = |part: Part| {
        let mut command = Command::new(name);
        command.push_int(part.keys.len() as u64);
        part.command.args().skip(1).for_each(|arg| command.push_arg(arg));
        options.iter().for_each(|arg| command.push_arg(arg));
        Part { command, ..part }
    };
    Some(parts.into_iter().map(whole).collect())
}

/// `None` if one command is enough, or if the server is to refuse it.
fn parts(name: &[u8], rest: &[&[u8]], step: usize) -> Option<Vec<Part>> {
    if rest.is_empty() || !rest.len().is_multiple_of(step) {
        return None;
    }
    let (mut parts, mut places) = (Vec::<Part>::new(), HashMap::new());
    for (at, key) in rest.chunks(step).enumerate() {
        let slot = slot(key.first()?);
        let place = *places.entry(slot).or_insert_with(|| {
            parts.push(Part { command: Command::new(name), keys: Vec::new() });
            parts.len() - 1
        });
        let part = parts.get_mut(place)?;
        key.iter().for_each(|arg| part.command.push_arg(arg));
        part.keys.push(at);
    }
    (parts.len() > 1).then_some(parts)
}

/// Makes one reply of those of all parts, none of which is an error. `keys`: as in [`Part`], empty where the whole was sent everywhere.
///
/// # Errors
/// A reply is not what such a command answers.
pub fn gather(merge: Merge, replies: &[(Vec<usize>, Frame)]) -> Result<Frame, String> {
    let frames = replies.iter().map(|(_, frame)| frame);
    let whole = match merge {
        Merge::AllSucceed | Merge::OneSucceeds => frames.last().cloned(),
        Merge::Sum => {
            let sum = frames.map(|frame| match frame.value() {
                Value::Integer(count) => Some(count),
                _ => None,
            });
            sum.sum::<Option<i64>>().map(integer)
        }
        Merge::First => {
            let is_nil = |frame: &&Frame| matches!(frame.value(), Value::Null);
            let (nil, found): (Vec<_>, Vec<_>) = frames.partition(is_nil);
            found.first().or_else(|| nil.first()).map(|frame| (*frame).clone())
        }
        Merge::Concat => {
            let mut all = Vec::new();
            let arrays = frames.map(|frame| {
                all.extend(frame.elements()?.map(|element| element.raw()));
                Some(())
            });
            arrays.collect::<Option<()>>().map(|()| array(&all))
        }
        Merge::InOrder => in_order(replies).map(|all| array(&all)),
        Merge::And => and(replies).map(|all| array(&all)),
    };
    whole.ok_or_else(|| "a node answered with something else than such a command does".to_owned())
}

fn integer(number: i64) -> Frame {
    Frame::from_scanned(Bytes::from(format!(":{number}\r\n")))
}

fn array(elements: &[Bytes]) -> Frame {
    let mut bytes = BytesMut::from(format!("*{}\r\n", elements.len()).as_bytes());
    elements.iter().for_each(|element| bytes.extend_from_slice(element));
    Frame::from_scanned(bytes.freeze())
}

fn in_order(replies: &[(Vec<usize>, Frame)]) -> Option<Vec<Bytes>> {
    let count = replies.iter().map(|(keys, _)| keys.len()).sum();
    let mut all = vec![Bytes::new(); count];
    for (keys, frame) in replies {
        let mut elements = frame.elements()?;
        for at in keys {
            *all.get_mut(*at)? = elements.next()?.raw();
        }
    }
    Some(all)
}

fn and(replies: &[(Vec<usize>, Frame)]) -> Option<Vec<Bytes>> {
    let mut all: Vec<bool> = Vec::new();
    for (_, frame) in replies {
        let flags: Vec<bool> = frame
            .elements()?
            .map(|flag| matches!(flag.value(), Value::Integer(1) | Value::Boolean(true)))
            .collect();
        if all.is_empty() {
            all = flags;
        } else {
            all.iter_mut().zip(flags).for_each(|(all, flag)| *all &= flag);
        }
    }
    Some(all.into_iter().map(|flag| Bytes::from(format!(":{}\r\n", u8::from(flag)))).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::command;
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::from_scanned(Bytes::from(text.to_owned()))
    }

    fn text(command: &Command) -> String {
        String::from_utf8(command.args().collect::<Vec<_>>().join(&b' ')).unwrap()
    }

    fn gathered(merge: Merge, replies: &[(&[usize], &str)]) -> String {
        let replies: Vec<_> =
            replies.iter().map(|(keys, text)| (keys.to_vec(), frame(text))).collect();
        let whole = gather(merge, &replies).unwrap();
        String::from_utf8(whole.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn what_the_table_of_names_calls_spread_is_in_the_list_and_the_other_way_round() {
        for (name, over, _) in POLICIES {
            let line = match over {
                Over::Nodes => (*name).to_owned(),
                Over::Keys(_) => format!("{name} a 1 b 2"),
                Over::Counted(_) => format!("{name} 2 a 1 b 2"),
            };
            assert!(spread(&command(&line)).is_some(), "{name}");
        }
        assert_eq!(super::super::table::count_of(Class::SPREAD), POLICIES.len());
        for line in ["GET a", "PING", "INFO", "MSETNX a 1 b 2", "CONFIG GET x", "SCAN 0"] {
            assert!(spread(&command(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn keys_are_sorted_by_slot_and_keep_their_places() {
        let Some(Spread::Slots(parts, Merge::InOrder)) = spread(&command("MGET a b {a}c d")) else {
            panic!()
        };
        let said: Vec<_> =
            parts.iter().map(|part| (text(&part.command), part.keys.clone())).collect();
        let expected = [("MGET a {a}c", vec![0, 2]), ("MGET b", vec![1]), ("MGET d", vec![3])];
        assert_eq!(said, expected.map(|(line, keys)| (line.to_owned(), keys)));
        assert!(spread(&command("MGET {a}b {a}c")).is_none(), "one slot");
        assert!(spread(&command("MSET a 1 b")).is_none(), "the server refuses it");
        let Some(Spread::Slots(parts, _)) = spread(&command("mset a 1 b 2")) else { panic!() };
        assert_eq!(text(&parts[1].command), "mset b 2");
    }

    #[test]
    fn counted_keys_are_counted_anew_and_keep_their_options() {
        let Some(Spread::Slots(parts, _)) = spread(&command("MSETEX 3 a 1 b 2 {a}c 3 EX 5")) else {
            panic!()
        };
        let said: Vec<_> = parts.iter().map(|part| text(&part.command)).collect();
        assert_eq!(said, ["MSETEX 2 a 1 {a}c 3 EX 5", "MSETEX 1 b 2 EX 5"]);
        for line in [
            "MSETEX 2 a 1 b 2 NX",
            "MSETEX 2 a 1 b 2 EX 5 xx",
            "MSETEX 2 a 1 {a}b 2",
            "MSETEX 3 a 1 b 2",
            "MSETEX x a 1 b 2",
            "MSETEX 99999999999999999999 a 1",
            "MSETEX 9223372036854775808 a 1",
            "MSETEX",
        ] {
            assert!(spread(&command(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn replies_become_one() {
        let elements = [(&[0, 2][..], "*2\r\n$1\r\nx\r\n_\r\n"), (&[1][..], "*1\r\n$1\r\ny\r\n")];
        assert_eq!(gathered(Merge::InOrder, &elements), "*3\r\n$1\r\nx\r\n$1\r\ny\r\n_\r\n");
        assert_eq!(gathered(Merge::Concat, &elements), "*3\r\n$1\r\nx\r\n_\r\n$1\r\ny\r\n");
        assert_eq!(gathered(Merge::Sum, &[(&[], ":2\r\n"), (&[], ":40\r\n")]), ":42\r\n");
        assert_eq!(gathered(Merge::AllSucceed, &[(&[], "+OK\r\n"), (&[], "+OK\r\n")]), "+OK\r\n");
        let flags = [(&[][..], "*2\r\n:1\r\n:1\r\n"), (&[][..], "*2\r\n:1\r\n:0\r\n")];
        assert_eq!(gathered(Merge::And, &flags), "*2\r\n:1\r\n:0\r\n");
        assert_eq!(gathered(Merge::First, &[(&[], "_\r\n"), (&[], "+k\r\n")]), "+k\r\n");
        assert!(gather(Merge::Sum, &[(vec![], frame("+OK\r\n"))]).is_err());
    }
}
