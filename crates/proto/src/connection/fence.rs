//! The fence: before a new connection to the *same* server is used, the old one is ended on the server, so that nothing of it
//! runs after something newer; and the server is asked how far it had read.
//!
//! `MULTI; CLIENT LIST ID n; CLIENT KILL ID n; EXEC` is atomic. `tot-net-in` − `qbuf` is the offset in our own stream up to which commands were taken
//! (measured on Redis 8.2.3, Valkey 8.1.8 and 9.1.2; Redis 6.2 and 7.0 have no `tot-net-in`, there the fence only stops).

use redial_resp::{Command, Frame, Value};

/// What is known of the requests that were in flight on the old connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FenceReport {
    /// Nothing is known.
    Silent,
    /// The server had taken every command that ends at or before this offset, and takes no other.
    TakenUpTo(u64),
}

/// How many replies a fence has.
const REPLIES: usize = 4;

/// A fence under way.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    replies: usize,
}

impl Fence {
    /// What to write; `id` is the old connection's number on the server.
    pub(crate) fn commands(id: i64) -> [Command; REPLIES] {
        let with_id = |name: &str| {
            let mut command = Command::new(name);
            command.push_int(id);
            command
        };
        [
            Command::new("MULTI"),
            with_id("CLIENT LIST ID"),
            with_id("CLIENT KILL ID"),
            Command::new("EXEC"),
        ]
    }

    /// Takes a reply; the last one gives the report.
    pub(crate) fn handle(&mut self, frame: &Frame) -> Option<FenceReport> {
        self.replies += 1;
        (self.replies == REPLIES).then(|| report(frame))
    }
}

fn report(exec: &Frame) -> FenceReport {
    let Value::Array(mut items) = exec.value() else { return FenceReport::Silent };
    let line = match items.next() {
        Some(Value::Bulk(line) | Value::Verbatim { text: line, .. }) => {
            String::from_utf8_lossy(line).into_owned()
        }
        _ => return FenceReport::Silent,
    };
    let field = |name: &str| {
        line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    // Blocked: Valkey 9.1 parses ahead of what it runs, so the offset says too much.
    if field("flags").is_none_or(|flags| flags.contains('b')) {
        return FenceReport::Silent;
    }
    let number = |name| field(name).and_then(|value| value.parse::<u64>().ok());
    match (number("tot-net-in"), number("qbuf")) {
        (Some(read), Some(unparsed)) => FenceReport::TakenUpTo(read.saturating_sub(unparsed)),
        _ => FenceReport::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn after(line: &str) -> FenceReport {
        let mut fence = Fence::default();
        for reply in ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n"] {
            assert_eq!(fence.handle(&Frame::from_scanned(Bytes::from(reply))), None);
        }
        let exec = format!("*2\r\n${}\r\n{line}\r\n:1\r\n", line.len());
        fence.handle(&Frame::from_scanned(Bytes::from(exec))).unwrap()
    }

    #[test]
    fn what_was_read_less_what_was_not_parsed_is_what_was_taken() {
        assert_eq!(
            after("id=7 flags=N qbuf=4 tot-net-in=159 tot-cmds=5"),
            FenceReport::TakenUpTo(155)
        );
    }

    #[test]
    fn blocked_gone_and_older_servers_tell_nothing() {
        assert_eq!(after("id=7 flags=b qbuf=4 tot-net-in=159"), FenceReport::Silent);
        assert_eq!(after("id=7 flags=N qbuf=4"), FenceReport::Silent);
        assert_eq!(after(""), FenceReport::Silent);
        let mut fence = Fence { replies: 3 };
        let refused = Frame::from_scanned(Bytes::from_static(b"-EXECABORT no permission\r\n"));
        assert_eq!(fence.handle(&refused), Some(FenceReport::Silent));
    }
}
