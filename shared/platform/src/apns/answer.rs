//! From an APNs answer to what to do: every reason of Apple's table, in one place.

use std::time::Duration;

use a2::ErrorReason;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::outcome::{AnswerReason, PushOutcome, Reason};

/// `TooManyRequests` is about one token and lasts minutes.
const PAUSE_FOR_ONE_TOKEN: Duration = Duration::from_secs(5 * 60);

/// A `Retry-After` beyond this is not believed: a push is worth days at most, and the caller gives up on its own.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What the answer means for the connection it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// Nothing.
    Keep,
    /// No more pushes on it.
    Close,
    /// No more pushes on it, and the refused one may be tried at once on another.
    Reconnect,
}

/// Reads status, headers and body of an answer. The reason decides; the status does where the reason is unknown, so that
/// what Apple adds later is handled by its class.
pub(super) fn decide(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> (PushOutcome, Aftermath) {
    if status == StatusCode::OK {
        let apns_id = headers.get("apns-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        return (PushOutcome::Accepted { apns_id }, Aftermath::Keep);
    }
    // Not a2's ErrorBody: it fails as a whole on a reason it does not know, and the timestamp would be lost with it.
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let since = body["timestamp"].as_i64().and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
    let reason = parse(status, body["reason"].as_str().unwrap_or_default());
    let after = retry_after(headers);

    let outcome = match reason {
        AnswerReason::Known(ErrorReason::Unregistered) => PushOutcome::Unregistered { since },
        AnswerReason::Known(ErrorReason::BadDeviceToken | ErrorReason::DeviceTokenNotForTopic)
        | AnswerReason::ExpiredToken => PushOutcome::BadToken { reason: Reason::Answer(reason) },
        AnswerReason::Known(ErrorReason::TooManyRequests) => {
            PushOutcome::Retry { reason: Reason::Answer(reason), after: after.or(Some(PAUSE_FOR_ONE_TOKEN)) }
        }
        // Both announce that this connection ends: the push was refused for where it came in, not for what it is.
        AnswerReason::Known(ErrorReason::Shutdown | ErrorReason::IdleTimeout) => {
            return (PushOutcome::Retry { reason: Reason::Answer(reason), after }, Aftermath::Reconnect);
        }
        AnswerReason::Known(
            ErrorReason::TooManyProviderTokenUpdates
            | ErrorReason::InternalServerError
            | ErrorReason::ServiceUnavailable,
        ) => PushOutcome::Retry { reason: Reason::Answer(reason), after },
        AnswerReason::Known(ErrorReason::BadTopic | ErrorReason::MissingTopic | ErrorReason::TopicDisallowed) => {
            PushOutcome::Stop { reason: Reason::Answer(reason) }
        }
        AnswerReason::Known(
            ErrorReason::BadCertificate
            | ErrorReason::BadCertificateEnvironment
            | ErrorReason::Forbidden
            // Provider tokens: we send a certificate and none of these, so there is no newer token to try again with.
            | ErrorReason::ExpiredProviderToken
            | ErrorReason::InvalidProviderToken
            | ErrorReason::MissingProviderToken,
        )
        | AnswerReason::UnrelatedKeyIdInToken => {
            return (PushOutcome::Stop { reason: Reason::Answer(reason) }, Aftermath::Close);
        }
        AnswerReason::Known(
            ErrorReason::BadCollapseId
            | ErrorReason::BadExpirationDate
            | ErrorReason::BadMessageId
            | ErrorReason::BadPriority
            | ErrorReason::BadPath
            | ErrorReason::DuplicateHeaders
            | ErrorReason::MethodNotAllowed
            | ErrorReason::MissingDeviceToken
            | ErrorReason::PayloadEmpty
            | ErrorReason::PayloadTooLarge,
        )
        | AnswerReason::InvalidPushType => PushOutcome::Defect { reason: Reason::Answer(reason) },
        AnswerReason::Unknown { status: 410, .. } => PushOutcome::Unregistered { since },
        AnswerReason::Unknown { status: 429 | 500..=599, .. } => {
            PushOutcome::Retry { reason: Reason::Answer(reason), after }
        }
        AnswerReason::Unknown { status: 401 | 403, .. } => {
            return (PushOutcome::Stop { reason: Reason::Answer(reason) }, Aftermath::Close);
        }
        AnswerReason::Unknown { .. } => PushOutcome::Defect { reason: Reason::Answer(reason) },
    };
    (outcome, Aftermath::Keep)
}

fn parse(status: StatusCode, name: &str) -> AnswerReason {
    let known: StrDeserializer<'_, Error> = name.into_deserializer();
    match (ErrorReason::deserialize(known), name) {
        (Ok(reason), _) => AnswerReason::Known(reason),
        (Err(_), "ExpiredToken") => AnswerReason::ExpiredToken,
        (Err(_), "InvalidPushType") => AnswerReason::InvalidPushType,
        (Err(_), "UnrelatedKeyIdInToken") => AnswerReason::UnrelatedKeyIdInToken,
        (Err(_), other) => {
            let visible = other.chars().filter(char::is_ascii_graphic).take(AnswerReason::UNKNOWN_LENGTH).collect();
            AnswerReason::Unknown { status: status.as_u16(), reason: visible }
        }
    }
}

/// Apple does not document `Retry-After` for APNs; proxies in front of it send seconds. A date is left to the back-off.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    // Which reason leads to which action is tried on the wire, row by row, in infra/local's APNs tests.

    fn answer(status: u16, body: &serde_json::Value) -> (PushOutcome, Aftermath) {
        decide(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.to_string().as_bytes())
    }

    fn unknown(status: u16, reason: &str) -> Reason {
        Reason::Answer(AnswerReason::Unknown { status, reason: reason.to_owned() })
    }

    #[test]
    fn the_timestamp_of_a_410_survives_a_reason_nobody_knows() {
        let body = json!({ "reason": "NewSinceThen", "timestamp": 1_508_249_865_488_i64 });
        let since = Some("2017-10-17T14:17:45.488Z".parse().unwrap());
        assert_eq!(answer(410, &body).0, PushOutcome::Unregistered { since });
    }

    #[test]
    fn an_odd_timestamp_is_none() {
        for timestamp in [json!("yesterday"), json!(null), json!(i64::MAX), json!(1.5)] {
            let body = json!({ "reason": "Unregistered", "timestamp": timestamp });
            assert_eq!(answer(410, &body).0, PushOutcome::Unregistered { since: None }, "{timestamp}");
        }
    }

    #[test]
    fn without_a_readable_body_the_status_decides() {
        let decide =
            |status: u16, body: &[u8]| decide(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body).0;
        assert_eq!(decide(410, b""), PushOutcome::Unregistered { since: None });
        assert_eq!(decide(503, b"<html>"), PushOutcome::Retry { reason: unknown(503, ""), after: None });
        assert_eq!(decide(403, b"[]"), PushOutcome::Stop { reason: unknown(403, "") });
        assert_eq!(decide(400, b"{\"reason\":7}"), PushOutcome::Defect { reason: unknown(400, "") });
        assert_eq!(decide(302, b""), PushOutcome::Defect { reason: unknown(302, "") });
    }

    #[test]
    fn an_unknown_reason_is_cut_to_what_a_log_line_can_hold() {
        let body = json!({ "reason": format!("New\n\u{1b}[31m {}", "x".repeat(500)) });
        let PushOutcome::Defect { reason: Reason::Answer(AnswerReason::Unknown { reason, .. }) } = answer(400, &body).0
        else {
            panic!("an unknown 400 is a defect");
        };
        assert_eq!(reason.len(), AnswerReason::UNKNOWN_LENGTH);
        assert!(reason.starts_with("New[31mx"), "{reason}");
    }

    #[test]
    fn too_many_requests_for_a_token_means_minutes() {
        let outcome = answer(429, &json!({ "reason": "TooManyRequests" })).0;
        let reason = Reason::Answer(AnswerReason::Known(ErrorReason::TooManyRequests));
        assert_eq!(outcome, PushOutcome::Retry { reason, after: Some(PAUSE_FOR_ONE_TOKEN) });
    }

    #[test]
    fn retry_after_is_honoured_within_reason() {
        let paused = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            let body = br#"{"reason":"ServiceUnavailable"}"#;
            let PushOutcome::Retry { after, .. } = decide(StatusCode::SERVICE_UNAVAILABLE, &headers, body).0 else {
                panic!("ServiceUnavailable is not retried");
            };
            after
        };
        assert_eq!(paused("120"), Some(Duration::from_secs(120)));
        assert_eq!(paused("31536000"), Some(LONGEST_PAUSE));
        for not_seconds in ["-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", ""] {
            assert_eq!(paused(not_seconds), None, "{not_seconds}");
        }
    }

    #[test]
    fn connection_level_reasons_end_the_connection_and_no_others() {
        let aftermath = |status: u16, reason: &str| answer(status, &json!({ "reason": reason })).1;
        assert_eq!(aftermath(503, "Shutdown"), Aftermath::Reconnect);
        assert_eq!(aftermath(400, "IdleTimeout"), Aftermath::Reconnect);
        assert_eq!(aftermath(403, "BadCertificate"), Aftermath::Close);
        assert_eq!(aftermath(403, "UnrelatedKeyIdInToken"), Aftermath::Close);
        assert_eq!(aftermath(400, "TopicDisallowed"), Aftermath::Keep);
        assert_eq!(aftermath(410, "Unregistered"), Aftermath::Keep);
        assert_eq!(aftermath(503, "ServiceUnavailable"), Aftermath::Keep);
    }
}
