//! A redemption as merchants see it afterwards.

use domain::{Campaign, Refusal, time};
use jiff::Timestamp;
use lambda_http::Request;
use passkit::identifiers::{CampaignId, PassTypeIdentifier, SerialNumber};
use serde::Serialize;

use crate::{
    App,
    function::path_parameter,
    http::Failure,
    keys::Merchant,
    merchant::OfferView,
    store::{StoredCampaign, StoredPass, StoredRedemption},
};

/// Characters of the longest text that is looked up as a redemption's id; ours have 16.
const ID_LIMIT: usize = 64;

/// The redemption, and whether it still counts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedemptionView<'a> {
    redemption_id: &'a str,
    pass_type_identifier: &'a PassTypeIdentifier,
    serial_number: &'a SerialNumber,
    campaign_id: &'a CampaignId,
    offer: OfferView<'a>,
    #[serde(with = "time::text")]
    redeemed_at: Timestamp,
    location: Option<&'a str>,
    till: Option<&'a str>,
    #[serde(with = "time::optional_text")]
    next_offer_at: Option<Timestamp>,
    pass_version: u64,
    #[serde(with = "time::text")]
    reversible_until: Timestamp,
    #[serde(with = "time::optional_text")]
    reversed_at: Option<Timestamp>,
    reversal_reason: Option<&'a str>,
    reversal_version: Option<u64>,
}

impl<'a> RedemptionView<'a> {
    /// A redemption of this campaign.
    pub fn new(stored: &'a StoredRedemption, campaign: &Campaign) -> RedemptionView<'a> {
        let counted = &stored.counted;
        let made = &counted.redemption;
        let reversal = stored.reversal.as_ref();
        RedemptionView {
            redemption_id: &made.redemption_id,
            pass_type_identifier: &stored.identity.pass_type_identifier,
            serial_number: &stored.identity.serial_number,
            campaign_id: &stored.campaign_id,
            offer: OfferView { offer_id: &made.offer_id, title: &made.offer_title },
            redeemed_at: made.redeemed_at,
            location: made.location.as_deref(),
            till: made.till.as_deref(),
            next_offer_at: counted.next_offer_at,
            pass_version: counted.pass_version,
            reversible_until: counted.reversible_until(campaign),
            reversed_at: reversal.map(|reversal| reversal.reversed_at),
            reversal_reason: reversal.and_then(|reversal| reversal.reason.as_deref()),
            reversal_version: reversal.map(|reversal| reversal.pass_version),
        }
    }
}

/// The redemption that a path names, with its campaign, if it is the merchant's, and with its pass, unless that was erased, or is
/// being erased: then the clerk's words are unknown too, for they may be about the customer.
pub async fn named(
    app: &App,
    merchant: &Merchant,
    request: &Request,
) -> Result<(StoredRedemption, Option<StoredPass>, StoredCampaign), Failure> {
    let unknown = || Failure::Refused(Refusal::UnknownRedemption);
    let redemption_id = path_parameter(request, "redemptionId");
    if redemption_id.is_empty() || redemption_id.len() > ID_LIMIT {
        return Err(unknown());
    }
    let mut redemption = app.store.redemption(&merchant.merchant_id, &redemption_id).await?.ok_or_else(unknown)?;
    let found = app.store.pass_and_campaign(&redemption.identity).await?;
    if let Some((pass, campaign)) = found.filter(|(found, _)| found.pass.is_known_to(&merchant.merchant_id)) {
        return Ok((redemption, Some(pass), campaign));
    }
    if let Some(reversal) = &mut redemption.reversal {
        reversal.reason = None;
    }
    let campaign = app.store.campaign(&merchant.merchant_id, &redemption.campaign_id).await?;
    Ok((redemption, None, campaign.ok_or_else(unknown)?))
}
