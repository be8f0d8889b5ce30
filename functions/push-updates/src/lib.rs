//! The push queue: tells devices through APNs to ask for what changed.

use std::{error::Error, sync::Arc, time::Duration};

use aws_lambda_events::sqs::SqsMessage;
use domain::{Campaign, LookKey, Pass};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use passkit::identifiers::{CampaignId, DeviceLibraryIdentifier, PassIdentity};
use passkit::web_service::ClientKind;
use platform::{
    App, Fault, Function, Handler,
    pushing::{self, Stopped},
    queues, random,
    store::{self, CampaignRound, Intent, IntentProgress, MembersLimit, Registration, Step},
};
use tokio::time::Instant;

/// The worker.
pub const FUNCTION: Function =
    Function { name: "push-updates", handler: Handler::Queue(|app, message, now| Box::pin(handle(app, message, now))) };

/// Devices told in one round: about a second at the slowest, so that a round never outlives the function.
const PAGE: i32 = 1000;
/// Pages of a campaign's passes worked in one round.
const CAMPAIGN_PAGES: usize = 10;
/// A round of a walk goes on no longer: `sweep` sends again what has not come on in 50 seconds, and would begin a second walk
/// beside a slow one. That a first round has begun is noted for the same reason.
const ROUND: Duration = Duration::from_secs(20);
/// Passes of a campaign told side by side: most have one device, and each waits for the store and for APNs.
const AT_ONCE: usize = 32;

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
    match carry_out(app, &intent, now).await {
        // Until somebody mends it, every step of this pass type ends so. The sweep sends each again every minute; a message of it
        // that failed would stay in the queue beside those, and the queue is all merchants'.
        Err(fault) if fault.source().is_some_and(|cause| cause.is::<Stopped>()) => {
            tracing::error!(fault = fault.chain(), "no push goes out; the step stays");
            Ok(())
        }
        done => done,
    }
}

async fn carry_out(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    match &intent.step {
        Step::Push { identity, shown } => push(app, intent, identity, *shown, now).await,
        Step::PushAgain { identity, shown, devices, attempt, reminder, doubted } => {
            let again = Again { identity, shown: *shown, devices };
            let round =
                Round { attempt: *attempt, reminder: *reminder, doubted: *doubted, progress: IntentProgress::Done };
            push_again(app, intent, again, round, now).await
        }
        Step::PushUnfetched { identity, shown, reminder } => {
            push_unfetched(app, intent, (identity, *shown, *reminder), now).await
        }
        Step::PushCampaign { merchant_id, campaign_id, looks, over_seconds, round } => {
            let members = Members { merchant_id, campaign_id, looks, round: *round };
            push_campaign(app, intent, *over_seconds, members, now).await
        }
        Step::PushMembers { merchant_id, campaign_id, looks, place, end, round } => {
            let members = Members { merchant_id, campaign_id, looks, round: *round };
            push_members(app, intent, members, (place.as_deref(), end.as_deref()), now).await
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
            app.queues.send_after_commit(std::slice::from_ref(intent), now).await;
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
        if pass.shown <= shown && !pass.is_fetched(&campaign.campaign) {
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
    // The last page's are all devices'.
    let goes_on = matches!(round.progress, IntentProgress::Reached(..));
    let reminder = round.reminder.filter(|_| !goes_on);
    let mut then = sent.try_again(pass, round.attempt, reminder, now)?;
    let event = sent.event(pass.version, now).map(|event| (&pass.identity, event));
    if let Some(reminder) = reminder {
        let told_before = round.attempt > 1 || intent.cursor.is_some();
        then.extend(sent.remind(app, pass, told_before, reminder, now)?);
    }
    let next = app.store.progress(intent, round.progress, event, &then).await?;
    then.extend(next);
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// A campaign-wide change, and whom it is told.
struct Members<'a> {
    merchant_id: &'a str,
    campaign_id: &'a CampaignId,
    looks: &'a [LookKey],
    round: Option<CampaignRound>,
}

/// The passes that one walk concerns.
struct Concerned {
    looks: Vec<LookKey>,
    /// In reminders: by which it is known whether what a pass shows was fetched.
    campaign: Option<Arc<Campaign>>,
}

impl Concerned {
    /// `None`: nobody any more, since the campaign is gone or all of these looks changed again, of which other walks tell.
    async fn by(app: &App, members: &Members<'_>) -> Result<Option<Concerned>, Fault> {
        let looks = members.looks.to_vec();
        let Some(round) = members.round.filter(|round| round.reminder > 0) else {
            return Ok(Some(Concerned { looks, campaign: None }));
        };
        let stored = app.store.campaign(members.merchant_id, members.campaign_id).await?;
        Ok(stored.map(|stored| stored.campaign).and_then(|campaign| {
            let mut looks = looks;
            looks.retain(|key| campaign.looks.get(key).is_some_and(|look| look.since == round.changed_at));
            (!looks.is_empty()).then_some(Concerned { looks, campaign: Some(campaign) })
        }))
    }

    fn holds(&self, pass: &Pass) -> bool {
        self.looks.contains(&pass.look_key())
            && !self.campaign.as_ref().is_some_and(|campaign| pass.is_fetched(campaign))
    }
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
    let Some(concerned) = Concerned::by(app, &members).await? else { return app.store.done(intent).await };
    let (mut cursor, begun) = (intent.cursor.clone(), Instant::now());
    if cursor.is_none() {
        app.store.note_sent(&intent.key, now).await?;
    }
    let mut then = Vec::new();
    for _ in 0..CAMPAIGN_PAGES {
        let (passes, next) = page(app, &members, &concerned, cursor.as_deref()).await?;
        if over_seconds == 0 {
            then.extend(tell_passes(app, passes, members.round, now).await?);
        } else if !passes.is_empty() {
            let step = Step::PushMembers {
                merchant_id: members.merchant_id.to_owned(),
                campaign_id: members.campaign_id.clone(),
                looks: concerned.looks.clone(),
                place: cursor,
                end: Some(next.clone().unwrap_or_else(store::end_of_members)),
                round: members.round,
            };
            let later = SignedDuration::from_millis(i64::from(random::below(over_seconds * 1000)?));
            then.push(Intent::new(now + later, step, now)?);
        }
        cursor = next;
        if cursor.is_none() || then.len() >= store::INTENTS_AT_ONCE || begun.elapsed() >= ROUND {
            break;
        }
    }
    let (progress, reminder) = match cursor {
        Some(place) => (IntentProgress::Reached(place, now + begun.elapsed()), None),
        None => (IntentProgress::Done, remind(app, &members, concerned, over_seconds, now)?),
    };
    let next = go_on(app, intent, progress, &then, reminder.as_slice()).await?;
    then.extend(reminder);
    then.extend(next);
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// The next walk: after the last of these pushes, to those that fetched nothing until then.
fn remind(
    app: &App,
    members: &Members<'_>,
    concerned: Concerned,
    over_seconds: u32,
    now: Timestamp,
) -> Result<Option<Intent>, Fault> {
    let Some(round) = members.round else { return Ok(None) };
    let told = now.checked_add(SignedDuration::from_secs(over_seconds.into())).unwrap_or(Timestamp::MAX);
    let reminder = round.reminder + 1;
    let Some(due) = pushing::reminder_due(app, reminder, told) else { return Ok(None) };
    let step = Step::PushCampaign {
        merchant_id: members.merchant_id.to_owned(),
        campaign_id: members.campaign_id.clone(),
        looks: concerned.looks,
        over_seconds,
        round: Some(CampaignRound { reminder, ..round }),
    };
    Intent::new(due, step, now).map(Some)
}

/// Tells the devices of the passes between two places: a page, when the campaign was walked, and whatever came between since.
async fn push_members(
    app: &App,
    intent: &Intent,
    members: Members<'_>,
    (place, end): (Option<&str>, Option<&str>),
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(concerned) = Concerned::by(app, &members).await? else { return app.store.done(intent).await };
    let (mut cursor, begun) = (place.map(str::to_owned), Instant::now());
    app.store.note_sent(&intent.key, now).await?;
    let mut then = Vec::new();
    for _ in 0..CAMPAIGN_PAGES {
        let (mut passes, next) = page(app, &members, &concerned, cursor.as_deref()).await?;
        let is_past = |place: &str| end.is_some_and(|end| store::is_before_among_members(end, place));
        passes.retain(|pass| !is_past(&store::place_among_members(&pass.identity)));
        then.extend(tell_passes(app, passes, members.round, now).await?);
        cursor = next.filter(|next| end.is_some_and(|end| store::is_before_among_members(next, end)));
        if cursor.is_none() || then.len() >= store::INTENTS_AT_ONCE || begun.elapsed() >= ROUND {
            break;
        }
    }
    // An intent of its own, which older releases understand too.
    let rest = cursor.map(|place| {
        let step = Step::PushMembers {
            merchant_id: members.merchant_id.to_owned(),
            campaign_id: members.campaign_id.clone(),
            looks: concerned.looks.clone(),
            place: Some(place),
            end: end.map(str::to_owned),
            round: members.round,
        };
        Intent::new(now, step, now)
    });
    let rest = rest.transpose()?;
    go_on(app, intent, IntentProgress::Done, &then, rest.as_slice()).await?;
    then.extend(rest);
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// One page of the campaign's passes: those that are concerned.
async fn page(
    app: &App,
    members: &Members<'_>,
    concerned: &Concerned,
    place: Option<&str>,
) -> Result<(Vec<Pass>, Option<String>), Fault> {
    let (passes, next) =
        app.store.members(members.merchant_id, members.campaign_id, place, MembersLimit::WHOLE).await?;
    let passes = passes.into_iter().map(|stored| stored.pass);
    Ok((passes.filter(|pass| concerned.holds(pass)).collect(), next))
}

/// Pushes to the devices of each pass. Answers what must follow: those to be told again, and passes with so many devices
/// that they need rounds of their own.
async fn tell_passes(
    app: &App,
    passes: Vec<Pass>,
    round: Option<CampaignRound>,
    now: Timestamp,
) -> Result<Vec<Intent>, Fault> {
    let is_reminder = round.is_some_and(|round| round.reminder > 0);
    let each = passes.into_iter().map(|pass| async move {
        let (mut registrations, more) = first_devices(app, &pass.identity).await?;
        if more {
            // Its rounds bring reminders of their own.
            let step = (!is_reminder).then(|| Step::push(&pass));
            return step.map(|step| Intent::new(now, step, now)).into_iter().collect();
        }
        if is_reminder {
            // As of a pass that changed by itself: only Apple's devices.
            registrations.retain(|registration| registration.client == ClientKind::Apple);
        }
        let mut sent = pushing::push(app, &pass, registrations, false, now).await?;
        // What APNs does not take of a reminder is tried again by the next one, and by the tries of the first push.
        if is_reminder { Ok(Vec::new()) } else { sent.try_again(&pass, 1, None, now) }
    });
    let told: Vec<Vec<Intent>> = stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(told.into_iter().flatten().collect())
}

/// As many devices as one page holds, however few DynamoDB gives at once, and whether there may be more: of one pass, each
/// walk of a change must find the same.
async fn first_devices(app: &App, identity: &PassIdentity) -> Result<(Vec<Registration>, bool), Fault> {
    let (mut devices, mut next) = app.store.registrations(identity, None, PAGE).await?;
    while let Some(place) = next.as_deref()
        && devices.len() < PAGE as usize
    {
        let (more, after) = app.store.registrations(identity, Some(place), PAGE).await?;
        devices.extend(more);
        next = after;
    }
    Ok((devices, next.is_some()))
}

/// Writes what follows before the intent moves on, so that nothing is skipped: a transaction holds a hundred writes.
/// `last` is written with the move itself, once. Answers the intent's next round, if it is this worker's to send.
async fn go_on(
    app: &App,
    intent: &Intent,
    progress: IntentProgress,
    then: &[Intent],
    last: &[Intent],
) -> Result<Option<Intent>, Fault> {
    app.store.add_intents(then).await?;
    app.store.progress(intent, progress, None, last).await
}
