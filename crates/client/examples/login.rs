//! Login by a one-time code, and sessions.
//!
//!     cargo run --example login                     # needs a Redis, at REDIS_URL or on this machine
//!     redial drill power-off -- target/debug/examples/login
//!
//! - A code is good for five minutes and five attempts, and for one login: it is compared, counted and used up in one step on the server.
//! - The session is made in that same step, under a name that the caller chose before. So a login whose reply was lost can be sent again, and gives the
//!   same session instead of "wrong code".
//! - A session lives for an hour after its last use. Only a hash of its name is stored: who reads the database can't log in with what is there.
//!
//! What it leaves out: how the code reaches the user, and limits on how many codes an address may ask for.

use std::fmt::Write as _;
use std::time::Duration;

use redial::prelude::*;
use redial::{Client, Error, Resend, Script};
use sha2::{Digest as _, Sha256};

const CODE_LIVES: Duration = Duration::from_secs(5 * 60);
const ATTEMPTS: u32 = 5;
const SESSION_LIVES: Duration = Duration::from_secs(60 * 60);

const LOG_IN: &str = "
if redis.call('GET', KEYS[2]) == ARGV[2] then return 1 end
local left = redis.call('HINCRBY', KEYS[1], 'left', -1)
if redis.call('HGET', KEYS[1], 'code') == ARGV[1] and left >= 0 then
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  return 1
end
if left <= 0 or redis.call('HEXISTS', KEYS[1], 'code') == 0 then redis.call('DEL', KEYS[1]) end
return 0";

pub(crate) struct Logins {
    client: Client,
    log_in: Script,
}

impl Logins {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), log_in: Script::new(LOG_IN) }
    }

    /// A new code for this user, which ends any older one.
    pub(crate) async fn new_code(&self, user: &str) -> Result<String, Error> {
        let code = format!("{:06}", u64::from_le_bytes(random()) % 1_000_000);
        let key = code_key(user);
        let mut asked = self.client.transaction();
        asked.del([&key]).queue();
        asked.hset(&key, [("code", hash(&code)), ("left", ATTEMPTS.to_string())]).queue();
        asked.pexpire(&key, CODE_LIVES.as_millis() as u64).queue();
        asked.resend(Resend::Idempotent).exec::<()>().await?;
        Ok(code)
    }

    /// The name of a new session, if the code is right.
    pub(crate) async fn log_in(&self, user: &str, code: &str) -> Result<Option<String>, Error> {
        let session = hex(&random::<32>());
        let call = self.client.script(&self.log_in).key(code_key(user)).key(session_key(&session));
        let call = call.arg(hash(code)).arg(user).arg(SESSION_LIVES.as_millis() as u64);
        let is_right: bool = call.resend(Resend::Always).await?;
        Ok(is_right.then_some(session))
    }

    /// Whose session it is; it lives on for an hour from now.
    pub(crate) async fn user_of(&self, session: &str) -> Result<Option<String>, Error> {
        let command = self.client.getex(session_key(session)).px(SESSION_LIVES.as_millis() as u64);
        command.resend(Resend::Always).await
    }

    /// Ends a session.
    pub(crate) async fn log_out(&self, session: &str) -> Result<(), Error> {
        self.client.del([session_key(session)]).resend(Resend::Idempotent).await.map(drop)
    }
}

fn code_key(user: &str) -> String {
    format!("login:code:{user}")
}

fn session_key(session: &str) -> String {
    format!("login:session:{}", hash(session))
}

/// From the system's source: a code or a session that can be guessed is none.
#[expect(clippy::expect_used, reason = "without them nobody may log in")]
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// Enough for names that nobody can guess; passwords would need a slow one.
fn hash(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests use this file as a module")]
async fn main() -> Result<(), Error> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://localhost".into());
    let logins = Logins::new(&Client::connect(&url).await?);
    for turn in 0_u64.. {
        let user = format!("user{}", turn % 10);
        match one_visit(&logins, &user).await {
            Ok(()) if turn % 100 == 0 => println!("{user} came and went, the {turn}th visit"),
            Ok(()) => {}
            Err(error) => eprintln!("{user} has to come again: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[allow(dead_code, reason = "the tests use this file as a module")]
async fn one_visit(logins: &Logins, user: &str) -> Result<(), Error> {
    let code = logins.new_code(user).await?;
    if let Some(session) = logins.log_in(user, &code).await? {
        assert_eq!(logins.user_of(&session).await?.as_deref(), Some(user));
        logins.log_out(&session).await?;
    }
    Ok(())
}
