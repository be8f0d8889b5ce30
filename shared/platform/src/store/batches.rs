//! Batches: one item each, and one for each chunk of rows that was answered.
//!
//! Where a batch has come is written in one transaction with the chunk it answers, on the condition that it is still
//! where it was read: of two workers on the same rows one counts, and the other's answers are nobody's.

use jiff::{SignedDuration, Timestamp};
use passkit::{identifiers::CampaignId, problem::Problems};
use serde::{Deserialize, Serialize};

use super::{
    Intent, IntentProgress, Key, Store,
    intents::IntentItem,
    transaction::{Condition, Outcome, Transaction, number},
};
use crate::{Fault, batch_rows::Format, idempotency::Recorded, keys::Role};

/// How long a batch is remembered: as long as its idempotency key.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// Its rows are to be uploaded, and then it is to be started.
    Uploading,
    /// Its rows are worked.
    Running,
    /// It was cancelled, and what was done of the rows in work is being found out.
    Cancelling,
    /// It was cancelled; the rows that were worked before have their answers.
    Cancelled,
    /// Every row has its answer.
    Finished,
    /// It could not go on; the rows before have their answers.
    Failed,
}

/// A batch: what it is, and how far it has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Whose.
    pub merchant_id: String,
    /// Which.
    pub batch_id: String,
    /// What its rows are written in.
    pub format: Format,
    /// The campaign of rows that name none.
    pub campaign_id: Option<CampaignId>,
    /// The role of the key that made it: what its rows may ask for.
    pub role: Role,
    /// What the unguessable parts of its passes are derived from; empty once it is over.
    pub seed: String,
    /// Bytes of its rows.
    pub bytes: u64,
    /// Which version of the uploaded rows was started.
    pub e_tag: Option<String>,
    /// Columns of a CSV, as its header names them.
    pub columns: Vec<String>,
    /// Where it is.
    pub state: BatchState,
    /// Why it failed.
    pub problems: Problems,
    /// Bytes worked.
    pub offset: u64,
    /// Rows worked.
    pub rows: u32,
    /// Of these, passes made.
    pub issued: u32,
    /// Of these, brought from another system.
    pub imported: u32,
    /// Rows that made none.
    pub failed: u32,
    /// When it was made.
    #[serde(with = "domain::time::text")]
    pub created_at: Timestamp,
    /// When its rows were there; what its passes bear as the time they were issued.
    #[serde(with = "domain::time::optional_text")]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(with = "domain::time::optional_text")]
    pub finished_at: Option<Timestamp>,
}

/// One of the lanes in which the passes of a batch's next chunk are made.
#[derive(Debug, Clone, Copy)]
pub struct Lane<'a> {
    /// The batch, as the worker read it.
    pub batch: &'a Batch,
    /// Counts from 0.
    pub number: usize,
}

impl Batch {
    /// Whether there is work to do.
    pub fn is_at_work(&self) -> bool {
        match self.state {
            BatchState::Running | BatchState::Cancelling => true,
            BatchState::Uploading | BatchState::Cancelled | BatchState::Finished | BatchState::Failed => false,
        }
    }

    /// Ends it for good.
    pub fn end(&mut self, state: BatchState, now: Timestamp) {
        self.state = state;
        self.finished_at = Some(now);
        self.seed.clear();
    }
}

/// A batch as read, with what a later write compares.
#[derive(Debug, Clone)]
pub struct StoredBatch {
    /// The batch.
    pub batch: Batch,
    generation: u64,
}

/// Rows that were answered together, in one object of the bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchChunk {
    /// The object.
    pub object: String,
    /// Its first row; rows count from 1.
    pub first_row: u32,
    /// How many.
    pub rows: u32,
    /// Of these, rows that made no pass.
    pub failed: u32,
}

/// What is written together with where a batch has come, all or nothing.
#[derive(Default)]
pub struct BatchChange<'a> {
    /// The answer, for whoever repeats the request.
    pub recorded: Option<&'a Recorded>,
    /// The rows that were answered.
    pub chunk: Option<&'a BatchChunk>,
    /// What becomes of the intent that this carries out.
    pub progress: Option<(&'a Intent, IntentProgress)>,
    /// The steps that must follow.
    pub then: &'a [Intent],
}

/// How a writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchWritten {
    /// It is written.
    Done,
    /// Somebody else changed the batch, or answered the request, meanwhile.
    Changed,
}

/// A batch item, version 1; the batch is JSON text.
#[derive(Serialize, Deserialize)]
struct BatchItem {
    v: u8,
    generation: u64,
    document: String,
    /// Seconds since 1970; DynamoDB deletes it then, or some hours later.
    expires_at: i64,
}

/// An item where a lane is stopped, version 1.
#[derive(Serialize, Deserialize)]
struct StopItem {
    v: u8,
    expires_at: i64,
}

/// A chunk item, version 1.
#[derive(Serialize, Deserialize)]
struct ChunkItem {
    v: u8,
    #[serde(flatten)]
    chunk: BatchChunk,
    expires_at: i64,
}

fn batch_partition(merchant_id: &str, batch_id: &str) -> String {
    format!("BATCH#{merchant_id}#{batch_id}")
}

fn batch_key(batch: &Batch) -> Key {
    Key::new(batch_partition(&batch.merchant_id, &batch.batch_id), "BATCH")
}

fn chunk_key(batch: &Batch, chunk: &BatchChunk) -> Key {
    Key::new(batch_partition(&batch.merchant_id, &batch.batch_id), format!("CHUNK#{:010}", chunk.first_row))
}

/// What makes passes checks that this is not there. Of each chunk and lane another one: checks of one item would hinder each
/// other.
pub(super) fn stop_key(lane: Lane<'_>) -> Key {
    let Lane { batch, number } = lane;
    Key::new(batch_partition(&batch.merchant_id, &batch.batch_id), format!("STOP#{:013}#{number:02}", batch.offset))
}

impl Store {
    /// A batch of a merchant.
    pub async fn batch(&self, merchant_id: &str, batch_id: &str) -> Result<Option<StoredBatch>, Fault> {
        let item: Option<BatchItem> = self.get(&Key::new(batch_partition(merchant_id, batch_id), "BATCH")).await?;
        item.map(|item| {
            let batch = serde_json::from_str(&item.document).map_err(|error| Fault::new("reading a batch", error))?;
            Ok(StoredBatch { batch, generation: item.generation })
        })
        .transpose()
    }

    /// Makes a batch, with the answer and the steps that follow.
    pub async fn make_batch(
        &self,
        batch: &Batch,
        then: &[Intent],
        recorded: Option<&Recorded>,
    ) -> Result<BatchWritten, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_batch(batch, None)?;
        if let Some(recorded) = recorded {
            transaction.put_recorded(recorded)?;
        }
        transaction.put_intents(then)?;
        self.written(transaction).await
    }

    /// Writes where a batch has come, on the condition that it is still where it was read.
    pub async fn change_batch(
        &self,
        before: &StoredBatch,
        after: &Batch,
        change: BatchChange<'_>,
    ) -> Result<BatchWritten, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_batch(after, Some(before.generation))?;
        transaction.put_batch_change(after, change)?;
        self.written(transaction).await
    }

    /// Stops these lanes of a batch's next chunk: from now on no worker makes a pass in them, whenever it began.
    pub async fn stop_lanes(&self, batch: &Batch, lanes: usize) -> Result<(), Fault> {
        let mut transaction = Transaction::default();
        let expires_at = (batch.created_at + KEPT).as_second();
        for number in 0..lanes {
            transaction.put(&stop_key(Lane { batch, number }), &StopItem { v: 1, expires_at }, Condition::none())?;
        }
        match self.commit(transaction).await? {
            Outcome::Committed => Ok(()),
            Outcome::Refused(_) => Err(Fault::contradiction("a transaction without a condition was refused")),
        }
    }

    /// The chunks of a batch that were answered, in the order of their rows.
    pub async fn batch_chunks(&self, merchant_id: &str, batch_id: &str) -> Result<Vec<BatchChunk>, Fault> {
        let chunks: Vec<ChunkItem> = self.all(&batch_partition(merchant_id, batch_id), "CHUNK#").await?;
        Ok(chunks.into_iter().map(|item| item.chunk).collect())
    }

    async fn written(&self, transaction: Transaction) -> Result<BatchWritten, Fault> {
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => BatchWritten::Done,
            Outcome::Refused(_) => BatchWritten::Changed,
        })
    }
}

impl Transaction {
    fn put_batch(&mut self, batch: &Batch, generation: Option<u64>) -> Result<(), Fault> {
        let document = serde_json::to_string(batch).map_err(|error| Fault::new("writing a batch", error))?;
        let item = BatchItem {
            v: 1,
            generation: generation.unwrap_or(0) + 1,
            document,
            expires_at: (batch.created_at + KEPT).as_second(),
        };
        let condition = match generation {
            None => Condition::absent(),
            Some(generation) => Condition::holds("generation = :read").with(":read", number(generation)),
        };
        self.put(&batch_key(batch), &item, condition)
    }

    fn put_batch_change(&mut self, batch: &Batch, change: BatchChange<'_>) -> Result<(), Fault> {
        if let Some(recorded) = change.recorded {
            self.put_recorded(recorded)?;
        }
        if let Some(chunk) = change.chunk {
            let expires_at = (batch.created_at + KEPT).as_second();
            let item = ChunkItem { v: 1, chunk: chunk.clone(), expires_at };
            self.put(&chunk_key(batch, chunk), &item, Condition::none())?;
        }
        match change.progress {
            None => {}
            Some((intent, IntentProgress::Done)) => self.delete(&intent.key.to_key(), Condition::none())?,
            Some((intent, IntentProgress::Reached(cursor, now))) => {
                let item = IntentItem::new(&intent.reached(cursor, now))?;
                self.put(&intent.key.to_key(), &item, Condition::none())?;
            }
        }
        self.put_intents(change.then)
    }
}
