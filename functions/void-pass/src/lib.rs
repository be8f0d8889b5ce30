//! `POST /merchant/v1/passes/{passTypeIdentifier}/{serialNumber}/void`: the pass is worth nothing from now on.

use domain::Pass;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    idempotency::{self, Need, Recorded},
    input,
    keys::Role,
    merchant::{self, PassView},
    store::{ATTEMPTS, Change, Event, EventKind, Intent, Step, Written},
    webhooks,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "void-pass",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Characters of a reason.
const REASON_LIMIT: usize = 500;

fn read(request: &Request) -> Result<Option<String>, Failure> {
    let mut fields = input::fields(request)?;
    let reason = fields.text("reason", REASON_LIMIT);
    fields.done(Some(reason))
}

/// The pass, voided; again: as it is. A next offer that was pending finds the pass void when it is due, and does not come.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let identity = merchant::pass_identity(&request)?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let reason = idempotency::valid(app, once.as_ref(), read(&request), now).await?;
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let (stored, campaign) = match merchant::pass(app, &merchant, &identity).await {
            Err(Failure::Refused(refusal)) => {
                idempotency::refuse(app, once.as_ref(), refusal, now).await?;
                continue;
            }
            found => found?,
        };
        let campaign = &campaign.campaign;
        let counts = app.store.counts(&stored.pass).await?;
        let voided: Option<Pass> = stored.pass.void(campaign, reason.clone(), now);
        let changed = voided.is_some();
        let pass = voided.unwrap_or_else(|| stored.pass.clone());
        let view = PassView::new(app, &pass, campaign, counts, now)?;
        let recorded = once.as_ref().map(|once| once.recording(StatusCode::OK, &view, now)).transpose()?;
        let recorded = recorded.map(Recorded::telling_of_holder);
        let mut then = Vec::new();
        let mut event = None;
        if changed {
            then.push(Intent::new(now, Step::push(&pass), now)?);
            then.extend(webhooks::news(app, &pass, now).await?);
            event = Some(Event::new(EventKind::Voided, now, pass.version).with("reason", reason.clone()));
        } else if recorded.is_none() {
            return Ok(answer::json(StatusCode::OK, &view));
        }
        let change = Change { event, then: &then, recorded: recorded.as_ref(), ..Change::default() };
        match app.store.change(&stored, &pass, change).await? {
            Written::Done => {
                app.queues.send_after_commit(&then, now).await;
                return Ok(answer::json(StatusCode::OK, &view));
            }
            Written::Changed | Written::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}
