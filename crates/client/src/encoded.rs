//! Several commands, encoded one behind the other as they are built: what a pipeline and a transaction are made of.

use redial_commands::ToArg;
use redial_proto::Class;
use redial_resp::Command;

use crate::buffers;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    pub(crate) encoded: Vec<u8>,
    pub(crate) sealed: Vec<Sealed>,
    /// All of them are to be one run of bytes.
    is_transaction: bool,
    /// Name and class of the last one whose name says all: pipelines repeat themselves.
    known: (Vec<u8>, Class),
    /// The one that arguments are still added to.
    pub(crate) open: Option<Command>,
}

/// A command that is complete.
#[derive(Debug)]
pub(crate) enum Sealed {
    /// So many of the encoded bytes.
    Encoded { len: usize, class: Class },
    /// Blocks, or has large arguments that are not copied.
    Whole(Box<Command>),
    /// Can't be sent.
    Refused(redial_proto::Error),
}

impl Sealed {
    pub(crate) const fn is_encoded(&self) -> bool {
        matches!(self, Self::Encoded { .. })
    }

    /// How many of the encoded bytes it has.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Encoded { len, .. } => *len,
            Self::Whole(_) | Self::Refused(_) => 0,
        }
    }
}

impl Commands {
    /// Those of a transaction, behind their MULTI.
    pub(crate) fn of_transaction() -> Self {
        Self { is_transaction: true, ..Self::default() }
    }

    /// All of them, leaving none.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self { is_transaction: self.is_transaction, ..Self::default() };
        std::mem::replace(self, empty)
    }

    /// Adds a command that was built elsewhere; gives its place.
    pub(crate) fn add(&mut self, command: Command) -> usize {
        self.close();
        let place = self.sealed.len();
        let buffer = self.seal(command);
        buffers::keep(buffer);
        place
    }

    pub(crate) fn begin(&mut self, name: &str) {
        let next = match self.open.take() {
            None => buffers::command(name),
            Some(command) => Command::with_buffer(self.seal(command), name),
        };
        self.open = Some(next);
    }

    /// Completes a command; gives its buffer for the next.
    fn seal(&mut self, command: Command) -> Vec<u8> {
        self.open_transaction();
        let sealed = match (self.check(&command), command.as_contiguous()) {
            (Err(error), _) => Sealed::Refused(error),
            (Ok(class), Some(bytes)) if self.is_transaction || !class.is(Class::BLOCKING) => {
                self.encoded.extend_from_slice(bytes);
                Sealed::Encoded { len: bytes.len(), class: with_options(&command, class) }
            }
            (Ok(class), None) if self.is_transaction => {
                let begin = self.encoded.len();
                for piece in command.pieces() {
                    self.encoded.extend_from_slice(piece.as_ref());
                }
                let len = self.encoded.len() - begin;
                Sealed::Encoded { len, class: with_options(&command, class) }
            }
            (Ok(_), _) => {
                self.sealed.push(Sealed::Whole(Box::new(command)));
                return Vec::new();
            }
        };
        self.sealed.push(sealed);
        command.into_buffer()
    }

    fn open_transaction(&mut self) {
        if self.is_transaction && self.encoded.is_empty() {
            self.encoded.extend_from_slice(MULTI);
        }
    }

    fn check(&mut self, command: &Command) -> Result<Class, redial_proto::Error> {
        let (name, class) = &self.known;
        if command.name() == name.as_slice() && command.too_large().is_none() {
            return Ok(*class);
        }
        let class = redial_proto::check(command)?;
        if !class.is(Class::CONTAINER) {
            self.known.0.clear();
            self.known.0.extend_from_slice(command.name());
            self.known.1 = class;
        }
        Ok(class)
    }

    /// Completes the last one.
    pub(crate) fn close(&mut self) {
        if let Some(command) = self.open.take() {
            let buffer = self.seal(command);
            buffers::keep(buffer);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() + usize::from(self.open.is_some())
    }

    /// Adds an argument to the last command; before the first it belongs to one without a name, which the server will refuse.
    pub(crate) fn arg(&mut self, arg: impl ToArg) {
        if self.open.is_none() {
            self.begin("");
        }
        if let Some(command) = &mut self.open {
            arg.write_to(command);
        }
    }

    /// Completes a transaction, and says what holds for all of it.
    ///
    /// # Errors
    /// One of its commands can't be sent; then none may be.
    pub(crate) fn close_transaction(&mut self) -> Result<Class, redial_proto::Error> {
        self.close();
        self.open_transaction();
        self.encoded.extend_from_slice(EXEC);
        let mut all = Class::READ.in_transaction_with(Class::READ);
        for command in &self.sealed {
            match command {
                Sealed::Encoded { class, .. } => all = all.in_transaction_with(*class),
                Sealed::Refused(error) => return Err(error.clone()),
                Sealed::Whole(_) => {}
            }
        }
        Ok(all)
    }
}

/// What a command's options leave of its class.
fn with_options(command: &Command, class: Class) -> Class {
    if redial_proto::is_idempotent(command, class) { class } else { class.without_idempotent() }
}
