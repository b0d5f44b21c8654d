//! What Sentinels answer, read: <https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#sentinel-commands>.

use ::core::net::IpAddr;

use redial_resp::Frame;

use crate::config::Endpoint;
use crate::topology::fields::{field, text};

/// An instance as Sentinels list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) endpoint: Endpoint,
    /// Its name for life.
    pub(super) id: String,
    /// That Sentinel does not reach it.
    pub(super) is_down: bool,
}

fn endpoint(host: String, port: &str) -> Option<Endpoint> {
    let port = port.parse().ok().filter(|port| *port > 0)?;
    // "Any address" is where a server listens; to dial, it means this machine.
    let is_any = host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    (!host.is_empty() && !is_any).then_some(Endpoint::Tcp { host, port })
}

/// Reads `SENTINEL GET-MASTER-ADDR-BY-NAME`.
///
/// # Errors
/// It names none; the text says why.
pub(super) fn parse_address(frame: &Frame, service: &str) -> Result<Endpoint, String> {
    if let Some(error) = frame.error() {
        let text = error.to_string();
        return Err(if text.contains("unknown command") {
            format!("{text}: it is no Sentinel (Sentinels listen on port 26379 by default)")
        } else {
            text
        });
    }
    let Some(mut fields) = frame.elements() else {
        return Err(format!(
            "it knows no service named {service:?}; SENTINEL MASTERS lists those that it knows"
        ));
    };
    let named = fields.next().zip(fields.next());
    named
        .and_then(|(host, port)| endpoint(text(&host)?, &text(&port)?))
        .ok_or_else(|| "it answers SENTINEL GET-MASTER-ADDR-BY-NAME with what is no address".into())
}

/// `config-epoch` of `SENTINEL MASTER`: which election the Sentinel's word is from.
pub(super) fn parse_epoch(frame: &Frame) -> Option<u64> {
    field(&frame.element(), "config-epoch")?.parse().ok()
}

/// Reads `SENTINEL SENTINELS` or `SENTINEL REPLICAS`; what can't be read is left out.
pub(super) fn parse_list(frame: &Frame) -> Vec<Listed> {
    let entries = frame.elements().into_iter().flatten();
    let listed = entries.filter_map(|entry| {
        let flags = field(&entry, "flags").unwrap_or_default();
        let is_down = flags.split(',').any(|flag| matches!(flag, "s_down" | "disconnected"));
        let endpoint = endpoint(field(&entry, "ip")?, &field(&entry, "port")?)?;
        Some(Listed { endpoint, id: field(&entry, "runid").unwrap_or_default(), is_down })
    });
    listed.collect()
}

/// `SENTINEL MYID`
pub(super) fn parse_id(frame: &Frame) -> Option<String> {
    frame.error().is_none().then(|| text(&frame.element())).flatten().filter(|id| !id.is_empty())
}

/// True if a message on `+switch-master` is about this service.
pub(super) fn is_switch(frame: &Frame, service: &str) -> bool {
    let payload = frame.elements().and_then(|mut fields| text(&fields.nth(2)?));
    payload.is_some_and(|payload| payload.split(' ').next() == Some(service))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::from_scanned(Bytes::from(text.to_owned()))
    }

    #[test]
    fn an_address_is_read_and_what_is_none_is_explained() {
        let good = frame("*2\r\n$3\r\n::1\r\n$4\r\n6380\r\n");
        assert_eq!(parse_address(&good, "s").unwrap().to_string(), "[::1]:6380");
        for (text, expected) in [
            ("*-1\r\n", "no service named \"s\""),
            ("_\r\n", "no service named \"s\""),
            ("-ERR unknown command 'SENTINEL'\r\n", "no Sentinel"),
            ("-NOAUTH Authentication required.\r\n", "NOAUTH"),
            ("*2\r\n$1\r\nh\r\n$1\r\nx\r\n", "no address"),
            ("*0\r\n", "no address"),
            ("*2\r\n$7\r\n0.0.0.0\r\n$4\r\n6379\r\n", "no address"),
            ("*2\r\n$2\r\n::\r\n$4\r\n6379\r\n", "no address"),
            ("*2\r\n$1\r\nh\r\n$2\r\n-1\r\n", "no address"),
        ] {
            let error = parse_address(&frame(text), "s").unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn lists_epochs_and_switches_are_read_in_both_protocols() {
        let fields = "$4\r\nname\r\n$1\r\nx\r\n$2\r\nip\r\n$1\r\nh\r\n$4\r\nport\r\n$1\r\n7\r\n$5\r\nrunid\r\n$2\r\nid\r\n\
                      $5\r\nflags\r\n$12\r\ns_down,slave\r\n$12\r\nconfig-epoch\r\n$1\r\n4\r\n";
        for entry in [format!("%6\r\n{fields}"), format!("*12\r\n{fields}")] {
            assert_eq!(parse_epoch(&frame(&entry)), Some(4));
            let listed = parse_list(&frame(&format!("*1\r\n{entry}")));
            assert_eq!((listed.len(), listed[0].is_down, listed[0].id.as_str()), (1, true, "id"));
        }
        assert!(parse_list(&frame("-ERR no\r\n")).is_empty());
        let push = ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$9\r\ns a 1 b 2\r\n";
        assert!(is_switch(&frame(push), "s") && !is_switch(&frame(push), "t"));
    }
}
