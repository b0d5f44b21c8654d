//! One line of MONITOR: `1339518083.107412 [0 127.0.0.1:60866] "GET" "key"`.

use std::time::{Duration, SystemTime};

use redial_resp::Bytes;

/// A command that the server ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorLine {
    /// When, by the server's clock; in microseconds.
    pub at: SystemTime,
    /// In which database.
    pub database: u32,
    /// For whom: an address and port, `unix:` and a path, or `lua`.
    pub client: String,
    /// The command and its arguments. Servers leave out AUTH and what else is secret.
    pub command: Vec<Bytes>,
}

impl MonitorLine {
    /// `None` for what is no line of MONITOR.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (time, rest) = split(line, b' ')?;
        let (seconds, micros) = std::str::from_utf8(time).ok()?.split_once('.')?;
        let since = Duration::from_secs(seconds.parse().ok()?)
            .checked_add(Duration::from_micros(micros.parse().ok()?))?;
        let (whom, mut rest) = split(rest.strip_prefix(b"[")?, b']')?;
        let (database, client) = split(whom, b' ')?;
        let mut command = Vec::new();
        while let Some(quoted) = rest.strip_prefix(b" \"") {
            let (argument, behind) = unquote(quoted)?;
            command.push(argument);
            rest = behind;
        }
        Some(Self {
            at: SystemTime::UNIX_EPOCH.checked_add(since)?,
            database: std::str::from_utf8(database).ok()?.parse().ok()?,
            client: String::from_utf8_lossy(client).into_owned(),
            command,
        })
        .filter(|line| rest.is_empty() && !line.command.is_empty())
    }
}

/// What stands before the first `at` and behind it.
fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == at)?;
    Some((&text[..end], &text[end + 1..]))
}

/// Undoes `sdscatrepr` of redis' sds.c up to the closing quote; gives what is behind it.
fn unquote(mut text: &[u8]) -> Option<(Bytes, &[u8])> {
    let mut bytes = Vec::new();
    loop {
        let (&byte, rest) = text.split_first()?;
        text = rest;
        match byte {
            b'"' => return Some((bytes.into(), text)),
            b'\\' => {
                let (&escaped, rest) = text.split_first()?;
                text = rest;
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let (digits, rest) = text.split_at_checked(2)?;
                        text = rest;
                        u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
                    }
                    other => other,
                });
            }
            other => bytes.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_as_the_command_that_was_run() {
        let line = MonitorLine::parse(
            br#"1339518083.107412 [3 127.0.0.1:60866] "SET" "a \"k\"" "\x00\r\n\\x""#,
        )
        .unwrap();
        let since = line.at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::from_micros(1_339_518_083_107_412));
        assert_eq!((line.database, line.client.as_str()), (3, "127.0.0.1:60866"));
        let command: Vec<&[u8]> = line.command.iter().map(|argument| &argument[..]).collect();
        assert_eq!(command, [b"SET".as_slice(), b"a \"k\"", b"\0\r\n\\x"]);
        let script = MonitorLine::parse(br#"1.5 [0 lua] "GET" "k""#).unwrap();
        assert_eq!(script.client, "lua");
    }

    #[test]
    fn what_is_no_line_is_none_and_harms_nobody() {
        for text in [
            "",
            "1",
            "1.5 [0 lua",
            "1.5 [0 lua]",
            "1.5 [x lua] \"GET\"",
            "1.5 [0 lua] \"GET",
            "1.5 [0 lua] \"\\x0",
            "1.5 [0 lua] \"\\xzz\"",
            "1.5 [0 lua] \"a\"b",
            "18446744073709551615.5 [0 lua] \"a\"",
        ] {
            assert_eq!(MonitorLine::parse(text.as_bytes()), None, "{text}");
        }
    }
}
