//! Any bytes at every door: what is answered is never our fault (no 5xx, no silence), and never half an answer.
//!
//! A request that is right is made wrong in one or two places (`twist`) and sent as it is over a bare connection (`wire`), so
//! that no client tidies it up. Who sends has an admin key or a pass: behind the first door is more to break.

mod twist;
mod wire;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::back_office::{CAMPAIGN, Issued, PASS_TYPE, two_offers};
use crate::chance::Chance;
use crate::package::Package;
use crate::template_folder::TemplateFolder;
use crate::world::{World, root_certificate};

/// A request before it is twisted.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// In order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Body,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    None,
    /// JSON, whose parts can be exchanged.
    Json(Value),
    /// Anything else.
    Bytes(Vec<u8>),
}

/// Whom the requests are about.
#[derive(Debug)]
pub struct Target {
    /// `127.0.0.1:port`
    pub address: String,
    /// An admin key.
    pub merchant_key: String,
    /// A pass of the usual campaign.
    pub pass: Issued,
    /// Its secret.
    pub token: String,
}

impl Target {
    /// A world with its usual campaign, and a new pass of it.
    pub async fn of(world: &World) -> Target {
        let pass = world.back_office().issue("Ada").await;
        let package = Package::open(&world.download(&pass).await.body, &root_certificate()).unwrap();
        Target {
            address: world.base().trim_start_matches("http://").to_owned(),
            merchant_key: world.local().merchant_key().to_owned(),
            token: package.text("authenticationToken").to_owned(),
            pass,
        }
    }
}

/// How long one answer may take. A debug binary on a busy machine prepares a large campaign in a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends so many requests. Gives how often each status came, or the first request that was answered badly.
pub async fn attack(target: &Target, requests: u64, seed: u64) -> Result<std::collections::BTreeMap<u16, u64>, String> {
    let mut chance = Chance::new(seed);
    let sound = sound(target);
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..requests {
        let mut luck = chance.split();
        let mut request = luck.of(&sound).expect("a request").clone();
        for _ in 0..luck.between(1, 4) {
            twist::twist(&mut request, &mut luck);
        }
        let begun = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, wire::send(&target.address, &request, &mut luck)).await;
        let bad = |why: String| Err(format!("request {number} of seed {seed}: {why}: {}", wire::brief(&request)));
        match answer {
            Err(_) => return bad(format!("no answer within {PATIENCE:?}")),
            // What is no HTTP is hung up on.
            Ok(None) => *statuses.entry(0).or_default() += 1,
            Ok(Some(answer)) => {
                if let Err(why) = check(&answer, &request) {
                    return bad(format!("{why} after {:?}", begun.elapsed()));
                }
                *statuses.entry(answer.status).or_default() += 1;
            }
        }
    }
    Ok(statuses)
}

/// An error is a refusal that says what it is; nobody is told of our parts, or sent their own key.
fn check(answer: &wire::Answer, request: &Request) -> Result<(), String> {
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status >= 500 {
        return Err(format!("answered {}: {text}", answer.status));
    }
    for word in ["panicked", "dynamodb", "DynamoDB", ".rs:", "serde_json::", "RUST_BACKTRACE"] {
        if answer.status >= 400 && text.contains(word) && !wire::brief(request).contains(word) {
            return Err(format!("answered {} with {word:?}: {text}", answer.status));
        }
    }
    let kind = answer.header("content-type").unwrap_or_default();
    // HEAD is answered with the headers alone (RFC 9110, section 9.3.2).
    if kind == "application/problem+json" && request.method != "HEAD" {
        let problem: Value =
            serde_json::from_slice(&answer.body).map_err(|error| format!("a broken problem: {error}"))?;
        if problem["status"] != answer.status || !problem["code"].is_string() {
            return Err(format!("a problem that is none: {problem}"));
        }
    }
    // A Lambda's answer has 6 MB.
    if answer.status >= 400 && answer.body.len() > 1 << 20 {
        return Err(format!("an error of {} bytes", answer.body.len()));
    }
    Ok(())
}

/// One good request, or several, for every door.
fn sound(target: &Target) -> Vec<Request> {
    let Target { merchant_key, pass, token, .. } = target;
    let merchant = |method: &str, path: String, body: Body| Request {
        method: method.to_owned(),
        target: format!("/merchant/v1{path}"),
        headers: vec![
            ("Authorization".to_owned(), format!("Bearer {merchant_key}").into_bytes()),
            ("Idempotency-Key".to_owned(), b"key-1".to_vec()),
            ("Content-Type".to_owned(), b"application/json".to_vec()),
            ("Accept-Language".to_owned(), b"de-AT, en;q=0.5".to_vec()),
        ],
        body,
    };
    let phone = |method: &str, path: String, body: Body| Request {
        method: method.to_owned(),
        target: format!("/v1{path}"),
        headers: vec![
            ("Authorization".to_owned(), format!("ApplePass {token}").into_bytes()),
            ("If-Modified-Since".to_owned(), b"Wed, 25 Nov 2026 10:00:00 GMT".to_vec()),
            ("User-Agent".to_owned(), b"passd/1.0".to_vec()),
        ],
        body,
    };
    let (path, serial) = (format!("/passes/{PASS_TYPE}/{}", pass.serial), &pass.serial);
    let registration = format!("/devices/device-1/registrations/{PASS_TYPE}/{serial}");
    let line = format!(
        "[2026-11-25 12:49:07 -0600] Get pass task (for device device-1, pass type {PASS_TYPE}, serial number {serial}; with web \
         service url https://h) encountered error: Authentication failure"
    );
    let overlay = json!({ "set": { "logoText": "x" }, "fields": { "news": { "value": "n", "changeMessage": "%@" } },
        "removeFields": ["status"], "images": { "strip": "used-strip" } });
    let mut campaign = two_offers();
    campaign["offers"][1]["overlay"] = overlay.clone();
    campaign["locations"] =
        json!([{ "locationId": "a", "latitude": 1.5, "longitude": 2, "relevantText": "hi", "benefit": {} }]);
    campaign["holderKey"] = json!("/email");
    campaign["redemptionsPerHolder"] = json!(2);
    let named = json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": serial });
    vec![
        phone("POST", registration.clone(), Body::Json(json!({ "pushToken": "ab".repeat(32) }))),
        phone("DELETE", registration, Body::None),
        phone("GET", format!("/devices/device-1/registrations/{PASS_TYPE}?passesUpdatedSince=AQAB"), Body::None),
        phone("GET", path.clone(), Body::None),
        phone("HEAD", path.clone(), Body::None),
        phone("POST", "/log".to_owned(), Body::Json(json!({ "logs": [line, "something else"] }))),
        phone(
            "POST",
            format!("{path}/personalize"),
            Body::Json(json!({ "personalizationToken": "t", "requiredPersonalizationInfo": { "fullName": "Ada" } })),
        ),
        merchant("PUT", "/templates/hostile".to_owned(), Body::Bytes(TemplateFolder::coupon().zip())),
        merchant("PUT", "/campaigns/hostile".to_owned(), Body::Json(campaign.clone())),
        merchant("PUT", format!("/campaigns/{CAMPAIGN}"), Body::Json(campaign)),
        merchant(
            "POST",
            format!("/campaigns/{CAMPAIGN}/preview"),
            Body::Json(
                json!({ "from": { "state": "redeemable" }, "to": { "state": "redeemed" }, "language": "de", "holder": {} }),
            ),
        ),
        merchant(
            "POST",
            "/passes".to_owned(),
            Body::Json(json!({ "campaignId": CAMPAIGN, "holder": { "name": "Ada", "email": "a@b" },
                "linkExpiresAt": "2030-01-01T00:00:00Z", "downloadLimit": 3 })),
        ),
        merchant("GET", path.clone(), Body::None),
        merchant("PATCH", path.clone(), Body::Json(json!({ "holder": { "name": "Bob", "email": null } }))),
        merchant("GET", format!("{path}/history?cursor=EVENT%231"), Body::None),
        merchant("GET", format!("{path}/mail?badgeUrl=https%3A%2F%2Fh%2Fb.png"), Body::None),
        merchant("POST", format!("{path}/link"), Body::Json(json!({ "linkExpiresAt": "2030-01-01T00:00:00Z" }))),
        merchant("POST", "/bundles".to_owned(), Body::Json(json!({ "passes": [named] }))),
        merchant(
            "POST",
            "/redemptions".to_owned(),
            Body::Json(json!({ "barcode": pass.barcode, "till": "1", "location": "a" })),
        ),
        merchant("POST", "/redemptions".to_owned(), Body::Json(named)),
        merchant("GET", "/redemptions/0000000000000000".to_owned(), Body::None),
        merchant("POST", "/redemptions/0000000000000000/reverse".to_owned(), Body::Json(json!({ "reason": "r" }))),
        merchant("GET", format!("/campaigns/{CAMPAIGN}/report?from=2026-01-01&until=2026-12-31"), Body::None),
        merchant(
            "POST",
            "/updates".to_owned(),
            Body::Json(
                json!({ "target": { "campaignId": CAMPAIGN }, "every": "week", "at": "2030-03-01T18:00:00+01:00",
                "until": "2030-03-02T00:00:00+01:00", "timeZone": "Europe/Berlin", "overlay": overlay }),
            ),
        ),
        merchant("GET", "/updates?limit=5".to_owned(), Body::None),
        merchant("GET", "/updates/1795435200000-0000000000000000".to_owned(), Body::None),
        merchant("DELETE", "/updates/1795435200000-0000000000000000".to_owned(), Body::None),
        merchant("GET", "/keys".to_owned(), Body::None),
        merchant("DELETE", "/keys/0000000000000000".to_owned(), Body::None),
        merchant("GET", "/templates?limit=3".to_owned(), Body::None),
        merchant("GET", format!("/templates/{CAMPAIGN}"), Body::None),
        merchant("GET", "/campaigns?limit=3".to_owned(), Body::None),
        merchant("GET", format!("/campaigns/{CAMPAIGN}"), Body::None),
        merchant("GET", format!("/passes?campaignId={CAMPAIGN}&state=redeemable&limit=5&cursor=AA"), Body::None),
        Request {
            method: "GET".to_owned(),
            target: format!("/p/{}", "a".repeat(22)),
            headers: vec![("Accept-Language".to_owned(), b"fr".to_vec())],
            body: Body::None,
        },
    ]
}
