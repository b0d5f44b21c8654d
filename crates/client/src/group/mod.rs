//! Consumer groups of streams: entries as a stream of their own that outlives failovers.
//!
//! What is asked of the server and when is in `member`; why so: `docs/design/streams.md`.

mod hands;
mod member;
mod upkeep;

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use futures_core::Stream;
use redial_commands::{StreamEntry, StreamId};
use redial_resp::FromReply;

pub use self::hands::Acker;
use self::member::{Member, Options, Page};
use crate::client::Handle;
use crate::error::{Error, ErrorKind};

/// A consumer that is about to join its group, by [`Client::consumer_group`](crate::Client::consumer_group); `.await` it.
#[must_use = "nothing is read unless this is awaited"]
#[derive(Debug)]
pub struct JoinGroup<F>(Member<F>);

impl<F> JoinGroup<F> {
    pub(crate) fn new(handle: Arc<Handle>, key: &[u8], group: &[u8], consumer: &[u8]) -> Self {
        let acker = Acker {
            hands: Arc::default(),
            key: handle.key(key).into_owned().into(),
            handle,
            group: Bytes::copy_from_slice(group),
        };
        Self(Member::new(acker, consumer))
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.0.options);
        self
    }

    /// A group that is not there yet begins with what is added from now on. Default: with the stream's first entry. One that is there goes on where it is.
    pub fn from_now(self) -> Self {
        self.with(|options| options.from_now = true)
    }

    /// How many entries are asked for at once, at the most. Default 16. The others of the group don't get them meanwhile.
    pub fn page(self, entries: u32) -> Self {
        self.with(|options| options.page = entries.max(1))
    }

    /// After how long an entry that somebody else of the group was given and has not acknowledged is taken over (XAUTOCLAIM; XPENDING and XCLAIM before Redis 6.2).
    /// Default a minute; `None` never takes over. It should be longer than dealing with a page of entries takes, or they are dealt with twice.
    pub fn claim_after(self, idle: Option<Duration>) -> Self {
        self.with(|options| options.claim_after = idle)
    }

    /// Deletes so often what every group of the stream has acknowledged (XTRIM MINID, from Redis 6.2), in the server's own large steps. Default: never, the stream grows. A
    /// group that is made later does not find what was deleted.
    pub fn trim_every(self, interval: Duration) -> Self {
        self.with(|options| options.trim_every = Some(interval))
    }
}

impl<F: FromReply + Send + 'static> IntoFuture for JoinGroup<F> {
    type Output = Result<ConsumerGroup<F>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let mut member = Box::new(self.0);
        Box::pin(async move {
            member.join().await?;
            let acker = member.acker.clone();
            Ok(ConsumerGroup { acker, page: Vec::new().into_iter(), turn: Turn::Idle(member) })
        })
    }
}

/// One consumer of a group: a stream of the entries that it is given.
///
/// ```no_run
/// # use std::collections::HashMap;
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// type Order = HashMap<String, String>;
/// let mut orders = client.consumer_group::<Order>("orders", "billing", "worker-1").await?;
/// while let Some(entry) = orders.next().await {
///     let entry = entry?;
///     println!("bill order {}: {:?}", entry.id, entry.fields);
///     orders.ack(&entry).await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// **At least once.** An entry is given to consumers of the group until one acknowledges it, so it may be dealt with twice: after a program's end, after a failover that lost
/// an acknowledgement, or when another consumer takes it over. Make that harmless, by its id say. A consumer that lives is not given twice what it has in hand.
///
/// It goes on by itself after every interruption, and asks first for what it was assigned and never got. What was in hand when an earlier program of the same name ended comes first, too: a
/// consumer's name should be the same after a restart, and used by one program at a time.
///
/// What it does not promise: an entry that a failover loses is lost. A failover that loses the group loses what it knew: each living consumer tells the new one what it has in hand,
/// but what a dead consumer had is forgotten, and what others had read behind the last id that the first of them knows is given again.
#[derive(Debug)]
pub struct ConsumerGroup<F> {
    acker: Acker,
    page: vec::IntoIter<Result<StreamEntry<F>, Error>>,
    turn: Turn<F>,
}

/// One question to the server and what comes of it. It is kept between polls: its answer may be entries that are ours from then on.
enum Turn<F> {
    Idle(Box<Member<F>>),
    Running(Pin<Box<dyn Future<Output = Turned<F>> + Send>>),
    Ended,
}

/// The member that asked, and what came of it.
type Turned<F> = (Box<Member<F>>, Result<Page<F>, Error>);

impl<F> fmt::Debug for Turn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle(_) => "Idle",
            Self::Running(_) => "Running",
            Self::Ended => "Ended",
        })
    }
}

impl<F> ConsumerGroup<F> {
    /// As [`Acker::ack`].
    ///
    /// # Errors
    /// As [`Acker::ack`].
    pub async fn ack(&self, entry: impl Into<StreamId>) -> Result<(), Error> {
        self.acker.ack(entry).await
    }

    /// As [`Acker::ack_all`].
    ///
    /// # Errors
    /// As [`Acker::ack_all`].
    pub async fn ack_all<I: Into<StreamId>>(
        &self,
        entries: impl IntoIterator<Item = I>,
    ) -> Result<(), Error> {
        self.acker.ack_all(entries).await
    }

    /// For tasks that deal with entries beside the one that reads them.
    #[must_use]
    pub fn acker(&self) -> Acker {
        self.acker.clone()
    }
}

impl<F: FromReply + Send + 'static> ConsumerGroup<F> {
    /// The next entry; waits until there is one. `None` when the client was ended. Cancel safe: nothing is lost.
    ///
    /// # Errors
    /// What the server says of the group (WRONGTYPE, NOPERM); fields that don't fit `F` ([`Error::entry`] says whose, and it stays pending); no server within the request timeout.
    /// Interruptions that it gets over are none. The next call goes on, after a short pause.
    pub async fn next(&mut self) -> Option<Result<StreamEntry<F>, Error>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamEntry<F>, Error>>> {
        loop {
            if let Some(entry) = self.page.next() {
                return Poll::Ready(Some(entry));
            }
            let mut turn = match std::mem::replace(&mut self.turn, Turn::Ended) {
                Turn::Running(turn) => turn,
                Turn::Idle(mut member) => Box::pin(async move {
                    let page = member.turn().await;
                    (member, page)
                }),
                Turn::Ended => return Poll::Ready(None),
            };
            let Poll::Ready((member, page)) = turn.as_mut().poll(cx) else {
                self.turn = Turn::Running(turn);
                return Poll::Pending;
            };
            match page {
                Err(error) if error.kind() == ErrorKind::Closed => {}
                Err(error) => {
                    self.turn = Turn::Idle(member);
                    return Poll::Ready(Some(Err(error)));
                }
                Ok(page) => {
                    self.turn = Turn::Idle(member);
                    self.page = page.into_iter();
                }
            }
        }
    }
}

impl<F: FromReply + Send + 'static> Stream for ConsumerGroup<F> {
    type Item = Result<StreamEntry<F>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl<F> Unpin for ConsumerGroup<F> {}
