//! The follow-up queue: gives a pass its next offer when it is due, begins and ends scheduled updates, erases passes.

use aws_lambda_events::sqs::SqsMessage;
use domain::pass::NextOffer;
use jiff::Timestamp;
use passkit::identifiers::PassIdentity;
use platform::{
    App, Fault, Function, Handler, erasing, queues, random, scheduled,
    store::{ATTEMPTS, Change, Event, EventKind, Intent, Step, Written},
    webhooks,
};

/// The worker.
pub const FUNCTION: Function =
    Function { name: "follow-up", handler: Handler::Queue(|app, message, now| Box::pin(handle(app, message, now))) };

/// A message whose intent is gone is a duplicate: the step was done.
async fn handle(app: &App, message: &SqsMessage, now: Timestamp) -> Result<(), Fault> {
    let Some(intent) = app.store.intent(&queues::intent_of(message)?).await? else { return Ok(()) };
    if now < intent.due {
        return send_again(app, intent, now).await;
    }
    match &intent.step {
        Step::NextOffer { identity, due } => next_offer(app, &intent, identity, *due, now).await,
        Step::ScheduledUpdate { .. } => scheduled::edge(app, &intent, now).await,
        Step::Erase { .. } => erasing::rest(app, &intent, now).await,
        Step::EraseAgain { .. } => erasing::again(app, &intent, now).await,
        Step::Retain { .. } => erasing::look(app, &intent, now).await,
        Step::RetainCampaign { .. } => erasing::look_at_campaign(app, &intent, now).await,
        Step::Push { .. }
        | Step::PushAgain { .. }
        | Step::PushUnfetched { .. }
        | Step::PushCampaign { .. }
        | Step::PushMembers { .. }
        | Step::Batch { .. }
        | Step::Webhooks { .. }
        | Step::Webhook { .. } => send_again(app, intent, now).await,
    }
}

/// Early, or in the wrong queue: a new message, for the right time and place.
async fn send_again(app: &App, intent: Intent, now: Timestamp) -> Result<(), Fault> {
    let sent = app.queues.send_after_commit(std::slice::from_ref(&intent), now).await;
    if sent.is_empty() && intent.due.duration_since(now) <= queues::LONGEST_DELAY {
        return Err(Fault::contradiction("a message could not be sent again"));
    }
    Ok(())
}

async fn next_offer(
    app: &App,
    intent: &Intent,
    identity: &PassIdentity,
    due: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    for _ in 0..ATTEMPTS {
        let Some((stored, campaign)) = app.store.pass_and_campaign(identity).await? else {
            return app.store.done(intent).await;
        };
        let done = Some(&intent.key);
        let written = match stored.pass.next_offer(&campaign.campaign, due, random::barcode()?, now) {
            NextOffer::Came(pass) => {
                let mut then = vec![Intent::new(now, Step::push(&pass), now)?];
                then.extend(webhooks::news(app, &pass, now).await?);
                let event = Event::new(EventKind::Offer, now, pass.version).with("offerId", pass.offer_id.as_str());
                let change = Change { event: Some(event), done, then: &then, ..Change::default() };
                let written = app.store.change(&stored, &pass, change).await?;
                if matches!(written, Written::Done) {
                    app.queues.send_after_commit(&then, now).await;
                }
                written
            }
            NextOffer::Finished(pass) => app.store.change(&stored, &pass, Change { done, ..Change::default() }).await?,
            NextOffer::Superseded => return app.store.done(intent).await,
            NextOffer::NotBefore(_) => return send_again(app, intent.clone(), now).await,
        };
        match written {
            Written::Done => return Ok(()),
            Written::Changed | Written::AnsweredBefore => {}
        }
    }
    Err(Fault::contradiction("a pass changed too often for its next offer to be written"))
}
