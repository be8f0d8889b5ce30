//! When a pass ends: what its `expirationDate` says (reference 4.1), read without rendering the pass.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    pass_json::parse_date,
    placeholder::{Escape, Placeholder, Text, resolve, text_of},
};

/// The key of `pass.json`.
pub const KEY: &str = "expirationDate";

/// What a look's `expirationDate` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expiration {
    /// One moment for every pass.
    At(Timestamp),
    /// A text with placeholders of the holder's: each pass has its own moment.
    OfHolder(String),
}

impl Expiration {
    /// Of the value as template or overlay wrote it, with the offer's values put in; `None`: never.
    pub fn read(written: Option<&Value>, offer: &Value) -> Option<Self> {
        let text = Text::compile(written?.as_str()?).ok()?.with_offer(offer, Escape::Plain);
        if text.is_literal() {
            parse_date(&text.render(Escape::Plain, |_| None)).map(Self::At)
        } else {
            Some(Self::OfHolder(text.to_string()))
        }
    }

    /// The moment for this holder. `None`: the data makes no date of it, and the pass shows none either.
    pub fn of(&self, holder: &Value) -> Option<Timestamp> {
        match self {
            Self::At(moment) => Some(*moment),
            Self::OfHolder(source) => {
                let text = Text::compile(source).ok()?;
                parse_date(&text.render(Escape::Plain, |placeholder| match placeholder {
                    Placeholder::Holder(path) => resolve(holder, path).map(text_of),
                    // No date is made of these.
                    Placeholder::Offer(_)
                    | Placeholder::SerialNumber
                    | Placeholder::Barcode
                    | Placeholder::Remaining
                    | Placeholder::Redemptions => None,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moment(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    fn expires(written: &str, holder: &Value) -> Option<Timestamp> {
        let offer = json!({"redeemableUntil": "2026-12-24T18:00:00.000Z"});
        Expiration::read(Some(&json!(written)), &offer)?.of(holder)
    }

    #[test]
    fn a_date_is_the_same_for_everybody() {
        assert_eq!(expires("2026-11-23T18:30+01:00", &json!({})), moment("2026-11-23T17:30:00Z"), "reference 4");
        assert_eq!(expires("{{ offer.redeemableUntil }}", &json!({})), moment("2026-12-24T18:00:00Z"));
    }

    #[test]
    fn a_placeholder_of_the_holder_is_each_ones_own() {
        let written = "{{ holder.until }}T23:59:59Z";
        assert_eq!(expires(written, &json!({"until": "2026-11-23"})), moment("2026-11-23T23:59:59Z"));
        assert_eq!(expires(written, &json!({"until": "2027-01-01"})), moment("2027-01-01T23:59:59Z"));
    }

    #[test]
    fn what_is_no_date_never_ends() {
        assert_eq!(Expiration::read(None, &json!({})), None);
        for (written, holder) in
            [("{{ holder.until }}", json!({})), ("{{ holder.until }}", json!({"until": "soon"})), ("soon", json!({}))]
        {
            assert_eq!(expires(written, &holder), None, "{written} {holder}");
        }
    }

    #[test]
    fn it_reads_back_as_it_was_stored() {
        for expiration in [
            Expiration::At("2026-11-23T18:30:00.5Z".parse().unwrap()),
            Expiration::OfHolder("{{ holder.until }}".into()),
        ] {
            let stored = serde_json::to_string(&expiration).unwrap();
            assert_eq!(serde_json::from_str::<Expiration>(&stored).unwrap(), expiration);
        }
    }
}
