//! What makes a push request well-formed, as Apple's table of headers and of reasons has it.

use std::str::FromStr;

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

/// Apple: at most 4,096 bytes.
pub(super) const LARGEST_PAYLOAD: usize = 4_096;

/// APNs tokens have had 32 bytes since they exist. Longer ones are announced as possible, shorter ones never were.
const SHORTEST_TOKEN: usize = 64;

/// Status and reason with which a request is refused.
pub(super) type Refusal = (StatusCode, &'static str);

/// The device token in the path, unchecked; or why the request is for no device.
pub(super) fn device(head: &Parts) -> Result<&str, Refusal> {
    if head.method != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"));
    }
    let token = head.uri.path().strip_prefix("/3/device").ok_or((StatusCode::NOT_FOUND, "BadPath"))?;
    match token.strip_prefix('/') {
        None if token.is_empty() => Err((StatusCode::BAD_REQUEST, "MissingDeviceToken")),
        Some("") => Err((StatusCode::BAD_REQUEST, "MissingDeviceToken")),
        Some(token) if !token.contains('/') => Ok(token),
        Some(_) | None => Err((StatusCode::NOT_FOUND, "BadPath")),
    }
}

/// Everything else about the request. `certificate_topic` is the `UID` of the client's certificate.
pub(super) fn check(
    token: &str,
    headers: &HeaderMap,
    payload_length: usize,
    certificate_topic: Option<&str>,
) -> Result<(), Refusal> {
    let certificate_topic = certificate_topic.ok_or((StatusCode::FORBIDDEN, "BadCertificate"))?;
    if token.len() < SHORTEST_TOKEN || !token.len().is_multiple_of(2) || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad("BadDeviceToken"));
    }
    check_headers(headers, certificate_topic)?;
    match payload_length {
        0 => Err(bad("PayloadEmpty")),
        1..=LARGEST_PAYLOAD => Ok(()),
        _ => Err((StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge")),
    }
}

fn check_headers(headers: &HeaderMap, certificate_topic: &str) -> Result<(), Refusal> {
    let topic = one(headers, "apns-topic")?.filter(|topic| !topic.is_empty()).ok_or(bad("MissingTopic"))?;
    if topic != certificate_topic {
        return Err(bad("TopicDisallowed"));
    }
    let push_type = one(headers, "apns-push-type")?;
    if !matches!(
        push_type,
        None | Some(
            "alert" | "background" | "controls" | "location" | "voip" | "complication" | "fileprovider" | "mdm"
        ) | Some("liveactivity" | "pushtotalk" | "widgets")
    ) {
        return Err(bad("InvalidPushType"));
    }
    match (one(headers, "apns-priority")?, push_type) {
        (Some("10"), Some("background")) => return Err(bad("BadPriority")),
        (None | Some("10" | "5" | "1"), _) => {}
        (Some(_), _) => return Err(bad("BadPriority")),
    }
    if one(headers, "apns-expiration")?.is_some_and(|seconds| u64::from_str(seconds).is_err()) {
        return Err(bad("BadExpirationDate"));
    }
    if one(headers, "apns-id")?.is_some_and(|id| !is_canonical_uuid(id)) {
        return Err(bad("BadMessageId"));
    }
    if one(headers, "apns-collapse-id")?.is_some_and(|id| id.len() > 64) {
        return Err(bad("BadCollapseId"));
    }
    Ok(())
}

fn bad(reason: &'static str) -> Refusal {
    (StatusCode::BAD_REQUEST, reason)
}

/// A header that may appear once. A value that is no text is as good as a wrong one.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.to_str().unwrap_or("\u{fffd}"));
    if values.next().is_some() { Err(bad("DuplicateHeaders")) } else { Ok(first) }
}

/// Lower-case, 8-4-4-4-12.
fn is_canonical_uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Request};

    use super::*;

    const TOPIC: &str = "pass.example.passloop";
    const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF";

    fn head(method: Method, path: &str) -> Parts {
        Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        // append, not insert: repeated headers stay repeated.
        let mut headers = HeaderMap::new();
        for (name, value) in list.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    #[track_caller]
    fn refused(headers: &HeaderMap, reason: &str) {
        assert_eq!(check(TOKEN, headers, 2, Some(TOPIC)).map_err(|(_, reason)| reason), Err(reason));
    }

    #[test]
    fn only_a_post_to_a_device_names_a_device() {
        let path = format!("/3/device/{TOKEN}");
        assert_eq!(device(&head(Method::POST, &path)), Ok(TOKEN));
        let reason = |method, path: &str| device(&head(method, path)).map(str::to_owned);
        assert_eq!(reason(Method::GET, &path), Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")));
        for path in ["/", "/2/device/00", "/3/devices/00", "/3/device/00/00"] {
            assert_eq!(reason(Method::POST, path), Err((StatusCode::NOT_FOUND, "BadPath")), "{path}");
        }
        for path in ["/3/device", "/3/device/"] {
            assert_eq!(reason(Method::POST, path), Err((StatusCode::BAD_REQUEST, "MissingDeviceToken")), "{path}");
        }
    }

    #[test]
    fn a_token_is_at_least_32_bytes_of_hexadecimal() {
        let headers = headers(&[("apns-topic", TOPIC)]);
        assert_eq!(check(TOKEN, &headers, 2, Some(TOPIC)), Ok(()));
        assert_eq!(check(&TOKEN.repeat(3), &headers, 2, Some(TOPIC)), Ok(()));
        for token in [&TOKEN[2..], &TOKEN.replace('0', "g"), &format!("{TOKEN}0")] {
            assert_eq!(check(token, &headers, 2, Some(TOPIC)), Err(bad("BadDeviceToken")), "{token}");
        }
    }

    #[test]
    fn the_topic_is_the_certificates() {
        refused(&headers(&[]), "MissingTopic");
        refused(&headers(&[("apns-topic", "")]), "MissingTopic");
        refused(&headers(&[("apns-topic", "pass.example.other")]), "TopicDisallowed");
        let right = headers(&[("apns-topic", TOPIC)]);
        assert_eq!(check(TOKEN, &right, 2, None), Err((StatusCode::FORBIDDEN, "BadCertificate")));
    }

    #[test]
    fn the_other_headers_may_be_absent_but_not_wrong() {
        let topic = ("apns-topic", TOPIC);
        refused(&headers(&[topic, topic]), "DuplicateHeaders");
        refused(&headers(&[topic, ("apns-push-type", "pass")]), "InvalidPushType");
        refused(&headers(&[topic, ("apns-priority", "11")]), "BadPriority");
        refused(&headers(&[topic, ("apns-priority", "10"), ("apns-push-type", "background")]), "BadPriority");
        refused(&headers(&[topic, ("apns-expiration", "tomorrow")]), "BadExpirationDate");
        refused(&headers(&[topic, ("apns-expiration", "-1")]), "BadExpirationDate");
        refused(&headers(&[topic, ("apns-id", "EABEAE54-14A8-11E5-B60B-1697F925EC7B")]), "BadMessageId");
        refused(&headers(&[topic, ("apns-collapse-id", &"x".repeat(65))]), "BadCollapseId");
        let full = headers(&[
            topic,
            ("apns-push-type", "background"),
            ("apns-priority", "5"),
            ("apns-expiration", "0"),
            ("apns-id", "eabeae54-14a8-11e5-b60b-1697f925ec7b"),
            ("apns-collapse-id", &"x".repeat(64)),
        ]);
        assert_eq!(check(TOKEN, &full, 2, Some(TOPIC)), Ok(()));
    }

    #[test]
    fn a_payload_has_1_to_4096_bytes() {
        let headers = headers(&[("apns-topic", TOPIC)]);
        assert_eq!(check(TOKEN, &headers, 0, Some(TOPIC)), Err(bad("PayloadEmpty")));
        assert_eq!(check(TOKEN, &headers, 4_096, Some(TOPIC)), Ok(()));
        let too_large = Err((StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"));
        assert_eq!(check(TOKEN, &headers, 4_097, Some(TOPIC)), too_large);
    }
}
