//! How long a blocking command may hold its connection, read from its own arguments.

use std::time::Duration;

use redial_resp::Command;

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
    let name = command.name().to_ascii_uppercase();
    match name.as_slice() {
        b"XREAD" | b"XREADGROUP" => command
            .args()
            .skip(1)
            .take_while(|arg| !arg.eq_ignore_ascii_case(b"STREAMS"))
            .skip_while(|arg| !arg.eq_ignore_ascii_case(b"BLOCK"))
            .nth(1)
            .map_or(BlockingTimeout::None, |ms| timeout(number(ms), 1e-3)),
        b"WAIT" | b"WAITAOF" => timeout(command.args().last().and_then(number), 1e-3),
        b"BLMPOP" | b"BZMPOP" => timeout(command.args().nth(1).and_then(number), 1.0),
        _ => timeout(command.args().last().and_then(number), 1.0),
    }
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
            ("WAIT 1 100", After(Duration::from_millis(100))),
            ("BLPOP a never", None),
            ("BLPOP a -1", None),
        ] {
            assert_eq!(blocking_timeout(&command(line)), expected, "{line}");
        }
    }
}
