//! The push queue: tells devices through APNs to ask for what changed.

use aws_lambda_events::sqs::SqsMessage;
use domain::{LookKey, Pass};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use passkit::identifiers::{CampaignId, DeviceLibraryIdentifier, PassIdentity};
use platform::{
    App, Fault, Function, Handler, pushing, queues, random,
    store::{Intent, IntentProgress, MembersLimit, Registration, Step},
};

/// The worker.
pub const FUNCTION: Function =
    Function { name: "push-updates", handler: Handler::Queue(|app, message, now| Box::pin(handle(app, message, now))) };

/// Devices told in one round: about a second at the slowest, so that a round never outlives the function.
const PAGE: i32 = 1000;
/// Pages of a campaign's passes worked in one round.
const CAMPAIGN_PAGES: usize = 10;
/// Passes of a campaign told side by side: most have one device, and each waits for the store and for APNs.
const AT_ONCE: usize = 32;
/// Intents written in one transaction, which holds a hundred writes.
const FOLLOWING: usize = 90;

/// A message whose intent is gone is a duplicate: everyone was told.
async fn handle(app: &App, message: &SqsMessage, now: Timestamp) -> Result<(), Fault> {
    let Some(intent) = app.store.intent(&queues::intent_of(message)?).await? else { return Ok(()) };
    if now < intent.due {
        app.queues.send_after_commit(std::slice::from_ref(&intent), now).await;
        return Ok(());
    }
    // The sweep sends again what takes long, and SQS may deliver twice: one walk is enough.
    if queues::is_late(message, &intent)? {
        return Ok(());
    }
    match &intent.step {
        Step::Push { identity, shown } => push(app, &intent, identity, *shown, now).await,
        Step::PushAgain { identity, shown, devices, attempt, reminder, doubted } => {
            let again = Again { identity, shown: *shown, devices };
            let round =
                Round { attempt: *attempt, reminder: *reminder, doubted: *doubted, progress: IntentProgress::Done };
            push_again(app, &intent, again, round, now).await
        }
        Step::PushUnfetched { identity, shown, reminder } => {
            push_unfetched(app, &intent, (identity, *shown, *reminder), now).await
        }
        Step::PushCampaign { merchant_id, campaign_id, looks, over_seconds } => {
            let members = Members { merchant_id, campaign_id, looks, place: None };
            push_campaign(app, &intent, *over_seconds, members, now).await
        }
        Step::PushMembers { merchant_id, campaign_id, looks, place } => {
            let members = Members { merchant_id, campaign_id, looks, place: place.as_deref() };
            push_members(app, &intent, members, now).await
        }
        Step::NextOffer { .. }
        | Step::ScheduledUpdate { .. }
        | Step::Batch { .. }
        | Step::Erase { .. }
        | Step::EraseAgain { .. }
        | Step::Retain { .. }
        | Step::RetainCampaign { .. }
        | Step::Webhooks { .. }
        | Step::Webhook { .. } => {
            app.queues.send_after_commit(std::slice::from_ref(&intent), now).await;
            Ok(())
        }
    }
}

/// The pass, if it shows nothing newer yet: what it shows since has an intent of its own, so this push is superseded.
async fn newest(app: &App, identity: &PassIdentity, shown: u64) -> Result<Option<Pass>, Fault> {
    let stored = app.store.pass(identity).await?;
    Ok(stored.map(|stored| stored.pass).filter(|pass| pass.shown <= shown))
}

async fn push(app: &App, intent: &Intent, identity: &PassIdentity, shown: u64, now: Timestamp) -> Result<(), Fault> {
    let Some(pass) = newest(app, identity, shown).await? else {
        return app.store.done(intent).await;
    };
    push_page(app, intent, &pass, 1, now).await
}

/// Tells one page of the devices that carry a pass; the pages after it in further rounds.
async fn push_page(app: &App, intent: &Intent, pass: &Pass, reminder: u32, now: Timestamp) -> Result<(), Fault> {
    let (registrations, next) = app.store.registrations(&pass.identity, intent.cursor.as_deref(), PAGE).await?;
    let progress = next.map_or(IntentProgress::Done, |place| IntentProgress::Reached(place, now));
    tell(
        app,
        intent,
        pass,
        registrations,
        Round { attempt: 1, reminder: Some(reminder), doubted: false, progress },
        now,
    )
    .await
}

/// Tells the devices of a pass once more, unless it was fetched or shows something newer.
async fn push_unfetched(
    app: &App,
    intent: &Intent,
    (identity, shown, reminder): (&PassIdentity, u64, u32),
    now: Timestamp,
) -> Result<(), Fault> {
    if let Some((stored, campaign)) = app.store.pass_and_campaign(identity).await? {
        let pass = stored.pass;
        let fetched = pass.fetched.is_some_and(|fetched| fetched >= pass.effective_version(&campaign.campaign));
        if pass.shown <= shown && !fetched {
            return push_page(app, intent, &pass, reminder + 1, now).await;
        }
    }
    app.store.done(intent).await
}

/// Devices to be told again.
struct Again<'a> {
    identity: &'a PassIdentity,
    shown: u64,
    devices: &'a [DeviceLibraryIdentifier],
}

async fn push_again(app: &App, intent: &Intent, again: Again<'_>, round: Round, now: Timestamp) -> Result<(), Fault> {
    let Some(pass) = newest(app, again.identity, again.shown).await? else {
        return app.store.done(intent).await;
    };
    let registrations = app.store.registrations_of(again.identity, again.devices).await?;
    tell(app, intent, &pass, registrations, round, now).await
}

/// One round of pushes for one pass.
struct Round {
    attempt: u32,
    /// Which reminder follows if nobody fetches; none: none does.
    reminder: Option<u32>,
    /// Whether APNs called these devices gone before, since about the time of their registration.
    doubted: bool,
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
    let mut sent = pushing::push(app, pass, registrations, round.doubted, now).await?;
    let mut then = sent.try_again(pass, round.attempt, round.reminder, now)?;
    let event = sent.event(pass.version, now).map(|event| (&pass.identity, event));
    let goes_on = matches!(round.progress, IntentProgress::Reached(..));
    if let Some(reminder) = round.reminder.filter(|_| !goes_on) {
        then.extend(sent.remind(app, pass, reminder, now)?);
    }
    let next = app.store.progress(intent, round.progress, event, &then).await?;
    then.extend(next);
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// A campaign-wide change, and where its pushes have come.
struct Members<'a> {
    merchant_id: &'a str,
    campaign_id: &'a CampaignId,
    looks: &'a [LookKey],
    place: Option<&'a str>,
}

/// Walks the passes of a campaign, some pages a round: tells their devices, or, where the pushes are spread, leaves each
/// page an intent of its own at a random moment of that time.
async fn push_campaign(
    app: &App,
    intent: &Intent,
    over_seconds: u32,
    members: Members<'_>,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut cursor = intent.cursor.clone();
    let mut then = Vec::new();
    for _ in 0..CAMPAIGN_PAGES {
        let page = Members { place: cursor.as_deref(), ..members };
        let (passes, next) = altered(app, &page).await?;
        if over_seconds == 0 {
            then.extend(tell_passes(app, passes, now).await?);
        } else if !passes.is_empty() {
            let step = Step::PushMembers {
                merchant_id: members.merchant_id.to_owned(),
                campaign_id: members.campaign_id.clone(),
                looks: members.looks.to_vec(),
                place: cursor,
            };
            let later = SignedDuration::from_millis(i64::from(random::below(over_seconds * 1000)?));
            then.push(Intent::new(now + later, step, now)?);
        }
        cursor = next;
        if cursor.is_none() || then.len() >= FOLLOWING {
            break;
        }
    }
    let progress = cursor.map_or(IntentProgress::Done, |place| IntentProgress::Reached(place, now));
    let next = go_on(app, intent, progress, &then).await?;
    then.extend(next);
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// Tells the devices of one page of passes.
async fn push_members(app: &App, intent: &Intent, members: Members<'_>, now: Timestamp) -> Result<(), Fault> {
    let (passes, _) = altered(app, &members).await?;
    let then = tell_passes(app, passes, now).await?;
    go_on(app, intent, IntentProgress::Done, &then).await?;
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// One page of the campaign's passes: those that show an altered look.
async fn altered(app: &App, members: &Members<'_>) -> Result<(Vec<Pass>, Option<String>), Fault> {
    let (passes, next) =
        app.store.members(members.merchant_id, members.campaign_id, members.place, MembersLimit::WHOLE).await?;
    let passes = passes.into_iter().map(|stored| stored.pass);
    Ok((passes.filter(|pass| members.looks.contains(&pass.look_key())).collect(), next))
}

/// Pushes to the devices of each pass. Answers what must follow: those to be told again, and passes with so many devices
/// that they need rounds of their own.
async fn tell_passes(app: &App, passes: Vec<Pass>, now: Timestamp) -> Result<Vec<Intent>, Fault> {
    let each = passes.into_iter().map(|pass| async move {
        let (registrations, more) = app.store.registrations(&pass.identity, None, PAGE).await?;
        if more.is_some() {
            return Intent::new(now, Step::push(&pass), now).map(|intent| vec![intent]);
        }
        let mut sent = pushing::push(app, &pass, registrations, false, now).await?;
        sent.try_again(&pass, 1, None, now)
    });
    let told: Vec<Vec<Intent>> = stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(told.into_iter().flatten().collect())
}

/// Writes what follows before the intent moves on, so that nothing is skipped: a transaction holds a hundred writes.
/// Answers the intent's next round, if it is this worker's to send.
async fn go_on(app: &App, intent: &Intent, progress: IntentProgress, then: &[Intent]) -> Result<Option<Intent>, Fault> {
    for some in then.chunks(FOLLOWING) {
        app.store.add_intents(some).await?;
    }
    app.store.progress(intent, progress, None, &[]).await
}
