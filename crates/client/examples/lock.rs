//! A lock that several programs share, with fencing tokens.
//!
//!     cargo run --example lock                      # needs a Redis, at REDIS_URL or on this machine
//!     redial drill power-off -- target/debug/examples/lock
//!
//! What it promises: while Redis keeps its data, one owner at a time, for as long as the owner renews it, and a number that grows from owner to owner.
//!
//! What it does not promise: that an owner *knows* in time that it owns no longer. It may be paused (by a garbage collector, a suspended machine) past the
//! end of its lease and go on as if nothing had happened. Nor that a failover keeps the lock: replication is asynchronous. Here a lock is taken with
//! `durable(1)`, so a promoted replica has it, if there is one replica and not several. Against what remains helps the fencing token: whatever the lock protects
//! must refuse a token that is lower than one that it has seen, as `Account` does below. A lock without that check is advice, not protection.

use std::time::{Duration, Instant};

use redial::{Client, Durable, Error, Resend, Script};
use tokio::time::sleep;

/// An owner that asks again after a lost reply gets the same answer, so all three may be sent again after anything.
const TAKE: &str = "
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if held[1] and held[1] ~= ARGV[1] then return false end
local fence = held[2]
if not fence then
  fence = redis.call('INCR', KEYS[2])
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', fence)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return tonumber(fence)";
const RENEW: &str = "
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";
const GIVE_BACK: &str = "
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

pub(crate) struct Lock {
    client: Client,
    durable: Option<Durable>,
    /// Both in one slot, by the braces.
    keys: [String; 2],
    lease: Duration,
    scripts: [Script; 3],
}

/// The lock in hand. Its token is only good until `valid_until`; [`Lock::renew`] moves that.
#[derive(Debug)]
pub(crate) struct Held {
    owner: String,
    pub(crate) fence: u64,
    pub(crate) valid_until: Instant,
}

impl Lock {
    /// `lease`: after so long without renewal it is anybody's. With `durable` it is taken only when a replica knows it.
    pub(crate) fn new(
        client: &Client,
        name: &str,
        lease: Duration,
        durable: Option<Durable>,
    ) -> Self {
        Self {
            client: client.clone(),
            durable,
            keys: [format!("lock:{{{name}}}"), format!("lock:{{{name}}}:fence")],
            lease,
            scripts: [Script::new(TAKE), Script::new(RENEW), Script::new(GIVE_BACK)],
        }
    }

    /// Takes it if it is free.
    pub(crate) async fn try_take(&self, owner: &str) -> Result<Option<Held>, Error> {
        let [lock, fence] = &self.keys;
        // Counted from before the question: the server's lease begins later, and ends later.
        let valid_until = Instant::now() + self.lease;
        let call = match &self.durable {
            Some(durable) => durable.script(&self.scripts[0]),
            None => self.client.script(&self.scripts[0]),
        };
        let call = call.key(lock).key(fence).arg(owner).arg(self.lease.as_millis() as u64);
        let fence: Option<u64> = call.resend(Resend::Always).await?;
        Ok(fence.map(|fence| Held { owner: owner.to_owned(), fence, valid_until }))
    }

    /// Waits until it is free, and takes it.
    pub(crate) async fn take(&self, owner: &str) -> Result<Held, Error> {
        loop {
            if let Some(held) = self.try_take(owner).await? {
                return Ok(held);
            }
            sleep(self.lease / 10).await;
        }
    }

    /// Keeps it for another lease. `false`: it is somebody else's, or nobody's.
    pub(crate) async fn renew(&self, held: &mut Held) -> Result<bool, Error> {
        let valid_until = Instant::now() + self.lease;
        let call = self.client.script::<bool>(&self.scripts[1]).key(&self.keys[0]);
        let call = call.arg(&held.owner).arg(self.lease.as_millis() as u64);
        let still_mine = call.resend(Resend::Always).await?;
        if still_mine {
            held.valid_until = valid_until;
        }
        Ok(still_mine)
    }

    /// Gives it back, if it is still ours.
    pub(crate) async fn give_back(&self, held: Held) -> Result<(), Error> {
        let call = self.client.script::<bool>(&self.scripts[2]).key(&self.keys[0]);
        call.arg(&held.owner).resend(Resend::Always).await.map(drop)
    }
}

/// What the lock protects: it refuses whoever comes with an older token than it has seen.
#[derive(Debug, Default)]
pub(crate) struct Account {
    newest: u64,
    pub(crate) balance: i64,
}

impl Account {
    pub(crate) fn deposit(&mut self, fence: u64, amount: i64) -> Result<(), &'static str> {
        if fence < self.newest {
            return Err("an owner that has been replaced");
        }
        self.newest = fence;
        self.balance += amount;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests use this file as a module")]
async fn main() -> Result<(), Error> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://localhost".into());
    let client = Client::connect(&url).await?;
    let lock = Lock::new(&client, "account", Duration::from_secs(2), None);
    let mut account = Account::default();
    let owner = format!("program {}", std::process::id());
    loop {
        let mut held = match lock.take(&owner).await {
            Ok(held) => held,
            Err(error) => {
                eprintln!("can't take the lock: {error}");
                continue;
            }
        };
        // Work that may take longer than the lease renews it on the way.
        let is_mine = lock.renew(&mut held).await.unwrap_or(false);
        if is_mine && Instant::now() < held.valid_until {
            match account.deposit(held.fence, 1) {
                Ok(()) => println!("fence {}: {}", held.fence, account.balance),
                Err(why) => eprintln!("refused: {why}"),
            }
        }
        if let Err(error) = lock.give_back(held).await {
            eprintln!("can't give the lock back, it ends by itself: {error}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}
