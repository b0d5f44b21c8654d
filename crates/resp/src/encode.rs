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

/// Room that a new command gets: header, name, a key and a short value.
const INITIAL_CAPACITY: usize = 96;

/// A command and its arguments as RESP.
#[derive(Clone)]
pub struct Command {
    /// The header, right-aligned in [`HEADER`] bytes, then every argument as `$3\r\nfoo\r\n`, a
    /// large one as `$20000\r\n\r\n`.
    buf: Vec<u8>,
    /// What belongs between the two CRLFs of the large ones.
    large: Option<Box<Large>>,
    count: u32,
    /// Where the header's `*` stands.
    start: u8,
    too_large: Option<TooLarge>,
}

#[derive(Clone, Default)]
struct Large {
    /// Each with the offset in `buf` that it belongs to, in ascending order.
    args: Vec<(usize, Bytes)>,
    bytes: usize,
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
        Self::with_buffer(Vec::with_capacity(INITIAL_CAPACITY), name)
    }

    /// The same, in a buffer that is already there. What it holds is cleared, its capacity stays.
    #[inline]
    pub fn with_buffer(mut buffer: Vec<u8>, name: impl AsRef<[u8]>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(EMPTY_HEADER);
        let start = (LAST_DIGIT - 1) as u8;
        let mut command = Self { buf: buffer, large: None, count: 0, start, too_large: None };
        command.push_name(name.as_ref());
        command
    }

    /// The buffer, to be used again by [`with_buffer`](Self::with_buffer).
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
        if !self.admit(arg.len()) {
            return;
        }
        // The longest length within MAX_ARG makes `$536870912\r\n`.
        self.buf.reserve(arg.len() + 16);
        self.write_length(arg.len());
        self.buf.extend_from_slice(arg);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// Appends one argument; from [`LARGE_ARG`] on it is shared instead of copied.
    pub fn push_bytes(&mut self, arg: Bytes) {
        if arg.len() < LARGE_ARG {
            return self.push_arg(&arg);
        }
        if !self.admit(arg.len()) {
            return;
        }
        self.write_length(arg.len());
        let large = self.large.get_or_insert_default();
        large.bytes += arg.len();
        large.args.push((self.buf.len(), arg));
        self.buf.extend_from_slice(b"\r\n");
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
    pub fn name(&self) -> &[u8] {
        self.args().next().unwrap_or_default()
    }

    /// All arguments in order, the words of the name included.
    pub fn args(&self) -> Args<'_> {
        let large = self.large.as_ref().map_or(&[][..], |large| &large.args);
        Args::new(&self.buf, HEADER, large, self.arg_count())
    }

    /// Why the command must not be sent, if so. Once said, it stays said; arguments pushed since
    /// are dropped.
    #[inline]
    pub fn too_large(&self) -> Option<TooLarge> {
        self.too_large
    }

    /// The length of the wire bytes.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| large.bytes);
        self.buf.len() - usize::from(self.start) + large
    }

    /// The wire bytes, where they are one slice: always, unless a large argument is shared.
    #[inline]
    pub fn as_contiguous(&self) -> Option<&[u8]> {
        match self.large {
            None => Some(&self.buf[usize::from(self.start)..]),
            Some(_) => None,
        }
    }

    /// The wire bytes in pieces, to be written one after the other.
    pub fn pieces(&self) -> Pieces<'_> {
        let large = self.large.as_ref().map_or(&[][..], |large| &large.args);
        Pieces::new(&self.buf, usize::from(self.start), large)
    }

    /// Counts one more argument, or says that it can't be taken.
    #[inline]
    fn admit(&mut self, len: usize) -> bool {
        if len > MAX_ARG || self.count >= MAX_ARGS || self.too_large.is_some() {
            self.refuse(len);
            return false;
        }
        self.count += 1;
        let digit = &mut self.buf[LAST_DIGIT];
        if *digit < b'9' {
            *digit += 1;
        } else {
            self.carry();
        }
        true
    }

    #[cold]
    fn refuse(&mut self, len: usize) {
        let why = if len > MAX_ARG {
            TooLarge::Argument { index: self.count, len }
        } else {
            TooLarge::Count
        };
        self.too_large.get_or_insert(why);
    }

    /// `*9` becomes `*10`, `*19` becomes `*20`.
    #[cold]
    fn carry(&mut self) {
        let start = usize::from(self.start);
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

    #[inline]
    fn write_length(&mut self, len: usize) {
        // Arrays of a known size are stored at once; most lengths have one or two digits.
        if len < 10 {
            self.buf.extend_from_slice(&[b'$', b'0' + len as u8, b'\r', b'\n']);
        } else if len < 100 {
            let (tens, ones) = (b'0' + (len / 10) as u8, b'0' + (len % 10) as u8);
            self.buf.extend_from_slice(&[b'$', tens, ones, b'\r', b'\n']);
        } else {
            self.buf.push(b'$');
            self.buf.extend_from_slice(Decimal::unsigned(len as u64).as_bytes());
            self.buf.extend_from_slice(b"\r\n");
        }
    }
}

/// Names the command and counts its arguments; they may be secret and stay unsaid.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &format_args!("\"{}\"", self.name().escape_ascii()))
            .field("arg_count", &self.count)
            .field("encoded_len", &self.encoded_len())
            .field("too_large", &self.too_large)
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

const _: () = assert!(size_of::<Command>() <= 64);

#[cfg(test)]
mod tests;
