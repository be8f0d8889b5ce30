//! `POST /merchant/v1/webhooks/{webhookId}/test`: tells the webhook something made up, now, and says what it answered.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    idempotency::{self, Need},
    input,
    keys::Role,
    random,
    store::Recording,
    webhooks::telling,
};
use serde_json::json;

/// The door.
pub const FUNCTION: Function = Function {
    name: "test-webhook",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 200 whatever the webhook answers; `delivered` says whether it would count.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise_anew(app, &request, Role::Admin, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    input::fields(&request)?.done(Some(()))?;
    if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
        return Ok(answer);
    }
    let webhook = app.store.webhook(&merchant.merchant_id, &path_parameter(&request, "webhookId")).await?;
    let webhook = webhook.ok_or(Failure::NotFound("webhook"))?;
    let message_id = format!("msg_{}", random::id()?);
    let at = domain::time::to_text(now);
    let body = json!({ "type": "webhook.test", "timestamp": at, "data": { "webhookId": webhook.webhook_id } });
    let sent = telling::post(app, &webhook, &message_id, &body, now).await?;
    let told = json!({
        "messageId": message_id,
        "delivered": sent.as_ref().is_ok_and(StatusCode::is_success),
        "status": sent.as_ref().ok().map(StatusCode::as_u16),
        "error": sent.err().map(|trouble| trouble.to_string()),
    });
    if let Some(once) = &once
        && app.store.record(&once.recording(StatusCode::OK, &told, now)?).await? == Recording::AnsweredBefore
        && let Some(answer) = idempotency::earlier_answer(app, Some(once), now).await?
    {
        return Ok(answer);
    }
    Ok(answer::json(StatusCode::OK, &told))
}
