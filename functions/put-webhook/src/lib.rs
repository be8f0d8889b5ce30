//! `PUT /merchant/v1/webhooks/{webhookId}`: the merchant's server is told what happens to their passes.

use http::{Response, StatusCode, Uri};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    input,
    keys::Role,
    outbound,
    store::{ATTEMPTS, MAXIMUM_WEBHOOKS, NewWebhook, StoredWebhook, WebhookWritten},
    webhooks::{self, ACTIVE_AFTER, EVENT_TYPES, NAME_LIMIT, signature, telling, view::MadeWebhook},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "put-webhook",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Characters of an address.
const URL_LIMIT: usize = 2000;

struct Wanted {
    webhook_id: String,
    url: String,
    events: Vec<String>,
}

fn read(app: &App, request: &Request) -> Result<Wanted, Failure> {
    let webhook_id = path_parameter(request, "webhookId");
    if !webhooks::is_name(&webhook_id) {
        let message = format!("must have 1 to {NAME_LIMIT} letters, digits, \"-\" or \"_\"");
        return Err(Failure::invalid("/webhookId", message));
    }
    let mut fields = input::fields(request)?;
    let url: Option<String> = fields.required("url");
    let events: Vec<String> = fields.optional("events").unwrap_or_default();
    for event in &events {
        if !EVENT_TYPES.contains(&event.as_str()) {
            fields.wrong("events", format!("{event:?} is no type of event; there are {}", EVENT_TYPES.join(", ")));
        }
    }
    if let Some(url) = &url {
        let problem = match url.parse::<Uri>() {
            _ if url.len() > URL_LIMIT => Some(format!("must have at most {URL_LIMIT} characters")),
            Ok(uri) => outbound::check_url(&uri, telling::reach(app)).err().map(str::to_owned),
            Err(_) => Some("must be an absolute URL".to_owned()),
        };
        if let Some(problem) = problem {
            fields.wrong("url", problem);
        }
    }
    fields.done(url.map(|url| Wanted { webhook_id, url, events }))
}

/// 201 with the secret, this once, for a new webhook; 200 for one that is changed. A new one is told what happens from a
/// minute on: by then whoever believed that there is none has looked again.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise_anew(app, &request, Role::Admin, now).await?;
    let wanted = read(app, &request)?;
    for _ in 0..ATTEMPTS {
        let before = app.store.webhook(&merchant.merchant_id, &wanted.webhook_id).await?;
        let (url, mut events) = (wanted.url.clone(), wanted.events.clone());
        events.sort();
        events.dedup();
        let after = match &before {
            Some(before) => before.to_be(url, events, now),
            None => {
                if app.store.webhooks(&merchant.merchant_id).await?.len() >= MAXIMUM_WEBHOOKS {
                    return Err(Failure::TooManyWebhooks { limit: MAXIMUM_WEBHOOKS });
                }
                let (webhook_id, merchant_id) = (wanted.webhook_id.clone(), merchant.merchant_id.clone());
                let (secret, active_from) = (signature::new_secret()?, now + ACTIVE_AFTER);
                StoredWebhook::new(NewWebhook { webhook_id, merchant_id, url, events, secret, active_from }, now)
            }
        };
        if app.store.put_webhook(before.as_ref(), &after, None).await? == WebhookWritten::Done {
            // Several may have come at once, each of which saw room for one: then none of those that see it stays.
            if before.is_none() {
                let webhooks = app.store.webhooks(&merchant.merchant_id).await?;
                if webhooks.len() > MAXIMUM_WEBHOOKS
                    && let Some(made) = webhooks.iter().find(|made| made.webhook_id == after.webhook_id)
                {
                    app.store.delete_webhook(made).await?;
                    return Err(Failure::TooManyWebhooks { limit: MAXIMUM_WEBHOOKS });
                }
            }
            return Ok(match before {
                Some(_) => answer::json(StatusCode::OK, &MadeWebhook::hiding(&after, now)),
                None => answer::json(StatusCode::CREATED, &MadeWebhook::showing(&after, now)),
            });
        }
    }
    Err(Failure::Busy)
}
