//! A campaign as its merchant sees it: what was put, and what the service made of it.

use domain::{Campaign, CampaignDraft, time};
use jiff::Timestamp;
use passkit::identifiers::{CampaignId, OfferId};
use serde::Serialize;

/// The campaign, and the revision it has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CampaignView<'a> {
    campaign_id: &'a CampaignId,
    #[serde(flatten)]
    draft: &'a CampaignDraft,
    template_version: u64,
    /// Grows with every change.
    revision: u64,
    /// Offers of earlier versions that passes may still have.
    retired_offer_ids: Vec<&'a OfferId>,
    #[serde(with = "time::text")]
    created_at: Timestamp,
    #[serde(with = "time::text")]
    updated_at: Timestamp,
}

impl<'a> CampaignView<'a> {
    /// A campaign at a revision ([`crate::store::StoredCampaign::revision`]).
    pub fn new(campaign: &'a Campaign, revision: u64) -> Self {
        CampaignView {
            campaign_id: &campaign.campaign_id,
            draft: &campaign.draft,
            template_version: campaign.template.version,
            revision,
            retired_offer_ids: campaign.retired_offers.iter().map(|offer| &offer.offer_id).collect(),
            created_at: campaign.created_at,
            updated_at: campaign.updated_at,
        }
    }
}
