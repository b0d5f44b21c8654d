//! MULTI … EXEC as one request with several replies: counts them, and makes one of them. What that one leads to is decided as for any
//! other request.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use bytes::Bytes;
use redial_resp::Frame;

/// A transaction may be sent again after its replies came, or never get one, so those that are over are looked for, at this many first.
const FIRST_SWEEP: usize = 64;

/// The transactions of a link that are not answered yet.
#[derive(Debug)]
pub(super) struct Transactions {
    /// How many commands each has, MULTI and EXEC included.
    commands: BTreeMap<NonZeroU64, u32>,
    sweep_at: usize,
    /// The one whose replies are coming in.
    current: Option<Gathering>,
}

#[derive(Debug)]
struct Gathering {
    seq: NonZeroU64,
    /// Replies that came.
    replies: u32,
    /// MULTI was refused.
    no_multi: Option<Frame>,
    /// What followed it was not refused in the same words: it ran, one by one.
    ran_alone: bool,
    /// The first refusal of a command that was to be queued.
    refusal: Option<Frame>,
}

/// What a reply makes of the transaction.
#[derive(Debug)]
pub(super) enum Gathered {
    /// More are to come.
    Incomplete,
    /// What EXEC answered; or why it ran nothing.
    Reply(Frame),
    /// The commands ran outside of a transaction, since MULTI was refused.
    Unprotected(String),
}

impl Default for Transactions {
    fn default() -> Self {
        Self { commands: BTreeMap::new(), sweep_at: FIRST_SWEEP, current: None }
    }
}

impl Transactions {
    /// Notes a transaction of this many commands, MULTI and EXEC included. `is_there` tells those that may still be answered.
    pub(super) fn note(
        &mut self,
        seq: NonZeroU64,
        commands: u32,
        is_there: impl Fn(NonZeroU64) -> bool,
    ) {
        self.commands.insert(seq, commands);
        if self.commands.len() >= self.sweep_at {
            self.commands.retain(|seq, _| is_there(*seq));
            self.sweep_at = (2 * self.commands.len()).max(FIRST_SWEEP);
        }
    }

    /// How many commands a transaction has.
    pub(super) fn commands_of(&self, seq: NonZeroU64) -> Option<u32> {
        self.commands.get(&seq).copied()
    }

    /// The connection is another: replies begin anew.
    pub(super) fn reset(&mut self) {
        self.current = None;
    }

    /// Takes the next reply, which belongs to the transaction `seq`.
    pub(super) fn gather(&mut self, seq: NonZeroU64, frame: Frame) -> Gathered {
        let fresh = Gathering { seq, replies: 0, no_multi: None, ran_alone: false, refusal: None };
        let current = match self.current.take() {
            Some(current) if current.seq == seq => current,
            _ => fresh,
        };
        let current = self.current.insert(current);
        current.replies += 1;
        let is_last = self.commands.get(&seq).is_none_or(|commands| current.replies >= *commands);
        if !is_last {
            let is_refused = frame.error().is_some();
            if let Some(no_multi) = &current.no_multi {
                current.ran_alone |= no_multi.as_bytes() != frame.as_bytes();
            } else if is_refused && current.replies == 1 {
                current.no_multi = Some(frame);
            } else if is_refused && current.refusal.is_none() {
                current.refusal = Some(frame);
            }
            return Gathered::Incomplete;
        }
        match self.current.take() {
            Some(Gathering { no_multi: Some(refusal), ran_alone, .. })
                if ran_alone || frame.error().is_none() =>
            {
                let text = refusal.error().map(|error| error.to_string());
                Gathered::Unprotected(text.unwrap_or_default())
            }
            Some(Gathering { no_multi: Some(refusal), .. }) => Gathered::Reply(refusal),
            Some(Gathering { refusal, .. }) => Gathered::Reply(cause_of(frame, refusal)),
            None => Gathered::Reply(frame),
        }
    }
}

/// What stands behind an EXEC that ran nothing: the refusal of a command that was to be queued, or what EXEC says itself (redis' multi.c,
/// `execCommandAbort`; 6.2 puts a role that changed in words of its own).
fn cause_of(exec: Frame, refusal: Option<Frame>) -> Frame {
    let Some(error) = exec.error() else { return exec };
    let text = error.to_string();
    if let Some(cause) = text.strip_prefix("EXECABORT Transaction discarded because of: ") {
        return Frame::from_scanned(Bytes::from(format!("-{cause}\r\n")));
    }
    if text.contains("instance is now a read-only replica. EXEC aborted") {
        let readonly = "-READONLY You can't write against a read only replica.\r\n";
        return Frame::from_scanned(Bytes::from_static(readonly.as_bytes()));
    }
    refusal.unwrap_or(exec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str) -> Frame {
        Frame::from_scanned(Bytes::from_static(text.as_bytes()))
    }

    /// What the replies of a transaction of so many amount to.
    fn gathered(replies: &[&'static str]) -> Gathered {
        let seq = NonZeroU64::MIN;
        let mut transactions = Transactions::default();
        transactions.note(seq, replies.len() as u32, |_| true);
        let (last, first) = replies.split_last().unwrap();
        for reply in first {
            assert!(matches!(transactions.gather(seq, frame(reply)), Gathered::Incomplete));
        }
        transactions.gather(seq, frame(last))
    }

    fn text(gathered: Gathered) -> String {
        match gathered {
            Gathered::Reply(frame) => String::from_utf8_lossy(frame.as_bytes()).into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_reply_is_that_of_exec_or_the_first_refusal_before_it() {
        let abort = "-EXECABORT Transaction discarded because of previous errors.\r\n";
        let cases: &[(&[&'static str], &str)] = &[
            (&["+OK\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n"], "*1\r\n:1\r\n"),
            (&["+OK\r\n", "-READONLY a\r\n", "-ERR b\r\n", abort], "-READONLY a\r\n"),
            (&["+OK\r\n", "+QUEUED\r\n", abort], abort),
            (
                &[
                    "+OK\r\n",
                    "+QUEUED\r\n",
                    "-EXECABORT Transaction discarded because of: READONLY x\r\n",
                ],
                "-READONLY x\r\n",
            ),
        ];
        for (replies, expected) in cases {
            assert_eq!(text(gathered(replies)), *expected);
        }
        assert!(text(gathered(&[
            "+OK\r\n",
            "+QUEUED\r\n",
            "-ERR Transaction contained write commands but instance is now a read-only replica. EXEC aborted.\r\n",
        ]))
        .starts_with("-READONLY"));
    }

    #[test]
    fn commands_behind_a_multi_that_was_refused_ran_unprotected() {
        let replies = &["-NOPERM no\r\n", ":1\r\n", "-ERR EXEC without MULTI\r\n"];
        assert!(
            matches!(gathered(replies), Gathered::Unprotected(text) if text.starts_with("NOPERM"))
        );
    }

    #[test]
    fn a_new_connection_begins_anew_and_what_was_never_answered_is_forgotten() {
        let seq = |n| NonZeroU64::new(n).unwrap();
        let mut transactions = Transactions::default();
        transactions.note(seq(1), 3, |_| true);
        assert!(matches!(transactions.gather(seq(1), frame("+OK\r\n")), Gathered::Incomplete));
        transactions.reset();
        for reply in ["+OK\r\n", "+QUEUED\r\n"] {
            assert!(matches!(transactions.gather(seq(1), frame(reply)), Gathered::Incomplete));
        }
        assert!(matches!(transactions.gather(seq(1), frame("*1\r\n:1\r\n")), Gathered::Reply(_)));
        // Refused and sent again, it has as many replies as before.
        assert!(matches!(transactions.gather(seq(1), frame("+OK\r\n")), Gathered::Incomplete));
        for n in 2..1000 {
            transactions.note(seq(n), 3, |seq| seq.get() > 990);
        }
        assert!(transactions.commands.len() < 2 * FIRST_SWEEP);
    }
}
