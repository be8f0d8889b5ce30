//! The service's clock: the machine's, or one that tests move by hand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// The clock that every invocation's `now` is read from. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<Reading>>);

#[derive(Debug, Clone, Copy)]
enum Reading {
    Running,
    StoppedAt(Timestamp),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Reading::Running)))
    }

    /// A clock that stands still at `start` until it is moved.
    #[must_use]
    pub fn settable(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Reading::StoppedAt(start))))
    }

    /// The time it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match *self.lock() {
            Reading::Running => Timestamp::now(),
            Reading::StoppedAt(time) => time,
        }
    }

    /// Stops the clock at `time`.
    pub fn set(&self, time: Timestamp) {
        *self.lock() = Reading::StoppedAt(time);
    }

    /// Stops the clock at `by` after the time it shows; at the last representable instant when that would pass it.
    pub fn advance(&self, by: Duration) {
        let mut reading = self.lock();
        let shown = match *reading {
            Reading::Running => Timestamp::now(),
            Reading::StoppedAt(time) => time,
        };
        *reading = Reading::StoppedAt(shown.checked_add(by).unwrap_or(Timestamp::MAX));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reading> {
        // A reading is one word: a panicking holder cannot have left half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settable_clock_stands_still_and_its_clones_move_together() {
        let start: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let clock = Clock::settable(start);
        let clone = clock.clone();
        clone.advance(Duration::from_millis(14_999));
        assert_eq!(clock.now().to_string(), "2026-01-02T03:04:19.999Z");
        clock.set(start);
        assert_eq!(clone.now(), start);
    }
}
