//! One request, one answer, one connection; a deadline is the caller's. No redirects: a token endpoint has none, and a secret must not follow one.

use std::future::Future;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::TlsConfig;
use crate::tls_error;

pub(super) type Body = Full<Bytes>;

/// A token of many groups has some kilobytes.
const MOST_BYTES: usize = 256 * 1024;

/// Unreserved characters of RFC 3986 stay as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How requests are sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Http {
    tls: Arc<TlsConfig>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Fields of a form or a query, percent-encoded, and a last word that is encoded alone.
pub(super) fn form(fields: &[(&str, &str)], word: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let fields: Vec<_> =
        fields.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    fields.join("&") + &encode(word)
}

/// An URL to which a secret may be sent.
pub(super) fn parse(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
    let here = ["localhost", "127.0.0.1", "[::1]", "169.254.169.254"];
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => Ok(uri),
        (Some("http"), Some(host)) if here.contains(&host) => Ok(uri),
        (Some("http"), Some(_)) => {
            Err(format!("{url} would send a secret in plain text; use https://"))
        }
        _ => Err(format!("{url:?} is no URL of the form https://host")),
    }
}

impl Http {
    pub(super) fn new(tls: TlsConfig) -> Self {
        Self { tls: Arc::new(tls) }
    }

    pub(super) async fn send(&self, mut request: Request<Body>) -> Result<Answer, String> {
        let uri = request.uri().clone();
        let secured = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or("its address has no host")?.to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if secured { 443 } else { 80 });
        if let Some(authority) = uri.authority() {
            let value = authority.as_str().parse().map_err(|_| "its address has no proper host")?;
            request.headers_mut().insert("host", value);
        }
        if let Some(path) = uri.path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        let stream = TcpStream::connect((bare.as_str(), port))
            .await
            .map_err(|error| format!("can't connect to {host}:{port}: {error}"))?;
        if !secured {
            return exchange(stream, request).await;
        }
        let name =
            ServerName::try_from(bare.clone()).map_err(|_| format!("{bare:?} is no name"))?;
        let connector = TlsConnector::from(self.tls.client()?);
        let stream = connector
            .connect(name.clone(), stream)
            .await
            .map_err(|error| tls_error::of_handshake(&error, &name, &self.tls).into_text())?;
        exchange(stream, request).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Body>,
) -> Result<Answer, String> {
    let broke = |error: hyper::Error| format!("the request broke off: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(broke)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await;
        let body = body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes();
        Ok(Answer { status: head.status, body })
    };
    // Both in this task, so that nothing goes on when it is given up.
    let (mut talk, mut connection) = (std::pin::pin!(talk), std::pin::pin!(connection));
    let mut is_over = false;
    std::future::poll_fn(|cx| {
        is_over = is_over || connection.as_mut().poll(cx).is_ready();
        talk.as_mut().poll(cx)
    })
    .await
}
