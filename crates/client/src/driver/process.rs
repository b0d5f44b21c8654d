//! What all clients of a process share for an endpoint: who probes it, and how much may be sent again. The rules are the core's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use redial_proto::{Board, Endpoint, Finding, Input, LinkId, RetryBudget, Time};

use super::mailbox::Mailbox;

/// A link of a client.
#[derive(Clone, Debug)]
struct Member {
    client: Weak<Mailbox>,
    link: LinkId,
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.link == other.link && Weak::ptr_eq(&self.client, &other.client)
    }
}

struct Process {
    epoch: Instant,
    board: Mutex<Board<Member>>,
    budgets: Mutex<HashMap<Endpoint, RetryBudget>>,
}

fn process() -> &'static Process {
    static PROCESS: OnceLock<Process> = OnceLock::new();
    PROCESS.get_or_init(|| Process {
        epoch: Instant::now(),
        board: Mutex::default(),
        budgets: Mutex::default(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The retry budget of this process for the endpoint.
pub(crate) fn budget(endpoint: &Endpoint) -> RetryBudget {
    lock(&process().budgets).entry(endpoint.clone()).or_default().clone()
}

/// A link wants to probe. True if it leads.
pub(crate) fn join(client: &Arc<Mailbox>, link: LinkId, endpoint: &Endpoint) -> bool {
    let member = Member { client: Arc::downgrade(client), link };
    let process = process();
    let now = Time::from_micros(process.epoch.elapsed().as_micros() as u64);
    lock(&process.board).join(endpoint, member, now)
}

/// A link stops; the next one leads.
pub(crate) fn leave(client: &Arc<Mailbox>, link: LinkId, endpoint: &Endpoint) {
    let member = Member { client: Arc::downgrade(client), link };
    let next = lock(&process().board).leave(endpoint, &member);
    tell(next.into_iter().map(|member| (member, None)));
}

/// A client is gone.
pub(crate) fn forget(client: &Arc<Mailbox>) {
    let client = Arc::downgrade(client);
    let next = lock(&process().board).remove(|member| Weak::ptr_eq(&member.client, &client));
    tell(next.into_iter().map(|member| (member, None)));
}

/// The leader found something.
pub(crate) fn publish(endpoint: &Endpoint, finding: &Finding) {
    let followers: Vec<_> = lock(&process().board).followers(endpoint).cloned().collect();
    tell(followers.into_iter().map(|member| (member, Some(finding.clone()))));
}

/// Hands on what members wait for. Never under the board's lock, nor under a client's.
fn tell(news: impl Iterator<Item = (Member, Option<Finding>)>) {
    for (member, finding) in news {
        let Some(client) = member.client.upgrade() else { continue };
        let input = match finding {
            Some(finding) => Input::Finding(member.link, finding),
            None => Input::Lead(member.link, true),
        };
        client.input(input);
    }
}
