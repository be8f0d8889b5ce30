//! What Wallet shows of a pass, and what it says on the lock screen when an update arrives. Values go in, values come
//! out.
//!
//! Texts run through the package's `pass.strings` as on a phone; the system's own formats (`dateStyle`, `currencyCode`,
//! `numberStyle`) and `attributedValue` are left out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use passkit::pass_json::{FIELD_GROUPS, Style};
use serde_json::Value;

/// `pass.strings` of the phone's language: key to text.
pub(super) type Strings = BTreeMap<String, String>;

/// The formats every Wallet can draw; it skips others in favour of the next in the array ("Pass.Barcodes").
const KNOWN_FORMATS: [&str; 4] =
    ["PKBarcodeFormatQR", "PKBarcodeFormatPDF417", "PKBarcodeFormatAztec", "PKBarcodeFormatCode128"];

/// Stands for the value in a `changeMessage` ("PassFieldContent").
const VALUE: &str = "%@";

/// The front of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Front {
    /// `organizationName`.
    pub(super) organization: String,
    /// `logoText`; empty without one.
    pub(super) logo_text: String,
    /// `headerFields`.
    pub(super) header: Vec<Field>,
    /// `primaryFields`.
    pub(super) primary: Vec<Field>,
    /// `secondaryFields` and `auxiliaryFields`, which a coupon shows in one row.
    pub(super) secondary: Vec<Field>,
    /// None: nothing to scan.
    pub(super) barcode: Option<Barcode>,
    /// `backgroundColor`.
    pub(super) background: Rgb,
    /// `foregroundColor`, of values.
    pub(super) foreground: Rgb,
    /// `labelColor`.
    pub(super) label: Rgb,
}

/// A field as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Empty without one.
    pub(super) label: String,
    /// What it says.
    pub(super) value: String,
}

/// The barcode that is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Barcode {
    /// `PKBarcodeFormatQR`, …
    pub(super) format: String,
    /// What a scanner reads.
    pub(super) message: String,
}

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

impl Rgb {
    pub(super) const BLACK: Self = Self(0, 0, 0);
    pub(super) const WHITE: Self = Self(255, 255, 255);

    /// `rgb(94, 45, 22)`, the only form Apple documents.
    fn read(text: Option<&str>) -> Option<Self> {
        let mut parts =
            text?.trim().strip_prefix("rgb(")?.strip_suffix(')')?.split(',').map(|part| part.trim().parse());
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(red)), Some(Ok(green)), Some(Ok(blue)), None) => Some(Self(red, green, blue)),
            _ => None,
        }
    }
}

/// The front of this `pass.json` in the language of `strings`. What is missing is empty, and white on black.
pub(super) fn front(pass: &Value, strings: &Strings) -> Front {
    let style = Style::ALL.iter().find_map(|style| pass.get(style.key())).unwrap_or(&Value::Null);
    let group = |name: &str| -> Vec<Field> {
        let fields = style[name].as_array().into_iter().flatten();
        fields
            .map(|field| Field { label: text(&field["label"], strings), value: text(&field["value"], strings) })
            .collect()
    };
    let colour = |key: &str, missing: Rgb| Rgb::read(pass[key].as_str()).unwrap_or(missing);
    Front {
        organization: text(&pass["organizationName"], strings),
        logo_text: text(&pass["logoText"], strings),
        header: group("headerFields"),
        primary: group("primaryFields"),
        secondary: [group("secondaryFields"), group("auxiliaryFields")].concat(),
        barcode: barcode(pass),
        background: colour("backgroundColor", Rgb::BLACK),
        foreground: colour("foregroundColor", Rgb::WHITE),
        label: colour("labelColor", Rgb::WHITE),
    }
}

/// What the lock screen says when `new` replaces `old` (Apple, "Adding a Web Service to Update Passes" and
/// "PassFieldContent.changeMessage"); none when it stays dark.
///
/// One field with a new value and a `changeMessage`: that message. Several: one general text. A label, a colour or a
/// barcode that changed, a field that is new, a voided or expired pass: nothing.
pub(super) fn lock_screen(old: &Value, new: &Value, strings: &Strings, now: Timestamp) -> Option<String> {
    let expires = new["expirationDate"].as_str().and_then(|date| date.parse::<Timestamp>().ok());
    if new["voided"] == true || expires.is_some_and(|at| at <= now) {
        return None;
    }
    let before = fields(old);
    let mut announced = fields(new).into_iter().filter(|(key, field)| {
        let changed = before.get(key).is_some_and(|old| old["value"] != field["value"]);
        changed && field["changeMessage"].is_string()
    });
    let (_, field) = announced.next()?;
    let message = text(&field["changeMessage"], strings);
    // Without the placeholder Wallet has a general text too.
    if announced.next().is_some() || !message.contains(VALUE) {
        return Some(format!("{} changed", kind(new)));
    }
    Some(message.replacen(VALUE, &text(&field["value"], strings), 1))
}

/// The barcode that is drawn: the first of `barcodes` in a known format, else the older `barcode`.
fn barcode(pass: &Value) -> Option<Barcode> {
    let all = pass["barcodes"].as_array().into_iter().flatten().chain(pass.get("barcode"));
    let mut known = all.filter_map(|barcode| {
        let format = barcode["format"].as_str().filter(|format| KNOWN_FORMATS.contains(format))?;
        Some(Barcode { format: format.to_owned(), message: barcode["message"].as_str()?.to_owned() })
    });
    known.next()
}

/// Every field, front and back, by the key that identifies it from version to version.
fn fields(pass: &Value) -> BTreeMap<&str, &Value> {
    let styles = Style::ALL.iter().filter_map(|style| pass.get(style.key()));
    let groups = styles.flat_map(|style| FIELD_GROUPS.iter().filter_map(|group| style[*group].as_array()));
    groups.flatten().filter_map(|field| Some((field["key"].as_str()?, field))).collect()
}

/// A localisable string is a key of `pass.strings`; without an entry it shows as it is.
fn text(value: &Value, strings: &Strings) -> String {
    match value {
        Value::String(text) => strings.get(text).unwrap_or(text).clone(),
        Value::Null => String::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

/// What the general text calls the pass.
fn kind(pass: &Value) -> &'static str {
    let kinds = [
        ("boardingPass", "Boarding pass"),
        ("coupon", "Coupon"),
        ("eventTicket", "Event ticket"),
        ("storeCard", "Store card"),
    ];
    kinds.iter().find(|(style, _)| pass.get(style).is_some()).map_or("Pass", |(_, kind)| kind)
}

#[cfg(test)]
mod tests;
