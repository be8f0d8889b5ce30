//! `DELETE /merchant/v1/keys/{keyId}`: the key counts no more.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    keys::Role,
    store::{Caller, KeyRevoked},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "revoke-key",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 204, and again 204. A key in the memory of other doors is believed for half a minute more (`platform::keys`).
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise_anew(app, &request, Role::Admin, now).await?;
    let key_id = path_parameter(&request, "keyId");
    match app.store.revoke_key(&merchant.merchant_id, &key_id, Caller::Merchant(merchant.key), now).await? {
        KeyRevoked::Done => Ok(answer::empty(StatusCode::NO_CONTENT)),
        KeyRevoked::Unknown => Err(Failure::NotFound("key")),
        KeyRevoked::LastAdmin => Err(Failure::LastAdminKey),
        KeyRevoked::CallerRevoked => Err(Failure::Unauthorised),
        KeyRevoked::Busy => Err(Failure::Busy),
    }
}
