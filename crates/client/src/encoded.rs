//! Several commands, encoded one behind the other as they are built: what a pipeline and a transaction are made of.

use redial_commands::ToArg;
use redial_proto::Class;
use redial_resp::Command;

use crate::buffers;
use crate::key_prefix::KeyPrefix;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Those that are sealed as encoded, a transaction's behind its MULTI; and the last one, while it is being built.
    run: Option<Command>,
    last: Last,
    pub(crate) sealed: Vec<Sealed>,
    /// All of them are to be one run of bytes.
    is_transaction: bool,
    /// What their keys get.
    prefix: Option<KeyPrefix>,
}

/// What the last command of the run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Sealed,
    /// Arguments are still added to it.
    Open,
    /// The same, and it is none of the others unless it is kept.
    Draft,
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
    pub(crate) fn of_pipeline(prefix: Option<KeyPrefix>) -> Self {
        let mut commands = Self::default();
        commands.prefix = prefix;
        commands
    }

    /// Those of a transaction, behind their MULTI.
    pub(crate) fn of_transaction(prefix: Option<KeyPrefix>) -> Self {
        let mut commands = Self::of_pipeline(prefix);
        commands.is_transaction = true;
        commands
    }

    /// All of them, leaving none.
    pub(crate) fn take(&mut self) -> Self {
        let mut empty = Self::of_pipeline(self.prefix.clone());
        empty.is_transaction = self.is_transaction;
        std::mem::replace(self, empty)
    }

    /// The encoded ones, one behind the other.
    pub(crate) fn encoded(&self) -> &[u8] {
        self.run.as_ref().map(Command::run).unwrap_or_default()
    }

    pub(crate) fn begin(&mut self, name: &str) {
        self.close();
        self.build(name);
        self.last = Last::Open;
    }

    /// Begins a command that is dropped, unless it is kept.
    pub(crate) fn begin_draft(&mut self, name: &str) {
        self.close();
        self.build(name);
        self.last = Last::Draft;
    }

    /// Completes a draft; gives its place.
    pub(crate) fn keep_draft(&mut self) -> usize {
        self.last = Last::Open;
        self.close();
        self.sealed.len().saturating_sub(1)
    }

    /// Adds an argument to the last command; before the first it belongs to one without a name, which the server will refuse.
    pub(crate) fn arg(&mut self, arg: impl ToArg) {
        if self.last != Last::Open {
            self.begin("");
        }
        arg.write_to(self.building());
    }

    /// The last command.
    pub(crate) fn building(&mut self) -> &mut Command {
        self.run.get_or_insert_with(|| buffers::run("MULTI"))
    }

    fn build(&mut self, name: &str) {
        if self.run.is_some() || self.is_transaction {
            self.building().begin_next(name);
        } else {
            self.run = Some(buffers::run(name));
        }
    }

    /// Completes the last one.
    pub(crate) fn close(&mut self) {
        let (last, Some(command)) = (std::mem::take(&mut self.last), &mut self.run) else { return };
        match last {
            Last::Sealed => {}
            Last::Draft => drop(command.take_last()),
            Last::Open => {
                let sealed = seal(command, self.is_transaction, self.prefix.as_ref());
                self.sealed.push(sealed);
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() + usize::from(self.last == Last::Open)
    }

    /// Completes a transaction, and says what holds for all of it.
    ///
    /// # Errors
    /// One of its commands can't be sent; then none may be.
    pub(crate) fn close_transaction(&mut self) -> Result<Class, redial_proto::Error> {
        self.close();
        self.building().begin_next("EXEC");
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

impl Drop for Commands {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            buffers::keep_run(run.into_buffer());
        }
    }
}

/// Completes the last command of a run; what can't stay there is taken out.
fn seal(command: &mut Command, is_transaction: bool, prefix: Option<&KeyPrefix>) -> Sealed {
    let prefixed = prefix.map_or(Ok(()), |prefix| prefix.apply(command));
    match prefixed.and_then(|()| redial_proto::check(command)) {
        Err(error) => {
            command.take_last();
            Sealed::Refused(error)
        }
        Ok(class)
            if is_transaction
                || (!class.is(Class::BLOCKING) && command.as_contiguous().is_some()) =>
        {
            let len = command.encoded_len();
            Sealed::Encoded { len, class: with_options(command, class) }
        }
        Ok(_) => Sealed::Whole(Box::new(command.take_last())),
    }
}

/// What a command's options leave of its class.
fn with_options(command: &Command, class: Class) -> Class {
    if redial_proto::is_idempotent(command, class) { class } else { class.without_idempotent() }
}
