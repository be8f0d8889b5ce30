//! `$default`: every path that is no route. One with repeated slashes is sent to the path it means; there is no other.
//!
//! A client that joins `webServiceURL` and `/v1/…` with a slash too many asks for `//v1/…` (contract, section 3; peers' B
//! list), which an HTTP API takes for another path. The local gateway matches it without this detour.

use http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use lambda_http::{Body, Request, RequestExt};
use platform::{
    App, Audience, Fault, Function, Handler,
    http::{self as answer, Failure},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "mend-path",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Where a mended path may lead. Any other might be read as another host's name by a browser.
const OURS: [&str; 3] = ["/v1/", "/merchant/v1/", "/p/"];

async fn handle(_: &App, request: Request, _: Timestamp) -> Result<Response<Body>, Failure> {
    let mended = mended(request.raw_http_path()).ok_or(Failure::NotFound("path"))?;
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(mended + &query);
    let location = location.map_err(|error| Fault::new("writing a location", error))?;
    // 308 keeps method and body (RFC 9110, section 15.4.9).
    let mut response = answer::empty(StatusCode::PERMANENT_REDIRECT);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// The path without repeated slashes, if it has any and leads somewhere then.
fn mended(path: &str) -> Option<String> {
    if !path.contains("//") {
        return None;
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mended = format!("/{}", segments.join("/"));
    OURS.iter().any(|ours| mended.starts_with(ours)).then_some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_slashes_are_one() {
        for path in ["//v1/passes/a/b", "/v1//passes/a/b", "///v1/passes///a//b/"] {
            assert_eq!(mended(path).as_deref(), Some("/v1/passes/a/b"), "{path}");
        }
        assert_eq!(mended("//p/x%2F%2Fy").as_deref(), Some("/p/x%2F%2Fy"));
    }

    #[test]
    fn nothing_else_leads_anywhere() {
        for path in
            ["/v1/passes/a/b", "/nowhere", "/", "//", "//evil.example/v1/", "//\\evil.example/v1/", "/x//v1/log"]
        {
            assert_eq!(mended(path), None, "{path}");
        }
    }
}
