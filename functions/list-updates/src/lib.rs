//! `GET /merchant/v1/updates`: the merchant's scheduled updates, oldest first.

use domain::schedule::ScheduledUpdate;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request, RequestExt};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    keys::Role,
    update_view::UpdateView,
};
use serde_json::json;

/// The door.
pub const FUNCTION: Function = Function {
    name: "list-updates",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// One page of 100 updates; `cursor`, when it is not null, is the place of the next.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let parameters = request.query_string_parameters();
    let after = parameters.first("cursor");
    if after.is_some_and(|after| !ScheduledUpdate::is_id(after)) {
        return Err(Failure::invalid("/cursor", "is no cursor of this list"));
    }
    let (updates, next) = app.store.updates(&merchant.merchant_id, after).await?;
    let updates: Vec<UpdateView<'_>> = updates.iter().map(UpdateView::from).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "updates": updates, "cursor": next })))
}
