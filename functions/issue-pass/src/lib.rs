//! `POST /merchant/v1/passes`: makes a pass of a campaign.

use domain::Refusal;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::problem::Problem;
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    idempotency::{self, Need, Recorded},
    input, issuing,
    keys::Role,
    merchant::PassView,
    random,
    store::{ATTEMPTS, Counts, Issued, NewIssue},
    webhooks,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "issue-pass",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let read = input::fields(&request).map(issuing::read).and_then(|read| match read {
        (Some(order), problems) => Ok((order, problems)),
        (None, problems) => Err(Failure::Invalid(problems)),
    });
    let (order, problems) = idempotency::valid(app, once.as_ref(), read, now).await?;
    if merchant.role < order.needs() {
        return Err(Failure::Forbidden { needed: order.needs() });
    }
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let mut problems = problems.clone();
        problems.extend(order.problems(now));
        let campaign = app.store.campaign(&merchant.merchant_id, &order.campaign_id).await?;
        if campaign.is_none() {
            problems.push(Problem::new("/campaignId", "there is no such campaign"));
        }
        let Some(campaign) = campaign.filter(|_| problems.is_empty()).map(|stored| stored.campaign) else {
            return Err(Failure::Invalid(problems));
        };
        let pass = issuing::make(app, &order, &campaign, random::fresh()?, now).await?.map_err(Failure::Invalid)?;
        let view = PassView::new(app, &pass, &campaign, Counts::default(), now)?;
        let recorded = once.as_ref().map(|once| once.recording(StatusCode::CREATED, &view, now)).transpose()?;
        let recorded = recorded.map(Recorded::telling_of_holder);
        let mut then = issuing::following(&pass, &campaign, now)?;
        then.extend(webhooks::news(app, &pass, now).await?);
        let new = NewIssue { pass: &pass, origin: order.origin(), then: &then, mark: None };
        match app.store.issue(&new, recorded.as_ref()).await? {
            Issued::New => {
                app.queues.send_after_commit(&then, now).await;
                return Ok(answer::json(StatusCode::CREATED, &view));
            }
            Issued::SerialNumberTaken => {
                let taken = Refusal::SerialNumberTaken(pass.identity);
                idempotency::refuse(app, once.as_ref(), taken, now).await?;
            }
            Issued::BarcodeTaken => return Err(Failure::Invalid(vec![issuing::barcode_taken()])),
            Issued::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}
