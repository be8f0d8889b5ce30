//! `POST /merchant/v1/keys`: makes a key and shows its secret, this once.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    idempotency::{self, Need},
    input,
    keys::Role,
    random,
    store::{ATTEMPTS, Caller, KeyMade, MAXIMUM_KEYS, NewKey},
};
use serde_json::{Value, json};

/// The door.
pub const FUNCTION: Function = Function {
    name: "make-key",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Characters of a key's name.
const NAME_LIMIT: usize = 100;

fn read(request: &Request) -> Result<(Role, Option<String>), Failure> {
    let mut fields = input::fields(request)?;
    let role = fields.required("role");
    let name = fields.text("name", NAME_LIMIT);
    fields.done(role.map(|role| (role, name)))
}

/// The key, with its secret. A repetition under the same idempotency key is answered without: what is recorded is the
/// answer but for the secret, which nothing of ours keeps (docs/decisions/0009-secrets-shown-once.md).
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise_anew(app, &request, Role::Admin, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let (role, name) = idempotency::valid(app, once.as_ref(), read(&request), now).await?;
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let (key_id, secret) = (random::id()?, random::merchant_key()?);
        let new = NewKey {
            key_id: &key_id,
            secret: &secret,
            merchant_id: &merchant.merchant_id,
            role,
            name: name.as_deref(),
        };
        let unsecret = show(&new, Value::Null, now);
        let recorded = once.as_ref().map(|once| once.recording(StatusCode::CREATED, &unsecret, now)).transpose()?;
        match app.store.make_key(new, Caller::Merchant(merchant.key), recorded.as_ref(), now).await? {
            KeyMade::Done => return Ok(answer::json(StatusCode::CREATED, &show(&new, json!(secret), now))),
            KeyMade::TooMany => return Err(Failure::TooManyKeys { limit: MAXIMUM_KEYS }),
            KeyMade::CallerRevoked => return Err(Failure::Unauthorised),
            KeyMade::Busy => return Err(Failure::Busy),
            KeyMade::SecretTaken | KeyMade::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}

fn show(key: &NewKey<'_>, secret: Value, now: Timestamp) -> Value {
    let NewKey { key_id, role, name, .. } = key;
    let created_at = domain::time::to_text(now);
    json!({ "keyId": key_id, "role": role, "name": name, "secret": secret, "createdAt": created_at })
}
