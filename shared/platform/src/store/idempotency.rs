//! Answers kept under idempotency keys, for 30 days.

use passkit::{identifiers::PassIdentity, secrets::Barcode};
use serde::{Deserialize, Serialize};

use super::{
    FoundBarcode, Key, Knows, Store, StoredCampaign, StoredPass,
    items::{self, BarcodeItem},
    read,
    transaction::{Condition, Outcome, Transaction},
};
use crate::{
    Fault,
    idempotency::{Once, Recorded, Tells},
};

/// An idempotency record, version 1.
#[derive(Serialize, Deserialize)]
pub(super) struct OnceItem {
    v: u8,
    request: String,
    status: u16,
    body: String,
    /// Seconds since 1970; DynamoDB deletes it then, or some hours later.
    expires_at: i64,
}

/// A mark in a pass's partition that an answer tells of its holder, version 1. It goes with the answer.
#[derive(Serialize, Deserialize)]
pub(super) struct AnswerMark {
    v: u8,
    /// Of the answer. Another under the same key is recorded when this is past, and so has a later one: no two records of
    /// a key share it, even if the requests are alike.
    expires_at: i64,
}

impl AnswerMark {
    /// Whether it is this answer that it marks, and no later one under the same key.
    pub(super) fn is_of(&self, answer: &OnceItem) -> bool {
        self.expires_at == answer.expires_at
    }

    /// That the answer it marks is the one recorded.
    pub(super) fn still(&self) -> Condition {
        Condition::holds("expires_at = :end").with(":end", super::transaction::number(self.expires_at))
    }
}

impl OnceItem {
    /// The same request, answered so from now on.
    pub(super) fn answering(self, status: u16, body: &str) -> OnceItem {
        OnceItem { status, body: body.to_owned(), ..self }
    }
}

pub(super) fn once_key(merchant_id: &str, key: &str) -> Key {
    Key::new(format!("ONCE#{merchant_id}#{key}"), "ONCE")
}

impl Transaction {
    /// The answer is recorded only if no other was: two requests with one key cannot both take effect.
    pub(super) fn put_recorded(&mut self, recorded: &Recorded) -> Result<(), Fault> {
        let item = OnceItem {
            v: 1,
            request: recorded.once.request_digest.clone(),
            status: recorded.status,
            body: recorded.body.clone(),
            expires_at: recorded.expires_at.as_second(),
        };
        let now = super::transaction::number(recorded.recorded_at.as_second());
        let free = Condition::holds("attribute_not_exists(pk) OR expires_at <= :now").with(":now", now);
        self.put(&once_key(&recorded.once.merchant_id, &recorded.once.key), &item, free)
    }

    /// Marks in a pass's partition that this answer tells of its holder, if it does: an erasure finds it so.
    pub(super) fn mark_answer(&mut self, identity: &PassIdentity, recorded: &Recorded) -> Result<(), Fault> {
        match recorded.tells {
            Tells::NothingPersonal => Ok(()),
            Tells::OfHolder => {
                let mark = AnswerMark { v: 1, expires_at: recorded.expires_at.as_second() };
                self.put(&items::answer_mark_key(identity, &recorded.once.key), &mark, Condition::none())
            }
        }
    }
}

impl OnceItem {
    /// The answer, if it is not too old.
    fn into_recorded(self, once: &Once, now: jiff::Timestamp) -> Result<Option<Recorded>, Fault> {
        if self.expires_at <= now.as_second() {
            return Ok(None);
        }
        let expires_at = jiff::Timestamp::from_second(self.expires_at)
            .map_err(|error| Fault::new("reading an idempotency record", error))?;
        Ok(Some(Recorded {
            once: Once { request_digest: self.request, ..once.clone() },
            status: self.status,
            body: self.body,
            recorded_at: now,
            expires_at,
            tells: Tells::NothingPersonal,
        }))
    }
}

impl Store {
    /// The answer first given under this key, if it was given and is not too old.
    pub async fn recorded(&self, once: &Once, now: jiff::Timestamp) -> Result<Option<Recorded>, Fault> {
        let item: Option<OnceItem> = self.get(&once_key(&once.merchant_id, &once.key)).await?;
        item.map_or(Ok(None), |item| item.into_recorded(once, now))
    }

    /// The same, and a barcode of this merchant's, in one round trip.
    pub async fn recorded_and_barcode(
        &self,
        once: &Once,
        barcode: &Barcode,
        now: jiff::Timestamp,
    ) -> Result<(Option<Recorded>, Option<FoundBarcode>), Fault> {
        let (once_key, barcode_key) =
            (once_key(&once.merchant_id, &once.key), items::barcode_key(&once.merchant_id, barcode));
        let mut found = self.get_many(&[once_key.clone(), barcode_key.clone()]).await?;
        let recorded: Option<OnceItem> = found.remove(&once_key).map(read).transpose()?;
        let barcode: Option<BarcodeItem> = found.remove(&barcode_key).map(read).transpose()?;
        let recorded = recorded.map_or(Ok(None), |item| item.into_recorded(once, now))?;
        Ok((recorded, barcode.map(FoundBarcode::from)))
    }

    /// The same, and a pass with its campaign.
    pub async fn recorded_and_pass(
        &self,
        once: &Once,
        identity: &PassIdentity,
        now: jiff::Timestamp,
    ) -> Result<(Option<Recorded>, Option<(StoredPass, StoredCampaign)>), Fault> {
        let once_key = once_key(&once.merchant_id, &once.key);
        let mut found = self.with_campaign(identity, Knows::Us, std::slice::from_ref(&once_key)).await?;
        let recorded: Option<OnceItem> = found.take(&once_key)?;
        let recorded = recorded.map_or(Ok(None), |item| item.into_recorded(once, now))?;
        let Some(pass) = found.take(&items::pass_key(identity))? else { return Ok((recorded, None)) };
        Ok((recorded, Some((StoredPass::from_item(pass)?, found.campaign(&self.opened)?))))
    }

    /// Records an answer that changed nothing else: a refusal. `false`: another answer was recorded before.
    pub async fn record(&self, recorded: &Recorded) -> Result<Recording, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_recorded(recorded)?;
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => Recording::Recorded,
            Outcome::Refused(_) => Recording::AnsweredBefore,
        })
    }
}

/// How the recording of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// It is the answer.
    Recorded,
    /// Another is.
    AnsweredBefore,
}
