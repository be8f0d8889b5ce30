//! Who calls: merchants' keys and their roles.

use std::{collections::HashMap, fmt, sync::Mutex};

use ::http::header;
use jiff::{SignedDuration, Timestamp};
use lambda_http::Request;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    App, Fault,
    http::{Failure, header_text},
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

/// Whoever holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    /// Whose things the call is about.
    pub merchant_id: String,
    /// What the key may do.
    pub role: Role,
}

/// How long a key once read is believed: a revocation takes effect within half a minute.
const BELIEVED: SignedDuration = SignedDuration::from_secs(30);
/// Keys remembered by one process; beyond that the memory starts anew.
const REMEMBERED: usize = 4096;

/// Keys read lately, by their digest.
#[derive(Default)]
pub struct Keys {
    lately: Mutex<HashMap<[u8; 32], (Merchant, Timestamp)>>,
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
        let secret = header_text(request, header::AUTHORIZATION).and_then(bearer).ok_or(Failure::Unauthorised)?;
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let merchant = match self.remembered(&digest, now) {
            Some(merchant) => merchant,
            None => {
                let key = app.store.key(secret).await?.ok_or(Failure::Unauthorised)?;
                let merchant = Merchant { merchant_id: key.merchant_id, role: key.role };
                self.remember(digest, merchant.clone(), now);
                merchant
            }
        };
        if merchant.role < needed {
            return Err(Failure::Forbidden { needed });
        }
        Ok(merchant)
    }

    fn remembered(&self, digest: &[u8; 32], now: Timestamp) -> Option<Merchant> {
        let lately = self.lately.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (merchant, read_at) = lately.get(digest)?;
        let age = now.duration_since(*read_at);
        (SignedDuration::ZERO <= age && age < BELIEVED).then(|| merchant.clone())
    }

    fn remember(&self, digest: [u8; 32], merchant: Merchant, now: Timestamp) {
        let mut lately = self.lately.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if lately.len() >= REMEMBERED {
            lately.clear();
        }
        lately.insert(digest, (merchant, now));
    }
}

/// `Bearer <key>` (RFC 6750, 2.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !key.is_empty()).then_some(key)
}

/// Makes sure that a known secret is a key: the local service keeps its own over restarts.
pub async fn ensure(app: &App, secret: &str, merchant_id: &str, role: Role, now: Timestamp) -> Result<(), Fault> {
    app.store.put_key(secret, merchant_id, role, now).await
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
