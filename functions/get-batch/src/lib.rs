//! `GET /merchant/v1/passes/batch/{batchId}`: how far a batch has come.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    batch_view::{self, BatchView},
    http::{self as answer, Failure},
    keys::Role,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-batch",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let stored = batch_view::named(app, &merchant, &request).await?;
    Ok(answer::json(StatusCode::OK, &BatchView::from(&stored.batch)))
}
