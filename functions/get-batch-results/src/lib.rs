//! `GET /merchant/v1/passes/batch/{batchId}/results`: where the answers to its rows are.

use domain::time;
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    batch_files::URL_SECONDS,
    batch_view,
    http::{self as answer, Failure},
    keys::Role,
    store::{BatchChunk, BatchState},
};
use serde::Serialize;

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-batch-results",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultsView<'a> {
    batch_id: &'a str,
    state: BatchState,
    results: Vec<Results>,
    #[serde(with = "time::text")]
    urls_expire_at: Timestamp,
}

/// JSON Lines, one for each row.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    first_row: u32,
    rows: u32,
    failed: u32,
    url: String,
}

/// Files of answers in the order of rows, a hundred or so at most: more come while the batch is running.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let batch = batch_view::named(app, &merchant, &request).await?.batch;
    let mut results = Vec::new();
    if batch_view::results_until(&batch).is_some_and(|until| now < until) {
        for chunk in app.store.batch_chunks(&batch.merchant_id, &batch.batch_id).await? {
            let BatchChunk { object, first_row, rows, failed } = chunk;
            let url = app.batch_files.results_url(&object, now).await?;
            results.push(Results { first_row, rows, failed, url });
        }
    }
    let urls_expire_at = now + SignedDuration::from_secs(URL_SECONDS);
    let view = ResultsView { batch_id: &batch.batch_id, state: batch.state, results, urls_expire_at };
    Ok(answer::json(StatusCode::OK, &view))
}
