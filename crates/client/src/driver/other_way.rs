//! Asks an endpoint in the way in which it is not configured, for an error that says what is wrong: in plain text instead of TLS, or the reverse. No
//! secret is sent. When that is worth it is the core's decision.

use std::io;
use std::sync::Arc;

use redial_proto::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::{Failure, Resolver, dial};
use super::socket::Stream;

pub(crate) const SPEAKS_NO_TLS: &str =
    "this port speaks no TLS, and it was asked to: use redis://, or the server's TLS port";
const SPEAKS_TLS: &str = "this port speaks TLS, and it was asked without: use rediss:// (or `Builder::tls`), or the server's plain port";

/// A TLS record with a ClientHello that is cut short: whoever speaks TLS answers with an alert.
const CUT_HELLO: [u8; 9] = [0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0x00, 0x00, 0x00];
const TLS_RECORDS: std::ops::RangeInclusive<u8> = 0x14..=0x17;

/// See [`redial_proto::Output::AskOtherWay`].
pub(super) async fn ask(
    resolver: Arc<Resolver>,
    endpoint: Endpoint,
    tls: bool,
) -> Result<Option<Stream>, Failure> {
    let question = if tls { &b"PING\r\n"[..] } else { &CUT_HELLO };
    let first = match dial(resolver, endpoint).await {
        Ok(Stream::Tcp(stream)) => first_byte(stream, question).await.ok(),
        _ => None,
    };
    match first {
        Some(b'+' | b'-') if tls => Err(Failure::Refused(SPEAKS_NO_TLS.to_owned())),
        _ if tls => Ok(None),
        Some(first) if TLS_RECORDS.contains(&first) => Err(Failure::Refused(SPEAKS_TLS.to_owned())),
        _ => Err(Failure::Failed("the server closes connections before it answers".to_owned())),
    }
}

async fn first_byte(mut stream: tokio::net::TcpStream, question: &[u8]) -> io::Result<u8> {
    stream.write_all(question).await?;
    stream.read_u8().await
}
