//! `GET /merchant/v1/campaigns/{campaignId}`: a campaign as it is in force.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::identifiers::CampaignId;
use platform::{
    App, Audience, Function, Handler,
    campaign_view::CampaignView,
    function::path_parameter,
    http::{self as answer, Failure},
    keys::Role,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-campaign",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// What was put, with every default filled in, and what the service made of it.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    const UNKNOWN: Failure = Failure::NotFound("campaign");
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let campaign_id: CampaignId = path_parameter(&request, "campaignId").parse().map_err(|_| UNKNOWN)?;
    let stored = app.store.campaign(&merchant.merchant_id, &campaign_id).await?.ok_or(UNKNOWN)?;
    Ok(answer::json(StatusCode::OK, &CampaignView::new(&stored.campaign, stored.revision())))
}
