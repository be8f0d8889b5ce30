//! Whose a pass type is: the merchant's whom the operator gave it, else theirs who first put a campaign of it.

use jiff::Timestamp;
use passkit::identifiers::PassTypeIdentifier;
use serde::{Deserialize, Serialize};

use super::{
    Key, Store,
    transaction::{Condition, Outcome, Transaction, text},
};
use crate::Fault;

/// A pass type's item, version 1. It is never deleted: passes of the type stay their merchant's.
#[derive(Debug, Serialize, Deserialize)]
struct PassTypeItem {
    v: u8,
    merchant_id: String,
    #[serde(with = "domain::time::text")]
    since: Timestamp,
}

/// Whose a pass type is, for one merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Theirs.
    Theirs,
    /// Nobody's yet.
    Free,
    /// Another merchant's.
    Others,
}

/// How the giving of a pass type ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assigned {
    /// It is theirs, now or since before.
    Done,
    /// It is another merchant's.
    Taken,
}

fn type_key(pass_type: &PassTypeIdentifier) -> Key {
    Key::new(format!("TYPE#{pass_type}"), "TYPE")
}

impl Store {
    /// Whose a pass type is.
    pub async fn holding(&self, merchant_id: &str, pass_type: &PassTypeIdentifier) -> Result<Holding, Fault> {
        let item: Option<PassTypeItem> = self.get(&type_key(pass_type)).await?;
        Ok(match item {
            None => Holding::Free,
            Some(item) if item.merchant_id == merchant_id => Holding::Theirs,
            Some(_) => Holding::Others,
        })
    }

    /// Gives a pass type to a merchant, unless it is another's.
    pub async fn assign_pass_type(
        &self,
        merchant_id: &str,
        pass_type: &PassTypeIdentifier,
        now: Timestamp,
    ) -> Result<Assigned, Fault> {
        let mut transaction = Transaction::default();
        transaction.hold_pass_type(merchant_id, pass_type, Holding::Free, now)?;
        match self.commit(transaction).await? {
            Outcome::Committed => Ok(Assigned::Done),
            Outcome::Refused(_) => Ok(match self.holding(merchant_id, pass_type).await? {
                Holding::Theirs => Assigned::Done,
                Holding::Free | Holding::Others => Assigned::Taken,
            }),
        }
    }
}

impl Transaction {
    /// Adds the condition that a pass type is the merchant's, or makes it theirs if it was read as nobody's.
    pub(super) fn hold_pass_type(
        &mut self,
        merchant_id: &str,
        pass_type: &PassTypeIdentifier,
        read: Holding,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let key = type_key(pass_type);
        match read {
            Holding::Free => {
                let item = PassTypeItem { v: 1, merchant_id: merchant_id.to_owned(), since: now };
                self.put(&key, &item, Condition::absent())
            }
            Holding::Theirs | Holding::Others => {
                self.check(&key, Condition::holds("merchant_id = :theirs").with(":theirs", text(merchant_id)))
            }
        }
    }
}
