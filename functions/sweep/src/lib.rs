//! Every minute: whatever is due and not done is sent again, and what comes due soon is sent in time.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use jiff::{SignedDuration, Timestamp};
use platform::{
    App, Fault, Function, Handler,
    queues::LONGEST_DELAY,
    random,
    store::{DuePage, Intent, SHARDS, Worker},
    telemetry::{self, Unit},
};
use serde_json::Value;

/// The sweep.
pub const FUNCTION: Function =
    Function { name: "sweep", handler: Handler::Schedule(|app, event, now| Box::pin(handle(app, event, now))) };

/// A message on its way needs a moment; an intent this young is left alone.
const YOUNG: SignedDuration = SignedDuration::from_secs(10);
/// A message sent by the sweep is given this long before it is sent again: a little less than the sweep's minute.
const PATIENCE: SignedDuration = SignedDuration::from_secs(50);
/// What is due for longer was lost somewhere, or its worker fails: twice the sweep's own minute.
const OVERDUE: SignedDuration = SignedDuration::from_secs(120);

/// What was due for longer is backlog, and waits for what is due now.
const RECENT: SignedDuration = SignedDuration::from_mins(5);

/// How long one sweep goes on: a function has 60 seconds, and the metric is said at the end.
const ENOUGH: Duration = Duration::from_secs(45);
/// Notes that a message was sent, written side by side.
const NOTES: usize = 8;

/// Whether the queues still hold what was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queues {
    Kept,
    /// They were purged, or the local service was killed: everything is sent anew. An operator may say so by invoking
    /// the function with `{"queuesLost": true}`.
    Lost,
}

async fn handle(app: &App, event: Value, now: Timestamp) -> Result<(), Fault> {
    let queues = if event.get("queuesLost") == Some(&Value::Bool(true)) { Queues::Lost } else { Queues::Kept };
    let begun = Instant::now();
    // Side by side: one shard's backlog, or one shard's fault, must not keep the others waiting.
    let shards = join_all((0..SHARDS).map(|shard| sweep(app, shard, queues, now, begun))).await;
    let overdue = shards.iter().flatten().fold(0_u32, |all, overdue| all.saturating_add(*overdue));
    // Zero is said too: silence means that the sweep does not run.
    telemetry::metric("OverdueIntents", Unit::Count, f64::from(overdue), &[], now);
    shards.into_iter().collect::<Result<Vec<_>, _>>().map(|_| ())
}

/// One shard. Gives how many of its steps are late.
///
/// What comes due or has just come due is first, so that a backlog, such as a merchant's pushes under a certificate that was
/// revoked, keeps back no other merchant's next offer. A backlog of more than one page is walked from some moment on and
/// round: what one sweep has no time for, another begins with.
async fn sweep(app: &App, shard: u32, queues: Queues, now: Timestamp, begun: Instant) -> Result<u32, Fault> {
    let mut shard = Shard { app, shard, queues, now, begun, overdue: 0 };
    let recent = now - RECENT;
    shard.walk((recent, now + LONGEST_DELAY)).await?;
    let backlog = (Timestamp::UNIX_EPOCH, recent - SignedDuration::from_millis(1));
    if begun.elapsed() >= ENOUGH {
        return Ok(shard.overdue);
    }
    let first = app.store.due(shard.shard, backlog, None).await?;
    if first.next.is_none() {
        shard.send(first).await?;
        return Ok(shard.overdue);
    }
    let oldest = first.intents.first().map_or(backlog.0, |oldest| oldest.due);
    let seconds = backlog.1.duration_since(oldest).as_secs().max(0);
    let begin = random::below(u32::try_from(seconds).unwrap_or(u32::MAX))?;
    for part in round(backlog, oldest + SignedDuration::from_secs(begin.into())) {
        shard.walk(part).await?;
    }
    Ok(shard.overdue)
}

/// The backlog from a moment on, then what is before it.
fn round((from, until): (Timestamp, Timestamp), begin: Timestamp) -> [(Timestamp, Timestamp); 2] {
    [(begin, until), (from, begin - SignedDuration::from_millis(1))]
}

/// One shard, as far as it is swept.
struct Shard<'a> {
    app: &'a App,
    shard: u32,
    queues: Queues,
    now: Timestamp,
    begun: Instant,
    overdue: u32,
}

impl Shard<'_> {
    /// What is due between two moments, while there is time.
    async fn walk(&mut self, between: (Timestamp, Timestamp)) -> Result<(), Fault> {
        let mut after = None;
        while self.begun.elapsed() < ENOUGH {
            let page = self.app.store.due(self.shard, between, after.as_ref()).await?;
            after = page.next.clone();
            self.send(page).await?;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Sends a message for each intent of a page that needs one.
    async fn send(&mut self, page: DuePage) -> Result<(), Fault> {
        let (app, now) = (self.app, self.now);
        let late = page.intents.iter().filter(|intent| is_overdue(intent, now)).count();
        let late = u32::try_from(late).unwrap_or(u32::MAX).saturating_add(page.unreadable);
        self.overdue = self.overdue.saturating_add(late);
        let mut to_send = page.intents;
        to_send.retain(|intent| needs_message(intent, self.queues, now));
        // What could not be sent is not noted, so the next sweep tries again.
        // A delay counts from when it is sent, and a sweep may have gone on for a while.
        let sent = app.queues.send_after_commit(&to_send, now + self.begun.elapsed()).await;
        let noted = stream::iter(sent).map(|key| async move { app.store.note_sent(&key, now).await });
        noted.buffer_unordered(NOTES).try_collect::<()>().await
    }
}

/// Whether a step is late. One that has come some way is at work: pushes to a million devices take longer. A batch may
/// wait for others, and its queue has an alarm for that.
fn is_overdue(intent: &Intent, now: Timestamp) -> bool {
    now.duration_since(intent.due) > OVERDUE && intent.cursor.is_none() && intent.step.worker() != Worker::Batch
}

fn needs_message(intent: &Intent, queues: Queues, now: Timestamp) -> bool {
    if queues == Queues::Lost {
        return true;
    }
    let sent_lately = intent.sent.is_some_and(|sent| now.duration_since(sent) < PATIENCE);
    if now >= intent.due {
        return !sent_lately && now.duration_since(intent.created) >= YOUNG;
    }
    // Whoever wrote it sent a message if the queue could hold one for so long; else it is the sweep's to send, once.
    let sent_by_writer = intent.due.duration_since(intent.created) <= LONGEST_DELAY;
    !sent_by_writer && intent.sent.is_none()
}

#[cfg(test)]
mod tests {
    use platform::store::Step;

    use super::*;

    fn intent(due: &str, created: &str, sent: Option<&str>) -> Intent {
        let identity = serde_json::json!({ "passTypeIdentifier": "pass.a", "serialNumber": "1" });
        let step = Step::Push { identity: serde_json::from_value(identity).unwrap(), shown: 1 };
        let mut intent = Intent::new(due.parse().unwrap(), step, created.parse().unwrap()).unwrap();
        intent.sent = sent.map(|sent| sent.parse().unwrap());
        intent
    }

    #[test]
    fn a_backlog_is_walked_from_some_moment_on_and_round() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let parts = round((Timestamp::UNIX_EPOCH, at("2026-11-23T11:54:59.999Z")), at("2026-11-23T10:00:00Z"));
        let after = (at("2026-11-23T10:00:00Z"), at("2026-11-23T11:54:59.999Z"));
        assert_eq!(parts, [after, (Timestamp::UNIX_EPOCH, at("2026-11-23T09:59:59.999Z"))]);
    }

    #[test]
    fn what_is_overdue_is_sent_again_but_not_every_moment() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let overdue = |sent| intent("2026-11-23T11:59:00Z", "2026-11-23T11:58:00Z", sent);
        assert!(needs_message(&overdue(None), Queues::Kept, now));
        assert!(!needs_message(&overdue(Some("2026-11-23T11:59:30Z")), Queues::Kept, now));
        assert!(needs_message(&overdue(Some("2026-11-23T11:59:00Z")), Queues::Kept, now));
        assert!(!needs_message(&intent("2026-11-23T11:59:59Z", "2026-11-23T11:59:59Z", None), Queues::Kept, now));
    }

    #[test]
    fn late_is_what_is_due_for_two_minutes_and_has_not_begun() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let due = |due| intent(due, "2026-11-23T11:00:00Z", None);
        assert!(is_overdue(&due("2026-11-23T11:57:59Z"), now));
        assert!(!is_overdue(&due("2026-11-23T11:58:00Z"), now));
        assert!(!is_overdue(&due("2026-11-23T12:10:00Z"), now));
        let mut begun = due("2026-11-23T11:00:00Z");
        begun.cursor = Some("DEVICE#1".to_owned());
        assert!(!is_overdue(&begun, now));
    }

    #[test]
    fn what_was_too_far_off_for_the_queue_is_sent_once_when_it_comes_near() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        assert!(needs_message(&intent("2026-11-23T12:10:00Z", "2026-11-22T12:00:00Z", None), Queues::Kept, now));
        let sent = intent("2026-11-23T12:10:00Z", "2026-11-22T12:00:00Z", Some("2026-11-23T11:00:00Z"));
        assert!(!needs_message(&sent, Queues::Kept, now));
        assert!(!needs_message(&intent("2026-11-23T12:00:10Z", "2026-11-23T11:59:55Z", None), Queues::Kept, now));
        assert!(needs_message(&intent("2026-11-23T12:00:10Z", "2026-11-23T11:59:55Z", None), Queues::Lost, now));
    }
}
