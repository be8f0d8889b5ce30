//! `PATCH /merchant/v1/passes/{passTypeIdentifier}/{serialNumber}`: changes a holder's data by a merge patch (RFC 7396).

use domain::Pass;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::personalization::FACTS_BYTES;
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    input,
    keys::Role,
    merchant::{self, HOLDER_LIMIT, PassView},
    store::{ATTEMPTS, Change, Event, EventKind, Intent, Step, Written},
    webhooks,
};
use serde_json::Value;

/// The door.
pub const FUNCTION: Function = Function {
    name: "update-pass",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

fn read(request: &Request) -> Result<Value, Failure> {
    let mut fields = input::fields(request)?;
    let patch: Option<Value> = fields.required("holder");
    if patch.as_ref().is_some_and(|patch| !patch.is_object()) {
        fields.wrong("holder", "must be an object: a JSON merge patch");
    }
    fields.done(patch)
}

/// One version later, and pushed if the pass shows the difference; the same data again is the same version.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let identity = merchant::pass_identity(&request)?;
    let patch = read(&request)?;
    for _ in 0..ATTEMPTS {
        let (stored, campaign) = merchant::pass(app, &merchant, &identity).await?;
        let campaign = &campaign.campaign;
        let counts = app.store.counts(&stored.pass).await?;
        let show = |pass: &Pass| Ok(answer::json(StatusCode::OK, &PassView::new(app, pass, campaign, counts, now)?));
        let mut holder = stored.pass.holder.clone();
        json_patch::merge(&mut holder, &patch);
        // What the customer typed into the enrolment sheet does not use up what the merchant may write.
        let facts = stored.pass.holder.get("personalization").map_or(0, |facts| facts.to_string().len());
        if holder.to_string().len() > HOLDER_LIMIT + facts.min(FACTS_BYTES) {
            return Err(Failure::invalid("/holder", format!("would be over {HOLDER_LIMIT} bytes of JSON")));
        }
        let Some(pass) = stored.pass.with_holder(holder, campaign, now) else { return show(&stored.pass) };
        let problems = app.packages.check(app, &pass, campaign, now).await?;
        if !problems.is_empty() {
            return Err(Failure::Invalid(merchant::of_holder(problems)));
        }
        // What no field shows is kept, but no phone is told: it would fetch the pass and find it unchanged.
        let (pass, mut then) = if app.packages.look_alike(app, &stored.pass, &pass, campaign, now).await? {
            (pass.unseen(&stored.pass), Vec::new())
        } else {
            let step = Step::push(&pass);
            (pass, vec![Intent::new(now, step, now)?])
        };
        then.extend(webhooks::news(app, &pass, now).await?);
        let event = Some(Event::new(EventKind::Updated, now, pass.version));
        match app.store.change(&stored, &pass, Change { event, then: &then, ..Change::default() }).await? {
            Written::Done => {
                app.queues.send_after_commit(&then, now).await;
                return show(&pass);
            }
            Written::Changed | Written::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}
