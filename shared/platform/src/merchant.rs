//! What the doors for merchants share: finding a merchant's pass, and showing it.

use std::str::FromStr;

use domain::{Campaign, Pass, PassState, time};
use jiff::Timestamp;
use lambda_http::Request;
use passkit::{
    identifiers::{CampaignId, OfferId, PassIdentity, PassTypeIdentifier, SerialNumber},
    problem::{Problem, Problems},
};
use serde::Serialize;

use crate::{
    App, Fault,
    function::path_parameter,
    http::Failure,
    keys::Merchant,
    links,
    store::{Counts, StoredCampaign, StoredPass},
};

/// Bytes of holder data as JSON: with it a pass's record stays within a few kilobytes.
pub const HOLDER_LIMIT: usize = 4096;

/// The state of a pass as merchants see it: the present one, computed from what is stored and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PresentState {
    /// A till may redeem it, when its time has come.
    Redeemable,
    /// Used; the next offer comes.
    Redeemed,
    /// Used; no offer comes.
    Finished,
    /// Worth nothing, as the merchant said.
    Voided,
    /// Its time is over.
    Expired,
}

/// Why a text names no state.
#[derive(Debug, thiserror::Error)]
#[error("must be redeemable, redeemed, finished, voided or expired")]
pub struct NoState;

impl FromStr for PresentState {
    type Err = NoState;
    fn from_str(text: &str) -> Result<PresentState, NoState> {
        Ok(match text {
            "redeemable" => PresentState::Redeemable,
            "redeemed" => PresentState::Redeemed,
            "finished" => PresentState::Finished,
            "voided" => PresentState::Voided,
            "expired" => PresentState::Expired,
            _ => return Err(NoState),
        })
    }
}

impl PresentState {
    /// Of a pass whose time is not over.
    pub fn unexpired(state: &PassState) -> PresentState {
        match state {
            PassState::Redeemable => PresentState::Redeemable,
            PassState::Redeemed { .. } => PresentState::Redeemed,
            PassState::Finished => PresentState::Finished,
            PassState::Voided { .. } => PresentState::Voided,
        }
    }

    /// Of a pass at `now`.
    pub fn of(pass: &Pass, campaign: &Campaign, now: Timestamp) -> Result<PresentState, Fault> {
        Ok(match &pass.state {
            PassState::Redeemable if pass.is_expired(campaign, now)? => PresentState::Expired,
            state @ (PassState::Redeemable
            | PassState::Redeemed { .. }
            | PassState::Finished
            | PassState::Voided { .. }) => PresentState::unexpired(state),
        })
    }
}

/// A pass as merchants see it (contract, section 4, Passes).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassView<'a> {
    pass_type_identifier: &'a PassTypeIdentifier,
    serial_number: &'a SerialNumber,
    campaign_id: &'a CampaignId,
    state: PresentState,
    version: u64,
    offer: OfferView<'a>,
    barcode: &'a str,
    redemptions_left: u32,
    devices: u64,
    holder: &'a serde_json::Value,
    landing_url: Option<String>,
    download_url: Option<String>,
    #[serde(with = "time::optional_text")]
    link_expires_at: Option<Timestamp>,
    download_limit: Option<u32>,
    downloads: u64,
    #[serde(with = "time::text")]
    created_at: Timestamp,
    #[serde(with = "time::text")]
    updated_at: Timestamp,
    #[serde(with = "time::optional_text")]
    next_offer_at: Option<Timestamp>,
    #[serde(with = "time::optional_text")]
    expires_at: Option<Timestamp>,
    #[serde(with = "time::optional_text")]
    voided_at: Option<Timestamp>,
    void_reason: Option<&'a str>,
}

/// An offer by name and title.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferView<'a> {
    /// Its name.
    pub offer_id: &'a OfferId,
    /// What people read.
    pub title: &'a str,
}

impl<'a> PassView<'a> {
    /// A pass as it is at `now`.
    pub fn new(
        app: &App,
        pass: &'a Pass,
        campaign: &'a Campaign,
        counts: Counts,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let offer = pass.offer(campaign)?;
        let state = PresentState::of(pass, campaign, now)?;
        let (voided_at, void_reason) = match &pass.state {
            PassState::Voided { voided_at, reason } => (Some(*voided_at), reason.as_deref()),
            PassState::Redeemable | PassState::Redeemed { .. } | PassState::Finished => (None, None),
        };
        let landing_url = pass.link.as_ref().map(|link| links::landing_url(app, &link.id));
        let terms = pass.link.as_ref().map(|link| &link.terms);
        Ok(PassView {
            pass_type_identifier: &pass.identity.pass_type_identifier,
            serial_number: &pass.identity.serial_number,
            campaign_id: &pass.campaign_id,
            state,
            version: pass.version,
            offer: OfferView { offer_id: &offer.offer_id, title: &offer.title },
            barcode: pass.barcode.expose(),
            redemptions_left: pass.remaining(campaign)?,
            devices: counts.devices,
            holder: &pass.holder,
            download_url: landing_url.as_ref().map(|url| format!("{url}.pkpass")),
            landing_url,
            link_expires_at: terms.and_then(|terms| terms.expires_at),
            download_limit: terms.and_then(|terms| terms.download_limit),
            downloads: counts.downloads,
            created_at: pass.created_at,
            updated_at: pass.updated_at,
            next_offer_at: pass.next_offer_at(),
            expires_at: pass.expires_at(campaign)?,
            voided_at,
            void_reason,
        })
    }
}

/// The identity a path names; what is no identifier names no pass.
pub fn pass_identity(request: &Request) -> Result<PassIdentity, Failure> {
    let unknown = |_| Failure::Refused(domain::Refusal::UnknownPass);
    Ok(PassIdentity {
        pass_type_identifier: path_parameter(request, "passTypeIdentifier").parse().map_err(unknown)?,
        serial_number: path_parameter(request, "serialNumber").parse().map_err(unknown)?,
    })
}

/// Problems of a pass that come from its holder data, said of the request that brought it.
pub fn of_holder(problems: Problems) -> Problems {
    let said = |problem: Problem| {
        Problem::new("/holder", format!("makes an invalid pass: {}: {}", problem.path, problem.message))
    };
    problems.into_iter().map(said).collect()
}

/// A merchant's own pass with its campaign; another merchant's is as unknown as none, and so is one that is being erased.
pub async fn pass(
    app: &App,
    merchant: &Merchant,
    identity: &PassIdentity,
) -> Result<(StoredPass, StoredCampaign), Failure> {
    let found = app.store.pass_and_campaign(identity).await?;
    let found = found.filter(|(stored, _)| stored.pass.is_known_to(&merchant.merchant_id));
    found.ok_or(Failure::Refused(domain::Refusal::UnknownPass))
}
