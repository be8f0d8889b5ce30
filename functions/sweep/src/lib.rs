//! Every minute: whatever is due and not done is sent again, and what comes due soon is sent in time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use platform::{
    App, Fault, Function, Handler,
    queues::LONGEST_DELAY,
    store::{Intent, SHARDS, Worker},
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

/// How long one sweep goes on: a function has 60 seconds, and the metric is said at the end. The next one finds what was sent
/// marked, and goes further.
const ENOUGH: Duration = Duration::from_secs(45);

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
async fn sweep(app: &App, shard: u32, queues: Queues, now: Timestamp, begun: Instant) -> Result<u32, Fault> {
    let (mut overdue, mut after) = (0_u32, None);
    while begun.elapsed() < ENOUGH {
        let (intents, next) = app.store.due(shard, now + LONGEST_DELAY, after.as_ref()).await?;
        let late = intents.iter().filter(|intent| is_overdue(intent, now)).count();
        overdue = overdue.saturating_add(u32::try_from(late).unwrap_or(u32::MAX));
        let to_send: Vec<Intent> = intents.into_iter().filter(|intent| needs_message(intent, queues, now)).collect();
        app.queues.send_after_commit(&to_send, now).await;
        for intent in &to_send {
            app.store.note_sent(&intent.key, now).await?;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    Ok(overdue)
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
