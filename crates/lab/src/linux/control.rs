//! A blocking connection to a server's unix socket: commands go past the wire, whatever its state.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Reply;

/// A connection that is made when it is needed, and again after it failed.
#[derive(Debug)]
pub(super) struct Control {
    socket: PathBuf,
    connection: Mutex<Option<BufReader<UnixStream>>>,
}

impl Control {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), connection: Mutex::new(None) }
    }

    /// Runs one command. The patience is for each read and write of it.
    pub(super) fn run<S: AsRef<[u8]>>(&self, args: &[S], patience: Duration) -> io::Result<Reply> {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection whose reply was not waited for would give it to the next command: it is put
        // back only after its own reply.
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => BufReader::new(UnixStream::connect(&self.socket)?),
        };
        connection.get_ref().set_read_timeout(Some(patience))?;
        connection.get_ref().set_write_timeout(Some(patience))?;
        connection.get_mut().write_all(&encode(args))?;
        let reply = Reply::read(&mut connection)?;
        *slot = Some(connection);
        Ok(reply)
    }

    /// Forgets the connection: its server has ended.
    pub(super) fn close(&self) {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn encode<S: AsRef<[u8]>>(args: &[S]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
