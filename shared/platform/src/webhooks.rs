//! Webhooks: a merchant's own server is told what happens to their passes (standardwebhooks.com;
//! `docs/decisions/0018`).
//!
//! Whatever changes a pass and writes an event writes, in the same transaction, an intent to tell it ([`news`]), if its
//! merchant has webhooks. [`telling`] carries it out from the pass's history, in its order, for each webhook by itself.

pub mod signature;
pub mod telling;
pub mod view;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::Pass;
use jiff::{SignedDuration, Timestamp};
use passkit::identifiers::PassIdentity;

use crate::{
    App, Fault,
    store::{EventKind, Intent, Step},
};

/// How long it is believed that a merchant has, or has no, webhooks.
const BELIEVED: SignedDuration = SignedDuration::from_secs(30);
/// From the putting of a webhook until events are told. Longer than anybody believes that there is none, so that of what
/// happens from then on nothing is missed.
pub const ACTIVE_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// Merchants, and slow servers, remembered by one process; beyond that the memory starts anew.
const REMEMBERED: usize = 4096;

/// The types of events that are told, as the wire names them.
pub const EVENT_TYPES: [&str; 10] = [
    "pass.issued",
    "pass.installed",
    "pass.removed",
    "pass.redeemed",
    "pass.reversed",
    "pass.offer",
    "pass.updated",
    "pass.voided",
    "pass.erased",
    "pass.delivered",
];

/// What an event is told as; `None`: it is not told.
pub fn event_type(kind: EventKind) -> Option<&'static str> {
    Some(match kind {
        EventKind::Issued => "pass.issued",
        EventKind::Registered => "pass.installed",
        EventKind::Unregistered => "pass.removed",
        EventKind::Redeemed => "pass.redeemed",
        EventKind::Reversed => "pass.reversed",
        EventKind::Offer => "pass.offer",
        EventKind::Updated | EventKind::Personalized => "pass.updated",
        EventKind::Voided => "pass.voided",
        EventKind::Erased => "pass.erased",
        EventKind::Fetched => "pass.delivered",
        EventKind::Downloaded
        | EventKind::Pushed
        | EventKind::Asked
        | EventKind::Diagnosed
        | EventKind::LinkRenewed
        | EventKind::LinkRevoked => return None,
    })
}

/// Characters of a webhook's name.
pub const NAME_LIMIT: usize = 64;

/// Whether a webhook can have this name.
pub fn is_name(name: &str) -> bool {
    let in_a_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(in_a_name)
}

/// What one process remembers of webhooks.
#[derive(Default)]
pub struct Webhooks {
    /// Whether a merchant has any, and when that was read.
    lately: Mutex<HashMap<String, (bool, Timestamp)>>,
    /// Servers that let us wait in vain, by merchant and webhook, and until when they are left alone.
    quiet: Mutex<HashMap<(String, String), Timestamp>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Webhooks {
    fn believed(&self, merchant_id: &str, now: Timestamp) -> Option<bool> {
        let (has, read_at) = *lock(&self.lately).get(merchant_id)?;
        let age = now.duration_since(read_at);
        (SignedDuration::ZERO <= age && age < BELIEVED).then_some(has)
    }

    fn believe(&self, merchant_id: &str, has: bool, now: Timestamp) {
        let mut lately = lock(&self.lately);
        if lately.len() >= REMEMBERED {
            lately.clear();
        }
        lately.insert(merchant_id.to_owned(), (has, now));
    }

    fn quiet_until(&self, merchant_id: &str, webhook_id: &str) -> Option<Timestamp> {
        lock(&self.quiet).get(&(merchant_id.to_owned(), webhook_id.to_owned())).copied()
    }

    fn be_quiet(&self, merchant_id: &str, webhook_id: &str, until: Timestamp) {
        let mut quiet = lock(&self.quiet);
        if quiet.len() >= REMEMBERED {
            quiet.clear();
        }
        quiet.insert((merchant_id.to_owned(), webhook_id.to_owned()), until);
    }
}

/// The intent to tell what happens to a pass now; to be written with the event. `None`: nobody wants to know.
pub async fn news(app: &App, pass: &Pass, now: Timestamp) -> Result<Option<Intent>, Fault> {
    let merchant_id = &pass.merchant_id;
    let has = match app.webhooks.believed(merchant_id, now) {
        Some(has) => has,
        None => {
            let has = app.store.has_webhooks(merchant_id).await?;
            app.webhooks.believe(merchant_id, has, now);
            has
        }
    };
    if !has {
        return Ok(None);
    }
    let (merchant_id, identity): (String, PassIdentity) = (merchant_id.clone(), pass.identity.clone());
    Intent::new(now, Step::Webhooks { merchant_id, identity }, now).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missed_while_somebody_believes_that_there_is_no_webhook() {
        assert!(ACTIVE_AFTER > BELIEVED);
    }

    #[test]
    fn what_was_read_is_believed_for_half_a_minute() {
        let webhooks = Webhooks::default();
        let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(webhooks.believed("m", noon), None);
        webhooks.believe("m", true, noon);
        assert_eq!(webhooks.believed("m", noon + SignedDuration::from_secs(29)), Some(true));
        assert_eq!(webhooks.believed("m", noon + SignedDuration::from_secs(30)), None);
        assert_eq!(webhooks.believed("other", noon), None);
    }
}
