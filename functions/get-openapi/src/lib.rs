//! `GET /merchant/v1/openapi.json`: the merchants' interface, described (OpenAPI 3.1). No key needed.

use http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
};

/// The document.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-openapi",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

async fn handle(_: &App, _: Request, _: Timestamp) -> Result<Response<Body>, Failure> {
    let mut response = answer::json_text(StatusCode::OK, DOCUMENT.to_owned());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}

#[cfg(test)]
mod tests;
