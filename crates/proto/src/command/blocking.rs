//! How long a blocking command may hold its connection, read from its own arguments.

use std::time::Duration;

use bytes::Bytes;
use redial_resp::{Command, Frame};

const SECONDS: f64 = 1.0;
const MILLIS: f64 = 1e-3;

/// What is sent when no time is left: 0 would mean for ever, and so does 0.001 to Redis 6.2, which cuts its product with 1,000 (measured).
const SHORTEST: Duration = Duration::from_millis(10);

/// The command's own timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockingTimeout {
    /// It returns at once: XREAD without BLOCK.
    None,
    /// At most this long.
    After(Duration),
    /// Timeout 0: until something happens.
    Never,
}

/// The timeout in the arguments of a command of class BLOCKING. What can't be read is left to the server to refuse, which it does at once.
pub(crate) fn blocking_timeout(command: &Command) -> BlockingTimeout {
    let args: Vec<&[u8]> = command.args().collect();
    // A timeout that we can't read may be one that the server can: it gets a connection of its own all the same.
    let unreadable = BlockingTimeout::After(Duration::ZERO);
    place(&args).map_or(BlockingTimeout::None, |(at, unit)| {
        match timeout(args.get(at).and_then(|arg| number(arg)), unit) {
            BlockingTimeout::None => unreadable,
            readable => readable,
        }
    })
}

/// Which argument the timeout is, and its unit in seconds.
fn place(args: &[&[u8]]) -> Option<(usize, f64)> {
    let is = |arg: &&[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    match args.first()?.to_ascii_uppercase().as_slice() {
        b"XREAD" | b"XREADGROUP" => {
            let options = args.iter().position(|arg| is(arg, "STREAMS")).unwrap_or(args.len());
            let block = args.iter().take(options).position(|arg| is(arg, "BLOCK"))?;
            Some((block + 1, MILLIS))
        }
        b"BLMPOP" | b"BZMPOP" => Some((1, SECONDS)),
        b"WAIT" | b"WAITAOF" => Some((args.len() - 1, MILLIS)),
        _ => Some((args.len() - 1, SECONDS)),
    }
}

/// The same command with what is left of its timeout after `elapsed`; `None` if it has none to shorten.
pub(crate) fn with_time_left(encoded: Bytes, elapsed: Duration) -> Option<Command> {
    let frame = Frame::from_scanned(encoded);
    let args: Vec<Bytes> =
        frame.element().elements()?.map(|arg| arg.to_bytes()).collect::<Option<_>>()?;
    let texts: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
    let (at, unit) = place(&texts)?;
    let BlockingTimeout::After(own) = timeout(texts.get(at).and_then(|arg| number(arg)), unit)
    else {
        return None;
    };
    let left = own.saturating_sub(elapsed).max(SHORTEST);
    let mut command = Command::new(texts.first()?);
    for (index, arg) in args.into_iter().enumerate().skip(1) {
        if index != at {
            command.push_bytes(arg);
        } else if unit == MILLIS {
            command.push_int(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        } else {
            command.push_f64(left.as_secs_f64());
        }
    }
    Some(command)
}

fn number(arg: &[u8]) -> Option<f64> {
    std::str::from_utf8(arg).ok()?.parse().ok()
}

fn timeout(value: impl Into<Option<f64>>, unit: f64) -> BlockingTimeout {
    match value.into() {
        Some(0.0) => BlockingTimeout::Never,
        Some(value) => Duration::try_from_secs_f64(value * unit)
            .map_or(BlockingTimeout::None, BlockingTimeout::After),
        None => BlockingTimeout::None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::command;
    use super::*;

    #[test]
    fn what_is_left_of_the_timeout_takes_its_place() {
        for (line, expected) in [
            ("BLPOP a b 5", Some("BLPOP a b 3")),
            ("BLMPOP 2.5 1 k LEFT", Some("BLMPOP 0.5 1 k LEFT")),
            ("XREAD BLOCK 2500 STREAMS s $", Some("XREAD BLOCK 500 STREAMS s $")),
            ("BLPOP a 1", Some("BLPOP a 0.01")),
            ("BLPOP a 0", None),
            ("XREAD STREAMS s $", None),
        ] {
            let encoded = Bytes::copy_from_slice(command(line).as_contiguous().unwrap());
            let left = with_time_left(encoded, Duration::from_secs(2));
            let expected = expected.map(|line| command(line).as_contiguous().unwrap().to_vec());
            assert_eq!(left.map(|c| c.as_contiguous().unwrap().to_vec()), expected, "{line}");
        }
    }

    #[test]
    fn the_timeout_is_found_where_each_command_has_it() {
        use BlockingTimeout::{After, Never, None};
        for (line, expected) in [
            ("BLPOP a b 0", Never),
            ("blpop a b 1.5", After(Duration::from_millis(1500))),
            ("BLMPOP 2 1 k LEFT", After(Duration::from_secs(2))),
            ("BLMOVE a b LEFT RIGHT 3", After(Duration::from_secs(3))),
            ("XREAD COUNT 5 BLOCK 250 STREAMS s $", After(Duration::from_millis(250))),
            ("XREAD COUNT 5 STREAMS BLOCK 0", None),
            ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", Never),
            ("BLPOP a never", After(Duration::ZERO)),
            ("BLPOP a -1", After(Duration::ZERO)),
        ] {
            assert_eq!(blocking_timeout(&command(line)), expected, "{line}");
        }
    }
}
