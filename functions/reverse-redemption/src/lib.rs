//! `POST /merchant/v1/redemptions/{redemptionId}/reverse`: a redemption that was a mistake counts no more.

use domain::{Pass, Refusal, time};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    idempotency::{self, Need, Once, Recorded},
    input,
    keys::Role,
    random,
    redemption_view::{self, RedemptionView},
    store::{
        ATTEMPTS, Change, Event, EventKind, Intent, Recording, Reversal, Step, StoredCampaign, StoredPass,
        StoredRedemption, Written,
    },
    webhooks,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "reverse-redemption",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Characters of a reason.
const REASON_LIMIT: usize = 500;

fn read(request: &Request) -> Result<Option<String>, Failure> {
    let mut fields = input::fields(request)?;
    let reason = fields.text("reason", REASON_LIMIT);
    fields.done(Some(reason))
}

/// The redemption, reversed; again: as it is, with the first reason. A next offer that was pending finds the pass
/// redeemable when it is due, and does not come.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let reason = idempotency::valid(app, once.as_ref(), read(&request), now).await?;
    let now = time::to_milliseconds(now);
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let (mut redemption, stored, campaign) = match redemption_view::named(app, &merchant, &request).await {
            Err(Failure::Refused(refusal)) => {
                idempotency::refuse(app, once.as_ref(), refusal, now).await?;
                continue;
            }
            found => found?,
        };
        let answer = if redemption.reversal.is_some() {
            unchanged(app, once.as_ref(), &redemption, (stored.as_ref(), &campaign), now).await?
        } else {
            let reversed = match &stored {
                Some(stored) => {
                    let pass = stored.pass.reverse(&campaign.campaign, &redemption.counted, random::barcode()?, now);
                    pass.map(|pass| (stored, pass))
                }
                // It was erased: nothing can be given back.
                None => Err(Refusal::UnknownPass),
            };
            match reversed {
                Ok((stored, pass)) => {
                    let reversal = Reversal { reversed_at: now, reason: reason.clone(), pass_version: pass.version };
                    redemption.reversal = Some(reversal);
                    reverse(app, once.as_ref(), &redemption, (stored, &pass), &campaign, now).await?
                }
                Err(refusal) => {
                    idempotency::refuse(app, once.as_ref(), refusal, now).await?;
                    None
                }
            }
        };
        if let Some(answer) = answer {
            return Ok(answer);
        }
    }
    Err(Failure::Busy)
}

/// The answer about a redemption that was reversed before; `None` when another answer was given under the key meanwhile.
async fn unchanged(
    app: &App,
    once: Option<&Once>,
    redemption: &StoredRedemption,
    (stored, campaign): (Option<&StoredPass>, &StoredCampaign),
    now: Timestamp,
) -> Result<Option<Response<Body>>, Failure> {
    let view = RedemptionView::new(redemption, &campaign.campaign);
    let answer = answer::json(StatusCode::OK, &view);
    let Some(once) = once else { return Ok(Some(answer)) };
    let recorded = once.recording(StatusCode::OK, &view, now)?;
    let is_first = match stored {
        Some(stored) => {
            let recorded = recorded.telling_of_holder();
            let change = Change { recorded: Some(&recorded), ..Change::default() };
            matches!(app.store.change(stored, &stored.pass, change).await?, Written::Done)
        }
        // Of an erased pass nothing is told that would have to be forgotten.
        None => app.store.record(&recorded).await? == Recording::Recorded,
    };
    Ok(is_first.then_some(answer))
}

/// Commits the reversal with its answer and the push that follows. `None` when somebody changed the pass, or reversed the
/// redemption, meanwhile.
async fn reverse(
    app: &App,
    once: Option<&Once>,
    reversed: &StoredRedemption,
    (stored, pass): (&StoredPass, &Pass),
    campaign: &StoredCampaign,
    now: Timestamp,
) -> Result<Option<Response<Body>>, Failure> {
    let view = RedemptionView::new(reversed, &campaign.campaign);
    let recorded = once.map(|once| once.recording(StatusCode::OK, &view, now)).transpose()?;
    // The clerk's words may be about the customer.
    let recorded = recorded.map(Recorded::telling_of_holder);
    let mut then = Vec::new();
    if pass.shown != stored.pass.shown {
        then.push(Intent::new(now, Step::push(pass), now)?);
    }
    then.extend(webhooks::news(app, pass, now).await?);
    let made = &reversed.counted.redemption;
    let event = Event::new(EventKind::Reversed, now, pass.version)
        .with("redemptionId", made.redemption_id.as_str())
        .with("offerId", made.offer_id.as_str())
        .with("reason", reversed.reversal.as_ref().and_then(|reversal| reversal.reason.clone()));
    let change = Change { event: Some(event), then: &then, recorded: recorded.as_ref(), ..Change::default() };
    match app.store.reverse(reversed, stored, pass, change).await? {
        Written::Done => {
            app.queues.send_after_commit(&then, now).await;
            Ok(Some(answer::json(StatusCode::OK, &view)))
        }
        Written::Changed | Written::AnsweredBefore => Ok(None),
    }
}
