//! Writes that run exactly once, however often they have to be sent.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redial_proto::{RequestOptions, Resend};
use redial_resp::{Bytes, Command, Frame, FromReply, Limits, Scanner};

use crate::client::Handle;
use crate::error::Error;
use crate::script::{self, Code, Script};

/// How long a token is kept by default: longer than any outage that a request waits through.
const DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);

/// Lua can't hand more to a call (`LUAI_MAXCSTACK` is 8,000).
const MOST_ARGS: usize = 7_000;

/// A century. Servers refuse what would end behind the range of their clocks.
const LONGEST_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Runs the command in ARGV, or answers what it answered before. Replies are stored as RESP2 bytes, so that nothing is lost in Lua's own types; errors are
/// not stored, since a command that fails has done nothing. The SET before the command changes nothing, as there is no token: where one can't be kept (rights), the
/// command must not run. Memory that is full is no reason: what takes from it may run, and then its token is kept all the same. 6.2 puts its own position
/// before an error's code.
const SCRIPT: &str = r"
local function refused(reply)
  if type(reply) == 'table' and reply.err then
    return {err = (string.gsub(reply.err, '^@?user_script: ?%d+: ?%-?', ''))}
  end
end
local told = redis.pcall('GET', KEYS[1])
if told then return refused(told) or told end
local unkept = refused(redis.pcall('SET', KEYS[1], '', 'XX', 'PX', ARGV[1]))
if unkept and string.sub(unkept.err, 1, 3) ~= 'OOM' then return unkept end
local function encode(value)
  local kind = type(value)
  if kind == 'number' then return string.format(':%.0f\r\n', value) end
  if kind == 'string' then return '$' .. #value .. '\r\n' .. value .. '\r\n' end
  if kind ~= 'table' then return '$-1\r\n' end
  if value.ok then return '+' .. value.ok .. '\r\n' end
  local all = {'*' .. #value .. '\r\n'}
  for i = 1, #value do all[i + 1] = encode(value[i]) end
  return table.concat(all)
end
local reply = redis.pcall(unpack(ARGV, 2))
local error = refused(reply)
if error then return error end
local encoded = encode(reply)
redis.call('SET', KEYS[1], encoded, 'PX', ARGV[1])
return encoded
";

/// A write that is to run exactly once; `.await` sends it, as often as it takes.
///
/// Made by [`Cmd::once`](crate::Cmd::once), which says what it promises and what not.
#[must_use = "a command does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Once<R> {
    handle: Arc<Handle>,
    command: Command,
    options: RequestOptions,
    id: Vec<u8>,
    ttl: Duration,
    reply: PhantomData<fn() -> R>,
}

impl<R> Once<R> {
    pub(crate) fn new(
        handle: Arc<Handle>,
        command: Command,
        options: RequestOptions,
        id: &[u8],
    ) -> Self {
        Self { handle, command, options, id: id.to_vec(), ttl: DEFAULT_TTL, reply: PhantomData }
    }

    /// How long the server remembers that it ran, a century at the most; afterwards the same id runs again. Default: an hour. It must outlast the request's deadline, and
    /// whatever else the program does before it may use the id again.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Refuses what can't be kept, and gives the keys that are written.
    fn check(&self) -> Result<Vec<&[u8]>, Error> {
        let refuse = |text: &str| Err(Error::invalid(text));
        if let Err(error) = redial_proto::check(&self.command) {
            return Err(error.into());
        }
        let Some(keys) = redial_proto::written_keys(&self.command) else {
            return refuse(
                "`once` is for single writes whose keys can be told from their arguments (INCR, LPUSH, SET, …), not for this command",
            );
        };
        let Some(first) = keys.first() else { return refuse("there is no key") };
        if keys.iter().any(|key| redial_proto::slot(key) != redial_proto::slot(first)) {
            return refuse(
                "its keys are in several slots, and a token can be in one only; put a common {tag} into them",
            );
        }
        if self.command.arg_count() > MOST_ARGS {
            return refuse(
                "`once` takes 7,000 arguments at the most: a script can't call with more",
            );
        }
        if self.ttl < Duration::from_millis(1) {
            return refuse(
                "a token that is not kept at all protects from nothing: give a longer `ttl`",
            );
        }
        Ok(keys)
    }

    /// The token's key, in the slot of a key that is written.
    fn token(&self, key: &[u8]) -> Vec<u8> {
        let tag = redial_proto::tag_beside(key);
        let token = [format!("redial:once:{{{tag}}}:").as_bytes(), &self.id].concat();
        let Some(prefix) = &self.handle.key_prefix else { return token };
        let prefixed = prefix.key(&token);
        // A prefix with a tag puts all keys into its slot. One with half a tag would take part of ours into it.
        if redial_proto::slot(&prefixed) == redial_proto::slot(key) {
            return prefixed;
        }
        [format!("redial:once:{{{tag}}}:").as_bytes(), &prefix.key(&self.id)].concat()
    }

    /// What follows the script: the token's key and the command's keys, how long the token is kept, and the command.
    fn write_to(&self, script: &mut Command) -> Result<(), Error> {
        let keys = self.check()?;
        script.push_int(keys.len() as u64 + 1);
        script.push_arg(&self.token(keys.first().copied().unwrap_or_default()));
        for key in &keys {
            script.push_arg(key);
        }
        script.push_int(self.ttl.min(LONGEST_TTL).as_millis() as u64);
        for arg in self.command.args() {
            script.push_arg(arg);
        }
        Ok(())
    }

    async fn run(mut self) -> Result<R, Error>
    where
        R: FromReply,
    {
        static AROUND: LazyLock<Script> = LazyLock::new(|| Script::new(SCRIPT));
        self.options.resend = Some(Resend::Always);
        if let Some(prefix) = &self.handle.key_prefix {
            prefix.apply(&mut self.command)?;
        }
        let handle = Arc::clone(&self.handle);
        let told =
            script::run(handle, Code::from(&*AROUND), self.options, |script| self.write_to(script));
        unwrap_reply(told.await?.decode()?)
    }
}

/// What the script stored: a reply within a reply.
fn unwrap_reply<R: FromReply>(stored: Bytes) -> Result<R, Error> {
    match Scanner::new(Limits::default()).scan(&stored) {
        Ok(Some(len)) if len == stored.len() => {
            Frame::from_scanned(stored).decode().map_err(Error::from)
        }
        _ => Err(Error::protocol(
            "the token holds something else than a reply: another program uses its key (redial:once:…)",
        )),
    }
}

impl<R: FromReply + Send + 'static> IntoFuture for Once<R> {
    type Output = Result<R, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back_as_the_reply_that_it_was() {
        let read = |bytes: &'static [u8]| Bytes::from_static(bytes);
        assert_eq!(unwrap_reply::<i64>(read(b":7\r\n")).unwrap(), 7);
        assert_eq!(unwrap_reply::<Option<String>>(read(b"$-1\r\n")).unwrap(), None);
        assert_eq!(unwrap_reply::<Vec<i64>>(read(b"*2\r\n:1\r\n:2\r\n")).unwrap(), [1, 2]);
        for rubbish in [&b"hello"[..], b"", b":1\r\n:2\r\n", b"$5\r\nab"] {
            assert!(unwrap_reply::<i64>(Bytes::copy_from_slice(rubbish)).is_err());
        }
    }
}
