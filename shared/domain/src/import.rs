//! Passes from another system: what such a pass has been through elsewhere, as far as it matters here.
//!
//! Its serial number and its authentication token are what phones in the field hold, so they stay; everything else may
//! be new. Which redemptions led there is not known, only that there were some.

use jiff::Timestamp;
use passkit::{
    identifiers::OfferId,
    problem::{Problem, Problems},
};

use crate::{
    Campaign, Redemption,
    pass::{Greeting, MissingOffer, NewPass, Pass, PassState},
};

/// Where an imported pass is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ImportedState {
    /// A till may redeem it.
    #[default]
    Redeemable,
    /// Its offer was used; the next one, if the campaign has one, comes as after a redemption.
    Redeemed,
    /// Its offer was used, and nothing more comes.
    Finished,
    /// It is worth nothing.
    Voided,
}

/// Why a text names no state of an imported pass.
#[derive(Debug, thiserror::Error)]
#[error("must be redeemable, redeemed, finished or voided")]
pub struct NoImportedState;

impl std::str::FromStr for ImportedState {
    type Err = NoImportedState;
    fn from_str(text: &str) -> Result<ImportedState, NoImportedState> {
        Ok(match text {
            "redeemable" => ImportedState::Redeemable,
            "redeemed" => ImportedState::Redeemed,
            "finished" => ImportedState::Finished,
            "voided" => ImportedState::Voided,
            _ => return Err(NoImportedState),
        })
    }
}

/// What a pass has been through elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Where it is.
    pub state: ImportedState,
    /// Its offer; `None`: the campaign's first.
    pub offer_id: Option<OfferId>,
    /// Times this offer was redeemed; of a redeemed or finished pass, `None` is as often as the offer may be.
    pub redemptions: Option<u32>,
    /// When it was redeemed last; `None`: not known, so now.
    pub redeemed_at: Option<Timestamp>,
}

impl Pass {
    /// A pass that was made elsewhere. `redemption_id` names its last redemption, if it had one, for tills that scan it
    /// again.
    pub fn import(
        new: NewPass,
        imported: &Imported,
        redemption_id: String,
        campaign: &Campaign,
        now: Timestamp,
    ) -> Result<Result<Pass, Problems>, MissingOffer> {
        let mut pass = Pass::issue(new, campaign, now)?;
        let mut problems = Problems::new();
        if let Some(offer_id) = &imported.offer_id {
            match campaign.draft.offers.iter().position(|offer| &offer.offer_id == offer_id) {
                Some(position) => (pass.offer_id, pass.offer_position) = (offer_id.clone(), position),
                None => problems.push(Problem::new("/offerId", "the campaign has no such offer")),
            }
        }
        let offer = pass.offer(campaign)?.clone();
        let usual = match imported.state {
            ImportedState::Redeemed | ImportedState::Finished => offer.limit(),
            ImportedState::Redeemable | ImportedState::Voided => 0,
        };
        pass.redemptions = imported.redemptions.unwrap_or(usual);
        let (least, most) = match imported.state {
            ImportedState::Redeemable => (0, offer.limit().saturating_sub(1)),
            ImportedState::Redeemed | ImportedState::Finished => (1, offer.limit()),
            ImportedState::Voided => (0, offer.limit()),
        };
        if !(least..=most).contains(&pass.redemptions) {
            problems.push(Problem::new("/redemptions", format!("must be {least} to {most} in this state")));
        }
        if imported.redeemed_at.is_some_and(|at| at > now) {
            problems.push(Problem::new("/redeemedAt", "must not be in the future"));
        }
        pass.last_redemption = (pass.redemptions > 0).then(|| Redemption {
            redemption_id,
            offer_id: offer.offer_id.clone(),
            offer_title: offer.title.clone(),
            redeemed_at: imported.redeemed_at.unwrap_or(now),
            location: None,
            till: None,
        });
        // Whoever carries it already is not greeted.
        pass.greeting = Greeting::Over;
        pass.state = match imported.state {
            ImportedState::Redeemable => PassState::Redeemable,
            ImportedState::Redeemed => {
                let next_offer_at = now + campaign.next_offer_after();
                let follows = pass.offer_after(campaign, next_offer_at).is_some();
                if follows { PassState::Redeemed { next_offer_at } } else { PassState::Finished }
            }
            ImportedState::Finished => PassState::Finished,
            ImportedState::Voided => PassState::Voided { voided_at: now, reason: None },
        };
        pass.ended_at = (pass.state == PassState::Finished).then_some(now);
        // The date goes with the look of the state that the pass begins in.
        let pass = pass.dated(campaign, now);
        Ok(if problems.is_empty() { Ok(pass) } else { Err(problems) })
    }
}

#[cfg(test)]
mod tests;
