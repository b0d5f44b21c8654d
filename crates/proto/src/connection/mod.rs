//! One socket's life: what was handed to it, what came back, and which request a reply belongs to.
//!
//! It does not decide what a reply means ([`crate::conclude`]), nor whether silence is death ([`crate::link`]).

pub(crate) mod backlog;
pub(crate) mod fence;
mod frames;
pub(crate) mod handshake;
pub(crate) mod identity;
mod write_log;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redial_resp::{Command, Frame, ProtocolError};

use self::backlog::{Backlog, Entry, Owner};
use self::frames::Frames;
use self::identity::Server;
use crate::ids::ConnId;
use crate::time::Time;

/// How many announcements are kept while nothing is done about them, and for how long they count.
const MOST_EARLY: usize = 8;
const EARLY_COUNTS_FOR: Duration = Duration::from_secs(2);

/// A socket that the driver has opened.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    pub(crate) id: ConnId,
    /// What the handshake learnt; `None` before it is through.
    pub(crate) server: Option<Server>,
    /// Requests in flight, and those that are still to be handed over.
    pub(crate) in_flight: Backlog<T>,
    /// Offset up to which the driver has taken bytes.
    taken: u64,
    /// Offset up to which the kernel has taken bytes.
    written: u64,
    frames: Frames,
    /// What its server announced before it was used.
    early: Vec<(Time, Frame)>,
    /// Which credentials its server knows, see [`crate::credentials`].
    pub(crate) generation: u32,
    /// The socket is at its end, but what was in flight is not concluded yet.
    pub(crate) is_closed: bool,
    /// Last time that a byte was read.
    pub(crate) last_read: Time,
    /// Since when the oldest command in flight has waited, without a byte being read or more of it being taken by the kernel.
    pub(crate) waiting_since: Option<Time>,
}

impl<T: Copy> Connection<T> {
    pub(crate) fn new(id: ConnId, now: Time) -> Self {
        Self {
            id,
            server: None,
            in_flight: Backlog::default(),
            taken: 0,
            written: 0,
            frames: Frames::new(),
            early: Vec::new(),
            generation: 0,
            is_closed: false,
            last_read: now,
            waiting_since: None,
        }
    }

    /// Writes what is no request: a handshake or a fence.
    pub(crate) fn write_raw(&mut self, commands: &[Command]) {
        for command in commands {
            self.in_flight.append_raw(command);
        }
    }

    /// Offset from which on nothing was handed to the driver: what lies behind it can still be taken back.
    pub(crate) fn untaken(&self) -> u64 {
        self.taken
    }

    /// True if `entry` was handed over whole. A command of which a byte is missing can't have run.
    pub(crate) fn was_handed_over(&self, entry: &Entry<T>) -> bool {
        entry.end <= self.written
    }

    /// Gives the driver everything that is to be written.
    pub(crate) fn take_writes(&mut self, now: Time, each: impl FnMut(Bytes)) {
        self.in_flight.compact(self.taken);
        let end = self.in_flight.end();
        if end > self.taken {
            self.in_flight.log().slices(self.taken, end, each);
            self.taken = end;
            self.waiting_since.get_or_insert(now);
        }
    }

    /// Takes it that the kernel has all that the driver has: the driver may be writing, and has not said so yet.
    pub(crate) const fn assume_written(&mut self) {
        self.written = self.taken;
    }

    pub(crate) fn on_written(&mut self, now: Time, bytes: usize) {
        // A socket takes more of a command that fills its buffer only as the peer's kernel acknowledges: that is a sign of life. Once the whole
        // command is in the buffer, further writes are none.
        let was_whole = self.in_flight.front().is_none_or(|oldest| oldest.end <= self.written);
        self.written = (self.written + bytes as u64).min(self.taken);
        if !was_whole {
            self.waiting_since = Some(now);
        }
    }

    pub(crate) fn on_read(&mut self, now: Time, bytes: BytesMut) {
        self.last_read = now;
        self.frames.push(bytes);
    }

    /// The next whole frame of what was read.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, ProtocolError> {
        self.frames.next()
    }

    /// A push has come, and the connection is not in use yet.
    pub(crate) fn note_early(&mut self, now: Time, push: Frame) {
        if self.early.len() < MOST_EARLY {
            self.early.push((now, push));
        }
    }

    /// What came so, as far as it is not old: announcements are about the seconds that follow.
    pub(crate) fn take_early(&mut self, now: Time) -> impl Iterator<Item = Frame> + use<T> {
        let early = std::mem::take(&mut self.early).into_iter();
        let is_new = move |(at, _): &(Time, Frame)| now.since(*at) < EARLY_COUNTS_FOR;
        early.filter(is_new).map(|(_, push)| push)
    }

    /// The next frame and the request that it answers, where there is no more to it: no error, no push, all that its caller waits for.
    #[inline]
    pub(crate) fn next_plain(&mut self) -> Option<(T, Frame)> {
        let Entry { token, end, meta, .. } = *self.in_flight.front()?;
        let is_plain = meta.owner == Owner::Caller && !meta.class.has_own_ways();
        if !is_plain || end > self.taken {
            return None;
        }
        let frame = self.frames.next_if(|kind| !matches!(kind, b'-' | b'!' | b'>' | b'|'))?;
        self.in_flight.pop_front();
        Some((token, frame))
    }

    /// After the frames of a read: what is left of the buffer goes back to be read into, and the answered bytes are forgotten.
    pub(crate) fn finish_read(&mut self, now: Time) {
        self.in_flight.release();
        self.waiting_since = (!self.in_flight.is_empty() && self.taken > 0).then_some(now);
    }

    /// The buffer to read into next, with the beginning of a frame that is not whole yet.
    pub(crate) fn take_buffer(&mut self) -> BytesMut {
        self.frames.take_buffer()
    }

    /// How long a command has waited without a byte being read.
    pub(crate) fn silence(&self, now: Time) -> Option<Duration> {
        self.waiting_since.map(|since| now.since(since))
    }
}
