//! Places: where passes come up on the lock screen, and what a redemption is worth there.
//!
//! A phone never tells where it is; a till does. So a place works twice: the pass carries it, and a redemption that names
//! it is answered with its benefit.

use passkit::{
    identifiers::LocationId,
    look::{Place, Position},
    problem::{Problem, Problems, pointer},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::campaign::{Campaign, Offer};

/// Locations in one campaign: with texts and benefits they stay within the 256 KiB of the campaign's request.
pub const MAXIMUM_LOCATIONS: usize = 1000;
/// Characters of a location's name and of its `relevantText`.
pub const LOCATION_TEXT_CHARACTERS: usize = 200;
/// Bytes of a benefit as JSON.
pub const BENEFIT_BYTES: usize = 2048;

/// One place of a campaign (contract, section 4, Campaigns).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Location {
    /// What a till says as `location`; unique in the campaign.
    pub location_id: LocationId,
    /// What people call it.
    pub name: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What the lock screen says there; absent or null: the name. May hold placeholders.
    #[serde(default)]
    pub relevant_text: Option<String>,
    /// What a redemption is worth here, for the till. Any JSON.
    #[serde(default)]
    pub benefit: Option<Value>,
}

impl Location {
    /// The place for the pass; `None` when there is no such point on earth.
    pub fn place(&self) -> Option<Place<'_>> {
        let position = Position::new(self.latitude, self.longitude)?;
        let (relevant_text, member) = match &self.relevant_text {
            Some(text) => (text.as_str(), "relevantText"),
            None => (self.name.as_str(), "name"),
        };
        Some(Place { position, relevant_text, member })
    }
}

/// What is wrong with a campaign's locations, each by path.
pub(crate) fn problems(locations: &[Location]) -> Problems {
    let mut problems = Problems::new();
    if locations.len() > MAXIMUM_LOCATIONS {
        problems.push(Problem::new("/locations", format!("at most {MAXIMUM_LOCATIONS} locations")));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (index, location) in locations.iter().enumerate() {
        let path = pointer("/locations", index);
        let mut wrong = |member: &str, message: String| problems.push(Problem::new(pointer(&path, member), message));
        if !seen.insert(&location.location_id) {
            wrong("locationId", format!("another location is called {:?}", location.location_id));
        }
        for (member, degrees, limit) in [
            ("latitude", location.latitude, Position::MAXIMUM_LATITUDE),
            ("longitude", location.longitude, Position::MAXIMUM_LONGITUDE),
        ] {
            if degrees.abs() > limit {
                wrong(member, format!("must lie between -{limit} and {limit} degrees"));
            }
        }
        for (member, text) in [("name", Some(&location.name)), ("relevantText", location.relevant_text.as_ref())] {
            if text.is_some_and(|text| text.trim().is_empty() || text.chars().count() > LOCATION_TEXT_CHARACTERS) {
                wrong(member, format!("must have 1 to {LOCATION_TEXT_CHARACTERS} characters"));
            }
        }
        problems.extend(problem_of_benefit(&path, location.benefit.as_ref()));
    }
    problems
}

/// What is wrong with the benefit of what stands at `path`.
pub(crate) fn problem_of_benefit(path: &str, benefit: Option<&Value>) -> Option<Problem> {
    let too_large = benefit.is_some_and(|benefit| benefit.to_string().len() > BENEFIT_BYTES);
    too_large.then(|| Problem::new(pointer(path, "benefit"), format!("must be at most {BENEFIT_BYTES} bytes of JSON")))
}

impl Campaign {
    /// What a redemption of `offer` is worth where the till says it is: the benefit of that place, else the offer's, else
    /// the campaign's. A text that names no place is no place.
    pub fn benefit<'a>(&'a self, offer: &'a Offer, location: Option<&str>) -> Option<&'a Value> {
        let mut places = self.draft.locations.iter();
        let place = location.and_then(|named| places.find(|place| place.location_id.as_str() == named));
        let of_place = place.and_then(|place| place.benefit.as_ref());
        of_place.or(offer.benefit.as_ref()).or(self.draft.benefit.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::CampaignDraft;

    fn draft(locations: Value) -> CampaignDraft {
        serde_json::from_value(json!({
            "passTypeIdentifier": "pass.example.passloop",
            "templateId": "t",
            "offers": [{ "offerId": "first", "title": "First" }],
            "locations": locations,
        }))
        .unwrap()
    }

    fn paths(locations: Value) -> Vec<String> {
        draft(locations).problems().into_iter().map(|problem| problem.path).collect()
    }

    fn shop(location_id: &str) -> Value {
        json!({"locationId": location_id, "name": "Shop", "latitude": 52.5, "longitude": 13.4})
    }

    #[test]
    fn every_wrong_member_is_named() {
        assert_eq!(paths(json!([shop("Market Square"), shop("2")])), [""; 0]);
        let mut wrong = shop("1");
        wrong["name"] = json!(" ");
        wrong["latitude"] = json!(-90.1);
        wrong["longitude"] = json!(180.1);
        wrong["relevantText"] = json!("x".repeat(LOCATION_TEXT_CHARACTERS + 1));
        wrong["benefit"] = json!("x".repeat(BENEFIT_BYTES - 1));
        let members = ["locationId", "latitude", "longitude", "name", "relevantText", "benefit"];
        assert_eq!(paths(json!([shop("1"), wrong])), members.map(|member| format!("/locations/1/{member}")));
    }

    #[test]
    fn a_thousand_locations_are_the_most() {
        let many = |count: usize| (0..count).map(|id| shop(&id.to_string())).collect::<Value>();
        assert_eq!(paths(many(MAXIMUM_LOCATIONS)), [""; 0]);
        assert_eq!(paths(many(MAXIMUM_LOCATIONS + 1)), ["/locations"]);
    }

    #[test]
    fn a_benefit_has_at_most_two_kibibytes() {
        let mut draft = draft(json!([]));
        draft.benefit = Some(json!("x".repeat(BENEFIT_BYTES - 2)));
        draft.offers[0].benefit = Some(json!("x".repeat(BENEFIT_BYTES - 1)));
        let paths: Vec<_> = draft.problems().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["/offers/0/benefit"]);
    }

    #[test]
    fn without_a_text_the_lock_screen_says_the_name() {
        let mut location: Location = serde_json::from_value(shop("1")).unwrap();
        assert_eq!(location.place().map(|place| place.relevant_text), Some("Shop"));
        location.relevant_text = Some("Half price".into());
        assert_eq!(location.place().map(|place| place.relevant_text), Some("Half price"));
    }
}
