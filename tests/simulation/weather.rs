//! What goes wrong, and how often. Each seed has a climate of its own: half of the kinds of faults never happen in it, so
//! that rare combinations are not drowned by the others (swarm testing: Groce and others, ISSTA 2012).

use crate::dice::Dice;

/// Probabilities, each for one occasion.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Weather {
    /// A request never reaches its function.
    pub(crate) request_lost: f64,
    /// An answer never reaches its caller.
    pub(crate) answer_lost: f64,
    /// An invocation dies before or after one of its calls.
    pub(crate) crash: f64,
    /// A process is replaced by a fresh one.
    pub(crate) fresh_process: f64,
    /// A fresh process is one of the next release: two are at work on one table.
    pub(crate) next_release: f64,
    /// A call of AWS is throttled.
    pub(crate) throttled: f64,
    /// A call of AWS is answered with a 500 or 503.
    pub(crate) unavailable: f64,
    /// A connection breaks before a call takes effect.
    pub(crate) broken_before: f64,
    /// A connection breaks after a call took effect.
    pub(crate) broken_after: f64,
    /// A call is never answered and has no effect.
    pub(crate) silent: f64,
    /// A call is never answered in time and takes effect later, when its caller has given up.
    pub(crate) late: f64,
    /// A call takes seconds.
    pub(crate) slow: f64,
    /// A transaction is refused since another one holds an item.
    pub(crate) conflict: f64,
    /// A page or a batch brings less than was asked for.
    pub(crate) short: f64,
    /// An object is not in the bucket, although it was put there.
    pub(crate) object_missing: f64,
    /// An object comes with a wrong byte, or cut short.
    pub(crate) object_corrupt: f64,
    /// A message is lost.
    pub(crate) message_lost: f64,
    /// A message comes twice.
    pub(crate) message_twice: f64,
    /// A message comes minutes late.
    pub(crate) message_late: f64,
    /// APNs is busy: 429, 500, 503.
    pub(crate) apns_busy: f64,
    /// APNs refuses the certificate for a moment: 403.
    pub(crate) apns_forbids: f64,
    /// APNs says GOAWAY.
    pub(crate) apns_goes_away: f64,
    /// The connection to APNs breaks.
    pub(crate) apns_breaks: f64,
    /// APNs does not answer.
    pub(crate) apns_silent: f64,
    /// APNs calls a token gone since before its device registered again.
    pub(crate) apns_outdated: f64,
    /// APNs accepts a push and loses it.
    pub(crate) apns_loses: f64,
    /// The merchant's own server answers a webhook with an error.
    pub(crate) listener_fails: f64,
    /// Its connection breaks.
    pub(crate) listener_breaks: f64,
    /// It does not answer.
    pub(crate) listener_silent: f64,
    /// It takes seconds.
    pub(crate) listener_slow: f64,
    /// How far the clocks of functions are apart, in milliseconds.
    pub(crate) skew: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub(crate) fn calm() -> Weather {
        Weather::default()
    }

    /// The climate of a seed.
    pub(crate) fn of(dice: &Dice) -> Weather {
        if dice.chance(0.08) {
            return Weather::calm();
        }
        let often = *dice.pick(&[0.3, 1.0, 1.0, 2.5]);
        let some = |most: f64| if dice.chance(0.5) { dice.fraction() * most * often } else { 0.0 };
        Weather {
            request_lost: some(0.08),
            answer_lost: some(0.15),
            crash: some(0.15),
            fresh_process: some(0.2),
            next_release: some(0.8),
            throttled: some(0.04),
            unavailable: some(0.04),
            broken_before: some(0.03),
            broken_after: some(0.04),
            silent: some(0.02),
            late: some(0.03),
            slow: some(0.05),
            conflict: some(0.08),
            short: some(0.3),
            object_missing: some(0.3),
            object_corrupt: some(0.3),
            message_lost: some(0.2),
            message_twice: some(0.2),
            message_late: some(0.15),
            apns_busy: some(0.2),
            apns_forbids: some(0.05),
            apns_goes_away: some(0.1),
            apns_breaks: some(0.1),
            apns_silent: some(0.05),
            apns_outdated: some(0.4),
            apns_loses: some(0.1),
            listener_fails: some(0.2),
            listener_breaks: some(0.1),
            listener_silent: some(0.05),
            listener_slow: some(0.1),
            skew: if dice.chance(0.5) { dice.between(0, 4000) } else { 0 },
        }
    }

    /// Whether nothing goes wrong at all.
    pub(crate) fn is_calm(&self) -> bool {
        *self == Weather::calm()
    }

    /// Whether a push may come twice, or late, for reasons that no service can help: then a phone may be told what it
    /// knows already.
    pub(crate) fn repeats_pushes(&self) -> bool {
        [
            self.crash,
            self.answer_lost,
            self.throttled,
            self.unavailable,
            self.broken_before,
            self.broken_after,
            self.silent,
            self.late,
            self.slow,
            self.conflict,
            self.message_twice,
            self.message_late,
            self.apns_busy,
            self.apns_forbids,
            self.apns_goes_away,
            self.apns_breaks,
            self.apns_silent,
            self.apns_outdated,
            self.request_lost,
        ]
        .iter()
        .any(|chance| *chance > 0.0)
    }
}
