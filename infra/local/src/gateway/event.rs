//! A request as API Gateway's HTTP API hands it to a function: payload format 2.0.
//!
//! Source: AWS, "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway".

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use http::request::Parts;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::routes::Matched;

/// What an event says about the request beside the request itself.
pub(crate) struct Surroundings<'a> {
    /// Who sent it.
    pub(crate) peer: SocketAddr,
    /// The API's own id of the request.
    pub(crate) request_id: &'a str,
    /// When it came.
    pub(crate) now: Timestamp,
}

/// Builds the event.
pub(crate) fn build(parts: &Parts, body: &[u8], matched: &Matched<'_>, around: &Surroundings<'_>) -> Value {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let source_ip = around.peer.ip().to_string();
    let mut headers = headers(parts);
    forwarded(&mut headers, &source_ip);
    let cookies: Vec<_> = parts.headers.get_all(COOKIE).iter().flat_map(split_cookies).collect();
    let domain = headers.get(HOST.as_str()).cloned().unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": matched.route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "passloop",
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", parts.version),
                "sourceIp": source_ip,
                "userAgent": headers.get(USER_AGENT.as_str()),
            },
            "requestId": around.request_id,
            "routeKey": matched.route_key,
            "stage": "$default",
            "time": around.now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": around.now.as_millisecond(),
        },
    });
    // API Gateway leaves these members out rather than sending them empty.
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(query_parameters(query));
    }
    if !matched.parameters.is_empty() {
        event["pathParameters"] = json!(matched.parameters);
    }
    let (body, encoding) = encode_body(parts, body);
    if !body.is_empty() {
        event["body"] = json!(body);
    }
    event["isBase64Encoded"] = json!(encoding == Encoding::Base64);
    event
}

/// Names in lower case, repeated headers joined by commas, cookies apart.
fn headers(parts: &Parts) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != COOKIE) {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    headers
}

/// API Gateway adds the client's address at the end, so what the client wrote there itself stays recognisable.
fn forwarded(headers: &mut BTreeMap<String, String>, source_ip: &str) {
    let chain = match headers.get("x-forwarded-for") {
        Some(earlier) => format!("{earlier}, {source_ip}"),
        None => source_ip.to_owned(),
    };
    headers.insert("x-forwarded-for".to_owned(), chain);
    headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());
}

fn split_cookies(value: &http::HeaderValue) -> Vec<String> {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.split(';').map(|cookie| cookie.trim().to_owned()).filter(|cookie| !cookie.is_empty()).collect()
}

/// Percent-decoded; values of a repeated name joined by commas.
fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        parameters
            .entry(decode(name))
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
}

#[derive(PartialEq, Eq)]
enum Encoding {
    Plain,
    Base64,
}

/// Text goes as it is; anything else, and text that is not UTF-8, as base64.
fn encode_body(parts: &Parts, body: &[u8]) -> (String, Encoding) {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || ["application/json", "application/xml", "application/javascript"].contains(&kind.as_str());
    match std::str::from_utf8(body) {
        Ok(text) if is_text || text.is_empty() => (text.to_owned(), Encoding::Plain),
        Ok(_) | Err(_) => (STANDARD.encode(body), Encoding::Base64),
    }
}

#[cfg(test)]
mod tests;
