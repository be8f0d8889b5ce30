//! Merchants' keys. Only a key's SHA-256 is kept: 256 random bits need no slow hash.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Key, Store,
    transaction::{Condition, Transaction},
};
use crate::{Fault, keys::Role};

/// A key item, version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredKey {
    v: u8,
    /// Whose it is.
    pub merchant_id: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    #[serde(with = "domain::time::text")]
    pub created_at: Timestamp,
}

fn key_of(secret: &str) -> Key {
    Key::new(format!("KEY#{}", hex::encode(Sha256::digest(secret))), "KEY")
}

impl Store {
    /// The key with this secret.
    pub async fn key(&self, secret: &str) -> Result<Option<StoredKey>, Fault> {
        self.get(&key_of(secret)).await
    }

    /// Makes a key, or changes the role of the one with this secret.
    pub async fn put_key(&self, secret: &str, merchant_id: &str, role: Role, now: Timestamp) -> Result<(), Fault> {
        let mut transaction = Transaction::default();
        let stored = StoredKey { v: 1, merchant_id: merchant_id.to_owned(), role, created_at: now };
        transaction.put(&key_of(secret), &stored, Condition::none())?;
        self.commit(transaction).await.map(|_| ())
    }
}
