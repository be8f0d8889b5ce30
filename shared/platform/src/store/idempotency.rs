//! Answers kept under idempotency keys, for 30 days.

use serde::{Deserialize, Serialize};

use super::{
    Key, Store,
    transaction::{Condition, Outcome, Transaction},
};
use crate::{
    Fault,
    idempotency::{Once, Recorded},
};

/// An idempotency record, version 1.
#[derive(Serialize, Deserialize)]
struct OnceItem {
    v: u8,
    request: String,
    status: u16,
    body: String,
    /// Seconds since 1970; DynamoDB deletes it then, or some hours later.
    expires_at: i64,
}

fn once_key(once: &Once) -> Key {
    Key::new(format!("ONCE#{}#{}", once.merchant_id, once.key), "ONCE")
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
        self.put(&once_key(&recorded.once), &item, free)
    }
}

impl Store {
    /// The answer first given under this key, if it was given and is not too old.
    pub async fn recorded(&self, once: &Once, now: jiff::Timestamp) -> Result<Option<Recorded>, Fault> {
        let item: Option<OnceItem> = self.get(&once_key(once)).await?;
        let item = item.filter(|item| item.expires_at > now.as_second());
        item.map(|item| {
            let expires_at = jiff::Timestamp::from_second(item.expires_at)
                .map_err(|error| Fault::new("reading an idempotency record", error))?;
            Ok(Recorded {
                once: Once { request_digest: item.request, ..once.clone() },
                status: item.status,
                body: item.body,
                recorded_at: now,
                expires_at,
            })
        })
        .transpose()
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
