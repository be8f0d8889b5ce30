//! `PUT /merchant/v1/campaigns/{campaignId}`: puts a campaign into force, new or changed.

use domain::campaign::{Composition, TemplateVersion};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{
    identifiers::{CampaignId, InvalidIdentifier},
    problem::{Problem, add_new},
};
use platform::{
    App, Audience, Function, Handler,
    campaign_view::CampaignView,
    erasing,
    function::path_parameter,
    http::{self as answer, Failure},
    keys::Role,
    store::{ATTEMPTS, CampaignChange, CampaignPut, Holding, Intent, Step, StoredCampaign},
};

mod draft;

/// The door.
pub const FUNCTION: Function = Function {
    name: "put-campaign",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 201 for a new campaign, 200 for a changed one. Passes that the change alters are listed and pushed; no pass is written.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Admin, now).await?;
    let campaign_id: CampaignId = path_parameter(&request, "campaignId")
        .parse()
        .map_err(|error: InvalidIdentifier| Failure::invalid("/campaignId", error.to_string()))?;
    let (draft, mut problems) = draft::read(&request)?;
    let Some(draft) = draft else { return Err(Failure::Invalid(problems)) };
    add_new(&mut problems, draft.problems());
    let problems_of_draft = problems;
    for _ in 0..ATTEMPTS {
        let mut problems = problems_of_draft.clone();
        // Another merchant's pass type is as unknown as one without a certificate.
        let identity = app.identities.of(&draft.pass_type_identifier, now).await?;
        let holding = app.store.holding(&merchant.merchant_id, &draft.pass_type_identifier).await?;
        if identity.is_none() || holding == Holding::Others {
            let message = format!("there is no signing identity for {}", draft.pass_type_identifier);
            problems.push(Problem { path: "/passTypeIdentifier".to_owned(), message });
        }
        let template = app.store.template(&merchant.merchant_id, &draft.template_id).await?;
        if template.is_none() {
            let message = format!("there is no template {:?}; put it first", draft.template_id);
            problems.push(Problem { path: "/templateId".to_owned(), message });
        }
        let Some(template) = template else { return Err(Failure::Invalid(problems)) };
        let previous = app.store.campaign(&merchant.merchant_id, &campaign_id).await?;
        let template_version = TemplateVersion { version: template.version, digest: template.digest.clone() };
        let opened = app.packages.template(&merchant.merchant_id, &template_version).await?;
        let composed = draft.clone().compose(Composition {
            campaign_id: &campaign_id,
            merchant_id: &merchant.merchant_id,
            template: &opened,
            template_version,
            previous: previous.as_ref().map(|stored| &*stored.campaign),
            active: previous.as_ref().map(|stored| stored.campaign.active.clone()).unwrap_or_default(),
            now,
        });
        let composed = match composed {
            Ok(composed) if problems.is_empty() => composed,
            Ok(_) => return Err(Failure::Invalid(problems)),
            Err(found) => {
                add_new(&mut problems, found);
                return Err(Failure::Invalid(problems));
            }
        };
        let mut then = Vec::new();
        if !composed.altered.is_empty() {
            then.push(Intent::new(now, Step::push_campaign(&composed), now)?);
        }
        then.extend(erasing::look_at_all(previous.as_ref().map(|stored| &*stored.campaign), &composed.campaign, now)?);
        let change = CampaignChange { before: previous.as_ref(), after: &composed.campaign, then: &then };
        match app.store.put_campaign(change, &template, holding).await? {
            CampaignPut::Done => {
                app.queues.send_after_commit(&then, now).await;
                let revision = previous.as_ref().map_or(0, StoredCampaign::revision) + 1;
                let status = if previous.is_some() { StatusCode::OK } else { StatusCode::CREATED };
                return Ok(answer::json(status, &CampaignView::new(&composed.campaign, revision)));
            }
            CampaignPut::Changed => {}
        }
    }
    Err(Failure::Busy)
}
