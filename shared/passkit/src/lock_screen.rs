//! What the lock screen says when an update replaces a pass (reference 5; Apple, "PassFieldContent", `changeMessage`).
//!
//! A phone compares the two passes itself and no push carries a text, so this can be told beforehand.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    expiration,
    package::canonical,
    pass_json::{FIELD_GROUPS, Style, parse_date},
};

/// Stands for the new value in a `changeMessage`.
const VALUE: &str = "%@";

/// What a phone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockScreen {
    /// The `changeMessage` of the one field that has one and changed.
    Text {
        /// With the new value in it.
        text: String,
        /// The field's key.
        field: String,
        /// How the value is written.
        value: Wording,
    },
    /// Words of Wallet's own, in the phone's language; here in English.
    Generic {
        /// For example "Coupon changed".
        text: String,
        /// Why not the merchant's words.
        because: Generic,
    },
    /// Nothing.
    None(Silence),
}

/// How a value is written into its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// As in `pass.json` or its translation.
    AsWritten,
    /// A number or a date: in the phone's own format. [`LockScreen::Text`] shows it as in `pass.json`.
    FormattedByPhone,
}

/// Why Wallet uses words of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generic {
    /// These fields changed, each with a `changeMessage`.
    SeveralFields(Vec<String>),
    /// The message of this field does not hold `%@` exactly once.
    NotOnePlaceholder(String),
}

/// Why nothing is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// The new pass is void.
    Voided,
    /// The new pass ended then.
    Expired(Timestamp),
    /// The two passes are the same.
    Same,
    /// These fields have new values, but no `changeMessage` in the new pass.
    NoMessage(Vec<String>),
    /// These fields have a `changeMessage`, but the old pass does not have them.
    OnlyNewFields(Vec<String>),
    /// No field has a new value.
    NoNewValue,
}

impl LockScreen {
    /// What a phone whose language has these translations says when `new` replaces `old`, both whole `pass.json`s, at
    /// `now`.
    pub fn of_update(old: &Value, new: &Value, translations: &BTreeMap<String, String>, now: Timestamp) -> Self {
        if new["voided"] == true {
            return Self::None(Silence::Voided);
        }
        if let Some(expired) = new[expiration::KEY].as_str().and_then(parse_date)
            && expired <= now
        {
            return Self::None(Silence::Expired(expired));
        }
        if old == new {
            return Self::None(Silence::Same);
        }
        let (before, after) = (fields(old), fields(new));
        let (mut told, mut silent, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for (key, field) in after {
            // An empty message is none.
            let message =
                field["changeMessage"].as_str().map(|text| translated(text, translations)).filter(|m| !m.is_empty());
            match (before.get(key), message) {
                (Some(old), _) if old["value"] == field["value"] => {}
                (Some(_), Some(message)) => told.push((key, field, message)),
                (Some(_), None) => silent.push(key.to_owned()),
                (None, Some(_)) => added.push(key.to_owned()),
                (None, None) => {}
            }
        }
        match told.as_slice() {
            [] if !silent.is_empty() => Self::None(Silence::NoMessage(silent)),
            [] if !added.is_empty() => Self::None(Silence::OnlyNewFields(added)),
            [] => Self::None(Silence::NoNewValue),
            [(key, field, message)] if message.matches(VALUE).count() == 1 => {
                let (text, value) = value_text(field, translations);
                Self::Text { text: message.replacen(VALUE, &text, 1), field: (*key).to_owned(), value }
            }
            [(key, ..)] => Self::generic(new, Generic::NotOnePlaceholder((*key).to_owned())),
            several => {
                let keys = several.iter().map(|(key, ..)| (*key).to_owned()).collect();
                Self::generic(new, Generic::SeveralFields(keys))
            }
        }
    }

    fn generic(new: &Value, because: Generic) -> Self {
        Self::Generic { text: format!("{} changed", kind(new)), because }
    }

    /// What appears; `None`: the screen stays dark.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } | Self::Generic { text, .. } => Some(text),
            Self::None(_) => None,
        }
    }
}

/// The reason, and what to do for another text.
impl fmt::Display for LockScreen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { field, value, .. } => {
                write!(f, "the value of the field {field:?} changed, and it has a changeMessage")?;
                match value {
                    Wording::AsWritten => Ok(()),
                    Wording::FormattedByPhone => {
                        f.write_str("; the phone writes the value in its own format, here it stands as in pass.json")
                    }
                }
            }
            Self::Generic { because, .. } => match because {
                Generic::SeveralFields(keys) => write!(
                    f,
                    "several fields with a changeMessage changed at once ({}), which Wallet announces in words of its \
                     own; leave the changeMessage to one of them",
                    keys.join(", ")
                ),
                Generic::NotOnePlaceholder(key) => write!(
                    f,
                    "the changeMessage of the field {key:?} does not hold %@ exactly once, so Wallet uses words of its \
                     own; put %@ where the new value belongs"
                ),
            },
            Self::None(silence) => match silence {
                Silence::Voided => f.write_str("a voided pass changes silently"),
                Silence::Expired(at) => write!(f, "a pass that has expired changes silently; this one did at {at}"),
                Silence::Same => f.write_str("the two passes are the same, so no phone is told"),
                Silence::NoMessage(keys) => write!(
                    f,
                    "fields have new values, but no changeMessage in the new pass: {}; give one of them a changeMessage",
                    keys.join(", ")
                ),
                Silence::OnlyNewFields(keys) => write!(
                    f,
                    "fields are new, and only a value that changes is announced: {}; keep the field in both states",
                    keys.join(", ")
                ),
                Silence::NoNewValue => f.write_str(
                    "no field has a new value; labels, colours, images, barcodes and places change silently",
                ),
            },
        }
    }
}

/// Every field, front and back, by the key that identifies it from version to version (reference 4.3).
fn fields(pass: &Value) -> BTreeMap<&str, &Value> {
    let styles = Style::ALL.iter().filter_map(|style| pass.get(style.key()));
    let groups = styles.flat_map(|style| FIELD_GROUPS.iter().filter_map(|group| style[*group].as_array()));
    groups.flatten().filter_map(|field| Some((field["key"].as_str()?, field))).collect()
}

/// A localisable string is a key of `pass.strings`; without an entry it shows as it is (reference 3.8).
fn translated<'t>(text: &'t str, translations: &'t BTreeMap<String, String>) -> &'t str {
    translations.get(text).map_or(text, String::as_str)
}

fn value_text(field: &Value, translations: &BTreeMap<String, String>) -> (String, Wording) {
    match &field["value"] {
        Value::String(date) if ["dateStyle", "timeStyle"].iter().any(|style| field.get(style).is_some()) => {
            (date.clone(), Wording::FormattedByPhone)
        }
        Value::String(text) => (translated(text, translations).to_owned(), Wording::AsWritten),
        Value::Number(number) => (canonical::number(number), Wording::FormattedByPhone),
        // No pass that was examined has such a value.
        other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            (other.to_string(), Wording::AsWritten)
        }
    }
}

/// What Wallet's own words call the pass.
fn kind(pass: &Value) -> &'static str {
    let style = Style::ALL.into_iter().find(|style| pass.get(style.key()).is_some());
    match style {
        Some(Style::BoardingPass) => "Boarding pass",
        Some(Style::Coupon) => "Coupon",
        Some(Style::EventTicket) => "Event ticket",
        Some(Style::StoreCard) => "Store card",
        Some(Style::Generic | Style::PosterGeneric) | None => "Pass",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-23T12:00:00Z";

    /// What is said when the fields of a coupon change so, and other members of the new pass are these.
    fn said_with(old: Value, new: Value, others: Value, translations: &[(&str, &str)]) -> LockScreen {
        let old = json!({"organizationName": "Maison Levain", "coupon": {"secondaryFields": [], "backFields": old}});
        let mut replaced = old.clone();
        replaced["coupon"]["backFields"] = new;
        json_patch::merge(&mut replaced, &others);
        let translations = translations.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        LockScreen::of_update(&old, &replaced, &translations, NOW.parse().unwrap())
    }

    fn said(old: Value, new: Value) -> LockScreen {
        said_with(old, new, json!({}), &[])
    }

    fn text(text: &str, value: Wording) -> LockScreen {
        LockScreen::Text { text: text.into(), field: "news".into(), value }
    }

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn a_new_value_with_a_message_is_announced_with_the_value_in_it() {
        // Reference 5, rules 1, 2 and 8; the message of the new pass counts.
        let old = json!([{"key": "news", "value": "Welcome", "changeMessage": "Old: %@"}]);
        let new = json!([{"key": "news", "value": "Used", "changeMessage": "Your coupon: %@!"}]);
        assert_eq!(said(old.clone(), new), text("Your coupon: Used!", Wording::AsWritten));
        let whole = json!([{"key": "news", "value": "Used. Enjoy!", "changeMessage": "%@"}]);
        assert_eq!(said(old, whole), text("Used. Enjoy!", Wording::AsWritten));
    }

    #[test]
    fn numbers_and_dates_are_written_by_the_phone() {
        let number =
            |value: u32| json!([{"key": "news", "value": value, "currencyCode": "EUR", "changeMessage": "Now %@"}]);
        assert_eq!(said(number(5), number(7)), text("Now 7", Wording::FormattedByPhone));
        let date = |value: &str| {
            json!([{"key": "news", "value": value, "dateStyle": "PKDateStyleShort", "timeStyle": "PKDateStyleNone",
                    "changeMessage": "Until %@"}])
        };
        assert_eq!(
            said(date("2026-11-23T18:30Z"), date("2026-11-24T18:30Z")),
            text("Until 2026-11-24T18:30Z", Wording::FormattedByPhone)
        );
    }

    #[test]
    fn message_and_value_are_translated() {
        // Reference 5, rule 5, and 3.8: what has no translation shows as it is.
        let old = json!([{"key": "news", "value": "READY"}]);
        let new = json!([{"key": "news", "value": "USED", "changeMessage": "NEWS"}]);
        let german = [("NEWS", "Dein Gutschein: %@"), ("USED", "eingelöst")];
        assert_eq!(
            said_with(old.clone(), new.clone(), json!({}), &german),
            text("Dein Gutschein: eingelöst", Wording::AsWritten)
        );
        assert_eq!(said_with(old, new, json!({}), &german[..1]), text("Dein Gutschein: USED", Wording::AsWritten));
    }

    #[test]
    fn several_messages_and_one_without_its_value_become_words_of_wallets_own() {
        // Reference 5, rules 2 and 3.
        let field =
            |key: &str, value: &str, message: &str| json!({"key": key, "value": value, "changeMessage": message});
        let generic = |because| LockScreen::Generic { text: "Coupon changed".into(), because };
        assert_eq!(
            said(
                json!([field("a", "1", "%@"), field("b", "1", "%@")]),
                json!([field("a", "2", "%@"), field("b", "2", "%@")])
            ),
            generic(Generic::SeveralFields(keys(&["a", "b"])))
        );
        for message in ["It changed", "%@ is %@"] {
            assert_eq!(
                said(json!([field("a", "1", "%@")]), json!([field("a", "2", message)])),
                generic(Generic::NotOnePlaceholder("a".into())),
                "{message}"
            );
        }
    }

    #[test]
    fn without_a_message_or_a_new_value_the_screen_stays_dark() {
        let table = [
            (
                "no message in the new pass",
                json!([{"key": "a", "value": "1", "changeMessage": "%@"}]),
                json!([{"key": "a", "value": "2"}]),
                Silence::NoMessage(keys(&["a"])),
            ),
            (
                "an empty message is none",
                json!([{"key": "a", "value": "1"}]),
                json!([{"key": "a", "value": "2", "changeMessage": ""}]),
                Silence::NoMessage(keys(&["a"])),
            ),
            (
                "the same value",
                json!([{"key": "a", "value": "1"}]),
                json!([{"key": "a", "value": "1", "changeMessage": "%@"}]),
                Silence::NoNewValue,
            ),
            (
                "only the label",
                json!([{"key": "a", "value": "1", "label": "x", "changeMessage": "%@"}]),
                json!([{"key": "a", "value": "1", "label": "y", "changeMessage": "%@"}]),
                Silence::NoNewValue,
            ),
            (
                "a new field (reference 5, welcome trick)",
                json!([]),
                json!([{"key": "a", "value": "1", "changeMessage": "%@"}]),
                Silence::OnlyNewFields(keys(&["a"])),
            ),
            (
                "a field that goes",
                json!([{"key": "a", "value": "1", "changeMessage": "%@"}]),
                json!([]),
                Silence::NoNewValue,
            ),
            ("nothing at all", json!([{"key": "a", "value": "1"}]), json!([{"key": "a", "value": "1"}]), Silence::Same),
        ];
        for (case, old, new, silence) in table {
            assert_eq!(said(old, new), LockScreen::None(silence), "{case}");
        }
    }

    #[test]
    fn a_field_may_move_to_another_group() {
        let old = json!([{"key": "news", "value": "1"}]);
        let front = json!({"coupon": {"secondaryFields": [{"key": "news", "value": "2", "changeMessage": "%@"}]}});
        assert_eq!(said_with(old, json!([]), front, &[]), text("2", Wording::AsWritten));
    }

    #[test]
    fn a_voided_or_expired_pass_changes_silently() {
        // Reference 5, rule 9.
        let old = json!([{"key": "news", "value": "1"}]);
        let new = json!([{"key": "news", "value": "2", "changeMessage": "%@"}]);
        let with = |others: Value| said_with(old.clone(), new.clone(), others, &[]);
        assert_eq!(with(json!({"voided": true})), LockScreen::None(Silence::Voided));
        let expired = LockScreen::None(Silence::Expired(NOW.parse().unwrap()));
        assert_eq!(with(json!({"expirationDate": "2026-11-23T13:00+01:00"})), expired);
        for alive in [json!({"voided": false}), json!({"expirationDate": "2026-11-23T12:00:01Z"})] {
            assert_eq!(with(alive), text("2", Wording::AsWritten));
        }
    }

    #[test]
    fn the_reason_names_the_fields() {
        let old = json!([{"key": "news", "value": "1"}]);
        let reason = said(old, json!([{"key": "news", "value": "2"}])).to_string();
        assert!(reason.contains("news"), "{reason}");
    }
}
