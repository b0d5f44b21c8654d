//! The prefix that a client puts in front of keys.
//!
//! Which arguments are keys is known to `redial_proto::key_positions`; what of patterns, channels and replies, to [`Builder::key_prefix`](crate::Builder::key_prefix).

use std::sync::Arc;

use redial_proto::{Delivery, Error, ErrorKind};
use redial_resp::{Bytes, Command, Frame};

/// See the module's documentation. Never empty.
#[derive(Clone, Debug)]
pub(crate) struct KeyPrefix(Arc<[u8]>);

impl KeyPrefix {
    pub(crate) fn new(prefix: &[u8]) -> Option<Self> {
        (!prefix.is_empty()).then(|| Self(prefix.into()))
    }

    /// Puts it in front of every key of a command.
    ///
    /// # Errors
    /// Which arguments are keys can't be told. Sent as it is, the command might reach the keys of others.
    #[cold]
    pub(crate) fn apply(&self, command: &mut Command) -> Result<(), Error> {
        let Some(mut positions) = redial_proto::key_positions(command) else {
            let name = String::from_utf8_lossy(command.name()).to_uppercase();
            let text = format!(
                "which arguments of this {name} are keys can't be told, and this client has a key_prefix: write the prefix into its keys yourself and send it with \
                 `Cmd::send_as_is`, or from a client without key_prefix"
            );
            return Err(Error::new(ErrorKind::InvalidRequest, Delivery::NotSent, text));
        };
        positions.sort_unstable();
        positions.dedup();
        command.prefix_args(&positions, &self.0);
        Ok(())
    }

    /// A key with it.
    pub(crate) fn key(&self, key: &[u8]) -> Vec<u8> {
        [&*self.0, key].concat()
    }

    /// A glob pattern of keys with it.
    pub(crate) fn pattern(&self, pattern: &[u8]) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.0.len() + pattern.len());
        for byte in self.0.iter() {
            if b"*?[]^\\".contains(byte) {
                all.push(b'\\');
            }
            all.push(*byte);
        }
        all.extend_from_slice(pattern);
        all
    }

    /// A key of the server's as the program calls it, in a reply of its own.
    pub(crate) fn without(&self, key: &[u8]) -> Frame {
        let key = key.strip_prefix(&*self.0).unwrap_or(key);
        let reply = [format!("${}\r\n", key.len()).as_bytes(), key, b"\r\n"].concat();
        Frame::from_scanned(Bytes::from(reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(line: &str) -> Result<String, Error> {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        words.for_each(|word| command.push_arg(word.as_bytes()));
        KeyPrefix::new(b"p:").unwrap().apply(&mut command)?;
        let args: Vec<_> = command.args().map(String::from_utf8_lossy).collect();
        Ok(args.join(" "))
    }

    #[test]
    fn keys_get_the_prefix_and_nothing_else_does() {
        for (line, expected) in [
            ("GET a", "GET p:a"),
            ("MSET a 1 b 2", "MSET p:a 1 p:b 2"),
            ("RENAME a b", "RENAME p:a p:b"),
            ("BLPOP a b 0", "BLPOP p:a p:b 0"),
            ("EVAL s 2 a b c", "EVAL s 2 p:a p:b c"),
            ("FCALL_RO f 1 a b", "FCALL_RO f 1 p:a b"),
            ("XREAD COUNT 5 STREAMS a b 0 0", "XREAD COUNT 5 STREAMS p:a p:b 0 0"),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "ZUNIONSTORE p:d 2 p:a p:b WEIGHTS 1 2"),
            ("GEORADIUS a 1 2 3 km STORE b", "GEORADIUS p:a 1 2 3 km STORE p:b"),
            ("OBJECT ENCODING a", "OBJECT ENCODING p:a"),
            ("XGROUP CREATE a g 0", "XGROUP CREATE p:a g 0"),
            ("WATCH a b", "WATCH p:a p:b"),
            ("KEYS a*", "KEYS a*"),
            ("SCAN 0 MATCH a*", "SCAN 0 MATCH a*"),
            ("PUBLISH c m", "PUBLISH c m"),
            ("SPUBLISH c m", "SPUBLISH c m"),
            ("PING", "PING"),
            ("CONFIG GET a", "CONFIG GET a"),
        ] {
            assert_eq!(prefixed(line).unwrap(), expected, "{line}");
        }
        for line in ["SORT a BY w_*", "MIGRATE h 1 a 0 9", "AN.UNKNOWN a", "GET", "EVAL s x"] {
            let error = prefixed(line).unwrap_err();
            assert!(error.text().contains("send_as_is"), "{line}: {error}");
        }
    }

    #[test]
    fn a_prefix_means_itself_in_a_pattern() {
        let prefix = KeyPrefix::new(br"a[1]*?\^").unwrap();
        assert_eq!(prefix.pattern(b"x*"), br"a\[1\]\*\?\\\^x*");
        assert!(KeyPrefix::new(b"").is_none());
    }

    #[test]
    fn a_key_is_given_without_the_prefix() {
        let prefix = KeyPrefix::new(b"p:").unwrap();
        let read = |key: &[u8]| prefix.without(key).decode::<String>().unwrap();
        assert_eq!(
            (read(b"p:p:a"), read(b"p:"), read(b"q")),
            ("p:a".into(), "".into(), "q".into())
        );
    }
}
