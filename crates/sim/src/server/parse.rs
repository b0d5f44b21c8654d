//! Commands out of a byte stream.

use super::session::Words;

/// The first command and its length, if it is whole.
pub(super) fn command(bytes: &[u8]) -> Option<(Words, usize)> {
    let mut at = 0;
    let count = number(bytes, &mut at, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let len = number(bytes, &mut at, b'$')?;
        words.push(bytes.get(at..at + len)?.to_vec());
        at += len + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}

fn number(bytes: &[u8], at: &mut usize, mark: u8) -> Option<usize> {
    let rest = bytes.get(*at..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    debug_assert_eq!(rest.first(), Some(&mark));
    let text = std::str::from_utf8(rest.get(1..end.checked_sub(1)?)?).ok()?;
    *at += end + 1;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_only_when_its_last_byte_is_there() {
        let whole = b"*2\r\n$3\r\nGET\r\n$2\r\n17\r\n";
        for len in 0..whole.len() {
            assert_eq!(command(&whole[..len]), None, "{len}");
        }
        let (words, len) = command(&[&whole[..], b"*1\r\n"].concat()).unwrap();
        assert_eq!((words, len), (vec![b"GET".to_vec(), b"17".to_vec()], whole.len()));
    }
}
