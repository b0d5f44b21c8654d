use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::*;
use crate::value::MIN_SHARED;

fn frame(wire: impl AsRef<[u8]>) -> Frame {
    Frame::from_scanned(Bytes::copy_from_slice(wire.as_ref()))
}

fn decode<T: FromReply>(wire: impl AsRef<[u8]>) -> Result<T, DecodeError> {
    frame(wire).decode()
}

fn why<T: FromReply + fmt::Debug>(wire: &str) -> String {
    decode::<T>(wire).unwrap_err().to_string()
}

#[test]
fn integers_come_from_integers_and_from_text() {
    for wire in [":42\r\n", "$2\r\n42\r\n", "+42\r\n", "(42\r\n", "=6\r\ntxt:42\r\n"] {
        assert_eq!(decode::<i64>(wire), Ok(42), "{wire:?}");
        assert_eq!(decode::<u8>(wire), Ok(42), "{wire:?}");
        assert_eq!(decode::<u128>(wire), Ok(42), "{wire:?}");
    }
    assert_eq!(decode::<i64>(":-9223372036854775808\r\n"), Ok(i64::MIN));
    assert_eq!(decode("(170141183460469231731687303715884105727\r\n"), Ok(i128::MAX));
}

#[test]
fn an_integer_out_of_range_is_refused() {
    assert!(why::<u8>(":256\r\n").contains("wanted an integer (u8), got an integer"));
    assert!(decode::<u64>(":-1\r\n").is_err());
    assert!(decode::<i32>("$10\r\n2147483648\r\n").is_err());
}

#[test]
fn floats_come_from_doubles_integers_and_text() {
    for wire in [",1.5\r\n", "$3\r\n1.5\r\n", "+1.5\r\n"] {
        assert_eq!(decode::<f64>(wire), Ok(1.5), "{wire:?}");
        assert_eq!(decode::<f32>(wire), Ok(1.5), "{wire:?}");
    }
    assert_eq!(decode::<f64>(":3\r\n"), Ok(3.0));
    assert_eq!(decode::<f64>(",inf\r\n"), Ok(f64::INFINITY));
    assert_eq!(decode::<f64>("$4\r\n-inf\r\n"), Ok(f64::NEG_INFINITY));
    assert!(decode::<f64>(",nan\r\n").unwrap().is_nan());
    assert!(decode::<f64>(",-nan\r\n").unwrap().is_nan());
    assert!(decode::<f64>("$1\r\nx\r\n").is_err());
}

#[test]
fn booleans_come_from_both_protocols_and_from_set_nx() {
    for wire in ["#t\r\n", ":1\r\n", "$1\r\n1\r\n", "+OK\r\n"] {
        assert_eq!(decode::<bool>(wire), Ok(true), "{wire:?}");
    }
    for wire in ["#f\r\n", ":0\r\n", "$1\r\n0\r\n", "_\r\n", "$-1\r\n"] {
        assert_eq!(decode::<bool>(wire), Ok(false), "{wire:?}");
    }
    assert!(decode::<bool>(":2\r\n").is_err());
    assert_eq!(decode::<Option<bool>>("_\r\n"), Ok(None));
}

#[test]
fn text_comes_from_every_string_and_from_numbers() {
    for (wire, text) in [
        ("+OK\r\n", "OK"),
        ("$3\r\nfoo\r\n", "foo"),
        ("$0\r\n\r\n", ""),
        ("=7\r\ntxt:foo\r\n", "foo"),
        (":5\r\n", "5"),
        (",1.50\r\n", "1.50"),
        ("(99999999999999999999\r\n", "99999999999999999999"),
    ] {
        assert_eq!(decode::<String>(wire).unwrap(), text);
        assert_eq!(decode::<Vec<u8>>(wire).unwrap(), text.as_bytes());
        assert_eq!(decode::<Bytes>(wire).unwrap(), text.as_bytes());
        assert_eq!(*decode::<Box<String>>(wire).unwrap(), text);
    }
    let binary = b"$2\r\n\xff\xfe\r\n";
    assert_eq!(decode::<Vec<u8>>(binary).unwrap(), b"\xff\xfe");
    let error = decode::<String>(binary).unwrap_err().to_string();
    assert!(error.contains("UTF-8") && error.contains("\\xff\\xfe"), "{error}");
}

#[test]
fn null_of_any_protocol_is_none_and_else_says_that_an_option_takes_it() {
    for wire in ["_\r\n", "$-1\r\n", "*-1\r\n"] {
        assert_eq!(decode::<Option<String>>(wire), Ok(None));
        assert_eq!(decode::<Option<Vec<i64>>>(wire), Ok(None));
        assert_eq!(why::<String>(wire), "wanted a string, got null; an Option takes null too");
        assert!(why::<Vec<i64>>(wire).contains("Option"));
    }
    assert_eq!(decode::<Option<i64>>(":1\r\n"), Ok(Some(1)));
}

#[test]
fn lists_come_from_every_aggregate() {
    for wire in
        ["*2\r\n:1\r\n:2\r\n", "~2\r\n:1\r\n:2\r\n", ">2\r\n:1\r\n:2\r\n", "%1\r\n:1\r\n:2\r\n"]
    {
        assert_eq!(decode::<Vec<i64>>(wire), Ok(vec![1, 2]));
        assert_eq!(decode::<VecDeque<i64>>(wire), Ok(VecDeque::from([1, 2])));
        assert_eq!(decode::<HashSet<i64>>(wire), Ok(HashSet::from([1, 2])));
        assert_eq!(decode::<BTreeSet<i64>>(wire), Ok(BTreeSet::from([1, 2])));
        assert_eq!(decode::<(u8, i64)>(wire), Ok((1, 2)));
        assert_eq!(decode::<Vec<u8>>(wire), Ok(vec![1, 2]));
    }
    assert_eq!(decode::<Vec<i64>>("*0\r\n"), Ok(vec![]));
    assert_eq!(decode::<Vec<Option<i64>>>("*2\r\n_\r\n:1\r\n"), Ok(vec![None, Some(1)]));
    let nested = "*2\r\n*1\r\n+a\r\n*0\r\n";
    assert_eq!(decode::<Vec<Vec<String>>>(nested), Ok(vec![vec!["a".into()], vec![]]));
    assert_eq!(why::<Vec<i64>>(":1\r\n"), "wanted an array, got an integer: \":1\\r\\n\"");
}

#[test]
fn maps_come_from_a_map_from_pairs_and_from_a_flat_array() {
    let expected = [("a".to_owned(), 1_i64), ("b".to_owned(), 2)];
    for wire in [
        "%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n",
        "*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n",
        "*2\r\n*2\r\n+a\r\n:1\r\n*2\r\n+b\r\n:2\r\n",
        "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
    ] {
        assert_eq!(decode::<HashMap<String, i64>>(wire), Ok(HashMap::from(expected.clone())));
        assert_eq!(decode::<BTreeMap<String, i64>>(wire), Ok(BTreeMap::from(expected.clone())));
        assert_eq!(decode::<Vec<(String, i64)>>(wire), Ok(expected.to_vec()));
    }
    assert_eq!(decode::<HashMap<String, i64>>("%0\r\n"), Ok(HashMap::new()));
    let odd = why::<HashMap<String, i64>>("*3\r\n+a\r\n:1\r\n+b\r\n");
    assert!(odd.contains("rows of 2, nested or flat"), "{odd}");
    assert!(decode::<HashMap<String, i64>>("*1\r\n*3\r\n+a\r\n:1\r\n:2\r\n").is_err());
}

#[test]
fn the_values_of_a_map_may_be_aggregates() {
    // XREAD: a map of arrays in RESP3, an array of pairs in RESP2.
    type Streams = Vec<(String, Vec<(String, HashMap<String, String>)>)>;
    let entries = "*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";
    let resp2 = format!("*1\r\n*2\r\n$1\r\ns\r\n{entries}");
    let resp3 = format!("%1\r\n$1\r\ns\r\n{entries}");
    let fields = HashMap::from([("f".to_owned(), "v".to_owned())]);
    let expected = vec![("s".to_owned(), vec![("1-0".to_owned(), fields)])];
    assert_eq!(decode::<Streams>(resp2), Ok(expected.clone()));
    assert_eq!(decode::<Streams>(resp3), Ok(expected));
}

#[test]
fn the_keys_of_a_map_may_be_aggregates_too() {
    let wire = "%2\r\n*2\r\n:1\r\n:2\r\n:3\r\n*0\r\n:4\r\n";
    assert_eq!(decode::<Vec<(Vec<i64>, i64)>>(wire), Ok(vec![(vec![1, 2], 3), (vec![], 4)]));
}

#[test]
fn tuples_take_exactly_their_length() {
    let eight = "*8\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n+x\r\n";
    type Eight = (u8, u16, u32, u64, i8, i16, i32, String);
    assert_eq!(decode::<Eight>(eight), Ok((1, 2, 3, 4, 5, 6, 7, "x".into())));
    assert!(why::<(i64, i64)>(eight).contains("wanted an array of 2 elements, got an array"));
    assert_eq!(decode::<Vec<(u8, u8, u8)>>("*3\r\n:1\r\n:2\r\n:3\r\n"), Ok(vec![(1, 2, 3)]));
    assert!(decode::<Vec<(u8, u8, u8)>>("%3\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n").is_err());
}

#[test]
fn an_error_of_the_server_is_told_apart_from_a_misfit() {
    let error = ServerError::new("WRONGTYPE no");
    for wire in ["-WRONGTYPE no\r\n", "!12\r\nWRONGTYPE no\r\n"] {
        let server = Some(DecodeError::Server(error.clone()));
        assert_eq!(decode::<i64>(wire).err(), server);
        assert_eq!(decode::<()>(wire).err(), server);
        assert_eq!(decode::<String>(wire).err(), server);
        assert_eq!(decode::<Option<Vec<u8>>>(wire).err(), server);
        assert_eq!(decode::<HashMap<u8, u8>>(wire).err(), server);
        assert_eq!(decode::<Result<i64, ServerError>>(wire), Ok(Err(error.clone())));
        assert_eq!(decode::<OwnedValue>(wire), Ok(OwnedValue::Error(error.clone())));
    }
    let exec = "*2\r\n:1\r\n-WRONGTYPE no\r\n";
    assert_eq!(decode::<Vec<i64>>(exec), Err(DecodeError::Server(error.clone())));
    assert_eq!(decode::<(i64, Result<i64, _>)>(exec), Ok((1, Err(error))));
}

#[test]
fn the_unit_type_overlooks_no_error_however_deep() {
    assert_eq!(decode::<()>("+OK\r\n"), Ok(()));
    assert_eq!(decode::<()>("%1\r\n+a\r\n*2\r\n:1\r\n_\r\n"), Ok(()));
    let deep = decode::<()>("*2\r\n:1\r\n%1\r\n+a\r\n*1\r\n|1\r\n+k\r\n:1\r\n-ERR x\r\n");
    assert_eq!(deep, Err(DecodeError::Server(ServerError::new("ERR x"))));
}

#[test]
fn attributes_are_passed_over_wherever_they_stand() {
    let wire =
        "|1\r\n+ttl\r\n:9\r\n*2\r\n|1\r\n+k\r\n*1\r\n+v\r\n:1\r\n|0\r\n|1\r\n+a\r\n+b\r\n:2\r\n";
    assert_eq!(decode::<Vec<i64>>(wire), Ok(vec![1, 2]));
    assert_eq!(frame(wire).kind(), Kind::Array);
    assert!(frame("|1\r\n+a\r\n+b\r\n>1\r\n+x\r\n").is_push());
    assert_eq!(frame("|1\r\n+a\r\n+b\r\n-ERR x\r\n").error().unwrap().code(), "ERR");
}

#[test]
fn values_are_copied_out_of_small_frames_and_shared_with_large_ones() {
    let is_shared =
        |frame: &Frame, value: &Bytes| frame.as_bytes().as_ptr_range().contains(&value.as_ptr());
    for (len, shared) in [(MIN_SHARED - 1, false), (MIN_SHARED, true)] {
        let text = vec![b'x'; len];
        let alone = frame([format!("${len}\r\n").as_bytes(), &text, b"\r\n"].concat());
        let value = alone.decode::<Bytes>().unwrap();
        assert_eq!((is_shared(&alone, &value), &value[..]), (shared, &text[..]), "{len}");
    }
    for (count, shared) in [(10, false), (1000, true)] {
        let list = frame(format!("*{count}\r\n{}", "$3\r\nabc\r\n".repeat(count)));
        let values = list.decode::<Vec<Bytes>>().unwrap();
        assert!(values.iter().all(|value| is_shared(&list, value) == shared && value == "abc"));
    }
}

#[test]
fn a_part_kept_as_a_frame_is_a_slice_to_be_decoded_later() {
    let whole = frame("*2\r\n%1\r\n+a\r\n:1\r\n|1\r\n+k\r\n+v\r\n:2\r\n");
    let parts = whole.decode::<Vec<Frame>>().unwrap();
    assert_eq!(parts[0].as_bytes(), b"%1\r\n+a\r\n:1\r\n");
    assert_eq!(parts[1].as_bytes(), b":2\r\n");
    assert!(whole.as_bytes().as_ptr_range().contains(&parts[1].as_bytes().as_ptr()));
}

#[test]
fn an_owned_tree_holds_every_type() {
    let wire = "*12\r\n+s\r\n-E x\r\n:1\r\n$1\r\nb\r\n=5\r\nmkd:v\r\n_\r\n#t\r\n,0.5\r\n(7\r\n~1\r\n:1\r\n\
                %1\r\n+k\r\n*0\r\n>1\r\n+p\r\n";
    let text = Bytes::from_static;
    use OwnedValue as V;
    let expected = V::Array(vec![
        V::Simple(text(b"s")),
        V::Error(ServerError::new("E x")),
        V::Integer(1),
        V::Bulk(text(b"b")),
        V::Verbatim { format: text(b"mkd"), text: text(b"v") },
        V::Null,
        V::Boolean(true),
        V::Double(0.5),
        V::BigNumber(text(b"7")),
        V::Set(vec![V::Integer(1)]),
        V::Map(vec![(V::Simple(text(b"k")), V::Array(vec![]))]),
        V::Push(vec![V::Simple(text(b"p"))]),
    ]);
    assert_eq!(decode::<OwnedValue>(wire), Ok(expected));
}

#[test]
fn bytes_that_no_scanner_passed_are_malformed_and_never_a_panic() {
    for wire in [
        "",
        "x",
        "$",
        "$5\r\nab\r\n",
        "*2\r\n:1\r\n",
        "*1\r\n$9\r\n",
        "%1\r\n+a\r\n",
        "|1\r\n+a\r\n",
        "#x\r\n",
        ",x\r\n",
        "=2\r\nab\r\n",
        "*999999999999\r\n",
        "*18446744073709551615\r\n",
        "|5",
        "$-1",
        ":99999999999999999999\r\n",
    ] {
        assert!(decode::<OwnedValue>(wire).is_err(), "{wire:?}");
        assert!(decode::<Vec<i64>>(wire).is_err(), "{wire:?}");
        assert!(decode::<HashMap<String, String>>(wire).is_err(), "{wire:?}");
        let _ = format!("{:?} {:?}", frame(wire), frame(wire).value());
    }
    assert!(why::<i64>("x").contains("got malformed bytes: \"x\""));
}

#[test]
fn ten_thousand_levels_that_no_scanner_passed_do_not_overflow_the_stack() {
    let deep = [b"*1\r\n".repeat(10_000), b":1\r\n".to_vec()].concat();
    assert!(decode::<OwnedValue>(&deep).is_err());
    assert_eq!(decode::<()>(&deep), Ok(()));
    assert_eq!(frame(&deep).element().raw(), deep);
}

#[test]
fn a_tree_as_deep_as_any_limit_allows_can_be_built_compared_shown_and_dropped() {
    // In 2 MiB of stack, which the threads of tests have too.
    for level in [&b"*1\r\n"[..], b"%1\r\n:1\r\n"] {
        let deep = [level.repeat(crate::MAX_DEPTH), b":1\r\n".to_vec()].concat();
        let limits = crate::Limits { max_depth: usize::MAX, ..crate::Limits::default() };
        assert_eq!(crate::Scanner::new(limits).scan(&deep), Ok(Some(deep.len())));
        let tree = decode::<OwnedValue>(&deep).unwrap();
        let copy = tree.clone();
        assert_eq!(tree, copy);
        assert!(format!("{tree:?}").contains("Integer"));
    }
}

#[test]
fn what_did_not_fit_is_shown_cut_short() {
    let long = format!("${}\r\n{}\r\n", 500, "x".repeat(500));
    let shown = why::<i64>(&long);
    assert!(shown.starts_with("wanted an integer (i64), got a bulk string: \"$500"), "{shown}");
    assert!(shown.ends_with("\"…") && shown.len() < 120, "{shown}");
}

#[test]
fn a_list_of_bytes_is_the_same_whatever_lengths_and_kinds_its_elements_have() {
    let texts = ["", "a", "ten digits", &"x".repeat(99), &"y".repeat(100), &"z".repeat(5000)];
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    for count in [1, texts.len()] {
        let all: String = texts[..count].iter().map(|text| bulk(text)).collect();
        let wire = format!("*{}\r\n{all}+OK\r\n:7\r\n", count + 2);
        let frame = frame(wire.as_bytes());
        let read: Vec<Bytes> = frame.decode().unwrap();
        let texts = texts[..count].iter().copied().chain(["OK", "7"]);
        assert!(read.iter().map(|bytes| &bytes[..]).eq(texts.map(str::as_bytes)));
    }
    let large = bulk(&"x".repeat(5000));
    let null = frame(format!("*2\r\n{large}$-1\r\n").as_bytes());
    null.decode::<Vec<Bytes>>().unwrap_err();
    // What no scanner would pass: a list that ends before its last element, or within it.
    for cut in ["", "$1", "$1\r\n", "$1\r\na", "$1\r\na\r"] {
        let bytes = Bytes::from(format!("*2\r\n{large}{cut}").into_bytes());
        Frame::from_scanned(bytes).decode::<Vec<Bytes>>().unwrap_err();
    }
}
