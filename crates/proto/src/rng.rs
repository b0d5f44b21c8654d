//! Jitter. Seeded from outside, so that a run can be repeated.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): small, good enough to spread dials in time, and not for secrets.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly between `from` and `to`.
    pub(crate) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from).as_micros() as u64;
        from + Duration::from_micros(if span == 0 { 0 } else { self.next() % span })
    }

    /// `middle`, give or take a tenth: enough that clients that were cut together do not dial together.
    pub(crate) fn around(&mut self, middle: Duration) -> Duration {
        self.between(middle.mul_f64(0.9), middle.mul_f64(1.1))
    }
}
