//! The store: one DynamoDB table, written through the AWS SDK everywhere.
//!
//! Each method is one atomic intention that may happen twice. Conditions and transactions are the correctness, so there
//! is no second implementation to test with: tests run these against a real DynamoDB interface.
//!
//! | item | partition key | sort key |
//! |---|---|---|
//! | pass | `PASS#{type}#{serial}` | `PASS` |
//! | registration, by pass | `PASS#{type}#{serial}` | `DEVICE#{device}` |
//! | event | `PASS#{type}#{serial}` | `EVENT#{milliseconds}#{id}` |
//! | told of a version (TTL) | `PASS#{type}#{serial}` | `TOLD#{what}#{version}#{revision}` |
//! | cause told of a day (TTL) | `PASS#{type}#{serial}` | `DIAGNOSED#{day}#{cause}` |
//! | an answer tells of the holder (TTL) | `PASS#{type}#{serial}` | `ANSWER#{idempotency key}` |
//! | a scheduled update is about it | `PASS#{type}#{serial}` | `UPDATE#{update}` |
//! | a pass was erased | `ERASED#{sha256}` | `ERASED` |
//! | unknown report of a phone (TTL) | `REPORTS` | `{hash of its shape, modulo 1000}` |
//! | registration, by device | `DEVICE#{device}#{type}` | `{serial}` |
//! | barcode | `BARCODE#{merchant}#{message}` | `BARCODE` |
//! | redemption | `REDEMPTION#{merchant}#{id}` | `REDEMPTION` |
//! | tallies of a campaign | `TALLY#{merchant}#{campaign}#{shard}` | (`tallies.rs`) |
//! | redemptions of a holder, where limited | `HOLDER#{merchant}#{campaign}#{sha256}` | `HOLDER` |
//! | link, with its count of downloads | `LINK#{link}` | `LINK` |
//! | campaign | `CAMPAIGN#{merchant}#{campaign}` | `CAMPAIGN` |
//! | campaign, by merchant | `CAMPAIGNS#{merchant}` | `{campaign}` |
//! | pass, by campaign | `MEMBERS#{merchant}#{campaign}#{shard}` | `{type}#{serial}` |
//! | template, newest | `TEMPLATE#{merchant}#{template}` | `TEMPLATE` |
//! | template, each version | `TEMPLATE#{merchant}#{template}` | `VERSION#{version}` |
//! | template, by merchant | `TEMPLATES#{merchant}` | `{template}` |
//! | campaign, by template | `TEMPLATE#{merchant}#{template}` | `CAMPAIGN#{campaign}` |
//! | batch (TTL) | `BATCH#{merchant}#{batch}` | `BATCH` |
//! | rows of a batch that were answered (TTL) | `BATCH#{merchant}#{batch}` | `CHUNK#{first row}` |
//! | a lane of a cancelled batch's chunk (TTL) | `BATCH#{merchant}#{batch}` | `STOP#{bytes worked}#{lane}` |
//! | scheduled update | `UPDATES#{merchant}` | `{created}-{id}` |
//! | merchant key, by its secret | `KEY#{sha256}` | `KEY` |
//! | merchant key, by merchant | `KEYS#{merchant}` | `LISTED#{key}` |
//! | head of a merchant's keys | `KEYS#{merchant}` | `HEAD` |
//! | last use of a key (TTL) | `USED#{sha256}` | `USED` |
//! | pass type, whose it is | `TYPE#{type}` | `TYPE` |
//! | idempotency record (TTL) | `ONCE#{merchant}#{key}` | `ONCE` |
//! | webhook | `WEBHOOKS#{merchant}` | `HOOK#{webhook}` |
//! | dead letter (TTL) | `WEBHOOKS#{merchant}` | `DEAD#{webhook}#{type}#{serial}` |
//! | attempt to deliver (TTL) | `DELIVERIES#{merchant}#{webhook}` | `{time, newest first}#{id}` |
//! | how far a webhook was told of a pass | `PASS#{type}#{serial}` | `HOOK#{webhook}` |
//! | intent | `DUE#{shard}` | `{due}#{id}` |
//!
//! Barcodes are found by merchant, not by pass type as first designed: a till sends the barcode alone.

mod batches;
mod campaigns;
mod erasure;
mod idempotency;
mod intents;
mod items;
mod keys;
mod links;
mod pass_types;
mod passes;
mod redemptions;
mod registrations;
mod reports;
mod table;
mod tallies;
mod told;
mod transaction;
mod updates;
mod webhooks;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes},
};
use aws_types::SdkConfig;
use campaigns::OpenedCampaigns;
use passkit::identifiers::{PassIdentity, PassTypeIdentifier};
use passkit::secrets::AuthenticationToken;
use serde::de::DeserializeOwned;

pub use batches::{Batch, BatchChange, BatchChunk, BatchState, BatchWritten, Lane, StoredBatch};
pub use campaigns::{
    CampaignChange, CampaignPut, Content, MembersLimit, StoredCampaign, StoredTemplate, end_of_members,
    is_before_among_members, is_place_among_members, place_among_members,
};
pub use erasure::{Forgotten, Remains};
pub use idempotency::Recording;
pub use intents::{
    CampaignRound, Carriers, DuePage, INTENTS_AT_ONCE, Intent, IntentKey, IntentProgress, SHARDS, Step, Worker,
};
pub use keys::{Caller, KeyDigest, KeyMade, KeyRevoked, ListedKey, MAXIMUM_KEYS, NewKey, StoredKey};
pub use links::{COUNTED_DEVICES, Counts, Download, FoundLink};
pub use pass_types::{Assigned, Holding};
pub use passes::{
    Change, Event, EventKind, FoundBarcode, ISSUED_AT_ONCE, Issued, NewIssue, StoredPass, Written, history_from,
};
pub use redemptions::{Reversal, StoredRedemption};
pub use registrations::{Departure, OnDevice, RegisteredPass, Registration};
pub use table::{TTL_ATTRIBUTE, create_table};
pub use tallies::{ROWS, Report, Row, Uses, WALLET_BUCKETS};
pub use told::Told;
pub use updates::{Changed, StoredUpdate, UpdateWritten};
pub use webhooks::{
    Along, DeadLetter, Delivery, MAXIMUM_WEBHOOKS, NewWebhook, SigningSecret, StoredWebhook, Telling, WebhookWritten,
};

use crate::{Fault, app, config::AwsVariables, random};

/// A DynamoDB item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The store.
#[derive(Clone)]
pub struct Store {
    sdk: SdkConfig,
    aws: AwsVariables,
    client: OnceLock<Client>,
    table: String,
    /// Campaigns seen lately, by pass type: read along with a pass, since they are most likely its own.
    lately: Arc<Mutex<HashMap<PassTypeIdentifier, Vec<Key>>>>,
    opened: OpenedCampaigns,
}

/// Campaigns of one pass type that are read along with a pass. Most stacks have one or two; each costs half a read unit
/// for every 4 KB, and a wrong guess one more round trip.
const CAMPAIGNS_ALONG: usize = 3;

/// Who asks for a pass.
#[derive(Clone, Copy)]
enum Knows<'a> {
    /// A phone, by this secret.
    Secret(&'a AuthenticationToken),
    /// We do, or a merchant whose pass it must be.
    Us,
}

/// A pass, its campaign, and what else was asked for.
struct Found {
    items: HashMap<Key, Item>,
    campaign: Option<Key>,
}

impl Found {
    fn take<T: DeserializeOwned>(&mut self, key: &Key) -> Result<Option<T>, Fault> {
        self.items.remove(key).map(read).transpose()
    }

    fn campaign(mut self, opened: &OpenedCampaigns) -> Result<StoredCampaign, Fault> {
        let found = self.campaign.and_then(|key| self.items.remove_entry(&key));
        let (key, item) = found.ok_or_else(|| Fault::contradiction("a pass without its campaign"))?;
        opened.open(key, item)
    }
}

/// Keys of one item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) partition: String,
    pub(crate) sort: String,
}

impl Key {
    pub(crate) fn new(partition: impl Into<String>, sort: impl Into<String>) -> Key {
        Key { partition: partition.into(), sort: sort.into() }
    }

    fn attributes(&self) -> [(String, AttributeValue); 2] {
        [
            ("pk".to_owned(), AttributeValue::S(self.partition.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sort.clone())),
        ]
    }

    pub(crate) fn to_item(&self) -> Item {
        Item::from(self.attributes())
    }

    fn of(item: &Item) -> Option<Key> {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        Some(Key { partition: text("pk")?, sort: text("sk")? })
    }
}

/// How often a change is decided anew when others changed the same thing meanwhile. Each round trip of a loser means
/// somebody else won, so among n callers on one pass the last needs at most n rounds; 40 covers what one pass ever sees,
/// and beyond that the caller is told to try again.
pub const ATTEMPTS: u32 = 40;

/// Waits before a call is made again: some milliseconds, up to so many more, so that those refused together do not come back
/// together.
async fn wait(up_to: u32) -> Result<(), Fault> {
    tokio::time::sleep(Duration::from_millis(u64::from(random::below(up_to)?) + 5)).await;
    Ok(())
}

impl Store {
    /// A store over this table. Its client is made at the first call.
    pub fn new(sdk: &SdkConfig, aws: &AwsVariables, table: &str) -> Store {
        Store {
            sdk: sdk.clone(),
            aws: aws.clone(),
            client: OnceLock::new(),
            table: table.to_owned(),
            lately: Arc::default(),
            opened: OpenedCampaigns::default(),
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| app::dynamodb(&self.sdk, &self.aws))
    }

    /// One item, read strongly: a read right after a push must not see the world before it.
    async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Fault> {
        let request =
            self.client().get_item().table_name(&self.table).consistent_read(true).set_key(Some(key.to_item()));
        let answer = request.send().await.map_err(|error| fault("reading an item", error))?;
        answer.item.map(read).transpose()
    }

    /// Several items in one round trip for each 100 (DynamoDB, BatchGetItem), read strongly. What is not there is
    /// missing in the answer.
    async fn get_many(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, Fault> {
        const BATCH: usize = 100;
        /// Answers without a single item, each after a longer wait, until it is a fault.
        const IN_VAIN: u32 = 8;
        let mut found = HashMap::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            let mut wanted: Vec<Item> = batch.iter().map(Key::to_item).collect();
            let mut in_vain = 0;
            while !wanted.is_empty() {
                let before = wanted.len();
                let request = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
                let request = request.map_err(|error| fault("reading items", error))?;
                let answer = self.client().batch_get_item().request_items(&self.table, request).send().await;
                let answer = answer.map_err(|error| fault("reading items", error))?;
                for item in answer.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                    if let Some(key) = Key::of(&item) {
                        found.insert(key, item);
                    }
                }
                let mut rest = answer.unprocessed_keys.unwrap_or_default();
                wanted = rest.remove(&self.table).map(|keys| keys.keys).unwrap_or_default();
                if wanted.len() < before {
                    continue;
                }
                if in_vain >= IN_VAIN {
                    return Err(Fault::contradiction("items were not read: the table is throttled"));
                }
                wait(50 << in_vain.min(5)).await?;
                in_vain += 1;
            }
        }
        Ok(found)
    }

    /// A pass with its campaign and other items, in one round trip unless the campaign was not seen lately. For whoever does
    /// not know its secret there is no such pass: both are the same one read, so that nobody learns from the time an answer
    /// takes which passes there are.
    async fn with_campaign(&self, identity: &PassIdentity, knows: Knows<'_>, others: &[Key]) -> Result<Found, Fault> {
        let pass_key = items::pass_key(identity);
        let mut keys = vec![pass_key.clone()];
        keys.extend_from_slice(others);
        keys.extend(self.lately().get(&identity.pass_type_identifier).into_iter().flatten().cloned());
        let mut items = self.get_many(&keys).await?;
        let owner = items.get(&pass_key).map(items::Owner::of).transpose()?;
        let owner = owner.filter(|owner| match knows {
            Knows::Secret(secret) => owner.token == *secret,
            Knows::Us => true,
        });
        if owner.is_none() {
            items.remove(&pass_key);
        }
        let campaign = owner.map(|owner| items::campaign_key(&owner.merchant, &owner.campaign));
        if let Some(key) = &campaign
            && !items.contains_key(key)
        {
            items.extend(self.get_many(std::slice::from_ref(key)).await?);
            let mut lately = self.lately();
            let along = lately.entry(identity.pass_type_identifier.clone()).or_default();
            along.retain(|other| other != key);
            along.insert(0, key.clone());
            along.truncate(CAMPAIGNS_ALONG);
        }
        Ok(Found { items, campaign })
    }

    fn lately(&self) -> MutexGuard<'_, HashMap<PassTypeIdentifier, Vec<Key>>> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One page of a partition, in the order of its sort keys, read strongly.
    async fn page(&self, query: Page<'_>) -> Result<(Vec<Item>, Option<String>), Fault> {
        let Page { partition, prefix, after, limit } = query;
        let condition = match prefix {
            "" => "pk = :pk",
            _ => "pk = :pk AND begins_with(sk, :prefix)",
        };
        let mut request = self
            .client()
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .limit(limit)
            .key_condition_expression(condition)
            .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()));
        if !prefix.is_empty() {
            request = request.expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()));
        }
        if let Some(after) = after {
            request = request.set_exclusive_start_key(Some(Key::new(partition, after).to_item()));
        }
        let answer = request.send().await.map_err(|error| fault("reading a page", error))?;
        let next = answer.last_evaluated_key.as_ref().and_then(Key::of).map(|key| key.sort);
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// Every item of a partition whose sort key begins so.
    async fn all<T: DeserializeOwned>(&self, partition: &str, prefix: &str) -> Result<Vec<T>, Fault> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = Page { partition, prefix, after: after.as_deref(), limit: 1000 };
            let (items, next) = self.page(page).await?;
            for item in items {
                all.push(read(item)?);
            }
            match next {
                Some(_) => after = next,
                None => return Ok(all),
            }
        }
    }
}

/// Which page.
struct Page<'a> {
    partition: &'a str,
    prefix: &'a str,
    after: Option<&'a str>,
    limit: i32,
}

/// A stored shape from its item.
fn read<T: DeserializeOwned>(item: Item) -> Result<T, Fault> {
    serde_dynamo::aws_sdk_dynamodb_1::from_item(item).map_err(|error| fault("reading a stored shape", error))
}

fn fault(doing: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Fault::new(format!("{doing} (DynamoDB)"), error)
}
