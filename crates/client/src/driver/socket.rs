//! A connected socket: what is to be written to it, what was read from it, and what its kernel thinks of the peer.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use redial_proto::{ConnId, TcpInfo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

#[cfg(feature = "tls")]
use super::tls::Tls;

/// Read buffers begin small, since most connections are idle, and grow while reads fill them.
const FIRST_BUFFER: usize = 4 * 1024;
const LARGEST_BUFFER: usize = 256 * 1024;

/// Pieces in one write; more than a pipeline of ordinary commands has.
const MOST_SLICES: usize = 64;

/// A stream of either kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Boxed, since it is ten times as large as the others.
    #[cfg(feature = "tls")]
    Tls(Box<Tls>),
}

macro_rules! delegate {
    ($self:expr, $stream:ident => $call:expr, $tls:ident => $tls_call:expr) => {
        match $self {
            Stream::Tcp($stream) => $call,
            #[cfg(unix)]
            Stream::Unix($stream) => $call,
            #[cfg(feature = "tls")]
            Stream::Tls($tls) => $tls_call,
        }
    };
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf), tls => tls.poll_read(cx, buf))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [one] => {
                delegate!(self, stream => Pin::new(stream).poll_write(cx, one), tls => tls.poll_write(cx, slices))
            }
            many => {
                delegate!(self, stream => Pin::new(stream).poll_write_vectored(cx, many), tls => tls.poll_write(cx, many))
            }
        }
    }

    pub(super) const fn is_secured(&self) -> bool {
        #[cfg(feature = "tls")]
        return matches!(self, Self::Tls(_));
        #[cfg(not(feature = "tls"))]
        false
    }

    /// The address at the other end.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        Some(self.tcp()?.peer_addr().ok()?.ip())
    }

    /// The TCP connection, with or without TLS on it.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Some(tls.tcp()),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) conn: ConnId,
    stream: Stream,
    outgoing: VecDeque<Bytes>,
    buffer: BytesMut,
    next_buffer: usize,
    /// The buffer is with the core.
    has_lent: bool,
    /// Its end was read, and told.
    is_over: bool,
    /// Nothing can be written any more.
    is_broken: bool,
}

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Read {
    Bytes(BytesMut),
    /// Closed by the peer, or broken: the reason.
    End(Option<String>),
    /// The server refuses us for good; what it wants.
    #[cfg(feature = "tls")]
    Refused(String),
}

impl Socket {
    pub(crate) fn new(conn: ConnId, stream: Stream) -> Self {
        Self {
            conn,
            stream,
            outgoing: VecDeque::new(),
            buffer: BytesMut::new(),
            next_buffer: FIRST_BUFFER,
            has_lent: false,
            is_over: false,
            is_broken: false,
        }
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.outgoing.push_back(bytes);
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        if self.is_broken {
            return false;
        }
        #[cfg(feature = "tls")]
        if let Stream::Tls(tls) = &self.stream {
            return !self.outgoing.is_empty() || tls.has_outgoing();
        }
        !self.outgoing.is_empty()
    }

    #[cfg(feature = "tls")]
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Writes as much as the kernel takes now; gives how many bytes that were, and why no more can follow if the socket broke behind them.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> (usize, Option<io::Error>) {
        let mut total = 0;
        let mut broke = None;
        while !self.outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); MOST_SLICES];
            let count = self.outgoing.len().min(MOST_SLICES);
            for (slice, bytes) in slices.iter_mut().zip(&self.outgoing) {
                *slice = IoSlice::new(bytes);
            }
            match self.stream.poll_write(cx, slices.get(..count).unwrap_or_default()) {
                Poll::Pending => break,
                Poll::Ready(Ok(written @ 1..)) => {
                    total += written;
                    self.advance(written);
                }
                Poll::Ready(outcome) => {
                    broke = outcome.err().or_else(|| Some(io::ErrorKind::WriteZero.into()));
                    break;
                }
            }
        }
        #[cfg(feature = "tls")]
        if let Stream::Tls(tls) = &mut self.stream {
            // Encrypted is not written.
            total = tls.take_written(cx, &mut broke);
        }
        self.is_broken |= broke.is_some();
        (total, broke)
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.outgoing.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.outgoing.pop_front();
        }
    }

    /// Reads once. To be called until it is pending, so that the next bytes wake the driver.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if self.is_over {
            return Poll::Pending;
        }
        // Before a buffer is taken for it: mostly there is nothing to read.
        let is_pending = delegate!(&self.stream, stream => stream.poll_read_ready(cx).is_pending(), tls => tls.poll_read_ready(cx).is_pending());
        if is_pending {
            return Poll::Pending;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() - buffer.len() < self.next_buffer / 2 {
            buffer.reserve(self.next_buffer);
        }
        let spare = buffer.spare_capacity_mut();
        let room = spare.len();
        let mut read_buf = ReadBuf::uninit(spare);
        let outcome = self.stream.poll_read(cx, &mut read_buf);
        let read = read_buf.filled().len();
        match outcome {
            Poll::Ready(Ok(())) if read > 0 => {
                if read == room {
                    self.next_buffer = (self.next_buffer * 2).min(LARGEST_BUFFER);
                }
                #[expect(
                    unsafe_code,
                    reason = "BytesMut has no safe way to take what a ReadBuf initialized"
                )]
                // SAFETY: `ReadBuf::filled` is initialized, and lies at the beginning of the spare capacity.
                unsafe {
                    buffer.set_len(buffer.len() + read);
                }
                self.has_lent = true;
                Poll::Ready(Read::Bytes(buffer))
            }
            Poll::Ready(outcome) => {
                self.is_over = true;
                Poll::Ready(outcome.err().map_or(Read::End(None), |error| self.end(&error)))
            }
            Poll::Pending => {
                // An idle connection keeps no buffer.
                if !buffer.is_empty() || self.next_buffer > FIRST_BUFFER {
                    self.buffer = buffer;
                }
                Poll::Pending
            }
        }
    }

    #[cfg(feature = "tls")]
    fn end(&self, error: &io::Error) -> Read {
        match (&self.stream, error.kind()) {
            // A server that dies has no time to say goodbye in TLS.
            (Stream::Tls(_), io::ErrorKind::UnexpectedEof) => Read::End(None),
            (Stream::Tls(_), _) => crate::tls_error::of_refusal(error)
                .map_or_else(|| Read::End(Some(error.to_string())), Read::Refused),
            _ => Read::End(Some(error.to_string())),
        }
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "with TLS it depends on the stream")]
    fn end(&self, error: &io::Error) -> Read {
        Read::End(Some(error.to_string()))
    }

    /// True if what was read has not come back yet.
    pub(crate) const fn has_lent(&self) -> bool {
        self.has_lent
    }

    /// Takes back the buffer, with the beginning of a frame that is not whole yet.
    pub(crate) fn give_back(&mut self, buffer: BytesMut) {
        self.has_lent = false;
        self.buffer = buffer;
    }

    /// The kernel's view of the connection.
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        match &self.stream {
            Stream::Tcp(stream) => super::tcp_info::read(stream),
            #[cfg(unix)]
            Stream::Unix(_) => None,
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => super::tcp_info::read(tls.tcp()).map(|info| tls.translate(info)),
        }
    }

    /// Closes; with `reset` nothing that our kernel still holds is delivered later.
    pub(crate) fn close(self, reset: bool) {
        if let (Some(stream), true) = (self.stream.tcp(), reset) {
            // Where it fails the socket is closed in the ordinary way, which the fence and the server's own checks still cover.
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}
