//! Properties that hold for any reply, any pieces, any damage and any command.

mod support;

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use redial_resp::{
    Bytes, Command, Frame, FromReply, LARGE_ARG, Limits, OwnedValue, ProtocolError, Scanner,
};

use self::support::{Reference, reference, reply, wire};

fn scanner() -> Scanner {
    Scanner::new(Limits::default())
}

fn frame(bytes: &[u8]) -> Frame {
    Frame::from_scanned(Bytes::copy_from_slice(bytes))
}

/// Replies and how to write them.
fn written() -> impl Strategy<Value = (OwnedValue, Vec<u8>)> {
    (reply(), vec(any::<bool>(), 0..64)).prop_map(|(reply, choices)| {
        let mut bytes = Vec::new();
        wire(&reply, &mut choices.into_iter(), &mut bytes);
        (reply, bytes)
    })
}

/// Scans bytes that become visible up to each of `ends`, as a driver would.
fn scan_in_pieces(
    stream: &[u8],
    ends: impl IntoIterator<Item = usize>,
) -> Result<Vec<&[u8]>, ProtocolError> {
    let (mut scanner, mut frames, mut start) = (scanner(), Vec::new(), 0);
    for end in ends {
        while let Some(n) = scanner.scan(&stream[start..end])? {
            assert!(n > 0 && start + n <= end, "a frame lies within what was shown");
            frames.push(&stream[start..start + n]);
            start += n;
        }
        let missing = scanner.missing();
        assert!(missing > 0, "an incomplete frame misses something");
    }
    Ok(frames)
}

/// Decodes into types of every family; only panics and hangs matter.
fn decode_as_everything(bytes: &[u8]) {
    fn decode<T: FromReply>(frame: &Frame) {
        if let Err(error) = frame.decode::<T>() {
            let _ = error.to_string();
        }
    }
    let frame = frame(bytes);
    decode::<()>(&frame);
    decode::<bool>(&frame);
    decode::<i64>(&frame);
    decode::<f64>(&frame);
    decode::<String>(&frame);
    decode::<Vec<u8>>(&frame);
    decode::<Vec<Frame>>(&frame);
    decode::<HashMap<String, Option<Bytes>>>(&frame);
    decode::<Vec<(String, Vec<(Bytes, i64)>)>>(&frame);
    decode::<OwnedValue>(&frame);
    let _ = format!("{frame:?} {:?} {:?} {}", frame.value(), frame.error(), frame.is_push());
}

/// Damage: bytes replaced, inserted, removed.
fn damage(bytes: &mut Vec<u8>, edits: &[(Index, u8, u8)]) {
    // Bytes that mean something do more harm than random ones.
    const TELLING: &[u8] = b"+-:$!=_#,(*~>%|?;.\r\n0123456789e";
    for (place, what, byte) in edits {
        if bytes.is_empty() {
            return;
        }
        let at = place.index(bytes.len());
        let byte = if what & 4 == 0 { *byte } else { TELLING[usize::from(*byte) % TELLING.len()] };
        match what & 3 {
            0 => bytes.insert(at, byte),
            1 => drop(bytes.remove(at)),
            _ => bytes[at] = byte,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_reply_is_found_and_decoded_to_what_was_written((reply, bytes) in written()) {
        prop_assert_eq!(scanner().scan(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(frame(&bytes).decode::<OwnedValue>(), Ok(reply));
    }

    #[test]
    fn every_split_point_gives_the_same_as_the_whole((_, bytes) in written()) {
        for cut in 0..bytes.len() {
            let mut scanner = scanner();
            prop_assert_eq!(scanner.scan(&bytes[..cut]), Ok(None));
            let missing = scanner.missing();
            prop_assert!((1..=bytes.len() - cut).contains(&missing));
            prop_assert_eq!(scanner.scan(&bytes), Ok(Some(bytes.len())));
        }
    }

    #[test]
    fn frames_in_a_row_are_found_one_by_one_in_any_pieces(
        replies in vec(written(), 1..6),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let wires = replies.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>();
        let stream = wires.concat();
        let mut ends = cuts.iter().map(|cut| cut.index(stream.len())).collect::<Vec<_>>();
        ends.sort_unstable();
        ends.push(stream.len());
        prop_assert_eq!(scan_in_pieces(&stream, ends), Ok(wires));
    }

    #[test]
    fn damaged_bytes_give_the_same_in_pieces_as_whole_and_never_a_panic(
        (_, mut bytes) in written(),
        edits in vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..6),
    ) {
        damage(&mut bytes, &edits);
        decode_as_everything(&bytes);
        let whole = scan_in_pieces(&bytes, [bytes.len()]);
        let pieces = scan_in_pieces(&bytes, 0..=bytes.len());
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(whole, pieces),
            (Err(whole), Err(pieces)) => {
                prop_assert_eq!((whole.kind(), whole.offset()), (pieces.kind(), pieces.offset()));
            }
            (whole, pieces) => prop_assert!(false, "whole: {whole:?}, in pieces: {pieces:?}"),
        }
    }

    #[test]
    fn damaged_bytes_mean_the_same_to_a_second_decoder(
        (_, mut bytes) in written(),
        edits in vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..4),
    ) {
        damage(&mut bytes, &edits);
        match (scanner().scan(&bytes), reference(&bytes)) {
            (Ok(Some(end)), Reference::Whole(expected, expected_end)) => {
                prop_assert_eq!(end, expected_end);
                let decoded = frame(&bytes[..end]).decode::<OwnedValue>();
                // By their text, because NaN is not equal to itself.
                prop_assert_eq!(format!("{decoded:?}"), format!("Ok({expected:?})"));
            }
            // Ours may see sooner that nothing good can come of the bytes.
            (Ok(None), Reference::Incomplete) | (Err(_), Reference::Wrong | Reference::Incomplete) => {}
            (ours, reference) => prop_assert!(false, "ours: {ours:?}, reference: {reference:?}"),
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        decode_as_everything(&bytes);
        let _ = scan_in_pieces(&bytes, 0..=bytes.len());
    }

    #[test]
    fn a_command_is_an_array_of_its_arguments(
        args in vec((vec(any::<u8>(), 0..120), any::<bool>()), 0..30),
        large in proptest::option::of(any::<Index>()),
    ) {
        let mut args = args;
        if let (Some(index), false) = (large, args.is_empty()) {
            let at = index.index(args.len());
            args[at] = (vec![b'x'; LARGE_ARG + at], true);
        }
        let mut command = Command::new("CMD");
        for (arg, shared) in &args {
            if *shared {
                command.push_bytes(Bytes::copy_from_slice(arg));
            } else {
                command.push_arg(arg);
            }
        }
        let mut expected = vec![&b"CMD"[..]];
        expected.extend(args.iter().map(|(arg, _)| &arg[..]));
        prop_assert_eq!(command.args().collect::<Vec<_>>(), expected.clone());
        prop_assert_eq!(command.arg_count(), expected.len());

        let bytes = command.pieces().fold(Vec::new(), |mut bytes, piece| {
            bytes.extend_from_slice(piece.as_ref());
            bytes
        });
        prop_assert_eq!(bytes.len(), command.encoded_len());
        prop_assert!(command.as_contiguous().is_none_or(|contiguous| contiguous == bytes));
        prop_assert_eq!(scanner().scan(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(frame(&bytes).decode::<Vec<Bytes>>().unwrap(), expected);
    }
}
