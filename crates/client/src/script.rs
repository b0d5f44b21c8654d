//! Scripts: named by their hash, and sent whole where the server does not know them yet. Calls of functions, which go the same way.
//!
//! What is in a script, and whether it may be sent twice, is the caller's business; how a function comes to the server is in `function`.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redial_commands::ToArg;
use redial_proto::{OpenedId, RequestOptions, Resend};
use redial_resp::{Command, Frame, FromReply};

use crate::client::Handle;
use crate::error::Error;
use crate::function::Function;
use crate::request::Request;

/// A Lua script and its hash. Cheap to clone; made once and run often, with [`Client::script`](crate::Client::script).
///
/// ```no_run
/// # async fn example(client: redial::Client) -> Result<(), redial::Error> {
/// let give_back = redial::Script::new(
///     "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
/// );
/// let was_mine: bool = client.script(&give_back).key("lock").arg("token").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Script {
    source: Arc<str>,
    sha1: Arc<str>,
    reads_only: bool,
}

impl Script {
    /// A script that may write. What it says is checked by the server, at its first run.
    #[must_use]
    pub fn new(source: &str) -> Self {
        let sha1 = sha1_smol::Sha1::from(source).hexdigest();
        Self { source: source.into(), sha1: sha1.into(), reads_only: false }
    }

    /// A script that only reads: the server refuses its writes (`EVAL_RO`, from Redis 7.0), and it may be sent again after anything.
    #[must_use]
    pub fn read_only(source: &str) -> Self {
        Self { reads_only: true, ..Self::new(source) }
    }

    /// The SHA-1 of its source, in hexadecimal: what SCRIPT EXISTS asks for.
    #[must_use]
    pub fn sha1(&self) -> &str {
        &self.sha1
    }

    /// Its source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    fn by_hash(&self) -> Command {
        self.command(if self.reads_only { "EVALSHA_RO" } else { "EVALSHA" }, &self.sha1)
    }

    fn whole(&self) -> Command {
        self.command(if self.reads_only { "EVAL_RO" } else { "EVAL" }, &self.source)
    }

    fn command(&self, name: &str, script: &str) -> Command {
        let mut command = Command::new(name);
        command.push_arg(script.as_bytes());
        command
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("sha1", &self.sha1).finish_non_exhaustive()
    }
}

/// What is to run.
#[derive(Clone, Debug)]
pub(crate) enum Code {
    Script(Script),
    Function(Function),
}

impl From<&Script> for Code {
    fn from(script: &Script) -> Self {
        Self::Script(script.clone())
    }
}

impl From<&Function> for Code {
    fn from(function: &Function) -> Self {
        Self::Function(function.clone())
    }
}

impl Code {
    /// The beginning of the command that asks whether the server knows it.
    fn by_name(&self) -> Command {
        match self {
            Self::Script(script) => script.by_hash(),
            Self::Function(function) => function.by_name(),
        }
    }

    /// True if the server does not know it, so that it did not run there.
    fn is_missing(&self, told: &Result<Frame, Error>) -> bool {
        let text = match told {
            Ok(told) => told.error().map(|error| error.to_string()),
            Err(error) => error.server_text().map(str::to_owned),
        };
        text.is_some_and(|text| match self {
            Self::Script(_) => text.starts_with("NOSCRIPT "),
            Self::Function(_) => Function::is_missing(&text),
        })
    }

    fn check(&self, told: Frame) -> Result<Frame, Error> {
        match self {
            Self::Script(_) => Ok(told),
            Self::Function(function) => function.hopeless(&told).map_or(Ok(told), Err),
        }
    }
}

/// One run of a script or function; `.await` sends it.
#[must_use = "it does not run unless it is awaited"]
#[derive(Debug)]
pub struct ScriptCall<R> {
    handle: Arc<Handle>,
    code: Code,
    /// Its arguments from KEYS on, each list behind a name that is not sent.
    keys: Command,
    args: Command,
    options: RequestOptions,
    reply: PhantomData<fn() -> R>,
}

impl<R> ScriptCall<R> {
    pub(crate) fn new(handle: Arc<Handle>, code: impl Into<Code>) -> Self {
        Self {
            handle,
            code: code.into(),
            keys: Command::new("KEYS"),
            args: Command::new("ARGV"),
            options: RequestOptions::default(),
            reply: PhantomData,
        }
    }

    /// Runs it over a link that was opened for it.
    pub(crate) const fn on(mut self, link: OpenedId) -> Self {
        self.options.on = Some(link);
        self
    }

    /// Adds a key: the script's next `KEYS[n]`. All keys that it touches should be named here.
    pub fn key(mut self, key: impl ToArg) -> Self {
        key.write_to(&mut self.keys);
        self
    }

    /// Adds an argument: the script's next `ARGV[n]`.
    pub fn arg(mut self, arg: impl ToArg) -> Self {
        arg.write_to(&mut self.args);
        self
    }

    /// As [`Cmd::timeout`](crate::Cmd::timeout).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// As [`Cmd::resend`](crate::Cmd::resend). A script that stopped half way is sent again under [`Resend::Always`] only.
    pub const fn resend(mut self, resend: Resend) -> Self {
        self.options.resend = Some(resend);
        self
    }

    fn write_to(&self, command: &mut Command) {
        command.push_int(self.keys.arg_count() as u64 - 1);
        for key in self.keys.args().skip(1) {
            command.push_arg(&self.handle.key(key));
        }
        self.args.args().skip(1).for_each(|arg| command.push_arg(arg));
    }
}

impl<R: FromReply + 'static> IntoFuture for ScriptCall<R> {
    type Output = Result<R, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { handle, code, options, .. } = &self;
        let reply = run(Arc::clone(handle), code.clone(), *options, move |command| {
            self.write_to(command);
            Ok(())
        });
        Box::pin(async { reply.await?.decode().map_err(Error::from) })
    }
}

/// Runs it, after bringing it to a server that does not know it: one that was started or promoted since may never have seen it. All within one deadline.
pub(crate) async fn run(
    handle: Arc<Handle>,
    code: Code,
    mut options: RequestOptions,
    write_rest: impl Fn(&mut Command) -> Result<(), Error>,
) -> Result<Frame, Error> {
    let begun = Instant::now();
    let timeout = {
        let core = &handle.mailbox.lock().core;
        options.resend = Some(options.resend.unwrap_or_else(|| core.resend()));
        options.timeout.unwrap_or_else(|| core.request_timeout())
    };
    options.timeout = Some(timeout);
    let mut command = code.by_name();
    write_rest(&mut command)?;
    let told = Request::<Frame>::as_is(Arc::clone(&handle), command, options).await;
    if !code.is_missing(&told) {
        return code.check(told?);
    }
    // Who does not know it says nothing of another server, which may have been asked before it and have run it.
    let is_first = told.is_ok();
    let again = async {
        options.timeout = Some(timeout.saturating_sub(begun.elapsed()));
        let mut command = match &code {
            Code::Script(script) => script.whole(),
            Code::Function(function) => {
                function.load(Arc::clone(&handle), options).await?;
                options.timeout = Some(timeout.saturating_sub(begun.elapsed()));
                function.by_name()
            }
        };
        write_rest(&mut command)?;
        code.check(Request::as_is(handle, command, options).await?)
    };
    let told = again.await;
    if is_first { told } else { told.map_err(Error::or_unknown) }
}
