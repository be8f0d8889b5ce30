//! `GET /merchant/v1/updates/{updateId}`: a scheduled update as it is now.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    keys::Role,
    update_view::{self, UpdateView},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-update",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let stored = update_view::named(app, &merchant, &request).await?;
    Ok(answer::json(StatusCode::OK, &UpdateView::from(&stored.update)))
}
