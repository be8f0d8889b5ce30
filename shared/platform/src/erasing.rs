//! Erasing passes, by their merchant's word or when their campaign's `retentionDays` are over (`docs/decisions/0016`).
//!
//! [`begin`] makes a pass void and unknown to its merchant; [`rest`] forgets it once its phones know, or their time is
//! up; [`again`], some minutes later, forgets what doors that were at work wrote meanwhile. Each is an intent, so a crash
//! anywhere is finished. [`look`] and [`look_at_campaign`] find what a campaign keeps no longer.

use domain::{Campaign, Pass, Refusal};
use jiff::{SignedDuration, Timestamp};
use passkit::identifiers::PassIdentity;

use crate::{
    App, Fault, http,
    store::{
        ATTEMPTS, Carriers, Forgotten, Intent, IntentKey, IntentProgress, MembersLimit, Remains, Step, StoredPass,
        Written,
    },
    webhooks::{
        self,
        telling::{self, Told},
    },
};

/// Seconds until it is looked whether phones know that a pass is void, and again; after the last, when their time is up.
const LOOKS: [i64; 5] = [60, 300, 1800, 7200, 21_600];
/// When it is looked again whether webhooks were told all: at first soon, then more rarely, after a quarter of the time that it
/// has taken. A server that is away for days must not have every pass that waits for it looked at every moment.
const UNTOLD: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(20), SignedDuration::from_hours(1));
/// A registration that was on its way when the erasure began is there by then: its door may take 20 seconds, and what is on its
/// way then comes some seconds later.
const ARRIVED: SignedDuration = SignedDuration::from_secs(60);
/// A phone that APNs called gone, since it has another token, and that registers again under another id, is there by then, after
/// all its retries.
const RETURNED: SignedDuration = SignedDuration::from_hours(1);
/// When it is looked once more for what was written about a pass that is gone: a function lives for 90 seconds at most, so does the
/// one that erases for 30, and what is on its way then comes some seconds later.
const AGAIN: SignedDuration = SignedDuration::from_secs(300);
/// How long after a campaign's new rule its passes are looked at: the door that brings it may take 20 seconds, and a worker that
/// read the campaign just before issues by it for 60; what is on its way then comes some seconds later.
pub const SETTLED: SignedDuration = SignedDuration::from_secs(180);
/// Pages of a campaign's passes worked in one round.
const CAMPAIGN_PAGES: usize = 10;

/// Begins the erasure of a pass, carrying out the intent `done` if there is one. A pass that is being erased is left alone.
pub async fn begin(
    app: &App,
    stored: &StoredPass,
    campaign: &Campaign,
    done: Option<&IntentKey>,
    now: Timestamp,
) -> Result<Written, Fault> {
    let Some(pass) = stored.pass.begin_erasure(campaign, now) else { return Ok(Written::Done) };
    let mut carriers = carriers(app, &pass.identity).await?;
    let grace = SignedDuration::try_from(app.config.erasure_grace).unwrap_or(SignedDuration::MAX);
    let after = |from: Timestamp, wait: SignedDuration| from.checked_add(wait).unwrap_or(Timestamp::MAX);
    // Who fetched a pass that was void before may have left since, and another be there that did not; unless that had its time.
    let was_void = pass.shown == stored.pass.shown;
    if was_void && carriers == Carriers::One && now < after(pass.shown_since(campaign), grace) {
        carriers = Carriers::Several;
    }
    // Also where nobody carries it: somebody may be about to.
    let until = after(now, grace.max(RETURNED));
    let step = Step::Erase { identity: pass.identity.clone(), until, looks: 0, carriers };
    let mut then = vec![Intent::new(now, step, now)?];
    // Also when it was void before: the pushes of that time may be over.
    if !pass.is_fetched(campaign) {
        then.push(Intent::new(now, Step::push(&pass), now)?);
    }
    then.extend(webhooks::news(app, &pass, now).await?);
    let written = app.store.begin_erasure(stored, &pass, now, done, &then).await?;
    if matches!(written, Written::Done) {
        app.queues.send_after_commit(&then, now).await;
    }
    Ok(written)
}

fn next_look(now: Timestamp, until: Timestamp, looks: u32) -> Timestamp {
    let wait = LOOKS.get(looks as usize).map(|seconds| SignedDuration::from_secs(*seconds));
    wait.map_or(until, |wait| (now + wait).min(until)).max(now)
}

async fn carriers(app: &App, identity: &PassIdentity) -> Result<Carriers, Fault> {
    let (registrations, more) = app.store.registrations(identity, None, 2).await?;
    Ok(match (registrations.len(), more) {
        (0, None) => Carriers::None,
        (1, None) => Carriers::One,
        // Also where DynamoDB gives one and says that there may be more.
        (_, _) => Carriers::Several,
    })
}

/// Whether a phone may still learn that the pass is void, when so many carry it and as many did at most. Phones do not say who
/// they are when they fetch, so of several it is not known which did; nor of one that is left of several.
fn phones_wait(pass: &Pass, campaign: &Campaign, age: SignedDuration, carriers: (Carriers, Carriers)) -> bool {
    match carriers {
        (Carriers::None, _) => age < RETURNED,
        (Carriers::One, Carriers::None | Carriers::One) => age < ARRIVED || !pass.is_fetched(campaign),
        (Carriers::One, Carriers::Several) | (Carriers::Several, _) => true,
    }
}

/// Whether a webhook is still to be told of the pass from its history, or what was given up of it can still be replayed. One that
/// does not answer is given up in time.
async fn webhooks_wait(app: &App, pass: &Pass, until: Timestamp, now: Timestamp) -> Result<bool, Fault> {
    let give_up = SignedDuration::try_from(app.config.webhook_give_up).unwrap_or(SignedDuration::MAX);
    let latest = until.checked_add(give_up).unwrap_or(Timestamp::MAX);
    if now >= latest {
        return Ok(false);
    }
    Ok(match telling::told(app, pass).await? {
        Told::All => false,
        Told::NotYet => true,
        // It had its time for all but the last of it.
        Told::GivenUp => pass.erasing_since.is_some_and(|since| now < since.checked_add(give_up).unwrap_or(latest)),
    })
}

/// Erases what is left of a pass, unless its phones have time.
pub async fn rest(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::Erase { identity, until, looks, carriers: before } = &intent.step else { return Ok(()) };
    let Some((stored, campaign)) = app.store.pass_and_campaign(identity).await? else {
        return app.store.done(intent).await;
    };
    let pass = &stored.pass;
    let carriers = carriers(app, identity).await?;
    let at_most = carriers.max(*before);
    let age = pass.erasing_since.map_or(SignedDuration::MAX, |since| now.duration_since(since));
    let phones_wait = now < *until && phones_wait(pass, &campaign.campaign, age, (carriers, at_most));
    let answer = answer_from_now_on();
    let whose = forgotten(pass, &answer);
    let webhooks_wait = !phones_wait && webhooks_wait(app, pass, *until, now).await?;
    if phones_wait || webhooks_wait {
        // To its merchant the pass is unknown from the beginning, also by what was answered before.
        if app.store.forget_answers(whose).await? == Remains::More {
            return go_on(app, intent, now).await;
        }
        let due = match (phones_wait, carriers) {
            (true, Carriers::None) => next_look(now, *until, *looks).min(now + (RETURNED - age).max(ARRIVED)),
            (true, Carriers::One | Carriers::Several) => next_look(now, *until, *looks),
            (false, _) => now + (age / 4).clamp(UNTOLD.0, UNTOLD.1),
        };
        let step = Step::Erase { identity: identity.clone(), until: *until, looks: looks + 1, carriers: at_most };
        let mut then = vec![Intent::new(due, step, now)?];
        if webhooks_wait {
            // It may want since what it did not when it was told: then nobody is about to tell it.
            then.extend(webhooks::news(app, pass, now).await?);
        }
        app.store.progress(intent, IntentProgress::Done, None, &then).await?;
        app.queues.send_after_commit(&then, now).await;
        return Ok(());
    }
    if app.store.forget(whose).await? == Remains::More {
        return go_on(app, intent, now).await;
    }
    app.packages.forget(identity).await?;
    let (merchant_id, campaign_id) = (pass.merchant_id.clone(), pass.campaign_id.clone());
    let step = Step::EraseAgain { identity: identity.clone(), merchant_id, campaign_id };
    let then = [Intent::new(now + AGAIN, step, now)?];
    app.store.finish_erasure(whose, &intent.key, &then, now).await?;
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// Erases what doors that were at work wrote about a pass that is gone.
pub async fn again(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::EraseAgain { identity, merchant_id, campaign_id } = &intent.step else { return Ok(()) };
    let answer = answer_from_now_on();
    let whose = Forgotten { identity, merchant_id, campaign_id, answer: (answer.0, &answer.1) };
    if app.store.forget(whose).await? == Remains::More {
        return go_on(app, intent, now).await;
    }
    app.packages.forget(identity).await?;
    app.store.done(intent).await
}

/// Forgets at once what repeated requests would be told of the holder, as far as one round goes: the rest follows.
pub async fn forget_answers(app: &App, pass: &Pass) -> Result<(), Fault> {
    app.store.forget_answers(forgotten(pass, &answer_from_now_on())).await.map(|_| ())
}

fn forgotten<'a>(pass: &'a Pass, answer: &'a (u16, String)) -> Forgotten<'a> {
    let Pass { identity, merchant_id, campaign_id, .. } = pass;
    Forgotten { identity, merchant_id, campaign_id, answer: (answer.0, &answer.1) }
}

/// Another round, in another message.
async fn go_on(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let begun = IntentProgress::Reached("begun".to_owned(), now);
    let next = app.store.progress(intent, begun, None, &[]).await?;
    app.queues.send_after_commit(next.as_slice(), now).await;
    Ok(())
}

/// What a request whose answer told of the holder is answered from now on when it is repeated.
fn answer_from_now_on() -> (u16, String) {
    let (status, problem) = http::problem_of_refusal(Refusal::UnknownPass);
    (status.as_u16(), problem.to_string())
}

/// The intent to look at a pass, if its campaign does not keep passes for ever. There is one for each pass and time.
pub fn first_look(pass: &Pass, campaign: &Campaign, now: Timestamp) -> Result<Option<Intent>, Fault> {
    let Some(since) = campaign.retention_since else { return Ok(None) };
    let Some(due) = pass.next_look(campaign, now)? else { return Ok(None) };
    let identity = pass.identity.clone();
    let name = format!("retain {} {}", identity.pass_type_identifier, identity.serial_number);
    Ok(Some(Intent::named(&name, due, Step::Retain { identity, since }, now)))
}

/// Looks whether a pass is to be erased; if not yet, it will be looked at again in time.
pub async fn look(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::Retain { identity, since } = &intent.step else { return Ok(()) };
    for _ in 0..ATTEMPTS {
        let found = app.store.pass_and_campaign(identity).await?;
        let found = found.filter(|(stored, _)| stored.pass.erasing_since.is_none());
        let found = found.filter(|(_, campaign)| campaign.campaign.retention_since == Some(*since));
        let Some((stored, campaign)) = found else {
            return app.store.done(intent).await;
        };
        if stored.pass.erase_at(&campaign.campaign)?.is_none_or(|at| now < at) {
            let then: Vec<_> = first_look(&stored.pass, &campaign.campaign, now)?.into_iter().collect();
            return app.store.progress(intent, IntentProgress::Done, None, &then).await.map(|_| ());
        }
        match begin(app, &stored, &campaign.campaign, Some(&intent.key), now).await? {
            Written::Done => return Ok(()),
            Written::Changed | Written::AnsweredBefore => {}
        }
    }
    Err(Fault::contradiction("a pass changed too often for its erasure to begin"))
}

/// The intent to look at every pass of a campaign that keeps them for another time than `before`.
pub fn look_at_all(before: Option<&Campaign>, after: &Campaign, now: Timestamp) -> Result<Option<Intent>, Fault> {
    let unchanged = before.is_some_and(|before| before.retention_since == after.retention_since);
    let Some(since) = after.retention_since.filter(|_| before.is_some() && !unchanged) else { return Ok(None) };
    let (merchant_id, campaign_id) = (after.merchant_id.clone(), after.campaign_id.clone());
    Intent::new(now + SETTLED, Step::RetainCampaign { merchant_id, campaign_id, since }, now).map(Some)
}

/// Walks the passes of a campaign, some pages a round, and leaves each an intent to be looked at.
pub async fn look_at_campaign(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::RetainCampaign { merchant_id, campaign_id, since } = &intent.step else { return Ok(()) };
    let campaign = app.store.campaign(merchant_id, campaign_id).await?;
    let Some(campaign) = campaign.filter(|campaign| campaign.campaign.retention_since == Some(*since)) else {
        return app.store.done(intent).await;
    };
    let mut place = intent.cursor.clone();
    let mut then = Vec::new();
    for _ in 0..CAMPAIGN_PAGES {
        let page = app.store.members(merchant_id, campaign_id, place.as_deref(), MembersLimit::WHOLE).await?;
        for stored in page.0 {
            then.extend(first_look(&stored.pass, &campaign.campaign, now)?);
        }
        place = page.1;
        if place.is_none() {
            break;
        }
    }
    app.store.add_intents(&then).await?;
    let progress = place.map_or(IntentProgress::Done, |place| IntentProgress::Reached(place, now));
    then.extend(app.store.progress(intent, progress, None, &[]).await?);
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_given_time_and_not_more() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let later = |seconds| now + SignedDuration::from_secs(seconds);
        assert_eq!(next_look(now, now, 0), now);
        assert_eq!(next_look(now, later(30), 0), later(30));
        assert_eq!(next_look(now, later(86_400), 0), later(60));
        assert_eq!(next_look(now, later(86_400), 5), later(86_400));
    }
}
