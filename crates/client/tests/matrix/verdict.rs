//! What counts as an answer: decoded as the type says, an error that was foretold, or one that is explained.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};

use redial::{DecodeError, Error, ErrorKind, Frame, FromReply, Value};

use crate::generated::SERVERS;
use crate::{Form, Typed};

/// What came of a form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Decoded,
    /// The server does not know the command.
    Unknown,
    /// The server does not know this option or word.
    Without(&'static str),
    /// An error that is explained, or a reply without content; and of which option.
    Explained(&'static str, &'static str),
}

/// How servers say that they don't know a command, a word of it, or so many arguments.
const DOES_NOT_KNOW: &[&str] = &[
    "ERR unknown command",
    "ERR Unknown command",
    "ERR unknown subcommand",
    "ERR Unknown subcommand",
    "ERR syntax error",
    "ERR wrong number of arguments",
];

/// That a reply is what the type says, and no more than it says.
pub(crate) fn decoded<R: FromReply + 'static>(reply: &Frame) -> Result<(), DecodeError> {
    if let Some(error) = reply.error() {
        // Some types have a place for errors.
        return Err(DecodeError::Server(error.into()));
    }
    reply.decode::<R>()?;
    let value = reply.decode::<Value>()?;
    let is = |types: &[TypeId]| types.contains(&TypeId::of::<R>());
    // Types that take more than they tell.
    let loses = if is(&[TypeId::of::<()>()]) {
        !matches!(&value, Value::Simple(text) if text == "OK")
    } else if is(&[TypeId::of::<String>(), TypeId::of::<Option<String>>()]) {
        matches!(value, Value::Integer(_) | Value::Double(_) | Value::Boolean(_))
    } else {
        false
    };
    if loses {
        let wanted = format!("what {} tells", std::any::type_name::<R>());
        return Err(DecodeError::mismatch(wanted, &reply.element()));
    }
    Ok(())
}

/// Judges the answer to a form.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn judged(
    typed: &'static Typed,
    form: &'static Form,
    version: &str,
    answer: Result<Frame, Error>,
) -> Result<Outcome, String> {
    let foretold = form.unknown_to.contains(&version);
    let error = match answer {
        Ok(_) if foretold => return Err("the server should not know it".to_owned()),
        Ok(reply) if reply.decode().is_ok_and(|value| is_empty(&value)) => {
            let why = typed.empty.ok_or("the reply is empty")?;
            return Ok(Outcome::Explained(why, form.tried));
        }
        Ok(_) => return Ok(Outcome::Decoded),
        Err(error) => error,
    };
    let text = error.to_string();
    let is_unknown = error.kind() == ErrorKind::Server
        && DOES_NOT_KNOW.iter().chain(typed.refusals).any(|start| text.starts_with(start));
    // Of other servers it is not foretold what they don't know.
    if is_unknown && (foretold || !SERVERS.contains(&version)) {
        return Ok(if form.tried.is_empty() {
            Outcome::Unknown
        } else {
            Outcome::Without(form.tried)
        });
    }
    let of_server = format!("{version} {text}");
    let is_it = |start: &str| text.starts_with(start) || of_server.starts_with(start);
    let why = typed.errors.iter().find(|(start, _)| is_it(start));
    match why {
        Some((_, why)) if error.kind() != ErrorKind::Decode => {
            Ok(Outcome::Explained(why, form.tried))
        }
        _ => Err(text),
    }
}

/// Whether there is nothing that could have been decoded wrongly.
fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) | Value::Set(items) => items.iter().all(is_hollow),
        Value::Map(pairs) => pairs.is_empty(),
        _ => false,
    }
}

/// The same of `[cursor, []]`.
fn is_empty(reply: &Value) -> bool {
    is_hollow(reply)
        || match reply {
            Value::Array(items) => match items.as_slice() {
                [Value::Bulk(_), rest @ ..] => !rest.is_empty() && rest.iter().all(is_hollow),
                _ => false,
            },
            _ => false,
        }
}

/// A word for all that came of a command's forms, and what is to be noted.
pub(crate) fn summary(outcomes: &BTreeSet<Outcome>) -> (&'static str, String) {
    let has = |outcome: Outcome| outcomes.contains(&outcome);
    let without = outcomes.iter().filter_map(|outcome| match outcome {
        // The words of an option that is unknown itself say nothing more.
        Outcome::Without(what) => match what.split_once(' ') {
            Some((option, _)) if has(Outcome::Without(option)) => None,
            _ => Some(format!("`{what}`")),
        },
        _ => None,
    });
    let without: Vec<_> = without.collect();
    let mut whys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for outcome in outcomes {
        if let Outcome::Explained(why, tried) = outcome {
            whys.entry(*why).or_default().push(tried);
        }
    }
    let mut notes: Vec<_> = whys
        .into_iter()
        .map(|(why, tried)| match tried.as_slice() {
            ["", ..] => why.to_owned(),
            tried => format!("`{}`: {why}", tried.join("`, `")),
        })
        .collect();
    let mark = match (has(Outcome::Decoded), has(Outcome::Unknown)) {
        (false, true) => return ("no", String::new()),
        (true, _) if without.is_empty() => "yes",
        (true, _) => "part",
        (false, false) => "error",
    };
    if !without.is_empty() {
        notes.insert(0, format!("Not known: {}.", without.join(", ")));
    }
    (mark, notes.join(" "))
}
