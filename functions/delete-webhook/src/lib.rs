//! `DELETE /merchant/v1/webhooks/{webhookId}`: nothing is told there any more.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    keys::Role,
    store::{ATTEMPTS, WebhookWritten},
    webhooks,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "delete-webhook",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 204, also if there is none; 404 for what is no webhook's name. A delivery that was begun ends.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise_anew(app, &request, Role::Admin, now).await?;
    let webhook_id = path_parameter(&request, "webhookId");
    if !webhooks::is_name(&webhook_id) {
        return Err(Failure::NotFound("webhook"));
    }
    for _ in 0..ATTEMPTS {
        let Some(webhook) = app.store.webhook(&merchant.merchant_id, &webhook_id).await? else {
            return Ok(answer::empty(StatusCode::NO_CONTENT));
        };
        match app.store.delete_webhook(&webhook).await? {
            WebhookWritten::Done => return Ok(answer::empty(StatusCode::NO_CONTENT)),
            WebhookWritten::Changed => {}
        }
    }
    Err(Failure::Busy)
}
