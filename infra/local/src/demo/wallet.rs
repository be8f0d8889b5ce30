//! What Wallet shows of a pass; what it says on the lock screen is `passkit::lock_screen`. Values go in, values come out.
//!
//! Texts run through the package's `pass.strings` as on a phone; the system's own formats (`dateStyle`, `currencyCode`,
//! `numberStyle`) and `attributedValue` are left out.

use std::collections::BTreeMap;

use passkit::pass_json::Style;
use serde_json::Value;

/// `pass.strings` of the phone's language: key to text.
pub(super) type Strings = BTreeMap<String, String>;

/// The formats every Wallet can draw; it skips others in favour of the next in the array ("Pass.Barcodes").
const KNOWN_FORMATS: [&str; 4] =
    ["PKBarcodeFormatQR", "PKBarcodeFormatPDF417", "PKBarcodeFormatAztec", "PKBarcodeFormatCode128"];

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

/// The barcode that is drawn: the first of `barcodes` in a known format, else the older `barcode`.
fn barcode(pass: &Value) -> Option<Barcode> {
    let all = pass["barcodes"].as_array().into_iter().flatten().chain(pass.get("barcode"));
    let mut known = all.filter_map(|barcode| {
        let format = barcode["format"].as_str().filter(|format| KNOWN_FORMATS.contains(format))?;
        Some(Barcode { format: format.to_owned(), message: barcode["message"].as_str()?.to_owned() })
    });
    known.next()
}

/// A localisable string is a key of `pass.strings`; without an entry it shows as it is.
fn text(value: &Value, strings: &Strings) -> String {
    match value {
        Value::String(text) => strings.get(text).unwrap_or(text).clone(),
        Value::Null => String::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
