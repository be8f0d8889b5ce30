//! Scheduled updates: one item each, in a partition of their merchant.

use domain::{
    Campaign, Pass,
    schedule::{ScheduledUpdate, Target},
};
use serde::{Deserialize, Serialize};

use super::{
    CampaignChange, Event, EventKind, Intent, IntentKey, Key, Page, Store, StoredCampaign, StoredPass, items, read,
    transaction::{Condition, Outcome, Transaction, number},
};
use crate::{Fault, idempotency::Recorded};

/// A scheduled update as read, with what a later write compares.
#[derive(Debug, Clone)]
pub struct StoredUpdate {
    /// The update.
    pub update: ScheduledUpdate,
    generation: u64,
}

/// An update item, version 1; the update is JSON text.
#[derive(Serialize, Deserialize)]
struct UpdateItem {
    v: u8,
    generation: u64,
    document: String,
}

/// What an update changes besides itself.
pub enum Changed<'a> {
    /// Nothing.
    Nothing,
    /// A campaign, on the condition that it is still the one read.
    Campaign {
        /// As read.
        before: &'a StoredCampaign,
        /// As it shall be.
        after: &'a Campaign,
    },
    /// A pass, on the condition that it is still the one read.
    Pass {
        /// As read.
        before: &'a StoredPass,
        /// As it shall be.
        after: &'a Pass,
    },
}

/// How the writing of an update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateWritten {
    /// It is written.
    Done,
    /// Somebody changed the update or its target meanwhile, or used the idempotency key: look again.
    Changed,
}

pub(super) fn update_key(merchant_id: &str, update_id: &str) -> Key {
    Key::new(format!("UPDATES#{merchant_id}"), update_id)
}

impl StoredUpdate {
    fn from_item(item: UpdateItem) -> Result<StoredUpdate, Fault> {
        let update = serde_json::from_str(&item.document).map_err(|error| Fault::new("reading an update", error))?;
        Ok(StoredUpdate { update, generation: item.generation })
    }
}

impl Store {
    /// A scheduled update of a merchant.
    pub async fn update(&self, merchant_id: &str, update_id: &str) -> Result<Option<StoredUpdate>, Fault> {
        let item: Option<UpdateItem> = self.get(&update_key(merchant_id, update_id)).await?;
        item.map(StoredUpdate::from_item).transpose()
    }

    /// One page of a merchant's scheduled updates, oldest first, from after the update named.
    pub async fn updates(
        &self,
        merchant_id: &str,
        after: Option<&str>,
    ) -> Result<(Vec<ScheduledUpdate>, Option<String>), Fault> {
        let partition = format!("UPDATES#{merchant_id}");
        let (found, next) = self.page(Page { partition: &partition, prefix: "", after, limit: 100 }).await?;
        let updates = found.into_iter().map(|item| Ok(StoredUpdate::from_item(read(item)?)?.update));
        Ok((updates.collect::<Result<_, Fault>>()?, next))
    }

    /// Makes a scheduled update, with the intent of its first edge.
    pub async fn schedule(
        &self,
        update: &ScheduledUpdate,
        then: &[Intent],
        recorded: Option<&Recorded>,
    ) -> Result<UpdateWritten, Fault> {
        let mut transaction = Transaction::default();
        if let Some(recorded) = recorded {
            transaction.put_recorded(recorded)?;
        }
        transaction.put_update(update, None)?;
        if let Target::Pass(identity) = &update.target {
            // What it says may be about the holder: an erasure finds it by these.
            let mark = items::update_mark_key(identity, &update.update_id);
            transaction.put(&mark, &serde_json::json!({ "v": 1 }), Condition::none())?;
            if let Some(recorded) = recorded {
                transaction.mark_answer(identity, recorded)?;
            }
        }
        transaction.put_intents(then)?;
        self.ended(transaction).await
    }

    /// Writes where an update has come, with what it changes, the intent that this carries out, and those that follow.
    pub async fn carry_out(
        &self,
        before: &StoredUpdate,
        after: &ScheduledUpdate,
        changed: Changed<'_>,
        done: Option<&IntentKey>,
        then: &[Intent],
    ) -> Result<UpdateWritten, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_update(after, Some(before.generation))?;
        match changed {
            Changed::Nothing => {}
            Changed::Campaign { before, after } => {
                transaction.put_campaign(&CampaignChange { before: Some(before), after, then: &[] })?;
            }
            Changed::Pass { before, after } => {
                transaction.put_pass(before, after)?;
                let event = Event::new(EventKind::Updated, after.updated_at, after.version);
                transaction.put_event(&after.identity, &event)?;
            }
        }
        if let Some(done) = done {
            transaction.delete(&done.to_key(), Condition::none())?;
        }
        transaction.put_intents(then)?;
        self.ended(transaction).await
    }

    async fn ended(&self, transaction: Transaction) -> Result<UpdateWritten, Fault> {
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => UpdateWritten::Done,
            Outcome::Refused(_) => UpdateWritten::Changed,
        })
    }
}

impl Transaction {
    fn put_update(&mut self, update: &ScheduledUpdate, generation: Option<u64>) -> Result<(), Fault> {
        let document = serde_json::to_string(update).map_err(|error| Fault::new("writing an update", error))?;
        let item = UpdateItem { v: 1, generation: generation.unwrap_or(0) + 1, document };
        let condition = match generation {
            None => Condition::absent(),
            Some(generation) => Condition::holds("generation = :read").with(":read", number(generation)),
        };
        self.put(&update_key(&update.merchant_id, &update.update_id), &item, condition)
    }
}
