//! `GET /merchant/v1/campaigns`: the merchant's campaigns by name.

use domain::time;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::identifiers::CampaignId;
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    input,
    keys::Role,
    store::StoredCampaign,
};
use serde_json::{Value, json};

/// The door.
pub const FUNCTION: Function = Function {
    name: "list-campaigns",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// One page of 40 campaigns, without offers and overlays; the cursor is the name of the last.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let mut query = input::query(&request);
    let after: Option<CampaignId> = query.optional("cursor");
    let after = query.done(Some(after))?;
    let (campaigns, next) = app.store.campaigns(&merchant.merchant_id, after.as_ref()).await?;
    let campaigns: Vec<Value> = campaigns.iter().map(show).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "campaigns": campaigns, "nextCursor": next })))
}

fn show(stored: &StoredCampaign) -> Value {
    let campaign = &stored.campaign;
    json!({
        "campaignId": campaign.campaign_id,
        "passTypeIdentifier": campaign.draft.pass_type_identifier,
        "templateId": campaign.draft.template_id,
        "templateVersion": campaign.template.version,
        "revision": stored.revision(),
        "createdAt": time::to_text(campaign.created_at),
        "updatedAt": time::to_text(campaign.updated_at),
    })
}
