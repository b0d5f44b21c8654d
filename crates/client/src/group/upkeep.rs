//! What one consumer does for the whole group: takes over what others left behind, and deletes what nobody needs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redial_commands::{StreamId, ToArg};
use redial_proto::Resend;
use redial_resp::{Command, Frame};

use super::member::{Entries, Member};
use crate::error::Error;

/// How often it is looked for abandoned entries: so many times within the time after which they count as such.
const LOOKS: u32 = 4;

/// The least time between two looks.
const SOONEST: Duration = Duration::from_millis(50);

/// A map of the server's, or a list of names and values.
type Fields = HashMap<String, Frame>;

fn field(fields: &Fields, name: &str) -> Option<StreamId> {
    fields.get(name)?.decode().ok()
}

/// What the server does not permit us to know we do without; that there is no such stream is an answer.
fn permitted<T: Default>(told: Result<T, Error>) -> Result<Option<T>, Error> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(error) => match error.code() {
            Some("NOPERM") => Ok(None),
            Some("ERR") if error.to_string().contains("no such key") => Ok(Some(T::default())),
            _ => Err(error),
        },
    }
}

/// The last id that the stream has had; zero if there is none, and what we know if it is not told.
pub(super) async fn last_generated<F>(
    member: &Member<F>,
    known: StreamId,
) -> Result<StreamId, Error> {
    let told = permitted(member.send::<Fields>(member.on_key("XINFO STREAM"), Resend::Safe).await)?;
    Ok(told.map_or(known, |told| field(&told, "last-generated-id").unwrap_or_default()))
}

/// Up to where the group has been read, where that is told.
pub(super) async fn last_delivered<F>(member: &Member<F>) -> Result<Option<StreamId>, Error> {
    let told = groups(member).await?.unwrap_or_default();
    let ours = told.iter().find(|group| name(group) == member.acker.group);
    Ok(ours.and_then(|group| field(group, "last-delivered-id")))
}

async fn groups<F>(member: &Member<F>) -> Result<Option<Vec<Fields>>, Error> {
    permitted(member.send(member.on_key("XINFO GROUPS"), Resend::Safe).await)
}

fn name(group: &Fields) -> Vec<u8> {
    group.get("name").and_then(|name| name.decode().ok()).unwrap_or_default()
}

/// Takes over a page of what has been pending for so long.
pub(super) async fn claim<F>(member: &mut Member<F>, idle: Duration) -> Result<Entries, Error> {
    let idle_ms = idle.as_millis() as u64;
    let mut claim = member.on_group("XAUTOCLAIM");
    claim.push_arg(&member.consumer);
    claim.push_int(idle_ms);
    member.claim_cursor.write_to(&mut claim);
    claim.push_arg(b"COUNT");
    claim.push_int(member.options.page);
    // Sent again it would find nothing: what it took over the first time is not idle any more.
    let told = member.send::<Vec<Frame>>(claim, Resend::Safe).await;
    let (next, entries) = match told {
        Err(error) if error.to_string().contains("unknown command") => {
            claim_by_hand(member, idle_ms).await?
        }
        told => match told?.as_slice() {
            [next, entries, ..] => (next.decode()?, entries.decode()?),
            _ => return Err(Error::protocol("XAUTOCLAIM answers an id and entries")),
        },
    };
    member.claim_cursor = next;
    if next == StreamId::ZERO {
        member.claim_due = Instant::now() + (idle / LOOKS).max(SOONEST);
    }
    Ok(entries)
}

/// As servers before 6.2 need it.
async fn claim_by_hand<F>(member: &Member<F>, idle_ms: u64) -> Result<(StreamId, Entries), Error> {
    let page = member.options.page;
    let mut pending = member.on_group("XPENDING");
    member.claim_cursor.write_to(&mut pending);
    pending.push_arg(b"+");
    pending.push_int(page);
    let pending: Vec<(StreamId, Frame, u64, u64)> = member.send(pending, Resend::Safe).await?;
    let next = match pending.last() {
        Some((last, ..)) if pending.len() >= page as usize => last.next(),
        _ => StreamId::ZERO,
    };
    let mut claim = member.on_group("XCLAIM");
    claim.push_arg(&member.consumer);
    claim.push_int(idle_ms);
    let without_ids = claim.arg_count();
    for (id, _, idle, _) in pending {
        if idle >= idle_ms {
            id.write_to(&mut claim);
        }
    }
    if claim.arg_count() == without_ids {
        return Ok((next, Entries::new()));
    }
    Ok((next, member.send(claim, Resend::Safe).await?))
}

/// Deletes what every group has acknowledged. What comes between the questions is behind all that they tell, so it is kept.
pub(super) async fn trim<F>(member: &Member<F>) -> Result<(), Error> {
    let mut needed: Option<StreamId> = None;
    for group in groups(member).await?.unwrap_or_default() {
        let Some(delivered) = field(&group, "last-delivered-id") else { return Ok(()) };
        let mut pending = member.on_key("XPENDING");
        pending.push_arg(&name(&group));
        let (_, first, _, _): (u64, Option<StreamId>, Frame, Frame) =
            member.send(pending, Resend::Safe).await?;
        let unread = delivered.next();
        let first = first.map_or(unread, |first| first.min(unread));
        needed = Some(needed.map_or(first, |needed| needed.min(first)));
    }
    let Some(needed) = needed else { return Ok(()) };
    let mut trim: Command = member.on_key("XTRIM");
    trim.push_arg(b"MINID");
    trim.push_arg(b"~");
    needed.write_to(&mut trim);
    member.send::<u64>(trim, Resend::Always).await.map(|_| ())
}
