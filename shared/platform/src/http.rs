//! Answers over HTTP, and the one table from what went wrong to what each audience is told.

use ::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use domain::{Refusal, time};
use lambda_http::{Body, Request};
use passkit::problem::{Problem, Problems, TOLD};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Fault, function::Audience, keys::Role};

/// Bytes of a merchant's JSON body. A campaign with 24 offers and overlays is tens of kilobytes; its record may hold 400.
pub const JSON_LIMIT: usize = 256 * 1024;
/// Bytes of a phone's body: a registration is 100 bytes, a log call about 50 lines.
pub const PHONE_LIMIT: usize = 64 * 1024;

/// Headers of a page that a visitor gets instead of what they asked for: nothing is loaded, framed, indexed or told on.
const VISITOR_HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

/// Why a request was not done.
#[derive(Debug)]
pub enum Failure {
    /// The answer is no, for a reason of the merchant's own rules.
    Refused(Refusal),
    /// No credentials, or wrong ones.
    Unauthorised,
    /// The key's role does not reach so far.
    Forbidden {
        /// The role that would.
        needed: Role,
    },
    /// The body is not what it should be at all.
    Malformed(String),
    /// The body is well formed, and these things in it are wrong.
    Invalid(Problems),
    /// The body is over the limit, in bytes.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body is of another kind.
    UnsupportedMediaType {
        /// The kind it should be.
        expected: &'static str,
    },
    /// There is no such thing of this merchant.
    NotFound(&'static str),
    /// The call needs an idempotency key, or the one given is none.
    IdempotencyKey(&'static str),
    /// The key was used with another request.
    IdempotencyKeyReused,
    /// Too many wanted to change the same thing at once; nothing was changed.
    Busy,
    /// There is no such pass of this merchant; of several, each is named.
    UnknownPasses(Problems),
    /// Without this key the merchant could make no other.
    LastAdminKey,
    /// The merchant has as many keys as they may.
    TooManyKeys {
        /// The limit.
        limit: usize,
    },
    /// The rows of the batch are not there yet.
    NotUploaded,
    /// The merchant has as many webhooks as they may.
    TooManyWebhooks {
        /// The limit.
        limit: usize,
    },
    /// The pass has no link, or one that leads nowhere any more.
    NoLink,
    /// What was asked for is over what one answer can carry, in bytes.
    BundleTooLarge {
        /// What it would have.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A page for a visitor whose link leads nowhere.
    NoSuchLink {
        /// HTML.
        page: String,
    },
    /// We failed.
    Fault(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Fault(fault)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl From<domain::pass::MissingOffer> for Failure {
    fn from(missing: domain::pass::MissingOffer) -> Failure {
        Failure::Fault(missing.into())
    }
}

impl Failure {
    /// One thing wrong, at one path.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure::Invalid(vec![Problem::new(path, message)])
    }

    /// What the log line says: a code, or the chain of a fault. Never what the caller sent.
    pub fn told(&self) -> String {
        if let Failure::Fault(fault) = self { format!("fault: {}", fault.chain()) } else { row(self).code.to_owned() }
    }
}

/// One row of the table.
struct Row {
    phone: StatusCode,
    merchant: StatusCode,
    code: &'static str,
    title: &'static str,
}

/// THE table: every failure, what a phone's status is, what a merchant's status, code and title are.
///
/// A phone knows few statuses (Apple's reference; anything but the listed ones is retried): unknown pass and wrong token
/// are one 401, so that nobody can probe for serial numbers.
fn row(failure: &Failure) -> Row {
    use StatusCode as S;
    let row = |phone, merchant, code, title| Row { phone, merchant, code, title };
    match failure {
        Failure::Refused(refusal) => match refusal {
            Refusal::AlreadyRedeemed(_) => row(S::CONFLICT, S::CONFLICT, "already_redeemed", "Already redeemed"),
            Refusal::Voided => row(S::CONFLICT, S::CONFLICT, "voided", "Voided"),
            Refusal::Expired(_) => row(S::CONFLICT, S::CONFLICT, "expired", "Expired"),
            Refusal::NotYetRedeemable(_) => row(S::CONFLICT, S::CONFLICT, "not_yet_redeemable", "Not yet redeemable"),
            Refusal::LimitReached(_) => row(S::CONFLICT, S::CONFLICT, "limit_reached", "Limit reached"),
            Refusal::UnknownRedemption => {
                row(S::UNAUTHORIZED, S::NOT_FOUND, "unknown_redemption", "Unknown redemption")
            }
            Refusal::TooLateToReverse(_) => row(S::CONFLICT, S::CONFLICT, "too_late_to_reverse", "Too late to reverse"),
            Refusal::NotReversible(_) => row(S::CONFLICT, S::CONFLICT, "not_reversible", "Not reversible"),
            Refusal::UnknownPass => row(S::UNAUTHORIZED, S::NOT_FOUND, "unknown_pass", "Unknown pass"),
            Refusal::SerialNumberTaken(_) => {
                row(S::CONFLICT, S::CONFLICT, "serial_number_taken", "Serial number taken")
            }
        },
        Failure::Unauthorised => row(S::UNAUTHORIZED, S::UNAUTHORIZED, "unauthorised", "Unauthorised"),
        Failure::Forbidden { .. } => row(S::FORBIDDEN, S::FORBIDDEN, "forbidden", "Role too small"),
        Failure::Malformed(_) => row(S::BAD_REQUEST, S::BAD_REQUEST, "malformed", "Malformed request"),
        Failure::Invalid(_) => row(S::BAD_REQUEST, S::UNPROCESSABLE_ENTITY, "invalid", "Invalid input"),
        Failure::TooLarge { .. } => row(S::PAYLOAD_TOO_LARGE, S::PAYLOAD_TOO_LARGE, "too_large", "Body too large"),
        Failure::UnsupportedMediaType { .. } => {
            row(S::BAD_REQUEST, S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type")
        }
        Failure::NotFound(_) => row(S::UNAUTHORIZED, S::NOT_FOUND, "not_found", "Not found"),
        Failure::IdempotencyKey(_) => {
            row(S::BAD_REQUEST, S::BAD_REQUEST, "idempotency_key_required", "Idempotency-Key needed")
        }
        Failure::IdempotencyKeyReused => {
            row(S::BAD_REQUEST, S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency-Key reused")
        }
        Failure::Busy => row(S::SERVICE_UNAVAILABLE, S::SERVICE_UNAVAILABLE, "busy", "Try again"),
        Failure::UnknownPasses(_) => row(S::UNAUTHORIZED, S::NOT_FOUND, "unknown_pass", "Unknown pass"),
        Failure::LastAdminKey => row(S::CONFLICT, S::CONFLICT, "last_admin_key", "Last admin key"),
        Failure::TooManyKeys { .. } => row(S::CONFLICT, S::CONFLICT, "too_many_keys", "Too many keys"),
        Failure::NotUploaded => row(S::CONFLICT, S::CONFLICT, "not_uploaded", "Not uploaded"),
        Failure::TooManyWebhooks { .. } => row(S::CONFLICT, S::CONFLICT, "too_many_webhooks", "Too many webhooks"),
        Failure::NoLink => row(S::CONFLICT, S::CONFLICT, "no_link", "No link"),
        Failure::BundleTooLarge { .. } => {
            row(S::PAYLOAD_TOO_LARGE, S::PAYLOAD_TOO_LARGE, "bundle_too_large", "Bundle too large")
        }
        Failure::NoSuchLink { .. } => row(S::NOT_FOUND, S::NOT_FOUND, "unknown_link", "Unknown link"),
        Failure::Fault(_) => row(S::INTERNAL_SERVER_ERROR, S::INTERNAL_SERVER_ERROR, "fault", "We failed"),
    }
}

/// The sentence for whoever asked. A fault says nothing of its cause.
fn detail(failure: &Failure) -> String {
    match failure {
        Failure::Refused(refusal) => refusal.to_string(),
        Failure::Unauthorised => "send a valid key: Authorization: Bearer <key>".to_owned(),
        Failure::Forbidden { needed } => format!("this call needs a key with the role {needed}"),
        Failure::Malformed(why) => why.clone(),
        Failure::Invalid(problems) | Failure::UnknownPasses(problems) => match problems.as_slice() {
            [one] if one.path.is_empty() => one.message.clone(),
            [one] => format!("{}: {}", one.path, one.message),
            many if many.len() > TOLD => format!("more than {TOLD} problems, the first of them named in errors"),
            many => format!("{} problems, each named in errors", many.len()),
        },
        Failure::TooLarge { limit } => format!("the body may have {limit} bytes"),
        Failure::UnsupportedMediaType { expected } => format!("send Content-Type: {expected}"),
        Failure::NotFound(what) => format!("there is no such {what}"),
        Failure::IdempotencyKey(why) => (*why).to_owned(),
        Failure::IdempotencyKeyReused => "this Idempotency-Key was used with another request; use a new one".to_owned(),
        Failure::Busy => "many changed the same thing at once; nothing was done, so repeat the request".to_owned(),
        Failure::LastAdminKey => "this is your last key with the role admin; make another first".to_owned(),
        Failure::TooManyKeys { limit } => {
            format!("there are {limit} keys, those revoked in the last 30 days among them; revoke some, or wait")
        }
        Failure::NotUploaded => "the rows are not there; PUT them to the batch's upload URL first".to_owned(),
        Failure::TooManyWebhooks { limit } => format!("there are {limit} webhooks; delete one first"),
        Failure::NoLink => "the pass has no link that works; make one with POST …/link".to_owned(),
        Failure::BundleTooLarge { bytes, limit } => {
            format!("these passes make {bytes} bytes and one answer may have {limit}; ask for fewer at once")
        }
        Failure::NoSuchLink { .. } => "this link is no longer valid".to_owned(),
        Failure::Fault(_) => "nothing is known to be done; repeat the request with the same Idempotency-Key".to_owned(),
    }
}

/// A failure as its audience is told it.
pub fn failure(audience: Audience, failure: Failure, request_id: &str) -> Response<Body> {
    let row = row(&failure);
    match audience {
        Audience::Phone => {
            let mut response = empty(row.phone);
            if row.phone == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApplePass"));
            }
            response
        }
        Audience::Visitor => {
            let page = if let Failure::NoSuchLink { page } = failure {
                page
            } else {
                format!("<!doctype html><title>{0}</title><h1>{0}</h1><p>{1}</p>", row.title, detail(&failure))
            };
            let mut response = html(row.merchant, page);
            // The address of such a page may have been a secret.
            for (name, value) in VISITOR_HEADERS {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        }
        Audience::Merchant => {
            let mut problem = problem_members(&row, &failure);
            problem.insert("requestId".to_owned(), json!(request_id));
            let mut response = problem_response(row.merchant, &problem);
            if row.merchant == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            if matches!(failure, Failure::Busy) {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    }
}

/// The members of RFC 9457 and ours, without the request's id: what is kept under an idempotency key.
pub fn problem_of_refusal(refusal: Refusal) -> (StatusCode, Value) {
    let failure = Failure::Refused(refusal);
    let row = row(&failure);
    (row.merchant, Value::Object(problem_members(&row, &failure)))
}

fn problem_members(row: &Row, failure: &Failure) -> Map<String, Value> {
    let mut problem = Map::new();
    problem.insert("status".to_owned(), json!(row.merchant.as_u16()));
    problem.insert("title".to_owned(), json!(row.title));
    problem.insert("code".to_owned(), json!(row.code));
    problem.insert("detail".to_owned(), json!(detail(failure)));
    match failure {
        Failure::Invalid(problems) | Failure::UnknownPasses(problems) => {
            problem.insert("errors".to_owned(), json!(problems.iter().take(TOLD).collect::<Vec<_>>()));
        }
        Failure::Refused(Refusal::AlreadyRedeemed(counted)) => {
            problem.insert("redemptionId".to_owned(), json!(counted.redemption_id));
            problem.insert("redeemedAt".to_owned(), json!(time::to_text(counted.redeemed_at)));
            problem.insert("location".to_owned(), json!(counted.location));
            problem.insert("till".to_owned(), json!(counted.till));
        }
        Failure::Refused(Refusal::Expired(at)) => {
            problem.insert("expiredAt".to_owned(), json!(time::to_text(*at)));
        }
        Failure::Refused(Refusal::LimitReached(limit)) => {
            problem.insert("limit".to_owned(), json!(limit));
        }
        Failure::Refused(Refusal::TooLateToReverse(until)) => {
            problem.insert("reversibleUntil".to_owned(), json!(time::to_text(*until)));
        }
        Failure::Refused(_)
        | Failure::Unauthorised
        | Failure::Forbidden { .. }
        | Failure::Malformed(_)
        | Failure::TooLarge { .. }
        | Failure::UnsupportedMediaType { .. }
        | Failure::NotFound(_)
        | Failure::IdempotencyKey(_)
        | Failure::IdempotencyKeyReused
        | Failure::Busy
        | Failure::LastAdminKey
        | Failure::TooManyKeys { .. }
        | Failure::NotUploaded
        | Failure::TooManyWebhooks { .. }
        | Failure::NoLink
        | Failure::BundleTooLarge { .. }
        | Failure::NoSuchLink { .. }
        | Failure::Fault(_) => {}
    }
    problem
}

fn problem_response(status: StatusCode, problem: &Map<String, Value>) -> Response<Body> {
    let mut response = json(status, problem);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// A JSON answer. Everything a merchant asks for is theirs alone, so no cache keeps it.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(body) {
        Ok(text) => json_text(status, text),
        Err(error) => {
            tracing::error!(%error, "an answer does not serialise");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// A JSON answer that is text already.
pub fn json_text(status: StatusCode, text: String) -> Response<Body> {
    let media_type = if status.is_client_error() { "application/problem+json" } else { "application/json" };
    with_body(status, media_type, Body::Text(text))
}

/// A page.
pub fn html(status: StatusCode, page: String) -> Response<Body> {
    with_body(status, "text/html; charset=utf-8", Body::Text(page))
}

/// Bytes of some media type.
pub fn bytes(status: StatusCode, media_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    with_body(status, media_type, Body::Binary(bytes))
}

/// No body at all.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn with_body(status: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = empty(status);
    *response.body_mut() = body;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A header as text, if it is there and is text.
pub fn header_text(request: &Request, name: impl header::AsHeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The body, if it is within the limit.
pub fn body(request: &Request, limit: usize) -> Result<&[u8], Failure> {
    let bytes: &[u8] = request.body();
    if bytes.len() > limit { Err(Failure::TooLarge { limit }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_pass_and_wrong_token_look_the_same_to_a_phone() {
        let unknown = failure(Audience::Phone, Failure::Refused(Refusal::UnknownPass), "a");
        let wrong = failure(Audience::Phone, Failure::Unauthorised, "b");
        assert_eq!((unknown.status(), unknown.headers()), (wrong.status(), wrong.headers()));
        assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn a_fault_is_not_shown() {
        let fault = Fault::new("reading the pass", "secret host name");
        let response = failure(Audience::Merchant, Failure::Fault(fault), "id-1");
        let Body::Text(text) = response.body() else { panic!("no text") };
        assert!(!text.contains("secret"), "{text}");
        let problem: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&problem["status"], &problem["requestId"]), (&json!(500), &json!("id-1")));
    }
}
