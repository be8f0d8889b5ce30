//! A batch as merchants see it.

use domain::time;
use jiff::{SignedDuration, Timestamp};
use lambda_http::Request;
use passkit::{identifiers::CampaignId, problem::Problem};
use serde::Serialize;

use crate::{
    App,
    batch_files::URL_SECONDS,
    batch_rows::Format,
    function::path_parameter,
    http::Failure,
    keys::Merchant,
    store::{Batch, BatchState, StoredBatch},
};

/// How long rows and answers are kept: what the bucket's rule says.
pub const RESULTS_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Characters of a batch's id: [`crate::random::id`].
const ID_CHARACTERS: usize = 16;

/// The batch, and how far it has come.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchView<'a> {
    batch_id: &'a str,
    state: BatchState,
    format: Format,
    campaign_id: Option<&'a CampaignId>,
    bytes: u64,
    bytes_read: u64,
    rows_read: u32,
    issued: u32,
    imported: u32,
    failed: u32,
    errors: &'a [Problem],
    #[serde(with = "time::text")]
    created_at: Timestamp,
    #[serde(with = "time::optional_text")]
    started_at: Option<Timestamp>,
    #[serde(with = "time::optional_text")]
    finished_at: Option<Timestamp>,
    #[serde(with = "time::optional_text")]
    results_until: Option<Timestamp>,
    upload: Option<Upload>,
}

/// Where the rows go.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    method: &'static str,
    url: String,
    headers: UploadHeaders,
    #[serde(with = "time::text")]
    expires_at: Timestamp,
}

/// What the upload has to say, word for word.
#[derive(Debug, Serialize)]
struct UploadHeaders {
    #[serde(rename = "Content-Type")]
    content_type: &'static str,
    #[serde(rename = "Content-Length")]
    content_length: String,
}

impl<'a> From<&'a Batch> for BatchView<'a> {
    fn from(batch: &'a Batch) -> Self {
        BatchView {
            batch_id: &batch.batch_id,
            state: batch.state,
            format: batch.format,
            campaign_id: batch.campaign_id.as_ref(),
            bytes: batch.bytes,
            bytes_read: batch.offset,
            rows_read: batch.rows,
            issued: batch.issued,
            imported: batch.imported,
            failed: batch.failed,
            errors: &batch.problems,
            created_at: batch.created_at,
            started_at: batch.started_at,
            finished_at: batch.finished_at,
            results_until: results_until(batch),
            upload: None,
        }
    }
}

impl BatchView<'_> {
    /// The same, with where its rows go.
    pub fn with_upload(self, url: String, format: Format, now: Timestamp) -> Self {
        let headers = UploadHeaders { content_type: format.media_type(), content_length: self.bytes.to_string() };
        let expires_at = now + SignedDuration::from_secs(URL_SECONDS);
        BatchView { upload: Some(Upload { method: "PUT", url, headers, expires_at }), ..self }
    }
}

/// Until when its answers can be had.
pub fn results_until(batch: &Batch) -> Option<Timestamp> {
    batch.started_at.map(|at| at + RESULTS_KEPT)
}

/// The batch that a path names, if it is the merchant's.
pub async fn named(app: &App, merchant: &Merchant, request: &Request) -> Result<StoredBatch, Failure> {
    let batch_id = path_parameter(request, "batchId");
    let is_id = |text: &str| text.len() == ID_CHARACTERS && text.bytes().all(is_of_id);
    if !is_id(&batch_id) {
        return Err(Failure::NotFound("batch"));
    }
    app.store.batch(&merchant.merchant_id, &batch_id).await?.ok_or(Failure::NotFound("batch"))
}

fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
