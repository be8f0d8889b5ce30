//! The style object, its groups and their fields (reference 4.2, 4.3).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{FIELD_GROUPS, Style, check::Check, semantics};
use crate::problem::pointer;

const TRANSIT_TYPES: [&str; 5] =
    ["PKTransitTypeAir", "PKTransitTypeBoat", "PKTransitTypeBus", "PKTransitTypeGeneric", "PKTransitTypeTrain"];
const ALIGNMENTS: [&str; 4] =
    ["PKTextAlignmentLeft", "PKTextAlignmentCenter", "PKTextAlignmentRight", "PKTextAlignmentNatural"];
const DETECTORS: [&str; 4] = [
    "PKDataDetectorTypePhoneNumber",
    "PKDataDetectorTypeLink",
    "PKDataDetectorTypeAddress",
    "PKDataDetectorTypeCalendarEvent",
];
const DATE_STYLES: [&str; 5] =
    ["PKDateStyleNone", "PKDateStyleShort", "PKDateStyleMedium", "PKDateStyleLong", "PKDateStyleFull"];
const NUMBER_STYLES: [&str; 4] =
    ["PKNumberStyleDecimal", "PKNumberStylePercent", "PKNumberStyleScientific", "PKNumberStyleSpellOut"];

/// Examines one style object. Field keys are unique within it; a fallback beside `posterGeneric` repeats them.
pub(super) fn examine_style(check: &mut Check, style: Style, content: &Value, path: &str) {
    let Some(content) = check.object(path, content) else { return };
    examine_transit_type(check, style, content, path);
    let mut keys = BTreeMap::new();
    for group in FIELD_GROUPS {
        let Some(fields) = content.get(group) else { continue };
        let path = pointer(path, group);
        match (group, style) {
            ("footerFields", Style::PosterGeneric)
            | ("additionalInfoFields", Style::PosterGeneric | Style::EventTicket) => {}
            ("footerFields" | "additionalInfoFields", _) => {
                check.warn(&path, format!("{group} are not shown by a {}", style.key()));
            }
            _ => {}
        }
        examine_group(check, group, style, fields, &path, &mut keys);
    }
    examine_counts(check, style, content, path);
}

fn examine_transit_type(check: &mut Check, style: Style, content: &Map<String, Value>, path: &str) {
    let path = pointer(path, "transitType");
    match (content.get("transitType"), style) {
        (Some(value), Style::BoardingPass) => check.one_of(&path, value, &TRANSIT_TYPES),
        (None, Style::BoardingPass) => {
            check.error(&path, format!("is missing; write one of {}", TRANSIT_TYPES.join(", ")));
        }
        (Some(_), _) => check.error(&path, "belongs to a boardingPass only; remove it"),
        (None, _) => {}
    }
}

/// Examines one array of fields, of a style or of an upcoming pass. `keys`: where each key stood first.
pub(super) fn examine_group(
    check: &mut Check,
    group: &str,
    style: Style,
    fields: &Value,
    path: &str,
    keys: &mut BTreeMap<String, String>,
) {
    for (index, field) in check.array(path, fields).unwrap_or_default().iter().enumerate() {
        let path = pointer(path, index);
        let Some(field) = check.object(&path, field) else { continue };
        check.required_string(&path, field, "key");
        if let Some(key) = field.get("key").and_then(Value::as_str) {
            if let Some(first) = keys.get(key) {
                check.error(&pointer(&path, "key"), format!("{key:?} is already the key of {first}; keys are unique"));
            } else {
                keys.insert(key.to_owned(), path.clone());
            }
        }
        examine_field(check, group, style, field, &path);
    }
}

/// What a field's value is shown as; a field is one of them (reference 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Text,
    Date,
    Number,
}

fn examine_field(check: &mut Check, group: &str, style: Style, field: &Map<String, Value>, path: &str) {
    let at = |key: &str| pointer(path, key);
    let is_back = group == "backFields" || group == "additionalInfoFields";
    let shown = examine_formatters(check, field, path);
    match field.get("value") {
        None => check.error(&at("value"), "is missing"),
        Some(value) => examine_value(check, value, shown, &at("value")),
    }
    for (key, value) in field {
        let path = at(key);
        match key.as_str() {
            "label" => {
                check.string(&path, value);
            }
            "attributedValue" if !value.is_number() => {
                check.string(&path, value);
            }
            "changeMessage" => {
                if let Some(message) = check.closed_string(&path, value)
                    && !message.is_empty()
                    && message.matches("%@").count() != 1
                {
                    check.warn(&path, "should hold %@ exactly once, or Wallet shows a text of its own");
                }
            }
            "textAlignment" => {
                check.one_of(&path, value, &ALIGNMENTS);
                if group == "primaryFields" || is_back {
                    check.warn(&path, format!("has no effect in {group}"));
                }
            }
            "dataDetectorTypes" => {
                check.each(&path, value, |check, path, item| check.one_of(path, item, &DETECTORS));
                if !is_back {
                    check.warn(&path, "has an effect in backFields only");
                }
            }
            "ignoresTimeZone" | "isRelative" => {
                check.boolean(&path, value);
            }
            "row" => {
                if !matches!(value.as_u64(), Some(0 | 1)) {
                    check.error(&path, "must be the number 0 or 1");
                } else if group != "auxiliaryFields" || style != Style::EventTicket {
                    check.warn(&path, "has an effect in the auxiliaryFields of an eventTicket only");
                }
            }
            "semantics" => semantics::examine(check, value, &path),
            _ => {}
        }
    }
}

fn examine_formatters(check: &mut Check, field: &Map<String, Value>, path: &str) -> Shown {
    let at = |key: &str| pointer(path, key);
    let mut shown = Shown::Text;
    for key in ["dateStyle", "timeStyle"] {
        if let Some(value) = field.get(key) {
            check.one_of(&at(key), value, &DATE_STYLES);
            shown = Shown::Date;
        }
    }
    if shown == Shown::Date {
        for (given, other) in [("dateStyle", "timeStyle"), ("timeStyle", "dateStyle")] {
            if field.contains_key(given) && !field.contains_key(other) {
                check.warn(&at(other), format!("give {other} beside {given} (PKDateStyleNone hides that part)"));
            }
        }
    }
    let is_date = shown == Shown::Date;
    if let Some(value) = field.get("numberStyle") {
        check.one_of(&at("numberStyle"), value, &NUMBER_STYLES);
        shown = Shown::Number;
    }
    if let Some(value) = field.get("currencyCode") {
        if let Some(code) = check.closed_string(&at("currencyCode"), value)
            && (code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            check.error(&at("currencyCode"), format!("{code:?} is no ISO 4217 code such as EUR"));
        }
        if field.contains_key("numberStyle") {
            check.warn(&at("currencyCode"), "give either currencyCode or numberStyle, not both");
        }
        shown = Shown::Number;
    }
    if is_date && shown == Shown::Number {
        check.error(path, "is formatted both as a date and as a number; keep one");
    }
    shown
}

fn examine_value(check: &mut Check, value: &Value, shown: Shown, path: &str) {
    match (shown, value) {
        (Shown::Date, value) => {
            check.date(path, value);
        }
        (Shown::Number, Value::String(text)) if check.is_open(text) => {}
        (Shown::Number, value) => {
            check.number(path, value);
        }
        (Shown::Text, Value::String(_) | Value::Number(_)) => {}
        (Shown::Text, _) => check.error(path, "must be a string or a number"),
    }
}

/// How many fields the front shows; more are cut off (reference 4.2).
fn examine_counts(check: &mut Check, style: Style, content: &Map<String, Value>, path: &str) {
    let count = |group: &str| content.get(group).and_then(Value::as_array).map_or(0, Vec::len);
    let auxiliary_limit = match style {
        Style::BoardingPass => 5,
        // Two rows of four.
        Style::EventTicket => 8,
        Style::Coupon | Style::Generic | Style::StoreCard | Style::PosterGeneric => 4,
    };
    let limits = match style {
        Style::PosterGeneric => {
            [("headerFields", 1), ("primaryFields", 4), ("footerFields", 2), ("auxiliaryFields", 4)]
        }
        Style::BoardingPass => {
            [("headerFields", 3), ("primaryFields", 2), ("secondaryFields", 4), ("auxiliaryFields", auxiliary_limit)]
        }
        Style::Coupon | Style::EventTicket | Style::Generic | Style::StoreCard => {
            [("headerFields", 3), ("primaryFields", 1), ("secondaryFields", 4), ("auxiliaryFields", auxiliary_limit)]
        }
    };
    for (group, limit) in limits {
        if count(group) > limit {
            check.warn(
                &pointer(path, group),
                format!("has {} fields; a {} shows at most {limit}", count(group), style.key()),
            );
        }
    }
    let together = count("secondaryFields") + count("auxiliaryFields");
    if matches!(style, Style::Coupon | Style::StoreCard) && together > 4 {
        check.warn(path, format!("has {together} secondary and auxiliary fields; a {} shows 4 together", style.key()));
    }
}
