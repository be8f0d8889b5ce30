//! The push queue: tells devices through APNs to ask for what changed.

use aws_lambda_events::sqs::SqsMessage;
use domain::Pass;
use jiff::Timestamp;
use passkit::identifiers::{DeviceLibraryIdentifier, PassIdentity};
use platform::{
    App, Fault, Function, Handler, pushing, queues,
    store::{Intent, IntentProgress, Registration, Step},
};

/// The worker.
pub const FUNCTION: Function =
    Function { name: "push-updates", handler: Handler::Queue(|app, message, now| Box::pin(handle(app, message, now))) };

/// Devices told in one round: about a second at the slowest, so that a round never outlives the function.
const PAGE: i32 = 1000;
/// Pages of a campaign's passes worked in one round.
const CAMPAIGN_PAGES: usize = 10;

/// A message whose intent is gone is a duplicate: everyone was told.
async fn handle(app: &App, message: &SqsMessage, now: Timestamp) -> Result<(), Fault> {
    let Some(intent) = app.store.intent(&queues::intent_of(message)?).await? else { return Ok(()) };
    if now < intent.due {
        app.queues.send_after_commit(std::slice::from_ref(&intent), now).await;
        return Ok(());
    }
    match &intent.step {
        Step::Push { identity, version } => push(app, &intent, identity, *version, now).await,
        Step::PushAgain { identity, version, devices, attempt } => {
            let again = Again { identity, version: *version, devices, attempt: *attempt };
            push_again(app, &intent, again, now).await
        }
        Step::PushCampaign { .. } => push_campaign(app, &intent, now).await,
        Step::NextOffer { .. } => {
            app.queues.send_after_commit(std::slice::from_ref(&intent), now).await;
            Ok(())
        }
    }
}

/// The pass, if this version is still its newest. A newer one has an intent of its own, so this push is superseded.
async fn newest(app: &App, identity: &PassIdentity, version: u64) -> Result<Option<Pass>, Fault> {
    let stored = app.store.pass(identity).await?;
    Ok(stored.map(|stored| stored.pass).filter(|pass| pass.version <= version))
}

async fn push(app: &App, intent: &Intent, identity: &PassIdentity, version: u64, now: Timestamp) -> Result<(), Fault> {
    let Some(pass) = newest(app, identity, version).await? else {
        return app.store.progress(intent, IntentProgress::Done, None, &[]).await;
    };
    let (registrations, next) = app.store.registrations(identity, intent.cursor.as_deref(), PAGE).await?;
    let progress = next.map_or(IntentProgress::Done, IntentProgress::Reached);
    tell(app, intent, &pass, registrations, Round { attempt: 1, progress }, now).await
}

/// Devices to be told again.
struct Again<'a> {
    identity: &'a PassIdentity,
    version: u64,
    devices: &'a [DeviceLibraryIdentifier],
    attempt: u32,
}

async fn push_again(app: &App, intent: &Intent, again: Again<'_>, now: Timestamp) -> Result<(), Fault> {
    let Some(pass) = newest(app, again.identity, again.version).await? else {
        return app.store.progress(intent, IntentProgress::Done, None, &[]).await;
    };
    let registrations = app.store.registrations_of(again.identity, again.devices).await?;
    let round = Round { attempt: again.attempt, progress: IntentProgress::Done };
    tell(app, intent, &pass, registrations, round, now).await
}

/// One round of pushes for one pass.
struct Round {
    attempt: u32,
    progress: IntentProgress,
}

/// Pushes to one page, notes how far the intent has come, and goes on with the next page in another message.
async fn tell(
    app: &App,
    intent: &Intent,
    pass: &Pass,
    registrations: Vec<Registration>,
    round: Round,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut sent = pushing::push(app, pass, registrations, now).await?;
    let mut then: Vec<Intent> = sent.try_again(pass, round.attempt, now)?.into_iter().collect();
    let event = sent.event(pass.version, now).map(|event| (&pass.identity, event));
    let goes_on = matches!(round.progress, IntentProgress::Reached(_));
    app.store.progress(intent, round.progress, event, &then).await?;
    if goes_on {
        then.push(intent.clone());
    }
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// Tells the devices of every pass that a campaign-wide change alters, some pages of passes a round.
async fn push_campaign(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::PushCampaign { merchant_id, campaign_id, looks } = &intent.step else { return Ok(()) };
    let mut cursor = intent.cursor.clone();
    let mut then = Vec::new();
    for _ in 0..CAMPAIGN_PAGES {
        let (passes, next) = app.store.members(merchant_id, campaign_id, cursor.as_deref()).await?;
        for pass in passes.into_iter().map(|stored| stored.pass).filter(|pass| looks.contains(&pass.look_key())) {
            let (registrations, more) = app.store.registrations(&pass.identity, None, PAGE).await?;
            if more.is_some() {
                // Too many for this round: the pass gets an intent of its own.
                let step = Step::Push { identity: pass.identity.clone(), version: pass.version };
                then.push(Intent::new(now, step, now)?);
                continue;
            }
            let mut sent = pushing::push(app, &pass, registrations, now).await?;
            then.extend(sent.try_again(&pass, 1, now)?);
        }
        cursor = next;
        if cursor.is_none() || then.len() > 50 {
            break;
        }
    }
    let goes_on = cursor.is_some();
    let progress = cursor.map_or(IntentProgress::Done, IntentProgress::Reached);
    // A transaction holds a hundred writes; what follows is written before the intent moves on, so nothing is skipped.
    for some in then.chunks(90) {
        app.store.add_intents(some).await?;
    }
    app.store.progress(intent, progress, None, &[]).await?;
    if goes_on {
        then.push(intent.clone());
    }
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}
