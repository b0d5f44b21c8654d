//! A buffer for commands, reused on its thread: a command that is built, handed over and dropped costs no allocation.

use std::cell::Cell;

use redial_resp::Command;

/// Larger ones go back to the allocator.
const LARGEST_BUFFER: usize = 4 * 1024;

thread_local! {
    /// One is enough: a caller has one command in hand at a time.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A command in a buffer that was used before, if there is one.
pub(crate) fn command(name: &str) -> Command {
    let buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    if buffer.capacity() == 0 { Command::new(name) } else { Command::with_buffer(buffer, name) }
}

/// Keeps the buffer of a command that was handed over.
pub(crate) fn keep(buffer: Vec<u8>) {
    if buffer.capacity() <= LARGEST_BUFFER {
        // A thread that is ending has no use for it.
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
}
