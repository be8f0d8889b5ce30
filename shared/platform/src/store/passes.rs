//! Passes: issuing them, finding them, and writing their next version with everything that belongs to it.

use domain::{Pass, Redemption};
use jiff::{SignedDuration, Timestamp};
use passkit::{identifiers::PassIdentity, secrets::Barcode, update_tag::EffectiveVersion};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ATTEMPTS, Intent, IntentKey, Key, Page, Store,
    campaigns::StoredCampaign,
    intents::IntentItem,
    items::{self, BarcodeItem, PassItem},
    read,
    tallies::Happened,
    transaction::{Condition, Outcome, Transaction, number},
};
use crate::{Fault, idempotency::Recorded, random};

/// A pass as read, with what a later write compares.
#[derive(Debug, Clone)]
pub struct StoredPass {
    /// The pass.
    pub pass: Pass,
    pub(super) generation: u64,
}

/// A barcode that a till scanned.
#[derive(Debug)]
pub struct FoundBarcode {
    /// The pass it belongs to.
    pub identity: PassIdentity,
    /// The redemption that used it up.
    pub used: Option<Redemption>,
}

/// What happened to a pass, for its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// Made.
    Issued,
    /// Somebody downloaded it by its link, the first for what it shows.
    Downloaded,
    /// A device registered.
    Registered,
    /// A device left, or APNs said it is gone.
    Unregistered,
    /// Redeemed.
    Redeemed,
    /// A redemption was taken back.
    Reversed,
    /// The next offer came.
    Offer,
    /// Holder data changed.
    Updated,
    /// Voided.
    Voided,
    /// Devices were told to ask.
    Pushed,
    /// A phone asked what changed and was told this pass, the first for what it shows.
    Asked,
    /// A phone fetched this version, the first to do so.
    Fetched,
    /// The customer enrolled.
    Personalized,
    /// A phone that carries the pass reported trouble, and this is why.
    Diagnosed,
    /// The link was replaced by a fresh one.
    LinkRenewed,
    /// The link was revoked.
    LinkRevoked,
}

/// One event of a pass's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// When.
    #[serde(with = "domain::time::text")]
    pub at: Timestamp,
    /// What.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The version of the pass after it.
    pub version: u64,
    /// More about it, without secrets.
    #[serde(flatten)]
    pub detail: serde_json::Map<String, Value>,
}

/// An event item, version 1; the event is JSON text for the same reason as holder data.
#[derive(Serialize, Deserialize)]
struct EventItem {
    v: u8,
    event: String,
}

/// How an issuing ended.
#[derive(Debug)]
pub enum Issued {
    /// The pass is there.
    New,
    /// A pass with this serial number was there before.
    SerialNumberTaken,
    /// The idempotency key was used meanwhile.
    AnsweredBefore,
}

/// How the writing of a next version ended.
#[derive(Debug)]
pub enum Written {
    /// It is written.
    Done,
    /// Somebody else changed the pass meanwhile: read and decide anew.
    Changed,
    /// The idempotency key was used meanwhile.
    AnsweredBefore,
}

/// What is written together with a pass's next state, all or nothing.
#[derive(Default)]
pub struct Change<'a> {
    /// For the history.
    pub event: Option<Event>,
    /// The redemption that used up the present barcode.
    pub barcode_used: Option<&'a Redemption>,
    /// The intent that this change carries out.
    pub done: Option<&'a IntentKey>,
    /// The steps that must follow.
    pub then: &'a [Intent],
    /// The answer, for whoever repeats the request.
    pub recorded: Option<&'a Recorded>,
}

impl Event {
    /// An event without detail.
    pub fn new(kind: EventKind, at: Timestamp, version: u64) -> Event {
        Event { at, kind, version, detail: serde_json::Map::new() }
    }

    /// Adds a detail.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Event {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}

/// The place in a history before whatever happened at this time.
pub fn history_from(at: Timestamp) -> String {
    format!("EVENT#{:013}", at.as_millisecond())
}

impl Transaction {
    pub(super) fn put_event(&mut self, identity: &PassIdentity, event: &Event) -> Result<(), Fault> {
        let text = serde_json::to_string(event).map_err(|error| Fault::new("writing an event", error))?;
        // Thirteen digits of milliseconds keep the order of time until the year 2286; what falls into one is told in the
        // order of versions, and of one version, first what made it.
        let rank = match event.kind {
            EventKind::Issued
            | EventKind::Redeemed
            | EventKind::Reversed
            | EventKind::Offer
            | EventKind::Updated
            | EventKind::Personalized
            | EventKind::Voided => 0,
            EventKind::Downloaded => 1,
            EventKind::Registered => 2,
            EventKind::Pushed => 3,
            EventKind::Asked => 4,
            EventKind::Fetched => 5,
            EventKind::Unregistered | EventKind::LinkRenewed | EventKind::LinkRevoked | EventKind::Diagnosed => 6,
        };
        let (at, version) = (event.at.as_millisecond(), event.version);
        let sort = format!("EVENT#{at:013}#{version:010}#{rank}#{}", random::id()?);
        let key = Key::new(items::pass_partition(identity), sort);
        self.put(&key, &EventItem { v: 1, event: text }, Condition::none())
    }

    /// Adds the writing of a pass, on the condition that it is still the one read.
    pub(super) fn put_pass(&mut self, before: &StoredPass, after: &Pass) -> Result<(), Fault> {
        let unchanged = Condition::holds("generation = :read").with(":read", number(before.generation));
        self.put(&items::pass_key(&after.identity), &PassItem::new(after, before.generation + 1), unchanged)
    }

    pub(super) fn put_intents(&mut self, intents: &[Intent]) -> Result<(), Fault> {
        for intent in intents {
            self.put(&intent.key.to_key(), &IntentItem::new(intent)?, Condition::none())?;
        }
        Ok(())
    }

    /// Adds what became of a pass, with everything that belongs to it; the recorded answer comes first.
    pub(super) fn put_change(&mut self, before: &StoredPass, after: &Pass, change: &Change<'_>) -> Result<(), Fault> {
        if let Some(recorded) = change.recorded {
            self.put_recorded(recorded)?;
        }
        self.put_pass(before, after)?;
        if change.barcode_used.is_some() {
            self.put_barcode(&before.pass, change.barcode_used)?;
        }
        if after.barcode != before.pass.barcode {
            self.put_barcode(after, None)?;
        }
        self.replace_link(&before.pass, after)?;
        if let Some(event) = &change.event {
            self.put_event(&after.identity, event)?;
        }
        if let Some(done) = change.done {
            self.delete(&done.to_key(), Condition::none())?;
        }
        self.put_intents(change.then)
    }

    fn put_barcode(&mut self, pass: &Pass, used: Option<&Redemption>) -> Result<(), Fault> {
        let PassIdentity { pass_type_identifier, serial_number } = pass.identity.clone();
        let item = BarcodeItem { v: 1, pass_type: pass_type_identifier, serial: serial_number, used: used.cloned() };
        self.put(&items::barcode_key(&pass.merchant_id, &pass.barcode), &item, Condition::none())
    }
}

impl Store {
    /// A pass.
    pub async fn pass(&self, identity: &PassIdentity) -> Result<Option<StoredPass>, Fault> {
        let item: Option<PassItem> = self.get(&items::pass_key(identity)).await?;
        item.map(StoredPass::from_item).transpose()
    }

    /// A pass with the campaign it belongs to.
    pub async fn pass_and_campaign(
        &self,
        identity: &PassIdentity,
    ) -> Result<Option<(StoredPass, StoredCampaign)>, Fault> {
        let mut found = self.with_campaign(identity, &[]).await?;
        let Some(pass) = found.take(&items::pass_key(identity))? else { return Ok(None) };
        Ok(Some((StoredPass::from_item(pass)?, found.campaign()?)))
    }

    /// The pass a barcode belongs to, among this merchant's.
    pub async fn find_barcode(&self, merchant_id: &str, barcode: &Barcode) -> Result<Option<FoundBarcode>, Fault> {
        let item: Option<BarcodeItem> = self.get(&items::barcode_key(merchant_id, barcode)).await?;
        Ok(item.map(|BarcodeItem { pass_type, serial, used, .. }| FoundBarcode {
            identity: PassIdentity { pass_type_identifier: pass_type, serial_number: serial },
            used,
        }))
    }

    /// Makes a pass, with its link, its barcode and its place among its campaign's passes.
    pub async fn issue(&self, pass: &Pass, recorded: Option<&Recorded>) -> Result<Issued, Fault> {
        let mut transaction = Transaction::default();
        if let Some(recorded) = recorded {
            transaction.put_recorded(recorded)?;
        }
        let place_of_pass = transaction.len();
        transaction.put(&items::pass_key(&pass.identity), &PassItem::new(pass, 1), Condition::absent())?;
        transaction.put_barcode(pass, None)?;
        if let Some(link) = &pass.link {
            transaction.put_link(&pass.identity, link)?;
        }
        let member = items::member_key(&pass.merchant_id, &pass.campaign_id, &pass.identity);
        transaction.put(&member, &serde_json::json!({ "v": 1 }), Condition::none())?;
        transaction.put_event(&pass.identity, &Event::new(EventKind::Issued, pass.created_at, pass.version))?;
        transaction.tally(&pass.merchant_id, &pass.campaign_id, Happened::Issued)?;
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => Issued::New,
            Outcome::Refused(places) if places == [place_of_pass] => Issued::SerialNumberTaken,
            Outcome::Refused(_) => Issued::AnsweredBefore,
        })
    }

    /// Writes what became of a pass, on the condition that it is still the pass that was read.
    pub async fn change(&self, before: &StoredPass, after: &Pass, change: Change<'_>) -> Result<Written, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_change(before, after, &change)?;
        self.commit_change(transaction, &change).await
    }

    /// Commits a transaction that begins with this change.
    pub(super) async fn commit_change(&self, transaction: Transaction, change: &Change<'_>) -> Result<Written, Fault> {
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => Written::Done,
            Outcome::Refused(places) if change.recorded.is_some() && places.contains(&0) => Written::AnsweredBefore,
            Outcome::Refused(_) => Written::Changed,
        })
    }

    /// Notes that a phone fetched this effective version, `waited` after it was made, the first time one does. Everyone
    /// after the first costs nothing: the pass as read says so already.
    pub async fn note_fetched(
        &self,
        before: &StoredPass,
        fetched: EffectiveVersion,
        waited: Option<SignedDuration>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let mut before = before.clone();
        for _ in 0..ATTEMPTS {
            if before.pass.fetched.is_some_and(|earlier| earlier >= fetched) {
                return Ok(());
            }
            let pass = Pass { fetched: Some(fetched), ..before.pass.clone() };
            let mut transaction = Transaction::default();
            transaction.put_pass(&before, &pass)?;
            transaction.put_event(&pass.identity, &Event::new(EventKind::Fetched, now, pass.version))?;
            if let Some(waited) = waited {
                transaction.tally_fetched(&pass.merchant_id, &pass.campaign_id, waited)?;
            }
            if let Outcome::Committed = self.commit(transaction).await? {
                return Ok(());
            }
            // Somebody changed the pass meanwhile. If it shows something newer, that waits to be fetched, and this note is
            // worth nothing. If it looks as before, it would be listed and pushed again to phones that have it.
            match self.pass_and_campaign(&pass.identity).await? {
                Some((stored, _)) if stored.pass.shown == fetched.version => before = stored,
                Some(_) | None => return Ok(()),
            }
        }
        Ok(())
    }

    /// A pass's history in the order of time, from `after` on (a place this method returned).
    pub async fn history(
        &self,
        identity: &PassIdentity,
        after: Option<&str>,
    ) -> Result<(Vec<Event>, Option<String>), Fault> {
        let partition = items::pass_partition(identity);
        let page = Page { partition: &partition, prefix: "EVENT#", after, limit: 500 };
        let (found, next) = self.page(page).await?;
        let mut events = Vec::with_capacity(found.len());
        for item in found {
            let item: EventItem = read(item)?;
            events.push(serde_json::from_str(&item.event).map_err(|error| Fault::new("reading an event", error))?);
        }
        Ok((events, next))
    }
}

impl StoredPass {
    pub(super) fn from_item(item: PassItem) -> Result<StoredPass, Fault> {
        let generation = item.generation;
        Ok(StoredPass { pass: item.into_pass()?, generation })
    }
}
