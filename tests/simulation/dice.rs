//! The one source of chance: whatever is decided at random in a run is drawn from here, in the order in which it happens.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A seeded generator.
pub(crate) struct Dice(Mutex<fastrand::Rng>);

impl Dice {
    /// The dice of one seed.
    pub(crate) fn new(seed: u64) -> Dice {
        // Neighbouring seeds must not begin alike.
        Dice(Mutex::new(fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed)))
    }

    fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True so often. Nothing is drawn for what never happens, so that calm runs stay calm whatever else is added.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        probability > 0.0 && self.rng().f64() < probability
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        self.rng().u64(low..=high)
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        let place = self.rng().usize(..of.len());
        &of[place]
    }

    /// A number from 0 to 1.
    pub(crate) fn fraction(&self) -> f64 {
        self.rng().f64()
    }

    /// A stream of its own, for what must not depend on how much others draw.
    pub(crate) fn fork(&self) -> fastrand::Rng {
        self.rng().fork()
    }

    /// As many hexadecimal digits.
    pub(crate) fn hexadecimal(&self, digits: usize) -> String {
        let mut rng = self.rng();
        (0..digits).map(|_| char::from_digit(rng.u32(..16), 16).unwrap()).collect()
    }
}
