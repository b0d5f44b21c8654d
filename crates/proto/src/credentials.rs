//! Credentials that a provider gives: when it is asked, how long it is waited for, and until when what it gave may be used. Who is let in is the
//! server's decision, and what a refusal leads to the link's.

use std::time::Duration;

use crate::config::{Config, Credentials};
use crate::rng::Rng;
use crate::time::Time;

/// A dial prefers fresh credentials; where older ones are good it waits no longer than this, so that a slow provider does not prolong an outage.
const PREFER_FRESH_FOR: Duration = Duration::from_millis(50);

/// Part of their life after which credentials are renewed, give or take a tenth of it.
const RENEW_AT: f64 = 0.72;

/// Azure asks for AUTH three minutes before the expiry at the latest; where the life is long enough for it, this much before.
const RENEW_BEFORE: Duration = Duration::from_secs(200);

/// What is good for less has expired already, or nearly (a clock is wrong): asking for it without a pause would bring more of the same.
const WORTH_RENEWING: Duration = Duration::from_millis(50);

/// A renewal that failed is tried again after a quarter of what is left, and at the latest and earliest after these.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What a provider gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who asks to be let in.
    pub credentials: Credentials,
    /// How long the server takes them, from now; `None`: until it is told otherwise.
    pub valid_for: Option<Duration>,
}

impl Grant {
    /// Credentials that are good until the server is told otherwise; `username`: the default user without.
    pub fn new(username: Option<&str>, password: impl Into<String>) -> Self {
        let username = username.map(str::to_owned);
        Self { credentials: Credentials { username, password: password.into() }, valid_for: None }
    }

    /// The same, good for this long from now.
    #[must_use]
    pub const fn valid_for(mut self, life: Duration) -> Self {
        self.valid_for = Some(life);
        self
    }
}

/// Whether a dial may shake hands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// With the credentials of the session.
    Ready,
    /// Not before then, unless the provider answers.
    Wait(Time),
    /// There are none.
    Failed(String),
}

/// The credentials of one core. Without a provider it is always ready.
#[derive(Debug)]
pub(crate) struct Keeper {
    asks: bool,
    timeout: Duration,
    /// Since when an answer is waited for.
    asking: Option<Time>,
    /// When the credentials in use were given.
    granted: Option<Time>,
    /// Until when they are good.
    expires: Time,
    renew_at: Time,
    /// When the provider last failed, and how.
    failure: Option<(Time, String)>,
    /// Counts credentials that differ from the ones before.
    generation: u32,
    /// The provider was asked anew since a server refused what it gave.
    asked_anew: bool,
}

impl Keeper {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            asks: config.ask_credentials,
            timeout: config.credentials_timeout,
            asking: None,
            granted: None,
            expires: Time::NEVER,
            renew_at: Time::NEVER,
            failure: None,
            generation: 0,
            asked_anew: false,
        }
    }

    /// Which credentials are in use; a connection with another number is to be told of them.
    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    /// A dial begins, or credentials are to be renewed. True if the provider is to be asked: one question at a time.
    pub(crate) fn ask(&mut self, now: Time) -> bool {
        let asks = self.asks && self.asking.is_none();
        if asks {
            self.asking = Some(now);
        }
        asks
    }

    /// A server has refused what the provider gave. True if that is to be asked anew: once until a server takes what it gives.
    pub(crate) fn on_refused(&mut self, now: Time) -> bool {
        let anew = self.asks && !self.asked_anew;
        if anew {
            self.asked_anew = true;
            self.granted = None;
            self.asking = Some(now);
        }
        anew
    }

    /// A server has taken them.
    pub(crate) const fn on_accepted(&mut self) {
        self.asked_anew = false;
    }

    /// The provider has answered. `changed`: they are not the ones in use.
    pub(crate) fn on_granted(
        &mut self,
        now: Time,
        valid_for: Option<Duration>,
        changed: bool,
        rng: &mut Rng,
    ) {
        self.asking = None;
        self.failure = None;
        self.granted = Some(now);
        self.generation += u32::from(changed);
        (self.expires, self.renew_at) = match valid_for {
            None => (Time::NEVER, Time::NEVER),
            Some(life) if life < WORTH_RENEWING => (now + life, now + TRY_AGAIN.0),
            Some(life) => {
                let early = rng.around(life.mul_f64(RENEW_AT));
                let latest = life.saturating_sub(RENEW_BEFORE);
                let renew = if latest > life / 4 { early.min(latest) } else { early };
                (now + life, now + renew)
            }
        };
    }

    /// It has failed, or taken too long.
    pub(crate) fn on_failed(&mut self, now: Time, text: String, rng: &mut Rng) {
        self.asking = None;
        self.failure = Some((now, text));
        self.renew_at = Time::NEVER;
        if self.are_good(now) && self.expires != Time::NEVER {
            let (earliest, latest) = TRY_AGAIN;
            let pause = (self.expires.since(now) / 4).clamp(earliest, latest);
            // After the expiry only dials ask.
            let again = now + rng.around(pause);
            self.renew_at = if again < self.expires { again } else { Time::NEVER };
        }
    }

    fn are_good(&self, now: Time) -> bool {
        self.granted.is_some() && now < self.expires
    }

    /// Whether a dial that was begun at `dialed` may shake hands.
    pub(crate) fn readiness(&self, now: Time, dialed: Time) -> Readiness {
        if !self.asks || self.granted.is_some_and(|granted| granted >= dialed) {
            return Readiness::Ready;
        }
        let failed = self.failure.as_ref().filter(|(at, _)| *at >= dialed);
        let until = match (self.are_good(now), failed) {
            (true, Some(_)) => return Readiness::Ready,
            (false, Some((_, text))) => return Readiness::Failed(text.clone()),
            (true, None) => dialed + PREFER_FRESH_FOR,
            (false, None) => dialed + self.timeout,
        };
        match (now < until, self.are_good(now)) {
            (true, _) => Readiness::Wait(until),
            (false, true) => Readiness::Ready,
            (false, false) => Readiness::Failed(self.too_slow()),
        }
    }

    fn too_slow(&self) -> String {
        format!("the credentials provider did not answer within {:?}", self.timeout)
    }

    /// When it is to be looked at again.
    pub(crate) fn next(&self) -> Time {
        self.asking.map_or(self.renew_at, |since| since + self.timeout)
    }

    /// The provider has taken too long: why.
    pub(crate) fn overdue(&self, now: Time) -> Option<String> {
        let since = self.asking?;
        (now >= since + self.timeout).then(|| self.too_slow())
    }

    /// It is time to renew them.
    pub(crate) fn take_renewal(&mut self, now: Time) -> bool {
        let due = self.asking.is_none() && self.renew_at <= now;
        if due {
            self.renew_at = Time::NEVER;
        }
        due
    }

    /// The credentials to put into the session, which a change of them follows.
    pub(crate) fn changes(session: &Option<Credentials>, grant: &Grant) -> bool {
        session.as_ref() != Some(&grant.credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn keeper() -> Keeper {
        let endpoint = Endpoint::Tcp { host: "h".into(), port: 1 };
        Keeper::new(&Config { ask_credentials: true, ..Config::new(endpoint) })
    }

    #[test]
    fn renewal_comes_well_before_the_expiry_and_not_for_everybody_at_once() {
        let mut rng = Rng::new(3);
        for (life, latest) in [(3600, 2880), (24 * 3600, 70_000), (600, 400), (60, 48), (4, 4)] {
            let mut moments = std::collections::BTreeSet::new();
            for _ in 0..20 {
                let mut keeper = keeper();
                keeper.on_granted(at(0), Some(Duration::from_secs(life)), true, &mut rng);
                let renewal = keeper.next();
                assert!(renewal <= at(latest) && renewal >= at(life / 2), "{life}: {renewal:?}");
                moments.insert(renewal.as_micros());
            }
            assert!(moments.len() > 1 || life == 600, "{life}: all at once");
        }
        let mut keeper = keeper();
        keeper.on_granted(at(0), None, true, &mut rng);
        assert_eq!(keeper.next(), Time::NEVER);
    }

    #[test]
    fn a_renewal_that_fails_is_tried_again_until_the_expiry() {
        let mut rng = Rng::new(3);
        let mut keeper = keeper();
        keeper.on_granted(at(0), Some(Duration::from_secs(1000)), true, &mut rng);
        let mut asked = Vec::new();
        while keeper.next() < at(1000) {
            let now = keeper.next();
            assert!(keeper.take_renewal(now) && keeper.ask(now));
            asked.push(now);
            keeper.on_failed(now, "down".into(), &mut rng);
        }
        assert!(asked.len() > 5, "{asked:?}");
        assert_eq!(keeper.next(), Time::NEVER, "after the expiry only dials ask");
    }

    #[test]
    fn a_dial_takes_what_is_good_where_the_provider_is_slow_or_down_and_nothing_after_its_expiry() {
        let mut rng = Rng::new(3);
        let mut keeper = keeper();
        assert!(keeper.ask(at(0)) && !keeper.ask(at(1)), "one question at a time");
        assert_eq!(keeper.readiness(at(0), at(0)), Readiness::Wait(at(5)));
        assert!(matches!(keeper.readiness(at(5), at(0)), Readiness::Failed(_)));
        keeper.on_granted(at(6), Some(Duration::from_secs(100)), true, &mut rng);
        assert_eq!(keeper.readiness(at(6), at(6)), Readiness::Ready);
        assert!(keeper.ask(at(10)));
        assert_eq!(keeper.readiness(at(10), at(10)), Readiness::Wait(at(10) + PREFER_FRESH_FOR));
        assert_eq!(keeper.readiness(at(11), at(10)), Readiness::Ready);
        keeper.on_failed(at(12), "down".into(), &mut rng);
        assert_eq!(keeper.readiness(at(12), at(12)), Readiness::Ready);
        keeper.on_failed(at(200), "down".into(), &mut rng);
        assert_eq!(keeper.readiness(at(200), at(200)), Readiness::Failed("down".into()));
    }

    #[test]
    fn what_a_server_refuses_is_asked_for_anew_once_until_a_server_takes_it() {
        let mut keeper = keeper();
        let mut rng = Rng::new(3);
        keeper.on_granted(at(0), None, true, &mut rng);
        assert!(keeper.on_refused(at(1)));
        assert_eq!(keeper.readiness(at(1), at(1)), Readiness::Wait(at(6)), "not the refused ones");
        keeper.on_granted(at(2), None, true, &mut rng);
        assert!(!keeper.on_refused(at(3)));
        keeper.on_accepted();
        assert!(keeper.on_refused(at(4)));
    }
}
