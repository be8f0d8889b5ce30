//! `DELETE /v1/devices/{deviceLibraryIdentifier}/registrations/{passTypeIdentifier}/{serialNumber}`: a device no longer
//! wants to be told (Apple, "Unregister a Pass for Update Notifications").

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    phone,
    store::Departure,
    webhooks,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "unregister-pass",
    handler: Handler::Http(Audience::Phone, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 200 whether the registration was there or not: a phone repeats anything else, 204 included.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let identity = phone::pass_identity(&request)?;
    let (_, token) = phone::authorization(&request)?;
    let device = phone::device(&request)?;
    let found = app.store.pass_on_device(&identity, &token, &device).await?.ok_or(Failure::Unauthorised)?;
    if let Some(registration) = found.registration {
        let then: Vec<_> = webhooks::news(app, &found.stored.pass, now).await?.into_iter().collect();
        app.store.unregister(&identity, Some(found.stored), &registration, Departure::Removed, &then, now).await?;
        app.queues.send_after_commit(&then, now).await;
    }
    Ok(answer::empty(StatusCode::OK))
}
