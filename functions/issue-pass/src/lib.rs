//! `POST /merchant/v1/passes`: makes a pass of a campaign.

use domain::{Link, LinkTerms, Pass, Refusal, pass::NewPass};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{
    identifiers::{CampaignId, PassIdentity, SerialNumber},
    problem::{Problem, Problems},
};
use platform::{
    App, Audience, Function, Handler, erasing,
    http::{self as answer, Failure},
    idempotency::{self, Need, Recorded},
    input,
    keys::Role,
    links,
    merchant::{self, HOLDER_LIMIT, PassView},
    random,
    store::{ATTEMPTS, Counts, Issued},
    webhooks,
};
use serde_json::{Map, Value};

/// The door.
pub const FUNCTION: Function = Function {
    name: "issue-pass",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

struct Order {
    campaign_id: CampaignId,
    serial_number: Option<SerialNumber>,
    holder: Value,
    link_terms: LinkTerms,
}

/// What can be read of the order, and every problem of its form.
fn read(request: &Request) -> Result<(Option<Order>, Problems), Failure> {
    let mut fields = input::fields(request)?;
    let campaign_id = fields.required("campaignId");
    let serial_number = fields.optional("serialNumber");
    let holder = fields.raw("holder").filter(|holder| !holder.is_null()).unwrap_or_else(|| Value::Object(Map::new()));
    if !holder.is_object() {
        fields.wrong("holder", "must be an object");
    }
    if holder.to_string().len() > HOLDER_LIMIT {
        fields.wrong("holder", format!("must be at most {HOLDER_LIMIT} bytes of JSON"));
    }
    let link_terms = links::terms(&mut fields);
    Ok(fields.so_far(campaign_id.map(|campaign_id| Order { campaign_id, serial_number, holder, link_terms })))
}

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let (order, problems) = read(&request)?;
    let Some(order) = order else { return Err(Failure::Invalid(problems)) };
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let mut problems = problems.clone();
        problems.extend(links::problems_of_terms(&order.link_terms, now));
        let campaign = app.store.campaign(&merchant.merchant_id, &order.campaign_id).await?;
        if campaign.is_none() {
            problems.push(Problem::new("/campaignId", "there is no such campaign"));
        }
        let Some(campaign) = campaign.filter(|_| problems.is_empty()).map(|stored| stored.campaign) else {
            return Err(Failure::Invalid(problems));
        };
        let serial_number = match &order.serial_number {
            Some(serial_number) => serial_number.clone(),
            None => random::serial_number()?,
        };
        let pass_type_identifier = campaign.draft.pass_type_identifier.clone();
        let new = NewPass {
            identity: PassIdentity { pass_type_identifier, serial_number },
            authentication_token: random::authentication_token()?,
            link: Link { id: random::link()?, terms: order.link_terms.clone() },
            barcode: random::barcode()?,
            holder: order.holder.clone(),
        };
        let pass = Pass::issue(new, &campaign, now)?;
        let problems = app.packages.check(app, &pass, &campaign, now).await?;
        if !problems.is_empty() {
            return Err(Failure::Invalid(merchant::of_holder(problems)));
        }
        let view = PassView::new(app, &pass, &campaign, Counts::default(), now)?;
        let recorded = once.as_ref().map(|once| once.recording(StatusCode::CREATED, &view, now)).transpose()?;
        let recorded = recorded.map(Recorded::telling_of_holder);
        let mut then: Vec<_> = erasing::first_look(&pass, &campaign, now)?.into_iter().collect();
        then.extend(webhooks::news(app, &pass, now).await?);
        match app.store.issue(&pass, recorded.as_ref(), &then).await? {
            Issued::New => {
                app.queues.send_after_commit(&then, now).await;
                return Ok(answer::json(StatusCode::CREATED, &view));
            }
            Issued::SerialNumberTaken => {
                idempotency::refuse(app, once.as_ref(), Refusal::SerialNumberTaken(pass.identity), now).await?;
            }
            Issued::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}
