//! Messages on `AzureRedisEvents`: pairs of words between bars. The format and the moments are in
//! <https://github.com/Azure/AzureCacheForRedis/blob/main/AzureRedisEvents.md>.

use ::core::net::IpAddr;
use std::time::Duration;

use crate::config::{AzureEvents, Config, Endpoint};

/// Written so by the server.
pub(crate) const CHANNEL: &[u8] = b"AzureRedisEvents";

/// Real messages have about 150 bytes.
const LONGEST_MESSAGE: usize = 4096;

/// The names that Azure gives to caches that publish, in its four clouds. Azure Managed Redis (`redis.azure.net`) does not publish.
const SUFFIXES: [&str; 4] = [
    ".redis.cache.windows.net",
    ".redis.cache.usgovcloudapi.net",
    ".redis.cache.chinacloudapi.cn",
    ".redis.cache.cloudapi.de",
];

/// What Azure announces of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AzureEvent {
    /// What.
    pub kind: AzureEventKind,
    /// When the maintenance begins, since the Unix epoch; not said of what is imminent or over.
    pub starts: Option<Duration>,
    /// Whether the node is a replica.
    pub is_replica: Option<bool>,
    /// Of the node.
    pub address: Option<IpAddr>,
    /// Of the node, with TLS.
    pub tls_port: Option<u16>,
    /// Of the node, without.
    pub plain_port: Option<u16>,
}

/// The kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AzureEventKind {
    /// `NodeMaintenanceScheduled`: within a quarter of an hour.
    Scheduled,
    /// `NodeMaintenanceStarting`: in about 20 s.
    Starting,
    /// `NodeMaintenanceStart`: within 5 s.
    Start,
    /// `NodeMaintenanceFailoverComplete`, or `NodeMaintenanceFailover`: the replica was promoted.
    FailoverComplete,
    /// `NodeMaintenanceEnded`: the node is back.
    Ended,
    /// `NodeMaintenanceScaleComplete`
    ScaleComplete,
}

impl AzureEvent {
    #[cfg(test)]
    pub(super) const fn new(kind: AzureEventKind) -> Self {
        Self {
            kind,
            starts: None,
            is_replica: None,
            address: None,
            tls_port: None,
            plain_port: None,
        }
    }
}

/// Whether to listen: where the program says so, or the host has one of Azure's names.
pub(crate) fn is_azure(config: &Config) -> bool {
    match (config.azure_events, &config.endpoint) {
        (AzureEvents::On, _) => true,
        (AzureEvents::Off, _) | (AzureEvents::Auto, Endpoint::Unix(_)) => false,
        (AzureEvents::Auto, Endpoint::Tcp { host, .. }) => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            SUFFIXES.iter().any(|suffix| host.ends_with(suffix))
        }
    }
}

/// Reads a message. Unknown keys, and values that can't be read, are left out.
///
/// # Errors
/// It says nothing that is known.
pub(crate) fn parse_message(message: &[u8]) -> Result<AzureEvent, String> {
    if message.len() > LONGEST_MESSAGE {
        return Err(format!("AzureRedisEvents: a message of {} bytes", message.len()));
    }
    let text = String::from_utf8_lossy(message);
    let words: Vec<&str> = text.split('|').map(str::trim).collect();
    let value = |key: &str| {
        let pair = words.chunks_exact(2).find(|pair| pair.first() == Some(&key));
        pair.and_then(|pair| pair.get(1)).copied().filter(|value| !value.is_empty())
    };
    let port = |key: &str| value(key)?.parse().ok().filter(|port| *port > 0);
    let name = value("NotificationType").ok_or("AzureRedisEvents: no NotificationType")?;
    let kind = kind(name).ok_or_else(|| format!("AzureRedisEvents: {name:?} is unknown"))?;
    Ok(AzureEvent {
        kind,
        starts: value("StartTimeInUTC").and_then(seconds),
        is_replica: value("IsReplica").and_then(|word| word.to_ascii_lowercase().parse().ok()),
        address: value("IPAddress").and_then(|word| word.parse().ok()),
        tls_port: port("SSLPort"),
        plain_port: port("NonSSLPort"),
    })
}

fn kind(name: &str) -> Option<AzureEventKind> {
    Some(match name {
        "NodeMaintenanceScheduled" => AzureEventKind::Scheduled,
        "NodeMaintenanceStarting" => AzureEventKind::Starting,
        "NodeMaintenanceStart" => AzureEventKind::Start,
        "NodeMaintenanceFailoverComplete" | "NodeMaintenanceFailover" => {
            AzureEventKind::FailoverComplete
        }
        "NodeMaintenanceEnded" => AzureEventKind::Ended,
        "NodeMaintenanceScaleComplete" => AzureEventKind::ScaleComplete,
        _ => return None,
    })
}

/// `yyyy-MM-ddTHH:mm:ss`, in UTC, since the Unix epoch. A `Z` or a fraction behind it is left out.
fn seconds(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once('T')?;
    let time = time.split(['.', 'Z']).next()?;
    let numbers = |text: &str, mark| -> Option<[u64; 3]> {
        let parts: Option<Vec<u64>> = text.split(mark).map(|part| part.parse().ok()).collect();
        parts?.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    let is_date =
        (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Counted from 1 March, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // 1970-01-01 so counted.
    let days = days.checked_sub(719_468)?;
    Some(Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "NotificationType|NodeMaintenanceStarting|StartTimeInUTC|2021-03-02T23:26:57|IsReplica|False|IPAddress||SSLPort|15001|NonSSLPort|13001";

    #[test]
    fn the_documented_message_is_read_whole() {
        let event = parse_message(SAMPLE.as_bytes()).unwrap();
        assert_eq!(
            event,
            AzureEvent {
                kind: AzureEventKind::Starting,
                // date -u -d 2021-03-02T23:26:57 +%s
                starts: Some(Duration::from_secs(1_614_727_617)),
                is_replica: Some(false),
                address: None,
                tls_port: Some(15_001),
                plain_port: Some(13_001),
            }
        );
    }

    #[test]
    fn every_kind_has_its_name_and_one_has_two() {
        for (name, kind) in [
            ("Scheduled", AzureEventKind::Scheduled),
            ("Starting", AzureEventKind::Starting),
            ("Start", AzureEventKind::Start),
            ("FailoverComplete", AzureEventKind::FailoverComplete),
            ("Failover", AzureEventKind::FailoverComplete),
            ("Ended", AzureEventKind::Ended),
            ("ScaleComplete", AzureEventKind::ScaleComplete),
        ] {
            let message = format!("NotificationType|NodeMaintenance{name}");
            assert_eq!(parse_message(message.as_bytes()), Ok(AzureEvent::new(kind)));
        }
    }

    #[test]
    fn what_can_not_be_read_is_left_out() {
        let message = "Colour|red|NotificationType|NodeMaintenanceEnded|IsReplica|perhaps|IPAddress|10.0.0.7|StartTimeInUTC|tomorrow|SSLPort|-3|NonSSLPort";
        let event = parse_message(message.as_bytes()).unwrap();
        let address = Some("10.0.0.7".parse().unwrap());
        assert_eq!(event, AzureEvent { address, ..AzureEvent::new(AzureEventKind::Ended) });
    }

    #[test]
    fn a_message_that_says_nothing_known_is_refused() {
        for message in [
            "",
            "|",
            "NotificationType",
            "NotificationType|",
            "NotificationType|NodeOnFire",
            "{\"a\":1}",
        ] {
            assert!(parse_message(message.as_bytes()).is_err(), "{message:?}");
        }
        assert!(parse_message(&[0xFF; 40]).is_err());
        let long = format!("{SAMPLE}|{}", "x".repeat(LONGEST_MESSAGE));
        assert!(parse_message(long.as_bytes()).unwrap_err().contains("bytes"));
    }

    #[test]
    fn times_are_counted_through_leap_years() {
        for (text, expected) in [
            ("1970-01-01T00:00:00", Some(0)),
            ("2000-02-29T12:00:00", Some(951_825_600)),
            ("2024-03-01T00:00:01Z", Some(1_709_251_201)),
            ("2100-03-01T00:00:00.5", Some(4_107_542_400)),
            ("2021-13-01T00:00:00", None),
            ("2021-01-01", None),
            ("2021-01-01T25:00:00", None),
            ("1969-12-31T23:59:59", None),
            ("99999999999999999999-01-01T00:00:00", None),
        ] {
            assert_eq!(seconds(text), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn azure_is_known_by_its_names_unless_the_program_says_so() {
        let azure = |host: &str, azure_events| {
            let endpoint = Endpoint::Tcp { host: host.into(), port: 6380 };
            is_azure(&Config { azure_events, ..Config::new(endpoint) })
        };
        assert!(azure("x.redis.cache.windows.net", AzureEvents::Auto));
        assert!(azure("X.Redis.Cache.ChinaCloudAPI.cn.", AzureEvents::Auto));
        assert!(!azure("x.eastus.redis.azure.net", AzureEvents::Auto));
        assert!(!azure("redis.cache.windows.net.example.org", AzureEvents::Auto));
        assert!(!azure("x.redis.cache.windows.net", AzureEvents::Off));
        assert!(azure("localhost", AzureEvents::On));
        let unix = Config::new(Endpoint::Unix("/run/x.redis.cache.windows.net".into()));
        assert!(!is_azure(&unix));
    }
}
