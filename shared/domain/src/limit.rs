//! Limits on redemptions beyond one pass: of a campaign, of an offer, of a holder.
//!
//! A limit of a campaign is counted in [`SHARDS`] places, so that a thousand tills do not queue for one record. Every
//! place may count up to its share, and no share is ever given twice:
//!
//! - the shares of a limit add up to the limit ([`shares`]);
//! - a place that counted more than its share (the merchant lowered the limit) is closed, and the others share the rest;
//! - for one limit, no open place can outgrow its share, so whoever works the shares out, and from however old a reading,
//!   gets the same ones; a reversal makes them larger, never smaller.
//!
//! So the till's transaction only asks of its own place "still below this share?", and exactly as many redemptions count
//! as the limit says (`docs/decisions/0006`).

use passkit::problem::{Problem, Problems};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Campaign, CampaignDraft, Offer, Pass, Refusal,
    campaign::{MAXIMUM_REDEMPTIONS, MAXIMUM_REVERSIBLE_FOR_SECONDS, MAXIMUM_TOTAL_REDEMPTIONS},
};

/// Places in which a campaign's redemptions are counted. DynamoDB writes 1,000 units a second to one item and a
/// transaction takes two for each, so 16 places carry 8,000 redemptions a second by capacity; what binds first is that
/// two transactions on one item at the same moment conflict: with 10 ms each, about 1,600 a second.
pub const SHARDS: usize = 16;
/// Characters of a `holderKey`.
pub const HOLDER_KEY_CHARACTERS: usize = 200;

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// The campaign's `totalRedemptionLimit`.
    #[error("as many redemptions as this campaign allows were made")]
    Campaign,
    /// The offer's `totalRedemptionLimit`.
    #[error("as many redemptions as this offer allows were made")]
    Offer,
    /// The campaign's `redemptionsPerHolder`.
    #[error("the holder made as many redemptions as this campaign allows")]
    Holder,
}

/// What has been counted when a till asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    /// Redemptions of the campaign, by place.
    pub campaign: [u32; SHARDS],
    /// Redemptions of the offer, by place.
    pub offer: [u32; SHARDS],
    /// Redemptions of the holder.
    pub holder: u32,
}

/// A place to count in, and below which count it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which place.
    pub shard: usize,
    /// It counts if fewer than these were counted there; none: in any case.
    pub below: Option<u32>,
}

/// Where a redemption is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// For the campaign.
    pub campaign: Place,
    /// For the offer; the same place as the campaign's if that has room.
    pub offer: Place,
    /// For the holder, with the limit.
    pub holder: Option<(HolderId, u32)>,
}

/// Who the holder of a pass is, as far as the campaign's limit goes. Personal: it is stored as a digest only.
#[derive(Clone, PartialEq, Eq)]
pub struct HolderId(String);

impl HolderId {
    /// The text to make a digest of.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for HolderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HolderId(…)")
    }
}

/// The share of every open place; `None`: the place is closed.
pub fn shares(limit: u32, counted: &[u32; SHARDS]) -> [Option<u32>; SHARDS] {
    let mut closed = [false; SHARDS];
    loop {
        let spent: u64 =
            counted.iter().zip(closed).filter(|(_, closed)| *closed).map(|(count, _)| u64::from(*count)).sum();
        let rest = u64::from(limit).saturating_sub(spent);
        let open = closed.iter().filter(|closed| !**closed).count() as u64;
        let mut shares = [None; SHARDS];
        let to_share = shares.iter_mut().zip(closed).filter(|(_, closed)| !closed);
        for (position, (share, _)) in (0..).zip(to_share) {
            let even = rest / open + u64::from(position < rest % open);
            *share = Some(u32::try_from(even).unwrap_or(u32::MAX));
        }
        let mut closes = false;
        for (place, share) in shares.iter().enumerate() {
            if share.is_some_and(|share| counted[place] > share) {
                closed[place] = true;
                closes = true;
            }
        }
        if !closes {
            return shares;
        }
    }
}

/// The places with room.
fn rooms(limit: Option<u32>, counted: &[u32; SHARDS]) -> Vec<Place> {
    let Some(limit) = limit else { return (0..SHARDS).map(|shard| Place { shard, below: None }).collect() };
    let shares = shares(limit, counted).into_iter().enumerate();
    let rooms = shares.filter(|(shard, share)| share.is_some_and(|share| counted[*shard] < share));
    rooms.map(|(shard, below)| Place { shard, below }).collect()
}

impl Campaign {
    /// Whether it has a limit beyond one pass that a redemption of this offer must look at.
    pub fn limits(&self, offer: &Offer) -> bool {
        self.draft.total_redemption_limit.is_some()
            || offer.total_redemption_limit.is_some()
            || self.draft.redemptions_per_holder.is_some()
    }

    /// Who the holder of a pass is, if the campaign limits redemptions by holder. Letters' case and blanks around do not
    /// matter. A pass that names nobody is a holder of its own.
    pub fn holder(&self, pass: &Pass) -> Option<HolderId> {
        let pointer = self.draft.holder_key.as_ref().filter(|_| self.draft.redemptions_per_holder.is_some())?;
        let named = match pass.holder.pointer(pointer) {
            Some(Value::String(text)) => Some(text.trim().to_lowercase()).filter(|text| !text.is_empty()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
        };
        Some(HolderId(match named {
            Some(text) => format!("holder {text}"),
            None => format!("pass {} {}", pass.identity.pass_type_identifier, pass.identity.serial_number),
        }))
    }

    /// Where one more redemption of `offer` by `pass` is counted, or which limit is reached. `pick` is a random number: it
    /// spreads the tills over the places.
    pub fn claim(&self, offer: &Offer, pass: &Pass, spent: &Spent, pick: usize) -> Result<Claim, Refusal> {
        let holder = self.holder(pass).zip(self.draft.redemptions_per_holder);
        if holder.as_ref().is_some_and(|(_, limit)| spent.holder >= *limit) {
            return Err(Refusal::LimitReached(Limit::Holder));
        }
        let of_campaign = rooms(self.draft.total_redemption_limit, &spent.campaign);
        let of_offer = rooms(offer.total_redemption_limit, &spent.offer);
        let any = |rooms: &[Place], limit| match rooms {
            [] => Err(Refusal::LimitReached(limit)),
            rooms => Ok(rooms[pick % rooms.len()]),
        };
        let (alone, offers) = (any(&of_campaign, Limit::Campaign)?, any(&of_offer, Limit::Offer)?);
        let pair = |campaign: &Place| {
            let offer = of_offer.iter().find(|offer| offer.shard == campaign.shard)?;
            Some((*campaign, *offer))
        };
        let both: Vec<(Place, Place)> = of_campaign.iter().filter_map(pair).collect();
        let (campaign, offer) = if both.is_empty() { (alone, offers) } else { both[pick % both.len()] };
        Ok(Claim { campaign, offer, holder })
    }
}

/// What is wrong with a draft's limits, each by path.
pub(crate) fn problems(draft: &CampaignDraft) -> Problems {
    let mut problems = Problems::new();
    let mut within = |path: String, value: Option<u32>, most: u32| {
        if value.is_some_and(|value| !(1..=most).contains(&value)) {
            problems.push(Problem::new(path, format!("must be 1 to {most}, or null for any number")));
        }
    };
    within("/totalRedemptionLimit".to_owned(), draft.total_redemption_limit, MAXIMUM_TOTAL_REDEMPTIONS);
    within("/redemptionsPerHolder".to_owned(), draft.redemptions_per_holder, MAXIMUM_REDEMPTIONS);
    for (index, offer) in draft.offers.iter().enumerate() {
        let path = format!("/offers/{index}/totalRedemptionLimit");
        within(path, offer.total_redemption_limit, MAXIMUM_TOTAL_REDEMPTIONS);
    }
    if draft.redemptions_per_holder.is_some() && draft.holder_key.is_none() {
        problems.push(Problem::new(
            "/holderKey",
            "redemptionsPerHolder needs it: which of the holder's data says who they are",
        ));
    }
    if let Some(key) = &draft.holder_key
        && (!key.starts_with('/') || key.chars().count() > HOLDER_KEY_CHARACTERS)
    {
        let message = format!(
            "must be a JSON pointer into the holder's data, such as /email, of at most {HOLDER_KEY_CHARACTERS} characters"
        );
        problems.push(Problem::new("/holderKey", message));
    }
    // Whoever has the pass enrols, and enrols again under another name: no limit by that would hold.
    if draft.holder_key.as_deref().is_some_and(|key| key == "/personalization" || key.starts_with("/personalization/"))
    {
        problems.push(Problem::new("/holderKey", "must not lie in /personalization, which customers write themselves"));
    }
    if draft.reversible_for_seconds > MAXIMUM_REVERSIBLE_FOR_SECONDS {
        let message = format!("must be 0 to {MAXIMUM_REVERSIBLE_FOR_SECONDS}");
        problems.push(Problem::new("/reversibleForSeconds", message));
    }
    problems
}

#[cfg(test)]
mod tests;
