//! `GET /merchant/v1/keys`: the merchant's keys, without their secrets.

use domain::time;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    input,
    keys::Role,
    store::ListedKey,
};
use serde_json::{Value, json};

/// The door.
pub const FUNCTION: Function = Function {
    name: "list-keys",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Every key, oldest first; revoked ones for 30 days. There are never so many that they need pages.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise_anew(app, &request, Role::Admin, now).await?;
    input::query(&request).done(Some(()))?;
    let keys = app.store.keys(&merchant.merchant_id, now).await?;
    let keys: Vec<Value> = keys.iter().map(show).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "keys": keys })))
}

fn show(key: &ListedKey) -> Value {
    json!({
        "keyId": key.key_id,
        "role": key.role,
        "name": key.name,
        "createdAt": time::to_text(key.created_at),
        "lastUsedAt": key.used_at.map(time::to_text),
        "revokedAt": key.revoked_at.map(time::to_text),
    })
}
