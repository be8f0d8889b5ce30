//! Webhooks: whom a merchant wants told of what happens to their passes, and how far each was told of each pass.
//!
//! Nothing of an event is copied: a pass's history is the log that is delivered from, and beside it lies, for each
//! webhook, where the telling has come. Events are read from a moment before that on, since one that began earlier may
//! be written later; what was told of that moment is remembered by its key.

use jiff::{SignedDuration, Timestamp};
use passkit::{
    identifiers::{PassIdentity, PassTypeIdentifier, SerialNumber},
    secrets::WebhookSecret,
};
use serde::{Deserialize, Serialize};

use super::{
    Event, Intent, IntentKey, Key, Page, Store, history_from, items,
    passes::{self, history_moment},
    read,
    transaction::{Condition, Outcome, Transaction, number},
};
use crate::{Fault, random};

/// Webhooks of one merchant.
pub const MAXIMUM_WEBHOOKS: usize = 10;
/// Deliveries on one page.
const DELIVERIES_PAGE: i32 = 100;
/// How much later than a newer one an event may be written: a worker lives for 90 seconds.
const WINDOW: SignedDuration = SignedDuration::from_secs(120);
/// Keys kept of what was told within the window, of a pass to which much happens: an item has 400 KB, and is written with each
/// delivery.
const TOLD_KEPT: usize = 1000;
/// How long a delivery is told of, and a dead letter kept.
const DELIVERY_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
const DEAD_LETTER_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A secret that deliveries are signed with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// `whsec_…`
    pub secret: WebhookSecret,
    /// Until when; none: until it is rotated.
    #[serde(default, with = "domain::time::optional_text", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A webhook, version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredWebhook {
    v: u8,
    generation: u64,
    /// Its name, the merchant's own.
    pub webhook_id: String,
    /// Whose.
    pub merchant_id: String,
    /// Where deliveries go.
    pub url: String,
    /// Of what; empty: of everything.
    pub events: Vec<String>,
    /// Newest first.
    pub secrets: Vec<SigningSecret>,
    /// What happens from then on is told.
    #[serde(with = "domain::time::text")]
    pub active_from: Timestamp,
    /// When it was first put.
    #[serde(with = "domain::time::text")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(with = "domain::time::text")]
    pub updated_at: Timestamp,
}

/// A webhook to be made.
#[derive(Debug)]
pub struct NewWebhook {
    /// Its name.
    pub webhook_id: String,
    /// Whose.
    pub merchant_id: String,
    /// Where deliveries go.
    pub url: String,
    /// Of what; empty: of everything.
    pub events: Vec<String>,
    /// Its secret.
    pub secret: WebhookSecret,
    /// What happens from then on is told.
    pub active_from: Timestamp,
}

impl StoredWebhook {
    /// That it is still the one read.
    fn is_as_read(&self) -> Condition {
        Condition::holds("generation = :read").with(":read", number(self.generation))
    }

    /// A new one, not stored yet.
    pub fn new(new: NewWebhook, now: Timestamp) -> StoredWebhook {
        StoredWebhook {
            v: 1,
            generation: 0,
            webhook_id: new.webhook_id,
            merchant_id: new.merchant_id,
            url: new.url,
            events: new.events,
            secrets: vec![SigningSecret { secret: new.secret, until: None }],
            active_from: new.active_from,
            created_at: now,
            updated_at: now,
        }
    }

    /// The same at another address, or told of other events.
    pub fn to_be(&self, url: String, events: Vec<String>, now: Timestamp) -> StoredWebhook {
        StoredWebhook { url, events, updated_at: now, ..self.clone() }
    }

    /// The same with other secrets.
    pub fn signed_with(&self, secrets: Vec<SigningSecret>, now: Timestamp) -> StoredWebhook {
        StoredWebhook { secrets, updated_at: now, ..self.clone() }
    }

    /// Whether it is to be told of events of this type.
    pub fn wants(&self, event_type: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|wanted| wanted == event_type)
    }
}

/// How far a webhook was told of a pass, version 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Telling {
    pub(crate) v: u8,
    pub(crate) generation: u64,
    /// What happened before, in milliseconds since 1970, was told or is not to be.
    pub(crate) floor: i64,
    /// Keys of what happened since and was told.
    pub(crate) told: Vec<String>,
    /// Who is telling, and until when, in milliseconds since 1970, nobody else does.
    #[serde(default)]
    pub lease: Option<(String, i64)>,
    /// Which intent the holder carries out: it stays until the lease ends well, so that somebody goes on if the holder dies.
    #[serde(default)]
    pub held_for: Option<IntentKey>,
    /// Somebody else came meanwhile: there may be more to tell.
    #[serde(default)]
    pub poked: bool,
    /// Tries of the present event that failed.
    #[serde(default)]
    pub attempts: u32,
    /// Since when tries fail, in milliseconds since 1970.
    #[serde(default)]
    pub failing_since: Option<i64>,
    /// When an intent will try again, in milliseconds since 1970.
    #[serde(default)]
    pub retry_at: Option<i64>,
}

impl Telling {
    /// Nothing was told of a pass yet.
    pub fn from(since: Timestamp) -> Telling {
        Telling { v: 1, floor: since.as_millisecond(), ..Telling::default() }
    }

    /// Where to read the history from.
    pub fn start(&self) -> String {
        history_from(Timestamp::from_millisecond(self.floor).unwrap_or(Timestamp::MIN))
    }

    /// Whether this event was told.
    pub fn has_told(&self, key: &str) -> bool {
        self.told.iter().any(|told| told == key)
    }

    /// Notes that an event was told, or is not to be.
    pub fn tell(&mut self, key: &str, at: Timestamp) {
        self.told.push(key.to_owned());
        self.pass_over(at);
    }

    /// Notes that everything up to `at` was looked at.
    pub fn pass_over(&mut self, at: Timestamp) {
        self.floor = self.floor.max((at - WINDOW).as_millisecond());
        if self.told.len() > TOLD_KEPT {
            self.told.sort_unstable();
            // The window becomes narrower, by whole milliseconds: the history is read from one.
            let oldest = self.told.get(self.told.len() - TOLD_KEPT).and_then(|key| history_moment(key));
            self.floor = self.floor.max(oldest.unwrap_or(self.floor));
        }
        let floor = self.start();
        self.told.retain(|told| *told >= floor);
    }

    /// Nothing failed lately: the next try that fails is the first.
    pub fn succeeds(&mut self) {
        self.attempts = 0;
        self.failing_since = None;
    }
}

/// How a writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookWritten {
    /// It is written.
    Done,
    /// Somebody wrote it meanwhile: look again.
    Changed,
}

/// An attempt to deliver, version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    /// When.
    #[serde(with = "domain::time::text")]
    pub at: Timestamp,
    /// The `webhook-id` header: the same for every attempt.
    pub message_id: String,
    /// What was told.
    pub event: String,
    /// Of which pass.
    pub pass_type_identifier: PassTypeIdentifier,
    /// Of which pass.
    pub serial_number: SerialNumber,
    /// Counts from 1.
    pub attempt: u32,
    /// The status answered, if there was an answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// What became of it: `delivered`, `again` or `dead`.
    pub outcome: String,
}

#[derive(Serialize, Deserialize)]
struct DeliveryItem {
    v: u8,
    expires_at: i64,
    delivery: String,
}

/// A pass of which a webhook could not be told for too long, version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which pass.
    pub pass_type_identifier: PassTypeIdentifier,
    /// Which pass.
    pub serial_number: SerialNumber,
    /// When the first event happened that was given up, in milliseconds since 1970.
    pub first: i64,
}

#[derive(Serialize, Deserialize)]
struct DeadLetterItem {
    v: u8,
    expires_at: i64,
    /// JSON text.
    letter: String,
}

impl DeadLetterItem {
    fn into_letter(self) -> Result<DeadLetter, Fault> {
        serde_json::from_str(&self.letter).map_err(|error| Fault::new("reading a dead letter", error))
    }
}

impl DeadLetter {
    /// Which pass.
    pub fn identity(&self) -> PassIdentity {
        PassIdentity {
            pass_type_identifier: self.pass_type_identifier.clone(),
            serial_number: self.serial_number.clone(),
        }
    }
}

/// What is written together with how far the telling has come.
#[derive(Default)]
pub struct Along<'a> {
    /// The intent that this carries out.
    pub done: Option<&'a IntentKey>,
    /// The steps that follow.
    pub then: &'a [Intent],
    /// What was given up, and when.
    pub dead: Option<(&'a DeadLetter, Timestamp)>,
}

fn webhooks_partition(merchant_id: &str) -> String {
    format!("WEBHOOKS#{merchant_id}")
}

fn webhook_key(merchant_id: &str, webhook_id: &str) -> Key {
    Key::new(webhooks_partition(merchant_id), format!("HOOK#{webhook_id}"))
}

fn dead_letters_prefix(webhook_id: &str) -> String {
    format!("DEAD#{webhook_id}#")
}

fn dead_letter_key(merchant_id: &str, webhook_id: &str, pass: &PassIdentity) -> Key {
    let sort = format!("{}{}#{}", dead_letters_prefix(webhook_id), pass.pass_type_identifier, pass.serial_number);
    Key::new(webhooks_partition(merchant_id), sort)
}

fn deliveries_partition(merchant_id: &str, webhook_id: &str) -> String {
    format!("DELIVERIES#{merchant_id}#{webhook_id}")
}

fn telling_key(identity: &PassIdentity, webhook_id: &str) -> Key {
    Key::new(items::pass_partition(identity), format!("HOOK#{webhook_id}"))
}

impl Transaction {
    fn put_telling(
        &mut self,
        identity: &PassIdentity,
        webhook_id: &str,
        before: Option<&Telling>,
        after: &Telling,
    ) -> Result<(), Fault> {
        let generation = before.map_or(0, |before| before.generation);
        let condition = match before {
            None => Condition::absent(),
            Some(_) => Condition::holds("generation = :read").with(":read", number(generation)),
        };
        let item = Telling { v: 1, generation: generation + 1, ..after.clone() };
        self.put(&telling_key(identity, webhook_id), &item, condition)
    }
}

impl Store {
    /// Whether a merchant has webhooks.
    pub async fn has_webhooks(&self, merchant_id: &str) -> Result<bool, Fault> {
        let partition = webhooks_partition(merchant_id);
        let (found, _) = self.page(Page { partition: &partition, prefix: "HOOK#", after: None, limit: 1 }).await?;
        Ok(!found.is_empty())
    }

    /// A merchant's webhooks.
    pub async fn webhooks(&self, merchant_id: &str) -> Result<Vec<StoredWebhook>, Fault> {
        self.all(&webhooks_partition(merchant_id), "HOOK#").await
    }

    /// One of a merchant's webhooks.
    pub async fn webhook(&self, merchant_id: &str, webhook_id: &str) -> Result<Option<StoredWebhook>, Fault> {
        self.get(&webhook_key(merchant_id, webhook_id)).await
    }

    /// Writes a webhook, on the condition that it is still the one read, or is not there if none was. Its telling begins
    /// with it.
    pub async fn put_webhook(
        &self,
        before: Option<&StoredWebhook>,
        after: &StoredWebhook,
        recorded: Option<&crate::idempotency::Recorded>,
    ) -> Result<WebhookWritten, Fault> {
        // One that is put anew after a deletion does not begin where its predecessor did: a slow call about that one must not
        // find its condition.
        let (generation, condition) = match before {
            None => (u64::try_from(after.created_at.as_millisecond()).unwrap_or_default(), Condition::absent()),
            Some(before) => (before.generation + 1, before.is_as_read()),
        };
        let item = StoredWebhook { generation, ..after.clone() };
        let mut transaction = Transaction::default();
        transaction.put(&webhook_key(&after.merchant_id, &after.webhook_id), &item, condition)?;
        if let Some(recorded) = recorded {
            transaction.put_recorded(recorded)?;
        }
        self.webhook_written(transaction).await
    }

    async fn webhook_written(&self, transaction: Transaction) -> Result<WebhookWritten, Fault> {
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => WebhookWritten::Done,
            Outcome::Refused(_) => WebhookWritten::Changed,
        })
    }

    /// Ends a webhook, on the condition that it is still the one read.
    pub async fn delete_webhook(&self, before: &StoredWebhook) -> Result<WebhookWritten, Fault> {
        let mut transaction = Transaction::default();
        transaction.delete(&webhook_key(&before.merchant_id, &before.webhook_id), before.is_as_read())?;
        self.webhook_written(transaction).await
    }

    /// How far a webhook was told of a pass; none: not at all.
    pub async fn telling(&self, identity: &PassIdentity, webhook_id: &str) -> Result<Option<Telling>, Fault> {
        self.get(&telling_key(identity, webhook_id)).await
    }

    /// Writes how far a webhook was told of a pass, on the condition that it is still as it was read.
    pub async fn put_telling(
        &self,
        webhook: &StoredWebhook,
        identity: &PassIdentity,
        (before, after): (Option<&Telling>, &Telling),
        along: Along<'_>,
    ) -> Result<WebhookWritten, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_telling(identity, &webhook.webhook_id, before, after)?;
        if let Some(done) = along.done {
            transaction.delete(&done.to_key(), Condition::none())?;
        }
        transaction.put_intents(along.then)?;
        if let Some((letter, now)) = along.dead {
            let key = dead_letter_key(&webhook.merchant_id, &webhook.webhook_id, identity);
            let text = serde_json::to_string(letter).map_err(|error| Fault::new("writing a dead letter", error))?;
            let item = DeadLetterItem { v: 1, expires_at: (now + DEAD_LETTER_KEPT).as_second(), letter: text };
            transaction.put(&key, &item, Condition::none())?;
        }
        self.webhook_written(transaction).await
    }

    /// A page of a pass's history with the keys of its events.
    pub async fn events(
        &self,
        identity: &PassIdentity,
        after: &str,
    ) -> Result<(Vec<(String, Event)>, Option<String>), Fault> {
        let partition = items::pass_partition(identity);
        let page = Page { partition: &partition, prefix: "EVENT#", after: Some(after), limit: 100 };
        let (found, next) = self.page(page).await?;
        let mut events = Vec::with_capacity(found.len());
        for item in found {
            let key = Key::of(&item).ok_or_else(|| Fault::contradiction("an event without a key"))?;
            events.push((key.sort, passes::read_event(item)?));
        }
        Ok((events, next))
    }

    /// Keeps an attempt to be read for a week.
    pub async fn log_delivery(&self, webhook: &StoredWebhook, delivery: &Delivery) -> Result<(), Fault> {
        let text = serde_json::to_string(delivery).map_err(|error| Fault::new("writing a delivery", error))?;
        // Newest first.
        let sort = format!("{:013}#{}", 9_999_999_999_999 - delivery.at.as_millisecond(), random::id()?);
        let key = Key::new(deliveries_partition(&webhook.merchant_id, &webhook.webhook_id), sort);
        let item = DeliveryItem { v: 1, expires_at: (delivery.at + DELIVERY_KEPT).as_second(), delivery: text };
        let mut transaction = Transaction::default();
        transaction.put(&key, &item, Condition::none())?;
        self.commit(transaction).await.map(|_| ())
    }

    /// One page of the attempts of a webhook, newest first.
    pub async fn deliveries(
        &self,
        merchant_id: &str,
        webhook_id: &str,
        after: Option<&str>,
    ) -> Result<(Vec<Delivery>, Option<String>), Fault> {
        let partition = deliveries_partition(merchant_id, webhook_id);
        let (found, next) =
            self.page(Page { partition: &partition, prefix: "", after, limit: DELIVERIES_PAGE }).await?;
        let deliveries = found.into_iter().map(|item| {
            let item: DeliveryItem = read(item)?;
            serde_json::from_str(&item.delivery).map_err(|error| Fault::new("reading a delivery", error))
        });
        Ok((deliveries.collect::<Result<_, Fault>>()?, next))
    }

    /// Some of a webhook's dead letters, and whether there may be more.
    pub async fn dead_letters(
        &self,
        merchant_id: &str,
        webhook_id: &str,
        limit: i32,
    ) -> Result<(Vec<DeadLetter>, bool), Fault> {
        let (partition, prefix) = (webhooks_partition(merchant_id), dead_letters_prefix(webhook_id));
        let (found, next) = self.page(Page { partition: &partition, prefix: &prefix, after: None, limit }).await?;
        let letters = found.into_iter().map(|item| read::<DeadLetterItem>(item)?.into_letter());
        Ok((letters.collect::<Result<_, Fault>>()?, next.is_some()))
    }

    /// What of a pass was given up before, and not replayed yet.
    pub async fn dead_letter(
        &self,
        webhook: &StoredWebhook,
        identity: &PassIdentity,
    ) -> Result<Option<DeadLetter>, Fault> {
        let key = dead_letter_key(&webhook.merchant_id, &webhook.webhook_id, identity);
        let item: Option<DeadLetterItem> = self.get(&key).await?;
        item.map(DeadLetterItem::into_letter).transpose()
    }

    /// Forgets that a pass was given up which is gone.
    pub async fn drop_dead_letter(&self, webhook: &StoredWebhook, letter: &DeadLetter) -> Result<(), Fault> {
        let mut transaction = Transaction::default();
        let key = dead_letter_key(&webhook.merchant_id, &webhook.webhook_id, &letter.identity());
        transaction.delete(&key, Condition::none())?;
        self.commit(transaction).await.map(|_| ())
    }

    /// Begins the telling of a pass anew, from a moment on, and forgets that it was given up. Of a pass that is gone nothing is
    /// written.
    pub async fn replay(
        &self,
        webhook: &StoredWebhook,
        letter: &DeadLetter,
        then: &[Intent],
    ) -> Result<WebhookWritten, Fault> {
        let identity = letter.identity();
        let before = self.telling(&identity, &webhook.webhook_id).await?;
        let from = Timestamp::from_millisecond(letter.first)
            .map_err(|error| Fault::new("reading a dead letter's time", error))?;
        let mut transaction = Transaction::default();
        transaction.put_telling(&identity, &webhook.webhook_id, before.as_ref(), &Telling::from(from))?;
        transaction.check(&items::pass_key(&identity), Condition::holds("attribute_exists(pk)"))?;
        let key = dead_letter_key(&webhook.merchant_id, &webhook.webhook_id, &identity);
        transaction.delete(&key, Condition::none())?;
        transaction.put_intents(then)?;
        self.webhook_written(transaction).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_late_is_told_and_what_is_old_is_forgotten() {
        let noon = at("2026-11-23T12:00:00Z");
        let mut telling = Telling::from(noon);
        let key = |at: Timestamp, id: &str| format!("{}#0000000001#0#{id}", history_from(at));
        let (first, second) = (noon + SignedDuration::from_secs(10), noon + SignedDuration::from_secs(20));
        telling.tell(&key(second, "b"), second);
        // Written after it, though it happened before.
        assert!(!telling.has_told(&key(first, "a")) && telling.start() <= key(first, "a"));
        telling.tell(&key(first, "a"), first);
        assert!(telling.has_told(&key(first, "a")) && telling.has_told(&key(second, "b")));
        telling.pass_over(noon + SignedDuration::from_hours(1));
        assert_eq!(telling.told, Vec::<String>::new());
        assert!(telling.start() > key(second, "b"));
    }

    #[test]
    fn of_a_pass_to_which_much_happens_not_everything_told_is_kept() {
        let noon = at("2026-11-23T12:00:00Z");
        let mut telling = Telling::from(noon);
        let key = |at: Timestamp| format!("{}#0000000001#0#id", history_from(at));
        for number in 0..3000 {
            let at = noon + SignedDuration::from_millis(10 * number);
            telling.tell(&key(at), at);
        }
        assert_eq!(telling.told.len(), TOLD_KEPT);
        // The window is from the oldest kept on: nothing that was told is told again.
        let oldest = noon + SignedDuration::from_millis(20_000);
        assert_eq!(telling.start(), history_from(oldest));
        assert!(telling.has_told(&key(oldest)));
    }
}
