//! Semantic tags: their JSON types (reference 4.7). A tag of the wrong type makes iOS refuse the whole pass (3.6).

use serde_json::{Map, Value};

use super::{FIELD_GROUPS, check::Check, styles};
use crate::problem::pointer;

const DATES: [&str; 17] = [
    "eventStartDate",
    "eventEndDate",
    "venueOpenDate",
    "venueCloseDate",
    "venueDoorsOpenDate",
    "venueGatesOpenDate",
    "venueBoxOfficeOpenDate",
    "venueParkingLotsOpenDate",
    "venueFanZoneOpenDate",
    "originalBoardingDate",
    "originalDepartureDate",
    "originalArrivalDate",
    "currentBoardingDate",
    "currentDepartureDate",
    "currentArrivalDate",
    "originalTransitDate",
    "currentTransitDate",
];

const NUMBERS: [&str; 2] = ["duration", "flightNumber"];

const BOOLEANS: [&str; 3] = ["silenceRequested", "tailgatingAllowed", "internationalDocumentsAreVerified"];

const LISTS_OF_TEXT: [&str; 12] = [
    "performerNames",
    "artistIDs",
    "albumIDs",
    "playlistIDs",
    "loungePlaceIDs",
    "passengerAirlineSSRs",
    "passengerInformationSSRs",
    "passengerServiceSSRs",
    "passengerCapabilities",
    "passengerEligibleSecurityPrograms",
    "departureLocationSecurityPrograms",
    "destinationLocationSecurityPrograms",
];

const LISTS_OF_OBJECTS: [&str; 3] = ["seats", "wifiAccess", "airplay"];

const OBJECTS: [&str; 7] = [
    "passengerName",
    "eventStartDateInfo",
    "venueLocation",
    "departureLocation",
    "destinationLocation",
    "balance",
    "totalPrice",
];

const EVENT_TYPES: [&str; 8] = [
    "PKEventTypeGeneric",
    "PKEventTypeLivePerformance",
    "PKEventTypeMovie",
    "PKEventTypeSports",
    "PKEventTypeConference",
    "PKEventTypeConvention",
    "PKEventTypeWorkshop",
    "PKEventTypeSocialGathering",
];

/// Tags that are plain text, of those that name things every system knows; anything else passes unread.
const TEXTS: [&str; 20] = [
    "eventName",
    "venueName",
    "venueRegionName",
    "venueRoom",
    "admissionLevel",
    "attendeeName",
    "genre",
    "sportName",
    "leagueName",
    "homeTeamName",
    "awayTeamName",
    "transitProvider",
    "vehicleName",
    "vehicleNumber",
    "confirmationNumber",
    "airlineCode",
    "flightCode",
    "departureAirportCode",
    "destinationAirportCode",
    "boardingGroup",
];

pub(super) fn examine(check: &mut Check, value: &Value, path: &str) {
    let Some(tags) = check.object(path, value) else { return };
    for (tag, value) in tags {
        let path = pointer(path, tag);
        match tag.as_str() {
            "eventType" => check.one_of(&path, value, &EVENT_TYPES),
            tag if DATES.contains(&tag) => {
                check.date(&path, value);
            }
            tag if NUMBERS.contains(&tag) => {
                check.number(&path, value);
            }
            tag if BOOLEANS.contains(&tag) => {
                check.boolean(&path, value);
            }
            tag if TEXTS.contains(&tag) => {
                check.string(&path, value);
            }
            tag if LISTS_OF_TEXT.contains(&tag) => check.each(&path, value, |check, path, item| {
                check.string(path, item);
            }),
            tag if LISTS_OF_OBJECTS.contains(&tag) => check.each(&path, value, |check, path, item| {
                check.object(path, item);
            }),
            tag if OBJECTS.contains(&tag) => examine_object(check, tag, value, &path),
            _ => {}
        }
    }
}

fn examine_object(check: &mut Check, tag: &str, value: &Value, path: &str) {
    let Some(members) = check.object(path, value) else { return };
    match tag {
        "venueLocation" | "departureLocation" | "destinationLocation" => {
            for key in ["latitude", "longitude"] {
                match members.get(key) {
                    None => check.error(&pointer(path, key), "is missing"),
                    Some(degrees) => {
                        check.number(&pointer(path, key), degrees);
                    }
                }
            }
        }
        "balance" | "totalPrice" => {
            for key in ["amount", "currencyCode"] {
                if let Some(text) = members.get(key) {
                    check.string(&pointer(path, key), text);
                }
            }
        }
        "eventStartDateInfo" => {
            if let Some(date) = members.get("date") {
                check.date(&pointer(path, "date"), date);
            }
        }
        _ => {}
    }
}

/// Whether a tag is given anywhere: at the top level or in any field, with equal effect.
pub(super) fn is_given(pass: &Map<String, Value>, tag: &str) -> bool {
    let has = |holder: Option<&Value>| holder.and_then(|semantics| semantics.get(tag)).is_some();
    has(pass.get("semantics"))
        || styles(pass).filter_map(|style| pass.get(style.key())).any(|style| {
            let fields = FIELD_GROUPS.into_iter().filter_map(|group| style.get(group)?.as_array()).flatten();
            fields.into_iter().any(|field| has(field.get("semantics")))
        })
}
