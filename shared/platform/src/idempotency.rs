//! Idempotency keys: the same request twice takes effect once (contract, section 4).
//!
//! The answer is recorded in the transaction that takes effect, so there is no moment in which one is known without the
//! other, and no request that is "in progress" after a crash. Two requests with one key at the same moment: one commits,
//! the other finds the record and gives the same answer.

use ::http::{HeaderValue, Response, StatusCode};
use domain::Refusal;
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{App, Fault, http, http::Failure, keys::Merchant, store::Recording, telemetry};

/// How long an answer is kept: 30 days.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The header.
const HEADER: &str = "idempotency-key";

/// One idempotency key of one merchant, with the request it came with.
#[derive(Debug, Clone)]
pub struct Once {
    /// Whose key it is.
    pub merchant_id: String,
    /// The key.
    pub key: String,
    /// Hexadecimal SHA-256 of method, path, query and body; JSON written another way is the same body.
    pub request_digest: String,
    /// Of this request: a problem names it, replayed or not.
    pub request_id: String,
}

/// An answer under a key.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The key.
    pub once: Once,
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON text.
    pub body: String,
    /// When it was given, or read.
    pub recorded_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// What it tells besides what the service knows by itself.
    pub tells: Tells,
}

/// What a recorded answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// Nothing about a person.
    NothingPersonal,
    /// The holder's data of the pass it is about: it goes when the pass is erased.
    OfHolder,
}

impl Recorded {
    /// The same answer, which tells of the holder of the pass that it is recorded with.
    #[must_use]
    pub fn telling_of_holder(self) -> Recorded {
        Recorded { tells: Tells::OfHolder, ..self }
    }
}

/// Whether a call may do without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It may.
    Optional,
    /// It may not: money is at stake.
    Required,
}

/// The key of a request, if it has one.
pub fn once(request: &Request, merchant: &Merchant, need: Need) -> Result<Option<Once>, Failure> {
    let Some(header) = request.headers().get(HEADER) else {
        return match need {
            Need::Optional => Ok(None),
            Need::Required => Err(Failure::IdempotencyKey("this call needs an Idempotency-Key header")),
        };
    };
    let printable = |byte: &u8| (0x20..0x7f).contains(byte);
    let bytes = header.as_bytes();
    if bytes.is_empty() || bytes.len() > 64 || !bytes.iter().all(printable) {
        return Err(Failure::IdempotencyKey("an Idempotency-Key has 1 to 64 printable ASCII characters"));
    }
    let body: &[u8] = request.body();
    let canonical =
        serde_json::from_slice::<Value>(body).map_or_else(|_| body.to_vec(), |value| value.to_string().into());
    let mut digest = Sha256::new();
    digest.update(request.method().as_str());
    digest.update("\n");
    digest.update(request.uri().path());
    if let Some(query) = request.uri().query().filter(|query| !query.is_empty()) {
        digest.update("?");
        digest.update(query);
    }
    digest.update("\n");
    digest.update(canonical);
    Ok(Some(Once {
        merchant_id: merchant.merchant_id.clone(),
        key: String::from_utf8_lossy(bytes).into_owned(),
        request_digest: hex::encode(digest.finalize()),
        request_id: telemetry::request_id(request),
    }))
}

impl Once {
    /// An answer to be recorded under this key.
    pub fn recording(&self, status: StatusCode, body: &impl Serialize, now: Timestamp) -> Result<Recorded, Fault> {
        let body = serde_json::to_string(body).map_err(|error| Fault::new("writing an answer", error))?;
        let (once, tells) = (self.clone(), Tells::NothingPersonal);
        Ok(Recorded { once, status: status.as_u16(), body, recorded_at: now, expires_at: now + KEPT, tells })
    }
}

/// Whether a request was answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was not, or has no key.
    First,
    /// It was.
    Again,
}

/// The answer first given under the key, if any; another request under the same key is refused.
pub async fn earlier_answer(app: &App, once: Option<&Once>, now: Timestamp) -> Result<Option<Response<Body>>, Failure> {
    Ok(match earlier(app, once, now).await? {
        Some(recorded) => Some(replay(recorded)?),
        None => None,
    })
}

/// What was read of a request. If it is invalid, and its key was used for another request, that is what is told.
pub async fn valid<T>(app: &App, once: Option<&Once>, read: Result<T, Failure>, now: Timestamp) -> Result<T, Failure> {
    if read.is_err() {
        earlier(app, once, now).await?;
    }
    read
}

/// The answer first given under the key, as it was found beside what else a door reads; another request under the same
/// key is refused.
pub fn answer_again(once: &Once, recorded: Recorded) -> Result<Response<Body>, Failure> {
    replay(of_this_request(once, recorded)?)
}

fn replay(recorded: Recorded) -> Result<Response<Body>, Failure> {
    let status =
        StatusCode::from_u16(recorded.status).map_err(|error| Fault::new("reading a recorded status", error))?;
    let body = if status.is_client_error() { with_request_id(recorded)? } else { recorded.body };
    Ok(replayed(http::json_text(status, body)))
}

/// Refuses, for ever under this key: a refusal is an answer like any other, so the same request again gets the same one.
/// Returns without an error only when another answer was recorded under the key meanwhile.
pub async fn refuse(app: &App, once: Option<&Once>, refusal: Refusal, now: Timestamp) -> Result<(), Failure> {
    let Some(once) = once else { return Err(refusal.into()) };
    let (status, problem) = http::problem_of_refusal(refusal.clone());
    match app.store.record(&once.recording(status, &problem, now)?).await? {
        Recording::Recorded => Err(refusal.into()),
        Recording::AnsweredBefore => Ok(()),
    }
}

/// A recorded problem, naming the request that is answered now (contract, section 4, Errors).
fn with_request_id(recorded: Recorded) -> Result<String, Fault> {
    let problem: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(&recorded.body);
    let mut problem = problem.map_err(|error| Fault::new("reading a recorded problem", error))?;
    problem.insert("requestId".to_owned(), recorded.once.request_id.into());
    Ok(Value::Object(problem).to_string())
}

/// Whether the request was answered before, for a door that changes nothing and makes its answer anew: what it answers
/// is too large to be kept. Another request under the same key is refused.
pub async fn asked(app: &App, once: Option<&Once>, now: Timestamp) -> Result<Asked, Failure> {
    Ok(earlier(app, once, now).await?.map_or(Asked::First, |_| Asked::Again))
}

/// Marks an answer as one that was given before.
pub fn replayed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

async fn earlier(app: &App, once: Option<&Once>, now: Timestamp) -> Result<Option<Recorded>, Failure> {
    let Some(once) = once else { return Ok(None) };
    let Some(recorded) = app.store.recorded(once, now).await? else { return Ok(None) };
    of_this_request(once, recorded).map(Some)
}

fn of_this_request(once: &Once, recorded: Recorded) -> Result<Recorded, Failure> {
    if recorded.once.request_digest == once.request_digest { Ok(recorded) } else { Err(Failure::IdempotencyKeyReused) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::KeyDigest;

    fn request(key: Option<&str>, body: &str) -> Request {
        let mut builder = ::http::Request::builder().method("POST").uri("https://h/merchant/v1/redemptions");
        if let Some(key) = key {
            builder = builder.header(HEADER, key);
        }
        builder.body(Body::from(body)).unwrap()
    }

    fn merchant() -> Merchant {
        Merchant { merchant_id: "m".into(), role: crate::keys::Role::Redeem, key: KeyDigest::of("k") }
    }

    #[test]
    fn keys_have_1_to_64_printable_characters() {
        for bad in ["", &"x".repeat(65), "a\tb"] {
            assert!(once(&request(Some(bad), "{}"), &merchant(), Need::Optional).is_err(), "{bad:?}");
        }
        assert!(once(&request(Some(&"x".repeat(64)), "{}"), &merchant(), Need::Required).is_ok());
        assert!(once(&request(None, "{}"), &merchant(), Need::Required).is_err());
        assert!(once(&request(None, "{}"), &merchant(), Need::Optional).unwrap().is_none());
    }

    #[test]
    fn the_same_json_written_another_way_is_the_same_request() {
        let digest =
            |body| once(&request(Some("k"), body), &merchant(), Need::Required).unwrap().unwrap().request_digest;
        assert_eq!(digest(r#"{"a":1,"b":2}"#), digest("{ \"b\": 2, \"a\": 1 }"));
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":2}"#));
    }
}
