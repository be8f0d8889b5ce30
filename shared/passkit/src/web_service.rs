//! The wire types of the PassKit web service, version 1 (Apple, "Adding a Web Service to Update Passes").

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{
    identifiers::SerialNumber,
    secrets::{AuthenticationToken, PushToken},
};

/// Which kind of client registered: it decides where pushes go. An Android token sent to APNs answers BadDeviceToken,
/// and would cost the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// Apple Wallet: pushed through APNs.
    Apple,
    /// WalletPasses on Android, known by its scheme `AndroidPass` or its user agent.
    WalletPasses,
    /// A client that names itself in `X-Pass-Client` (Pass2U, Passworks).
    PassClient,
}

/// The scheme of the `Authorization` header. Both are equal in what they authorise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `ApplePass`
    Apple,
    /// `AndroidPass`
    Android,
}

/// Reads `Authorization: ApplePass <token>` or `AndroidPass <token>`. Schemes are case-insensitive (RFC 9110, 11.1);
/// anything else, an empty token included, authorises nothing.
pub fn parse_authorization(header: &str) -> Option<(Scheme, AuthenticationToken)> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let scheme = if scheme.eq_ignore_ascii_case("ApplePass") {
        Scheme::Apple
    } else if scheme.eq_ignore_ascii_case("AndroidPass") {
        Scheme::Android
    } else {
        return None;
    };
    let token = token.trim();
    (!token.is_empty() && !token.contains(' ')).then(|| (scheme, AuthenticationToken::new(token)))
}

/// The kind of client, from what it sent with its registration.
pub fn client_kind(scheme: Scheme, pass_client: Option<&str>, user_agent: Option<&str>) -> ClientKind {
    match (scheme, pass_client) {
        (_, Some(_)) => ClientKind::PassClient,
        (Scheme::Android, None) => ClientKind::WalletPasses,
        (Scheme::Apple, None) if user_agent.is_some_and(|agent| agent.contains("WalletPasses/")) => {
            ClientKind::WalletPasses
        }
        (Scheme::Apple, None) => ClientKind::Apple,
    }
}

/// Body of a registration. Read whatever its content type: some clients send `text/plain`. Unknown members are left
/// alone, since Attido's clients name a push service besides.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationBody {
    push_token: String,
}

/// Why a registration body was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegistration {
    /// Not JSON, or without a string `pushToken`.
    #[error("the body must be JSON: {{\"pushToken\": \"...\"}}")]
    Malformed,
    /// Empty, too long, or with characters that no push token has.
    #[error("pushToken must be 1 to 512 letters, digits, \"-\", \"_\", \":\" or \".\"")]
    PushToken,
}

/// Reads the push token of a registration. Apple's tokens are hexadecimal of no promised length; the tokens of
/// Android's clients hold `-`, `_` and `:` besides.
pub fn parse_registration(body: &[u8]) -> Result<PushToken, InvalidRegistration> {
    let body: RegistrationBody = serde_json::from_slice(body).map_err(|_| InvalidRegistration::Malformed)?;
    let token = body.push_token;
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.');
    if token.is_empty() || token.len() > 512 || !token.bytes().all(is_token_byte) {
        return Err(InvalidRegistration::PushToken);
    }
    Ok(PushToken::new(token))
}

/// The answer to a list call that has something to list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdatablePasses<'a> {
    /// What to fetch.
    pub serial_numbers: Vec<&'a SerialNumber>,
    /// The new tag; a string, never a number.
    pub last_updated: String,
}

/// Lines of one call kept; phones merge about 50 into one.
pub const LOG_LINES: usize = 100;
/// Characters of one line kept.
pub const LOG_LINE_CHARACTERS: usize = 1024;

/// Reads the body of a log call: `{"logs": [...]}`, or a bare array as some clients send it. Never fails, since a phone
/// repeats a log call until it is answered 200: what is no text is left out, the rest is cut to the two limits.
pub fn parse_log(body: &[u8]) -> Vec<String> {
    let lines = match serde_json::from_slice(body) {
        Ok(serde_json::Value::Array(lines)) => lines,
        Ok(serde_json::Value::Object(mut members)) => match members.remove("logs") {
            Some(serde_json::Value::Array(lines)) => lines,
            Some(_) | None => Vec::new(),
        },
        Ok(_) | Err(_) => Vec::new(),
    };
    let texts = lines.iter().filter_map(serde_json::Value::as_str).take(LOG_LINES);
    texts.map(|text| text.chars().filter(|c| !c.is_control()).take(LOG_LINE_CHARACTERS).collect()).collect()
}

/// The date of an effective version of a pass, in whole seconds: what `Last-Modified` says and `If-Modified-Since`
/// repeats, verbatim. It is an identity, not a time: no two versions of a pass share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LastModified(pub i64);

impl LastModified {
    /// As an HTTP date (RFC 9110, 5.6.7).
    pub fn to_header(self) -> String {
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.0.try_into().unwrap_or(0)))
    }

    /// Reads an HTTP date; anything else is no date, and then the pass is sent whole.
    pub fn parse(header: &str) -> Option<LastModified> {
        let time: SystemTime = httpdate::parse_http_date(header.trim()).ok()?;
        let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
        i64::try_from(seconds).ok().map(LastModified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_authorise_and_nothing_else_does() {
        for (header, scheme) in [
            ("ApplePass abc", Scheme::Apple),
            ("applepass abc", Scheme::Apple),
            ("AndroidPass abc", Scheme::Android),
            ("ApplePass   abc ", Scheme::Apple),
        ] {
            let (found, token) = parse_authorization(header).unwrap();
            assert_eq!((found, token.expose()), (scheme, "abc"), "{header:?}");
        }
        for header in ["", "ApplePass", "ApplePass ", "Bearer abc", "abc", "ApplePass a b"] {
            assert!(parse_authorization(header).is_none(), "{header:?}");
        }
    }

    #[test]
    fn android_clients_are_told_apart() {
        assert_eq!(client_kind(Scheme::Apple, None, Some("passd/1.0 CFNetwork/1410.0.3")), ClientKind::Apple);
        assert_eq!(client_kind(Scheme::Android, None, None), ClientKind::WalletPasses);
        assert_eq!(
            client_kind(Scheme::Apple, None, Some("WalletPasses/1.0 (Linux; U; Android 9)")),
            ClientKind::WalletPasses
        );
        assert_eq!(client_kind(Scheme::Apple, Some("Passworks"), None), ClientKind::PassClient);
    }

    #[test]
    fn registrations_need_a_push_token() {
        assert_eq!(parse_registration(br#"{"pushToken":"a1b2"}"#).unwrap().expose(), "a1b2");
        for bad in [&b""[..], b"{}", b"[]", br#"{"pushToken":5}"#, br#"{"pushToken":""}"#, br#"{"pushToken":"a/b"}"#] {
            assert!(parse_registration(bad).is_err());
        }
    }

    #[test]
    fn logs_are_read_in_both_shapes_and_bounded() {
        assert_eq!(parse_log(br#"{"logs":["a","b"]}"#), ["a", "b"]);
        assert_eq!(parse_log(br#"["a", 5, "b\nc"]"#), ["a", "bc"]);
        assert!(parse_log(b"nonsense").is_empty());
        let many = serde_json::to_vec(&vec!["x".repeat(5000); 500]).unwrap();
        let lines = parse_log(&many);
        assert_eq!((lines.len(), lines[0].len()), (LOG_LINES, LOG_LINE_CHARACTERS));
    }

    #[test]
    fn dates_round_trip_verbatim() {
        let date = LastModified(784_111_777);
        assert_eq!(date.to_header(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(LastModified::parse(&date.to_header()), Some(date));
        assert_eq!(LastModified::parse("yesterday"), None);
    }
}
