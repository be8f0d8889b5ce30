//! Merchants' keys. Only a key's SHA-256 is kept: 256 random bits need no slow hash.
//!
//! A key is three items. The one named by the digest of its secret is what counts when a request comes; it stays, marked,
//! when the key is revoked, so that no secret is ever a key again. The one in its merchant's list is what they see. When
//! it was last used is an item of its own: every door may write that one, and none of the others.
//!
//! A list has a head that every making and revoking raises: "not the last admin key" and "at most so many" are decided on
//! a list that is still the one read. So is "the key of whoever makes or revokes this one counts": on what a door knew of
//! it before, nothing is decided.

use std::{collections::HashMap, fmt};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    ATTEMPTS, Key, Store, fault, read,
    transaction::{Condition, Outcome, Transaction, number, text},
};
use crate::{Fault, idempotency::Recorded, keys::Role};

/// Keys of one merchant, those revoked in the last 30 days among them. Each is a quarter of a kilobyte, so a list is one
/// page of DynamoDB's (1 MB).
pub const MAXIMUM_KEYS: usize = 500;
/// How long a revoked key stays in the list.
const TOLD_AFTER_REVOCATION: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a last use is remembered.
const USE_REMEMBERED: SignedDuration = SignedDuration::from_hours(400 * 24);

/// A key item, version 2. Version 1 had no id and was in no list.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeyItem {
    v: u8,
    #[serde(default)]
    key_id: Option<String>,
    merchant_id: String,
    role: Role,
    #[serde(with = "domain::time::text")]
    created_at: Timestamp,
    #[serde(default, with = "domain::time::optional_text", skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

/// An entry of a merchant's list, version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ListedItem {
    v: u8,
    key_id: String,
    role: Role,
    name: Option<String>,
    /// Hexadecimal SHA-256 of the secret.
    digest: String,
    #[serde(with = "domain::time::text")]
    created_at: Timestamp,
    #[serde(default, with = "domain::time::optional_text", skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    /// Seconds since 1970, of a revoked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// The head of a merchant's list, version 1.
#[derive(Debug, Serialize, Deserialize)]
struct HeadItem {
    v: u8,
    generation: u64,
}

/// The last use of a key, version 1.
#[derive(Debug, Deserialize)]
struct UseItem {
    #[serde(with = "domain::time::text")]
    used_at: Timestamp,
}

/// A key as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Whose it is.
    pub merchant_id: String,
    /// What it may do.
    pub role: Role,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to within an hour or so.
    pub used_at: Option<Timestamp>,
}

/// A key in its merchant's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Its name for good.
    pub key_id: String,
    /// What it may do.
    pub role: Role,
    /// What the merchant calls it.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to within an hour or so.
    pub used_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// Which key it is: the SHA-256 of its secret. No secret itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Of the key with this secret.
    pub fn of(secret: &str) -> KeyDigest {
        KeyDigest(Sha256::digest(secret).into())
    }
}

/// Hexadecimal, as in the table.
impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A key to be made.
#[derive(Clone, Copy)]
pub struct NewKey<'a> {
    /// Its name for good.
    pub key_id: &'a str,
    /// What its holder sends. Not kept.
    pub secret: &'a str,
    /// Whose it is.
    pub merchant_id: &'a str,
    /// What it may do.
    pub role: Role,
    /// What the merchant calls it.
    pub name: Option<&'a str>,
}

/// How the making of a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMade {
    /// It is a key; one of version 1 is in the list now.
    Done,
    /// This secret is a key already, or was one.
    SecretTaken,
    /// The merchant has [`MAXIMUM_KEYS`].
    TooMany,
    /// The idempotency key was used meanwhile.
    AnsweredBefore,
    /// The caller's own key counts no more; nothing was done.
    CallerRevoked,
    /// Others changed the list each time; nothing was done.
    Busy,
}

/// Who makes or revokes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Its merchant, with this key of theirs. They would lock themselves out by revoking the last admin key.
    Merchant(KeyDigest),
    /// Whoever runs the service, and can make another.
    Operator,
}

/// How the revoking of a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRevoked {
    /// It counts no more, now or since before.
    Done,
    /// The merchant has no such key.
    Unknown,
    /// It is the merchant's last admin key.
    LastAdmin,
    /// The caller's own key counts no more; nothing was done.
    CallerRevoked,
    /// Others changed the list each time; nothing was done.
    Busy,
}

/// A merchant's list as it was read.
struct Roster {
    generation: u64,
    keys: Vec<ListedItem>,
}

/// What a list tells of the caller's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It counts while the list is the one read; the operator needs none.
    Counts,
    /// It was revoked.
    Revoked,
    /// It is of version 1: its own item tells.
    Unlisted(KeyDigest),
}

impl Roster {
    fn standing(&self, caller: Caller) -> Standing {
        let Caller::Merchant(digest) = caller else { return Standing::Counts };
        let listed = digest.to_string();
        match self.keys.iter().find(|key| key.digest == listed) {
            Some(key) if key.revoked_at.is_some() => Standing::Revoked,
            Some(_) => Standing::Counts,
            None => Standing::Unlisted(digest),
        }
    }
}

fn key_of(digest: &str) -> Key {
    Key::new(format!("KEY#{digest}"), "KEY")
}

fn use_of(digest: &str) -> Key {
    Key::new(format!("USED#{digest}"), "USED")
}

fn roster_partition(merchant_id: &str) -> String {
    format!("KEYS#{merchant_id}")
}

fn listed_key(merchant_id: &str, key_id: &str) -> Key {
    Key::new(roster_partition(merchant_id), format!("LISTED#{key_id}"))
}

fn head_key(merchant_id: &str) -> Key {
    Key::new(roster_partition(merchant_id), "HEAD")
}

impl Store {
    /// The key with this secret, revoked or not, with its last use: one round trip.
    pub async fn key(&self, secret: &str) -> Result<Option<StoredKey>, Fault> {
        let digest = KeyDigest::of(secret).to_string();
        let (key, used) = (key_of(&digest), use_of(&digest));
        let mut found = self.get_many(&[key.clone(), used.clone()]).await?;
        let Some(item) = found.remove(&key) else { return Ok(None) };
        let KeyItem { merchant_id, role, revoked_at, .. } = read(item)?;
        let used: Option<UseItem> = found.remove(&used).map(read).transpose()?;
        Ok(Some(StoredKey { merchant_id, role, revoked_at, used_at: used.map(|used| used.used_at) }))
    }

    /// Notes that the key with this secret was used.
    pub async fn note_use(&self, secret: &str, now: Timestamp) -> Result<(), Fault> {
        let request = self
            .client()
            .update_item()
            .table_name(&self.table)
            .set_key(Some(use_of(&KeyDigest::of(secret).to_string()).to_item()))
            .update_expression("SET v = :v, used_at = :now, expires_at = :end")
            .expression_attribute_values(":v", number(1))
            .expression_attribute_values(":now", text(domain::time::to_text(now)))
            .expression_attribute_values(":end", number((now + USE_REMEMBERED).as_second()));
        request.send().await.map_err(|error| fault("noting the use of a key", error)).map(|_| ())
    }

    /// A merchant's keys, oldest first; those revoked more than 30 days ago are gone.
    pub async fn keys(&self, merchant_id: &str, now: Timestamp) -> Result<Vec<ListedKey>, Fault> {
        let listed = self.roster(merchant_id, now).await?.keys;
        let places: Vec<Key> = listed.iter().map(|key| use_of(&key.digest)).collect();
        let mut used: HashMap<_, _> = self.get_many(&places).await?;
        let mut keys = Vec::with_capacity(listed.len());
        for (key, place) in listed.into_iter().zip(places) {
            let used: Option<UseItem> = used.remove(&place).map(read).transpose()?;
            keys.push(ListedKey {
                key_id: key.key_id,
                role: key.role,
                name: key.name,
                created_at: key.created_at,
                used_at: used.map(|used| used.used_at),
                revoked_at: key.revoked_at,
            });
        }
        Ok(keys)
    }

    /// Makes a key, or takes one of version 1 into the list.
    pub async fn make_key(
        &self,
        new: NewKey<'_>,
        by: Caller,
        recorded: Option<&Recorded>,
        now: Timestamp,
    ) -> Result<KeyMade, Fault> {
        let digest = KeyDigest::of(new.secret).to_string();
        for _ in 0..ATTEMPTS {
            let roster = self.roster(new.merchant_id, now).await?;
            let standing = roster.standing(by);
            if standing == Standing::Revoked {
                return Ok(KeyMade::CallerRevoked);
            }
            if roster.keys.iter().any(|key| key.digest == digest) {
                return Ok(KeyMade::SecretTaken);
            }
            if roster.keys.len() >= MAXIMUM_KEYS {
                return Ok(KeyMade::TooMany);
            }
            let mut transaction = Transaction::default();
            transaction.put_head(new.merchant_id, &roster)?;
            let place_of_caller = transaction.check_standing(standing)?;
            let key = KeyItem {
                v: 2,
                key_id: Some(new.key_id.to_owned()),
                merchant_id: new.merchant_id.to_owned(),
                role: new.role,
                created_at: now,
                revoked_at: None,
            };
            let free = Condition::holds("attribute_not_exists(pk) OR v = :old").with(":old", number(1));
            let place_of_key = transaction.len();
            transaction.put(&key_of(&digest), &key, free)?;
            let listed = ListedItem {
                v: 1,
                key_id: new.key_id.to_owned(),
                role: new.role,
                name: new.name.map(str::to_owned),
                digest: digest.clone(),
                created_at: now,
                revoked_at: None,
                expires_at: None,
            };
            transaction.put(&listed_key(new.merchant_id, new.key_id), &listed, Condition::absent())?;
            let place_of_answer = transaction.len();
            if let Some(recorded) = recorded {
                transaction.put_recorded(recorded)?;
            }
            match self.commit(transaction).await? {
                Outcome::Committed => return Ok(KeyMade::Done),
                Outcome::Refused(places) if place_of_caller.is_some_and(|place| places.contains(&place)) => {
                    return Ok(KeyMade::CallerRevoked);
                }
                Outcome::Refused(places) if places.contains(&place_of_answer) => return Ok(KeyMade::AnsweredBefore),
                Outcome::Refused(places) if places.contains(&place_of_key) => return Ok(KeyMade::SecretTaken),
                Outcome::Refused(_) => {}
            }
        }
        Ok(KeyMade::Busy)
    }

    /// Revokes a key of a merchant; again: it stays revoked since the first time.
    pub async fn revoke_key(
        &self,
        merchant_id: &str,
        key_id: &str,
        by: Caller,
        now: Timestamp,
    ) -> Result<KeyRevoked, Fault> {
        for _ in 0..ATTEMPTS {
            let roster = self.roster(merchant_id, now).await?;
            let standing = roster.standing(by);
            if standing == Standing::Revoked {
                return Ok(KeyRevoked::CallerRevoked);
            }
            let Some(key) = roster.keys.iter().find(|key| key.key_id == key_id) else {
                return Ok(KeyRevoked::Unknown);
            };
            if key.revoked_at.is_some() {
                return Ok(KeyRevoked::Done);
            }
            let counts = |other: &&ListedItem| other.role == Role::Admin && other.revoked_at.is_none();
            let others = roster.keys.iter().filter(counts).filter(|other| other.key_id != key_id).count();
            if key.role == Role::Admin && others == 0 && by != Caller::Operator {
                return Ok(KeyRevoked::LastAdmin);
            }
            let mut transaction = Transaction::default();
            transaction.put_head(merchant_id, &roster)?;
            let place_of_caller = transaction.check_standing(standing)?;
            let there = Condition::holds("attribute_exists(pk)").with(":now", text(domain::time::to_text(now)));
            transaction.update(&key_of(&key.digest), "SET revoked_at = :now", there)?;
            let revoked = ListedItem {
                revoked_at: Some(now),
                expires_at: Some((now + TOLD_AFTER_REVOCATION).as_second()),
                ..key.clone()
            };
            transaction.put(&listed_key(merchant_id, key_id), &revoked, Condition::none())?;
            match self.commit(transaction).await? {
                Outcome::Committed => return Ok(KeyRevoked::Done),
                Outcome::Refused(places) if place_of_caller.is_some_and(|place| places.contains(&place)) => {
                    return Ok(KeyRevoked::CallerRevoked);
                }
                Outcome::Refused(_) => {}
            }
        }
        Ok(KeyRevoked::Busy)
    }

    /// The head first: what is decided on a list older than its head would count, on a newer one it is decided anew.
    async fn roster(&self, merchant_id: &str, now: Timestamp) -> Result<Roster, Fault> {
        let head: Option<HeadItem> = self.get(&head_key(merchant_id)).await?;
        let mut keys: Vec<ListedItem> = self.all(&roster_partition(merchant_id), "LISTED#").await?;
        keys.retain(|key| key.expires_at.is_none_or(|end| end > now.as_second()));
        keys.sort_by(|one, other| (one.created_at, &one.key_id).cmp(&(other.created_at, &other.key_id)));
        Ok(Roster { generation: head.map_or(0, |head| head.generation), keys })
    }
}

impl Transaction {
    fn put_head(&mut self, merchant_id: &str, read: &Roster) -> Result<(), Fault> {
        let unchanged = match read.generation {
            0 => Condition::absent(),
            generation => Condition::holds("generation = :read").with(":read", number(generation)),
        };
        self.put(&head_key(merchant_id), &HeadItem { v: 1, generation: read.generation + 1 }, unchanged)
    }

    /// That the caller's key counts, where the list does not tell; gives the place of the condition.
    fn check_standing(&mut self, standing: Standing) -> Result<Option<usize>, Fault> {
        match standing {
            Standing::Counts | Standing::Revoked => Ok(None),
            Standing::Unlisted(digest) => {
                let place = self.len();
                let counts = Condition::holds("attribute_exists(pk) AND attribute_not_exists(revoked_at)");
                self.check(&key_of(&digest.to_string()), counts)?;
                Ok(Some(place))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_of_version_1_is_read() {
        let item = json!({ "v": 1, "merchant_id": "shop", "role": "admin", "created_at": "2026-01-01T00:00:00.000Z" });
        let key: KeyItem = serde_json::from_value(item).unwrap();
        assert_eq!((key.merchant_id.as_str(), key.role, key.key_id, key.revoked_at), ("shop", Role::Admin, None, None));
    }
}
