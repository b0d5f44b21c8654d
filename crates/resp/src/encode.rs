//! One command, encoded as it is built, or several, one behind the other.
//!
//! The wire bytes are always up to date: arguments are appended behind a header that counts them
//! in place, in decimal, so that there is neither a second pass nor a second copy. Large shared
//! arguments are kept beside the buffer. What a command means, and when it is written, is decided
//! elsewhere.

use std::fmt;

use bytes::Bytes;

use crate::decimal::{Decimal, FloatText, Int};
use crate::pieces::{Args, Pieces};

/// From this size on [`Command::push_bytes`] keeps the slice instead of copying it. Below it, one
/// copy costs less than one more piece in a vectored write.
pub const LARGE_ARG: usize = 16 << 10;

/// The longest argument, in bytes: a Redis string holds 512 MiB, and a server with its default
/// `proto-max-bulk-len` closes the connection of whoever announces more, with it every other
/// command in flight.
pub const MAX_ARG: usize = 512 << 20;

/// The most arguments, the name included: the server counts them in an `int` and closes the
/// connection past it.
pub const MAX_ARGS: u32 = i32::MAX as u32;

/// What a command begins as, before its name.
const NO_ARGS: &[u8; 4] = b"*0\r\n";

/// Room that a command has from the start: header, name, a key and a value of 64 bytes. Much more
/// would be felt where 100,000 commands wait for a server.
const INITIAL_ROOM: usize = 128;

/// Longest argument that is written the short way, as most keys are: twice eight bytes.
const SHORT_ARG: usize = 16;

/// Room that the short way asks for: that argument and what belongs to it, rounded up.
const SHORT_ROOM: usize = 32;

/// A command and its arguments as RESP.
///
/// There may be others in front of it, see [`begin_next`](Self::begin_next); it is the last that
/// everything here is about.
pub struct Command {
    /// The header and every argument as `$3\r\nfoo\r\n`, a large one as `$20000\r\n\r\n`. Behind
    /// `end` there is room: initialised, so that a small argument is written with one check, and
    /// stale.
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// What few commands have. Boxed, because commands are moved and queued.
    extra: Option<Box<Extra>>,
}

#[derive(Clone, Default)]
struct Extra {
    /// What belongs between the two CRLFs of large arguments, each with its offset from the start, in
    /// ascending order.
    large: Vec<(usize, Bytes)>,
    large_bytes: usize,
    too_large: Option<TooLarge>,
}

/// Why a command can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLarge {
    /// An argument is longer than [`MAX_ARG`].
    Argument {
        /// Its position; the name is 0.
        index: u32,
        /// Its length in bytes.
        len: usize,
    },
    /// There are more than [`MAX_ARGS`] arguments.
    Count,
}

impl Command {
    /// A command of this name. A name of several words (`"CLIENT LIST"`) is as many arguments,
    /// because that is how servers read it.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self::with_buffer(Vec::with_capacity(INITIAL_ROOM), name)
    }

    /// The same, in a buffer that is already there. What it holds is overwritten; if it is not
    /// cleared before, its room need not be initialised again.
    #[inline]
    pub fn with_buffer(mut buffer: Vec<u8>, name: impl AsRef<[u8]>) -> Self {
        if buffer.len() < INITIAL_ROOM {
            buffer.resize(INITIAL_ROOM, 0);
        }
        buffer[..NO_ARGS.len()].copy_from_slice(NO_ARGS);
        let mut command = Self { buf: buffer, start: 0, end: NO_ARGS.len(), extra: None };
        command.push_name(name.as_ref());
        command
    }

    /// Begins another command behind this one, in whose place it steps: this one is only in
    /// [`run`](Self::run) from now on.
    ///
    /// Large shared arguments are copied there, and a command that is too large to be sent is
    /// dropped; take it out before ([`take_last`](Self::take_last)) if that is not wanted.
    #[inline]
    pub fn begin_next(&mut self, name: &str) {
        if self.extra.is_some() {
            self.copy_large();
        }
        self.start = self.run().len();
        self.end = self.start;
        self.write([NO_ARGS]);
        self.push_name(name.as_bytes());
    }

    /// Takes this command away from those in front of it. Without a name there is none in its place,
    /// and the next to [`begin_next`](Self::begin_next) steps there.
    pub fn take_last(&mut self) -> Self {
        let buf = self.buf[self.start..self.end].to_vec();
        let taken = Self { start: 0, end: buf.len(), buf, extra: self.extra.take() };
        self.end = self.start;
        self.write([NO_ARGS]);
        taken
    }

    /// The wire bytes of all commands in the buffer, without large shared arguments of the last.
    #[inline]
    pub fn run(&self) -> &[u8] {
        let is_empty = self.buf.get(self.start + 1) == Some(&b'0');
        &self.buf[..if is_empty { self.start } else { self.end }]
    }

    /// The buffer, to be used again by [`with_buffer`](Self::with_buffer). It still holds the
    /// arguments and whatever was there before.
    #[inline]
    pub fn into_buffer(self) -> Vec<u8> {
        self.buf
    }

    #[inline]
    fn push_name(&mut self, name: &[u8]) {
        if name.contains(&b' ') {
            self.push_words(name);
        } else {
            self.push_arg(name);
        }
    }

    #[inline(never)]
    fn push_words(&mut self, name: &[u8]) {
        for word in name.split(|&b| b == b' ').filter(|word| !word.is_empty()) {
            self.push_arg(word);
        }
        if self.arg_count() == 0 {
            // A server answers nothing at all to a command of no arguments.
            self.push_arg(name);
        }
    }

    /// Appends one argument, copying it.
    #[inline]
    pub fn push_arg(&mut self, arg: &[u8]) {
        if !self.push_short(arg) {
            self.push_longer(arg);
        }
    }

    /// Appends one argument; from [`LARGE_ARG`] on it is shared instead of copied.
    pub fn push_bytes(&mut self, arg: Bytes) {
        if arg.len() < LARGE_ARG {
            self.push_arg(&arg);
        } else if self.append(b"", arg.len()) {
            let offset = self.end - 2 - self.start;
            let extra = self.extra.get_or_insert_default();
            extra.large_bytes += arg.len();
            extra.large.push((offset, arg));
        }
    }

    /// Appends an argument of a few bytes where there is room, in pieces whose sizes the compiler
    /// knows. `false`: nothing has changed.
    #[inline]
    fn push_short(&mut self, arg: &[u8]) -> bool {
        let room = self.buf.get_mut(self.end..).and_then(<[u8]>::first_chunk_mut);
        match room.and_then(|room| write_short(room, arg)) {
            Some(len) => self.count_written(len),
            None => false,
        }
    }

    #[inline(never)]
    fn push_longer(&mut self, arg: &[u8]) {
        if !self.push_medium(arg) {
            self.append(arg, arg.len());
        }
    }

    /// As [`push_short`](Self::push_short), from 10 to 99 bytes.
    #[inline]
    fn push_medium(&mut self, arg: &[u8]) -> bool {
        let len = arg.len() + 7;
        match self.buf.get_mut(self.end..self.end + len) {
            Some([b0, b1, b2, b3, b4, room @ .., cr, lf]) if (10..100).contains(&room.len()) => {
                let (tens, ones) = (digit(arg.len() / 10), digit(arg.len() % 10));
                [*b0, *b1, *b2, *b3, *b4] = [b'$', tens, ones, b'\r', b'\n'];
                room.copy_from_slice(arg);
                [*cr, *lf] = *b"\r\n";
                self.count_written(len)
            }
            _ => false,
        }
    }

    /// Counts an argument that stands in the room already, if that is all there is to do: it neither
    /// carries nor is one too many, and there are no large ones to look after.
    #[inline]
    fn count_written(&mut self, len: usize) -> bool {
        let header = self.buf.get_mut(self.start..).and_then(<[u8]>::first_chunk_mut);
        let Some([_, ones @ b'0'..=b'8', b'\r', b'\n']) = header else { return false };
        if self.extra.is_some() {
            return false;
        }
        *ones += 1;
        self.end += len;
        true
    }

    /// Where the last digit of the number of arguments stands.
    #[inline]
    fn last_digit(&self) -> usize {
        let mut at = self.start + 1;
        while self.buf[at + 1] != b'\r' {
            at += 1;
        }
        at
    }

    /// Appends an argument of length `len` of which `inline` is kept in the buffer, and makes room
    /// for more; or refuses it.
    fn append(&mut self, inline: &[u8], len: usize) -> bool {
        let count = self.arg_count();
        if len > MAX_ARG || count >= MAX_ARGS as usize || self.too_large().is_some() {
            self.refuse(len);
            return false;
        }
        let digits = Decimal::unsigned(len as u64);
        self.write([b"$", digits.as_bytes(), b"\r\n", inline, b"\r\n"]);
        self.count_one();
        true
    }

    /// Writes into the room, or makes more: all of the buffer's at once, so that it is done as rarely
    /// as the buffer grows.
    #[inline]
    fn write<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let end = self.end + parts.iter().map(|part| part.len()).sum::<usize>();
        if end > self.buf.len() {
            self.buf.truncate(self.end);
            self.buf.reserve(end - self.end);
            parts.into_iter().for_each(|part| self.buf.extend_from_slice(part));
            self.buf.resize(self.buf.capacity(), 0);
        } else {
            let mut at = self.end;
            for part in parts {
                self.buf[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
        }
        self.end = end;
    }

    /// Appends an integer of any type as decimal text.
    #[inline]
    pub fn push_int(&mut self, arg: impl Into<Int>) {
        self.push_arg(Decimal::from(arg.into()).as_bytes());
    }

    /// Appends a number as the shortest decimal text that reads back as the same number (`0.1`,
    /// `3`, `1e300`, `inf`). Servers refuse `NaN`.
    pub fn push_f64(&mut self, arg: f64) {
        self.push_arg(FloatText::new(arg).as_bytes());
    }

    /// Puts `prefix` in front of the arguments at these positions, which ascend; the name is 0. A
    /// command that is too large to be sent stays as it is.
    pub fn prefix_args(&mut self, positions: &[usize], prefix: &[u8]) {
        if self.too_large().is_some() {
            return;
        }
        let command = self.take_last();
        let mut args = command.args();
        let mut positions = positions.iter().peekable();
        let mut at = 0;
        while let Some((arg, shared)) = args.next_or_shared() {
            match shared {
                _ if positions.next_if_eq(&&at).is_some() => self.push_arg(&[prefix, arg].concat()),
                Some(shared) => self.push_bytes(shared.clone()),
                None => self.push_arg(arg),
            }
            at += 1;
        }
    }

    /// How many arguments there are, the words of the name included.
    #[inline]
    pub fn arg_count(&self) -> usize {
        let digits = &self.buf[self.start + 1..=self.last_digit()];
        digits.iter().fold(0, |count, digit| count * 10 + usize::from(digit - b'0'))
    }

    /// The first word of the name, as it was given.
    #[inline]
    pub fn name(&self) -> &[u8] {
        // Asked of every command; nearly every one has one digit of arguments and of length.
        if let Some([_, _, b'\r', b'\n', b'$', digit @ b'0'..=b'9', b'\r', b'\n', rest @ ..]) =
            self.buf.get(self.start..self.end)
        {
            return rest.get(..usize::from(digit - b'0')).unwrap_or_default();
        }
        self.args().next().unwrap_or_default()
    }

    /// The first word of the name where that is the whole of a look: at most eight bytes, the first in
    /// the lowest place, zeros behind the last.
    #[inline]
    pub fn short_name(&self) -> Option<u64> {
        let [_, _, b'\r', b'\n', b'$', digit @ b'1'..=b'8', b'\r', b'\n', name @ ..] =
            self.buf.get(self.start..)?.first_chunk::<16>()?
        else {
            return None;
        };
        let unused = 8 * u32::from(b'8' - digit);
        Some(u64::from_le_bytes(*name.first_chunk()?) << unused >> unused)
    }

    /// The argument behind a name as of [`short_name`](Self::short_name), where that is the whole of a
    /// look: of less than 100 bytes, as most keys are.
    #[inline]
    pub fn short_key(&self) -> Option<&[u8]> {
        let [_, _, b'\r', b'\n', b'$', len @ b'1'..=b'8', b'\r', b'\n', rest @ ..] =
            self.buf.get(self.start..self.end)?
        else {
            return None;
        };
        let value = |digit: u8| usize::from(digit.wrapping_sub(b'0'));
        match rest.get(value(*len) + 2..)? {
            [b'$', ones, b'\r', b'\n', rest @ ..] => rest.get(..value(*ones)),
            [b'$', tens, ones, b'\r', b'\n', rest @ ..] => {
                rest.get(..10 * value(*tens) + value(*ones))
            }
            _ => None,
        }
    }

    /// All arguments in order, the words of the name included.
    pub fn args(&self) -> Args<'_> {
        let first = self.last_digit() + 3 - self.start;
        Args::new(&self.buf[self.start..self.end], first, self.large(), self.arg_count())
    }

    /// Why the command must not be sent, if so. Once said, it stays said; arguments pushed since
    /// are dropped.
    #[inline]
    pub fn too_large(&self) -> Option<TooLarge> {
        self.extra.as_ref().and_then(|extra| extra.too_large)
    }

    /// The length of the wire bytes.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        self.end - self.start + self.extra.as_ref().map_or(0, |extra| extra.large_bytes)
    }

    /// The wire bytes, where they are one slice: always, unless a large argument is shared.
    #[inline]
    pub fn as_contiguous(&self) -> Option<&[u8]> {
        self.large().is_empty().then(|| &self.buf[self.start..self.end])
    }

    /// The wire bytes in pieces, to be written one after the other.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces::new(&self.buf[self.start..self.end], self.large())
    }

    #[inline]
    fn large(&self) -> &[(usize, Bytes)] {
        self.extra.as_ref().map_or(&[], |extra| &extra.large)
    }

    fn refuse(&mut self, len: usize) {
        let why = if len > MAX_ARG {
            TooLarge::Argument { index: self.arg_count() as u32, len }
        } else {
            TooLarge::Count
        };
        self.extra.get_or_insert_default().too_large.get_or_insert(why);
    }

    /// `*9` becomes `*10`, `*19` becomes `*20`.
    fn count_one(&mut self) {
        let first = self.start + 1;
        for at in (first..=self.last_digit()).rev() {
            if self.buf[at] < b'9' {
                self.buf[at] += 1;
                return;
            }
            self.buf[at] = b'0';
        }
        self.write([b"0"]);
        self.buf.copy_within(first..self.end - 1, first + 1);
        self.buf[first] = b'1';
        for (offset, _) in self.extra.iter_mut().flat_map(|extra| &mut extra.large) {
            *offset += 1;
        }
    }

    #[cold]
    fn copy_large(&mut self) {
        let command = self.take_last();
        if command.too_large().is_some() {
            return;
        }
        self.end = self.start;
        for piece in command.pieces() {
            self.write([piece.as_ref()]);
        }
    }
}

/// Writes an argument of at most [`SHORT_ARG`] bytes; gives its length with all that belongs to it.
#[inline]
fn write_short(room: &mut [u8; SHORT_ROOM], arg: &[u8]) -> Option<usize> {
    let len = arg.len();
    let body = match len {
        0..10 => {
            room[..4].copy_from_slice(&[b'$', digit(len), b'\r', b'\n']);
            4
        }
        10..=SHORT_ARG => {
            room[..5].copy_from_slice(&[b'$', b'1', digit(len - 10), b'\r', b'\n']);
            5
        }
        _ => return None,
    };
    match len {
        8.. => copy_ends::<8>(&mut room[body..body + len], arg),
        4.. => copy_ends::<4>(&mut room[body..body + len], arg),
        2.. => copy_ends::<2>(&mut room[body..body + len], arg),
        _ => copy_ends::<1>(&mut room[body..body + len], arg),
    }
    let end = body + len;
    room[end..end + 2].copy_from_slice(b"\r\n");
    Some(end + 2)
}

#[inline]
fn digit(n: usize) -> u8 {
    b'0' + n as u8
}

/// Copies the first and the last bytes, which overlap: all, if there are at most twice as many.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(head), Some(tail)) = (from.first_chunk::<N>(), from.last_chunk::<N>())
        && let Some(to_head) = to.first_chunk_mut::<N>()
    {
        *to_head = *head;
        if let Some(to_tail) = to.last_chunk_mut::<N>() {
            *to_tail = *tail;
        }
    }
}

/// Without the commands in front of it, and without the room, which in a pooled buffer may be large.
impl Clone for Command {
    fn clone(&self) -> Self {
        let (buf, extra) = (self.buf[self.start..self.end].to_vec(), self.extra.clone());
        Self { start: 0, end: buf.len(), buf, extra }
    }
}

/// Names the command and counts its arguments; they may be secret and stay unsaid.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &format_args!("\"{}\"", self.name().escape_ascii()))
            .field("arg_count", &self.arg_count())
            .field("encoded_len", &self.encoded_len())
            .field("too_large", &self.too_large())
            .finish()
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { index, len } => write!(
                f,
                "argument {index} has {len} bytes; a server takes at most {MAX_ARG} \
                 (proto-max-bulk-len): split the value"
            ),
            Self::Count => {
                write!(f, "a command takes at most {MAX_ARGS} arguments: split it into several")
            }
        }
    }
}

impl std::error::Error for TooLarge {}

const _: () = assert!(size_of::<Command>() <= 48);

#[cfg(test)]
mod tests;
