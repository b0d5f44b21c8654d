use super::*;
use crate::pieces::Piece;

fn wire(command: &Command) -> Vec<u8> {
    let bytes = command.pieces().flat_map(|piece| piece.as_ref().to_vec()).collect::<Vec<_>>();
    assert_eq!(bytes.len(), command.encoded_len());
    if let Some(contiguous) = command.as_contiguous() {
        assert_eq!(bytes, contiguous);
    }
    bytes
}

#[test]
fn a_get_is_one_slice_of_the_expected_bytes() {
    let mut get = Command::new("GET");
    get.push_arg(b"key");
    assert_eq!(get.as_contiguous(), Some(&b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"[..]));
    assert_eq!(get.args().collect::<Vec<_>>(), [&b"GET"[..], b"key"]);
    assert_eq!(get.name(), b"GET");
}

#[test]
fn a_name_of_several_words_is_as_many_arguments() {
    assert_eq!(wire(&Command::new("CLIENT LIST")), b"*2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n");
    assert_eq!(Command::new(" CONFIG  GET ").arg_count(), 2);
}

#[test]
fn an_empty_name_is_still_something_that_a_server_answers() {
    assert_eq!(wire(&Command::new("")), b"*1\r\n$0\r\n\r\n");
    assert_eq!(wire(&Command::new(" ")), b"*1\r\n$1\r\n \r\n");
}

#[test]
fn the_header_counts_across_every_power_of_ten() {
    let mut command = Command::new("DEL");
    for count in 2..=10_001_u32 {
        command.push_arg(b"k");
        if count % 10 < 2 || count % 100 == 99 {
            let header = format!("*{count}\r\n$3\r\nDEL\r\n");
            assert!(command.as_contiguous().unwrap().starts_with(header.as_bytes()));
        }
    }
    assert_eq!(command.args().len(), 10_001);
    assert_eq!(command.args().skip(1).filter(|arg| arg == b"k").count(), 10_000);
}

#[test]
fn lengths_of_every_number_of_digits_are_written_right() {
    for len in [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 9999, 10_000, 100_000] {
        let mut expected = format!("*2\r\n$3\r\nSET\r\n${len}\r\n").into_bytes();
        expected.extend(vec![b'v'; len]);
        expected.extend(b"\r\n");
        // With the room that a new command has, and with more than enough.
        for buffer in [Vec::new(), vec![b'?'; 200_000]] {
            let mut command = Command::with_buffer(buffer, "SET");
            command.push_arg(&vec![b'v'; len]);
            assert!(wire(&command) == expected, "{len}");
        }
    }
}

#[test]
fn arguments_of_every_length_are_written_right_however_little_room_is_left() {
    for len in 0..130 {
        let mut command = Command::new("RPUSH");
        let mut expected = String::from("$5\r\nRPUSH\r\n");
        for count in 2..40 {
            let arg = "a".repeat(len);
            command.push_arg(arg.as_bytes());
            expected += &format!("${len}\r\n{arg}\r\n");
            assert_eq!(wire(&command), format!("*{count}\r\n{expected}").as_bytes());
        }
    }
}

#[test]
fn large_shared_arguments_are_not_copied_and_keep_their_place() {
    let large = Bytes::from(vec![b'x'; LARGE_ARG]);
    let mut command = Command::new("MSET");
    command.push_arg(b"a");
    command.push_bytes(large.clone());
    command.push_bytes(large.clone());
    command.push_bytes(Bytes::from_static(b"small"));
    let mut copied = Command::new("MSET");
    for arg in [&b"a"[..], &large, &large, b"small"] {
        copied.push_arg(arg);
    }
    assert_eq!(command.as_contiguous(), None);
    assert_eq!(wire(&command), copied.as_contiguous().unwrap());
    assert!(command.args().eq(copied.args()));
    let shared = command.pieces().filter_map(|piece| match piece {
        Piece::Shared(bytes) => Some(bytes.as_ptr()),
        Piece::Inline(_) => None,
    });
    assert_eq!(shared.collect::<Vec<_>>(), [large.as_ptr(), large.as_ptr()]);
}

#[test]
fn a_buffer_is_used_again_without_its_old_content() {
    let mut old = Command::new("SET");
    old.push_arg(&[b'v'; 500]);
    let buffer = old.into_buffer();
    let (place, capacity) = (buffer.as_ptr(), buffer.capacity());
    let new = Command::with_buffer(buffer, "PING");
    assert_eq!(new.as_contiguous(), Some(&b"*1\r\n$4\r\nPING\r\n"[..]));
    let buffer = new.into_buffer();
    assert_eq!((buffer.as_ptr(), buffer.capacity()), (place, capacity));
}

#[test]
fn a_clone_is_equal_grows_on_its_own_and_holds_no_stale_room() {
    let mut command = Command::with_buffer(vec![b'?'; 10_000], "SET");
    command.push_arg(b"key");
    let mut clone = command.clone();
    assert_eq!(wire(&clone), wire(&command));
    clone.push_arg(b"value");
    assert_eq!(command.arg_count(), 2);
    assert_eq!(wire(&clone), b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n");
    assert!(clone.into_buffer().capacity() < 200);
}

#[test]
fn a_small_set_fits_into_the_first_allocation() {
    let mut set = Command::new("SET");
    set.push_arg(b"user:0123456789");
    set.push_arg(&[b'v'; 64]);
    assert_eq!(set.into_buffer().capacity(), INITIAL_ROOM);
}

#[test]
fn numbers_are_arguments_in_decimal() {
    let mut command = Command::new("X");
    command.push_int(i64::MIN);
    command.push_int(u64::MAX);
    command.push_int(7);
    for float in [0.1, 3.0, -2.5, 1e300, f64::INFINITY, f64::MIN_POSITIVE, -0.0] {
        command.push_f64(float);
    }
    let args = command.args().map(|arg| std::str::from_utf8(arg).unwrap()).collect::<Vec<_>>();
    let ints = ["X", "-9223372036854775808", "18446744073709551615", "7"];
    assert_eq!(args[..4], ints);
    let floats = ["0.1", "3", "-2.5", "1e300", "inf", "2.2250738585072014e-308", "-0"];
    assert_eq!(args[4..], floats);
}

#[test]
fn what_is_too_large_is_refused_for_good_and_says_why() {
    // Zeroed pages that nobody touches cost no memory.
    let huge = vec![0; MAX_ARG + 1];
    let mut command = Command::new("SET");
    command.push_arg(b"key");
    assert_eq!(command.too_large(), None);
    command.push_arg(&huge);
    command.push_bytes(Bytes::from(huge));
    command.push_arg(b"late");
    let why = command.too_large().unwrap();
    assert_eq!(why, TooLarge::Argument { index: 2, len: MAX_ARG + 1 });
    assert!(why.to_string().contains("proto-max-bulk-len"));
    assert_eq!(command.arg_count(), 2);
}

#[test]
fn debug_output_does_not_show_arguments() {
    let mut auth = Command::new("AUTH");
    auth.push_arg(b"secret");
    let shown = format!("{auth:?}");
    assert!(shown.contains("AUTH") && !shown.contains("secret"), "{shown}");
}

#[test]
fn commands_stand_one_behind_the_other_whatever_their_sizes() {
    let mut all = Command::new("PING");
    let mut expected = b"*1\r\n$4\r\nPING\r\n".to_vec();
    for args in [1, 8, 9, 10, 98, 99, 100, 3, 1001] {
        all.begin_next("MSET");
        let mut apart = Command::new("MSET");
        for arg in 0..args {
            let text = vec![b'x'; arg * 7 % 130];
            all.push_arg(&text);
            apart.push_arg(&text);
        }
        assert_eq!(all.as_contiguous(), apart.as_contiguous(), "{args}");
        assert_eq!((all.name(), all.arg_count()), (&b"MSET"[..], args + 1));
        assert!(all.args().eq(apart.args()));
        assert_eq!(wire(&all.clone()), wire(&apart));
        expected.extend(wire(&apart));
    }
    assert!(all.run() == expected);
}

#[test]
fn a_command_that_is_taken_out_leaves_its_place_to_the_next() {
    let large = Bytes::from(vec![b'x'; LARGE_ARG]);
    let mut all = Command::new("PING");
    all.begin_next("SET");
    all.push_arg(b"k");
    all.push_bytes(large.clone());
    let taken = all.take_last();
    assert_eq!(taken.args().collect::<Vec<_>>(), [b"SET", &b"k"[..], &large]);
    assert_eq!(all.run(), b"*1\r\n$4\r\nPING\r\n");
    assert_eq!((all.arg_count(), all.name()), (0, &b""[..]));
    all.begin_next("ECHO");
    all.push_arg(b"");
    assert_eq!(all.run(), b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n");
    assert_eq!(all.take_last().name(), b"ECHO");
    all.push_arg(b"GET");
    assert_eq!(all.run(), b"*1\r\n$4\r\nPING\r\n*1\r\n$3\r\nGET\r\n");
}

#[test]
fn what_is_not_taken_out_is_copied_if_it_is_large_and_dropped_if_it_is_too_large() {
    let large = Bytes::from(vec![b'x'; LARGE_ARG]);
    let mut all = Command::new("MSET");
    for _ in 0..12 {
        all.push_bytes(large.clone());
    }
    let expected = [wire(&all), b"*1\r\n$4\r\nPING\r\n".to_vec()].concat();
    all.begin_next("SET");
    // Zeroed pages that nobody touches cost no memory.
    all.push_bytes(Bytes::from(vec![0; MAX_ARG + 1]));
    assert!(all.too_large().is_some());
    all.begin_next("PING");
    assert_eq!(all.too_large(), None);
    assert!(all.run() == expected);
}

#[test]
#[expect(clippy::redundant_clone, reason = "a copy is what is looked at")]
fn a_short_name_is_its_bytes_and_nothing_behind_them() {
    let packed = |name: &str, arg: &[u8]| {
        let mut command = Command::new(name);
        command.push_arg(arg);
        command.short_name()
    };
    assert_eq!(packed("GET", b"key"), Some(u64::from_le_bytes(*b"GET\0\0\0\0\0")));
    assert_eq!(packed("EVALSHA2", b""), Some(u64::from_le_bytes(*b"EVALSHA2")));
    assert_eq!(packed("c", b""), Some(u64::from(b'c')));
    assert_eq!(packed("CONFIG GET", b""), Some(u64::from_le_bytes(*b"CONFIG\0\0")));
    assert_eq!(packed("", b""), None);
    assert_eq!(packed("SUBSCRIBE", b""), None);
    let ping = Command::new("PING");
    assert_eq!(ping.clone().short_name(), None, "a copy has no eight bytes to look at");
    assert_eq!(ping.short_name(), Some(u64::from_le_bytes(*b"PING\0\0\0\0")));
}

#[test]
fn a_short_key_is_the_first_argument_or_not_looked_for() {
    for len in [0, 1, 9, 10, 16, 17, 99, 100, 101, LARGE_ARG] {
        for name in ["G", "GET", "EVALSHA2", "SUBSCRIBE", "CONFIG GET"] {
            for more in [0, 12] {
                let mut command = Command::new(name);
                command.push_bytes(Bytes::from(vec![b'7'; len]));
                (0..more).for_each(|_| command.push_arg(b"more"));
                let expected = command.args().nth(1);
                let is_found =
                    more == 0 && (len < 100 || name == "CONFIG GET") && name != "SUBSCRIBE";
                assert_eq!(command.short_key(), expected.filter(|_| is_found), "{name} {len}");
            }
        }
    }
    assert_eq!(Command::new("GET").short_key(), None);
}

#[test]
fn a_prefix_is_put_in_front_of_some_arguments_and_the_others_stay_shared() {
    let large = Bytes::from(vec![b'x'; LARGE_ARG]);
    let mut command = Command::new("PING");
    command.begin_next("MSET");
    command.push_arg(b"a");
    command.push_bytes(large.clone());
    command.push_bytes(large.clone());
    command.push_arg(b"v");
    command.prefix_args(&[1, 3], b"p:");
    let prefixed = [b"p:", &large[..]].concat();
    let args: Vec<_> = command.args().collect();
    assert_eq!(args, [b"MSET", &b"p:a"[..], &large, &prefixed, b"v"]);
    assert_eq!(args[2].as_ptr(), large.as_ptr());
    assert!(wire(&command).starts_with(b"*5\r\n$4\r\nMSET\r\n$3\r\np:a\r\n"));
    command.take_last();
    assert_eq!(command.run(), b"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn what_is_too_large_is_not_prefixed() {
    let mut command = Command::new("SET");
    command.push_bytes(Bytes::from(vec![0; MAX_ARG + 1]));
    command.prefix_args(&[1], b"p:");
    assert!(command.too_large().is_some());
}
