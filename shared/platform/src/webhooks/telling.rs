//! Telling a webhook what happened to a pass, from the pass's history and in its order.
//!
//! One worker at a time tells one webhook of one pass: it holds a lease. Whoever comes meanwhile leaves a mark and goes;
//! the holder looks once more before it lets go; if it dies, its own intent brings another when the lease has ended. A try
//! that fails leaves an intent for the next, and nothing later of the pass is told before; another pass, and another
//! webhook, do not wait. Before each event the webhook is read again: it may have been changed or deleted since.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use domain::{Pass, time};
use jiff::{SignedDuration, Timestamp};
use passkit::identifiers::PassIdentity;
use serde_json::{Value, json};

use super::{event_type, signature};
use crate::{
    App, Fault,
    outbound::{Call, Reach, Trouble},
    random,
    store::{
        ATTEMPTS, Along, DeadLetter, Delivery, Event, INTENTS_AT_ONCE, Intent, IntentProgress, Step, StoredWebhook,
        Telling, WebhookWritten,
    },
    telemetry::{self, Unit},
};

/// For one delivery: Standard Webhooks says 15 to 30 seconds; a worker has 90 for all that it does.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Deliveries of one round: with all of them as slow as can be, the round ends in time all the same.
const ROUND: Duration = Duration::from_secs(45);
/// Events, or looks, of one round: a pass to which something happens all the time does not keep a worker, and the messages beside its
/// own, for longer than others.
const TURNS: usize = 20;
/// For so long nobody else tells the same: a round, and the delivery that was begun at its end.
const LEASE: SignedDuration = SignedDuration::from_secs(80);
/// Waits before the next try, in seconds; the last one goes on.
const WAITS: [u32; 8] = [5, 30, 120, 600, 1800, 3600, 10_800, 21_600];
/// For so long a server that let us wait in vain is left alone by this process.
const QUIET: SignedDuration = SignedDuration::from_secs(30);
/// One that answers, but no sooner, is left alone for as long as `QUIET_FOR_SLOW` answers take: it has a quarter of a
/// worker at most, and the others do not wait for it.
const SLOW: Duration = Duration::from_secs(1);
const QUIET_FOR_SLOW: u32 = 3;

/// Gives each webhook of the merchant an intent of its own; one alone is told at once.
pub async fn spread(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::Webhooks { merchant_id, identity } = &intent.step else { return Ok(()) };
    let webhooks = app.store.webhooks(merchant_id).await?;
    let webhooks = match <[_; 1]>::try_from(webhooks) {
        Ok([only]) => return tell(app, intent, only, identity, now).await,
        Err(webhooks) => webhooks,
    };
    let each = webhooks.iter().map(|webhook| Intent::new(now, step(webhook, identity), now));
    let then: Vec<Intent> = each.collect::<Result<_, Fault>>()?;
    // A merchant has ten; where they have more, since several came at once, they may be too many for one transaction.
    let (last, before) = then.split_at(then.len().min(INTENTS_AT_ONCE));
    app.store.add_intents(before).await?;
    app.store.progress(intent, IntentProgress::Done, None, last).await?;
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// Tells one webhook of one pass.
pub async fn one(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::Webhook { merchant_id, webhook_id, identity } = &intent.step else { return Ok(()) };
    match app.store.webhook(merchant_id, webhook_id).await? {
        Some(webhook) => tell(app, intent, webhook, identity, now).await,
        None => app.store.done(intent).await,
    }
}

/// The step that tells a webhook of a pass.
pub fn step(webhook: &StoredWebhook, identity: &PassIdentity) -> Step {
    let (merchant_id, webhook_id) = (webhook.merchant_id.clone(), webhook.webhook_id.clone());
    Step::Webhook { merchant_id, webhook_id, identity: identity.clone() }
}

/// What a worker holds: the telling as stored, and the lease on it.
struct Held<'a> {
    app: &'a App,
    intent: &'a Intent,
    webhook: StoredWebhook,
    identity: &'a PassIdentity,
    telling: Telling,
    lease: (String, i64),
}

/// Whether the lease is still held after a writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    /// It is, and somebody left a mark.
    Poked,
    No,
}

async fn tell(
    app: &App,
    intent: &Intent,
    webhook: StoredWebhook,
    identity: &PassIdentity,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(stored) = app.store.pass(identity).await? else {
        return app.store.done(intent).await;
    };
    let Some(mut held) = take(app, intent, webhook, identity, now).await? else { return Ok(()) };
    let begun = tokio::time::Instant::now();
    for _ in 0..TURNS {
        if begun.elapsed() >= ROUND {
            break;
        }
        match next(&mut held).await? {
            Next::Nothing(seen) => {
                if let Some(seen) = seen {
                    held.telling.pass_over(seen);
                }
                // What failed is not wanted any more.
                held.telling.succeeds();
                match held.let_go(&[], None).await? {
                    Holds::Yes | Holds::No => return Ok(()),
                    Holds::Poked => {}
                }
            }
            Next::Event(key, event, kind) => {
                let attempt = held.telling.attempts + 1;
                let at = now + begun.elapsed();
                let delivery = deliver(app, &held.webhook, &stored.pass, (&key, &event, kind), attempt, at).await?;
                if delivery.outcome == DELIVERED {
                    held.telling.tell(&key, event.at);
                    held.telling.succeeds();
                    note(app, &held.webhook, &delivery).await;
                    if held.write(&[], None, Release::Keep).await? == Holds::No {
                        return Ok(());
                    }
                } else {
                    return failed(held, delivery, &event, now).await;
                }
            }
        }
    }
    // There is more to tell than one round can: another message.
    let then = [Intent::new(now, step(&held.webhook, identity), now)?];
    held.let_go(&then, None).await?;
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

const DELIVERED: &str = "delivered";
const AGAIN: &str = "again";
const DEAD: &str = "dead";

/// Takes the lease. `None`: somebody else has it, or it is not the time to try; then the intent is done.
async fn take<'a>(
    app: &'a App,
    intent: &'a Intent,
    webhook: StoredWebhook,
    identity: &'a PassIdentity,
    now: Timestamp,
) -> Result<Option<Held<'a>>, Fault> {
    for _ in 0..ATTEMPTS {
        let before = app.store.telling(identity, &webhook.webhook_id).await?;
        let mut telling = before.clone().unwrap_or_else(|| Telling::from(webhook.active_from));
        // A webhook of this name that was deleted since is no server that fails.
        if telling.failing_since.is_some_and(|since| since < webhook.active_from.as_millisecond()) {
            telling.succeeds();
            telling.retry_at = None;
        }
        let at = now.as_millisecond();
        let done = Some(&intent.key);
        if telling.lease.as_ref().is_some_and(|(_, until)| at < *until) {
            // The same intent once more, from the sweep. Whoever holds the lease may be dead: it stays for when it ends. So does
            // another one, if that one is gone.
            if let Some(held_for) = &telling.held_for
                && (Some(held_for) == done || app.store.intent(held_for).await?.is_none())
            {
                return Ok(None);
            }
            let poked = Telling { poked: true, ..telling };
            let along = Along { done, ..Along::default() };
            match app.store.put_telling(&webhook, identity, (before.as_ref(), &poked), along).await? {
                WebhookWritten::Done => return Ok(None),
                WebhookWritten::Changed => continue,
            }
        }
        // The intent of the next try will find this event too.
        if telling.retry_at.is_some_and(|retry_at| at < retry_at) {
            app.store.done(intent).await?;
            return Ok(None);
        }
        let quiet = app.webhooks.quiet_until(&webhook.merchant_id, &webhook.webhook_id);
        if let Some(until) = quiet.filter(|until| now < *until) {
            let due = until + SignedDuration::from_millis(i64::from(random::below(10_000)?));
            let then = [Intent::new(due, step(&webhook, identity), now)?];
            let waiting = Telling { retry_at: Some(due.as_millisecond()), lease: None, held_for: None, ..telling };
            let along = Along { done, then: &then, ..Along::default() };
            match app.store.put_telling(&webhook, identity, (before.as_ref(), &waiting), along).await? {
                WebhookWritten::Done => {
                    app.queues.send_after_commit(&then, now).await;
                    return Ok(None);
                }
                WebhookWritten::Changed => continue,
            }
        }
        let lease = (random::id()?, (now + LEASE).as_millisecond());
        let held_for = Some(intent.key.clone());
        let taken = Telling { lease: Some(lease.clone()), held_for, poked: false, retry_at: None, ..telling };
        let along = Along::default();
        if app.store.put_telling(&webhook, identity, (before.as_ref(), &taken), along).await? == WebhookWritten::Done {
            let stored = app.store.telling(identity, &webhook.webhook_id).await?;
            let stored = stored.filter(|stored| stored.lease.as_ref() == Some(&lease));
            let Some(telling) = stored else { continue };
            return Ok(Some(Held { app, intent, webhook, identity, telling, lease }));
        }
    }
    Err(Fault::contradiction("how far a webhook was told changed too often"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    /// The lease stays.
    Keep,
    /// It ends, and the intent with it.
    LetGo,
}

impl Held<'_> {
    async fn let_go(&self, then: &[Intent], dead: Option<(&DeadLetter, Timestamp)>) -> Result<Holds, Fault> {
        self.write(then, dead, Release::LetGo).await
    }

    /// Writes how far it has come. Only a mark can have been left meanwhile: then it is written over that, but for the
    /// letting go, which has to look once more (unless an intent follows, which will).
    async fn write(
        &self,
        then: &[Intent],
        dead: Option<(&DeadLetter, Timestamp)>,
        release: Release,
    ) -> Result<Holds, Fault> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.app.store.telling(self.identity, &self.webhook.webhook_id).await? else {
                return Ok(Holds::No);
            };
            if stored.lease.as_ref() != Some(&self.lease) {
                return Ok(Holds::No);
            }
            let lets_go = release == Release::LetGo;
            if lets_go && stored.poked && then.is_empty() {
                let looked = Telling { poked: false, ..self.telling.clone() };
                let along = Along::default();
                let written = self.put(&stored, &looked, along).await?;
                if written == WebhookWritten::Done {
                    return Ok(Holds::Poked);
                }
                continue;
            }
            let lease = (!lets_go).then(|| self.lease.clone());
            let held_for = self.telling.held_for.clone().filter(|_| !lets_go);
            let poked = stored.poked && !lets_go;
            let after = Telling { lease, held_for, poked, ..self.telling.clone() };
            let done = lets_go.then_some(&self.intent.key);
            if self.put(&stored, &after, Along { done, then, dead }).await? == WebhookWritten::Done {
                return Ok(Holds::Yes);
            }
        }
        Err(Fault::contradiction("how far a webhook was told changed too often"))
    }

    async fn put(&self, before: &Telling, after: &Telling, along: Along<'_>) -> Result<WebhookWritten, Fault> {
        self.app.store.put_telling(&self.webhook, self.identity, (Some(before), after), along).await
    }
}

/// What is to be told next.
enum Next {
    /// Its key, itself, its type on the wire.
    Event(String, Box<Event>, &'static str),
    /// Nothing; the time of the last event looked at.
    Nothing(Option<Timestamp>),
}

/// What is to be told next, to the webhook as it is now: the same, one that was put since at another address or for other
/// events, or none any more.
async fn next(held: &mut Held<'_>) -> Result<Next, Fault> {
    loop {
        let next = first_untold(held.app, &held.webhook, held.identity, &held.telling).await?;
        // Read after the history: an event that was looked at and passed over was not wanted when it happened.
        let StoredWebhook { merchant_id, webhook_id, .. } = &held.webhook;
        match held.app.store.webhook(merchant_id, webhook_id).await? {
            None => return Ok(Next::Nothing(None)),
            Some(present) if present == held.webhook => return Ok(next),
            Some(present) => held.webhook = present,
        }
    }
}

async fn first_untold(
    app: &App,
    webhook: &StoredWebhook,
    identity: &PassIdentity,
    telling: &Telling,
) -> Result<Next, Fault> {
    let (mut after, mut seen) = (telling.start(), None);
    loop {
        let (events, more) = app.store.events(identity, &after).await?;
        for (key, event) in events {
            seen = Some(event.at);
            let wanted = event_type(event.kind).filter(|kind| webhook.wants(kind) && event.at >= webhook.active_from);
            if let Some(kind) = wanted
                && !telling.has_told(&key)
            {
                return Ok(Next::Event(key, Box::new(event), kind));
            }
        }
        match more {
            Some(more) => after = more,
            None => return Ok(Next::Nothing(seen)),
        }
    }
}

/// What a merchant's webhooks were told of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Everything, all of them.
    All,
    /// Something was given up, which a replay could still tell.
    GivenUp,
    /// Something is still to be told.
    NotYet,
}

/// Whether every webhook of the merchant was told everything of a pass.
pub async fn told(app: &App, pass: &Pass) -> Result<Told, Fault> {
    let mut told = Told::All;
    for webhook in app.store.webhooks(&pass.merchant_id).await? {
        let telling = app.store.telling(&pass.identity, &webhook.webhook_id).await?;
        let telling = telling.unwrap_or_else(|| Telling::from(webhook.active_from));
        if let Next::Event(..) = first_untold(app, &webhook, &pass.identity, &telling).await? {
            return Ok(Told::NotYet);
        }
        if app.store.dead_letter(&webhook, &pass.identity).await?.is_some() {
            told = Told::GivenUp;
        }
    }
    Ok(told)
}

/// After a try that failed: another later, or, when they have failed for too long, none, and what there is to tell is
/// given up until somebody replays it.
async fn failed(mut held: Held<'_>, mut delivery: Delivery, event: &Event, now: Timestamp) -> Result<(), Fault> {
    let app = held.app;
    let since = held.telling.failing_since.unwrap_or(now.as_millisecond());
    let give_up = i64::try_from(app.config.webhook_give_up.as_millis()).unwrap_or(i64::MAX);
    if now.as_millisecond().saturating_sub(since) >= give_up {
        delivery.outcome = DEAD.to_owned();
        note(app, &held.webhook, &delivery).await;
        let PassIdentity { pass_type_identifier, serial_number } = held.identity.clone();
        // What was given up before and not replayed is told again with it.
        let earlier = app.store.dead_letter(&held.webhook, held.identity).await?.map(|letter| letter.first);
        let first = earlier.into_iter().fold(event.at.as_millisecond(), i64::min);
        let letter = DeadLetter { pass_type_identifier, serial_number, first };
        while let Next::Event(key, event, _) = next(&mut held).await? {
            held.telling.tell(&key, event.at);
        }
        held.telling.succeeds();
        // Somebody may have come meanwhile with something that is not to be given up.
        let then = [Intent::new(now, step(&held.webhook, held.identity), now)?];
        held.let_go(&then, Some((&letter, now))).await?;
        app.queues.send_after_commit(&then, now).await;
        return Ok(());
    }
    note(app, &held.webhook, &delivery).await;
    let wait = WAITS.get(held.telling.attempts as usize).or(WAITS.last()).copied().unwrap_or(0);
    let jitter = i64::from(random::below(wait * 250)?);
    let due = now + SignedDuration::from_millis(i64::from(wait) * 1000 + jitter);
    held.telling.attempts = held.telling.attempts.saturating_add(1);
    held.telling.failing_since = Some(since);
    held.telling.retry_at = Some(due.as_millisecond());
    let then = [Intent::new(due, step(&held.webhook, held.identity), now)?];
    held.let_go(&then, None).await?;
    app.queues.send_after_commit(&then, now).await;
    Ok(())
}

/// The `webhook-id` of an event: what its key ends with, so the same for every attempt.
fn message_id(key: &str) -> String {
    format!("msg_{}", key.rsplit('#').next().unwrap_or_default())
}

/// One attempt.
async fn deliver(
    app: &App,
    webhook: &StoredWebhook,
    pass: &Pass,
    (key, event, kind): (&str, &Event, &'static str),
    attempt: u32,
    now: Timestamp,
) -> Result<Delivery, Fault> {
    let mut data = event.detail.clone();
    data.insert("passTypeIdentifier".to_owned(), json!(pass.identity.pass_type_identifier));
    data.insert("serialNumber".to_owned(), json!(pass.identity.serial_number));
    data.insert("campaignId".to_owned(), json!(pass.campaign_id));
    data.insert("version".to_owned(), json!(event.version));
    let message_id = message_id(key);
    let body = json!({ "type": kind, "timestamp": time::to_text(event.at), "data": data });
    let begun = tokio::time::Instant::now();
    let sent = post(app, webhook, &message_id, &body, now).await?;
    let took = begun.elapsed();
    if matches!(sent, Err(Trouble::Timeout)) {
        app.webhooks.be_quiet(&webhook.merchant_id, &webhook.webhook_id, now + QUIET);
    } else if took >= SLOW {
        app.webhooks.be_quiet(&webhook.merchant_id, &webhook.webhook_id, now + took + took * QUIET_FOR_SLOW);
    }
    let delivered = sent.as_ref().is_ok_and(StatusCode::is_success);
    Ok(Delivery {
        at: now,
        message_id,
        event: kind.to_owned(),
        pass_type_identifier: pass.identity.pass_type_identifier.clone(),
        serial_number: pass.identity.serial_number.clone(),
        attempt,
        status: sent.as_ref().ok().map(StatusCode::as_u16),
        error: sent.err().map(|trouble| trouble.to_string()),
        outcome: if delivered { DELIVERED } else { AGAIN }.to_owned(),
    })
}

/// Sends one signed message.
pub async fn post(
    app: &App,
    webhook: &StoredWebhook,
    message_id: &str,
    body: &Value,
    now: Timestamp,
) -> Result<Result<StatusCode, Trouble>, Fault> {
    let body = body.to_string();
    let signatures = signature::signatures(&webhook.secrets, message_id, &body, now)?;
    let mut headers = HeaderMap::new();
    let seconds = now.as_second().to_string();
    for (name, value) in
        [("webhook-id", message_id), ("webhook-timestamp", &seconds), ("webhook-signature", &signatures)]
    {
        let value = HeaderValue::from_str(value).map_err(|error| Fault::new("writing a header", error))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    let url = webhook.url.parse().map_err(|error| Fault::new("reading a webhook's address", error))?;
    let reach = reach(app);
    let answered = app.call(Call { url: &url, headers, body: body.into(), timeout: TIMEOUT, reach }).await?;
    Ok(answered.map(|answered| answered.status))
}

/// Whom webhooks may reach.
pub fn reach(app: &App) -> Reach {
    if app.config.webhooks_to_this_machine { Reach::PublicAndThisMachine } else { Reach::Public }
}

/// Keeps an attempt to be read, and counts it. What cannot be kept is only logged: the delivery counts.
async fn note(app: &App, webhook: &StoredWebhook, delivery: &Delivery) {
    let count = |outcome: &str| if delivery.outcome == outcome { 1.0 } else { 0.0 };
    let outcomes = [
        ("WebhooksDelivered", Unit::Count, count(DELIVERED)),
        ("WebhooksAgain", Unit::Count, count(AGAIN)),
        ("WebhooksDead", Unit::Count, count(DEAD)),
    ];
    telemetry::metrics(&outcomes, &[], delivery.at);
    tracing::info!(event = delivery.event, status = delivery.status, outcome = delivery.outcome, "webhook");
    if let Err(fault) = app.store.log_delivery(webhook, delivery).await {
        tracing::warn!(fault = fault.chain(), "a delivery was not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_id_for_all_its_attempts() {
        assert_eq!(message_id("EVENT#1700000000000#0000000002#0#zW61by0f56lOZYSI"), "msg_zW61by0f56lOZYSI");
    }
}
