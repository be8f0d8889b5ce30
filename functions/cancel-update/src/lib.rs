//! `DELETE /merchant/v1/updates/{updateId}`: ends a scheduled update for good, and restores what was.

use domain::schedule::UpdateState;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    keys::Role,
    scheduled,
    store::ATTEMPTS,
    update_view::{self, UpdateView, role_for},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "cancel-update",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// The update, cancelled; one that is over already stays what it is.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    for _ in 0..ATTEMPTS {
        let stored = update_view::named(app, &merchant, &request).await?;
        let needed = role_for(&stored.update.target);
        if merchant.role < needed {
            return Err(Failure::Forbidden { needed });
        }
        match stored.update.state {
            UpdateState::Finished | UpdateState::Cancelled | UpdateState::Failed { .. } => {
                return Ok(answer::json(StatusCode::OK, &UpdateView::from(&stored.update)));
            }
            UpdateState::Scheduled | UpdateState::Active => {}
        }
        if let Some(cancelled) = scheduled::cancel(app, &stored, now).await? {
            return Ok(answer::json(StatusCode::OK, &UpdateView::from(&cancelled)));
        }
    }
    Err(Failure::Busy)
}
