//! `POST /v1/devices/{deviceLibraryIdentifier}/registrations/{passTypeIdentifier}/{serialNumber}`: a device asks to be
//! told when this pass changes (Apple, "Register a Pass for Update Notifications").

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::web_service::parse_registration;
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure, PHONE_LIMIT},
    phone,
    store::{Registered, Registration},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "register-pass",
    handler: Handler::Http(Audience::Phone, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 201 for a new registration, 200 for a known one; the push token is replaced either way, since devices announce a new
/// one by registering again.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let identity = phone::pass_identity(&request)?;
    let (scheme, token) = phone::authorization(&request)?;
    let device = phone::device(&request)?;
    let found = app.store.pass_on_device(&identity, &device).await?;
    let found = found.filter(|(stored, _)| stored.pass.authentication_token == token);
    let (stored, registration) = found.ok_or(Failure::Unauthorised)?;

    let body = answer::body(&request, PHONE_LIMIT)?;
    let push_token = parse_registration(body).map_err(|error| Failure::Malformed(error.to_string()))?;
    let expected = if registration.is_some() { Registered::Known } else { Registered::New };
    let registration = Registration { device, push_token, client: phone::kind(&request, scheme), registered_at: now };
    Ok(answer::empty(match app.store.register(&stored.pass, &registration, expected).await? {
        Registered::New => StatusCode::CREATED,
        Registered::Known => StatusCode::OK,
    }))
}
