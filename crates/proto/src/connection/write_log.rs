//! The bytes of one direction, kept until they are answered.
//!
//! What a connection writes is also the copy that a resend is made from: requests are encoded once, into this log, and
//! leave it when their reply arrives. Offsets count from the first byte ever appended and never change, so they double as
//! positions in the stream, which is what a fence's answer is compared with.
//! Which bytes belong to which request is not known here: that is [`super::backlog`].

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use redial_resp::{Command, Piece};

use crate::command::Body;

/// Sealed above this size, so that memory is given back in pieces as replies arrive. Of 4, 16, 64 and 256 KiB the larger two were
/// equally fast in a pipeline of 1,000 GETs.
const SEAL_AT: usize = 64 * 1024;

/// First allocation of an idle connection's log: holds a handshake.
const FIRST_RESERVE: usize = 1024;

/// From this size on a piece is kept as a reference when it moves to another log, below it is copied: a reference costs 32 bytes
/// and keeps its whole chunk alive.
const SHARE_FROM: usize = 4 * 1024;

/// An append-only byte stream whose front can be released.
#[derive(Debug, Default)]
pub(crate) struct WriteLog {
    sealed: VecDeque<Bytes>,
    /// Offset of the first byte of `sealed`.
    start: u64,
    /// Offset of the first byte of `tail`.
    tail_start: u64,
    tail: BytesMut,
}

impl WriteLog {
    /// Offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.tail_start + self.tail.len() as u64
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        (self.end() - self.start) as usize
    }

    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.tail.len() + bytes.len() > self.tail.capacity() {
            self.grow(bytes.len());
        }
        self.tail.extend_from_slice(bytes);
    }

    /// Appends by reference.
    pub(crate) fn append_shared(&mut self, bytes: Bytes) {
        self.seal();
        self.tail_start += bytes.len() as u64;
        self.sealed.push_back(bytes);
    }

    #[inline]
    pub(crate) fn append_body(&mut self, body: Body<'_>) {
        match body {
            Body::Command(command) => self.append_command(command),
            Body::Encoded(bytes) => self.append(bytes),
        }
    }

    #[inline]
    pub(crate) fn append_command(&mut self, command: &Command) {
        match command.as_contiguous() {
            Some(bytes) => self.append(bytes),
            None => self.append_pieces(command),
        }
    }

    fn append_pieces(&mut self, command: &Command) {
        for piece in command.pieces() {
            match piece {
                Piece::Inline(bytes) => self.append(bytes),
                Piece::Shared(bytes) => self.append_shared(bytes),
            }
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        if self.tail.len() + more > SEAL_AT {
            self.seal();
        }
        self.tail.reserve(more.max(self.tail.len()).clamp(FIRST_RESERVE, SEAL_AT).max(more));
    }

    /// Makes everything so far available as slices.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.tail_start += self.tail.len() as u64;
            self.sealed.push_back(self.tail.split().freeze());
        }
    }

    /// The bytes of `from..to`, in pieces.
    pub(crate) fn slices(&mut self, from: u64, to: u64, mut each: impl FnMut(Bytes)) {
        if to > self.tail_start {
            self.seal();
        }
        let mut at = self.start;
        for chunk in &self.sealed {
            let chunk_end = at + chunk.len() as u64;
            if chunk_end > from && at < to {
                let first = from.saturating_sub(at) as usize;
                let last = (to.min(chunk_end) - at) as usize;
                each(chunk.slice(first..last));
            }
            at = chunk_end;
            if at >= to {
                break;
            }
        }
    }

    /// Copies `from..to` of another log behind the end of this one; large pieces by reference.
    pub(crate) fn append_range(&mut self, other: &mut Self, from: u64, to: u64) {
        other.slices(from, to, |bytes| {
            if bytes.len() >= SHARE_FROM {
                self.append_shared(bytes);
            } else {
                self.append(&bytes);
            }
        });
    }

    /// Forgets what lies before `upto`, in whole chunks.
    pub(crate) fn release(&mut self, upto: u64) {
        while let Some(chunk) = self.sealed.front() {
            let chunk_end = self.start + chunk.len() as u64;
            if chunk_end > upto {
                return;
            }
            self.start = chunk_end;
            self.sealed.pop_front();
        }
        self.start = self.tail_start;
        if self.sealed.capacity() > 64 {
            self.sealed.shrink_to(8);
        }
    }

    /// Takes back everything from `from` on; later offsets are given out again.
    pub(crate) fn truncate(&mut self, from: u64) {
        if from >= self.tail_start {
            self.tail.truncate((from - self.tail_start) as usize);
            return;
        }
        self.tail.clear();
        while let Some(chunk) = self.sealed.back_mut() {
            let chunk_start = self.tail_start - chunk.len() as u64;
            if chunk_start >= from {
                self.sealed.pop_back();
                self.tail_start = chunk_start;
            } else {
                chunk.truncate((from - chunk_start) as usize);
                self.tail_start = from;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(log: &mut WriteLog, from: u64, to: u64) -> Vec<u8> {
        let mut all = Vec::new();
        log.slices(from, to, |bytes| all.extend_from_slice(&bytes));
        all
    }

    #[test]
    fn any_range_reads_back_as_it_was_written_across_chunks_and_shared_pieces() {
        let mut log = WriteLog::default();
        let mut all = Vec::new();
        for i in 0..200_u32 {
            let piece = vec![i as u8; (i as usize * 37) % 1500];
            all.extend_from_slice(&piece);
            if i % 7 == 0 {
                log.append_shared(Bytes::from(piece));
            } else {
                log.append(&piece);
            }
        }
        assert_eq!(log.end(), all.len() as u64);
        for (from, to) in [(0, 10), (1, 70_000), (65_000, 66_000), (0, all.len()), (99_999, 99_999)]
        {
            assert_eq!(read(&mut log, from as u64, to as u64), &all[from..to]);
        }
    }

    #[test]
    fn releasing_keeps_offsets_and_frees_whole_chunks() {
        let mut log = WriteLog::default();
        log.append(&[1; 1000]);
        assert_eq!(read(&mut log, 0, 1000).len(), 1000);
        log.append(&[2; 500]);
        log.release(999);
        assert_eq!(log.held(), 1500);
        log.release(1000);
        assert_eq!(log.held(), 500);
        assert_eq!(read(&mut log, 1000, 1500), vec![2; 500]);
    }

    #[test]
    fn truncating_takes_back_the_end_only() {
        let mut log = WriteLog::default();
        log.append(&[1; 100]);
        assert_eq!(read(&mut log, 0, 100).len(), 100);
        log.append(&[2; 100]);
        log.truncate(150);
        log.truncate(50);
        log.append(&[3; 10]);
        assert_eq!(log.end(), 60);
        assert_eq!(read(&mut log, 45, 60), [vec![1; 5], vec![3; 10]].concat());
    }
}
