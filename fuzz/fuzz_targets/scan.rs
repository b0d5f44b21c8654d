//! Bytes found in pieces are the bytes found whole, and what was found can be decoded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use redial_resp::{Bytes, Frame, Limits, OwnedValue, ProtocolError, Scanner};

/// Scans `stream` as it becomes visible up to each of `ends`; gives where each frame ends.
fn scan(stream: &[u8], ends: impl Iterator<Item = usize>) -> (Vec<usize>, Option<ProtocolError>) {
    // A low limit, so that the fuzzer can reach it.
    let mut scanner = Scanner::new(Limits { max_depth: 8, ..Limits::default() });
    let (mut found, mut start) = (Vec::new(), 0);
    for end in ends {
        loop {
            match scanner.scan(&stream[start..end]) {
                Ok(Some(n)) => {
                    assert!(n > 0 && start + n <= end);
                    start += n;
                    found.push(start);
                }
                Ok(None) => break assert!(scanner.missing() > 0),
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fuzz_target!(|stream: &[u8]| {
    let (whole, whole_error) = scan(stream, std::iter::once(stream.len()));
    let step = usize::from(stream.last().unwrap_or(&0) % 16) + 1;
    let steps = (0..stream.len()).step_by(step).chain(std::iter::once(stream.len()));
    let (pieces, pieces_error) = scan(stream, steps);

    assert_eq!(whole, pieces);
    let place = |error: ProtocolError| (error.kind(), error.offset());
    assert_eq!(whole_error.map(place), pieces_error.map(place));

    let mut start = 0;
    for end in whole {
        let frame = Frame::from_scanned(Bytes::copy_from_slice(&stream[start..end]));
        let decoded = frame.decode::<OwnedValue>();
        assert!(decoded.is_ok(), "a scanned frame is sound: {frame:?}: {decoded:?}");
        assert_eq!(frame.element().raw().last(), Some(&b'\n'));
        start = end;
    }
});
