//! What a till says and what it is told.

use jiff::{SignedDuration, Timestamp};
use passkit::{
    identifiers::{OfferId, PassIdentity},
    secrets::Barcode,
};
use serde::{Deserialize, Serialize};

use crate::{Campaign, limit::Limit};

/// What the till told about a redemption; both texts are the merchant's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionRequest {
    /// Where: the shop.
    pub location: Option<String>,
    /// Which till.
    pub till: Option<String>,
}

/// A redemption that counted. It never changes afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redemption {
    /// Unguessable, ours.
    pub redemption_id: String,
    /// Which offer of the pass.
    pub offer_id: OfferId,
    /// The offer's title at that moment.
    pub offer_title: String,
    /// When.
    #[serde(with = "crate::time::text")]
    pub redeemed_at: Timestamp,
    /// Where, as the till said.
    pub location: Option<String>,
    /// Which till, as it said.
    pub till: Option<String>,
}

/// What a redemption brings besides what the till says: the random parts.
#[derive(Debug)]
pub struct NewRedemption {
    /// Fresh.
    pub redemption_id: String,
    /// Fresh: the pass's next barcode, should it get one.
    pub barcode: Barcode,
}

/// A redemption that counted, with its place in the life of its pass: what a reversal decides from. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountedRedemption {
    /// The redemption.
    #[serde(flatten)]
    pub redemption: Redemption,
    /// The version of the pass that it made.
    pub pass_version: u64,
    /// Which offer of its life the pass had ([`crate::Pass::round`]).
    pub round: u64,
    /// Where that offer stood in the campaign when the pass got it.
    pub offer_position: usize,
    /// Redemptions of that offer by this pass, this one included.
    pub redemptions: u32,
    /// When the next offer comes, if this was the last use and one follows.
    #[serde(with = "crate::time::optional_text")]
    pub next_offer_at: Option<Timestamp>,
}

impl CountedRedemption {
    /// From when on it cannot be reversed any more, as the campaign says now.
    pub fn reversible_until(&self, campaign: &Campaign) -> Timestamp {
        self.redemption.redeemed_at + SignedDuration::from_secs(campaign.draft.reversible_for_seconds.into())
    }
}

/// Why a redemption, or another wish about a pass, is refused. The answer is no, and the reason is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pass shows "used": this is the redemption that counted.
    #[error("this offer was already redeemed")]
    AlreadyRedeemed(Box<Redemption>),
    /// The merchant voided the pass.
    #[error("this pass was voided")]
    Voided,
    /// The offer's `redeemableUntil` or the `expirationDate` of the pass has come.
    #[error("this pass expired at {}", crate::time::to_text(*.0))]
    Expired(Timestamp),
    /// The offer's `redeemableFrom` has not come.
    #[error("this offer is redeemable from {}", crate::time::to_text(*.0))]
    NotYetRedeemable(Timestamp),
    /// As many redemptions as the campaign allows counted already.
    #[error("{0}")]
    LimitReached(Limit),
    /// No such redemption.
    #[error("there is no such redemption")]
    UnknownRedemption,
    /// The campaign's `reversibleForSeconds` are over.
    #[error("this redemption could be reversed until {}", crate::time::to_text(*.0))]
    TooLateToReverse(Timestamp),
    /// The pass has gone on since.
    #[error("{0}")]
    NotReversible(Hindrance),
    /// No such pass, or no pass with such a barcode.
    #[error("there is no pass with this barcode or serial number")]
    UnknownPass,
    /// The merchant chose a serial number that one of its passes has.
    #[error("there is already a pass {} with serial number {}", .0.pass_type_identifier, .0.serial_number)]
    SerialNumberTaken(PassIdentity),
}

/// Why a redemption cannot be reversed although its time is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    /// The merchant voided the pass, which is final.
    #[error("the pass was voided since")]
    Voided,
    /// A later offer was redeemed, or this was not the use that ended its offer: to go back would take another use with it.
    #[error("the pass has gone on to a later offer since, and cannot go back")]
    GoneOn,
}
