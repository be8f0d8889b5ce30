//! `GET /merchant/v1/webhooks`: the merchant's webhooks, without their secrets.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    input,
    keys::Role,
    webhooks::view::WebhookView,
};
use serde_json::json;

/// The door.
pub const FUNCTION: Function = Function {
    name: "list-webhooks",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Every webhook. There are never so many that they need pages.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Admin, now).await?;
    input::query(&request).done(Some(()))?;
    let webhooks = app.store.webhooks(&merchant.merchant_id).await?;
    let views: Vec<_> = webhooks.iter().map(|webhook| WebhookView::new(webhook, now)).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "webhooks": views })))
}
