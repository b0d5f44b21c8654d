//! What the core must know of a command before it sends it: what it does to connection state, whether it blocks, and whether it may
//! be sent twice. Names come from [`names`]; everything not in it counts as a write that must not be repeated.

mod blocking;
mod idempotent;
mod keys;
mod names;
mod spread;
mod table;
mod target;

use redial_resp::Command;

pub(crate) use blocking::{BlockingTimeout, blocking_timeout, with_time_left};
pub use idempotent::is_idempotent;
pub use keys::{key_positions, keys_of, slot, tag_beside, written_keys};
pub use spread::{Merge, Part, Spread, gather, spread};
pub(crate) use target::slot_of;

use crate::error::Error;

/// Properties of a command, as far as they follow from its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class(u16);

impl Class {
    /// Changes no data: may be sent again after anything.
    pub const READ: Self = Self(1);
    /// Leaves the same data when it runs twice, given harmless options.
    pub const IDEMPOTENT: Self = Self(1 << 1);
    /// May make the server hold the connection until something happens.
    pub const BLOCKING: Self = Self(1 << 2);
    /// Runs code on the server: an error out of it does not prove that nothing ran.
    pub const SCRIPT: Self = Self(1 << 3);
    /// Changes what the connection stands on, or turns it into something else.
    pub const STATE: Self = Self(1 << 4);
    /// Its meaning is in its second word, so its name alone says nothing.
    pub const CONTAINER: Self = Self(1 << 5);
    /// Waits for replicas: an UNBLOCKED does not mean that nothing happened.
    pub const WAITS: Self = Self(1 << 6);
    /// MULTI … EXEC: one request, several replies.
    pub const TRANSACTION: Self = Self(1 << 7);
    /// May concern several nodes ([`spread`]).
    pub const SPREAD: Self = Self(1 << 9);
    /// ASKING stands in front: one more reply comes first.
    pub(crate) const ASKING: Self = Self(1 << 8);
    /// SCRIPT KILL, FUNCTION KILL: servers run it while a script keeps them busy, so it does not wait for the script's end with the others.
    pub(crate) const ENDS_SCRIPTS: Self = Self(1 << 11);
    /// For one node, not for whoever has a key: it goes to no other.
    pub(crate) const OF_NODE: Self = Self(1 << 10);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if all of `other` holds.
    #[must_use]
    pub const fn is(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What holds for a transaction of this and another command.
    #[must_use]
    pub fn in_transaction_with(self, other: Self) -> Self {
        let all = Self::READ.or(Self::IDEMPOTENT).0;
        // A command that only reads leaves the same data too.
        let harmless = |class: Self| if class.is(Self::READ) { all } else { class.0 & all };
        Self(harmless(self) & harmless(other)).or(Self::TRANSACTION)
    }

    /// The same, for a command whose options make its second run differ ([`crate::is_idempotent`]).
    #[must_use]
    pub const fn without_idempotent(self) -> Self {
        Self(self.0 & !Self::IDEMPOTENT.0)
    }

    /// True if it changes nothing, and waits for nothing.
    pub(crate) const fn only_reads(self) -> bool {
        self.is(Self::READ) && !self.is(Self::BLOCKING)
    }

    /// True if it is answered with more than one reply.
    #[inline]
    pub(crate) const fn has_own_ways(self) -> bool {
        self.0 & (Self::TRANSACTION.0 | Self::ASKING.0) != 0
    }

    #[must_use]
    pub(crate) const fn without_asking(self) -> Self {
        Self(self.0 & !Self::ASKING.0)
    }

    /// What the name of this command says of it.
    #[must_use]
    #[inline]
    pub fn of(command: &Command) -> Self {
        let short = command.short_name().map(table::lookup_short);
        let class = short.unwrap_or_else(|| table::lookup(command.name()));
        if class.is(Self::CONTAINER) {
            return command
                .args()
                .nth(1)
                .map_or_else(Self::default, |second| table::lookup_second(command.name(), second))
                .or(Self::CONTAINER);
        }
        class
    }
}

/// A request's bytes, as they are handed in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    Command(&'a Command),
    Encoded(&'a [u8]),
}

impl Body<'_> {
    /// What its name says; of several commands, none of which blocks, what holds for all of them.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Command(command) => Class::of(command),
            Self::Encoded(bytes) => target::class_of_encoded(bytes),
        }
    }

    pub(crate) fn encoded_len(self) -> usize {
        match self {
            Self::Command(command) => command.encoded_len(),
            Self::Encoded(bytes) => bytes.len(),
        }
    }
}

/// Refuses what can't be sent on a shared connection, and says what kind of command the rest is.
///
/// # Errors
/// It changes connection state, or an argument is too large. Delivery: NotSent.
#[inline]
pub fn check(command: &Command) -> Result<Class, Error> {
    let class = Class::of(command);
    if class.is(Class::STATE) {
        refuse_state(command, class)?;
    }
    match command.too_large() {
        Some(text) => Err(Error::invalid(text.to_string())),
        None => Ok(class),
    }
}

/// As [`check`], for a connection that one caller has for itself: it may set state there, but not turn the connection into something else.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_dedicated(command: &Command) -> Result<Class, Error> {
    let name = command.name().to_ascii_uppercase();
    let second = command.args().nth(1).map(<[u8]>::to_ascii_uppercase).unwrap_or_default();
    let class = match (name.as_slice(), second.as_slice()) {
        (b"WAIT" | b"WAITAOF", _) => Class::BLOCKING.or(Class::WAITS),
        (b"WATCH" | b"UNWATCH" | b"SELECT", _)
        | (b"CLIENT", b"NO-EVICT" | b"NO-TOUCH" | b"SETNAME" | b"SETINFO") => Class::default(),
        _ => return check(command),
    };
    match command.too_large() {
        Some(text) => Err(Error::invalid(text.to_string())),
        None => Ok(class),
    }
}

/// Refuses what would change the state that every other caller of a shared connection stands on.
fn refuse_state(command: &Command, class: Class) -> Result<(), Error> {
    if !class.is(Class::STATE) {
        return Ok(());
    }
    let name = String::from_utf8_lossy(command.name()).to_uppercase();
    let second = command.args().nth(1).map(|s| String::from_utf8_lossy(s).to_uppercase());
    let advice = table::advice(&name, second.as_deref());
    let full = match second {
        Some(second) if matches!(name.as_str(), "CLIENT" | "SCRIPT") => format!("{name} {second}"),
        _ => name,
    };
    Err(Error::invalid(format!(
        "{full} changes the state of a connection that others share: {advice}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(line: &str) -> Class {
        Class::of(&command(line))
    }

    pub(super) fn command(line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        for word in words {
            command.push_arg(word.as_bytes());
        }
        command
    }

    #[test]
    fn names_are_found_in_any_case_and_unknown_ones_are_not_repeatable_writes() {
        assert_eq!(class("get k"), Class::READ);
        assert_eq!(class("GeT k"), Class::READ);
        assert_eq!(class("GETT k"), Class::default());
        assert_eq!(class("INCR k"), Class::default());
        assert!(class("SET k v").is(Class::IDEMPOTENT));
        assert!(class("EVAL s 0").is(Class::SCRIPT));
        assert_eq!(class("A.COMMAND.WITH.A.NAME.LONGER.THAN.ANY.IN.THE.TABLE k"), Class::default());
    }

    #[test]
    fn containers_are_judged_by_their_second_word() {
        assert!(class("CLIENT LIST").is(Class::READ));
        assert!(!class("client kill id 3").is(Class::READ));
        assert!(class("CLIENT REPLY OFF").is(Class::STATE));
        assert!(class("CONFIG GET x").is(Class::READ));
        assert!(!class("CONFIG").is(Class::READ));
    }

    #[test]
    fn every_command_that_changes_connection_state_is_refused_with_advice() {
        for line in [
            "SELECT 1",
            "WAIT 1 0",
            "WAITAOF 1 0 0",
            "MULTI",
            "EXEC",
            "DISCARD",
            "WATCH k",
            "UNWATCH",
            "SUBSCRIBE c",
            "UNSUBSCRIBE",
            "PSUBSCRIBE c",
            "PUNSUBSCRIBE",
            "SSUBSCRIBE c",
            "SUNSUBSCRIBE",
            "MONITOR",
            "AUTH p",
            "HELLO 3",
            "RESET",
            "QUIT",
            "CLIENT REPLY OFF",
            "CLIENT TRACKING ON",
            "CLIENT CACHING YES",
            "CLIENT SETNAME n",
            "CLIENT SETINFO LIB-NAME x",
            "CLIENT NO-EVICT ON",
            "CLIENT NO-TOUCH ON",
            "CLIENT CAPA redirect",
            "CLIENT MAINT_NOTIFICATIONS ON",
            "READONLY",
            "READWRITE",
            "ASKING",
            "SYNC",
            "PSYNC ? -1",
            "REPLCONF x",
            "SCRIPT DEBUG YES",
            "CLIENT IMPORT-SOURCE ON",
        ] {
            let command = command(line);
            let error = refuse_state(&command, Class::of(&command)).expect_err(line);
            assert_eq!(error.delivery(), crate::delivery::Delivery::NotSent);
            assert!(error.text().contains("changes the state"), "{line}: {error}");
            let advice = error.text().split(": ").nth(1).unwrap();
            assert!(advice.len() > 20, "{line} has no advice: {error}");
        }
    }
}
