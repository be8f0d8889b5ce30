//! The rows of batches and their answers, in S3: what does not fit into a call goes there and comes from there directly,
//! by presigned URLs.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::{
    Client,
    config::{Builder, RequestChecksumCalculation},
    presigning::PresigningConfig,
    primitives::ByteStream,
};
use aws_types::SdkConfig;
use jiff::Timestamp;

use crate::{Config, Fault, app, config::AwsVariables, store::Batch};

/// How long a presigned URL works.
pub const URL_SECONDS: i64 = 3600;

/// Rows and answers of batches.
pub struct BatchFiles {
    sdk: SdkConfig,
    aws: AwsVariables,
    client: OnceLock<Client>,
    bucket: String,
}

/// A part of the rows.
pub struct Piece {
    /// From the place asked for.
    pub bytes: Vec<u8>,
    /// How many all rows have.
    pub whole: u64,
    /// Which version of the object it is of.
    pub e_tag: Option<String>,
}

fn input_object(batch: &Batch) -> String {
    format!("batches/{}/{}/rows", batch.merchant_id, batch.batch_id)
}

/// The object of one chunk's answers: the name is used once, `attempt` sees to that.
pub fn results_object(batch: &Batch, first_row: u32, attempt: &str) -> String {
    format!("batches/{}/{}/results/{first_row:06}-{attempt}.jsonl", batch.merchant_id, batch.batch_id)
}

impl BatchFiles {
    /// Over the bucket that the environment names. Its client is made at the first call.
    pub fn new(sdk: &SdkConfig, config: &Config) -> BatchFiles {
        BatchFiles {
            sdk: sdk.clone(),
            aws: config.aws.clone(),
            client: OnceLock::new(),
            bucket: config.bucket_name.clone(),
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| app::s3(&self.sdk, &self.aws))
    }

    /// Keeps rows that came in a call; answers which version of the object they are.
    pub async fn put_input(&self, batch: &Batch, rows: Vec<u8>) -> Result<Option<String>, Fault> {
        let request = self.client().put_object().bucket(&self.bucket).key(input_object(batch));
        let request = request.content_type(batch.format.media_type()).body(ByteStream::from(rows));
        let answer = request.send().await.map_err(|error| Fault::new("keeping the rows of a batch (S3)", error))?;
        Ok(answer.e_tag)
    }

    /// Where to PUT the rows: exactly as many bytes as were announced, of this kind.
    pub async fn upload_url(&self, batch: &Batch, now: Timestamp) -> Result<String, Fault> {
        let length = i64::try_from(batch.bytes).unwrap_or(i64::MAX);
        let request = self.client().put_object().bucket(&self.bucket).key(input_object(batch));
        let request = request.content_type(batch.format.media_type()).content_length(length).customize();
        // A checksum of a body that is not there yet would be part of the signature.
        let plain = Builder::new().request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        let signed = request.config_override(plain).presigned(lifetime(now)?).await;
        Ok(signed.map_err(|error| Fault::new("signing an upload (S3)", error))?.uri().to_owned())
    }

    /// So many bytes of the rows, from a place on. `None`: there are none, or none that far.
    pub async fn input(&self, batch: &Batch, from: u64, length: u64) -> Result<Option<Piece>, Fault> {
        let range = format!("bytes={from}-{}", from + length - 1);
        let request = self.client().get_object().bucket(&self.bucket).key(input_object(batch)).range(range);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => return Ok(None),
            // InvalidRange: the object ends before.
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 416) => return Ok(None),
            Err(error) => return Err(Fault::new("reading the rows of a batch (S3)", error)),
        };
        let whole =
            answer.content_range().and_then(|range| range.rsplit_once('/')).and_then(|(_, all)| all.parse().ok());
        let whole = whole.ok_or_else(|| Fault::contradiction("S3 answered a range without its place"))?;
        let e_tag = answer.e_tag().map(str::to_owned);
        let bytes = answer.body.collect().await;
        let bytes = bytes.map_err(|error| Fault::new("reading the rows of a batch (S3)", error))?.to_vec();
        Ok(Some(Piece { bytes, whole, e_tag }))
    }

    /// Forgets the rows, which hold holders' data, once they are worked.
    pub async fn forget_input(&self, batch: &Batch) -> Result<(), Fault> {
        let request = self.client().delete_object().bucket(&self.bucket).key(input_object(batch));
        request.send().await.map_err(|error| Fault::new("forgetting the rows of a batch (S3)", error)).map(|_| ())
    }

    /// Keeps the answers of one chunk.
    pub async fn put_results(&self, object: &str, lines: Vec<u8>) -> Result<(), Fault> {
        let request = self.client().put_object().bucket(&self.bucket).key(object).content_type("application/x-ndjson");
        let written = request.body(ByteStream::from(lines)).send().await;
        written.map_err(|error| Fault::new("keeping the answers of a batch (S3)", error)).map(|_| ())
    }

    /// Where to GET the answers of one chunk.
    pub async fn results_url(&self, object: &str, now: Timestamp) -> Result<String, Fault> {
        let signed = self.client().get_object().bucket(&self.bucket).key(object).presigned(lifetime(now)?).await;
        Ok(signed.map_err(|error| Fault::new("signing a download (S3)", error))?.uri().to_owned())
    }
}

fn lifetime(now: Timestamp) -> Result<PresigningConfig, Fault> {
    let expires_in = Duration::from_secs(URL_SECONDS.unsigned_abs());
    let lifetime = PresigningConfig::builder().start_time(SystemTime::from(now)).expires_in(expires_in).build();
    lifetime.map_err(|error| Fault::new("signing a URL (S3)", error))
}
