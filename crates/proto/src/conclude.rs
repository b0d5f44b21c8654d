//! The one place that decides what becomes of a request: answered, sent again, or failed, and with which delivery.
//!
//! The rules are DESIGN §5; the server's answers that precede execution are those of `processCommand` in redis' `server.c`, in its
//! order: NOAUTH, NOPERM, MOVED/ASK/CLUSTERDOWN/TRYAGAIN, OOM, MISCONF, NOREPLICAS, READONLY, MASTERDOWN, LOADING, BUSY, pause, execute.

use std::time::Duration;

use redial_resp::Frame;

use crate::command::Class;
use crate::connection::backlog::Meta;
use crate::connection::fence::FenceReport;
use crate::delivery::{Delivery, Resend};
use crate::error::{Error, ErrorKind};
use crate::topology::Redirect;

/// Why a server refused a command that it would have run at another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectionCause {
    /// `-BUSY`: a script has been running for too long.
    Busy,
    /// `-CLUSTERDOWN`
    ClusterDown,
    /// `-LOADING`: the dataset is not in memory yet.
    Loading,
    /// `-MASTERDOWN`: a replica without its primary.
    MasterDown,
    /// `-NOREPLICAS`: fewer good replicas than `min-replicas-to-write`.
    NoReplicas,
    /// `-READONLY`: a replica.
    ReadOnly,
    /// `-TRYAGAIN`: keys on both sides of a migrating slot.
    TryAgain,
    /// `-UNBLOCKED`: the server's role changed under a blocking command.
    Unblocked,
}

impl RejectionCause {
    /// True if another server may take what this one refuses.
    pub(crate) const fn asks_for_another_server(self) -> bool {
        matches!(self, Self::MasterDown | Self::ReadOnly | Self::Unblocked)
    }

    /// True if this is how the server puts it (`shared.*` in redis' server.c, `createSharedObjects`).
    fn is_worded_by_server(self, message: &str) -> bool {
        let words = match self {
            Self::Busy => " is busy running a ",
            Self::ClusterDown => "",
            Self::Loading => " is loading the dataset",
            Self::MasterDown => "Link with MASTER is down",
            Self::NoReplicas => "Not enough good replicas to write",
            Self::ReadOnly if message.contains("Can not run script with write flag") => {
                return true;
            }
            Self::ReadOnly => "You can't write against a read only replica",
            Self::TryAgain => "Multiple keys request during rehashing of slot",
            Self::Unblocked => "force unblock from blocking operation",
        };
        message.contains(words)
    }

    /// True if it is one slot that the server refuses, and others are served: TRYAGAIN, and "Hash slot not served". A cluster that is down is down for
    /// all of a node's slots.
    pub(crate) fn is_of_slot(self, message: &str) -> bool {
        match self {
            Self::TryAgain => true,
            Self::ClusterDown => !message.starts_with("The cluster is down"),
            _ => false,
        }
    }

    /// How long requests wait for this cause to pass, inside their deadlines. A failover, a script and a loading server come to an end;
    /// too few replicas or a broken cluster may last, and then it is better to hear of it soon than to fill the queue.
    pub(crate) const fn longest_wait(self) -> Option<Duration> {
        match self {
            Self::NoReplicas => Some(Duration::from_secs(1)),
            Self::ClusterDown | Self::TryAgain => Some(Duration::from_secs(2)),
            _ => None,
        }
    }
}

/// What a reply does to its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OnReply {
    Answer,
    SendAgain(RejectionCause),
    /// It may not be sent again, but what it says of the server counts all the same.
    Refused(RejectionCause),
    /// An error out of a script that had begun: it may have done something before.
    Partial(RejectionCause),
    /// Another server takes it.
    Redirect(Redirect),
}

/// How a server puts it that somebody wanted a blocked client to hear an error (`clientCommand` in redis' networking.c).
const BY_HAND: &str = "client unblocked via CLIENT UNBLOCK";

/// Judges an error reply. Other replies are answers.
pub(crate) fn on_error_reply(class: Class, resend: Resend, frame: &Frame) -> OnReply {
    let Some(error) = frame.error() else { return OnReply::Answer };
    let cause = match error.code() {
        "BUSY" => RejectionCause::Busy,
        "CLUSTERDOWN" => RejectionCause::ClusterDown,
        "LOADING" => RejectionCause::Loading,
        "MASTERDOWN" => RejectionCause::MasterDown,
        "NOREPLICAS" => RejectionCause::NoReplicas,
        "READONLY" => RejectionCause::ReadOnly,
        "TRYAGAIN" => RejectionCause::TryAgain,
        // WAIT's write is done; what is unknown is only who has it.
        "MOVED" | "ASK" => {
            return redirect(error.code() == "ASK", &error.message())
                .map_or(OnReply::Answer, OnReply::Redirect);
        }
        // CLIENT UNBLOCK … ERROR is meant for the caller, and says nothing of the server.
        "UNBLOCKED" if error.message().contains(BY_HAND) => return OnReply::Answer,
        "UNBLOCKED" if !class.is(Class::WAITS) => RejectionCause::Unblocked,
        _ => return OnReply::Answer,
    };
    // A script may give errors of its own that begin alike; only the server's own words say that nothing ran.
    if class.is(Class::SCRIPT) && !cause.is_worded_by_server(&error.message()) {
        return OnReply::Answer;
    }
    // A script that published and then wrote on a replica has published. Redis 6.2 puts the code behind a text of its own, which makes it
    // an ordinary answer; later versions put " script: <sha>" behind the code's text.
    if class.is(Class::SCRIPT) && error.message().contains(" script: ") {
        return OnReply::Partial(cause);
    }
    if resend == Resend::Never { OnReply::Refused(cause) } else { OnReply::SendAgain(cause) }
}

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// Reads `MOVED <slot> <host>:<port>` or `ASK …`: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#redirection-and-resharding>.
fn redirect(is_once: bool, message: &str) -> Option<Redirect> {
    let mut words = message.split_ascii_whitespace();
    let slot = words.next()?.parse().ok().filter(|slot| *slot < SLOTS)?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    Some(Redirect { slot, host: host.to_owned(), port, is_once })
}

/// The same from the whole text of an error.
pub(crate) fn redirect_of(text: &str) -> Option<Redirect> {
    let (code, message) = text.split_once(' ')?;
    redirect(code == "ASK", message)
}

/// What a lost connection does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLoss {
    /// Goes on with the next connection; if it fails meanwhile, this is what is known of it.
    SendAgain {
        delivery: Delivery,
        costs_budget: bool,
    },
    Fail(Delivery),
    /// It would be sent again, but it has cost so many connections that it is taken for the cause.
    GiveUp(Delivery),
}

/// A request that so many connections in a row were lost with is sent with nothing beside it: if it is what makes the server close them (a reply beyond
/// `client-output-buffer-limit`, a command beyond `client-query-buffer-limit`), others are not to pay for it.
pub(crate) const ALONE_AFTER: u8 = 3;

/// Of what was in flight, only so many of the oldest can be the cause: a server reads 16 KiB at a time and answers in order. And where a network flaps, so many at
/// the most go one by one.
pub(crate) const MOST_SUSPECTED: usize = 1000;

/// One that two connections more were lost with is given up.
const MOST_LOSSES: u8 = ALONE_AFTER + 2;

/// Judges a request whose connection is lost. `handed_over`: its last byte was given to the kernel; `end`: its end in the stream.
pub(crate) fn on_loss(meta: &Meta, handed_over: bool, end: u64, fence: FenceReport) -> OnLoss {
    let delivery = match fence {
        _ if !handed_over => Delivery::NotSent,
        FenceReport::TakenUpTo(taken) if end <= taken => Delivery::Ran,
        FenceReport::TakenUpTo(_) => Delivery::NotSent,
        FenceReport::Silent => Delivery::Unknown,
    };
    // What an earlier connection left unknown stays unknown, whatever became of it on this one.
    let reported = meta.delivery.or_unknown(delivery);
    let harmless = match (delivery, meta.resend) {
        (_, Resend::Never) => false,
        (Delivery::NotSent, _) | (_, Resend::Always) => true,
        (_, Resend::Safe) => meta.class.is(Class::READ),
        (_, Resend::Idempotent) => meta.class.is(Class::READ) || meta.class.is(Class::IDEMPOTENT),
    };
    if harmless && meta.losses >= MOST_LOSSES {
        OnLoss::GiveUp(reported)
    } else if harmless {
        OnLoss::SendAgain { delivery: reported, costs_budget: delivery != Delivery::NotSent }
    } else {
        OnLoss::Fail(reported)
    }
}

/// The error of a request that a lost connection leaves behind.
pub(crate) fn lost(delivery: Delivery, cause: &str) -> Error {
    Error::new(
        ErrorKind::Disconnected,
        delivery,
        format!("the connection was lost while the command was in flight: {cause}"),
    )
}

/// The error of a request that is taken for the cause.
pub(crate) fn given_up(delivery: Delivery, cause: &str) -> Error {
    let text = format!(
        "{MOST_LOSSES} connections were lost with the command in flight, the last of them with nothing beside it. A server closes a connection whose reply is \
         larger than client-output-buffer-limit, or whose command is larger than client-query-buffer-limit: {cause}"
    );
    Error::new(ErrorKind::Disconnected, delivery, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::backlog::Owner;
    use bytes::Bytes;

    fn reply(class: Class, line: &str) -> OnReply {
        let frame = Frame::from_scanned(Bytes::from(format!("{line}\r\n")));
        on_error_reply(class, Resend::Safe, &frame)
    }

    fn meta(class: Class, resend: Resend) -> Meta {
        Meta {
            owner: Owner::Caller,
            class,
            resend,
            delivery: Delivery::NotSent,
            redirects: 0,
            losses: 0,
        }
    }

    #[test]
    fn what_precedes_execution_is_sent_again_and_other_errors_are_answers() {
        use RejectionCause as C;
        for (line, expected) in [
            (
                "-READONLY You can't write against a read only replica.",
                OnReply::SendAgain(C::ReadOnly),
            ),
            ("-LOADING Redis is loading the dataset in memory", OnReply::SendAgain(C::Loading)),
            ("-MASTERDOWN Link with MASTER is down", OnReply::SendAgain(C::MasterDown)),
            ("-NOREPLICAS Not enough good replicas to write.", OnReply::SendAgain(C::NoReplicas)),
            ("-CLUSTERDOWN The cluster is down", OnReply::SendAgain(C::ClusterDown)),
            (
                "-TRYAGAIN Multiple keys request during rehashing of slot",
                OnReply::SendAgain(C::TryAgain),
            ),
            ("-BUSY Redis is busy running a script.", OnReply::SendAgain(C::Busy)),
            ("-UNBLOCKED force unblock from blocking operation", OnReply::SendAgain(C::Unblocked)),
            ("-UNBLOCKED client unblocked via CLIENT UNBLOCK", OnReply::Answer),
            ("-WRONGTYPE Operation against a key", OnReply::Answer),
            ("-OOM command not allowed", OnReply::Answer),
            ("-READONLYISH no such code", OnReply::Answer),
            ("+OK", OnReply::Answer),
        ] {
            assert_eq!(reply(Class::default(), line), expected, "{line}");
        }
    }

    #[test]
    fn a_redirect_that_leads_nowhere_is_an_answer() {
        let to = |host: &str, port| {
            OnReply::Redirect(Redirect { slot: 7, host: host.into(), port, is_once: false })
        };
        for (line, expected) in [
            ("-MOVED 7 h:1", to("h", 1)),
            ("-MOVED 7 :1", to("", 1)),
            ("-MOVED 7 ?:1", to("?", 1)),
            ("-MOVED 7 [::1]:1", to("::1", 1)),
            ("-MOVED 7 ::1:1", to("::1", 1)),
            ("-MOVED 7 h:0", OnReply::Answer),
            ("-MOVED 7 h:-1", OnReply::Answer),
            ("-MOVED 7 h:70000", OnReply::Answer),
            ("-MOVED 16384 h:1", OnReply::Answer),
            ("-MOVED -1 h:1", OnReply::Answer),
            ("-MOVED 7 h", OnReply::Answer),
            ("-MOVED", OnReply::Answer),
        ] {
            assert_eq!(reply(Class::default(), line), expected, "{line}");
        }
    }

    #[test]
    fn an_error_out_of_a_script_that_had_begun_is_not_sent_again() {
        let line = "-READONLY You can't write against a read only replica. script: abc, on @user_script:1.";
        assert_eq!(reply(Class::SCRIPT, line), OnReply::Partial(RejectionCause::ReadOnly));
        let up_front = "-READONLY You can't write against a read only replica.";
        assert_eq!(reply(Class::SCRIPT, up_front), OnReply::SendAgain(RejectionCause::ReadOnly));
    }

    #[test]
    fn an_error_that_a_script_gives_itself_is_its_answer() {
        for line in ["-BUSY the lock is held", "-TRYAGAIN later", "-READONLY this is mine"] {
            assert_eq!(reply(Class::SCRIPT, line), OnReply::Answer, "{line}");
        }
        let server = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL.";
        assert_eq!(reply(Class::SCRIPT, server), OnReply::SendAgain(RejectionCause::Busy));
    }

    #[test]
    fn wait_that_was_unblocked_is_an_answer_since_the_write_is_done() {
        assert_eq!(reply(Class::WAITS, "-UNBLOCKED force unblock"), OnReply::Answer);
    }

    #[test]
    fn only_what_is_harmless_under_the_policy_is_sent_again_after_a_loss() {
        let write = Class::default();
        let again =
            |delivery| OnLoss::SendAgain { delivery, costs_budget: delivery != Delivery::NotSent };
        for (class, resend, handed_over, expected) in [
            (write, Resend::Safe, true, OnLoss::Fail(Delivery::Unknown)),
            (write, Resend::Safe, false, again(Delivery::NotSent)),
            (write, Resend::Never, false, OnLoss::Fail(Delivery::NotSent)),
            (Class::READ, Resend::Safe, true, again(Delivery::Unknown)),
            (Class::READ, Resend::Never, true, OnLoss::Fail(Delivery::Unknown)),
            (Class::IDEMPOTENT, Resend::Safe, true, OnLoss::Fail(Delivery::Unknown)),
            (Class::IDEMPOTENT, Resend::Idempotent, true, again(Delivery::Unknown)),
            (write, Resend::Idempotent, true, OnLoss::Fail(Delivery::Unknown)),
            (write, Resend::Always, true, again(Delivery::Unknown)),
        ] {
            let verdict = on_loss(&meta(class, resend), handed_over, 10, FenceReport::Silent);
            assert_eq!(verdict, expected, "{class:?} {resend:?} {handed_over}");
        }
    }

    #[test]
    fn the_fence_turns_unknown_into_ran_or_not_sent_at_the_exact_byte() {
        let meta = meta(Class::default(), Resend::Safe);
        let at = |taken| on_loss(&meta, true, 10, FenceReport::TakenUpTo(taken));
        assert_eq!(at(10), OnLoss::Fail(Delivery::Ran));
        assert_eq!(at(9), OnLoss::SendAgain { delivery: Delivery::NotSent, costs_budget: false });
    }
}
