//! SCAN and its kin as streams: pages are asked for one after the other, and the whole begins anew where another server took over.
//!
//! A cursor is a place in one process' hash table, whose order follows from a random seed: on another server it means another place, and what
//! lies before it would be missed. So a scan that notices another server starts over; SCAN may give an element twice anyway.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{future, vec};

use futures_core::Stream;
use redial_proto::{PartId, RequestOptions};
use redial_resp::{Bytes, Command, Frame, FromReply};

use crate::client::Handle;
use crate::error::{Error, ErrorKind};
use crate::key_prefix::KeyPrefix;
use crate::request::Request;

/// The elements of the keyspace or of one collection, page by page.
///
/// ```no_run
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// let mut users = client.scan_all::<String>().pattern("user:*").page(500);
/// while let Some(key) = users.next().await {
///     println!("{}", key?);
/// }
/// # Ok(())
/// # }
/// ```
///
/// What SCAN promises holds across failovers too: an element that is there all the time is given at least once; some may be given twice, more of them
/// after a failover, since the scan then begins anew. The server is not asked for the next page before the last one was taken.
#[must_use = "a scan does nothing unless it is read"]
pub struct Scan<T> {
    handle: Arc<Handle>,
    name: &'static str,
    /// As the server calls it.
    key: Option<Vec<u8>>,
    /// MATCH, COUNT, TYPE and what follows each.
    options: Vec<Vec<u8>>,
    /// Where the next page begins; `None` behind the last.
    cursor: Option<u64>,
    /// Whose cursor it is.
    server: Option<Place>,
    /// The nodes that are still to be scanned; the last one is being scanned.
    parts: Vec<PartId>,
    /// Which data they had when it began.
    version: Option<u64>,
    asked: Option<Request<Frame>>,
    page: vec::IntoIter<T>,
}

/// A process as far as it can be told from another: by its `run_id`, or where that is hidden by our connection to it.
pub(crate) type Place = (Option<String>, Option<i64>);

/// Who leads a node now; `None` while nobody does.
fn place(handle: &Handle, part: PartId) -> Option<Place> {
    let state = handle.mailbox.lock();
    state.core.server_of(part).map(|server| match &server.run_id {
        Some(run_id) => (Some(run_id.clone()), None),
        None => (None, server.client_id),
    })
}

/// The same of the node that has a key.
pub(crate) fn place_of(handle: &Handle, key: &[u8]) -> Option<Place> {
    let mut command = Command::new("TYPE");
    command.push_arg(key);
    let part = handle.mailbox.lock().core.part_for(&command);
    place(handle, part)
}

impl<T> Scan<T> {
    pub(crate) fn new(handle: Arc<Handle>, name: &'static str, key: Option<&[u8]>) -> Self {
        let key = key.map(|key| handle.key(key).into_owned());
        let scan = Self {
            handle,
            name,
            key,
            options: Vec::new(),
            cursor: Some(0),
            server: None,
            parts: Vec::new(),
            version: None,
            asked: None,
            page: Vec::new().into_iter(),
        };
        if scan.prefix().is_some() { scan.pattern("*") } else { scan }
    }

    /// What the keys that it gives have in front of them.
    fn prefix(&self) -> Option<&KeyPrefix> {
        self.handle.key_prefix.as_ref().filter(|_| self.key.is_none())
    }

    /// Only what matches a glob pattern (MATCH). The server looks at everything all the same.
    pub fn pattern(self, pattern: impl AsRef<[u8]>) -> Self {
        // Of two, servers heed the last.
        match self.prefix().map(|prefix| prefix.pattern(pattern.as_ref())) {
            None => self.option("MATCH", pattern.as_ref()),
            Some(pattern) => self.option("MATCH", &pattern),
        }
    }

    /// About how many elements the server looks at for a page (COUNT). Default: the server's, which is 10.
    pub fn page(self, elements: u32) -> Self {
        self.option("COUNT", elements.to_string().as_bytes())
    }

    fn option(mut self, name: &str, value: &[u8]) -> Self {
        self.options.extend([name.as_bytes().to_vec(), value.to_vec()]);
        self
    }

    fn command(&self, cursor: u64) -> Command {
        let mut command = Command::new(self.name);
        if let Some(key) = &self.key {
            command.push_arg(key);
        }
        command.push_int(cursor);
        for option in &self.options {
            command.push_arg(option);
        }
        command
    }

    /// Begins (anew): with the node of one collection, or with all.
    fn begin(&mut self, version: u64) {
        let command = self.command(0);
        let state = self.handle.mailbox.lock();
        self.parts = match &self.key {
            Some(_) => vec![state.core.part_for(&command)],
            None => state.core.parts(),
        };
        self.version = Some(version);
    }

    fn place(&self) -> Option<Place> {
        place(&self.handle, *self.parts.last()?)
    }

    fn version_now(&self) -> u64 {
        self.handle.mailbox.lock().core.parts_version()
    }

    /// Asks for the next page, which is the first one where another server leads by now. Where data has gone from node to node it may have gone past the scan.
    fn ask(&mut self, cursor: u64) -> Request<Frame> {
        let version = self.version_now();
        let goes_on = self.version == Some(version);
        if !goes_on {
            self.begin(version);
        }
        let place = self.place();
        let cursor = if goes_on && place == self.server { cursor } else { 0 };
        self.server = place;
        let options =
            RequestOptions { to: self.parts.last().copied(), ..RequestOptions::default() };
        Request::as_is(Arc::clone(&self.handle), self.command(cursor), options)
    }

    /// A page came, and with it a cursor, which counts only if it is of the server that was asked.
    fn on_page(&mut self, next: u64, page: Vec<T>) {
        let place = self.place();
        let counts =
            place.is_some() && place == self.server && self.version == Some(self.version_now());
        self.page = page.into_iter();
        self.cursor = Some(if counts { next } else { 0 });
        if counts && next == 0 {
            self.parts.pop();
            if self.parts.is_empty() {
                self.cursor = None;
            }
        }
    }

    /// It failed. What the server says of this page it would say again; anything else may be better at the next attempt.
    fn on_error(&mut self, error: &Error) {
        if matches!(error.kind(), ErrorKind::Server | ErrorKind::Decode | ErrorKind::InvalidRequest)
        {
            self.cursor = None;
        }
    }
}

impl<T> Scan<T> {
    /// Only keys of a type: `string`, `list`, `set`, `zset`, `hash`, `stream` (TYPE, from Redis 6.0). For [`Client::scan_all`](crate::Client::scan_all)
    /// only; other commands refuse it.
    pub fn of_type(self, name: &str) -> Self {
        self.option("TYPE", name.as_bytes())
    }
}

impl<T> fmt::Debug for Scan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("name", &self.name)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl<T: FromReply + Unpin> Scan<T> {
    fn read(&self, reply: &Frame) -> Result<(u64, Vec<T>), Error> {
        let Some(prefix) = self.prefix() else { return Ok(reply.decode()?) };
        let (next, keys): (u64, Vec<Bytes>) = reply.decode()?;
        let keys = keys.iter().map(|key| prefix.without(key).decode());
        Ok((next, keys.collect::<Result<_, _>>()?))
    }

    /// The next element; `None` behind the last. Cancel safe: nothing is lost.
    ///
    /// # Errors
    /// As of any command. Behind an error of the server the scan has ended; behind any other (no answer by the deadline, say) the next call asks for
    /// the page again.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: FromReply + Unpin> Stream for Scan<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(element) = this.page.next() {
                return Poll::Ready(Some(Ok(element)));
            }
            let mut request = match (this.asked.take(), this.cursor) {
                (Some(request), _) => request,
                (None, Some(cursor)) => this.ask(cursor),
                (None, None) => return Poll::Ready(None),
            };
            let page = match future::Future::poll(Pin::new(&mut request), cx) {
                Poll::Pending => {
                    this.asked = Some(request);
                    return Poll::Pending;
                }
                Poll::Ready(reply) => reply.and_then(|reply| this.read(&reply)),
            };
            match page {
                Ok((next, page)) => this.on_page(next, page),
                Err(error) => {
                    this.on_error(&error);
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
