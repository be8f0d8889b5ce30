//! What a till says and what it is told.

use jiff::Timestamp;
use passkit::identifiers::{OfferId, PassIdentity};
use serde::{Deserialize, Serialize};

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
    /// No such pass, or no pass with such a barcode.
    #[error("there is no pass with this barcode or serial number")]
    UnknownPass,
    /// The merchant chose a serial number that one of its passes has.
    #[error("there is already a pass {} with serial number {}", .0.pass_type_identifier, .0.serial_number)]
    SerialNumberTaken(PassIdentity),
}
