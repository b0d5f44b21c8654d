//! The slot that a request belongs to, from the places of its keys.

use redial_resp::Command;

use super::keys::{Keys, Place, slot};
use super::{Body, Class, table};
use crate::error::Error;

/// The slot of a request's keys; `None` if it has none, so that any node takes it.
///
/// # Errors
/// Its keys belong to several slots.
#[inline]
pub(crate) fn slot_of(body: Body<'_>) -> Result<Option<u16>, Error> {
    match body {
        Body::Command(command) => match only_key(command) {
            Some(key) => Ok(Some(slot(key))),
            None => slot_of_args(&command.args().collect::<Vec<_>>()),
        },
        Body::Encoded(bytes) => slot_of_encoded(bytes),
    }
}

/// The key of a command that always has one, in one place.
#[inline]
fn only_key(command: &Command) -> Option<&[u8]> {
    let keys = match command.short_name() {
        Some(name) => table::keys_of_short(name)?,
        None => table::keys_of(command.name(), None)?,
    };
    match *keys.places {
        [Place::Range { begin: 1, last: 0, .. }] => {
            command.short_key().or_else(|| command.args().nth(1))
        }
        [Place::Range { begin, last: 0, .. }] => command.args().nth(begin),
        _ => None,
    }
}

fn slot_of_args(args: &[&[u8]]) -> Result<Option<u16>, Error> {
    let [name, rest @ ..] = args else { return Ok(None) };
    if name.eq_ignore_ascii_case(b"SPUBLISH") {
        return Ok(rest.first().map(|channel| slot(channel)));
    }
    let Some(Keys { places, .. }) = table::keys_of(name, rest.first().copied()) else {
        // A command that nobody knows, of a module: most have a key, and have it first.
        return Ok(rest.first().map(|key| slot(key)));
    };
    let mut positions = Vec::new();
    for place in *places {
        // What depends on more than places is left to the server, which knows where it belongs.
        let _ = place.positions(args, &mut positions);
    }
    let mut slots = positions.into_iter().filter_map(|at| args.get(at)).map(|key| slot(key));
    let Some(first) = slots.next() else { return Ok(None) };
    if slots.all(|other| other == first) {
        Ok(Some(first))
    } else {
        Err(crossing(&String::from_utf8_lossy(name).to_uppercase()))
    }
}

#[cold]
fn crossing(name: &str) -> Error {
    Error::invalid(format!(
        "the keys of {name} belong to different slots of the cluster, and one node can't run it (CROSSSLOT): give them a common {{tag}}, or send one command a \
         slot"
    ))
}

/// The same for commands that are encoded one behind the other: all of them are to go to one node.
fn slot_of_encoded(bytes: &[u8]) -> Result<Option<u16>, Error> {
    let (mut rest, mut found) = (bytes, None);
    while let Some(args) = next_command(&mut rest) {
        match (found, slot_of_args(&args)?) {
            (_, None) => {}
            (None, slot) => found = slot,
            (Some(before), Some(slot)) if before == slot => {}
            _ => return Err(crossing("this transaction")),
        }
    }
    Ok(found)
}

/// The class of a command that was encoded here; of several in a transaction, none that says anything.
pub(super) fn class_of_encoded(bytes: &[u8]) -> Class {
    let mut rest = bytes;
    let Some(args) = next_command(&mut rest) else { return Class::default() };
    if !rest.is_empty() {
        return Class::default();
    }
    let mut command = Command::new(args.first().copied().unwrap_or_default());
    args.iter().skip(1).take(1).for_each(|second| command.push_arg(second));
    Class::of(&command)
}

/// Takes the arguments of the first command; what is no command ends it, since all of it was encoded here.
fn next_command<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let count = header(rest, b'*')?;
    let mut args = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let len = header(rest, b'$')?;
        args.push(rest.get(..len)?);
        *rest = rest.get(len + 2..)?;
    }
    Some(args)
}

fn header(rest: &mut &[u8], kind: u8) -> Option<usize> {
    let (first, digits) = rest.split_first()?;
    let end = digits.iter().position(|byte| *byte == b'\r')?;
    let number = std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()?;
    *rest = digits.get(end + 2..)?;
    (*first == kind).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::tests::command;
    use super::*;

    #[test]
    fn a_request_belongs_to_the_slot_of_its_keys() {
        for (line, key) in [
            ("GET a", Some("a")),
            ("get {a}b", Some("a")),
            ("PING", None),
            ("PUBLISH a b", None),
            ("SPUBLISH a b", Some("a")),
            ("MGET {a}1 {a}2", Some("a")),
            ("EVAL s 1 a b", Some("a")),
            ("EVAL s 0 b", None),
            ("XREAD STREAMS a 0", Some("a")),
            ("SORT a BY w_*", Some("a")),
            ("OBJECT ENCODING a", Some("a")),
            ("JSON.WHATEVER a b", Some("a")),
            ("CLUSTER INFO", None),
        ] {
            let (command, expected) = (command(line), key.map(|key| slot(key.as_bytes())));
            assert_eq!(slot_of(Body::Command(&command)).unwrap(), expected, "{line}");
            let encoded = command.as_contiguous().unwrap();
            assert_eq!(slot_of(Body::Encoded(encoded)).unwrap(), expected, "{line} encoded");
        }
    }

    #[test]
    fn keys_of_several_slots_are_refused_with_what_to_do() {
        let error = slot_of(Body::Command(&command("MGET a b"))).unwrap_err();
        assert!(error.text().contains("MGET") && error.text().contains("{tag}"), "{error}");
        let run = ["MULTI", "SET a 1", "SET b 2", "EXEC"]
            .map(|line| command(line).as_contiguous().unwrap().to_vec())
            .concat();
        assert!(slot_of(Body::Encoded(&run)).unwrap_err().text().contains("transaction"));
        let run = ["MULTI", "SET {x}a 1", "SET {x}b 2", "EXEC"]
            .map(|line| command(line).as_contiguous().unwrap().to_vec())
            .concat();
        assert_eq!(slot_of(Body::Encoded(&run)).unwrap(), Some(slot(b"x")));
    }
}
