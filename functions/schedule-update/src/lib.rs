//! `POST /merchant/v1/updates`: an overlay that comes at a time, perhaps goes again, perhaps comes back.

use domain::schedule::{ScheduledUpdate, Target, UpdateState};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{
    identifiers::{CampaignId, PassIdentity, PassTypeIdentifier, SerialNumber},
    overlay::Overlay,
    problem::{Problem, Problems},
};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    idempotency::{self, Need, Recorded},
    input::{self, Fields},
    keys::Role,
    random,
    scheduled::{Rehearsal, next_intent, rehearse},
    store::{ATTEMPTS, UpdateWritten},
    update_view::{UpdateView, role_for},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "schedule-update",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// An update as a merchant asks for it; its id and owner are put in later.
fn read(request: &Request, now: Timestamp) -> Result<(Option<ScheduledUpdate>, Problems), Failure> {
    let mut fields = input::fields(request)?;
    let target = fields.object("target", target).flatten();
    if target.is_none() {
        fields.wrong("target", "must be {\"campaignId\"} or {\"passTypeIdentifier\", \"serialNumber\"}");
    }
    let at = fields.required_time("at");
    let until = fields.time("until");
    let every = fields.optional("every");
    let time_zone = fields.text("timeZone", 64).unwrap_or_else(|| "UTC".to_owned());
    let overlay: Option<Overlay> = fields.object("overlay", input::overlay);
    if overlay.is_none() {
        fields.wrong("overlay", "is required");
    }
    let update = target.zip(overlay).map(|(target, overlay)| ScheduledUpdate {
        update_id: String::new(),
        merchant_id: String::new(),
        target,
        // Without a time it is refused; the rest is looked at all the same.
        at: at.unwrap_or(now),
        until,
        every,
        time_zone,
        overlay,
        state: UpdateState::Scheduled,
        occurrence: 0,
        created_at: now,
    });
    let (update, mut problems) = fields.so_far(update);
    problems.extend(update.iter().flat_map(|update| update.problems(now)));
    Ok((update, problems))
}

fn target(fields: &mut Fields) -> Option<Target> {
    let campaign_id: Option<CampaignId> = fields.optional("campaignId");
    let pass_type: Option<PassTypeIdentifier> = fields.optional("passTypeIdentifier");
    let serial: Option<SerialNumber> = fields.optional("serialNumber");
    match (campaign_id, pass_type, serial) {
        (Some(campaign_id), None, None) => Some(Target::Campaign { campaign_id }),
        (None, Some(pass_type_identifier), Some(serial_number)) => {
            Some(Target::Pass(PassIdentity { pass_type_identifier, serial_number }))
        }
        _ => None,
    }
}

/// 201; the overlay is tried on at once, so that what cannot come is refused now and not on Friday.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let read = read(&request, now);
    if let Ok((Some(update), _)) = &read {
        let needed = role_for(&update.target);
        if merchant.role < needed {
            return Err(Failure::Forbidden { needed });
        }
    }
    // What was scheduled once is answered so for ever, also when its time is over.
    if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
        return Ok(answer);
    }
    let (update, mut problems) = read?;
    let Some(mut update) = update else { return Err(Failure::Invalid(problems)) };
    update.merchant_id.clone_from(&merchant.merchant_id);
    match rehearse(app, &update, now).await? {
        Rehearsal::Good => {}
        Rehearsal::Bad(found) => problems.extend(found),
        Rehearsal::UnknownTarget => problems.push(Problem::new("/target", "there is no such campaign or pass")),
    }
    if !problems.is_empty() {
        return Err(Failure::Invalid(problems));
    }
    for _ in 0..ATTEMPTS {
        update.update_id = ScheduledUpdate::id(now, &random::id()?);
        let first = update.first(now);
        update.occurrence = first.occurrence;
        let then: Vec<_> = next_intent(&update, &first, now)?.into_iter().collect();
        let view = UpdateView::from(&update);
        let recorded = once.as_ref().map(|once| once.recording(StatusCode::CREATED, &view, now)).transpose()?;
        // An overlay for one pass may greet its holder by name.
        let recorded = recorded.map(Recorded::telling_of_holder);
        match app.store.schedule(&update, &then, recorded.as_ref()).await? {
            UpdateWritten::Done => {
                app.queues.send_after_commit(&then, now).await;
                return Ok(answer::json(StatusCode::CREATED, &view));
            }
            UpdateWritten::Changed => {
                if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
                    return Ok(answer);
                }
            }
        }
    }
    Err(Failure::Busy)
}
