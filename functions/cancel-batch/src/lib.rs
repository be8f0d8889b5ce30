//! `DELETE /merchant/v1/passes/batch/{batchId}`: no more rows are worked; passes that were made stay.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    batch_view::{self, BatchView},
    http::{self as answer, Failure},
    keys::Role,
    store::{ATTEMPTS, BatchChange, BatchState, BatchWritten},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "cancel-batch",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// The batch, cancelled or about to be: what is in work is answered first. One that is over stays what it is.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    for _ in 0..ATTEMPTS {
        let stored = batch_view::named(app, &merchant, &request).await?;
        let mut after = stored.batch.clone();
        match stored.batch.state {
            BatchState::Uploading => after.end(BatchState::Cancelled, now),
            BatchState::Running => after.state = BatchState::Cancelling,
            BatchState::Cancelling | BatchState::Cancelled | BatchState::Finished | BatchState::Failed => {
                return Ok(answer::json(StatusCode::OK, &BatchView::from(&stored.batch)));
            }
        }
        if app.store.change_batch(&stored, &after, BatchChange::default()).await? == BatchWritten::Done {
            return Ok(answer::json(StatusCode::OK, &BatchView::from(&after)));
        }
    }
    Err(Failure::Busy)
}
