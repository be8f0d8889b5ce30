//! Who calls: merchants' keys and their roles.

use std::{collections::HashMap, fmt, str::FromStr, sync::Mutex, time::Duration};

use ::http::header;
use jiff::{SignedDuration, Timestamp};
use lambda_http::Request;
use serde::{Deserialize, Serialize};

use crate::{
    App, Fault,
    http::{Failure, header_text},
    store::{Caller, KeyDigest, KeyMade, NewKey},
};

/// What a key may do. A greater role may do what a smaller one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A till: redeem, and look at a pass.
    Redeem,
    /// A shop's back office: issue and change passes besides.
    Issue,
    /// The owner: templates, campaigns and keys besides.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Redeem => "redeem",
            Role::Issue => "issue",
            Role::Admin => "admin",
        })
    }
}

/// Why a text names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be redeem, issue or admin")]
pub struct NoRole;

impl FromStr for Role {
    type Err = NoRole;
    fn from_str(text: &str) -> Result<Role, NoRole> {
        [Role::Redeem, Role::Issue, Role::Admin].into_iter().find(|role| role.to_string() == text).ok_or(NoRole)
    }
}

/// Whoever holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    /// Whose things the call is about.
    pub merchant_id: String,
    /// What the key may do.
    pub role: Role,
    /// Which key it is.
    pub key: KeyDigest,
}

/// How long a key once read is believed: a revocation takes effect within half a minute.
const BELIEVED: SignedDuration = SignedDuration::from_secs(30);
/// Keys remembered by one process; beyond that the memory starts anew.
const REMEMBERED: usize = 4096;
/// A use is noted when the one noted last is older: one write for each key and hour, two when processes meet.
const NOTED_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// How long a till waits for the noting of its key's use, at most.
const NOTING: Duration = Duration::from_millis(500);

/// Keys read lately.
#[derive(Default)]
pub struct Keys {
    lately: Mutex<HashMap<KeyDigest, (Merchant, Timestamp)>>,
}

impl Keys {
    /// Whoever sent the request, if their key's role reaches `needed`.
    pub async fn authorise(
        &self,
        app: &App,
        request: &Request,
        needed: Role,
        now: Timestamp,
    ) -> Result<Merchant, Failure> {
        let secret = secret(request)?;
        let digest = KeyDigest::of(secret);
        let merchant = match self.remembered(digest, now) {
            Some(merchant) => merchant,
            None => {
                let merchant = looked_up(app, secret, now).await?;
                self.remember(merchant.clone(), now);
                merchant
            }
        };
        merchant.reaching(needed)
    }

    /// The same without the memory, for doors that make and revoke keys: one that was just revoked must not make another.
    /// The store looks again when it writes ([`Caller::Merchant`]).
    pub async fn authorise_anew(
        &self,
        app: &App,
        request: &Request,
        needed: Role,
        now: Timestamp,
    ) -> Result<Merchant, Failure> {
        looked_up(app, secret(request)?, now).await?.reaching(needed)
    }

    fn remembered(&self, digest: KeyDigest, now: Timestamp) -> Option<Merchant> {
        let lately = self.lately.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (merchant, read_at) = lately.get(&digest)?;
        let age = now.duration_since(*read_at);
        (SignedDuration::ZERO <= age && age < BELIEVED).then(|| merchant.clone())
    }

    fn remember(&self, merchant: Merchant, now: Timestamp) {
        let mut lately = self.lately.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if lately.len() >= REMEMBERED {
            lately.clear();
        }
        lately.insert(merchant.key, (merchant, now));
    }
}

impl Merchant {
    fn reaching(self, needed: Role) -> Result<Merchant, Failure> {
        if self.role < needed { Err(Failure::Forbidden { needed }) } else { Ok(self) }
    }
}

/// Whose key this is, as the store says now. Its use is noted once an hour; whether that succeeds is nobody's trouble.
async fn looked_up(app: &App, secret: &str, now: Timestamp) -> Result<Merchant, Failure> {
    let key = app.store.key(secret).await?.filter(|key| key.revoked_at.is_none()).ok_or(Failure::Unauthorised)?;
    if key.used_at.is_none_or(|used_at| now.duration_since(used_at) >= NOTED_EVERY) {
        match tokio::time::timeout(NOTING, app.store.note_use(secret, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::warn!(fault = fault.chain(), "the use of a key was not noted"),
            Err(_) => tracing::warn!("the use of a key was not noted in time"),
        }
    }
    Ok(Merchant { merchant_id: key.merchant_id, role: key.role, key: KeyDigest::of(secret) })
}

fn secret(request: &Request) -> Result<&str, Failure> {
    header_text(request, header::AUTHORIZATION).and_then(bearer).ok_or(Failure::Unauthorised)
}

/// `Bearer <key>` (RFC 6750, 2.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !key.is_empty()).then_some(key)
}

/// Whether a known secret is a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// It is.
    Good,
    /// It was, and was revoked: it never is again.
    Revoked,
}

/// Makes sure that a known secret is a key: the local service keeps its own over restarts.
pub async fn ensure(app: &App, new: NewKey<'_>, now: Timestamp) -> Result<Ensured, Fault> {
    match app.store.make_key(new, Caller::Operator, None, now).await? {
        KeyMade::Done => Ok(Ensured::Good),
        KeyMade::SecretTaken => {
            let key = app.store.key(new.secret).await?;
            let good = key.is_some_and(|key| key.revoked_at.is_none());
            Ok(if good { Ensured::Good } else { Ensured::Revoked })
        }
        KeyMade::TooMany | KeyMade::Busy | KeyMade::AnsweredBefore | KeyMade::CallerRevoked => {
            Err(Fault::contradiction("the list of the merchant's keys is full or busy"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_keys_are_read() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn roles_include_the_smaller_ones() {
        assert!(Role::Redeem < Role::Issue && Role::Issue < Role::Admin);
    }
}
