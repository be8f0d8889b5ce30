//! `POST /merchant/v1/passes/batch`: many passes at once, their rows in the call, or to be uploaded.

use http::{Response, StatusCode, header};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{identifiers::CampaignId, problem::Problem};
use platform::{
    App, Audience, Function, Handler,
    batch_rows::{self, Format, MAXIMUM_ROWS},
    batch_view::BatchView,
    http::{self as answer, Failure, header_text},
    idempotency::{self, Need, Once},
    input,
    keys::{Merchant, Role},
    random,
    store::{ATTEMPTS, Batch, BatchState, BatchWritten, Intent, Step},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "make-batch",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Bytes of rows in the call itself. Lambda takes 6 MB, and the gateway wraps a body in JSON: base64 makes a third more of
/// it, escapes at worst as much again.
const BODY_LIMIT: usize = 3_000_000;
/// Bytes of rows that are uploaded: the worker reads a megabyte at a time, so this only says what is no mistake. 100,000
/// rows with long holder data have 100 MB.
const UPLOAD_LIMIT: u64 = 256_000_000;

/// Where the rows are.
enum Rows<'a> {
    Here(Format, &'a [u8]),
    ToBeUploaded(Format, u64),
}

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Required)?;
    if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
        return Ok(answer);
    }
    let rows = rows(&request)?;
    let mut query = input::query(&request);
    let campaign_id: Option<CampaignId> = query.optional("campaignId");
    let campaign_id = query.done(Some(campaign_id))?;
    if let Some(campaign_id) = &campaign_id
        && app.store.campaign(&merchant.merchant_id, campaign_id).await?.is_none()
    {
        return Err(Failure::invalid("/campaignId", "there is no such campaign"));
    }
    let (format, bytes) = match rows {
        Rows::Here(format, rows) => (format, rows.len() as u64),
        Rows::ToBeUploaded(format, bytes) => (format, bytes),
    };
    let mut batch = Batch {
        merchant_id: merchant.merchant_id.clone(),
        batch_id: String::new(),
        format,
        campaign_id,
        role: merchant.role,
        seed: random::seed()?,
        bytes,
        e_tag: None,
        columns: Vec::new(),
        state: BatchState::Uploading,
        problems: Vec::new(),
        offset: 0,
        rows: 0,
        issued: 0,
        imported: 0,
        failed: 0,
        created_at: now,
        started_at: None,
        finished_at: None,
    };
    for _ in 0..ATTEMPTS {
        batch.batch_id = random::id()?;
        let made = match rows {
            Rows::Here(_, rows) => at_once(app, &merchant, &mut batch, rows, once.as_ref(), now).await?,
            Rows::ToBeUploaded(..) => to_be_uploaded(app, &batch, once.as_ref(), now).await?,
        };
        if let Some(made) = made {
            return Ok(made);
        }
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
    }
    Err(Failure::Busy)
}

/// Rows, or the announcement of some.
fn rows(request: &Request) -> Result<Rows<'_>, Failure> {
    let media_type = header_text(request, header::CONTENT_TYPE).unwrap_or_default();
    if let Some(format) = Format::of_media_type(media_type) {
        return Ok(Rows::Here(format, answer::body(request, BODY_LIMIT)?));
    }
    let mut fields = input::fields(request).map_err(|failure| {
        let Failure::Malformed(why) = failure else { return failure };
        let rows = "rows come with the Content-Type text/csv or application/x-ndjson";
        Failure::Malformed(format!("{why}; {rows}, not {media_type:?}"))
    })?;
    let format: Option<Format> = fields.required("format");
    let bytes: Option<u64> = fields.required("bytes");
    if bytes.is_some_and(|bytes| !(1..=UPLOAD_LIMIT).contains(&bytes)) {
        fields.wrong("bytes", format!("must be 1 to {UPLOAD_LIMIT}"));
    }
    fields.done(format.zip(bytes).map(|(format, bytes)| Rows::ToBeUploaded(format, bytes)))
}

/// Keeps the rows and begins. `None`: the key was used meanwhile.
async fn at_once(
    app: &App,
    merchant: &Merchant,
    batch: &mut Batch,
    rows: &[u8],
    once: Option<&Once>,
    now: Timestamp,
) -> Result<Option<Response<Body>>, Failure> {
    let head = batch_rows::head(batch.format, rows).map_err(Failure::Invalid)?;
    let whole = |message: String| Failure::Invalid(vec![Problem::new("", message)]);
    match batch_rows::count(batch.format, &rows[head.length..]) {
        0 => return Err(whole("the body holds no rows".to_owned())),
        count if count > MAXIMUM_ROWS as usize => {
            return Err(whole(format!("a batch may have {MAXIMUM_ROWS} rows; make several")));
        }
        _ => {}
    }
    (batch.columns, batch.offset) = (head.columns, head.length as u64);
    batch.e_tag = app.batch_files.put_input(batch, rows.to_vec()).await?;
    (batch.state, batch.started_at) = (BatchState::Running, Some(now));
    let step = Step::Batch { merchant_id: merchant.merchant_id.clone(), batch_id: batch.batch_id.clone() };
    let then = [Intent::new(now, step, now)?];
    let view = BatchView::from(&*batch);
    let recorded = once.map(|once| once.recording(StatusCode::ACCEPTED, &view, now)).transpose()?;
    Ok(match app.store.make_batch(batch, &then, recorded.as_ref()).await? {
        BatchWritten::Done => {
            app.queues.send_after_commit(&then, now).await;
            Some(answer::json(StatusCode::ACCEPTED, &view))
        }
        BatchWritten::Changed => None,
    })
}

/// Says where the rows go. `None`: the key was used meanwhile.
async fn to_be_uploaded(
    app: &App,
    batch: &Batch,
    once: Option<&Once>,
    now: Timestamp,
) -> Result<Option<Response<Body>>, Failure> {
    let url = app.batch_files.upload_url(batch, now).await?;
    let view = BatchView::from(batch).with_upload(url, batch.format, now);
    let recorded = once.map(|once| once.recording(StatusCode::CREATED, &view, now)).transpose()?;
    Ok(match app.store.make_batch(batch, &[], recorded.as_ref()).await? {
        BatchWritten::Done => Some(answer::json(StatusCode::CREATED, &view)),
        BatchWritten::Changed => None,
    })
}
