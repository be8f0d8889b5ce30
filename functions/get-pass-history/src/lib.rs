//! `GET /merchant/v1/passes/{passTypeIdentifier}/{serialNumber}/history`: what happened to a pass, oldest first.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request, RequestExt};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    keys::Role,
    merchant,
};
use serde_json::json;

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-pass-history",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// One page of 500 events; `cursor`, when it is not null, is the place of the next.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let identity = merchant::pass_identity(&request)?;
    merchant::pass(app, &merchant, &identity).await?;
    let parameters = request.query_string_parameters();
    let after = parameters.first("cursor");
    if after.is_some_and(|after| !after.starts_with("EVENT#") || after.len() > 64) {
        return Err(Failure::invalid("/cursor", "is no cursor of this list"));
    }
    let (events, next) = app.store.history(&identity, after).await?;
    Ok(answer::json(StatusCode::OK, &json!({ "events": events, "cursor": next })))
}
