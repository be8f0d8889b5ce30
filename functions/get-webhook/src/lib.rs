//! `GET /merchant/v1/webhooks/{webhookId}`: a webhook, without its secret, and how it is doing.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    input,
    keys::Role,
    webhooks::view::{DeliveryView, WebhookView},
};
use serde::Serialize;

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-webhook",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Dead letters that are counted: more are as many as these.
const COUNTED: i32 = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    #[serde(flatten)]
    webhook: WebhookView<'a>,
    last_delivery: Option<DeliveryView<'a>>,
    dead_letters: usize,
}

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Admin, now).await?;
    input::query(&request).done(Some(()))?;
    let (merchant_id, webhook_id) = (&merchant.merchant_id, path_parameter(&request, "webhookId"));
    let webhook = app.store.webhook(merchant_id, &webhook_id).await?.ok_or(Failure::NotFound("webhook"))?;
    // In this order: the attempt after which a pass was given up is kept before its dead letter.
    let (dead_letters, _) = app.store.dead_letters(merchant_id, &webhook_id, COUNTED).await?;
    let dead_letters = dead_letters.len();
    let (deliveries, _) = app.store.deliveries(merchant_id, &webhook_id, None).await?;
    let last_delivery = deliveries.first().map(DeliveryView::from);
    let view = View { webhook: WebhookView::new(&webhook, now), last_delivery, dead_letters };
    Ok(answer::json(StatusCode::OK, &view))
}
