//! Templates and campaigns.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use domain::Campaign;
use jiff::Timestamp;
use passkit::{
    identifiers::{CampaignId, PassIdentity, TemplateId},
    problem::Problem,
};
use serde::{Deserialize, Serialize};

use super::{
    Holding, Intent, Item, Key, Page, Store, StoredPass,
    items::{self, MEMBER_SHARDS},
    read,
    transaction::{Condition, Outcome, Transaction, number},
};
use crate::Fault;

/// Templates on one page of a merchant's: one batch read's worth.
const TEMPLATES_PAGE: i32 = 100;
/// Campaigns on one page of a merchant's. An item has 400 KB at most, and one batch read 16 MB.
const CAMPAIGNS_PAGE: i32 = 40;

/// A campaign as read, with what a later write compares.
#[derive(Debug, Clone)]
pub struct StoredCampaign {
    /// The campaign.
    pub campaign: Arc<Campaign>,
    generation: u64,
}

/// The newest version of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTemplate {
    v: u8,
    /// Its name.
    pub template_id: TemplateId,
    /// Whose it is.
    pub merchant_id: String,
    /// Counts from 1. (Stored under a name that no list of DynamoDB's reserved words holds.)
    #[serde(rename = "edition")]
    pub version: u64,
    /// Hexadecimal SHA-256 of names and bytes of its files: the same content zipped again is the same version.
    pub digest: String,
    /// Hexadecimal SHA-256 of the archive as it was sent.
    pub sha256: String,
    /// What was found in it that is no error.
    pub warnings: Vec<Problem>,
    /// When it was put.
    #[serde(with = "domain::time::text")]
    pub created_at: Timestamp,
    /// Counts the campaigns that came to be made from it, so that a new version leaves none behind that comes meanwhile.
    #[serde(default)]
    joined: u64,
}

impl StoredTemplate {
    /// The version after `previous`, or the first.
    pub fn after(
        previous: Option<&StoredTemplate>,
        merchant_id: &str,
        template_id: &TemplateId,
        content: Content,
        now: Timestamp,
    ) -> Self {
        StoredTemplate {
            v: 1,
            template_id: template_id.clone(),
            merchant_id: merchant_id.to_owned(),
            version: previous.map_or(1, |previous| previous.version + 1),
            digest: content.digest,
            sha256: content.sha256,
            warnings: content.warnings,
            created_at: now,
            joined: previous.map_or(0, |previous| previous.joined),
        }
    }
}

/// What a template's version is made of.
pub struct Content {
    /// Of its files.
    pub digest: String,
    /// Of the archive.
    pub sha256: String,
    /// Found in it.
    pub warnings: Vec<Problem>,
}

/// A campaign item, version 1. The campaign is JSON text, so that numbers in overlays stay as they were written.
#[derive(Serialize, Deserialize)]
pub(super) struct CampaignItem {
    v: u8,
    generation: u64,
    document: String,
}

impl StoredCampaign {
    /// Counts from 1 and grows with every writing: by its merchant, a new version of its template, a scheduled update.
    pub fn revision(&self) -> u64 {
        self.generation
    }

    fn from_item(item: CampaignItem) -> Result<StoredCampaign, Fault> {
        let campaign = serde_json::from_str(&item.document).map_err(|error| Fault::new("reading a campaign", error))?;
        Ok(StoredCampaign { campaign: Arc::new(campaign), generation: item.generation })
    }
}

/// Campaigns as they were read last, by their key. What a campaign is, the table says with every read; what is saved is
/// to parse the same text again, which takes a millisecond for one with thousands of places.
#[derive(Clone, Default)]
pub(super) struct OpenedCampaigns(Arc<Mutex<HashMap<Key, Opened>>>);

struct Opened {
    document: String,
    campaign: Arc<Campaign>,
}

impl OpenedCampaigns {
    /// How many are kept: a document has 400 KB at most (DynamoDB's item), and takes some times that when it is opened.
    const KEPT: usize = 32;

    /// The campaign in this item, which was read just now.
    pub(super) fn open(&self, key: Key, item: Item) -> Result<StoredCampaign, Fault> {
        let item: CampaignItem = read(item)?;
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = lock().get(&key).filter(|opened| opened.document == item.document) {
            return Ok(StoredCampaign { campaign: Arc::clone(&opened.campaign), generation: item.generation });
        }
        let document = item.document.clone();
        let stored = StoredCampaign::from_item(item)?;
        let mut opened = lock();
        if opened.len() >= OpenedCampaigns::KEPT {
            opened.clear();
        }
        opened.insert(key, Opened { document, campaign: Arc::clone(&stored.campaign) });
        Ok(stored)
    }
}

/// A campaign to be written.
pub struct CampaignChange<'a> {
    /// As it was read, if it was there.
    pub before: Option<&'a StoredCampaign>,
    /// As it shall be.
    pub after: &'a Campaign,
    /// The pushes that follow, when passes in the field look different.
    pub then: &'a [Intent],
}

/// How a writing of campaigns or templates ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignPut {
    /// It is written.
    Done,
    /// Somebody changed one of them meanwhile: read and compose anew.
    Changed,
}

impl Transaction {
    /// Adds the writing of a campaign, on the condition that it is still the one read.
    pub(super) fn put_campaign(&mut self, change: &CampaignChange<'_>) -> Result<(), Fault> {
        let CampaignChange { before, after, then } = change;
        let document = serde_json::to_string(after).map_err(|error| Fault::new("writing a campaign", error))?;
        let generation = before.map_or(0, |before| before.generation);
        let item = CampaignItem { v: 1, generation: generation + 1, document };
        let condition = match before {
            None => Condition::absent(),
            Some(_) => Condition::holds("generation = :read").with(":read", number(generation)),
        };
        self.put(&items::campaign_key(&after.merchant_id, &after.campaign_id), &item, condition)?;
        self.put_intents(then)
    }
}

impl Store {
    /// A campaign.
    pub async fn campaign(&self, merchant_id: &str, campaign_id: &CampaignId) -> Result<Option<StoredCampaign>, Fault> {
        let item: Option<CampaignItem> = self.get(&items::campaign_key(merchant_id, campaign_id)).await?;
        item.map(StoredCampaign::from_item).transpose()
    }

    /// Writes a campaign composed with `template`, on the condition that both are as they were read: a template that
    /// changes meanwhile must not leave the campaign behind. The pass type is the merchant's, or was nobody's (`read`)
    /// and becomes theirs.
    pub async fn put_campaign(
        &self,
        change: CampaignChange<'_>,
        template: &StoredTemplate,
        read: Holding,
    ) -> Result<CampaignPut, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_campaign(&change)?;
        let (merchant_id, after) = (&change.after.merchant_id, change.after);
        transaction.hold_pass_type(merchant_id, &after.draft.pass_type_identifier, read, after.updated_at)?;
        let listed = Key::new(items::campaigns_partition(merchant_id), after.campaign_id.as_str());
        transaction.put(&listed, &serde_json::json!({ "v": 1 }), Condition::none())?;
        let before = change.before.map(|before| &before.campaign.draft.template_id);
        let unchanged = Condition::holds("edition = :read").with(":read", number(template.version));
        let template_key = items::template_key(merchant_id, &template.template_id);
        if before == Some(&after.draft.template_id) {
            transaction.check(&template_key, unchanged)?;
        } else {
            // Whoever writes a new version now has listed the campaigns without this one.
            let joins = unchanged.with(":one", number(1)).with(":none", number(0));
            transaction.update(&template_key, "SET joined = if_not_exists(joined, :none) + :one", joins)?;
        }
        let index = |template_id| items::template_campaign_key(merchant_id, template_id, &after.campaign_id);
        if let Some(before) = before.filter(|before| **before != after.draft.template_id) {
            transaction.delete(&index(before), Condition::none())?;
        }
        transaction.put(&index(&after.draft.template_id), &serde_json::json!({ "v": 1 }), Condition::none())?;
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => CampaignPut::Done,
            Outcome::Refused(_) => CampaignPut::Changed,
        })
    }

    /// The newest version of a template.
    pub async fn template(&self, merchant_id: &str, template_id: &TemplateId) -> Result<Option<StoredTemplate>, Fault> {
        self.get(&items::template_key(merchant_id, template_id)).await
    }

    /// One version of a template. (Of those put before each was kept, only the newest is known.)
    pub async fn template_version(
        &self,
        merchant_id: &str,
        template_id: &TemplateId,
        version: u64,
    ) -> Result<Option<StoredTemplate>, Fault> {
        self.get(&items::template_version_key(merchant_id, template_id, version)).await
    }

    /// One page of a merchant's templates in the order of their names, from after the one named.
    pub async fn templates(
        &self,
        merchant_id: &str,
        after: Option<&TemplateId>,
    ) -> Result<(Vec<StoredTemplate>, Option<TemplateId>), Fault> {
        let after = after.map(TemplateId::as_str);
        let (names, next) = self.names(&items::templates_partition(merchant_id), after, TEMPLATES_PAGE).await?;
        let keys: Vec<Key> = names.iter().map(|name| items::template_key(merchant_id, name)).collect();
        let mut found = self.get_many(&keys).await?;
        let templates = keys.iter().filter_map(|key| found.remove(key)).map(read);
        Ok((templates.collect::<Result<_, Fault>>()?, next))
    }

    /// One page of a merchant's campaigns in the order of their names, from after the one named.
    pub async fn campaigns(
        &self,
        merchant_id: &str,
        after: Option<&CampaignId>,
    ) -> Result<(Vec<StoredCampaign>, Option<CampaignId>), Fault> {
        let after = after.map(CampaignId::as_str);
        let (names, next) = self.names(&items::campaigns_partition(merchant_id), after, CAMPAIGNS_PAGE).await?;
        let keys: Vec<Key> = names.iter().map(|name| items::campaign_key(merchant_id, name)).collect();
        let mut found = self.get_many(&keys).await?;
        let campaigns = keys.iter().filter_map(|key| found.remove(key));
        let campaigns = campaigns.map(|item| StoredCampaign::from_item(read(item)?));
        Ok((campaigns.collect::<Result<_, Fault>>()?, next))
    }

    /// One page of the names in a partition of names, and the last of them if there may be more.
    async fn names<T: FromStr + Clone>(
        &self,
        partition: &str,
        after: Option<&str>,
        limit: i32,
    ) -> Result<(Vec<T>, Option<T>), Fault> {
        let (found, next) = self.page(Page { partition, prefix: "", after, limit }).await?;
        let names: Vec<T> = found.iter().filter_map(Key::of).filter_map(|key| key.sort.parse().ok()).collect();
        let next = next.and_then(|_| names.last().cloned());
        Ok((names, next))
    }

    /// The campaigns whose passes are made from a template.
    pub async fn campaigns_of_template(
        &self,
        merchant_id: &str,
        template_id: &TemplateId,
    ) -> Result<Vec<StoredCampaign>, Fault> {
        const PREFIX: &str = "CAMPAIGN#";
        let partition = items::template_partition(merchant_id, template_id);
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = Page { partition: &partition, prefix: PREFIX, after: after.as_deref(), limit: 1000 };
            let (found, next) = self.page(page).await?;
            let names = found.iter().filter_map(Key::of);
            for key in names {
                if let Some(Ok(campaign_id)) = key.sort.strip_prefix(PREFIX).map(str::parse) {
                    keys.push(items::campaign_key(merchant_id, &campaign_id));
                }
            }
            match next {
                Some(_) => after = next,
                None => break,
            }
        }
        let found = self.get_many(&keys).await?;
        found.into_values().map(|item| StoredCampaign::from_item(read(item)?)).collect()
    }

    /// Writes a new version of a template and every campaign it alters, together.
    pub async fn put_template(
        &self,
        previous: Option<&StoredTemplate>,
        template: &StoredTemplate,
        campaigns: &[CampaignChange<'_>],
    ) -> Result<CampaignPut, Fault> {
        let mut transaction = Transaction::default();
        let condition = match previous {
            None => Condition::absent(),
            Some(previous) => {
                // As it was when its campaigns were listed. (One that no campaign joined since this is counted has no count.)
                let unchanged = match previous.joined {
                    0 => Condition::holds("edition = :read AND (attribute_not_exists(joined) OR joined = :joined)"),
                    _ => Condition::holds("edition = :read AND joined = :joined"),
                };
                unchanged.with(":read", number(previous.version)).with(":joined", number(previous.joined))
            }
        };
        let (merchant_id, template_id) = (&template.merchant_id, &template.template_id);
        transaction.put(&items::template_key(merchant_id, template_id), template, condition)?;
        let kept = items::template_version_key(merchant_id, template_id, template.version);
        transaction.put(&kept, template, Condition::none())?;
        let listed = Key::new(items::templates_partition(merchant_id), template_id.as_str());
        transaction.put(&listed, &serde_json::json!({ "v": 1 }), Condition::none())?;
        for change in campaigns {
            transaction.put_campaign(change)?;
        }
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => CampaignPut::Done,
            Outcome::Refused(_) => CampaignPut::Changed,
        })
    }

    /// One page of a campaign's passes, from a place this method returned or [`place_among_members`] names. The passes
    /// come in an order of their own, which is no order of time and never changes: none is passed over or told twice,
    /// whatever is issued meanwhile.
    pub async fn members(
        &self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        after: Option<&str>,
        limit: MembersLimit,
    ) -> Result<(Vec<StoredPass>, Option<String>), Fault> {
        let (shard, sort) = after.and_then(place).unwrap_or_default();
        let partition = items::members_partition(merchant_id, campaign_id, shard);
        let page = Page { partition: &partition, prefix: "", after: sort, limit: limit.0 };
        let (found, next) = self.page(page).await?;
        let identities = found.iter().filter_map(Key::of).filter_map(|key| items::member_identity(&key.sort));
        let keys: Vec<Key> = identities.map(|identity| items::pass_key(&identity)).collect();
        let mut passes = self.get_many(&keys).await?;
        let passes = keys.iter().filter_map(|key| passes.remove(key));
        let passes: Result<Vec<_>, Fault> = passes.map(|item| StoredPass::from_item(read(item)?)).collect();
        let next = match next {
            Some(sort) => Some(format!("{shard} {sort}")),
            None if shard + 1 < MEMBER_SHARDS => Some((shard + 1).to_string()),
            None => None,
        };
        Ok((passes?, next))
    }
}

/// Passes on one page of a campaign's.
#[derive(Debug, Clone, Copy)]
pub struct MembersLimit(i32);

impl MembersLimit {
    /// One batch read's worth (DynamoDB, BatchGetItem: 100 items).
    pub const WHOLE: MembersLimit = MembersLimit(100);

    /// At least one and at most a batch read's worth.
    pub fn at_most(passes: usize) -> MembersLimit {
        MembersLimit(i32::try_from(passes).unwrap_or(i32::MAX).clamp(1, MembersLimit::WHOLE.0))
    }
}

/// A place among a campaign's passes: the shard, and the sort key after which to go on. It is written "{shard}" or
/// "{shard} {sort key}"; neither part holds a space.
fn place(text: &str) -> Option<(u32, Option<&str>)> {
    match text.split_once(' ') {
        None => Some((text.parse().ok()?, None)),
        Some((shard, sort)) => Some((shard.parse().ok()?, Some(sort))),
    }
}

/// The place right after a pass of a campaign.
pub fn place_among_members(identity: &PassIdentity) -> String {
    format!("{} {}", items::member_shard(identity), items::member_sort(identity))
}

/// The place after all of a campaign's passes.
pub fn end_of_members() -> String {
    MEMBER_SHARDS.to_string()
}

/// Whether one place among a campaign's passes comes before another.
pub fn is_before_among_members(one: &str, other: &str) -> bool {
    place(one) < place(other)
}

/// Whether a text can be a place among a campaign's passes.
pub fn is_place_among_members(text: &str) -> bool {
    match place(text) {
        None => false,
        Some((shard, None)) => shard < MEMBER_SHARDS && text == shard.to_string(),
        Some((_, Some(sort))) => {
            items::member_identity(sort).is_some_and(|identity| text == place_among_members(&identity))
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;
    use serde_json::json;

    use super::*;

    fn item(generation: u64, updated_at: &str) -> Item {
        let document = json!({
            "campaignId": "c", "merchantId": "m", "retiredOffers": [], "looks": {},
            "draft": { "passTypeIdentifier": "pass.example.passloop", "templateId": "t",
                "offers": [{ "offerId": "o", "title": "One" }] },
            "template": { "version": 1, "digest": "" },
            "createdAt": "2026-11-23T12:00:00Z", "updatedAt": updated_at });
        serde_dynamo::aws_sdk_dynamodb_1::to_item(CampaignItem { v: 1, generation, document: document.to_string() })
            .unwrap()
    }

    #[test]
    fn a_campaign_is_what_was_read_and_is_opened_once_while_it_stays_the_same() {
        const NOON: &str = "2026-11-23T12:00:00Z";
        let opened = OpenedCampaigns::default();
        let key = |number: usize| Key::new(format!("CAMPAIGN#m#{number}"), "CAMPAIGN");
        let first = opened.open(key(0), item(1, NOON)).unwrap();
        let again = opened.open(key(0), item(2, NOON)).unwrap();
        assert!(Arc::ptr_eq(&first.campaign, &again.campaign));
        assert_eq!((first.revision(), again.revision()), (1, 2), "what is beside the document is read every time");
        let changed = opened.open(key(0), item(3, "2026-11-23T12:00:01Z")).unwrap();
        assert_eq!(changed.campaign.updated_at.as_second() - first.campaign.updated_at.as_second(), 1);
        for number in 0..3 * OpenedCampaigns::KEPT {
            opened.open(key(number), item(1, NOON)).unwrap();
            assert!(opened.0.lock().unwrap().len() <= OpenedCampaigns::KEPT);
        }
        let mut damaged = item(4, NOON);
        damaged.insert("document".to_owned(), AttributeValue::S("{".to_owned()));
        assert!(opened.open(key(0), damaged).is_err(), "never an older one instead");
    }

    #[test]
    fn a_place_among_members_is_one_that_we_wrote() {
        let identity = PassIdentity {
            pass_type_identifier: "pass.example.passloop".parse().unwrap(),
            serial_number: "A.1".parse().unwrap(),
        };
        let ours = place_among_members(&identity);
        assert!(is_place_among_members(&ours) && is_place_among_members("0") && is_place_among_members("7"));
        let (shard, sort) = ours.split_once(' ').unwrap();
        let other = (shard.parse::<u32>().unwrap() + 1) % MEMBER_SHARDS;
        for bad in ["", " ", "8", "07", "+1", "-1", "0 ", "0 x", &format!("{other} {sort}"), &format!("{ours} ")] {
            assert!(!is_place_among_members(bad), "{bad:?}");
        }
    }
}
