//! Redemptions: made, found by their id, reversed.

use domain::{CountedRedemption, Pass, limit::Claim, time};
use jiff::Timestamp;
use passkit::identifiers::{CampaignId, PassIdentity, PassTypeIdentifier, SerialNumber};
use serde::{Deserialize, Serialize};

use super::{
    Change, Key, Store, StoredPass, Written,
    tallies::{CountedIn, Use},
    transaction::{Condition, Transaction},
};
use crate::Fault;

/// A redemption as stored: what was counted, of which pass, and whether it was reversed.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRedemption {
    /// Of which pass.
    pub identity: PassIdentity,
    /// Of which campaign.
    pub campaign_id: CampaignId,
    /// The redemption.
    pub counted: CountedRedemption,
    /// Its reversal, if it was reversed.
    pub reversal: Option<Reversal>,
    counted_in: CountedIn,
}

/// That a redemption was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reversal {
    /// When.
    #[serde(with = "time::text")]
    pub reversed_at: Timestamp,
    /// The merchant's words.
    pub reason: Option<String>,
    /// The version of the pass that it made.
    pub pass_version: u64,
}

/// A redemption item, version 1. Its parts are JSON text, like holder data.
#[derive(Serialize, Deserialize)]
pub(super) struct RedemptionItem {
    v: u8,
    #[serde(rename = "type")]
    pass_type: PassTypeIdentifier,
    serial: SerialNumber,
    campaign: CampaignId,
    counted: String,
    counted_in: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reversal: Option<String>,
}

pub(super) fn redemption_key(merchant_id: &str, redemption_id: &str) -> Key {
    Key::new(format!("REDEMPTION#{merchant_id}#{redemption_id}"), "REDEMPTION")
}

fn to_text(part: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(part).map_err(|error| Fault::new("writing a redemption", error))
}

fn from_text<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::new("reading a redemption", error))
}

impl RedemptionItem {
    pub(super) fn new(redemption: &StoredRedemption) -> Result<RedemptionItem, Fault> {
        let PassIdentity { pass_type_identifier, serial_number } = redemption.identity.clone();
        Ok(RedemptionItem {
            v: 1,
            pass_type: pass_type_identifier,
            serial: serial_number,
            campaign: redemption.campaign_id.clone(),
            counted: to_text(&redemption.counted)?,
            counted_in: to_text(&redemption.counted_in)?,
            reversal: redemption.reversal.as_ref().map(to_text).transpose()?,
        })
    }

    fn into_redemption(self) -> Result<StoredRedemption, Fault> {
        Ok(StoredRedemption {
            identity: PassIdentity { pass_type_identifier: self.pass_type, serial_number: self.serial },
            campaign_id: self.campaign,
            counted: from_text(&self.counted)?,
            reversal: self.reversal.as_deref().map(from_text).transpose()?,
            counted_in: from_text(&self.counted_in)?,
        })
    }
}

impl Store {
    /// Writes a redemption with all that belongs to it: what became of the pass, what was counted where, and the
    /// redemption under its id. `Changed` also when a limit has no room in the place chosen any more,
    /// or another till counts there at this moment.
    pub async fn redeem(
        &self,
        before: &StoredPass,
        after: &Pass,
        claim: &Claim,
        change: Change<'_>,
    ) -> Result<Written, Fault> {
        let counted = after.counted().ok_or_else(|| Fault::contradiction("a redemption without a trace"))?;
        let (merchant_id, campaign_id) = (&after.merchant_id, &after.campaign_id);
        let redemption = &counted.redemption;
        let mut transaction = Transaction::default();
        transaction.put_change(before, after, &change)?;
        // Who decides anew counts in another place, and does not queue for this one.
        transaction.tell_conflicts();
        let counted_in = transaction.claim(merchant_id, campaign_id, &redemption.offer_id, claim)?;
        transaction.tally_use(merchant_id, campaign_id, redemption, Use::Redeemed)?;
        let key = redemption_key(merchant_id, &redemption.redemption_id);
        let (identity, campaign_id) = (after.identity.clone(), campaign_id.clone());
        let stored = StoredRedemption { identity, campaign_id, counted, reversal: None, counted_in };
        transaction.put(&key, &RedemptionItem::new(&stored)?, Condition::absent())?;
        self.commit_change(transaction, &change).await
    }

    /// A redemption by its id, among this merchant's.
    pub async fn redemption(&self, merchant_id: &str, redemption_id: &str) -> Result<Option<StoredRedemption>, Fault> {
        let item: Option<RedemptionItem> = self.get(&redemption_key(merchant_id, redemption_id)).await?;
        item.map(RedemptionItem::into_redemption).transpose()
    }

    /// Writes a redemption with its reversal, once, with what became of its pass; what it counted is given back.
    /// `Changed` when somebody else changed the pass, or reversed it, meanwhile.
    pub async fn reverse(
        &self,
        reversed: &StoredRedemption,
        before: &StoredPass,
        after: &Pass,
        change: Change<'_>,
    ) -> Result<Written, Fault> {
        let (merchant_id, campaign_id) = (&after.merchant_id, &reversed.campaign_id);
        let made = &reversed.counted.redemption;
        let mut transaction = Transaction::default();
        transaction.put_change(before, after, &change)?;
        transaction.give_back(merchant_id, campaign_id, &made.offer_id, &reversed.counted_in)?;
        transaction.tally_use(merchant_id, campaign_id, made, Use::Reversed)?;
        let still_counts = Condition::holds("attribute_exists(pk) AND attribute_not_exists(reversal)");
        let key = redemption_key(merchant_id, &made.redemption_id);
        transaction.put(&key, &RedemptionItem::new(reversed)?, still_counts)?;
        self.commit_change(transaction, &change).await
    }
}
