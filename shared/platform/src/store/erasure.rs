//! Erasure: what of a pass goes when, and the little that stays (`docs/decisions/0016`).
//!
//! Everything of a pass is found from its own partition: beside its history and its devices lie marks for what is kept
//! elsewhere and tells of its holder. Nothing is searched for.

use domain::Pass;
use jiff::Timestamp;
use passkit::identifiers::{CampaignId, PassIdentity};
use serde::{Deserialize, Serialize};

use super::{
    Change, Event, EventKind, Intent, IntentKey, Item, Key, Page, Store, StoredPass, Written,
    idempotency::{AnswerMark, OnceItem, once_key},
    items, read,
    redemptions::{RedemptionItem, redemption_key},
    tallies::Happened,
    transaction::{Condition, Outcome, Transaction},
    updates::update_key,
};
use crate::Fault;

/// Registrations ended in one transaction, with both items of each: a transaction holds a hundred writes.
const DEVICES: i32 = 40;
/// Items of a history deleted in one transaction; some bring a write elsewhere.
const ITEMS: i32 = 45;
/// Transactions of one round: some seconds, so that a round never outlives the function.
const ROUND: usize = 50;

/// What stays of a pass that was erased, version 1: that its serial number is used up, and whose it was.
#[derive(Debug, Serialize, Deserialize)]
struct ErasedItem {
    v: u8,
    merchant: String,
    #[serde(with = "domain::time::text")]
    erased_at: Timestamp,
}

/// Whose pass is forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Forgotten<'a> {
    /// Which pass.
    pub identity: &'a PassIdentity,
    /// Whose.
    pub merchant_id: &'a str,
    /// Of which campaign.
    pub campaign_id: &'a CampaignId,
    /// What an answer that told of its holder says from now on to whoever repeats the request: status and JSON text.
    pub answer: (u16, &'a str),
}

/// Whether anything is left to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// Something is.
    More,
    /// Nothing is but the pass itself.
    Nothing,
}

impl Store {
    /// Writes the first step of an erasure: nobody finds the pass any more by its link, its barcode or among its
    /// campaign's.
    pub async fn begin_erasure(
        &self,
        before: &StoredPass,
        after: &Pass,
        now: Timestamp,
        done: Option<&IntentKey>,
        then: &[Intent],
    ) -> Result<Written, Fault> {
        let event = Some(Event::new(EventKind::Erased, now, after.version));
        let change = Change { event, done, then, ..Change::default() };
        let mut transaction = Transaction::default();
        transaction.put_change(before, after, &change)?;
        transaction.delete(&items::barcode_key(&after.merchant_id, &before.pass.barcode), Condition::none())?;
        let member = items::member_key(&after.merchant_id, &after.campaign_id, &after.identity);
        transaction.delete(&member, Condition::none())?;
        self.commit_change(transaction, &change).await
    }

    /// Forgets a round of what is kept about a pass beside itself: its devices, which are counted as they go, its
    /// history, and what the marks in its partition lead to.
    pub async fn forget(&self, whose: Forgotten<'_>) -> Result<Remains, Fault> {
        for _ in 0..ROUND {
            if self.forget_devices(whose).await? == Remains::Nothing
                && self.forget_items(whose, &["EVENT#", "ANSWER#", "UPDATE#", "TOLD#", "DIAGNOSED#", "HOOK#"]).await?
                    == Remains::Nothing
            {
                return Ok(Remains::Nothing);
            }
        }
        Ok(Remains::More)
    }

    /// Forgets a round of the answers that told of its holder, and of the updates scheduled for it alone.
    pub async fn forget_answers(&self, whose: Forgotten<'_>) -> Result<Remains, Fault> {
        for _ in 0..ROUND {
            if self.forget_items(whose, &["ANSWER#", "UPDATE#"]).await? == Remains::Nothing {
                return Ok(Remains::Nothing);
            }
        }
        Ok(Remains::More)
    }

    async fn forget_devices(&self, whose: Forgotten<'_>) -> Result<Remains, Fault> {
        let Forgotten { identity, merchant_id, campaign_id, .. } = whose;
        let (registrations, _) = self.registrations(identity, None, DEVICES).await?;
        if registrations.is_empty() {
            return Ok(Remains::Nothing);
        }
        let mut transaction = Transaction::default();
        for registration in &registrations {
            // One that a phone ends at this moment is counted there; then this is looked at anew.
            let there = Condition::holds("attribute_exists(pk)");
            transaction.delete(&items::registration_key(identity, &registration.device), there)?;
            transaction.delete(&items::device_key(identity, &registration.device), Condition::none())?;
        }
        transaction.tally_several(merchant_id, campaign_id, Happened::Forgotten, registrations.len())?;
        self.commit(transaction).await?;
        Ok(Remains::More)
    }

    async fn forget_items(&self, whose: Forgotten<'_>, kinds: &[&str]) -> Result<Remains, Fault> {
        let partition = items::pass_partition(whose.identity);
        let mut transaction = Transaction::default();
        for prefix in kinds {
            let page = Page { partition: &partition, prefix, after: None, limit: ITEMS };
            let (found, _) = self.page(page).await?;
            for item in found {
                self.forget_item(whose, item, &mut transaction).await?;
            }
            if transaction.len() > 0 {
                self.commit(transaction).await?;
                return Ok(Remains::More);
            }
        }
        Ok(Remains::Nothing)
    }

    /// Adds the deletion of one item, and of the words that it leads to.
    async fn forget_item(&self, whose: Forgotten<'_>, item: Item, transaction: &mut Transaction) -> Result<(), Fault> {
        let key = Key::of(&item).ok_or_else(|| Fault::contradiction("an item without keys"))?;
        let there = || Condition::holds("attribute_exists(pk)");
        if let Some(answered) = key.sort.strip_prefix("ANSWER#") {
            let kept = once_key(whose.merchant_id, answered);
            let mark: AnswerMark = read(item)?;
            // The key may have been used again, a month later, for something else: that answer is not about this pass.
            if let Some(once) = self.get::<OnceItem>(&kept).await?.filter(|once| mark.is_of(once)) {
                let (status, body) = whose.answer;
                transaction.put(&kept, &once.answering(status, body), mark.still())?;
            }
        } else if let Some(update_id) = key.sort.strip_prefix("UPDATE#") {
            transaction.delete(&update_key(whose.merchant_id, update_id), Condition::none())?;
        } else if key.sort.starts_with("EVENT#") {
            let event = super::passes::read_event(item)?;
            let reversed = event.detail.get("redemptionId").and_then(serde_json::Value::as_str);
            if let Some(redemption_id) = reversed.filter(|_| event.kind == EventKind::Reversed)
                && let Some(mut redemption) = self.redemption(whose.merchant_id, redemption_id).await?
                && let Some(reversal) = &mut redemption.reversal
            {
                // The clerk's words may be about the customer. That it was reversed, and when, stays.
                reversal.reason = None;
                let kept = redemption_key(whose.merchant_id, redemption_id);
                transaction.put(&kept, &RedemptionItem::new(&redemption)?, there())?;
            }
        }
        transaction.delete(&key, Condition::none())
    }

    /// Writes the last step of an erasure: the pass is gone, its serial number is used up, and one more is counted.
    pub async fn finish_erasure(
        &self,
        whose: Forgotten<'_>,
        done: &IntentKey,
        then: &[Intent],
        now: Timestamp,
    ) -> Result<(), Fault> {
        let Forgotten { identity, merchant_id, campaign_id, .. } = whose;
        let mut transaction = Transaction::default();
        // Twice at once: one counts it.
        transaction.delete(&items::pass_key(identity), Condition::holds("attribute_exists(pk)"))?;
        let erased = ErasedItem { v: 1, merchant: merchant_id.to_owned(), erased_at: now };
        transaction.put(&items::erased_key(identity), &erased, Condition::none())?;
        transaction.tally(merchant_id, campaign_id, Happened::Erased)?;
        transaction.delete(&done.to_key(), Condition::none())?;
        transaction.put_intents(then)?;
        match self.commit(transaction).await? {
            Outcome::Committed => Ok(()),
            Outcome::Refused(_) => {
                let mut transaction = Transaction::default();
                transaction.delete(&done.to_key(), Condition::none())?;
                self.commit(transaction).await.map(|_| ())
            }
        }
    }

    /// Whose pass it was, if a pass with this serial number was erased.
    pub async fn erased(&self, identity: &PassIdentity) -> Result<Option<String>, Fault> {
        let item: Option<ErasedItem> = self.get(&items::erased_key(identity)).await?;
        Ok(item.map(|item| item.merchant))
    }
}
