//! Templates and campaigns.

use domain::Campaign;
use jiff::Timestamp;
use passkit::{
    identifiers::{CampaignId, PassIdentity, TemplateId},
    problem::Problem,
};
use serde::{Deserialize, Serialize};

use super::{
    Intent, Page, Store, StoredPass,
    items::{self, MEMBER_SHARDS},
    read,
    transaction::{Condition, Outcome, Transaction, number},
};
use crate::Fault;

/// A campaign as read, with what a later write compares.
#[derive(Debug, Clone)]
pub struct StoredCampaign {
    /// The campaign.
    pub campaign: Campaign,
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
    pub(super) fn from_item(item: CampaignItem) -> Result<StoredCampaign, Fault> {
        let campaign = serde_json::from_str(&item.document).map_err(|error| Fault::new("reading a campaign", error))?;
        Ok(StoredCampaign { campaign, generation: item.generation })
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
    /// changes meanwhile must not leave the campaign behind.
    pub async fn put_campaign(
        &self,
        change: CampaignChange<'_>,
        template: &StoredTemplate,
    ) -> Result<CampaignPut, Fault> {
        let mut transaction = Transaction::default();
        transaction.put_campaign(&change)?;
        let (merchant_id, after) = (&change.after.merchant_id, change.after);
        let unchanged = Condition::holds("edition = :read").with(":read", number(template.version));
        transaction.check(&items::template_key(merchant_id, &template.template_id), unchanged)?;
        let index = |template_id| items::template_campaign_key(merchant_id, template_id, &after.campaign_id);
        if let Some(before) = change.before
            && before.campaign.draft.template_id != after.draft.template_id
        {
            transaction.delete(&index(&before.campaign.draft.template_id), Condition::none())?;
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
            let names = found.iter().filter_map(super::Key::of);
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
            Some(previous) => Condition::holds("edition = :read").with(":read", number(previous.version)),
        };
        transaction.put(&items::template_key(&template.merchant_id, &template.template_id), template, condition)?;
        for change in campaigns {
            transaction.put_campaign(change)?;
        }
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => CampaignPut::Done,
            Outcome::Refused(_) => CampaignPut::Changed,
        })
    }

    /// One page of a campaign's passes, from a place this method returned; the passes come in no order of time.
    pub async fn members(
        &self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        after: Option<&str>,
    ) -> Result<(Vec<StoredPass>, Option<String>), Fault> {
        // One batch read's worth (DynamoDB, BatchGetItem: 100 items).
        const PAGE: i32 = 100;
        // A place is "{shard}" or "{shard} {sort key}"; neither part holds a space.
        let (shard, sort) = match after.map(|place| place.split_once(' ').unwrap_or((place, ""))) {
            None => (0, None),
            Some((shard, sort)) => (shard.parse().unwrap_or(0), Some(sort).filter(|sort| !sort.is_empty())),
        };
        let partition = items::members_partition(merchant_id, campaign_id, shard);
        let (found, next) = self.page(Page { partition: &partition, prefix: "", after: sort, limit: PAGE }).await?;
        let keys = found.iter().filter_map(super::Key::of).filter_map(|key| {
            let (pass_type, serial) = key.sort.split_once('#')?;
            let identity =
                PassIdentity { pass_type_identifier: pass_type.parse().ok()?, serial_number: serial.parse().ok()? };
            Some(items::pass_key(&identity))
        });
        let passes = self.get_many(&keys.collect::<Vec<_>>()).await?;
        let passes: Result<Vec<_>, Fault> =
            passes.into_values().map(|item| StoredPass::from_item(read(item)?)).collect();
        let next = match next {
            Some(sort) => Some(format!("{shard} {sort}")),
            None if shard + 1 < MEMBER_SHARDS => Some((shard + 1).to_string()),
            None => None,
        };
        Ok((passes?, next))
    }
}
