//! What a node says of its cluster: CLUSTER SLOTS, CLUSTER INFO and ROLE, read.

use std::collections::HashMap;

use redial_resp::{Element, Frame, Value};

use crate::config::Endpoint;
use crate::topology::fields::{field, text};

/// The host of a node without a name, where names are announced.
pub(super) const NAMELESS: &str = "?";

/// How many slots there are.
const SLOTS: usize = 16_384;

/// A node as others name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    /// Its name for life; empty where only its address is known.
    pub(super) id: String,
    pub(super) endpoint: Endpoint,
}

/// A primary with its slots and replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) primary: Member,
    pub(super) replicas: Vec<Member>,
    pub(super) ranges: Vec<(u16, u16)>,
}

/// Reads `CLUSTER SLOTS`; `asked` is who was asked, since a node may not know its own address.
///
/// # Errors
/// The text says what was wrong with it.
pub(super) fn parse_slots(frame: &Frame, asked: &Endpoint) -> Result<Vec<Owner>, String> {
    if let Some(error) = frame.error() {
        return Err(match error.to_string() {
            text if text.contains("cluster support disabled") => format!(
                "{text}: this is a single server, use redis:// (or `Builder::endpoint`) for it"
            ),
            text => text,
        });
    }
    let rubbish = || "it answers CLUSTER SLOTS with what is no list of slots".to_owned();
    let (mut owners, mut unreachable) = (Vec::<Owner>::new(), 0);
    let mut places = HashMap::new();
    for (at, entry) in frame.elements().ok_or_else(rubbish)?.enumerate() {
        if at == SLOTS {
            return Err("it names more ranges of slots than there are slots".to_owned());
        }
        let mut fields = entry.elements().ok_or_else(rubbish)?;
        let (first, last) = fields
            .next()
            .zip(fields.next())
            .and_then(|(first, last)| Some((slot(&first)?, slot(&last)?)))
            .filter(|(first, last)| first <= last)
            .ok_or_else(rubbish)?;
        let primary = fields.next().ok_or_else(rubbish)?;
        let Some(primary) = parse_member(&primary, asked) else {
            // Its replicas do not take its place; others have slots too.
            unreachable += 1;
            continue;
        };
        let replicas: Vec<_> = fields.filter_map(|member| parse_member(&member, asked)).collect();
        let place = *places.entry(primary.clone()).or_insert(owners.len());
        match owners.get_mut(place) {
            Some(owner) => owner.ranges.push((first, last)),
            None => owners.push(Owner { primary, replicas, ranges: vec![(first, last)] }),
        }
    }
    if owners.is_empty() && unreachable > 0 {
        return Err("it names no primary with a port for such connections: do its nodes speak TLS only, or not at all?".to_owned());
    }
    if owners.is_empty() {
        return Err("it knows of no node that has slots: is the cluster set up?".to_owned());
    }
    Ok(owners)
}

fn slot(element: &Element<'_>) -> Option<u16> {
    match element.value() {
        Value::Integer(slot) => u16::try_from(slot).ok().filter(|slot| usize::from(*slot) < SLOTS),
        _ => None,
    }
}

/// `[address, port, id, metadata]`; the address is empty or null where that of who was asked is meant, and `?` where names are announced and it has none: then the metadata
/// may have its address (<https://redis.io/docs/latest/commands/cluster-slots/>).
fn parse_member(element: &Element<'_>, asked: &Endpoint) -> Option<Member> {
    let mut fields = element.elements()?;
    let mut host = text(&fields.next()?).unwrap_or_default();
    let Value::Integer(port) = fields.next()?.value() else { return None };
    let id = fields.next().and_then(|id| text(&id)).unwrap_or_default();
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    if host == NAMELESS {
        host = fields.next().and_then(|metadata| field(&metadata, "ip")).unwrap_or_default();
    }
    Some(Member { id, endpoint: place(&host, port, asked) })
}

/// Where a server means by this, said by whoever is at `speaker`.
pub(super) fn place(host: &str, port: u16, speaker: &Endpoint) -> Endpoint {
    let host = match (host, speaker) {
        ("", Endpoint::Tcp { host, .. }) => host.clone(),
        _ => host.to_owned(),
    };
    Endpoint::Tcp { host, port }
}

/// `cluster_current_epoch` of CLUSTER INFO: of two views, the one with the higher epoch has seen more.
pub(super) fn parse_epoch(frame: &Frame) -> Option<u64> {
    let text = frame.element().text()?.to_vec();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    lines.find(|(key, _)| *key == "cluster_current_epoch")?.1.parse().ok()
}

/// True if ROLE says that it is a primary.
pub(super) fn is_primary(frame: &Frame) -> bool {
    let mut fields = frame.elements().into_iter().flatten();
    fields.next().is_some_and(|role| role.text() == Some(b"master"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::from_scanned(Bytes::from(text.to_owned()))
    }

    fn asked() -> Endpoint {
        Endpoint::Tcp { host: "h".to_owned(), port: 7000 }
    }

    #[test]
    fn slots_are_read_with_their_primaries_and_replicas() {
        let owners = parse_slots(
            &frame(
                "*3\r\n*4\r\n:0\r\n:5460\r\n*4\r\n$0\r\n\r\n:7000\r\n$1\r\na\r\n*0\r\n*3\r\n$8\r\n10.0.0.2\r\n:7003\r\n$1\r\nd\r\n\
                 *3\r\n:5461\r\n:5461\r\n*3\r\n$8\r\n10.0.0.3\r\n:7001\r\n$1\r\nb\r\n\
                 *3\r\n:5462\r\n:16383\r\n*3\r\n$0\r\n\r\n:7000\r\n$1\r\na\r\n",
            ),
            &asked(),
        )
        .unwrap();
        assert_eq!(owners.len(), 2);
        assert_eq!(owners[0].ranges, [(0, 5460), (5462, 16383)]);
        assert_eq!(owners[0].primary.endpoint.to_string(), "h:7000", "its own address is unknown");
        assert_eq!(owners[0].replicas[0].endpoint.to_string(), "10.0.0.2:7003");
        assert_eq!(owners[1].primary.id, "b");
    }

    #[test]
    fn a_node_without_a_name_is_at_its_address() {
        let member = |metadata: &str| {
            let text =
                format!("*1\r\n*3\r\n:0\r\n:3\r\n*4\r\n$1\r\n?\r\n:7\r\n$1\r\na\r\n{metadata}");
            parse_slots(&frame(&text), &asked()).unwrap()[0].primary.endpoint.to_string()
        };
        for kind in ["%1", "*2"] {
            assert_eq!(member(&format!("{kind}\r\n$2\r\nip\r\n$8\r\n10.0.0.2\r\n")), "10.0.0.2:7");
            assert_eq!(member(&format!("{kind}\r\n$2\r\nip\r\n$0\r\n\r\n")), "h:7", "its own");
        }
        assert_eq!(member("*0\r\n"), "h:7");
    }

    #[test]
    fn what_is_no_view_is_named() {
        for (text, expected) in [
            ("-ERR This instance has cluster support disabled\r\n", "single server"),
            ("*0\r\n", "no node that has slots"),
            ("+OK\r\n", "no list of slots"),
            ("*1\r\n*2\r\n:0\r\n:99999\r\n", "no list of slots"),
            ("*1\r\n*2\r\n:7\r\n:3\r\n", "no list of slots"),
            ("*1\r\n*2\r\n:0\r\n:3\r\n", "no list of slots"),
            ("*1\r\n*3\r\n:0\r\n:3\r\n*2\r\n$1\r\nh\r\n:0\r\n", "no primary with a port"),
            ("*1\r\n*3\r\n:0\r\n:3\r\n*2\r\n$1\r\nh\r\n:-7\r\n", "no primary with a port"),
            ("-NOAUTH Authentication required.\r\n", "NOAUTH"),
        ] {
            let error = parse_slots(&frame(text), &asked()).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_replica_does_not_stand_in_for_a_primary_without_a_port() {
        let text = "*2\r\n*4\r\n:0\r\n:3\r\n*2\r\n$1\r\nh\r\n:0\r\n*2\r\n$1\r\nr\r\n:7\r\n\
                    *3\r\n:4\r\n:9\r\n*2\r\n$1\r\ng\r\n:7\r\n";
        let owners = parse_slots(&frame(text), &asked()).unwrap();
        assert_eq!(owners.len(), 1);
        assert_eq!(owners[0].primary.endpoint.to_string(), "g:7");
    }

    #[test]
    fn epochs_and_roles_are_read() {
        let info = "cluster_state:ok\r\ncluster_current_epoch:12\r\n";
        assert_eq!(parse_epoch(&frame(&format!("${}\r\n{info}\r\n", info.len()))), Some(12));
        assert_eq!(parse_epoch(&frame("-ERR no\r\n")), None);
        assert!(is_primary(&frame("*3\r\n$6\r\nmaster\r\n:3\r\n*0\r\n")));
        assert!(!is_primary(&frame("*1\r\n$5\r\nslave\r\n")));
        assert!(!is_primary(&frame("-NOPERM no\r\n")));
    }
}
