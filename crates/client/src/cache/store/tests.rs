use super::*;

const GET: &[u8] = b"GET k";

fn store(limits: Limits) -> Store {
    let store = Store::new(limits, Ask::default());
    confirm(&store);
    store
}

fn confirm(store: &Store) {
    let (kind, channel) = (redial_proto::SubscriptionKind::Invalidations, Vec::new());
    store.on_change(SubscriptionChange::Confirmed { kind, channel }, Instant::now(), &mut vec![]);
}

fn interrupt(store: &Store) {
    let since = redial_proto::Time::default();
    store.on_change(SubscriptionChange::Interrupted { since }, Instant::now(), &mut vec![]);
}

fn push(store: &Store, text: &'static str) {
    store.on_push(&Frame::from_scanned(Bytes::from_static(text.as_bytes())), &mut vec![]);
}

fn frame(text: &'static str) -> Reply {
    Ok(Frame::from_scanned(Bytes::from_static(text.as_bytes())))
}

fn find(store: &Store, command: &[u8]) -> Found {
    store.find(command, || Some(vec![Bytes::from_static(b"k")]))
}

/// The question that this command is.
fn ask(store: &Store, command: &[u8]) -> Question {
    match find(store, command) {
        Found::Missing(question) => question,
        found => panic!("{found:?}"),
    }
}

fn is_here(store: &Store, command: &[u8]) -> bool {
    matches!(find(store, command), Found::Here(_))
}

const INVALIDATE: &str = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";

#[test]
fn a_reply_is_kept_until_its_key_changes() {
    let store = store(Limits::default());
    ask(&store, GET).answer(&frame("+v\r\n"));
    assert!(is_here(&store, GET));
    push(&store, INVALIDATE);
    assert!(!is_here(&store, GET));
    let stats = store.stats();
    assert_eq!((stats.hits, stats.misses, stats.invalidations), (1, 2, 1));
    assert_eq!((stats.entries, stats.bytes), (0, 0));
}

#[test]
fn a_reply_whose_key_changed_while_it_was_under_way_is_not_kept() {
    let store = store(Limits::default());
    for change in [
        (|store| push(store, INVALIDATE)) as fn(&Store),
        |store| push(store, ">2\r\n$10\r\ninvalidate\r\n_\r\n"),
        |store| store.forget(b"k"),
        Store::clear,
        |store| {
            interrupt(store);
            confirm(store);
        },
    ] {
        let early = ask(&store, GET);
        change(&store);
        // Who asks now does not get the reply of who asked before.
        let late = ask(&store, GET);
        early.answer(&frame("+old\r\n"));
        assert!(matches!(find(&store, GET), Found::Asked(_)));
        late.answer(&frame("+new\r\n"));
        let Found::Here(kept) = find(&store, GET) else { panic!("it is kept") };
        assert_eq!(kept.decode::<String>().unwrap(), "new");
        store.clear();
    }
}

#[test]
fn nothing_is_kept_while_nothing_is_tracked() {
    let store = store(Limits::default());
    ask(&store, GET).answer(&frame("+v\r\n"));
    interrupt(&store);
    assert!(matches!(find(&store, GET), Found::Untracked));
    confirm(&store);
    assert!(matches!(find(&store, GET), Found::Missing(_)));
}

#[test]
fn one_asks_and_all_who_wait_hear_it_and_if_it_goes_away_another_asks() {
    let store = store(Limits::default());
    let question = ask(&store, GET);
    let Found::Asked(told) = find(&store, GET) else { panic!("one is enough") };
    drop(question);
    assert!(told.has_changed().is_err(), "nobody will answer");
    let question = ask(&store, GET);
    let Found::Asked(told) = find(&store, GET) else { panic!("one is enough") };
    question.answer(&frame("+v\r\n"));
    assert!(told.borrow().as_ref().is_some_and(Result::is_ok));
}

#[test]
fn errors_are_not_kept_and_nothing_for_longer_than_its_time() {
    let store = store(Limits { ttl: Duration::ZERO, ..Limits::default() });
    ask(&store, GET).answer(&frame("+v\r\n"));
    assert!(!is_here(&store, GET), "its time is over");
    ask(&self::store(Limits::default()), GET).answer(&frame("-WRONGTYPE no\r\n"));
    assert!(!is_here(&store, GET));
}

#[test]
fn what_was_not_used_goes_first_and_the_limits_hold() {
    let store = store(Limits { entries: 3, ..Limits::default() });
    let commands: Vec<_> = (0..100).map(|n| format!("GET {n}").into_bytes()).collect();
    for command in &commands {
        ask(&store, command).answer(&frame("+v\r\n"));
        assert!(store.stats().entries <= 3);
        if !command.ends_with(b" 0") {
            assert!(is_here(&store, &commands[0]), "it is used all the time");
        } else {
            is_here(&store, command);
        }
    }
    let small = self::store(Limits { bytes: 1000, ..Limits::default() });
    for command in &commands {
        ask(&small, command).answer(&frame("+v\r\n"));
        assert!(small.stats().bytes <= 1000);
    }
    assert_eq!(small.stats().entries, 4);
}

#[test]
fn a_key_that_changes_all_the_time_leaves_nothing_behind() {
    let store = store(Limits::default());
    for _ in 0..1000 {
        ask(&store, GET).answer(&frame("+v\r\n"));
        push(&store, INVALIDATE);
    }
    let state = lock(&store.0);
    assert!(state.order.len() < 100 && state.readers.is_empty() && state.entries.is_empty());
}
