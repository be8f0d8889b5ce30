//! `GET /merchant/v1/webhooks/{webhookId}/deliveries`: what a webhook was told in the last week, newest first.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    input,
    keys::Role,
    webhooks::view::DeliveryView,
};
use serde_json::json;

/// The door.
pub const FUNCTION: Function = Function {
    name: "list-deliveries",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Characters of the longest cursor.
const CURSOR_LIMIT: usize = 64;

/// One page of attempts; `nextCursor`, when it is not null, is the place of the next.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Admin, now).await?;
    let mut query = input::query(&request);
    let cursor: Option<String> = query.optional("cursor");
    if cursor.as_ref().is_some_and(|cursor| cursor.is_empty() || cursor.len() > CURSOR_LIMIT) {
        query.wrong("cursor", "is no cursor of this list");
    }
    let cursor = query.done(Some(cursor))?;
    let (merchant_id, webhook_id) = (&merchant.merchant_id, path_parameter(&request, "webhookId"));
    app.store.webhook(merchant_id, &webhook_id).await?.ok_or(Failure::NotFound("webhook"))?;
    let (deliveries, next) = app.store.deliveries(merchant_id, &webhook_id, cursor.as_deref()).await?;
    let views: Vec<_> = deliveries.iter().map(DeliveryView::from).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "deliveries": views, "nextCursor": next })))
}
