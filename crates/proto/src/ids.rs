//! Names for things that live shorter than the core: an id is never used again, so that an event of a dead thing finds nothing.

use std::num::{NonZeroU32, NonZeroU64};

/// One socket's life, from the first packet of its dial to its close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) u64);

impl ConnId {
    /// The number behind the id, for logs.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// One node kept reachable for one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) u32);

impl LinkId {
    /// The number behind the id, for logs.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A link that was opened besides the shared one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenedId(NonZeroU32);

impl OpenedId {
    /// The shared link, number 0, is nobody's own.
    pub(crate) fn of(link: LinkId) -> Option<Self> {
        NonZeroU32::new(link.0).map(Self)
    }

    /// Its link.
    #[must_use]
    pub const fn link(self) -> LinkId {
        LinkId(self.0.get())
    }
}

/// One of the nodes that have a part of the data each; of a single server, that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId(pub(crate) u32);

/// A request that was accepted; requests of one client are written in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) NonZeroU64);

/// Hands out the ids of one core.
#[derive(Debug)]
pub(crate) struct Ids {
    conn: u64,
    request: NonZeroU64,
}

impl Default for Ids {
    fn default() -> Self {
        Self { conn: 0, request: NonZeroU64::MIN }
    }
}

impl Ids {
    pub(crate) fn conn(&mut self) -> ConnId {
        self.conn += 1;
        ConnId(self.conn)
    }

    pub(crate) fn request(&mut self) -> NonZeroU64 {
        self.request = self.request.saturating_add(1);
        self.request
    }
}
