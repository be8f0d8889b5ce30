//! `GET /merchant/v1/passes/{passTypeIdentifier}/{serialNumber}`: a pass as it is now.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    keys::Role,
    merchant::{self, PassView},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-pass",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Redeem, now).await?;
    let identity = merchant::pass_identity(&request)?;
    let (stored, campaign) = merchant::pass(app, &merchant, &identity).await?;
    let counts = app.store.counts(&stored.pass).await?;
    let view = PassView::new(app, &stored.pass, &campaign.campaign, counts, now)?;
    Ok(answer::json(StatusCode::OK, &view))
}
