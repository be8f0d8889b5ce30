//! `POST /v1/log`: what devices have to say (Apple, "Log a Message").

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::web_service::parse_log;
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure, PHONE_LIMIT},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "log-message",
    handler: Handler::Http(Audience::Phone, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Always 200: a phone repeats the call until it gets one. The lines come from anyone, so they are cut, stripped of
/// control characters, and written as one field each.
async fn handle(_: &App, request: Request, _: Timestamp) -> Result<Response<Body>, Failure> {
    // What is longer than a phone sends is no log of a phone.
    if let Ok(body) = answer::body(&request, PHONE_LIMIT) {
        for line in parse_log(body) {
            tracing::warn!(line, "a device reports");
        }
    }
    Ok(answer::empty(StatusCode::OK))
}
