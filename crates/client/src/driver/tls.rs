//! TLS on a socket: the handshake, and a stream that knows how much of what it was given the kernel has taken. When a handshake begins
//! and what a refused one leads to is the core's; what a refusal says is in [`crate::tls_error`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use redial_proto::{Endpoint, TcpInfo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dial::Failure;
use super::socket::Stream;
use crate::tls::TlsConfig;
use crate::tls_error;

/// A TCP stream that counts what its kernel has taken.
#[derive(Debug)]
struct Counted {
    stream: TcpStream,
    written: u64,
}

/// A secured stream.
#[derive(Debug)]
pub(crate) struct Tls {
    stream: TlsStream<Counted>,
    /// Bytes of the program that were encrypted.
    accepted: u64,
    /// Of those, the ones that the kernel surely had taken when nothing was left to flush, and how many encrypted ones they are.
    taken: u64,
    taken_encrypted: u64,
    /// What [`Self::take_written`] has told of them.
    told: u64,
    /// The last read gave something: behind it may be what the socket does not show, more records or an error.
    has_read: bool,
}

/// Shakes hands; the error says what was wrong and what to do.
pub(super) async fn secure(
    config: Arc<TlsConfig>,
    endpoint: Endpoint,
    stream: TcpStream,
) -> Result<Option<Stream>, Failure> {
    let name = server_name(&config, &endpoint).map_err(Failure::Refused)?;
    let client = config.client().map_err(Failure::Refused)?;
    let counted = Counted { stream, written: 0 };
    match TlsConnector::from(client).connect(name.clone(), counted).await {
        Ok(stream) => {
            let taken_encrypted = stream.get_ref().0.written;
            let tls =
                Tls { stream, accepted: 0, taken: 0, taken_encrypted, told: 0, has_read: true };
            Ok(Some(Stream::Tls(Box::new(tls))))
        }
        Err(error) => Err(tls_error::of_handshake(&error, &name, &config)),
    }
}

/// The name that the certificate must have: as configured, never an address that it resolved to.
fn server_name(config: &TlsConfig, endpoint: &Endpoint) -> Result<ServerName<'static>, String> {
    if let Some(name) = config.configured_name() {
        return Ok(name.clone());
    }
    match endpoint {
        Endpoint::Tcp { host, .. } => ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|_| {
                format!(
                    "{host:?} is no name that a certificate could have; set `TlsConfig::server_name`"
                )
            }),
        Endpoint::Unix(_) => Err("TLS is for TCP; a unix socket needs none".to_owned()),
    }
}

impl Tls {
    /// Pending if there is nothing to read; asked before a buffer is taken for it.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (counted, session) = self.stream.get_ref();
        if self.has_read || !session.wants_read() {
            return Poll::Ready(());
        }
        counted.stream.poll_read_ready(cx).map(drop)
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.has_read = outcome.is_ready();
        outcome
    }

    /// Encrypts, and writes as much of it as the kernel takes. Gives how much it encrypted.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // What was encrypted before goes first, so that it is known when the kernel has it. Of a large upload there is always some.
        ready!(self.poll_flush(cx))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.accepted += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.taken = self.accepted;
        self.taken_encrypted = self.stream.get_ref().0.written;
        Poll::Ready(Ok(()))
    }

    /// True if the kernel has not taken all that was encrypted.
    pub(super) const fn has_outgoing(&self) -> bool {
        self.taken < self.accepted
    }

    /// Bytes of the program that the kernel has taken since this was last asked. Where a record is cut it is a few too many rather than one too
    /// few: what the server may have read must not be sent again. `broke`: the socket did, and nothing more is flushed.
    pub(super) fn take_written(
        &mut self,
        cx: &mut Context<'_>,
        broke: &mut Option<io::Error>,
    ) -> usize {
        if broke.is_none()
            && let Poll::Ready(Err(error)) = self.poll_flush(cx)
        {
            *broke = Some(error);
        }
        // A record is larger than what is in it. How much was accepted by a write that broke is not known.
        let most = self.taken + (self.stream.get_ref().0.written - self.taken_encrypted);
        let handed = if broke.is_some() { most } else { most.min(self.accepted) };
        let written = handed.saturating_sub(self.told);
        self.told += written;
        written as usize
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.stream.get_ref().0.stream
    }

    /// The kernel counts encrypted bytes and the core its own; a record is larger than what is in it, so this is never too much, and exact when
    /// everything was acknowledged.
    pub(super) fn translate(&self, info: TcpInfo) -> TcpInfo {
        // The SYN counts as a byte.
        let unacked = (self.taken_encrypted + 1).saturating_sub(info.bytes_acked);
        TcpInfo { bytes_acked: (self.taken + 1).saturating_sub(unacked), ..info }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
