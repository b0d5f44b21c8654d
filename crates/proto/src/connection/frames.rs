//! From bytes as they come to frames, in batches: what a read brought is searched once and then handed out slice by slice.

use bytes::{Bytes, BytesMut};
use redial_resp::{Frame, Limits, ProtocolError, Scanner};

/// What was read of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    scanner: Scanner,
    /// Whole frames that were not handed out yet.
    ready: Bytes,
    /// The lengths of all that the read brought, and which of them is the next.
    lens: Vec<usize>,
    next: usize,
    /// The beginning of a frame that is not whole yet.
    partial: BytesMut,
    /// What follows the whole frames breaks the protocol.
    error: Option<ProtocolError>,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            scanner: Scanner::new(Limits::default()),
            ready: Bytes::new(),
            lens: Vec::new(),
            next: 0,
            partial: BytesMut::new(),
            error: None,
        }
    }

    /// Takes what was read. All frames of what came before have been handed out: the core sees to that.
    pub(super) fn push(&mut self, bytes: BytesMut) {
        if self.partial.is_empty() {
            self.partial = bytes;
        } else {
            self.partial.extend_from_slice(&bytes);
        }
        self.lens.clear();
        self.next = 0;
        let mut end = 0;
        loop {
            match self.scanner.scan(self.partial.get(end..).unwrap_or_default()) {
                Ok(Some(len)) => {
                    end += len;
                    self.lens.push(len);
                }
                Ok(None) => break,
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        self.ready = self.partial.split_to(end).freeze();
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, ProtocolError> {
        if let Some(frame) = self.next_if(|_| true) {
            return Ok(Some(frame));
        }
        self.error.take().map_or(Ok(None), Err)
    }

    /// The same, if it begins with a byte that is wanted.
    #[inline]
    pub(super) fn next_if(&mut self, is_wanted: impl FnOnce(u8) -> bool) -> Option<Frame> {
        let len = *self.lens.get(self.next)?;
        if !is_wanted(*self.ready.first()?) {
            return None;
        }
        self.next += 1;
        // The last one takes the whole reference with it.
        Some(Frame::from_scanned(self.ready.split_to(len)))
    }

    /// The buffer to read into next.
    pub(super) fn take_buffer(&mut self) -> BytesMut {
        std::mem::take(&mut self.partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(frames: &mut Frames) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| frames.next().unwrap())
            .map(|frame| frame.as_bytes().to_vec())
            .collect()
    }

    #[test]
    fn frames_come_out_as_they_were_sent_wherever_reads_cut_them() {
        let stream = b"+OK\r\n$5\r\nhello\r\n:7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let mut frames = Frames::new();
                let mut found = Vec::new();
                for piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                    let mut buffer = frames.take_buffer();
                    buffer.extend_from_slice(piece);
                    frames.push(buffer);
                    found.extend(texts(&mut frames));
                }
                assert_eq!(found.len(), 4, "{first} {second}");
                assert_eq!(found.concat(), stream);
            }
        }
    }

    #[test]
    fn frames_before_a_broken_one_are_handed_out_first() {
        let mut frames = Frames::new();
        frames.push(BytesMut::from(&b"+a\r\n+b\r\n?"[..]));
        assert!(frames.next().unwrap().is_some());
        assert!(frames.next().unwrap().is_some());
        assert!(frames.next().is_err());
    }
}
