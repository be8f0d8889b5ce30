//! Tallies: what a campaign counts, in the very transaction that takes effect, so that a crash or a repetition never
//! counts twice or not at all, and a report needs no scan.
//!
//! A campaign has 16 partitions ([`SHARDS`]); each count goes into one of them, at random.
//!
//! | sort key | counts |
//! |---|---|
//! | `PASSES` | passes issued, of these imported, and erased; installations that began, that the phone ended, that APNs ended, that went with their pass |
//! | `LIMITS` | redemptions of the campaign and of each offer, less those reversed: what limits ask |
//! | `DAY#{day}#{offer}#{location}` | redemptions and reversals of that UTC day, offer and location |
//! | `WALLET` | first fetches of a version, by how long they took |

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    Pass,
    limit::{Claim, HolderId, SHARDS, Spent},
};
use futures_util::future::try_join_all;
use jiff::{SignedDuration, civil::Date};
use passkit::identifiers::{CampaignId, OfferId};
use serde::{Deserialize, Serialize};

use super::{
    Item, Key, Store, fault,
    transaction::{Counting, Transaction},
};
use crate::{Fault, issuing::Origin, random};

/// Rows (a day, an offer, a location) that one report tells: with 450 bytes at most each, an answer of 4.5 MB, below
/// Lambda's 6 MB. Ten shops with two offers fill them in 500 days; a report can be asked for fewer days.
pub const ROWS: usize = 10_000;

/// How long a first fetch took at most, in seconds, of each bucket of [`Report::wallet`]; the last one has no end.
pub const WALLET_BUCKETS: [u32; 13] = [1, 2, 3, 5, 10, 20, 30, 60, 300, 900, 3600, 21_600, 86_400];

/// What happens to passes of a campaign, and is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    Issued,
    Imported,
    Installed,
    Removed,
    Unreachable,
    /// An installation, with its pass.
    Forgotten,
    /// A pass.
    Erased,
}

impl Happened {
    fn attribute(self) -> &'static str {
        match self {
            Happened::Issued => "issued",
            Happened::Imported => "imported",
            Happened::Installed => "installed",
            Happened::Removed => "removed",
            Happened::Unreachable => "unreachable",
            Happened::Forgotten => "forgotten",
            Happened::Erased => "erased",
        }
    }
}

/// Whether a redemption counts or is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Redeemed,
    Reversed,
}

/// Where a redemption was counted: what a reversal gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CountedIn {
    campaign_shard: usize,
    offer_shard: usize,
    /// Digest of who holds the pass, if that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
}

/// What a campaign's tallies add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Passes made.
    pub issued: u64,
    /// Of these, brought from another system.
    pub imported: u64,
    /// Installations that began: a device that carries a pass is one.
    pub installed: u64,
    /// Of these, ended by the phone.
    pub removed: u64,
    /// Of these, ended since APNs says that the device is gone.
    pub unreachable: u64,
    /// Of these, forgotten with their pass.
    pub forgotten: u64,
    /// Passes erased.
    pub erased: u64,
    /// First fetches of a version, by [`WALLET_BUCKETS`], and those that took longer.
    pub wallet: [u64; WALLET_BUCKETS.len() + 1],
    /// Redemptions, in the order of days, offers and locations.
    pub rows: BTreeMap<Row, Uses>,
}

/// Which redemptions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// UTC.
    pub day: String,
    /// Of which offer.
    pub offer_id: OfferId,
    /// As the till said.
    pub location: Option<String>,
}

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses {
    /// Redemptions made that day.
    pub redeemed: u64,
    /// Of these, reversed since.
    pub reversed: u64,
}

fn shard_key(merchant_id: &str, campaign_id: &CampaignId, shard: usize, sort: &str) -> Key {
    Key::new(format!("TALLY#{merchant_id}#{campaign_id}#{shard}"), sort)
}

fn holder_key(merchant_id: &str, campaign_id: &CampaignId, digest: &str) -> Key {
    Key::new(format!("HOLDER#{merchant_id}#{campaign_id}#{digest}"), "HOLDER")
}

fn offer_attribute(offer_id: &OfferId) -> String {
    format!("offer {offer_id}")
}

fn digest_of(holder: &HolderId) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(holder.expose()))
}

fn any_shard() -> Result<usize, Fault> {
    Ok(random::below(SHARDS as u32)? as usize)
}

/// The bucket of a wait.
fn bucket(waited: SignedDuration) -> usize {
    let fits = |most: &u32| waited <= SignedDuration::from_secs((*most).into());
    WALLET_BUCKETS.iter().position(fits).unwrap_or(WALLET_BUCKETS.len())
}

impl Transaction {
    pub(super) fn tally(
        &mut self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        happened: Happened,
    ) -> Result<(), Fault> {
        self.tally_several(merchant_id, campaign_id, happened, 1)
    }

    pub(super) fn tally_several(
        &mut self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        happened: Happened,
        times: usize,
    ) -> Result<(), Fault> {
        let key = shard_key(merchant_id, campaign_id, any_shard()?, "PASSES");
        self.count(&key, Counting::default().add(happened.attribute(), i64::try_from(times).unwrap_or(i64::MAX)))
    }

    /// Counts passes that are made, those of one campaign in one place: `shard`, or any.
    pub(super) fn tally_issued(&mut self, passes: &[(&Pass, Origin)], shard: Option<usize>) -> Result<(), Fault> {
        let mut counts: BTreeMap<(&str, &CampaignId), (i64, i64)> = BTreeMap::new();
        for (pass, origin) in passes {
            let (issued, imported) = counts.entry((&pass.merchant_id, &pass.campaign_id)).or_default();
            *issued += 1;
            *imported += i64::from(*origin == Origin::Elsewhere);
        }
        let shard = shard.map_or_else(any_shard, |shard| Ok(shard % SHARDS))?;
        for ((merchant_id, campaign_id), (issued, imported)) in counts {
            let mut counting = Counting::default().add(Happened::Issued.attribute(), issued);
            if imported > 0 {
                counting = counting.add(Happened::Imported.attribute(), imported);
            }
            self.count(&shard_key(merchant_id, campaign_id, shard, "PASSES"), counting)?;
        }
        Ok(())
    }

    /// Counts the first fetch of a version.
    pub(super) fn tally_fetched(
        &mut self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        waited: SignedDuration,
    ) -> Result<(), Fault> {
        let key = shard_key(merchant_id, campaign_id, any_shard()?, "WALLET");
        self.count(&key, Counting::default().add(format!("bucket {}", bucket(waited)), 1))
    }

    /// Counts a redemption where `claim` says, on the condition that there is room.
    pub(super) fn claim(
        &mut self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        offer_id: &OfferId,
        claim: &Claim,
    ) -> Result<CountedIn, Fault> {
        let limits = |shard| shard_key(merchant_id, campaign_id, shard, "LIMITS");
        let of_campaign = |counting: Counting| counting.add_below("campaign", 1, claim.campaign.below);
        let of_offer = |counting: Counting| counting.add_below(offer_attribute(offer_id), 1, claim.offer.below);
        if claim.campaign.shard == claim.offer.shard {
            self.count(&limits(claim.campaign.shard), of_offer(of_campaign(Counting::default())))?;
        } else {
            self.count(&limits(claim.campaign.shard), of_campaign(Counting::default()))?;
            self.count(&limits(claim.offer.shard), of_offer(Counting::default()))?;
        }
        let mut holder = None;
        if let Some((who, limit)) = &claim.holder {
            let digest = digest_of(who);
            let key = holder_key(merchant_id, campaign_id, &digest);
            self.count(&key, Counting::default().add_below("redemptions", 1, Some(*limit)))?;
            holder = Some(digest);
        }
        Ok(CountedIn { campaign_shard: claim.campaign.shard, offer_shard: claim.offer.shard, holder })
    }

    /// Gives back what [`Transaction::claim`] took.
    pub(super) fn give_back(
        &mut self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        offer_id: &OfferId,
        counted: &CountedIn,
    ) -> Result<(), Fault> {
        let limits = |shard| shard_key(merchant_id, campaign_id, shard, "LIMITS");
        let of_campaign = |counting: Counting| counting.add("campaign", -1);
        let of_offer = |counting: Counting| counting.add(offer_attribute(offer_id), -1);
        if counted.campaign_shard == counted.offer_shard {
            self.count(&limits(counted.campaign_shard), of_offer(of_campaign(Counting::default())))?;
        } else {
            self.count(&limits(counted.campaign_shard), of_campaign(Counting::default()))?;
            self.count(&limits(counted.offer_shard), of_offer(Counting::default()))?;
        }
        if let Some(digest) = &counted.holder {
            let key = holder_key(merchant_id, campaign_id, digest);
            self.count(&key, Counting::default().add("redemptions", -1))?;
        }
        Ok(())
    }

    /// Counts a redemption, or that it was reversed, under the day on which it was made.
    pub(super) fn tally_use(
        &mut self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        redemption: &domain::Redemption,
        of: Use,
    ) -> Result<(), Fault> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let day = redemption.redeemed_at.strftime("%Y-%m-%d").to_string();
        let location = redemption.location.as_deref();
        let sort = format!("DAY#{day}#{}#{}", redemption.offer_id, location.unwrap_or_default());
        let attribute = match of {
            Use::Redeemed => "redeemed",
            Use::Reversed => "reversed",
        };
        let mut counting = Counting::default().add(attribute, 1).set("date", text(&day));
        counting = counting.set("offer", text(redemption.offer_id.as_str()));
        if let Some(location) = location {
            counting = counting.set("place", text(location));
        }
        self.count(&shard_key(merchant_id, campaign_id, any_shard()?, &sort), counting)
    }
}

fn count_of(item: &Item, attribute: &str) -> u64 {
    let count = item.get(attribute).and_then(|value| value.as_n().ok());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

impl Store {
    /// What was counted so far against the limits of a campaign, an offer and a holder, in one round trip.
    pub async fn spent(
        &self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        offer_id: &OfferId,
        holder: Option<&HolderId>,
    ) -> Result<Spent, Fault> {
        let mut keys: Vec<Key> =
            (0..SHARDS).map(|shard| shard_key(merchant_id, campaign_id, shard, "LIMITS")).collect();
        let holder = holder.map(|holder| holder_key(merchant_id, campaign_id, &digest_of(holder)));
        keys.extend(holder.clone());
        let found = self.get_many(&keys).await?;
        let count = |key: &Key, attribute: &str| {
            found.get(key).map_or(0, |item| u32::try_from(count_of(item, attribute)).unwrap_or(u32::MAX))
        };
        let mut spent = Spent::default();
        let offer = offer_attribute(offer_id);
        for (shard, key) in keys.iter().take(SHARDS).enumerate() {
            spent.campaign[shard] = count(key, "campaign");
            spent.offer[shard] = count(key, &offer);
        }
        spent.holder = holder.map_or(0, |key| count(&key, "redemptions"));
        Ok(spent)
    }

    /// What a campaign counted, redemptions only of these days (UTC, both included). `None` when that is more than
    /// [`ROWS`].
    pub async fn report(
        &self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        (from, until): (Date, Date),
    ) -> Result<Option<Report>, Fault> {
        let shards = (0..SHARDS).map(|shard| async move {
            let keys = ["PASSES", "WALLET"].map(|sort| shard_key(merchant_id, campaign_id, shard, sort));
            let whole = self.get_many(&keys);
            // '~' sorts after everything an offer's name holds.
            let days = (format!("DAY#{from}#"), format!("DAY#{until}#~"));
            tokio::try_join!(whole, self.rows(merchant_id, campaign_id, shard, days))
        });
        let mut report = Report::default();
        for (whole, rows) in try_join_all(shards).await? {
            let Some(rows) = rows else { return Ok(None) };
            for item in whole.values() {
                report.issued += count_of(item, Happened::Issued.attribute());
                report.imported += count_of(item, Happened::Imported.attribute());
                report.installed += count_of(item, Happened::Installed.attribute());
                report.removed += count_of(item, Happened::Removed.attribute());
                report.unreachable += count_of(item, Happened::Unreachable.attribute());
                report.forgotten += count_of(item, Happened::Forgotten.attribute());
                report.erased += count_of(item, Happened::Erased.attribute());
                for (place, count) in report.wallet.iter_mut().enumerate() {
                    *count += count_of(item, &format!("bucket {place}"));
                }
            }
            for (row, uses) in rows {
                let sum = report.rows.entry(row).or_default();
                sum.redeemed += uses.redeemed;
                sum.reversed += uses.reversed;
            }
        }
        Ok(Some(report).filter(|report| report.rows.len() <= ROWS))
    }

    /// The rows of one partition; `None` when they are more than [`ROWS`].
    async fn rows(
        &self,
        merchant_id: &str,
        campaign_id: &CampaignId,
        shard: usize,
        (first, last): (String, String),
    ) -> Result<Option<Vec<(Row, Uses)>>, Fault> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let answer = self
                .client()
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .expression_attribute_values(":pk", text(&shard_key(merchant_id, campaign_id, shard, "").partition))
                .expression_attribute_values(":first", text(&first))
                .expression_attribute_values(":last", text(&last))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| fault("reading what was redeemed", error))?;
            for item in answer.items.unwrap_or_default() {
                let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
                let offer_id = text("offer").and_then(|offer| offer.parse().ok());
                let (Some(day), Some(offer_id)) = (text("date"), offer_id) else {
                    return Err(Fault::contradiction("a tally of no day or offer"));
                };
                let uses = Uses { redeemed: count_of(&item, "redeemed"), reversed: count_of(&item, "reversed") };
                rows.push((Row { day, offer_id, location: text("place") }, uses));
            }
            if rows.len() > ROWS {
                return Ok(None);
            }
            match answer.last_evaluated_key {
                Some(next) => start = Some(next),
                None => return Ok(Some(rows)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_falls_into_the_first_bucket_that_holds_it() {
        let bucket = |milliseconds| bucket(SignedDuration::from_millis(milliseconds));
        assert_eq!((bucket(-5), bucket(0), bucket(1000), bucket(1001)), (0, 0, 0, 1));
        assert_eq!((bucket(86_400_000), bucket(86_400_001)), (12, 13));
    }
}
