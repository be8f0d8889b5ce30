//! `POST /merchant/v1/webhooks/{webhookId}/replay`: what was given up is told again.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::identifiers::{PassIdentity, PassTypeIdentifier, SerialNumber};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    idempotency::{self, Need},
    input,
    keys::Role,
    merchant,
    store::{ATTEMPTS, DeadLetter, Intent, Recording, Step, StoredWebhook, WebhookWritten},
    webhooks::telling,
};
use serde_json::json;

/// The door.
pub const FUNCTION: Function = Function {
    name: "replay-webhook",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Passes of one call: each is one transaction.
const PASSES: i32 = 200;

fn read(request: &Request) -> Result<Option<PassIdentity>, Failure> {
    let mut fields = input::fields(request)?;
    let pass_type: Option<PassTypeIdentifier> = fields.optional("passTypeIdentifier");
    let serial: Option<SerialNumber> = fields.optional("serialNumber");
    let identity = match (pass_type, serial) {
        (Some(pass_type_identifier), Some(serial_number)) => Some(PassIdentity { pass_type_identifier, serial_number }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            if fields.is_good() {
                fields.wrong("serialNumber", "send both passTypeIdentifier and serialNumber, or neither");
            }
            None
        }
    };
    fields.done(Some(identity))
}

/// The passes that are told again, each from the first event that was given up, in its order; what was told after it is
/// told again too, under the same ids. With a pass named: that pass, from the webhook's beginning.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise_anew(app, &request, Role::Admin, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
        return Ok(answer);
    }
    let named = read(&request)?;
    let (merchant_id, webhook_id) = (&merchant.merchant_id, path_parameter(&request, "webhookId"));
    let webhook = app.store.webhook(merchant_id, &webhook_id).await?.ok_or(Failure::NotFound("webhook"))?;
    let (letters, more) = match named {
        Some(identity) => {
            merchant::pass(app, &merchant, &identity).await?;
            let PassIdentity { pass_type_identifier, serial_number } = identity;
            let first = webhook.active_from.as_millisecond();
            (vec![DeadLetter { pass_type_identifier, serial_number, first }], false)
        }
        None => app.store.dead_letters(merchant_id, &webhook_id, PASSES).await?,
    };
    let mut passes = 0;
    for letter in &letters {
        passes += u32::from(replay(app, &webhook, letter, now).await?);
    }
    let told = json!({ "passes": passes, "more": more });
    if let Some(once) = &once
        && app.store.record(&once.recording(StatusCode::OK, &told, now)?).await? == Recording::AnsweredBefore
        && let Some(answer) = idempotency::earlier_answer(app, Some(once), now).await?
    {
        return Ok(answer);
    }
    Ok(answer::json(StatusCode::OK, &told))
}

/// Whether there is something to be told: a pass that was erased is gone with its history.
async fn replay(app: &App, webhook: &StoredWebhook, letter: &DeadLetter, now: Timestamp) -> Result<bool, Failure> {
    for _ in 0..ATTEMPTS {
        if app.store.pass(&letter.identity()).await?.is_none() {
            app.store.drop_dead_letter(webhook, letter).await?;
            return Ok(false);
        }
        let step: Step = telling::step(webhook, &letter.identity());
        let then = [Intent::new(now, step, now)?];
        if app.store.replay(webhook, letter, &then).await? == WebhookWritten::Done {
            app.queues.send_after_commit(&then, now).await;
            return Ok(true);
        }
    }
    Err(Failure::Busy)
}
