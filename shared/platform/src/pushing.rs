//! Telling devices to ask: what a push worker does with one page of registrations.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use domain::Pass;
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use passkit::{identifiers::DeviceLibraryIdentifier, web_service::ClientKind};

use crate::{
    App, CLOCKS_APART, Fault,
    apns::{Push, PushOutcome},
    random,
    store::{Departure, Event, EventKind, Intent, Registration, Step},
    telemetry::{self, Unit},
    walletpasses, webhooks,
};

/// Pushes in flight at once over one connection; Apple's servers allow about a thousand streams.
const IN_FLIGHT: usize = 256;
/// How long APNs keeps a push for a phone that is off: a pass that changed is worth telling for days.
const KEPT_BY_APNS: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Waits before the second and each further try of a push, in seconds: five tries in about an hour (reference, 2.4), and,
/// since an outage may last longer and the phone knows nothing of it, three more while APNs would have kept the push.
const WAITS: [u32; 7] = [5, 60, 600, 2400, 7200, 43_200, 129_600];
/// Waits, in seconds, before what nobody fetched is pushed a second and a third time more; the first comes after
/// `RELIST_AFTER_SECONDS`, when the list names it again. Wallet scores how often passes of a type are pushed (reference,
/// 1.7): with one pass of the type, a push less than 7200 seconds after the one before raises the score, one later lowers
/// it. So of the three at most the first raises it, once for each version.
const REMINDERS: [u32; 2] = [7200, 43_200];
/// The longest wait that an answer of APNs can ask for, in seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The metric of pushes that are not tried again.
const LOST: &str = "PushesLost";

/// When a reminder, counted from 1, is due after what was told at `now`; `None`: that is one too many.
pub fn reminder_due(app: &App, reminder: u32, now: Timestamp) -> Option<Timestamp> {
    let wait = match reminder.checked_sub(2) {
        None => SignedDuration::try_from(app.config.relist_after).unwrap_or(SignedDuration::MAX),
        Some(later) => SignedDuration::from_secs((*REMINDERS.get(later as usize)?).into()),
    };
    Some(now.checked_add(wait).unwrap_or(Timestamp::MAX))
}

/// What became of one page of pushes.
#[derive(Debug, Default)]
pub struct Sent {
    /// Accepted by APNs, which is not yet delivered.
    pub accepted: u32,
    /// Registrations ended, since APNs says the token is none.
    pub ended: u32,
    /// Devices of kinds that APNs does not know; nothing was sent.
    pub elsewhere: u32,
    /// Devices to be told again.
    pub again: Vec<Again>,
    /// Given up, or refused for a fault of ours.
    pub lost: u32,
    /// What became of pushes to WalletPasses.
    android: Android,
}

/// A device to be told again.
#[derive(Debug)]
pub struct Again {
    device: DeviceLibraryIdentifier,
    /// The pause that APNs asked for, if it did.
    wait: Duration,
    /// Whether APNs said that it is gone, at about the time at which it registered.
    doubted: bool,
}

/// What became of pushes to WalletPasses. None of it says anything of iPhones.
#[derive(Debug, Default)]
struct Android {
    accepted: u32,
    again: Vec<DeviceLibraryIdentifier>,
    lost: u32,
}

impl Android {
    fn was_tried(&self) -> bool {
        self.accepted + self.lost > 0 || !self.again.is_empty()
    }
}

impl Sent {
    /// For the pass's history; `None` when nobody was told anything.
    pub fn event(&self, version: u64, now: Timestamp) -> Option<Event> {
        let told = self.accepted + self.ended + self.lost > 0 || !self.again.is_empty() || self.android.was_tried();
        told.then(|| {
            let event = Event::new(EventKind::Pushed, now, version)
                .with("accepted", self.accepted)
                .with("ended", self.ended)
                .with("again", self.again.len())
                .with("lost", self.lost);
            if self.android.was_tried() { event.with("android", self.android.accepted) } else { event }
        })
    }

    /// The metrics of one page. Those that are zero are said too, since the alarm divides by their sum.
    fn count(&self, now: Timestamp) {
        let again = u32::try_from(self.again.len()).unwrap_or(u32::MAX);
        let outcomes =
            [("PushesAccepted", self.accepted), ("PushesEnded", self.ended), ("PushesAgain", again), (LOST, self.lost)];
        telemetry::metrics(&outcomes.map(|(name, count)| (name, Unit::Count, f64::from(count))), &[], now);
    }

    /// The intents to tell the remaining devices again, while a try is left. Devices that APNs wants left alone for
    /// longer have an intent of their own: one throttled phone must not hold back the others.
    pub fn try_again(
        &mut self,
        pass: &Pass,
        attempt: u32,
        mut reminder: Option<u32>,
        now: Timestamp,
    ) -> Result<Vec<Intent>, Fault> {
        let Some(&wait) = WAITS.get(attempt as usize - 1) else {
            self.give_up(attempt, now);
            return Ok(Vec::new());
        };
        let usual = Duration::from_secs(wait.into());
        let asked = |again: &Again| again.wait.min(LONGEST_WAIT);
        let longest = self.again.iter().map(asked).max().unwrap_or_default();
        let devices = |belongs: &dyn Fn(&Again) -> bool| -> Vec<DeviceLibraryIdentifier> {
            self.again.iter().filter(|again| belongs(again)).map(|again| again.device.clone()).collect()
        };
        let groups = [
            (devices(&|again| !again.doubted && asked(again) <= usual), usual, true, false),
            (devices(&|again| !again.doubted && asked(again) > usual), longest, true, false),
            (devices(&|again| again.doubted), usual, true, true),
            // Apart, and without a reminder: what Android's server does is nothing to iPhones.
            (std::mem::take(&mut self.android.again), usual, false, false),
        ];
        let waiting = groups.into_iter().filter(|(group, ..)| !group.is_empty());
        let intents = waiting.map(|(devices, wait, reminds, doubted)| {
            // One of them brings it: it is to all devices.
            let reminder = if reminds { reminder.take() } else { None };
            let wait = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
            // Up to a quarter more, so that those refused together do not come back together.
            let due = now + SignedDuration::from_millis(i64::from(wait) * 1000 + i64::from(random::below(wait * 250)?));
            let (identity, shown) = (pass.identity.clone(), pass.shown);
            Intent::new(due, Step::PushAgain { identity, shown, devices, attempt: attempt + 1, reminder, doubted }, now)
        });
        intents.collect()
    }

    /// The intent to push once more if nobody fetches what the pass shows; `None` when that was tried often enough, while
    /// others are still to be told, and where there was nobody to tell. `told_before`: an earlier page or attempt of the same
    /// push came before, of which something may have been taken.
    pub fn remind(
        &self,
        app: &App,
        pass: &Pass,
        told_before: bool,
        reminder: u32,
        now: Timestamp,
    ) -> Result<Option<Intent>, Fault> {
        if !self.again.is_empty() || (self.accepted + self.lost == 0 && !told_before) {
            return Ok(None);
        }
        let Some(due) = reminder_due(app, reminder, now) else { return Ok(None) };
        let (identity, shown) = (pass.identity.clone(), pass.shown);
        Intent::new(due, Step::PushUnfetched { identity, shown, reminder }, now).map(Some)
    }

    fn give_up(&mut self, attempt: u32, now: Timestamp) {
        if !self.android.again.is_empty() {
            tracing::warn!(devices = self.android.again.len(), attempt, "pushes to Android given up");
            self.android.again.clear();
        }
        if self.again.is_empty() {
            return;
        }
        tracing::error!(devices = self.again.len(), attempt, "pushes given up");
        let given_up = u32::try_from(self.again.len()).unwrap_or(u32::MAX);
        telemetry::metric(LOST, Unit::Count, given_up.into(), &[], now);
        self.lost += given_up;
        self.again.clear();
    }
}

/// No push of this pass type can go out until somebody mends it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Stopped(String);

fn stopped(why: String, now: Timestamp) -> Fault {
    telemetry::metric("ApnsRefusals", Unit::Count, 1.0, &[], now);
    Fault::new("pushing", Stopped(why))
}

/// What a 410 says of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Its device is gone.
    Gone,
    /// Its device registered again since.
    Alive,
    /// It registered at about the same time.
    Doubted,
}

/// Apple: stop, "unless the device re-registered after timestamp". What happened within seconds of each other is in no
/// certain order, for APNs' clock and ours are two: then APNs is asked once more, and believed.
fn verdict(registered_at: Timestamp, since: Option<Timestamp>, doubted: bool) -> Verdict {
    match since {
        Some(since) if registered_at > since => Verdict::Alive,
        Some(since) if since.duration_since(registered_at) < CLOCKS_APART && !doubted => Verdict::Doubted,
        Some(_) | None => Verdict::Gone,
    }
}

/// Pushes to one page of devices that carry a pass, to iPhones and, where that is set, to WalletPasses side by side: the
/// failures of the one are none of the other. `doubted`: APNs called them gone before, since about the time of their
/// registration. One bad token never stops the others; a refusal of our certificate or topic stops everything and is a
/// fault ([`Stopped`]), so that the step stays until that is mended.
pub async fn push(
    app: &App,
    pass: &Pass,
    registrations: Vec<Registration>,
    doubted: bool,
    now: Timestamp,
) -> Result<Sent, Fault> {
    let (apple, others): (Vec<_>, Vec<_>) =
        registrations.into_iter().partition(|registration| registration.client == ClientKind::Apple);
    let (android, elsewhere): (Vec<_>, Vec<_>) = others.into_iter().partition(|registration| {
        registration.client == ClientKind::WalletPasses && app.config.walletpasses_endpoint.is_some()
    });
    let android_devices = android.len();
    let (sent, android) =
        tokio::join!(push_apple(app, pass, apple, doubted, now), push_android(app, pass, &android, now));
    let mut sent = sent?;
    sent.elsewhere = u32::try_from(elsewhere.len()).unwrap_or(u32::MAX);
    sent.android = android.unwrap_or_else(|fault| {
        // Ours, and still nothing to iPhones.
        tracing::error!(fault = fault.chain(), "no push to Android");
        Android { lost: u32::try_from(android_devices).unwrap_or(u32::MAX), ..Android::default() }
    });
    Ok(sent)
}

/// Tells WalletPasses of these devices, some hundred in a call. It says nothing of single tokens, so no registration ends
/// by it.
async fn push_android(
    app: &App,
    pass: &Pass,
    registrations: &[Registration],
    now: Timestamp,
) -> Result<Android, Fault> {
    let topic = &pass.identity.pass_type_identifier;
    let mut android = Android::default();
    for some in registrations.chunks(walletpasses::TOKENS) {
        let tokens: Vec<_> = some.iter().map(|registration| &registration.push_token).collect();
        let count = u32::try_from(some.len()).unwrap_or(u32::MAX);
        match app.walletpasses.push(app, topic, &tokens, now).await? {
            walletpasses::Outcome::Accepted => android.accepted += count,
            walletpasses::Outcome::Again(reason) => {
                tracing::warn!(topic = %topic, %reason, "push to Android: to be tried again");
                android.again.extend(some.iter().map(|registration| registration.device.clone()));
            }
            walletpasses::Outcome::Refused(status) => {
                tracing::error!(topic = %topic, %status, "push to Android: refused");
                android.lost += count;
            }
        }
    }
    if android.was_tried() {
        let again = u32::try_from(android.again.len()).unwrap_or(u32::MAX);
        let outcomes = [
            ("AndroidPushesAccepted", android.accepted),
            ("AndroidPushesAgain", again),
            ("AndroidPushesLost", android.lost),
        ];
        telemetry::metrics(&outcomes.map(|(name, count)| (name, Unit::Count, f64::from(count))), &[], now);
    }
    Ok(android)
}

async fn push_apple(
    app: &App,
    pass: &Pass,
    apple: Vec<Registration>,
    doubted: bool,
    now: Timestamp,
) -> Result<Sent, Fault> {
    let topic = &pass.identity.pass_type_identifier;
    let mut sent = Sent::default();
    if apple.is_empty() {
        return Ok(sent);
    }
    let Some(identity) = app.identities.of(topic, now).await? else {
        return Err(stopped(format!("there is no signing identity for {topic}"), now));
    };
    let apns = app.apns()?;
    let expiration = now + KEPT_BY_APNS;
    let pushes = phones(apple).into_iter().map(|(registration, names)| {
        let identity = &identity;
        async move {
            let push = Push::new(&registration.push_token, topic, expiration);
            let outcome = apns.push(identity, &push).await;
            (registration, names, outcome)
        }
    });
    let mut outcomes = stream::iter(pushes).buffer_unordered(IN_FLIGHT);
    while let Some((registration, names, outcome)) = outcomes.next().await {
        let ended = match outcome {
            PushOutcome::Accepted { apns_id } => {
                // A line costs as much as a push: the page's own says how many (docs/decisions/0020).
                tracing::debug!(topic = %topic, apns_id, "push accepted");
                sent.accepted += 1;
                false
            }
            PushOutcome::Unregistered { since } => {
                let verdict = verdict(registration.registered_at, since, doubted);
                tracing::info!(topic = %topic, ?verdict, "push: unregistered");
                if verdict != Verdict::Gone {
                    // It has not been told: to APNs it is still the device that left.
                    let doubted = verdict == Verdict::Doubted;
                    sent.again.push(Again { device: registration.device.clone(), wait: Duration::ZERO, doubted });
                }
                verdict == Verdict::Gone
            }
            PushOutcome::BadToken { reason } => {
                tracing::info!(topic = %topic, %reason, "push: bad token");
                true
            }
            PushOutcome::Retry { reason, after } => {
                tracing::warn!(topic = %topic, %reason, "push: to be tried again");
                let (device, wait) = (registration.device.clone(), after.unwrap_or_default());
                sent.again.push(Again { device, wait, doubted: false });
                false
            }
            PushOutcome::Defect { reason } => {
                tracing::error!(topic = %topic, %reason, "push: refused for a fault of ours");
                sent.lost += 1;
                false
            }
            PushOutcome::Stop { reason } => {
                return Err(stopped(format!("APNs refuses our certificate or topic for {topic}: {reason}"), now));
            }
        };
        if ended {
            for registration in std::iter::once(&registration).chain(&names) {
                let then: Vec<_> = webhooks::news(app, pass, now).await?.into_iter().collect();
                app.store.unregister(&pass.identity, None, registration, Departure::Unreachable, &then, now).await?;
                app.queues.send_after_commit(&then, now).await;
                sent.ended += 1;
            }
        }
    }
    let Sent { accepted, ended, lost, .. } = sent;
    tracing::info!(topic = %topic, accepted, ended, lost, again = sent.again.len(), "pushes");
    sent.count(now);
    Ok(sent)
}

/// Each phone once: its newest registration, and those under other names with the same push token. Some phones register
/// hundreds of times under ever new names; APNs is not to be called for each, nor the phone woken.
fn phones(registrations: Vec<Registration>) -> Vec<(Registration, Vec<Registration>)> {
    let mut by_token: BTreeMap<String, (Registration, Vec<Registration>)> = BTreeMap::new();
    for registration in registrations {
        match by_token.entry(registration.push_token.expose().to_owned()) {
            Entry::Vacant(place) => {
                place.insert((registration, Vec::new()));
            }
            Entry::Occupied(mut place) => {
                let (newest, others) = place.get_mut();
                let older = if registration.registered_at > newest.registered_at {
                    std::mem::replace(newest, registration)
                } else {
                    registration
                };
                others.push(older);
            }
        }
    }
    by_token.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_410_ends_what_is_not_newer_and_doubts_what_is_about_as_old() {
        let registered: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (since, doubted, verdict_is) in [
            (None, false, Verdict::Gone),
            (Some("2026-11-23T11:59:59.999Z"), false, Verdict::Alive),
            (Some("2026-11-23T11:00:00Z"), true, Verdict::Alive),
            (Some("2026-11-23T12:00:00Z"), false, Verdict::Doubted),
            (Some("2026-11-23T12:00:04.999Z"), false, Verdict::Doubted),
            (Some("2026-11-23T12:00:04.999Z"), true, Verdict::Gone),
            (Some("2026-11-23T12:00:05Z"), false, Verdict::Gone),
        ] {
            let told = verdict(registered, since.map(|since| since.parse().unwrap()), doubted);
            assert_eq!(told, verdict_is, "{since:?}, doubted: {doubted}");
        }
    }
}
