//! SQS and its event sources: messages that are lost, doubled, late and out of order, visibility timeouts and dead letters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use passloop_local::Doors;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dynamodb;
use crate::world::World;

/// Deliveries before a message is a dead letter (template.yaml, `maxReceiveCount`).
const RECEIVES: u32 = 5;

/// Which queue, with its function and its visibility timeout (template.yaml).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    Push,
    FollowUp,
    Webhook,
    Batch,
}

impl Queue {
    pub(crate) const ALL: [Queue; 4] = [Queue::Push, Queue::FollowUp, Queue::Webhook, Queue::Batch];

    /// Its URL in the simulation.
    pub(crate) fn url(self) -> &'static str {
        match self {
            Queue::Push => "http://sqs.simulated/0/push",
            Queue::FollowUp => "http://sqs.simulated/0/follow-up",
            Queue::Webhook => "http://sqs.simulated/0/webhook",
            Queue::Batch => "http://sqs.simulated/0/batch",
        }
    }

    fn function(self) -> &'static str {
        match self {
            Queue::Push => "push-updates",
            Queue::FollowUp => "follow-up",
            Queue::Webhook => "send-webhooks",
            Queue::Batch => "work-batch",
        }
    }

    /// Messages of one run at most (template.yaml, `BatchSize`).
    fn at_once(self) -> usize {
        match self {
            Queue::Push | Queue::FollowUp | Queue::Webhook => 10,
            Queue::Batch => 1,
        }
    }

    fn visibility(self) -> Duration {
        match self {
            Queue::Push | Queue::Webhook => Duration::from_secs(540),
            Queue::FollowUp => Duration::from_secs(180),
            Queue::Batch => Duration::from_secs(360),
        }
    }

    /// The longest a function may run (template.yaml, `Timeout`).
    fn timeout(self) -> Duration {
        match self {
            Queue::Push | Queue::Webhook => Duration::from_secs(90),
            Queue::FollowUp => Duration::from_secs(30),
            Queue::Batch => Duration::from_secs(60),
        }
    }
}

struct Message {
    id: String,
    body: String,
    visible_at: Instant,
    receives: u32,
}

/// One queue.
#[derive(Default)]
pub(crate) struct Messages {
    waiting: Mutex<Vec<Message>>,
    came: Notify,
    sent: AtomicU64,
    dead: AtomicU64,
}

impl Messages {
    fn waiting(&self) -> MutexGuard<'_, Vec<Message>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, message: Message) {
        self.waiting().push(message);
        self.came.notify_one();
    }

    /// How many are waiting.
    pub(crate) fn len(&self) -> usize {
        self.waiting().len()
    }

    /// How many became dead letters.
    pub(crate) fn dead(&self) -> u64 {
        self.dead.load(Ordering::Relaxed)
    }

    /// The messages that are visible, in any order.
    fn receive(&self, world: &World, at_once: usize) -> Vec<Message> {
        let now = Instant::now();
        let mut waiting = self.waiting();
        let mut batch = Vec::new();
        while batch.len() < at_once {
            let visible: Vec<usize> = (0..waiting.len()).filter(|place| waiting[*place].visible_at <= now).collect();
            if visible.is_empty() {
                break;
            }
            batch.push(waiting.swap_remove(*world.dice.pick(&visible)));
        }
        batch
    }

    fn next_visible(&self) -> Option<Instant> {
        self.waiting().iter().map(|message| message.visible_at).min()
    }
}

/// `SendMessageBatch`, the one call that the service makes.
pub(crate) fn send(world: &World, body: &str) -> String {
    let request: Value = serde_json::from_str(body).unwrap();
    let queue = Queue::ALL.into_iter().find(|queue| request["QueueUrl"] == queue.url()).expect("a queue");
    let messages = world.queue(queue);
    let weather = world.weather();
    let mut accepted = Vec::new();
    for entry in request["Entries"].as_array().into_iter().flatten() {
        let delay = Duration::from_secs(entry["DelaySeconds"].as_u64().unwrap_or_default());
        let id = messages.sent.fetch_add(1, Ordering::Relaxed).to_string();
        let copies = match (world.dice.chance(weather.message_lost), world.dice.chance(weather.message_twice)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        for _ in 0..copies {
            let mut visible_at = Instant::now() + delay + Duration::from_millis(world.dice.between(1, 300));
            if world.dice.chance(weather.message_late) {
                visible_at += Duration::from_millis(world.dice.between(1, 600_000));
            }
            let body = entry["MessageBody"].as_str().unwrap_or_default().to_owned();
            messages.put(Message { id: format!("{queue:?} {id}"), body, visible_at, receives: 0 });
        }
        if copies != 1 {
            world.note("SQS", || format!("{queue:?} message {id} comes {copies} times"));
        }
        accepted.push(json!({ "Id": entry["Id"], "MessageId": id, "MD5OfMessageBody": "simulated" }));
    }
    json!({ "Successful": accepted, "Failed": [] }).to_string()
}

/// As the next release sends it: messages with more in them than this one knows of.
pub(crate) fn of_next_release(body: &str) -> String {
    let mut request: Value = serde_json::from_str(body).unwrap();
    for entry in request["Entries"].as_array_mut().into_iter().flatten() {
        dynamodb::add_later(&mut entry["MessageBody"]);
    }
    request.to_string()
}

/// The event source of one queue, for as long as the run lasts.
pub(crate) async fn deliver(world: Arc<World>, queue: Queue) {
    loop {
        let messages = world.queue(queue);
        match messages.next_visible() {
            None => messages.came.notified().await,
            Some(at) => tokio::select! {
                biased;
                () = messages.came.notified() => continue,
                () = tokio::time::sleep_until(at) => {}
            },
        }
        // A moment, in which others become visible too.
        world.pause(0, 200).await;
        let batch = messages.receive(&world, queue.at_once());
        if !batch.is_empty() {
            let busy = world.busy();
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                work(&world, queue, batch).await;
                drop(busy);
            });
        }
    }
}

async fn work(world: &Arc<World>, queue: Queue, mut batch: Vec<Message>) {
    let mut event = SqsEvent::default();
    event.records = batch
        .iter()
        .map(|message| {
            let mut record = SqsMessage::default();
            record.message_id = Some(message.id.clone());
            record.body = Some(message.body.clone());
            record
        })
        .collect();
    let function = Doors::worker(queue.function()).expect("a worker");
    let run = world.run(queue.function(), queue.timeout(), move |app, now| {
        Box::pin(async move { function.work(&app, event, now).await })
    });
    let failed: Vec<String> = match run.await {
        None => batch.iter().map(|message| message.id.clone()).collect(),
        Some((answer, invocation)) => {
            let failed = answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier);
            let failed: Vec<String> = failed.collect();
            if !failed.is_empty() && !invocation.may_fail() {
                world.failed_without_reason(&format!("{} left {failed:?} in its queue", queue.function()));
            }
            failed
        }
    };
    batch.retain(|message| failed.contains(&message.id));
    for mut message in batch {
        message.receives += 1;
        if message.receives >= RECEIVES {
            world.note("SQS", || format!("{} is a dead letter", message.id));
            world.queue(queue).dead.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        message.visible_at = Instant::now() + queue.visibility();
        world.queue(queue).put(message);
    }
}
