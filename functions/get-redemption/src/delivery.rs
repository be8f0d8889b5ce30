//! Proof of delivery: when a phone was told of a version, and when one first had it.

use domain::time;
use jiff::Timestamp;
use platform::store::{Event, EventKind, StoredRedemption};
use serde::Serialize;
use serde_json::Value;

/// What became of the versions that a redemption made.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    /// The pass after the redemption.
    used: Delivered,
    /// The pass with the next offer, once that has come.
    next_offer: Option<Delivered>,
}

/// What became of one version.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivered {
    version: u64,
    /// When Apple first accepted a push of it, or of a later version.
    #[serde(with = "time::optional_text")]
    pushed_at: Option<Timestamp>,
    /// When a phone first fetched it, or a later version.
    #[serde(with = "time::optional_text")]
    fetched_at: Option<Timestamp>,
    /// Which version that was.
    fetched_version: Option<u64>,
}

impl Delivery {
    /// From the pass's events since, in the order of time.
    pub(crate) fn of(redemption: &StoredRedemption, events: &[Event]) -> Delivery {
        let used = redemption.counted.pass_version;
        let reversed = redemption.reversal.as_ref().map(|reversal| reversal.pass_version);
        let next = redemption.counted.next_offer_at.and_then(|_| next_offer(used, reversed, events));
        Delivery { used: Delivered::of(used, events), next_offer: next.map(|next| Delivered::of(next, events)) }
    }
}

/// The version with the next offer. What came after a reversal belongs to another redemption.
fn next_offer(used: u64, reversed: Option<u64>, events: &[Event]) -> Option<u64> {
    let is_next = |event: &&Event| event.kind == EventKind::Offer && event.version > used;
    let next = events.iter().find(is_next)?.version;
    reversed.is_none_or(|reversed| next < reversed).then_some(next)
}

impl Delivered {
    fn of(version: u64, events: &[Event]) -> Delivered {
        let accepted = |event: &Event| event.detail.get("accepted").and_then(Value::as_u64).unwrap_or(0);
        let mut since = events.iter().filter(|event| event.version >= version);
        let pushed = since.clone().find(|event| event.kind == EventKind::Pushed && accepted(event) > 0);
        let fetched = since.find(|event| event.kind == EventKind::Fetched);
        Delivered {
            version,
            pushed_at: pushed.map(|event| event.at),
            fetched_at: fetched.map(|event| event.at),
            fetched_version: fetched.map(|event| event.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, kind: EventKind, version: u64) -> Event {
        Event::new(kind, Timestamp::from_second(second).unwrap(), version)
    }

    fn second(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[test]
    fn only_what_apple_took_counts_as_pushed() {
        let events = [
            event(1, EventKind::Pushed, 1).with("accepted", 1),
            event(2, EventKind::Pushed, 2).with("accepted", 0),
            event(3, EventKind::Pushed, 2).with("accepted", 2),
        ];
        let told = Delivered::of(2, &events);
        assert_eq!(told, Delivered { version: 2, pushed_at: second(3), fetched_at: None, fetched_version: None });
    }

    #[test]
    fn a_phone_that_fetched_only_what_came_later_knows_that() {
        let events = [event(1, EventKind::Fetched, 1), event(20, EventKind::Fetched, 3)];
        let told = Delivered::of(2, &events);
        assert_eq!((told.fetched_at, told.fetched_version), (second(20), Some(3)));
    }

    #[test]
    fn the_next_offer_of_a_later_redemption_proves_nothing_of_a_reversed_one() {
        let events = [event(1, EventKind::Redeemed, 2), event(30, EventKind::Offer, 5)];
        assert_eq!(next_offer(2, None, &events), Some(5));
        assert_eq!(next_offer(2, Some(3), &events), None);
        assert_eq!(next_offer(2, Some(6), &events), Some(5));
        assert_eq!(next_offer(5, None, &events), None);
    }
}
