//! `POST /merchant/v1/passes/batch/{batchId}/start`: the rows are uploaded, so their passes can be made.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler, batch_rows,
    batch_view::{self, BatchView},
    batch_work::WINDOW,
    http::{self as answer, Failure},
    idempotency::{self, Need},
    input,
    keys::Role,
    store::{ATTEMPTS, Batch, BatchChange, BatchState, BatchWritten, Intent, Step},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "start-batch",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// The batch, running; one that was started before is told as it is.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let empty = input::fields(&request).and_then(|fields| fields.done(Some(())));
    idempotency::valid(app, once.as_ref(), empty, now).await?;
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let stored = batch_view::named(app, &merchant, &request).await?;
        if stored.batch.state != BatchState::Uploading {
            return Ok(answer::json(StatusCode::OK, &BatchView::from(&stored.batch)));
        }
        let started = started(app, &stored.batch, now).await?;
        let step = Step::Batch { merchant_id: started.merchant_id.clone(), batch_id: started.batch_id.clone() };
        let then = [Intent::new(now, step, now)?];
        let view = BatchView::from(&started);
        let recorded = once.as_ref().map(|once| once.recording(StatusCode::ACCEPTED, &view, now)).transpose()?;
        let change = BatchChange { recorded: recorded.as_ref(), then: &then, ..BatchChange::default() };
        if app.store.change_batch(&stored, &started, change).await? == BatchWritten::Done {
            app.queues.send_after_commit(&then, now).await;
            return Ok(answer::json(StatusCode::ACCEPTED, &view));
        }
    }
    Err(Failure::Busy)
}

/// The batch over the rows that are there. Their beginning is looked at, so that a header is refused now and not later.
async fn started(app: &App, batch: &Batch, now: Timestamp) -> Result<Batch, Failure> {
    let piece = app.batch_files.input(batch, 0, WINDOW).await?.ok_or(Failure::NotUploaded)?;
    if piece.whole != batch.bytes {
        let message = format!("{} bytes were uploaded and {} announced", piece.whole, batch.bytes);
        return Err(Failure::invalid("/bytes", message));
    }
    let head = batch_rows::head(batch.format, &piece.bytes).map_err(Failure::Invalid)?;
    let begun = Batch {
        columns: head.columns,
        offset: head.length as u64,
        e_tag: piece.e_tag,
        state: BatchState::Running,
        started_at: Some(now),
        ..batch.clone()
    };
    Ok(begun)
}
