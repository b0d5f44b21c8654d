//! Buffers for commands, reused on their thread: a command that is built, handed over and dropped costs no allocation.

use std::cell::RefCell;

use redial_resp::Command;

/// Buffers that one thread keeps; a caller has one command in hand at a time.
const MOST_BUFFERS: usize = 32;

/// Larger ones go back to the allocator.
const LARGEST_BUFFER: usize = 4 * 1024;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A command in a buffer that was used before, if there is one.
pub(crate) fn command(name: &str) -> Command {
    let buffer = BUFFERS.try_with(|buffers| buffers.borrow_mut().pop()).ok().flatten();
    buffer.map_or_else(|| Command::new(name), |buffer| Command::with_buffer(buffer, name))
}

/// Keeps the buffer of a command that was handed over.
pub(crate) fn give_back(command: Command) {
    let buffer = command.into_buffer();
    if buffer.capacity() <= LARGEST_BUFFER {
        // A thread that is ending has no use for it.
        let _ = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if buffers.len() < MOST_BUFFERS {
                buffers.push(buffer);
            }
        });
    }
}
