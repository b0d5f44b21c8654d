//! Functions: called by their name, and their library loaded where the server does not have it.
//!
//! How they are called, and within which deadline, is in `script`.

use std::fmt;
use std::sync::Arc;

use redial_proto::{RequestOptions, Resend};
use redial_resp::{Command, Frame};

use crate::client::Handle;
use crate::error::Error;
use crate::request::Request;

/// The source of a library of functions (Redis 7.0 and later), `#!lua name=…` and what it registers. Cheap to clone; made once.
///
/// ```no_run
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// let shop = redial::Library::new(
///     "#!lua name=shop
///     redis.register_function('take', function(keys, args)
///         if tonumber(redis.call('GET', keys[1]) or 0) < tonumber(args[1]) then return nil end
///         return redis.call('DECRBY', keys[1], args[1])
///     end)",
/// );
/// let left: Option<i64> = client.function(&shop.function("take")).key("stock").arg(2).await?;
/// # Ok(())
/// # }
/// ```
///
/// A library that is there already is used as it is, also where its source is another: one program must not replace what another runs. Load changed code with
/// `FUNCTION LOAD REPLACE` as you deploy it, or give the library and its functions new names.
#[derive(Clone)]
pub struct Library(Arc<str>);

impl Library {
    /// A library of this source. What it says is checked by the server that has to load it.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self(source.into())
    }

    /// Its source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0
    }

    /// One of its functions, which may write (FCALL).
    #[must_use]
    pub fn function(&self, name: &str) -> Function {
        Function { library: self.clone(), name: name.into(), reads_only: false }
    }

    /// One of its functions that only reads: the server refuses it unless it is registered with the flag `no-writes` (FCALL_RO), and it may be sent again after anything.
    #[must_use]
    pub fn read_only(&self, name: &str) -> Function {
        Function { reads_only: true, ..self.function(name) }
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Library").field(&self.0.lines().next().unwrap_or_default()).finish()
    }
}

/// A function of a [`Library`], to be called with [`Client::function`](crate::Client::function). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Function {
    library: Library,
    name: Arc<str>,
    pub(crate) reads_only: bool,
}

impl Function {
    pub(crate) fn by_name(&self) -> Command {
        let mut command = Command::new(if self.reads_only { "FCALL_RO" } else { "FCALL" });
        command.push_arg(self.name.as_bytes());
        command
    }

    /// True if a server that has no such function says so.
    pub(crate) fn is_missing(told: &str) -> bool {
        told == "ERR Function not found"
    }

    /// Why calling it can't succeed; `None` if the error is its own.
    pub(crate) fn hopeless(&self, told: &Frame) -> Option<Error> {
        let text = told.error()?.to_string();
        if text.contains("unknown command") {
            let text =
                "ERR this server has no functions, which came with Redis 7.0: use `Client::script`";
            return Some(Error::server(text));
        }
        Self::is_missing(&text).then(|| {
            Error::server(&format!(
                "{text}: the library that the server has under this name is another one, without {:?}; FUNCTION LOAD REPLACE brings this program's",
                self.name
            ))
        })
    }

    /// Loads its library. That it is there already, since somebody else was faster, is as good.
    ///
    /// # Errors
    /// The server refuses the source, or the library can't be loaded in time; the function was not called.
    pub(crate) async fn load(
        &self,
        handle: Arc<Handle>,
        options: RequestOptions,
    ) -> Result<(), Error> {
        let mut command = Command::new("FUNCTION LOAD");
        command.push_arg(self.library.0.as_bytes());
        // Loaded twice it is still loaded once.
        let options = RequestOptions { resend: Some(Resend::Always), ..options };
        match Request::<()>::as_is(handle, command, options).await {
            Err(error) if error.to_string().contains("already exists") => Ok(()),
            loaded => loaded.map_err(|error| error.before("the library was not loaded")),
        }
    }
}
