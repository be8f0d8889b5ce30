//! `PUT /merchant/v1/templates/{templateId}`: the zip of an ordinary `.pass` folder becomes the newest version of a
//! template, and every campaign made from it follows at once.

use domain::{Campaign, campaign::Composition, campaign::TemplateVersion};
use http::{Response, StatusCode, header};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{
    identifiers::TemplateId,
    problem::{Problem, note},
    template::Template,
};
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure, header_text},
    keys::Role,
    store::{ATTEMPTS, CampaignChange, CampaignPut, Content, Intent, Step, StoredCampaign, StoredTemplate},
};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The door.
pub const FUNCTION: Function = Function {
    name: "put-template",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Campaigns made from one template: each is up to two writes of a transaction's hundred, and all change together.
const CAMPAIGNS_LIMIT: usize = 45;

/// Bytes of all their records. A transaction has 4 MB, names and numbers included.
const RECORDS_BYTES: usize = 3_500_000;

/// 201 for new content, 200 for the content that is newest already.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Admin, now).await?;
    let template_id: TemplateId = path_parameter(&request, "templateId")
        .parse()
        .map_err(|error: passkit::identifiers::InvalidIdentifier| Failure::invalid("/templateId", error.to_string()))?;
    let media_type = header_text(&request, header::CONTENT_TYPE).unwrap_or_default();
    if !media_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/zip")) {
        return Err(Failure::UnsupportedMediaType { expected: "application/zip" });
    }
    let archive = answer::body(&request, Template::MAX_ARCHIVE_BYTES)?;
    let (template, warnings) = Template::from_zip(archive).map_err(Failure::Invalid)?;
    let digest = hex::encode(template.content_digest());

    for _ in 0..ATTEMPTS {
        let previous = app.store.template(&merchant.merchant_id, &template_id).await?;
        if let Some(previous) = &previous
            && previous.digest == digest
        {
            return Ok(show(StatusCode::OK, previous));
        }
        let sha256 = hex::encode(Sha256::digest(archive));
        let content = Content { digest: digest.clone(), sha256, warnings: warnings.clone() };
        let stored = StoredTemplate::after(previous.as_ref(), &merchant.merchant_id, &template_id, content, now);
        let version = TemplateVersion { version: stored.version, digest: digest.clone() };
        let campaigns = app.store.campaigns_of_template(&merchant.merchant_id, &template_id).await?;
        let followed = follow(&campaigns, &template, &version, now)?;
        // The archive first: whatever names it must find it.
        app.packages.put_template(&merchant.merchant_id, &digest, archive).await?;
        let changes: Vec<CampaignChange<'_>> = campaigns
            .iter()
            .zip(&followed)
            .map(|(before, (after, then))| CampaignChange { before: Some(before), after, then })
            .collect();
        match app.store.put_template(previous.as_ref(), &stored, &changes).await? {
            CampaignPut::Done => {
                for (_, then) in &followed {
                    app.queues.send_after_commit(then, now).await;
                }
                return Ok(show(StatusCode::CREATED, &stored));
            }
            CampaignPut::Changed => {}
        }
    }
    Err(Failure::Busy)
}

/// Every campaign composed anew. A template that some campaign cannot be made from is refused, naming where.
fn follow(
    campaigns: &[StoredCampaign],
    template: &Template,
    version: &TemplateVersion,
    now: Timestamp,
) -> Result<Vec<(Campaign, Vec<Intent>)>, Failure> {
    if campaigns.len() > CAMPAIGNS_LIMIT {
        let message = format!("more than {CAMPAIGNS_LIMIT} campaigns are made from this template");
        return Err(Failure::invalid("/templateId", message));
    }
    let (mut followed, mut problems) = (Vec::new(), Vec::new());
    for campaign in campaigns.iter().map(|stored| &stored.campaign) {
        let composition = Composition {
            campaign_id: &campaign.campaign_id,
            merchant_id: &campaign.merchant_id,
            template,
            template_version: version.clone(),
            previous: Some(campaign),
            active: campaign.active.clone(),
            now,
        };
        match campaign.draft.clone().compose(composition) {
            Ok(composed) => {
                let mut then = Vec::new();
                if !composed.altered.is_empty() {
                    then.push(Intent::new(now, Step::push_campaign(&composed), now)?);
                }
                followed.push((composed.campaign, then));
            }
            Err(found) => {
                for problem in found {
                    let path = format!("/campaigns/{}{}", campaign.campaign_id, problem.path);
                    note(&mut problems, Problem::new(path, problem.message));
                }
            }
        }
    }
    let size = |(campaign, _): &(Campaign, _)| serde_json::to_vec(campaign).map_or(0, |record| record.len());
    if followed.iter().map(size).sum::<usize>() > RECORDS_BYTES {
        let message = format!("the campaigns made from this template have more than {RECORDS_BYTES} bytes together");
        note(&mut problems, Problem::new("/templateId", message));
    }
    if problems.is_empty() { Ok(followed) } else { Err(Failure::Invalid(problems)) }
}

fn show(status: StatusCode, template: &StoredTemplate) -> Response<Body> {
    let StoredTemplate { template_id, version, sha256, warnings, .. } = template;
    let body = json!({ "templateId": template_id, "version": version, "sha256": sha256, "warnings": warnings });
    answer::json(status, &body)
}
