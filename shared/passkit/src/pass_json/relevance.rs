//! When and where the pass comes up on the lock screen, and when it ends (reference 4.6).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::check::Check;
use crate::problem::pointer;

/// Apple reads ten locations and ten beacons.
const MAX_PLACES: usize = 10;

/// The longest interval of relevance.
const MAX_INTERVAL: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

pub(super) fn examine(check: &mut Check, pass: &Map<String, Value>, prefix: &str) {
    let at = |key: &str| pointer(prefix, key);
    if let Some(value) = pass.get("locations") {
        examine_locations(check, value, &at("locations"));
    }
    if let Some(value) = pass.get("beacons") {
        examine_beacons(check, value, &at("beacons"));
    }
    if let Some(value) = pass.get("maxDistance")
        && check.number(&at("maxDistance"), value).is_some_and(|metres| metres < 0.0)
    {
        check.error(&at("maxDistance"), "must not be negative: it is a distance in metres");
    }
    if let Some(value) = pass.get("expirationDate") {
        check.date(&at("expirationDate"), value);
    }
    if let Some(value) = pass.get("relevantDate") {
        check.date(&at("relevantDate"), value);
    }
    if let Some(value) = pass.get("relevantDates") {
        check.each(&at("relevantDates"), value, examine_relevant_date);
    }
    if ["coupon", "storeCard"].into_iter().any(|style| pass.contains_key(style)) {
        for key in ["relevantDate", "relevantDates"] {
            if pass.contains_key(key) {
                check.warn(&at(key), "has no effect on a coupon or a storeCard: they are relevant by place only");
            }
        }
    }
}

fn examine_locations(check: &mut Check, value: &Value, path: &str) {
    check.each(path, value, |check, path, location| {
        let Some(location) = check.object(path, location) else { return };
        for (key, limit) in [("latitude", 90.0), ("longitude", 180.0)] {
            let path = pointer(path, key);
            match location.get(key) {
                None => check.error(&path, "is missing"),
                Some(degrees) => {
                    if check.number(&path, degrees).is_some_and(|degrees| degrees.abs() > limit) {
                        check.error(&path, format!("must lie between -{limit} and {limit} degrees"));
                    }
                }
            }
        }
        if let Some(altitude) = location.get("altitude") {
            check.number(&pointer(path, "altitude"), altitude);
        }
        if let Some(text) = location.get("relevantText") {
            check.string(&pointer(path, "relevantText"), text);
        }
    });
    examine_count(check, value, path);
}

fn examine_beacons(check: &mut Check, value: &Value, path: &str) {
    let mut seen = BTreeSet::new();
    for (index, beacon) in check.array(path, value).unwrap_or_default().iter().enumerate() {
        let path = pointer(path, index);
        let Some(beacon) = check.object(&path, beacon) else { continue };
        let uuid_path = pointer(&path, "proximityUUID");
        match beacon.get("proximityUUID") {
            None => check.error(&uuid_path, "is missing"),
            Some(uuid) => {
                if let Some(uuid) = check.closed_string(&uuid_path, uuid) {
                    if !is_uuid(uuid) {
                        check.error(&uuid_path, format!("{uuid:?} is no UUID"));
                    }
                    seen.insert(uuid.to_ascii_lowercase());
                }
            }
        }
        for key in ["major", "minor"] {
            if let Some(number) = beacon.get(key)
                && number.as_u64().is_none_or(|number| number > u64::from(u16::MAX))
            {
                check.error(&pointer(&path, key), "must be a whole number from 0 to 65535, without quotes");
            }
        }
        if let Some(text) = beacon.get("relevantText") {
            check.string(&pointer(&path, "relevantText"), text);
        }
    }
    if seen.len() > MAX_PLACES {
        check.error(path, format!("has {} distinct UUIDs; Wallet watches at most {MAX_PLACES}", seen.len()));
    }
}

fn examine_count(check: &mut Check, value: &Value, path: &str) {
    if let Some(places) = value.as_array()
        && places.len() > MAX_PLACES
    {
        check.error(path, format!("has {} entries; Apple allows {MAX_PLACES}", places.len()));
    }
}

/// `date` (iOS 18 called it `relevantDate`), or `startDate` and `endDate`.
fn examine_relevant_date(check: &mut Check, path: &str, value: &Value) {
    let Some(entry) = check.object(path, value) else { return };
    let mut date = |key: &str| entry.get(key).map(|value| check.date(&pointer(path, key), value));
    let single = [date("date"), date("relevantDate")];
    match (date("startDate"), date("endDate")) {
        (Some(start), Some(end)) => {
            if let (Some(start), Some(end)) = (start, end) {
                if start >= end {
                    check.error(&pointer(path, "endDate"), "must be later than startDate");
                } else if end.duration_since(start) > MAX_INTERVAL {
                    check.warn(&pointer(path, "endDate"), "an interval spans at most 24 hours");
                }
            }
        }
        (Some(_), None) => check.error(&pointer(path, "endDate"), "is missing beside startDate"),
        (None, Some(_)) => check.error(&pointer(path, "startDate"), "is missing beside endDate"),
        (None, None) => {
            if single.iter().all(Option::is_none) {
                check.error(path, "needs date, or startDate and endDate");
            }
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
