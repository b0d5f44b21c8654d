//! A command that concerns several nodes of a cluster: its parts as requests of their own, and one reply of theirs. What it is taken apart into, and how the
//! replies become one, is said in `redial_proto::spread`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use redial_proto::{Delivery, Error, ErrorKind, Merge, RequestOptions, Spread, gather};
use redial_resp::{Command, Frame};

use crate::client::Handle;
use crate::driver::slots::Reply;
use crate::request::Request;

/// A deadline is not touched for less.
const WORTH_COUNTING: Duration = Duration::from_millis(10);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Scattered {
    handle: Arc<Handle>,
    command: Command,
    options: RequestOptions,
    merge: Merge,
    begun: Instant,
    /// Waits until it is known which nodes there are.
    gate: Option<Request<()>>,
    parts: Vec<Sent>,
}

#[derive(Debug)]
struct Sent {
    request: Request<()>,
    keys: Vec<usize>,
    reply: Option<Reply>,
}

impl Scattered {
    pub(crate) fn new(
        handle: &Arc<Handle>,
        command: Command,
        options: RequestOptions,
        spread: Spread,
    ) -> Self {
        let request = |command, options| Request::as_is(Arc::clone(handle), command, options);
        let knows_nodes = || !handle.mailbox.lock().core.parts().is_empty();
        let (parts, merge, gate) = match spread {
            Spread::Slots(parts, merge) => {
                let sent = parts.into_iter().map(|part| Sent {
                    request: request(part.command, options),
                    keys: part.keys,
                    reply: None,
                });
                (sent.collect(), merge, None)
            }
            Spread::Nodes(merge) if knows_nodes() => (Vec::new(), merge, None),
            Spread::Nodes(merge) => {
                let ping = Command::new("PING");
                (Vec::new(), merge, Some(request(ping, options)))
            }
        };
        let begun = Instant::now();
        let mut new =
            Self { handle: Arc::clone(handle), command, options, merge, begun, gate, parts };
        if new.parts.is_empty() && new.gate.is_none() {
            new.send_everywhere();
        }
        new
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        if let Some(gate) = &mut self.gate {
            match gate.poll_reply(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) => {}
            }
            self.gate = None;
            self.send_everywhere();
        }
        for part in self.parts.iter_mut().filter(|part| part.reply.is_none()) {
            if let Poll::Ready(reply) = part.request.poll_reply(cx) {
                part.reply = Some(reply);
            }
        }
        if self.parts.iter().any(|part| part.reply.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(self.settle())
    }

    /// The same command to every node, within what is left of its time.
    fn send_everywhere(&mut self) {
        let state = self.handle.mailbox.lock();
        let nodes = state.core.parts();
        if self.begun.elapsed() > WORTH_COUNTING {
            let timeout = self.options.timeout.unwrap_or_else(|| state.core.request_timeout());
            self.options.timeout = Some(timeout.saturating_sub(self.begun.elapsed()));
        }
        drop(state);
        for node in nodes {
            let mut copy = Command::new(self.command.name());
            self.command.args().skip(1).for_each(|arg| copy.push_arg(arg));
            let options = RequestOptions { to: Some(node), ..self.options };
            let request = Request::as_is(Arc::clone(&self.handle), copy, options);
            self.parts.push(Sent { request, keys: Vec::new(), reply: None });
        }
    }

    fn settle(&mut self) -> Reply {
        let total = self.parts.len();
        let (mut good, mut refused, mut failed) = (Vec::new(), None, None::<Error>);
        let mut may_have_run = 0;
        for part in std::mem::take(&mut self.parts) {
            match part.reply {
                Some(Ok(frame)) if frame.error().is_none() => good.push((part.keys, frame)),
                Some(Ok(frame)) => refused = Some(frame),
                Some(Err(error)) => {
                    let surely_not = [Delivery::NotSent, Delivery::Rejected];
                    may_have_run += usize::from(!surely_not.contains(&error.delivery()));
                    failed = Some(error);
                }
                None => {}
            }
        }
        if self.merge == Merge::OneSucceeds && !good.is_empty() {
            (refused, failed) = (None, None);
        }
        let (ran, reads) =
            (good.len(), redial_proto::Class::of(&self.command).is(redial_proto::Class::READ));
        let text = match (&failed, &refused) {
            (Some(error), _) => error.text().to_owned(),
            (None, Some(frame)) => frame.error().map(|error| error.to_string()).unwrap_or_default(),
            (None, None) => return self.gather(&good),
        };
        let nothing_ran = ran == 0 && may_have_run == 0;
        match (failed, refused) {
            // What was refused everywhere, or by a read, is said as the server says it.
            (None, Some(frame)) if ran == 0 || reads => Ok(frame),
            (Some(error), _) if nothing_ran || reads => Err(error),
            (failed, _) => {
                let kinds = failed.map(|error| error.kind());
                let kind =
                    kinds.filter(|kind| *kind != ErrorKind::Server).unwrap_or(ErrorKind::Rejected);
                let text =
                    format!("{ran} of {total} parts of it ran on their nodes; of the rest: {text}");
                Err(Error::new(kind, Delivery::Unknown, text))
            }
        }
    }

    fn gather(&self, good: &[(Vec<usize>, Frame)]) -> Reply {
        let delivery = Delivery::Ran;
        gather(self.merge, good).map_err(|text| Error::new(ErrorKind::Protocol, delivery, text))
    }
}
