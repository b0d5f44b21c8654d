use super::*;

fn inbox(messages: usize, bytes: usize) -> Inbox<u32> {
    let inbox = Inbox::new(Limits { messages, bytes });
    inbox.add_topic(true);
    inbox
}

/// Everything that can be read now, shortly.
fn read(inbox: &Inbox<u32>) -> String {
    let mut told = Vec::new();
    while let Poll::Ready(Some(received)) = inbox.poll(&mut Context::from_waker(Waker::noop())) {
        told.push(match received {
            Received::Message(n) => n.to_string(),
            Received::Interrupted => "interrupted".into(),
            Received::Resumed { .. } => "resumed".into(),
            Received::Dropped(n) => format!("{n} dropped"),
            Received::Refused(_) => "refused".into(),
        });
    }
    told.join(", ")
}

fn interrupt(inbox: &Inbox<u32>) {
    inbox.on_lost(Instant::now());
    inbox.on_confirmed();
}

fn push(inbox: &Inbox<u32>, messages: impl IntoIterator<Item = u32>) {
    messages.into_iter().for_each(|n| drop(inbox.push(n, 10)));
}

#[test]
fn the_oldest_messages_go_first_and_are_counted() {
    let inbox = inbox(3, 1000);
    push(&inbox, 0..5);
    assert_eq!(read(&inbox), "2 dropped, 2, 3, 4");
    push(&inbox, 5..7);
    assert_eq!((read(&inbox).as_str(), inbox.dropped()), ("5, 6", 2));
}

#[test]
fn bytes_are_a_limit_of_their_own_and_one_message_always_has_room() {
    let inbox = inbox(100, 25);
    push(&inbox, 0..3);
    assert_eq!(read(&inbox), "1 dropped, 1, 2");
    inbox.push(9, 1000);
    assert_eq!(read(&inbox), "9");
}

#[test]
fn a_gap_stands_where_it_happened() {
    let inbox = inbox(100, 1000);
    push(&inbox, [1]);
    interrupt(&inbox);
    push(&inbox, [2]);
    inbox.on_lost(Instant::now());
    assert_eq!(read(&inbox), "1, interrupted, resumed, 2, interrupted");
    inbox.on_confirmed();
    assert_eq!(read(&inbox), "resumed");
}

#[test]
fn interruptions_without_a_message_between_them_are_one() {
    let inbox = inbox(100, 1000);
    for _ in 0..1000 {
        interrupt(&inbox);
    }
    assert_eq!(read(&inbox), "interrupted, resumed");
    inbox.on_lost(Instant::now());
    assert_eq!(read(&inbox), "interrupted");
    inbox.on_confirmed();
    inbox.on_lost(Instant::now());
    assert_eq!(read(&inbox), "", "it was told of the one that it takes this for");
    inbox.on_confirmed();
    assert_eq!(read(&inbox), "resumed");
}

#[test]
fn a_gap_outlives_the_messages_around_it() {
    let inbox = inbox(1, 1000);
    for n in 0..100 {
        push(&inbox, [n]);
        interrupt(&inbox);
    }
    push(&inbox, [100]);
    assert_eq!(read(&inbox), "100 dropped, interrupted, resumed, 100");
}

#[test]
fn a_gap_lasts_until_the_last_channel_is_confirmed_and_from_the_first_that_was_lost() {
    let inbox = inbox(100, 1000);
    inbox.add_topic(true);
    let began = Instant::now().checked_sub(Duration::from_secs(7)).unwrap();
    inbox.on_lost(began);
    inbox.on_lost(began);
    inbox.on_confirmed();
    push(&inbox, [1]);
    assert_eq!(read(&inbox), "interrupted, 1", "the other channel is still missing");
    inbox.on_confirmed();
    let next = inbox.poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Some(Received::Resumed { after })) = next else { panic!("{next:?}") };
    assert!(after >= Duration::from_secs(7), "{after:?}");
}

#[test]
fn a_stream_ends_when_nothing_is_listened_to_and_goes_on_when_something_is() {
    let inbox = inbox(100, 1000);
    push(&inbox, [1]);
    inbox.remove_topic(true);
    assert_eq!(read(&inbox), "1");
    let context = &mut Context::from_waker(Waker::noop());
    assert!(matches!(inbox.poll(context), Poll::Ready(None)));
    inbox.add_topic(true);
    assert!(inbox.poll(context).is_pending());
}
