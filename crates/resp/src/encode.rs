//! One command, encoded as it is built.
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

/// Room for `*`, ten digits and CRLF in front of the arguments, rounded up.
const HEADER: usize = 16;
const EMPTY_HEADER: &[u8; HEADER] = b"............*0\r\n";
const LAST_DIGIT: usize = HEADER - 3;

/// Room that a command has from the start: header, name, a key and a value of 64 bytes. Much more
/// would be felt where 100,000 commands wait for a server.
const INITIAL_ROOM: usize = 128;

/// Room made behind an argument that found too little.
const MORE_ROOM: usize = 32;

/// A command and its arguments as RESP.
pub struct Command {
    /// The header, right-aligned in [`HEADER`] bytes, then every argument as `$3\r\nfoo\r\n`, a
    /// large one as `$20000\r\n\r\n`. Behind `end` there is room: initialised, so that a small
    /// argument is written with one check, and stale.
    buf: Vec<u8>,
    end: usize,
    /// What few commands have. Boxed, because commands are moved and queued.
    extra: Option<Box<Extra>>,
    count: u32,
    /// Where the header's `*` stands.
    start: u32,
}

#[derive(Clone, Default)]
struct Extra {
    /// What belongs between the two CRLFs of large arguments, each with its offset in `buf`, in
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
        buffer[..HEADER].copy_from_slice(EMPTY_HEADER);
        let start = (LAST_DIGIT - 1) as u32;
        let mut command = Self { buf: buffer, end: HEADER, extra: None, count: 0, start };
        command.push_name(name.as_ref());
        command
    }

    /// The buffer, to be used again by [`with_buffer`](Self::with_buffer). It still holds the
    /// arguments and whatever was there before.
    #[inline]
    pub fn into_buffer(self) -> Vec<u8> {
        self.buf
    }

    #[inline]
    fn push_name(&mut self, name: &[u8]) {
        if !name.contains(&b' ') {
            return self.push_arg(name);
        }
        for word in name.split(|&b| b == b' ').filter(|word| !word.is_empty()) {
            self.push_arg(word);
        }
        if self.count == 0 {
            // A server answers nothing at all to a command of no arguments.
            self.push_arg(name);
        }
    }

    /// Appends one argument, copying it.
    #[inline]
    pub fn push_arg(&mut self, arg: &[u8]) {
        let len = arg.len();
        let digit = |n: usize| b'0' + n as u8;
        let written = match len {
            0..10 => self.write_small([b'$', digit(len), b'\r', b'\n'], arg),
            10..100 => {
                self.write_small([b'$', digit(len / 10), digit(len % 10), b'\r', b'\n'], arg)
            }
            _ => false,
        };
        if !written {
            self.append(arg, len);
        }
    }

    /// Appends one argument; from [`LARGE_ARG`] on it is shared instead of copied.
    pub fn push_bytes(&mut self, arg: Bytes) {
        if arg.len() < LARGE_ARG {
            self.push_arg(&arg);
        } else if self.append(b"", arg.len()) {
            let offset = self.end - 2;
            let extra = self.extra.get_or_insert_default();
            extra.large_bytes += arg.len();
            extra.large.push((offset, arg));
        }
    }

    /// Writes an argument into the room that is there. `false`: it has to be appended with care.
    #[inline]
    fn write_small<const N: usize>(&mut self, header: [u8; N], arg: &[u8]) -> bool {
        if self.extra.is_some() || self.count >= MAX_ARGS {
            return false;
        }
        let end = self.end + N + arg.len() + 2;
        let Some(room) = self.buf.get_mut(self.end..end) else { return false };
        let (room_of_header, rest) = room.split_at_mut(N);
        let (room_of_arg, crlf) = rest.split_at_mut(arg.len());
        room_of_header.copy_from_slice(&header);
        room_of_arg.copy_from_slice(arg);
        crlf.copy_from_slice(b"\r\n");
        self.end = end;
        self.count_one();
        true
    }

    /// Appends an argument of length `len` of which `inline` is kept in the buffer, and makes room
    /// for more; or refuses it.
    #[inline(never)]
    fn append(&mut self, inline: &[u8], len: usize) -> bool {
        if len > MAX_ARG || self.count >= MAX_ARGS || self.too_large().is_some() {
            self.refuse(len);
            return false;
        }
        self.buf.truncate(self.end);
        // The longest length within MAX_ARG makes `$536870912\r\n`.
        self.buf.reserve(inline.len() + 14 + MORE_ROOM);
        self.buf.push(b'$');
        self.buf.extend_from_slice(Decimal::unsigned(len as u64).as_bytes());
        self.buf.extend_from_slice(b"\r\n");
        self.buf.extend_from_slice(inline);
        self.buf.extend_from_slice(b"\r\n");
        self.end = self.buf.len();
        self.buf.resize(self.end + MORE_ROOM, 0);
        self.count_one();
        true
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

    /// How many arguments there are, the words of the name included.
    #[inline]
    pub fn arg_count(&self) -> usize {
        self.count as usize
    }

    /// The first word of the name, as it was given.
    #[inline]
    pub fn name(&self) -> &[u8] {
        // Asked of every command, and nearly every name has one digit of length.
        if let Some([b'$', digit @ b'0'..=b'9', b'\r', b'\n', rest @ ..]) =
            self.buf.get(HEADER..self.end)
        {
            return rest.get(..usize::from(digit - b'0')).unwrap_or_default();
        }
        self.args().next().unwrap_or_default()
    }

    /// All arguments in order, the words of the name included.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buf[..self.end], HEADER, self.large(), self.arg_count())
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
        self.end - self.start as usize + self.extra.as_ref().map_or(0, |extra| extra.large_bytes)
    }

    /// The wire bytes, where they are one slice: always, unless a large argument is shared.
    #[inline]
    pub fn as_contiguous(&self) -> Option<&[u8]> {
        self.large().is_empty().then(|| &self.buf[self.start as usize..self.end])
    }

    /// The wire bytes in pieces, to be written one after the other.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces::new(&self.buf[..self.end], self.start as usize, self.large())
    }

    #[inline]
    fn large(&self) -> &[(usize, Bytes)] {
        self.extra.as_ref().map_or(&[], |extra| &extra.large)
    }

    #[inline]
    fn count_one(&mut self) {
        self.count += 1;
        let digit = &mut self.buf[LAST_DIGIT];
        if *digit < b'9' {
            *digit += 1;
        } else {
            self.carry();
        }
    }

    fn refuse(&mut self, len: usize) {
        let why = if len > MAX_ARG {
            TooLarge::Argument { index: self.count, len }
        } else {
            TooLarge::Count
        };
        self.extra.get_or_insert_default().too_large.get_or_insert(why);
    }

    /// `*9` becomes `*10`, `*19` becomes `*20`.
    #[cold]
    fn carry(&mut self) {
        let start = self.start as usize;
        for at in (start + 1..=LAST_DIGIT).rev() {
            if self.buf[at] < b'9' {
                self.buf[at] += 1;
                return;
            }
            self.buf[at] = b'0';
        }
        self.buf[start] = b'1';
        self.buf[start - 1] = b'*';
        self.start -= 1;
    }
}

/// Without the room, which in a pooled buffer may be large.
impl Clone for Command {
    fn clone(&self) -> Self {
        let (buf, extra) = (self.buf[..self.end].to_vec(), self.extra.clone());
        Self { buf, end: self.end, extra, count: self.count, start: self.start }
    }
}

/// Names the command and counts its arguments; they may be secret and stay unsaid.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &format_args!("\"{}\"", self.name().escape_ascii()))
            .field("arg_count", &self.count)
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
