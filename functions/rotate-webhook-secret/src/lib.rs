//! `POST /merchant/v1/webhooks/{webhookId}/rotate`: another secret, shown once; those before sign too for a while.

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

/// Secrets before the newest that deliveries are signed with, besides.
const OLDER_SECRETS: usize = 3;

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
        // Those before, too, for as long as was promised of each: whoever lost the answer rotates once more, and their server still
        // has the first.
        if keep > 0 {
            let until = |secret: &SigningSecret| secret.until.unwrap_or(now + SignedDuration::from_secs(keep.into()));
            let older =
                before.secrets.iter().map(|secret| SigningSecret { until: Some(until(secret)), ..secret.clone() });
            secrets.extend(older.filter(|secret| secret.until > Some(now)).take(OLDER_SECRETS));
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
