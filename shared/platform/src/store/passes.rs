//! Passes: issuing them, finding them, and writing their next version with everything that belongs to it.

use domain::{Pass, Redemption};
use jiff::{SignedDuration, Timestamp};
use passkit::{identifiers::PassIdentity, secrets::AuthenticationToken, update_tag::EffectiveVersion};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Intent, IntentKey, Item, Key, Knows, Lane, Page, Store,
    batches::stop_key,
    campaigns::StoredCampaign,
    intents::IntentItem,
    items::{self, BarcodeItem, PassItem},
    read,
    transaction::{Condition, Outcome, Transaction, number},
};
use crate::{Fault, idempotency::Recorded, issuing::Origin, random};

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
    /// Its erasure began.
    Erased,
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

/// Passes that one transaction makes: six actions for each as a rule, nine at most; one for each campaign that counts them, and
/// one for the lane. Where that is more than [`ACTIONS`], it makes fewer.
pub const ISSUED_AT_ONCE: usize = 10;
/// Actions of one transaction (DynamoDB, TransactWriteItems).
const ACTIONS: usize = 100;
/// Actions that make one pass, at most, with one that counts it.
const ACTIONS_OF_ISSUE: usize = 10;

/// How an issuing ended.
#[derive(Debug)]
pub enum Issued {
    /// The pass is there.
    New,
    /// A pass with this serial number was there before.
    SerialNumberTaken,
    /// Another pass has or had this barcode, which came from elsewhere.
    BarcodeTaken,
    /// The idempotency key was used meanwhile.
    AnsweredBefore,
}

/// A pass to be made.
pub struct NewIssue<'a> {
    /// The pass.
    pub pass: &'a Pass,
    /// Whether its barcode is known to be nobody's, since we made it.
    pub origin: Origin,
    /// The steps that must follow, three at most.
    pub then: &'a [Intent],
    /// Whose work it was, for whoever must know whether the pass was made by them: names the event in its history.
    pub mark: Option<&'a str>,
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

/// When the event with this key happened, in milliseconds since 1970.
pub(super) fn history_moment(key: &str) -> Option<i64> {
    key.strip_prefix("EVENT#")?.get(..13)?.parse().ok()
}

/// The first event of a pass's history.
fn issued_event(pass: &Pass, origin: Origin) -> Event {
    let event = Event::new(EventKind::Issued, pass.created_at, pass.version);
    match origin {
        Origin::Here => event,
        Origin::Elsewhere => event.with("imported", true),
    }
}

/// Where an event is kept.
fn event_key(identity: &PassIdentity, event: &Event, id: &str) -> Key {
    // Thirteen digits of milliseconds keep the order of time until the year 2286; what falls into one is told in the
    // order of versions, and of one version, first what made it.
    let rank = match event.kind {
        EventKind::Issued
        | EventKind::Redeemed
        | EventKind::Reversed
        | EventKind::Offer
        | EventKind::Updated
        | EventKind::Personalized
        | EventKind::Voided
        | EventKind::Erased => 0,
        EventKind::Downloaded => 1,
        EventKind::Registered => 2,
        EventKind::Pushed => 3,
        EventKind::Asked => 4,
        EventKind::Fetched => 5,
        EventKind::Unregistered | EventKind::LinkRenewed | EventKind::LinkRevoked | EventKind::Diagnosed => 6,
    };
    let (at, version) = (event.at.as_millisecond(), event.version);
    let sort = format!("EVENT#{at:013}#{version:010}#{rank}#{id}");
    Key::new(items::pass_partition(identity), sort)
}

impl Transaction {
    pub(super) fn put_event(&mut self, identity: &PassIdentity, event: &Event) -> Result<(), Fault> {
        self.put_event_as(identity, event, &random::id()?)
    }

    /// The same under a name of the caller's.
    fn put_event_as(&mut self, identity: &PassIdentity, event: &Event, id: &str) -> Result<(), Fault> {
        let text = serde_json::to_string(event).map_err(|error| Fault::new("writing an event", error))?;
        self.put(&event_key(identity, event, id), &EventItem { v: 1, event: text }, Condition::none())
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
            self.mark_answer(&after.identity, recorded)?;
        }
        self.put_pass(before, after)?;
        if change.barcode_used.is_some() {
            self.put_barcode(&before.pass, change.barcode_used, Condition::none())?;
        }
        if after.barcode != before.pass.barcode {
            self.put_barcode(after, None, Condition::none())?;
        }
        self.replace_link(&before.pass, after)?;
        if let Some(event) = &change.event {
            // No earlier than the change before it, whenever its call came: histories and webhooks tell changes in order.
            let at = event.at.max(before.pass.updated_at);
            self.put_event(&after.identity, &Event { at, ..event.clone() })?;
        }
        if let Some(done) = change.done {
            self.delete(&done.to_key(), Condition::none())?;
        }
        self.put_intents(change.then)
    }

    fn put_barcode(&mut self, pass: &Pass, used: Option<&Redemption>, condition: Condition) -> Result<(), Fault> {
        let PassIdentity { pass_type_identifier, serial_number } = pass.identity.clone();
        let item = BarcodeItem { v: 1, pass_type: pass_type_identifier, serial: serial_number, used: used.cloned() };
        self.put(&items::barcode_key(&pass.merchant_id, &pass.barcode), &item, condition)
    }

    /// Adds the making of a pass, with its link, its barcode and its place among its campaign's passes: at most nine
    /// actions, the first two on its name, the third on its barcode.
    pub(super) fn put_issue(&mut self, new: &NewIssue<'_>) -> Result<(), Fault> {
        let pass = new.pass;
        self.put(&items::pass_key(&pass.identity), &PassItem::new(pass, 1), Condition::absent())?;
        // The serial number of an erased pass may still be on somebody's phone: it is never another's.
        self.check(&items::erased_key(&pass.identity), Condition::absent())?;
        // What was used elsewhere is used here.
        let used = pass.last_redemption.as_ref().filter(|_| pass.shown_barcode().is_none());
        let condition = match new.origin {
            Origin::Here => Condition::none(),
            Origin::Elsewhere => Condition::absent(),
        };
        self.put_barcode(pass, used, condition)?;
        if let Some(link) = &pass.link {
            self.put_link(&pass.identity, link)?;
        }
        let member = items::member_key(&pass.merchant_id, &pass.campaign_id, &pass.identity);
        self.put(&member, &serde_json::json!({ "v": 1 }), Condition::none())?;
        let event = issued_event(pass, new.origin);
        match new.mark {
            None => self.put_event(&pass.identity, &event)?,
            Some(mark) => self.put_event_as(&pass.identity, &event, mark)?,
        }
        self.put_intents(new.then)
    }
}

/// Whether a transaction was refused since the name of the pass that begins at `place` is, or was, another's.
fn is_named(refused: &[usize], place: usize) -> bool {
    refused.contains(&place) || refused.contains(&(place + 1))
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
        self.whole(identity, Knows::Us).await
    }

    /// The same for a phone: a pass whose secret it does not know is unknown, in what is done for it, too.
    pub async fn pass_for_phone(
        &self,
        identity: &PassIdentity,
        secret: &AuthenticationToken,
    ) -> Result<Option<(StoredPass, StoredCampaign)>, Fault> {
        self.whole(identity, Knows::Secret(secret)).await
    }

    async fn whole(
        &self,
        identity: &PassIdentity,
        knows: Knows<'_>,
    ) -> Result<Option<(StoredPass, StoredCampaign)>, Fault> {
        let mut found = self.with_campaign(identity, knows, &[]).await?;
        let Some(pass) = found.take(&items::pass_key(identity))? else { return Ok(None) };
        Ok(Some((StoredPass::from_item(pass)?, found.campaign(&self.opened)?)))
    }

    /// Makes a pass.
    pub async fn issue(&self, new: &NewIssue<'_>, recorded: Option<&Recorded>) -> Result<Issued, Fault> {
        let mut transaction = Transaction::default();
        if let Some(recorded) = recorded {
            transaction.put_recorded(recorded)?;
            transaction.mark_answer(&new.pass.identity, recorded)?;
        }
        let place = transaction.len();
        transaction.put_issue(new)?;
        transaction.tally_issued(&[(new.pass, new.origin)], None)?;
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => Issued::New,
            Outcome::Refused(places) if recorded.is_some() && places.contains(&0) => Issued::AnsweredBefore,
            Outcome::Refused(places) if is_named(&places, place) => Issued::SerialNumberTaken,
            Outcome::Refused(_) => Issued::BarcodeTaken,
        })
    }

    /// Makes several passes with as few transactions as their conditions allow, [`ISSUED_AT_ONCE`] at most, no two of
    /// one name or barcode; says of each how it ended, and nothing of those that were left when the lane was stopped. Callers
    /// that work side by side count in different places, `shard`, and so never wait for each other.
    pub async fn issue_several(
        &self,
        passes: &[NewIssue<'_>],
        lane: Lane<'_>,
        shard: usize,
    ) -> Result<Vec<Option<Issued>>, Fault> {
        let mut ended: Vec<Option<Issued>> = passes.iter().map(|_| None).collect();
        loop {
            let mut open: Vec<usize> = (0..passes.len()).filter(|index| ended[*index].is_none()).collect();
            if open.is_empty() {
                return Ok(ended);
            }
            let (mut transaction, mut places) = (Transaction::default(), Vec::with_capacity(open.len()));
            transaction.check(&stop_key(lane), Condition::absent())?;
            for index in &open {
                // Those that are in it are counted after them, in as many places as they have campaigns.
                if transaction.len() + places.len() + ACTIONS_OF_ISSUE > ACTIONS {
                    break;
                }
                places.push(transaction.len());
                transaction.put_issue(&passes[*index])?;
            }
            open.truncate(places.len());
            let counted: Vec<_> = open.iter().map(|index| (passes[*index].pass, passes[*index].origin)).collect();
            transaction.tally_issued(&counted, Some(shard))?;
            match self.commit(transaction).await? {
                Outcome::Committed => open.iter().for_each(|index| ended[*index] = Some(Issued::New)),
                Outcome::Refused(refused) if refused.contains(&0) => return Ok(ended),
                Outcome::Refused(refused) => {
                    for (index, place) in open.iter().zip(places) {
                        if is_named(&refused, place) {
                            ended[*index] = Some(Issued::SerialNumberTaken);
                        } else if refused.contains(&(place + 2)) {
                            ended[*index] = Some(Issued::BarcodeTaken);
                        }
                    }
                    if open.iter().all(|index| ended[*index].is_none()) {
                        return Err(Fault::contradiction("a transaction was refused for no pass of it"));
                    }
                }
            }
        }
    }

    /// Of passes that were to be made under a mark, whether each was: in the order asked.
    pub async fn were_issued(&self, passes: &[NewIssue<'_>]) -> Result<Vec<bool>, Fault> {
        let keys = passes.iter().map(|new| {
            let event = issued_event(new.pass, new.origin);
            event_key(&new.pass.identity, &event, new.mark.unwrap_or_default())
        });
        let keys: Vec<Key> = keys.collect();
        let found = self.get_many(&keys).await?;
        Ok(keys.iter().map(|key| found.contains_key(key)).collect())
    }

    /// Writes what became of a pass, on the condition that it is still the pass that was read.
    pub async fn change(&self, before: &StoredPass, after: &Pass, change: Change<'_>) -> Result<Written, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_change(before, after, &change)?;
        self.commit_change(transaction, &change).await
    }

    /// Writes a pass that phones must fetch once more, with the steps that tell them. Nothing happened to the pass, so its
    /// history has no event of it. [`Store::change`] would do it too, for doors that may write more than a phone's.
    pub async fn show(&self, before: &StoredPass, after: &Pass, then: &[Intent]) -> Result<Written, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_pass(before, after)?;
        transaction.put_intents(then)?;
        self.commit_change(transaction, &Change::default()).await
    }

    /// Commits a transaction that begins with this change.
    pub(super) async fn commit_change(&self, transaction: Transaction, change: &Change<'_>) -> Result<Written, Fault> {
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => Written::Done,
            Outcome::Refused(places) if change.recorded.is_some() && places.contains(&0) => Written::AnsweredBefore,
            Outcome::Refused(_) => Written::Changed,
        })
    }

    /// Notes that a phone fetched this effective version, `waited` after it was made. For the first that does: of everyone
    /// after it the pass as read says so already ([`Pass::is_fetched`]).
    pub async fn note_fetched(
        &self,
        before: &StoredPass,
        fetched: EffectiveVersion,
        waited: Option<SignedDuration>,
        then: &[Intent],
        now: Timestamp,
    ) -> Result<Written, Fault> {
        let pass = Pass { fetched: Some(fetched), ..before.pass.clone() };
        let mut transaction = Transaction::default();
        transaction.put_pass(before, &pass)?;
        transaction.put_event(&pass.identity, &Event::new(EventKind::Fetched, now, pass.version))?;
        if let Some(waited) = waited {
            transaction.tally_fetched(&pass.merchant_id, &pass.campaign_id, waited)?;
        }
        transaction.put_intents(then)?;
        self.commit_change(transaction, &Change::default()).await
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
            events.push(read_event(item)?);
        }
        Ok((events, next))
    }
}

/// An event from its item.
pub(super) fn read_event(item: Item) -> Result<Event, Fault> {
    let item: EventItem = read(item)?;
    serde_json::from_str(&item.event).map_err(|error| Fault::new("reading an event", error))
}

impl From<BarcodeItem> for FoundBarcode {
    fn from(item: BarcodeItem) -> FoundBarcode {
        let identity = PassIdentity { pass_type_identifier: item.pass_type, serial_number: item.serial };
        FoundBarcode { identity, used: item.used }
    }
}

impl StoredPass {
    pub(super) fn from_item(item: PassItem) -> Result<StoredPass, Fault> {
        let generation = item.generation;
        Ok(StoredPass { pass: item.into_pass()?, generation })
    }
}
