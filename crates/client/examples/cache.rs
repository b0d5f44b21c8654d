//! A cache in front of a slow source, which does not fall over where caches usually do.
//!
//!     cargo run --example cache                     # needs a Redis, at REDIS_URL or on this machine
//!     redial drill power-off -- target/debug/examples/cache
//!
//! - Penetration (keys that do not exist are asked for): that there is nothing is cached too, for a shorter time.
//! - Breakdown (a popular key expires, everybody loads it): who finds nothing takes a lease; one loads, the others wait for its result.
//! - Avalanche (many keys expire together): every time to live is jittered. And when Redis is away, the source is asked with a bound on how many at once.
//! - Stale values: a loader may store only while its lease is untouched, and an update takes all leases away. So a value that was read before an
//!   update is never stored after it. What remains: a program that updates the source and dies before `forget` leaves the old value until it expires.

use std::future::Future;
use std::time::Duration;

use redial::prelude::*;
use redial::{Client, Error, Resend, Script};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// The value; or nothing and the lease, if it was free, else only nothing. One key: `=value`, `-` for what does not exist, `?lease` while it is loaded.
const LOOK: &str = "
local found = redis.call('GET', KEYS[1])
if found and string.sub(found, 1, 1) ~= '?' then return found end
if found and found ~= '?' .. ARGV[1] then return false end
redis.call('SET', KEYS[1], '?' .. ARGV[1], 'PX', ARGV[2])
return '?'";
const STORE: &str = "
if redis.call('GET', KEYS[1]) ~= '?' .. ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

pub(crate) struct Cache {
    client: Client,
    prefix: String,
    ttl: Duration,
    look: Script,
    store: Script,
    /// Loads at once while Redis can't be asked.
    without_cache: Semaphore,
}

/// How long a loader may take before another may try.
const LEASE: Duration = Duration::from_secs(5);
/// How often those look who wait for somebody's load.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Longer than this nobody waits for the cache: the source is there.
const PATIENCE: Duration = Duration::from_millis(300);

enum Look {
    Found(Option<String>),
    /// We load.
    Lease,
    /// Somebody else loads.
    Wait,
}

impl Cache {
    pub(crate) fn new(client: &Client, prefix: &str, ttl: Duration) -> Self {
        Self {
            client: client.clone(),
            prefix: prefix.to_owned(),
            ttl,
            look: Script::new(LOOK),
            store: Script::new(STORE),
            without_cache: Semaphore::new(8),
        }
    }

    /// The value of `key`, from the cache or by `load`; `None` is a value too. Fails only as `load` does: without Redis it is slower, no more.
    pub(crate) async fn get<E, F: Future<Output = Result<Option<String>, E>>>(
        &self,
        key: &str,
        load: impl Fn() -> F,
    ) -> Result<Option<String>, E> {
        let lease = format!("{:016x}", fastrand::u64(..));
        let begun = std::time::Instant::now();
        while begun.elapsed() < LEASE {
            match self.look(key, &lease).await {
                Ok(Look::Found(value)) => return Ok(value),
                Ok(Look::Wait) => sleep(LOOK_EVERY).await,
                Ok(Look::Lease) => {
                    let loaded = load().await?;
                    // If it can't be stored, it is loaded again by the next.
                    let _ = self.store(key, &lease, loaded.as_deref()).await;
                    return Ok(loaded);
                }
                Err(_) => break,
            }
        }
        let _turn = self.without_cache.acquire().await;
        load().await
    }

    /// To be called after every update of the source.
    pub(crate) async fn forget(&self, key: &str) -> Result<(), Error> {
        self.client.del([self.key(key)]).resend(Resend::Idempotent).await.map(drop)
    }

    async fn look(&self, key: &str, lease: &str) -> Result<Look, Error> {
        let call = self.client.script(&self.look).key(self.key(key)).arg(lease);
        let call = call.arg(LEASE.as_millis() as u64).timeout(PATIENCE).resend(Resend::Always);
        let found: Option<String> = call.await?;
        Ok(match found.as_deref().map(|found| found.split_at(1)) {
            None => Look::Wait,
            Some(("=", value)) => Look::Found(Some(value.to_owned())),
            Some(("?", _)) => Look::Lease,
            Some(_) => Look::Found(None),
        })
    }

    async fn store(&self, key: &str, lease: &str, value: Option<&str>) -> Result<bool, Error> {
        let (text, ttl) = match value {
            Some(value) => (format!("={value}"), self.ttl),
            None => ("-".to_owned(), self.ttl / 10),
        };
        let ttl = ttl.mul_f64(0.9 + 0.2 * fastrand::f64()).max(Duration::from_millis(1));
        let call = self.client.script(&self.store).key(self.key(key)).arg(lease).arg(text);
        call.arg(ttl.as_millis() as u64).timeout(PATIENCE).await
    }

    fn key(&self, key: &str) -> String {
        format!("{}:{key}", self.prefix)
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests use this file as a module")]
async fn main() -> Result<(), Error> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://localhost".into());
    let client = Client::connect(&url).await?;
    let cache = Cache::new(&client, "weather", Duration::from_secs(2));
    let mut asked = 0;
    for turn in 0_u64.. {
        let city = ["Oslo", "Quito", "Atlantis"][turn as usize % 3];
        let source = async || {
            sleep(Duration::from_millis(50)).await;
            Ok::<_, Error>((city != "Atlantis").then(|| format!("sunny in {city}")))
        };
        let weather = cache.get(city, source).await?;
        asked += 1;
        if asked % 100 == 0 {
            println!("{city}: {weather:?}");
            if let Err(error) = cache.forget(city).await {
                eprintln!("{city} may be told as it was for two seconds more: {error}");
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
