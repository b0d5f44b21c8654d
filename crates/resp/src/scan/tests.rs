use super::*;

/// One sound frame of every shape.
const FRAMES: &[&[u8]] = &[
    b"+OK\r\n",
    b"+PONG\r\n",
    b"+\r\n",
    b"+a\rb\nc\r\n",
    b"-ERR no\r\n",
    b":1\r\n",
    b":+1\r\n",
    b":-9223372036854775808\r\n",
    b":9223372036854775807\r\n",
    b"$3\r\nfoo\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"$4\r\n\r\n\r\n\r\n",
    b"$12\r\nabcdefghijkl\r\n",
    b"!8\r\nERR what\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"_\r\n",
    b"#t\r\n",
    b"#f\r\n",
    b",1.5\r\n",
    b",-inf\r\n",
    b",nan\r\n",
    b"(123456789012345678901234567890\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*2\r\n$3\r\nfoo\r\n:5\r\n",
    b"*3\r\n*1\r\n*0\r\n*2\r\n+a\r\n+b\r\n$1\r\nc\r\n",
    b"~1\r\n+a\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n",
    b">3\r\n+message\r\n$1\r\nc\r\n$1\r\nm\r\n",
    b"|1\r\n+ttl\r\n:9\r\n$1\r\nv\r\n",
    b"|0\r\n+v\r\n",
    b"*2\r\n|1\r\n+k\r\n|1\r\n+x\r\n+y\r\n*1\r\n+z\r\n:1\r\n:2\r\n",
    // EXEC of a SUBSCRIBE under RESP3 answers with a push inside an array.
    b"*1\r\n>3\r\n+subscribe\r\n+c\r\n:1\r\n",
];

fn scanner() -> Scanner {
    Scanner::new(Limits::default())
}

fn error(bytes: &[u8]) -> ProtocolError {
    scanner().scan(bytes).expect_err(&format!("{}", bytes.escape_ascii()))
}

#[test]
fn a_whole_frame_ends_at_its_last_byte_whatever_follows() {
    for frame in FRAMES {
        let shown = frame.escape_ascii();
        assert_eq!(scanner().scan(frame), Ok(Some(frame.len())), "{shown}");
        for follows in [&b"+OK\r\n"[..], b"$", b"\r\n", b"x"] {
            let bytes = [frame, follows].concat();
            assert_eq!(scanner().scan(&bytes), Ok(Some(frame.len())), "{shown}");
        }
    }
}

#[test]
fn a_frame_cut_at_any_byte_is_incomplete_and_says_what_is_missing() {
    for frame in FRAMES {
        for cut in 0..frame.len() {
            let mut scanner = scanner();
            let shown = frame[..cut].escape_ascii();
            assert_eq!(scanner.scan(&frame[..cut]), Ok(None), "{shown}");
            let missing = scanner.missing();
            assert!((1..=frame.len() - cut).contains(&missing), "{shown}: {missing}");
            assert_eq!(scanner.scan(frame), Ok(Some(frame.len())), "{shown}");
            assert_eq!(scanner.missing(), 0);
        }
    }
}

#[test]
fn bytes_that_come_one_by_one_give_the_same_frames() {
    let stream = FRAMES.concat();
    let mut scanner = scanner();
    let (mut start, mut found) = (0, Vec::new());
    for end in 0..=stream.len() {
        if let Some(n) = scanner.scan(&stream[start..end]).unwrap() {
            found.push(&stream[start..start + n]);
            start += n;
        }
    }
    assert_eq!(found, FRAMES);
}

#[test]
fn an_empty_buffer_between_frames_changes_nothing() {
    let mut scanner = scanner();
    assert_eq!(scanner.scan(b""), Ok(None));
    assert_eq!(scanner.scan(b"*1\r\n+a\r\n"), Ok(Some(8)));
    assert_eq!(scanner.scan(b""), Ok(None));
    assert_eq!(scanner.scan(b"+OK\r\n"), Ok(Some(5)));
}

#[test]
fn fewer_bytes_than_before_are_only_incomplete() {
    let mut scanner = scanner();
    assert_eq!(scanner.scan(b"*2\r\n$3\r\nfoo\r\n+abc"), Ok(None));
    assert_eq!(scanner.scan(b"*2"), Ok(None));
    assert_eq!(scanner.scan(b"*2\r\n$3\r\nfoo\r\n+abc\r\n"), Ok(Some(19)));
}

#[test]
fn malformed_bytes_are_named_by_place_and_expectation() {
    let cases: &[(&[u8], usize, &str)] = &[
        (b"x", 0, "no RESP type starts with 'x'"),
        (b"*1\r\nH", 4, "no RESP type starts with 'H'"),
        (b"\r\n", 0, "no RESP type starts with '\\r'"),
        (b"$3\r\nfooXY", 7, "expected CRLF behind the announced bytes"),
        (b"$3\r\nfoo\rx", 7, "expected CRLF behind the announced bytes"),
        (b"$3\n", 2, "expected a decimal length"),
        (b"$\r\n", 1, "expected a decimal length"),
        (b"$abc", 1, "expected a decimal length"),
        (b"$-2\r\n", 1, "expected a decimal length"),
        (b"$-0\r\n", 1, "expected a decimal length"),
        (b"$+3\r\n", 1, "expected a decimal length"),
        (b"%-1\r\n", 1, "expected a decimal length"),
        (b"!-1\r\n", 1, "expected a decimal length"),
        (b"*1\r\n$1x", 6, "expected a decimal length"),
        (b"*99999999999999999999", 20, "expected a decimal length"),
        (b":1.5\r\n", 2, "expected a 64-bit integer"),
        (b":x1\r\n", 1, "expected a 64-bit integer"),
        (b":--1\r\n", 2, "expected a 64-bit integer"),
        (b":\r\n", 1, "expected a 64-bit integer"),
        (b":9223372036854775808\r\n", 1, "expected a 64-bit integer"),
        (b"_x", 1, "expected nothing but CRLF in a null"),
        (b"#x", 1, "expected #t or #f"),
        (b"#tt", 2, "expected #t or #f"),
        (b",1,5\r\n", 1, "expected a decimal number"),
        (b"(12x\r\n", 1, "expected decimal digits"),
        (b"=3\r\ntxt\r\n", 0, "expected a verbatim string of at least 4 bytes"),
        (b"=7\r\ntxtaabc\r\n", 7, "expected a colon"),
        (b"$?\r\n", 1, "streamed"),
        (b"*?\r\n", 1, "streamed"),
        (b";4\r\n", 0, "streamed"),
    ];
    for &(bytes, offset, text) in cases {
        let error = error(bytes);
        let shown = error.to_string();
        assert!(shown.contains(text), "{shown}");
        assert_eq!(error.offset(), offset, "{shown}");
        assert!(!error.is_limit());
    }
}

#[test]
fn an_error_is_the_same_however_its_bytes_arrive() {
    for bytes in [&b"*2\r\n+a\r\n$3\r\nfooXY"[..], b"*2\r\n,1x\r\n", b"*1\r\n$-7\r\n", b"*1\r\n:1:"]
    {
        let whole = error(bytes);
        let mut scanner = scanner();
        let split = (0..=bytes.len()).find_map(|end| scanner.scan(&bytes[..end]).err()).unwrap();
        assert_eq!((split.kind(), split.offset()), (whole.kind(), whole.offset()));
        assert_eq!(scanner.scan(bytes).unwrap_err(), whole, "asked again, it says the same");
    }
}

#[test]
fn whoever_else_answers_on_the_port_is_named() {
    for alert in [&b"\x15\x03\x01\x00\x02\x02\x46"[..], b"\x15"] {
        assert!(error(alert).to_string().contains("the server speaks TLS here"));
    }
    let http = error(b"HTTP/1.1 400 Bad Request\r\n\r\n").to_string();
    assert!(http.contains("web server") && http.contains("HTTP/1.1 400"), "{http}");
}

#[test]
fn ten_thousand_levels_are_refused_and_the_limit_is_exact() {
    let deep = b"*1\r\n".repeat(10_000);
    assert_eq!(error(&deep).kind(), Kind::TooDeep { limit: 128 });
    let mixed = b"|1\r\n*1\r\n%1\r\n".repeat(10_000);
    assert_eq!(error(&mixed).kind(), Kind::TooDeep { limit: 128 });
    let bytes = [&b"*1\r\n".repeat(128)[..], b"*0\r\n"].concat();
    assert_eq!(scanner().scan(&bytes), Ok(Some(bytes.len())));
    let bytes = [&b"*1\r\n".repeat(129)[..], b"*0\r\n"].concat();
    assert_eq!(error(&bytes).kind(), Kind::TooDeep { limit: 128 });
    let mut boundless = Scanner::new(Limits { max_depth: usize::MAX, ..Limits::default() });
    let found = boundless.scan(&deep).unwrap_err().kind();
    assert_eq!(found, Kind::TooDeep { limit: MAX_DEPTH });
}

#[test]
fn ten_gigabytes_are_refused_at_their_announcement() {
    for (bytes, announced) in
        [(&b"$10737418240\r\n"[..], 10 << 30), (b"!10737418240\r\n", 10 << 30)]
    {
        let limit = Limits::default().max_bulk;
        assert_eq!(error(bytes).kind(), Kind::BulkTooLarge { announced, limit });
    }
    for (bytes, announced) in [
        (&b"*10737418240\r\n"[..], 10 << 30),
        (b"%10737418240\r\n", 20 << 30),
        (b"|18446744073709551615\r\n", u64::MAX),
    ] {
        let limit = Limits::default().max_elements;
        assert_eq!(error(bytes).kind(), Kind::TooManyElements { announced, limit });
        assert!(error(bytes).is_limit());
    }
}

#[test]
fn a_frame_that_adds_up_to_too_much_is_refused_before_it_is_read() {
    let limits = Limits { max_frame: 100, max_bulk: 60, ..Limits::default() };
    let fails = |bytes: &[u8]| Scanner::new(limits).scan(bytes).unwrap_err().kind();
    let bulk = [&b"*2\r\n$60\r\n"[..], &[b'x'; 60], b"\r\n$40\r\n"].concat();
    assert_eq!(fails(&bulk), Kind::FrameTooLarge { announced: 118, limit: 100 });
    assert_eq!(fails(b"*40\r\n"), Kind::FrameTooLarge { announced: 125, limit: 100 });
    let line = [&b"+"[..], &[b'x'; 60]].concat();
    assert_eq!(fails(&line), Kind::BulkTooLarge { announced: 61, limit: 60 });
    assert_eq!(
        fails(&[&line[..], b"\r\n"].concat()),
        Kind::BulkTooLarge { announced: 63, limit: 60 }
    );
    assert_eq!(fails(b"$61\r\n"), Kind::BulkTooLarge { announced: 61, limit: 60 });
}

#[test]
fn nothing_is_allocated_by_announcement() {
    let mut scanner = scanner();
    assert_eq!(scanner.scan(b"*100000000\r\n*100000000\r\n$500000000\r\n"), Ok(None));
    assert!(scanner.outer.capacity() < 16);
    assert_eq!(scanner.missing(), 500_000_002);
}

#[test]
fn work_is_linear_however_the_bytes_arrive() {
    let mut stream = b"*40\r\n".to_vec();
    for _ in 0..10 {
        stream.extend(b"$20000\r\n");
        stream.extend([b'\n'; 20_000]);
        stream.extend(b"\r\n+");
        stream.extend([b'x'; 20_000]);
        stream.extend(b"\r\n,1.25\r\n(");
        stream.extend([b'7'; 5_000]);
        stream.extend(b"\r\n");
    }
    for step in [1, 7, 1000, stream.len()] {
        let mut scanner = scanner();
        let mut end = 0;
        let mut calls = 0;
        let found = loop {
            calls += 1;
            if let Some(found) = scanner.scan(&stream[..end]).unwrap() {
                break found;
            }
            end = (end + step).min(stream.len());
        };
        assert_eq!(found, stream.len());
        // Every byte once, numbers twice, and a header again at each call that it is waited on.
        let bound = 2 * stream.len() + 24 * calls;
        assert!(scanner.visited <= bound, "{step}: {} > {bound}", scanner.visited);
    }
}
