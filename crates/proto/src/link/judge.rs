//! The table of DESIGN §4: given what is known of the old connection and what a probe found, what to do. Nothing here has state.

use std::time::Duration;

use crate::connection::handshake::{OldListed, Pong};

/// What is known of the connection that a probe may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// There is none: it was lost, or never was.
    Gone,
    /// Nothing was read for this long; `retransmitting`: the kernel has sent the same data again and again.
    Silent { since: Duration, retransmitting: bool },
    /// It spoke while the probe was under way.
    Speaking,
    /// It refused a write as a replica does.
    Demoted,
    /// It serves, and a hint has raised the question who is behind the endpoint.
    Asked,
    /// It serves, and has said that it will be gone.
    Leaving,
}

/// How the probe's server relates to the old connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Same,
    Another,
    /// One of the two hides it.
    Unknown,
}

/// What the probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) identity: Identity,
    /// The role is the wanted one, or hidden.
    pub(crate) role_fits: bool,
    pub(crate) pong: Pong,
    pub(crate) old: OldListed,
}

/// What to do with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Put the probe in the old one's place, and drop that with a RST.
    Adopt,
    /// The same, but first end the old one on the server.
    AdoptFenced,
    /// Let what is in flight on the old one finish, then adopt.
    MoveOver,
    /// Drop the probe; the old one is fine.
    Recover,
    /// Keep both, and ask again later.
    KeepBoth,
    /// The probe is of no use; keep probing.
    Useless(&'static str),
}

/// The table, row by row.
pub(crate) fn judge(old: Old, found: Found, condemn_after: Duration) -> Verdict {
    use Identity::{Another, Same, Unknown};
    if old == Old::Speaking && found.identity != Another {
        return Verdict::Recover;
    }
    if !found.role_fits {
        return Verdict::Useless("the server there is a replica, and a primary is wanted");
    }
    if found.pong == Pong::Loading {
        return Verdict::Useless("the server there is loading its data");
    }
    if found.pong == Pong::Busy {
        // It lives, and serves nobody for now; INFO is refused too, so that it may be the same server without saying so.
        return Verdict::KeepBoth;
    }
    match (old, found.identity) {
        (Old::Gone, _) => Verdict::Adopt,
        (_, Another) if found.pong != Pong::Well => {
            Verdict::Useless("the server there answers PING with an error")
        }
        (Old::Leaving, _) if found.pong != Pong::Well => {
            Verdict::Useless("the server there answers PING with an error")
        }
        (Old::Silent { .. }, Another) => Verdict::Adopt,
        // By another way it may be the same: what goes away is the endpoint.
        (Old::Leaving, _) | (Old::Asked, Another) => Verdict::MoveOver,
        (Old::Asked, _) => Verdict::Recover,
        (Old::Speaking | Old::Demoted, Another) | (Old::Demoted, Unknown) => Verdict::MoveOver,
        // Speaking and not another server was decided above.
        (Old::Speaking, _) | (Old::Demoted, Same) => Verdict::Recover,
        (Old::Silent { retransmitting: true, .. }, Unknown) => Verdict::Adopt,
        (Old::Silent { retransmitting: true, .. }, Same) => Verdict::AdoptFenced,
        (Old::Silent { .. }, Same) if found.old == OldListed::Gone => Verdict::AdoptFenced,
        // Proof of life: the server says itself why the old connection is silent.
        (Old::Silent { .. }, Same) if found.old == OldListed::Blocked => Verdict::KeepBoth,
        (Old::Silent { since, .. }, Same) if since >= condemn_after => Verdict::AdoptFenced,
        (Old::Silent { since, .. }, Unknown) if since >= condemn_after => Verdict::Adopt,
        (Old::Silent { .. }, Same | Unknown) => Verdict::KeepBoth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(15);

    fn silent(secs: u64) -> Old {
        Old::Silent { since: Duration::from_secs(secs), retransmitting: false }
    }

    const DEAD_PATH: Old = Old::Silent { since: Duration::from_secs(1), retransmitting: true };

    fn found(identity: Identity) -> Found {
        Found { identity, role_fits: true, pong: Pong::Well, old: OldListed::There }
    }

    fn verdict(old: Old, found: Found) -> Verdict {
        judge(old, found, LIMIT)
    }

    #[test]
    fn a_silent_connection_gives_way_to_another_server_that_answers() {
        assert_eq!(verdict(silent(1), found(Identity::Another)), Verdict::Adopt);
        assert_eq!(verdict(DEAD_PATH, found(Identity::Another)), Verdict::Adopt);
    }

    #[test]
    fn the_same_server_is_slow_unless_there_is_evidence() {
        let same = found(Identity::Same);
        assert_eq!(verdict(silent(14), same), Verdict::KeepBoth);
        assert_eq!(verdict(silent(15), same), Verdict::AdoptFenced);
        assert_eq!(verdict(DEAD_PATH, same), Verdict::AdoptFenced);
        assert_eq!(
            verdict(silent(1), Found { old: OldListed::Gone, ..same }),
            Verdict::AdoptFenced
        );
        assert_eq!(
            verdict(silent(60), Found { old: OldListed::Blocked, ..same }),
            Verdict::KeepBoth
        );
        assert_eq!(verdict(silent(60), Found { pong: Pong::Busy, ..same }), Verdict::KeepBoth);
        assert_eq!(
            verdict(silent(14), Found { old: OldListed::Unknown, ..same }),
            Verdict::KeepBoth
        );
    }

    #[test]
    fn a_server_that_hides_its_identity_is_never_fenced() {
        let unknown = found(Identity::Unknown);
        assert_eq!(verdict(silent(14), unknown), Verdict::KeepBoth);
        assert_eq!(verdict(silent(15), unknown), Verdict::Adopt);
        assert_eq!(verdict(DEAD_PATH, unknown), Verdict::Adopt);
        assert_eq!(verdict(Old::Demoted, unknown), Verdict::MoveOver);
    }

    #[test]
    fn nothing_better_exists_while_the_role_is_wrong_or_the_data_is_loading() {
        for old in [Old::Gone, silent(60), DEAD_PATH, Old::Demoted, Old::Asked, Old::Leaving] {
            for identity in [Identity::Same, Identity::Another, Identity::Unknown] {
                let replica = Found { role_fits: false, ..found(identity) };
                assert!(matches!(verdict(old, replica), Verdict::Useless(_)), "{old:?}");
                let loading = Found { pong: Pong::Loading, ..found(identity) };
                assert!(matches!(verdict(old, loading), Verdict::Useless(_)), "{old:?}");
            }
        }
    }

    #[test]
    fn a_connection_that_speaks_stays_unless_another_server_leads() {
        assert_eq!(verdict(Old::Speaking, found(Identity::Same)), Verdict::Recover);
        assert_eq!(verdict(Old::Speaking, found(Identity::Unknown)), Verdict::Recover);
        assert_eq!(
            verdict(Old::Speaking, Found { role_fits: false, ..found(Identity::Same) }),
            Verdict::Recover
        );
        assert_eq!(verdict(Old::Speaking, found(Identity::Another)), Verdict::MoveOver);
    }

    #[test]
    fn a_server_that_says_it_will_be_gone_is_left_for_any_that_serves() {
        for identity in [Identity::Same, Identity::Another, Identity::Unknown] {
            let there = found(identity);
            assert_eq!(verdict(Old::Leaving, there), Verdict::MoveOver, "{identity:?}");
            let other = Found { pong: Pong::Other, ..there };
            assert!(matches!(verdict(Old::Leaving, other), Verdict::Useless(_)));
            let replica = Found { role_fits: false, ..there };
            assert!(matches!(verdict(Old::Leaving, replica), Verdict::Useless(_)));
            let busy = Found { pong: Pong::Busy, ..there };
            assert_eq!(verdict(Old::Leaving, busy), Verdict::KeepBoth);
        }
    }

    #[test]
    fn a_hint_that_something_happened_moves_nothing_unless_another_server_leads() {
        assert_eq!(verdict(Old::Asked, found(Identity::Same)), Verdict::Recover);
        assert_eq!(verdict(Old::Asked, found(Identity::Unknown)), Verdict::Recover);
        assert_eq!(verdict(Old::Asked, found(Identity::Another)), Verdict::MoveOver);
        // The same server, demoted: where its successor will be is not known yet.
        let demoted = Found { role_fits: false, ..found(Identity::Same) };
        assert!(matches!(verdict(Old::Asked, demoted), Verdict::Useless(_)));
    }

    #[test]
    fn a_demoted_server_is_left_for_another_and_kept_if_it_is_primary_again() {
        assert_eq!(verdict(Old::Demoted, found(Identity::Another)), Verdict::MoveOver);
        assert_eq!(verdict(Old::Demoted, found(Identity::Same)), Verdict::Recover);
    }

    #[test]
    fn another_server_must_answer_ping_before_it_is_adopted() {
        let another = found(Identity::Another);
        assert_eq!(verdict(silent(1), Found { pong: Pong::Busy, ..another }), Verdict::KeepBoth);
        assert!(matches!(
            verdict(silent(1), Found { pong: Pong::Other, ..another }),
            Verdict::Useless(_)
        ));
    }

    #[test]
    fn with_no_connection_whatever_serves_is_taken() {
        for identity in [Identity::Same, Identity::Another, Identity::Unknown] {
            assert_eq!(verdict(Old::Gone, found(identity)), Verdict::Adopt);
            let busy = Found { pong: Pong::Busy, ..found(identity) };
            assert_eq!(verdict(Old::Gone, busy), Verdict::KeepBoth);
            assert_eq!(verdict(silent(60), busy), Verdict::KeepBoth);
        }
    }
}
