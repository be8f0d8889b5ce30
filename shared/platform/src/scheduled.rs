//! Carrying out scheduled updates: the overlay comes, or goes, and what shows it is told.

use domain::{
    Campaign,
    campaign::{ActiveUpdate, Composition, MAXIMUM_ACTIVE_UPDATES, fitting},
    schedule::{Edge, Next, ScheduledUpdate, Target, UpdateState},
};
use jiff::Timestamp;
use passkit::problem::{Problem, Problems, add_new};

use crate::{
    App, Fault,
    store::{ATTEMPTS, Changed, Intent, IntentKey, Step, StoredCampaign, StoredPass, StoredUpdate, UpdateWritten},
    webhooks,
};

/// Bytes of the updates that are on for one pass, as they stand in its item: that has 400 KB, and room for all else.
const PASS_UPDATES_BYTES: usize = 128 * 1024;

/// The intent of an update's next edge, if one follows.
pub fn next_intent(update: &ScheduledUpdate, next: &Next, now: Timestamp) -> Result<Option<Intent>, Fault> {
    let Some((edge, due)) = next.edge else { return Ok(None) };
    let step = Step::ScheduledUpdate {
        merchant_id: update.merchant_id.clone(),
        update_id: update.update_id.clone(),
        occurrence: next.occurrence,
        edge,
    };
    // What should have begun already begins now.
    Intent::new(due.max(now), step, now).map(Some)
}

/// What would be wrong if the update were on now: how a new one is checked.
pub async fn rehearse(app: &App, update: &ScheduledUpdate, now: Timestamp) -> Result<Rehearsal, Fault> {
    Ok(match target(app, update).await? {
        None => Rehearsal::UnknownTarget,
        Some(found) => match composed(app, update, &found, Wanted::On, now).await? {
            Ok(_) => Rehearsal::Good,
            Err(problems) => Rehearsal::Bad(problems),
        },
    })
}

/// How a rehearsal ended.
#[derive(Debug)]
pub enum Rehearsal {
    /// It would come.
    Good,
    /// It could not, for these reasons.
    Bad(Problems),
    /// There is nothing to change.
    UnknownTarget,
}

/// Carries out an edge that is due. A message about another repetition than the one the update is in is a duplicate.
pub async fn edge(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::ScheduledUpdate { merchant_id, update_id, occurrence, edge } = &intent.step else { return Ok(()) };
    for _ in 0..ATTEMPTS {
        let stored = app.store.update(merchant_id, update_id).await?;
        let expected = match edge {
            Edge::Begin => UpdateState::Scheduled,
            Edge::End => UpdateState::Active,
        };
        let stored = stored.filter(|stored| stored.update.state == expected && stored.update.occurrence == *occurrence);
        let Some(stored) = stored else {
            return app.store.done(intent).await;
        };
        let (wanted, next) = match edge {
            // It was to be on for a time that is over: what comes next is another repetition, if there is one.
            Edge::Begin
                if stored.update.bounds(*occurrence).and_then(|(_, until)| until).is_some_and(|until| until <= now) =>
            {
                (Wanted::Off, stored.update.after(Edge::End, now))
            }
            Edge::Begin => (Wanted::On, stored.update.after(Edge::Begin, now)),
            Edge::End => (Wanted::Off, stored.update.after(Edge::End, now)),
        };
        if carry_out(app, &stored, wanted, next, Some(&intent.key), now).await?.is_some() {
            return Ok(());
        }
    }
    Err(Fault::contradiction("a scheduled update's target changed too often"))
}

/// Ends an update for good, whatever it is in, and restores what was. The update as it is then; `None`: somebody changed it
/// meanwhile.
pub async fn cancel(app: &App, stored: &StoredUpdate, now: Timestamp) -> Result<Option<ScheduledUpdate>, Fault> {
    let next = Next { state: UpdateState::Cancelled, occurrence: stored.update.occurrence, edge: None };
    carry_out(app, stored, Wanted::Off, next, None, now).await
}

/// Whether the overlay shall be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    On,
    Off,
}

/// The target as read.
enum Found {
    Campaign(Box<StoredCampaign>),
    Pass(Box<(StoredPass, StoredCampaign)>),
}

/// The target as it shall be.
enum Composed {
    Same,
    Campaign(Box<domain::campaign::Composed>),
    Pass(Box<domain::Pass>),
}

async fn target(app: &App, update: &ScheduledUpdate) -> Result<Option<Found>, Fault> {
    Ok(match &update.target {
        Target::Campaign { campaign_id } => {
            let found = app.store.campaign(&update.merchant_id, campaign_id).await?;
            found.map(|found| Found::Campaign(Box::new(found)))
        }
        Target::Pass(identity) => {
            let found = app.store.pass_and_campaign(identity).await?;
            let found = found.filter(|(stored, _)| stored.pass.is_known_to(&update.merchant_id));
            found.map(|found| Found::Pass(Box::new(found)))
        }
    })
}

/// The update as it is written; `None`: it, or its target, changed meanwhile.
async fn carry_out(
    app: &App,
    stored: &StoredUpdate,
    wanted: Wanted,
    next: Next,
    done: Option<&IntentKey>,
    now: Timestamp,
) -> Result<Option<ScheduledUpdate>, Fault> {
    let update = &stored.update;
    let found = target(app, update).await?;
    let (composed, next) = match &found {
        // The target is gone, so there is nothing to change and nothing to come.
        None => (Composed::Same, Next { state: UpdateState::Finished, occurrence: next.occurrence, edge: None }),
        Some(found) => match composed(app, update, found, wanted, now).await? {
            Ok(composed) => (composed, next),
            Err(problems) => {
                let state = UpdateState::Failed { problems };
                (Composed::Same, Next { state, occurrence: next.occurrence, edge: None })
            }
        },
    };
    let after = ScheduledUpdate { state: next.state.clone(), occurrence: next.occurrence, ..update.clone() };
    let mut then: Vec<Intent> = next_intent(update, &next, now)?.into_iter().collect();
    let changed = match (&composed, &found) {
        (Composed::Campaign(composed), Some(Found::Campaign(before))) => {
            if !composed.altered.is_empty() {
                then.push(Intent::new(now, Step::push_campaign(composed), now)?);
            }
            Changed::Campaign { before, after: &composed.campaign }
        }
        (Composed::Pass(pass), Some(Found::Pass(before))) => {
            if pass.shown != before.0.pass.shown {
                then.push(Intent::new(now, Step::push(pass), now)?);
            }
            then.extend(webhooks::news(app, pass, now).await?);
            Changed::Pass { before: &before.0, after: pass }
        }
        (Composed::Same | Composed::Campaign(_) | Composed::Pass(_), _) => Changed::Nothing,
    };
    let written = app.store.carry_out(stored, &after, changed, done, &then).await?;
    if written != UpdateWritten::Done {
        return Ok(None);
    }
    app.queues.send_after_commit(&then, now).await;
    Ok(Some(after))
}

/// The target with the update on or off, or what is wrong with that.
async fn composed(
    app: &App,
    update: &ScheduledUpdate,
    found: &Found,
    wanted: Wanted,
    now: Timestamp,
) -> Result<Result<Composed, Problems>, Fault> {
    let (campaign, current): (&Campaign, &Vec<ActiveUpdate>) = match found {
        Found::Campaign(stored) => (&stored.campaign, &stored.campaign.active),
        Found::Pass(found) => (&found.1.campaign, &found.0.pass.active),
    };
    let mut active: Vec<_> = current.iter().filter(|other| other.update_id != update.update_id).cloned().collect();
    if wanted == Wanted::On {
        active.push(ActiveUpdate { update_id: update.update_id.clone(), overlay: update.overlay.clone() });
    }
    // An end is never refused, whatever is left.
    if wanted == Wanted::On && active.len() > MAXIMUM_ACTIVE_UPDATES {
        let message = format!("more than {MAXIMUM_ACTIVE_UPDATES} updates would be on at once");
        return Ok(Err(vec![Problem::new("/target", message)]));
    }
    if active == *current {
        return Ok(Ok(Composed::Same));
    }
    if let (Wanted::On, Found::Pass(_)) = (wanted, found)
        && serde_json::to_vec(&active).map_or(true, |written| written.len() > PASS_UPDATES_BYTES)
    {
        let message =
            format!("the updates that would be on at once have more than {PASS_UPDATES_BYTES} bytes together");
        return Ok(Err(vec![Problem::new("/overlay", message)]));
    }
    let template = app.packages.template(&campaign.merchant_id, &campaign.template).await?;
    match found {
        Found::Campaign(stored) => {
            let compose = |active: &[ActiveUpdate]| {
                campaign.draft.clone().compose(Composition {
                    campaign_id: &campaign.campaign_id,
                    merchant_id: &campaign.merchant_id,
                    template: &template,
                    template_version: campaign.template.clone(),
                    previous: Some(&stored.campaign),
                    active: active.to_vec(),
                    now,
                })
            };
            let composed = match wanted {
                Wanted::On => compose(&active),
                // Another update may hang on what this one brought, and goes with it: an end is never put off.
                Wanted::Off => fitting(&active, compose),
            };
            Ok(composed.map(|composed| Composed::Campaign(Box::new(composed))))
        }
        Found::Pass(found) => {
            let before = &found.0.pass;
            let pass = before.with_active(active, campaign, now);
            let mut problems = Problems::new();
            if wanted == Wanted::On {
                // What the overlay makes of the pass in any state it can come to with its present offer.
                for key in campaign.looks.keys().filter(|key| key.offer_id == pass.offer_id) {
                    add_new(&mut problems, campaign.prepare(key, &template, &pass.active).err().unwrap_or_default());
                }
            }
            if !problems.is_empty() {
                return Ok(Err(problems));
            }
            // Under the overlay of the pass's state there may be nothing to be seen of it.
            let looks = [before, &pass].map(|pass| campaign.prepare_fitting(&pass.look_key(), &template, &pass.active));
            let is_same = matches!(&looks, [Ok(one), Ok(other)] if one.digest() == other.digest());
            let pass = if is_same { pass.unseen(before) } else { pass };
            Ok(Ok(Composed::Pass(Box::new(pass))))
        }
    }
}
