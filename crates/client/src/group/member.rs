//! What one consumer asks of the server, a question at a time: join, what is ours already, what others left behind, what is new.
//!
//! A reply that was lost may have assigned entries to us, so after every interruption our own pending ones are read again first.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redial_commands::{StreamEntry, StreamId, ToArg};
use redial_proto::{RequestOptions, Resend};
use redial_resp::{Command, Frame, FromReply};

use super::hands::Acker;
use super::upkeep;
use crate::error::{Error, ErrorKind};
use crate::request::Request;
use crate::scan::{self, Place};

/// How long one question for new entries waits at the server: an acknowledgement that failed is made good, and another server noticed, within it.
const WAIT: Duration = Duration::from_secs(5);

/// Before the next question after one that failed, so that who reads on after every error is no burden.
const PAUSE: Duration = Duration::from_millis(200);

/// Entries that one XCLAIM names.
const MOST_CLAIMED: usize = 1_000;

/// What a turn gives.
pub(super) type Page<F> = Vec<Result<StreamEntry<F>, Error>>;

/// Entries as the server gives them. One that was deleted has no fields, or in Redis 6.2's XAUTOCLAIM is null altogether.
pub(super) type Entries = Vec<Option<(StreamId, Option<Frame>)>>;

/// What XREADGROUP answers.
type Read = Option<Vec<(Frame, Entries)>>;

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) from_now: bool,
    pub(super) page: u32,
    pub(super) claim_after: Option<Duration>,
    pub(super) trim_every: Option<Duration>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Member<F> {
    pub(super) acker: Acker,
    pub(super) consumer: Bytes,
    pub(super) options: Options,
    /// The group is there, as far as we know.
    has_joined: bool,
    /// Up to where the group has been read, as far as we know; `None` before we know it at all.
    known: Option<StreamId>,
    /// Who was asked last.
    place: Option<Place>,
    /// Our own pending entries are being read again, from here on.
    again_from: Option<StreamId>,
    has_failed: bool,
    pub(super) claim_cursor: StreamId,
    pub(super) claim_due: Instant,
    trim_due: Instant,
    fields: PhantomData<fn() -> F>,
}

impl<F> Member<F> {
    pub(super) fn new(acker: Acker, consumer: &[u8]) -> Self {
        let claim_after = Some(Duration::from_secs(60));
        let options = Options { from_now: false, page: 16, claim_after, trim_every: None };
        Self {
            acker,
            consumer: Bytes::copy_from_slice(consumer),
            options,
            has_joined: false,
            known: None,
            place: None,
            again_from: Some(StreamId::ZERO),
            has_failed: false,
            claim_cursor: StreamId::ZERO,
            claim_due: Instant::now(),
            trim_due: Instant::now(),
            fields: PhantomData,
        }
    }

    /// A command whose first argument is the stream.
    pub(super) fn on_key(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.push_arg(&self.acker.key);
        command
    }

    /// A command on this stream's group.
    pub(super) fn on_group(&self, name: &str) -> Command {
        let mut command = self.on_key(name);
        command.push_arg(&self.acker.group);
        command
    }

    pub(super) fn send<R>(&self, command: Command, resend: Resend) -> Request<R> {
        let options = RequestOptions { resend: Some(resend), ..RequestOptions::default() };
        Request::as_is(Arc::clone(&self.acker.handle), command, options)
    }

    /// Makes the group, and the stream if it is missing. A group that was there before is made again where it was, as far as that can be known.
    pub(super) async fn join(&mut self) -> Result<(), Error> {
        let mut create = self.on_group("XGROUP CREATE");
        match self.known {
            // A stream that ends before what we know is another one, or an old copy: what is in it may be new to the group.
            Some(known) if upkeep::last_generated(self, known).await? < known => {
                create.push_arg(b"0");
            }
            Some(known) => known.write_to(&mut create),
            None => create.push_arg(if self.options.from_now { b"$" } else { b"0" }),
        }
        create.push_arg(b"MKSTREAM");
        match self.send::<()>(create, Resend::Always).await {
            Err(error) if error.code() == Some("BUSYGROUP") => {}
            created => created?,
        }
        if self.known.is_some() {
            self.hold().await?;
        }
        self.known = upkeep::last_delivered(self).await?.or(self.known);
        self.has_joined = true;
        Ok(())
    }

    /// Tells a group that was made again what we have in hand, so that it survives us.
    async fn hold(&self) -> Result<(), Error> {
        for ids in self.acker.hands.held().chunks(MOST_CLAIMED) {
            let mut claim = self.on_group("XCLAIM");
            claim.push_arg(&self.consumer);
            claim.push_int(0_u64);
            for id in ids {
                id.write_to(&mut claim);
            }
            claim.push_arg(b"FORCE");
            claim.push_arg(b"JUSTID");
            self.send::<Vec<StreamId>>(claim, Resend::Always).await?;
        }
        Ok(())
    }
}

impl<F: FromReply> Member<F> {
    /// One question. An interruption is no error: the next turn gets over it.
    pub(super) async fn turn(&mut self) -> Result<Page<F>, Error> {
        if std::mem::take(&mut self.has_failed) {
            tokio::time::sleep(PAUSE).await;
        }
        if self.acker.hands.begin_turn() || self.has_moved() {
            self.again_from = Some(StreamId::ZERO);
        }
        let result = match self.again_from {
            Some(from) => self.read_again(from).await,
            None => self.read_on().await,
        };
        let Err(error) = result else { return result };
        if error.code() == Some("NOGROUP") {
            // Where it is missing although it was just made, something else is wrong, and asking faster would not help.
            self.has_failed = self.again_from.is_some();
            self.has_joined = false;
            self.again_from = Some(StreamId::ZERO);
            return Ok(Page::new());
        }
        let may_have_run =
            error.kind() != ErrorKind::Server && !error.delivery().surely_did_not_run();
        if may_have_run && self.again_from.is_none() {
            self.again_from = Some(StreamId::ZERO);
            return Ok(Page::new());
        }
        self.has_failed = true;
        Err(error)
    }

    /// Another server may know other things of us than the last.
    fn has_moved(&mut self) -> bool {
        let place = scan::place_of(&self.acker.handle, &self.acker.key);
        let has_moved = place.is_some() && place != self.place;
        if has_moved {
            self.place = place;
        }
        has_moved
    }

    /// A page of what is assigned to us; what we have in hand or are done with is not given again.
    async fn read_again(&mut self, from: StreamId) -> Result<Page<F>, Error> {
        if !self.has_joined {
            self.join().await?;
        }
        self.acker.clone().acknowledge(self.acker.hands.owed()).await?;
        let mut read = self.read_command(None);
        from.write_to(&mut read);
        // Reading it changes nothing but how often it was read.
        let entries = self.read(read, Resend::Always).await?;
        self.again_from = entries.iter().flatten().map(|(id, _)| *id).max();
        Ok(self.receive(entries))
    }

    /// What others left behind, if it is time to look, or else what is new.
    async fn read_on(&mut self) -> Result<Page<F>, Error> {
        let now = Instant::now();
        if let Some(idle) = self.options.claim_after
            && self.claim_due <= now
        {
            let entries = upkeep::claim(self, idle).await?;
            if entries.iter().any(Option::is_none) {
                // Deleted ones, which are ours now and have to be acknowledged; reading our own again tells their ids.
                self.acker.hands.interrupt();
            }
            return Ok(self.receive(entries));
        }
        if let Some(interval) = self.options.trim_every
            && self.trim_due <= now
        {
            upkeep::trim(self).await?;
            self.trim_due = Instant::now() + interval;
        }
        let mut read = self.read_command(Some(self.longest_wait(now)));
        read.push_arg(b">");
        // Who sends this again does not hear of what it was assigned the first time.
        let entries = self.read(read, Resend::Safe).await?;
        self.known = self.known.max(entries.iter().flatten().map(|(id, _)| *id).max());
        Ok(self.receive(entries))
    }

    /// How long a question may wait until there is something else to do.
    fn longest_wait(&self, now: Instant) -> Duration {
        let claim = self.options.claim_after.map(|_| self.claim_due);
        let trim = self.options.trim_every.map(|_| self.trim_due);
        let due = claim.into_iter().chain(trim);
        due.map(|due| due.saturating_duration_since(now)).fold(WAIT, Duration::min)
    }

    fn read_command(&self, wait: Option<Duration>) -> Command {
        let mut read = Command::new("XREADGROUP");
        read.push_arg(b"GROUP");
        read.push_arg(&self.acker.group);
        read.push_arg(&self.consumer);
        read.push_arg(b"COUNT");
        read.push_int(self.options.page);
        if let Some(wait) = wait {
            read.push_arg(b"BLOCK");
            // 0 would mean for ever.
            read.push_int(wait.as_millis().max(1) as u64);
        }
        read.push_arg(b"STREAMS");
        read.push_arg(&self.acker.key);
        read
    }

    async fn read(&self, read: Command, resend: Resend) -> Result<Entries, Error> {
        let read: Read = self.send(read, resend).await?;
        Ok(read.unwrap_or_default().into_iter().flat_map(|(_, entries)| entries).collect())
    }

    /// Takes entries in hand, those that are not. Deleted ones are acknowledged with the next page.
    fn receive(&self, entries: Entries) -> Page<F> {
        let hands = &self.acker.hands;
        let mut page = Page::new();
        for (id, fields) in entries.into_iter().flatten() {
            match fields {
                None => hands.owe(&[id]),
                Some(_) if !hands.take(id) => {}
                Some(fields) => page.push(match fields.decode() {
                    Ok(fields) => Ok(StreamEntry::new(id, fields)),
                    Err(error) => Err(Error::of_entry(id, error)),
                }),
            }
        }
        page
    }
}
