//! Where a pass comes up on the lock screen (reference 4.6): of many places the ten that one pass can carry.

use serde_json::{Number, Value, json};

use super::node::feed_text;
use crate::{
    placeholder::{Escape, Placeholder, PlaceholderError, Text},
    problem::{Problem, Problems, pointer},
};

/// Places one pass can carry: Apple reads ten `locations` (reference 4.1).
pub const MAXIMUM_SHOWN: usize = 10;

/// The earth's mean radius in metres (IUGG).
const EARTH_RADIUS: f64 = 6_371_008.8;

/// A point on earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    latitude: f64,
    longitude: f64,
}

impl Position {
    /// The largest latitude, north and south, in degrees.
    pub const MAXIMUM_LATITUDE: f64 = 90.0;
    /// The largest longitude, east and west, in degrees.
    pub const MAXIMUM_LONGITUDE: f64 = 180.0;

    /// From degrees, north and east; `None` when there is no such point.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let exists = latitude.abs() <= Self::MAXIMUM_LATITUDE && longitude.abs() <= Self::MAXIMUM_LONGITUDE;
        exists.then_some(Self { latitude, longitude })
    }

    /// Where the holder lives: `{"home": {"latitude": 52.52, "longitude": 13.4}}` in the holder data.
    pub fn home_of(holder: &Value) -> Option<Self> {
        let home = holder.get("home")?;
        Self::new(home.get("latitude")?.as_f64()?, home.get("longitude")?.as_f64()?)
    }

    /// Along the great circle, in whole metres: what is nearer by less than that is as near, on every processor.
    pub fn metres_to(self, other: Self) -> u64 {
        // The haversine formula, exact enough also for neighbours.
        let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let cosines = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        let haversine = half(other.latitude - self.latitude) + cosines * half(other.longitude - self.longitude);
        let metres = 2.0 * EARTH_RADIUS * haversine.clamp(0.0, 1.0).sqrt().asin();
        // Half the earth's girth is 20 million metres.
        metres.round() as u64
    }
}

/// A place a look is prepared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place<'a> {
    /// Where.
    pub position: Position,
    /// What the lock screen says there; may hold placeholders.
    pub relevant_text: &'a str,
    /// The member that text was written in, for problems: `relevantText`, or `name`.
    pub member: &'a str,
}

/// The places of a look, in the merchant's order.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<(Position, Text)>);

impl Places {
    /// Finds the placeholders and puts the offer's values in. Problems are reported below `/locations`.
    pub(super) fn compile(places: &[Place<'_>], offer: &Value, problems: &mut Problems) -> Self {
        let mut compiled = Vec::with_capacity(places.len());
        for (index, place) in places.iter().enumerate() {
            match Text::compile(place.relevant_text) {
                Ok(text) => compiled.push((place.position, text.with_offer(offer, Escape::Plain))),
                Err(error) => problems.push(problem(index, place, &error)),
            }
        }
        Self(compiled)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each text with its place in the list.
    pub(super) fn texts(&self) -> impl Iterator<Item = (usize, &Text)> {
        self.0.iter().enumerate().map(|(index, (_, text))| (index, text))
    }

    /// The pass's `locations`: all if they fit; else the nearest to the holder's home, nearest first, or without a home
    /// the first ones.
    pub(super) fn render(&self, holder: &Value, text_of: impl Fn(&Text) -> String) -> Value {
        let mut chosen: Vec<&(Position, Text)> = self.0.iter().collect();
        if chosen.len() > MAXIMUM_SHOWN
            && let Some(home) = Position::home_of(holder)
        {
            chosen.sort_by_key(|(position, _)| home.metres_to(*position));
        }
        let chosen = chosen.into_iter().take(MAXIMUM_SHOWN);
        let location = |(position, text): &(Position, Text)| {
            json!({
                "latitude": degrees(position.latitude),
                "longitude": degrees(position.longitude),
                "relevantText": text_of(text),
            })
        };
        chosen.map(location).collect()
    }

    /// Whether some text shows what this placeholder names.
    pub(super) fn shows(&self, placeholder: &Placeholder) -> bool {
        self.0.iter().any(|(_, text)| text.shows(placeholder))
    }

    /// Feeds a digest; a look without places feeds nothing.
    pub(super) fn feed(&self, part: &mut impl FnMut(&[u8])) {
        if self.is_empty() {
            return;
        }
        part(b"places");
        part(&(self.0.len() as u64).to_be_bytes());
        for (position, text) in &self.0 {
            part(&position.latitude.to_bits().to_be_bytes());
            part(&position.longitude.to_bits().to_be_bytes());
            feed_text(text, part);
        }
    }
}

fn problem(index: usize, place: &Place<'_>, error: &PlaceholderError) -> Problem {
    Problem::new(pointer(&pointer("/locations", index), place.member), error.to_string())
}

/// Finite by construction.
fn degrees(degrees: f64) -> Value {
    Number::from_f64(degrees).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Position {
        Position::new(latitude, longitude).unwrap()
    }

    #[test]
    fn distances_are_those_of_the_atlas() {
        // A degree of a great circle is 40,030 km / 360.
        assert_eq!(at(0.0, 0.0).metres_to(at(0.0, 1.0)), 111_195);
        assert_eq!(at(0.0, 0.0).metres_to(at(0.0, 180.0)), 20_015_114);
        // Berlin to Munich: 504 km.
        let metres = at(52.52, 13.405).metres_to(at(48.137, 11.575));
        assert!((503_000..506_000).contains(&metres), "{metres}");
        // Across the date line it is 222 km, not once around.
        assert_eq!(at(0.0, 179.0).metres_to(at(0.0, -179.0)), 222_390);
        // Near a pole degrees of longitude are small.
        assert!(at(89.0, 0.0).metres_to(at(89.0, 90.0)) < 160_000);
        assert_eq!(at(52.52, 13.405).metres_to(at(52.52, 13.405)), 0);
    }

    #[test]
    fn a_home_is_two_numbers_that_are_on_earth() {
        assert_eq!(Position::home_of(&json!({"home": {"latitude": 52.5, "longitude": -13}})), Some(at(52.5, -13.0)));
        for bad in [
            json!({}),
            json!({"home": "Berlin"}),
            json!({"home": {"latitude": 52.5}}),
            json!({"home": {"latitude": "52.5", "longitude": "13.4"}}),
            json!({"home": {"latitude": 91, "longitude": 0}}),
            json!({"home": {"latitude": 0, "longitude": 181}}),
        ] {
            assert_eq!(Position::home_of(&bad), None, "{bad}");
        }
    }

    /// Places along the equator, at 1, 2, … degrees east.
    fn equator(count: u32) -> Places {
        let names: Vec<String> = (1..=count).map(|place| format!("shop {place}")).collect();
        let place = |name: &'_ String| {
            let degrees = name.trim_start_matches("shop ").parse().unwrap();
            (at(0.0, degrees), Text::compile(name).unwrap())
        };
        Places(names.iter().map(place).collect())
    }

    fn shown(places: &Places, holder: &Value) -> Vec<f64> {
        let rendered = places.render(holder, |text| text.to_string());
        rendered.as_array().unwrap().iter().map(|location| location["longitude"].as_f64().unwrap()).collect()
    }

    #[test]
    fn of_many_places_the_ten_nearest_to_the_home_are_shown_nearest_first() {
        let home = json!({"home": {"latitude": 0, "longitude": 20.4}});
        assert_eq!(shown(&equator(30), &home), [20.0, 21.0, 19.0, 22.0, 18.0, 23.0, 17.0, 24.0, 16.0, 25.0]);
    }

    #[test]
    fn without_a_home_the_first_ten_are_shown_and_what_fits_keeps_its_order() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(shown(&equator(30), &json!({})), ten);
        assert_eq!(shown(&equator(10), &json!({"home": {"latitude": 0, "longitude": 10}})), ten);
    }
}
