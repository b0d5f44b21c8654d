//! Buffers for commands, reused on their thread: a command that is built, handed over and dropped costs no allocation, and a pipeline does not
//! grow its buffer anew each time.

use std::cell::Cell;

use redial_resp::Command;

/// Larger ones go back to the allocator.
const LARGEST_BUFFER: usize = 4 * 1024;

/// The same of several commands: a thousand short ones.
const LARGEST_RUN: usize = 64 * 1024;

thread_local! {
    /// One is enough: a caller has one command in hand at a time.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };

    /// For several commands.
    static RUN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A command in a buffer that was used before, if there is one.
pub(crate) fn command(name: &str) -> Command {
    in_buffer(BUFFER.try_with(Cell::take).unwrap_or_default(), name)
}

/// The first of several commands, as [`command`].
pub(crate) fn run(name: &str) -> Command {
    in_buffer(RUN.try_with(Cell::take).unwrap_or_default(), name)
}

fn in_buffer(buffer: Vec<u8>, name: &str) -> Command {
    if buffer.capacity() == 0 { Command::new(name) } else { Command::with_buffer(buffer, name) }
}

/// Keeps the buffer of a command that was handed over.
pub(crate) fn keep(buffer: Vec<u8>) {
    if buffer.capacity() <= LARGEST_BUFFER {
        // A thread that is ending has no use for it.
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
}

/// Keeps the buffer of several.
pub(crate) fn keep_run(buffer: Vec<u8>) {
    if buffer.capacity() <= LARGEST_RUN {
        let _ = RUN.try_with(|kept| kept.set(buffer));
    }
}
