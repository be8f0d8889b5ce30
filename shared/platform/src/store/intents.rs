//! Intents: why nothing is lost.
//!
//! Every change that needs a later step writes an intent in the same transaction. The queue's message only says "look at
//! this intent"; the worker carries it out and deletes it, together, and `sweep` sends again what is overdue. So a
//! message may be lost, doubled, late or early, and the step happens once.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{LookKey, Pass, schedule::Edge};
use jiff::Timestamp;
use passkit::identifiers::{CampaignId, DeviceLibraryIdentifier, PassIdentity};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Event, Key, Store, fault, read,
    transaction::{Condition, Outcome, Transaction, number, text},
};
use crate::{Fault, random};

/// Intents written in one transaction, which holds a hundred writes, beside what else it writes.
pub const INTENTS_AT_ONCE: usize = 90;

/// Partitions of what is due: each takes about 1,000 writes a second.
pub const SHARDS: u32 = 8;

/// Where an intent is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IntentKey {
    shard: u32,
    sort: String,
}

impl IntentKey {
    pub(super) fn to_key(&self) -> Key {
        Key::new(format!("DUE#{}", self.shard), self.sort.clone())
    }
}

/// A step that must happen, at a time.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Where it is kept.
    pub key: IntentKey,
    /// Not before.
    pub due: Timestamp,
    /// What.
    pub step: Step,
    /// How far a long step has come.
    pub cursor: Option<String>,
    /// When it was written.
    pub created: Timestamp,
    /// When `sweep` last sent a message for it.
    pub sent: Option<Timestamp>,
}

/// One walk through a campaign's passes after a change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CampaignRound {
    /// When the campaign changed. What it changes later has walks of its own.
    #[serde(with = "domain::time::text")]
    pub changed_at: Timestamp,
    /// 0: everybody is told. From 1: once more those whose pass no phone fetched since.
    pub reminder: u32,
}

/// How many devices carry a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carriers {
    /// None.
    None,
    /// One.
    One,
    /// More, or nobody knows.
    #[default]
    Several,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Step {
    /// Tell every device of a pass that it changed.
    Push {
        /// Which pass.
        identity: PassIdentity,
        /// What it showed then ([`Pass::shown`]); whatever it shows later has an intent of its own.
        shown: u64,
    },
    /// Tell these devices again: APNs was busy.
    PushAgain {
        /// Which pass.
        identity: PassIdentity,
        /// What it showed then.
        shown: u64,
        /// Which devices.
        devices: Vec<DeviceLibraryIdentifier>,
        /// Counts from 2.
        attempt: u32,
        /// Which reminder follows if nobody fetches; none: none does.
        #[serde(default)]
        reminder: Option<u32>,
        /// APNs said of them that they are gone, since about the time of their registration.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        doubted: bool,
    },
    /// Tell every device of a pass once more, if no phone fetched what it shows.
    PushUnfetched {
        /// Which pass.
        identity: PassIdentity,
        /// What it showed then.
        shown: u64,
        /// Which time: counts from 1.
        reminder: u32,
    },
    /// Tell the devices of every pass that a campaign-wide change alters.
    PushCampaign {
        /// Whose campaign.
        merchant_id: String,
        /// Which.
        campaign_id: CampaignId,
        /// Passes that show one of these.
        looks: Vec<LookKey>,
        /// Seconds over which the pushes are spread, so that a million phones do not fetch at once.
        #[serde(default)]
        over_seconds: u32,
        /// Whom it concerns; none: everybody, and nobody is reminded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<CampaignRound>,
    },
    /// Begin or end one repetition of a scheduled update.
    ScheduledUpdate {
        /// Whose.
        merchant_id: String,
        /// Which.
        update_id: String,
        /// Which repetition.
        occurrence: u32,
        /// Begin or end.
        edge: Edge,
    },
    /// Tell the devices of one page of a campaign's passes; the pages of a change are spread over time.
    PushMembers {
        /// Whose campaign.
        merchant_id: String,
        /// Which.
        campaign_id: CampaignId,
        /// Passes that show one of these.
        looks: Vec<LookKey>,
        /// Where the page begins; none: at the first pass.
        place: Option<String>,
        /// Where the next page began when the campaign was walked: others are issued meanwhile, and come between. None, of
        /// steps of older releases: after a hundred passes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<String>,
        /// Whom it concerns; none: everybody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<CampaignRound>,
    },
    /// Erase what is left of a pass, once its phones know that it is void or their time for that is over.
    Erase {
        /// Which pass.
        identity: PassIdentity,
        /// From then on whatever phones know.
        #[serde(with = "domain::time::text")]
        until: Timestamp,
        /// How often it was looked whether they know.
        looks: u32,
        /// How many carried it when its erasure began. Steps of older releases do not say: then several.
        #[serde(default)]
        carriers: Carriers,
    },
    /// Erase what doors that were at work wrote about a pass that is gone.
    EraseAgain {
        /// Which pass.
        identity: PassIdentity,
        /// Whose.
        merchant_id: String,
        /// Of which campaign.
        campaign_id: CampaignId,
    },
    /// Look whether a pass has been over for as long as its campaign keeps passes.
    Retain {
        /// Which pass.
        identity: PassIdentity,
        /// Since when its campaign keeps passes for so long; under another rule another intent looks.
        #[serde(with = "domain::time::text")]
        since: Timestamp,
    },
    /// Have every pass of a campaign looked at, since it keeps them for another time.
    RetainCampaign {
        /// Whose campaign.
        merchant_id: String,
        /// Which.
        campaign_id: CampaignId,
        /// Since when.
        #[serde(with = "domain::time::text")]
        since: Timestamp,
    },
    /// Work through the rows of a batch.
    Batch {
        /// Whose.
        merchant_id: String,
        /// Which.
        batch_id: String,
    },
    /// Tell a merchant's webhooks what happened to a pass.
    Webhooks {
        /// Whose.
        merchant_id: String,
        /// To which pass.
        identity: PassIdentity,
    },
    /// Tell one webhook what happened to a pass.
    Webhook {
        /// Whose.
        merchant_id: String,
        /// Which.
        webhook_id: String,
        /// To which pass.
        identity: PassIdentity,
    },
    /// Give a pass its next offer.
    NextOffer {
        /// Which pass.
        identity: PassIdentity,
        /// The time that was promised.
        #[serde(with = "domain::time::text")]
        due: Timestamp,
    },
}

impl Step {
    /// The push of what a pass shows now.
    pub fn push(pass: &Pass) -> Step {
        Step::Push { identity: pass.identity.clone(), shown: pass.shown }
    }

    /// The pushes that a composed campaign needs.
    pub fn push_campaign(composed: &domain::campaign::Composed) -> Step {
        Step::PushCampaign {
            merchant_id: composed.campaign.merchant_id.clone(),
            campaign_id: composed.campaign.campaign_id.clone(),
            looks: composed.altered.clone(),
            over_seconds: composed.campaign.draft.push_over_seconds,
            round: Some(CampaignRound { changed_at: composed.campaign.updated_at, reminder: 0 }),
        }
    }

    /// Whose work it is.
    pub fn worker(&self) -> Worker {
        match self {
            Step::Push { .. }
            | Step::PushAgain { .. }
            | Step::PushUnfetched { .. }
            | Step::PushCampaign { .. }
            | Step::PushMembers { .. } => Worker::Push,
            Step::Batch { .. } => Worker::Batch,
            Step::NextOffer { .. }
            | Step::ScheduledUpdate { .. }
            | Step::Erase { .. }
            | Step::EraseAgain { .. }
            | Step::Retain { .. }
            | Step::RetainCampaign { .. } => Worker::FollowUp,
            Step::Webhooks { .. } | Step::Webhook { .. } => Worker::Webhook,
        }
    }
}

/// Who carries out a step; each has a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    /// `push-updates`.
    Push,
    /// `follow-up`.
    FollowUp,
    /// `work-batch`.
    Batch,
    /// `send-webhooks`.
    Webhook,
}

impl Intent {
    /// A new intent, written at `now`.
    pub fn new(due: Timestamp, step: Step, now: Timestamp) -> Result<Intent, Fault> {
        let sort = format!("{:013}#{}", due.as_millisecond(), random::id()?);
        let key = IntentKey { shard: random::below(SHARDS)?, sort };
        Ok(Intent { key, due, step, cursor: None, created: now, sent: None })
    }

    /// An intent of which there is one for each `name` and time: written twice, it is the same.
    pub(crate) fn named(name: &str, due: Timestamp, step: Step, now: Timestamp) -> Intent {
        let digest = Sha256::digest(name);
        let shard = u32::from(digest[0]) % SHARDS;
        let sort = format!("{:013}#{}", due.as_millisecond(), hex::encode(&digest[..12]));
        Intent { key: IntentKey { shard, sort }, due, step, cursor: None, created: now, sent: None }
    }
}

/// An intent item, version 1. The step is JSON text, tagged by its name.
#[derive(Serialize, Deserialize)]
pub(super) struct IntentItem {
    v: u8,
    due: i64,
    step: String,
    cursor: Option<String>,
    created: i64,
    sent: Option<i64>,
    #[serde(default, skip_serializing)]
    pk: String,
    #[serde(default, skip_serializing)]
    sk: String,
}

impl IntentItem {
    pub(super) fn new(intent: &Intent) -> Result<IntentItem, Fault> {
        Ok(IntentItem {
            v: 1,
            due: intent.due.as_millisecond(),
            step: serde_json::to_string(&intent.step).map_err(|error| Fault::new("writing an intent", error))?,
            cursor: intent.cursor.clone(),
            created: intent.created.as_millisecond(),
            sent: intent.sent.map(Timestamp::as_millisecond),
            pk: String::new(),
            sk: String::new(),
        })
    }

    fn into_intent(self) -> Result<Intent, Fault> {
        let time = |milliseconds| {
            Timestamp::from_millisecond(milliseconds).map_err(|error| Fault::new("reading an intent's time", error))
        };
        let shard = self.pk.strip_prefix("DUE#").and_then(|shard| shard.parse().ok());
        let shard = shard.ok_or_else(|| Fault::contradiction("an intent outside its partitions"))?;
        Ok(Intent {
            key: IntentKey { shard, sort: self.sk },
            due: time(self.due)?,
            step: serde_json::from_str(&self.step).map_err(|error| Fault::new("reading an intent", error))?,
            cursor: self.cursor,
            created: time(self.created)?,
            sent: self.sent.map(time).transpose()?,
        })
    }
}

/// Intents of one shard, in the order in which they come due.
#[derive(Debug)]
pub struct DuePage {
    /// Those that can be read.
    pub intents: Vec<Intent>,
    /// How many cannot.
    pub unreadable: u32,
    /// Where the next page begins, if there may be one.
    pub next: Option<IntentKey>,
}

/// What becomes of an intent after one round of work.
#[derive(Debug)]
pub enum IntentProgress {
    /// It is done.
    Done,
    /// At this time it has come so far, and a message for the next round is about to be sent.
    Reached(String, Timestamp),
}

impl Intent {
    /// As it goes on from there. For `sweep`: a message is on its way, so that there are not two.
    pub(crate) fn reached(&self, cursor: String, now: Timestamp) -> Intent {
        Intent { cursor: Some(cursor), sent: Some(now), ..self.clone() }
    }
}

impl Store {
    /// An intent, unless it was carried out.
    pub async fn intent(&self, key: &IntentKey) -> Result<Option<Intent>, Fault> {
        let item: Option<IntentItem> = self.get(&key.to_key()).await?;
        item.map(IntentItem::into_intent).transpose()
    }

    /// Notes how far an intent has come, with an event for the pass's history and the intents that follow from it.
    /// Answers the intent as it goes on, which is to be sent; `None` when it is done, and when another worker has made
    /// this round meanwhile, whose note stays.
    pub async fn progress(
        &self,
        intent: &Intent,
        progress: IntentProgress,
        event: Option<(&PassIdentity, Event)>,
        then: &[Intent],
    ) -> Result<Option<Intent>, Fault> {
        let mut transaction = Transaction::default();
        let mut next = None;
        // Of two workers on one intent, the slower must not bring back what the faster did, nor walk beside it, nor have
        // follow what follows already.
        let before = intent.cursor.as_ref().map_or(AttributeValue::Null(true), text);
        let as_read = Condition::holds("#cursor = :cursor").named("#cursor", "cursor").with(":cursor", before);
        match progress {
            IntentProgress::Done => transaction.delete(&intent.key.to_key(), as_read)?,
            IntentProgress::Reached(cursor, now) => {
                let after = intent.reached(cursor, now);
                transaction.put(&intent.key.to_key(), &IntentItem::new(&after)?, as_read)?;
                next = Some(after);
            }
        }
        if let Some((identity, event)) = event {
            transaction.put_event(identity, &event)?;
        }
        transaction.put_intents(then)?;
        match self.commit(transaction).await? {
            Outcome::Committed => Ok(next),
            Outcome::Refused(_) => Ok(None),
        }
    }

    /// Notes that an intent is carried out, and nothing follows.
    pub async fn done(&self, intent: &Intent) -> Result<(), Fault> {
        let mut transaction = Transaction::default();
        transaction.delete(&intent.key.to_key(), Condition::none())?;
        self.commit(transaction).await.map(|_| ())
    }

    /// Writes intents that follow from a step still in progress, [`INTENTS_AT_ONCE`] in a transaction.
    pub async fn add_intents(&self, intents: &[Intent]) -> Result<(), Fault> {
        for some in intents.chunks(INTENTS_AT_ONCE) {
            let mut transaction = Transaction::default();
            transaction.put_intents(some)?;
            self.commit(transaction).await?;
        }
        Ok(())
    }

    /// One page of what is due from `from` up to `until`, of one shard. What this release cannot read is left to the one that
    /// wrote it, and said in the log: it must not keep back what lies behind it.
    pub async fn due(
        &self,
        shard: u32,
        (from, until): (Timestamp, Timestamp),
        after: Option<&IntentKey>,
    ) -> Result<DuePage, Fault> {
        const PAGE: i32 = 500;
        let start = after.map(|key| key.to_key().to_item());
        let answer = self
            .client()
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .limit(PAGE)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
            .expression_attribute_values(":pk", text(format!("DUE#{shard}")))
            .expression_attribute_values(":from", text(format!("{:013}", from.as_millisecond().max(0))))
            // '~' sorts after everything an id holds.
            .expression_attribute_values(":until", text(format!("{:013}~", until.as_millisecond())))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| fault("reading what is due", error))?;
        let next = answer.last_evaluated_key.as_ref().and_then(Key::of);
        let next = next.map(|key| IntentKey { shard, sort: key.sort });
        let mut page = DuePage { intents: Vec::new(), unreadable: 0, next };
        for item in answer.items.unwrap_or_default() {
            match read::<IntentItem>(item).and_then(IntentItem::into_intent) {
                Ok(intent) => page.intents.push(intent),
                Err(fault) => {
                    tracing::error!(shard, fault = fault.chain(), "an intent cannot be read, and stays");
                    page.unreadable += 1;
                }
            }
        }
        Ok(page)
    }

    /// Notes that a message was sent for an intent, if it is still there.
    pub async fn note_sent(&self, key: &IntentKey, now: Timestamp) -> Result<(), Fault> {
        let mut transaction = Transaction::default();
        let there = Condition::holds("attribute_exists(pk)").with(":now", number(now.as_millisecond()));
        transaction.update(&key.to_key(), "SET sent = :now", there)?;
        self.commit(transaction).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind, as releases wrote them; never changed, only added to. `tests/kept` has whole tables, but most
    /// steps do not wait long enough to be found in one.
    const WRITTEN: &[&str] = &[
        r#"{"step":"push","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"shown":2}"#,
        r#"{"step":"push-again","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"shown":2,"devices":["d"],"attempt":2}"#,
        r#"{"step":"push-again","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"shown":2,"devices":["d"],"attempt":2,"reminder":1}"#,
        r#"{"step":"push-again","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"shown":2,"devices":["d"],"attempt":2,"reminder":1,"doubted":true}"#,
        r#"{"step":"push-unfetched","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"shown":2,"reminder":1}"#,
        r#"{"step":"push-campaign","merchantId":"m","campaignId":"c","looks":[]}"#,
        r#"{"step":"push-campaign","merchantId":"m","campaignId":"c","looks":["redeemable:o"],"overSeconds":600}"#,
        r#"{"step":"push-campaign","merchantId":"m","campaignId":"c","looks":[],"overSeconds":0,"round":{"changedAt":"2026-11-23T12:00:15.000Z","reminder":1}}"#,
        r#"{"step":"push-members","merchantId":"m","campaignId":"c","looks":[],"place":null}"#,
        r#"{"step":"push-members","merchantId":"m","campaignId":"c","looks":[],"place":null,"round":{"changedAt":"2026-11-23T12:00:15.000Z","reminder":1}}"#,
        r#"{"step":"push-members","merchantId":"m","campaignId":"c","looks":[],"place":"0","end":"0 pass.example.a#1"}"#,
        r#"{"step":"scheduled-update","merchantId":"m","updateId":"u","occurrence":3,"edge":"begin"}"#,
        r#"{"step":"erase","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"until":"2026-11-23T12:00:15.000Z","looks":1}"#,
        r#"{"step":"erase","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"until":"2026-11-23T12:00:15.000Z","looks":1,"carriers":"one"}"#,
        r#"{"step":"erase-again","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"merchantId":"m","campaignId":"c"}"#,
        r#"{"step":"retain","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"since":"2026-11-23T12:00:15.000Z"}"#,
        r#"{"step":"retain-campaign","merchantId":"m","campaignId":"c","since":"2026-11-23T12:00:15.000Z"}"#,
        r#"{"step":"batch","merchantId":"m","batchId":"b"}"#,
        r#"{"step":"webhooks","merchantId":"m","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"}}"#,
        r#"{"step":"webhook","merchantId":"m","webhookId":"w","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"}}"#,
        r#"{"step":"next-offer","identity":{"passTypeIdentifier":"pass.example.a","serialNumber":"1"},"due":"2026-11-23T12:00:15.000Z"}"#,
    ];

    #[test]
    fn what_every_release_wrote_is_read() {
        let read =
            WRITTEN.iter().map(|text| serde_json::from_str::<Step>(text).map_err(|error| format!("{text}: {error}")));
        let kinds: std::collections::BTreeSet<&str> = read
            .map(|step| match step.unwrap() {
                Step::Push { .. } => "push",
                Step::PushAgain { .. } => "push-again",
                Step::PushUnfetched { .. } => "push-unfetched",
                Step::PushCampaign { .. } => "push-campaign",
                Step::PushMembers { .. } => "push-members",
                Step::ScheduledUpdate { .. } => "scheduled-update",
                Step::NextOffer { .. } => "next-offer",
                Step::Erase { .. } => "erase",
                Step::EraseAgain { .. } => "erase-again",
                Step::Retain { .. } => "retain",
                Step::RetainCampaign { .. } => "retain-campaign",
                Step::Batch { .. } => "batch",
                Step::Webhooks { .. } => "webhooks",
                Step::Webhook { .. } => "webhook",
            })
            .collect();
        // A new kind needs an arm above, and so a line among those written.
        assert_eq!(kinds.len(), 14, "{kinds:?}");
    }

    #[test]
    fn an_erasure_that_an_older_release_began_may_have_had_several_carriers() {
        let read = WRITTEN.iter().map(|text| serde_json::from_str::<Step>(text).unwrap());
        let carriers = |step| if let Step::Erase { carriers, .. } = step { Some(carriers) } else { None };
        assert_eq!(read.filter_map(carriers).collect::<Vec<_>>(), [Carriers::Several, Carriers::One]);
    }
}
