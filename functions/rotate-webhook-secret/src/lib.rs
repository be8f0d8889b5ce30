//! `POST /merchant/v1/webhooks/{webhookId}/rotate`: another secret, shown once; the one before signs too for a while.

use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    idempotency::{self, Need},
    input,
    keys::Role,
    store::{ATTEMPTS, SigningSecret, WebhookWritten},
    webhooks::{signature, view::MadeWebhook},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "rotate-webhook-secret",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// How long the secret before signs too, where nothing is said: a day.
const KEEP_USUALLY: u32 = 86_400;
/// The longest: a week.
const KEEP_LIMIT: u32 = 604_800;

fn read(request: &Request) -> Result<u32, Failure> {
    let mut fields = input::fields(request)?;
    let keep: u32 = fields.optional("keepSeconds").unwrap_or(KEEP_USUALLY);
    if keep > KEEP_LIMIT {
        fields.wrong("keepSeconds", format!("must be 0 to {KEEP_LIMIT}"));
    }
    fields.done(Some(keep))
}

/// The webhook with its new secret. A repetition under the same idempotency key is answered without, as for keys
/// (`docs/decisions/0009`).
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise_anew(app, &request, Role::Admin, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let keep = idempotency::valid(app, once.as_ref(), read(&request), now).await?;
    let webhook_id = path_parameter(&request, "webhookId");
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let before = app.store.webhook(&merchant.merchant_id, &webhook_id).await?;
        let before = before.ok_or(Failure::NotFound("webhook"))?;
        let mut secrets = vec![SigningSecret { secret: signature::new_secret()?, until: None }];
        // Of those before, the last one; whoever rotates twice wants the first gone.
        if let Some(last) = before.secrets.first().filter(|_| keep > 0) {
            secrets.push(SigningSecret { until: Some(now + SignedDuration::from_secs(keep.into())), ..last.clone() });
        }
        let after = before.signed_with(secrets, now);
        let unsecret = MadeWebhook::hiding(&after, now);
        let recorded = once.as_ref().map(|once| once.recording(StatusCode::OK, &unsecret, now)).transpose()?;
        match app.store.put_webhook(Some(&before), &after, recorded.as_ref()).await? {
            WebhookWritten::Done => return Ok(answer::json(StatusCode::OK, &MadeWebhook::showing(&after, now))),
            WebhookWritten::Changed => {}
        }
    }
    Err(Failure::Busy)
}
