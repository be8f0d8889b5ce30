//! Times as the contract writes them: RFC 3339, UTC, milliseconds.

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Deserializer, Serializer};

/// The contract's text of a time: `2026-11-23T12:00:15.000Z`.
pub fn to_text(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The same time without what milliseconds cannot say, so that what is stored equals what is answered.
pub fn to_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// The first whole second at or after `time`, as seconds since 1970.
pub fn second_at_or_after(time: Timestamp) -> i64 {
    time.round(jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Ceil))
        .map_or_else(|_| time.as_second(), Timestamp::as_second)
}

/// Serde for a time as the contract writes it.
pub mod text {
    use super::*;

    /// Writes the contract's text.
    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_text(*time))
    }

    /// Reads any RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer)
    }
}

/// Serde for a time that may be absent: `null`.
pub mod optional_text {
    use super::*;

    /// Writes the contract's text, or null.
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_some(&to_text(*time)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads any RFC 3339 time, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<Timestamp>::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_zone() {
        let time: Timestamp = "2026-11-23T13:00:15+01:00".parse().unwrap();
        assert_eq!(to_text(time), "2026-11-23T12:00:15.000Z");
    }

    #[test]
    fn seconds_round_up() {
        assert_eq!(second_at_or_after("1970-01-01T00:00:04.001Z".parse().unwrap()), 5);
        assert_eq!(second_at_or_after("1970-01-01T00:00:04Z".parse().unwrap()), 4);
    }
}
