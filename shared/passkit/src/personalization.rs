//! Rewards enrolment (Apple, "Return a Personalized Pass"): a customer types a few facts into a sheet that
//! `personalization.json` describes; the phone posts them with a token that must come back signed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Characters of one fact. The longest e-mail address has 254 (RFC 5321); nobody's name is longer.
pub const FACT_CHARACTERS: usize = 256;
/// Bytes of a token.
pub const TOKEN_BYTES: usize = 1024;
/// Bytes of all facts as JSON: seven, each of [`FACT_CHARACTERS`] of at most six bytes (`\u0001`), and their names.
pub const FACTS_BYTES: usize = 7 * (6 * FACT_CHARACTERS + 32);

/// The members of `requiredPersonalizationInfo` that Apple names; all are strings, present as the sheet asked for them.
const FACTS: [&str; 7] =
    ["fullName", "givenName", "familyName", "emailAddress", "postalCode", "ISOCountryCode", "phoneNumber"];

/// Whether a pass still carries the sheet. One that was personalized never does again (reference 1.3, P): the phone
/// reports a pass that came back unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Personalization {
    /// `personalization.json` and its logo are in the package, if the look has them.
    #[default]
    Offered,
    /// They are not.
    Done,
}

/// What a phone sends.
#[derive(PartialEq, Eq)]
pub struct PersonalizationRequest {
    /// Opaque; its UTF-8 bytes are to be signed.
    pub token: String,
    /// What the customer typed: an object with some of Apple's seven members, each a string.
    pub facts: Map<String, Value>,
}

/// Why a body was refused. Names no value: they are a customer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPersonalization {
    /// Not JSON, or without one of the two members.
    #[error(
        "the body must be JSON: {{\"personalizationToken\": \"...\", \"requiredPersonalizationInfo\": {{\"fullName\": \"...\"}}}}"
    )]
    Malformed,
    /// A token that is not to be signed.
    #[error("personalizationToken must have 1 to {TOKEN_BYTES} bytes and no \"{{\"")]
    Token,
    /// A fact that is no string, or too long.
    #[error("{0} must be a string of at most {FACT_CHARACTERS} characters")]
    Fact(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    personalization_token: String,
    required_personalization_info: Map<String, Value>,
}

impl PersonalizationRequest {
    /// Reads a body. Members that Apple does not name are left out, and so is `null`.
    ///
    /// The token is signed exactly as a manifest is, so whoever holds a pass could have a forged `manifest.json` signed
    /// by sending it as the token. A manifest is a JSON object, and there is no object without `{` in any encoding of
    /// Unicode; Apple's tokens are opaque identifiers without one.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidPersonalization> {
        let body: Body = serde_json::from_slice(body).map_err(|_| InvalidPersonalization::Malformed)?;
        let token = body.personalization_token;
        if token.is_empty() || token.len() > TOKEN_BYTES || token.contains('{') {
            return Err(InvalidPersonalization::Token);
        }
        let mut facts = Map::new();
        for name in FACTS {
            match body.required_personalization_info.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if text.chars().count() <= FACT_CHARACTERS => {
                    facts.insert(name.to_owned(), Value::from(text.as_str()));
                }
                Some(_) => return Err(InvalidPersonalization::Fact(name)),
            }
        }
        Ok(Self { token, facts })
    }
}

impl std::fmt::Debug for PersonalizationRequest {
    /// Which facts there are: what they say is the customer's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.facts.keys().collect();
        f.debug_struct("PersonalizationRequest").field("facts", &names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<PersonalizationRequest, InvalidPersonalization> {
        PersonalizationRequest::parse(body.to_string().as_bytes())
    }

    #[test]
    fn apples_members_are_kept_and_no_others() {
        let body = json!({
            "personalizationToken": "b64+/=token",
            "requiredPersonalizationInfo": {
                "fullName": "Ada Lovelace", "givenName": "Ada", "familyName": "Lovelace",
                "emailAddress": "ada@example.com", "postalCode": "10115", "ISOCountryCode": "DE",
                "phoneNumber": "4930123456", "shoeSize": 38, "voided": true },
            "extra": 1 });
        let request = parse(&body).unwrap();
        assert_eq!(request.token, "b64+/=token");
        assert_eq!(request.facts.len(), 7);
        assert_eq!(request.facts["ISOCountryCode"], "DE");
        assert!(!format!("{request:?}").contains("Lovelace"));
    }

    #[test]
    fn every_fact_is_optional() {
        for info in [json!({}), json!({ "fullName": null })] {
            let body = json!({ "personalizationToken": "t", "requiredPersonalizationInfo": info });
            assert!(parse(&body).unwrap().facts.is_empty());
        }
    }

    #[test]
    fn malformed_bodies_are_told_apart() {
        use InvalidPersonalization::{Fact, Malformed, Token};
        assert_eq!(PersonalizationRequest::parse(b"nonsense"), Err(Malformed));
        for body in [
            json!([]),
            json!({ "personalizationToken": "t" }),
            json!({ "requiredPersonalizationInfo": {} }),
            json!({ "personalizationToken": 5, "requiredPersonalizationInfo": {} }),
            json!({ "personalizationToken": "t", "requiredPersonalizationInfo": "Ada" }),
        ] {
            assert_eq!(parse(&body), Err(Malformed), "{body}");
        }
        let of_info = |info: Value| parse(&json!({ "personalizationToken": "t", "requiredPersonalizationInfo": info }));
        assert_eq!(of_info(json!({ "fullName": { "given": "Ada" } })), Err(Fact("fullName")));
        assert_eq!(of_info(json!({ "emailAddress": "x".repeat(FACT_CHARACTERS + 1) })), Err(Fact("emailAddress")));
        assert!(of_info(json!({ "fullName": "é".repeat(FACT_CHARACTERS) })).is_ok());
        let of_token =
            |token: &str| parse(&json!({ "personalizationToken": token, "requiredPersonalizationInfo": {} }));
        assert_eq!(of_token(""), Err(Token));
        assert_eq!(of_token(&"x".repeat(TOKEN_BYTES + 1)), Err(Token));
    }

    #[test]
    fn no_manifest_can_be_had_signed_as_a_token() {
        for manifest in [r#"{"pass.json":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}"#, " {}", "\u{0}{\u{0}}"] {
            let body = json!({ "personalizationToken": manifest, "requiredPersonalizationInfo": {} });
            assert_eq!(parse(&body), Err(InvalidPersonalization::Token), "{manifest:?}");
        }
    }

    #[test]
    fn the_largest_facts_are_within_their_bytes() {
        let info: Map<String, Value> =
            FACTS.iter().map(|name| ((*name).to_owned(), "\u{1}".repeat(FACT_CHARACTERS).into())).collect();
        let facts = parse(&json!({ "personalizationToken": "t", "requiredPersonalizationInfo": info })).unwrap().facts;
        assert!(Value::Object(facts).to_string().len() <= FACTS_BYTES);
    }
}
