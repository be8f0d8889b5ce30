//! `pass.json`: what Apple says it may hold (reference 4), checked whole, every problem by path.
//!
//! Errors are what makes iOS refuse the pass or what can only be a mistake; warnings are advice. Unknown keys pass:
//! Wallet ignores them, and Apple adds some every year.

mod check;
mod fields;
mod relevance;
mod semantics;
mod top_level;

use serde_json::{Map, Value};

pub(crate) use check::{Stage, parse_date};

use crate::problem::{Problems, pointer};

/// A pass style: the one key of `pass.json` that says what kind of pass it is (reference 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Style {
    /// `boardingPass`
    BoardingPass,
    /// `coupon`
    Coupon,
    /// `eventTicket`
    EventTicket,
    /// `generic`
    Generic,
    /// `storeCard`
    StoreCard,
    /// `posterGeneric` (iOS 27), shipped beside one of the others as fallback.
    PosterGeneric,
}

impl Style {
    /// Every style; the classic five first.
    pub const ALL: [Self; 6] =
        [Self::BoardingPass, Self::Coupon, Self::EventTicket, Self::Generic, Self::StoreCard, Self::PosterGeneric];

    /// The key in `pass.json`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::BoardingPass => "boardingPass",
            Self::Coupon => "coupon",
            Self::EventTicket => "eventTicket",
            Self::Generic => "generic",
            Self::StoreCard => "storeCard",
            Self::PosterGeneric => "posterGeneric",
        }
    }

    /// The style of that key.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.key() == key)
    }
}

/// The keys that say which pass this is and whom it calls: always the service's, never a template's.
pub const SERVICE_KEYS: [&str; 5] =
    ["authenticationToken", "passTypeIdentifier", "serialNumber", "teamIdentifier", "webServiceURL"];

/// The groups of fields a style may have (reference 4.2).
pub const FIELD_GROUPS: [&str; 7] = [
    "headerFields",
    "primaryFields",
    "secondaryFields",
    "auxiliaryFields",
    "backFields",
    "additionalInfoFields",
    "footerFields",
];

/// The styles a `pass.json` has, the classic one first.
pub(crate) fn styles(pass: &Map<String, Value>) -> impl Iterator<Item = Style> {
    Style::ALL.into_iter().filter(|style| pass.contains_key(style.key()))
}

/// What an examination of a `pass.json` found. Paths begin with the prefix that was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// What iOS would refuse.
    pub(crate) errors: Problems,
    /// Advice.
    pub(crate) warnings: Problems,
}

/// Examines a whole `pass.json`, save the five [`SERVICE_KEYS`]. At [`Stage::Template`] a string with a placeholder
/// counts as whatever it must be.
pub(crate) fn examine(pass: &Map<String, Value>, stage: Stage, prefix: &str) -> Report {
    let mut check = check::Check::new(stage);
    top_level::examine(&mut check, pass, prefix);
    for style in styles(pass) {
        if let Some(content) = pass.get(style.key()) {
            fields::examine_style(&mut check, style, content, &pointer(prefix, style.key()));
        }
    }
    Report { errors: check.findings.errors, warnings: check.findings.warnings }
}

#[cfg(test)]
mod tests;
