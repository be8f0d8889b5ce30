//! What calls the workers: SQS event source mappings and schedules.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::encodings::Base64Data;
use aws_lambda_events::sqs::{SqsEvent, SqsMessage, SqsMessageAttribute};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName};
use platform::{App, Function};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::template::{Failures, QueueSource, ScheduleSource};

/// Receivers of one queue. Lambda too starts with five (AWS, "Using Lambda with Amazon SQS": five parallel long-polling
/// connections).
const RECEIVERS: u32 = 5;
/// How long one receive waits for a message. The embedded SQS looks for delayed messages that have come due when a
/// receive begins (and once a second), so five staggered receives of a second see one within 200 ms.
const WAIT_SECONDS: i32 = 1;
/// Batches of one receiver worked on at once. Lambda adds functions as a queue grows; this is its like.
const BATCHES: usize = 20;
/// How long work goes on after the service was told to stop. Supervisors wait ten seconds before they kill.
const LAST_WORK: Duration = Duration::from_secs(5);
/// Pause after SQS could not be reached.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Everything that calls workers, running.
pub(crate) struct EventSources {
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

/// One queue and the worker it calls.
pub(crate) struct Mapping {
    /// From the template.
    pub(crate) source: QueueSource,
    /// Where the queue is.
    pub(crate) queue_url: String,
    /// The worker.
    pub(crate) function: &'static Function,
}

/// What every event source needs.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// The functions' app.
    pub(crate) app: Arc<App>,
    /// Where `now` comes from.
    pub(crate) clock: Clock,
    /// Reaches the queues.
    pub(crate) client: aws_sdk_sqs::Client,
}

impl EventSources {
    /// Nothing is called yet.
    pub(crate) fn new() -> Self {
        let (stop, _) = watch::channel(());
        Self { stop, tasks: JoinSet::new() }
    }

    /// From now on the messages of a queue go to its worker.
    pub(crate) fn connect(&mut self, mapping: Mapping, around: &Surroundings) {
        let mapping = Arc::new(mapping);
        for position in 0..RECEIVERS {
            let receiver = Receiver {
                mapping: Arc::clone(&mapping),
                around: around.clone(),
                first_pause: Duration::from_secs(1) * position / RECEIVERS,
            };
            self.tasks.spawn(receiver.run(self.stop.subscribe()));
        }
    }

    /// From now on a function is called every `schedule.every`, the first time after that long.
    pub(crate) fn schedule(&mut self, schedule: &ScheduleSource, function: &'static Function, around: &Surroundings) {
        let (every, name) = (schedule.every, schedule.name.clone());
        let (around, mut stopped) = (around.clone(), self.stop.subscribe());
        self.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(every);
            // After a laptop's sleep one call is enough.
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            ticks.tick().await;
            loop {
                tokio::select! {
                    _ = stopped.changed() => return,
                    _ = ticks.tick() => {}
                }
                let now = around.clock.now();
                let (app, event) = (Arc::clone(&around.app), scheduled_event(&name, now));
                // In a task of its own: a panic ends one call, not the schedule. The function logs its own faults.
                let call = tokio::spawn(async move { function.run(&app, event, now).await });
                if let Err(error) = call.await {
                    tracing::error!(function = function.name, %error, "a scheduled function panicked");
                }
            }
        });
    }

    /// Receives no more, and waits for the batches that are being worked on.
    pub(crate) async fn stop(mut self) {
        drop(self.stop);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// An EventBridge event, as a schedule sends it.
pub(crate) fn scheduled_event(name: &str, now: jiff::Timestamp) -> serde_json::Value {
    serde_json::json!({
        "version": "0",
        "id": format!("{name}-{}", now.as_millisecond()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "000000000000",
        "time": now.to_string(),
        "region": "local",
        "resources": [],
        "detail": {},
    })
}

struct Receiver {
    mapping: Arc<Mapping>,
    around: Surroundings,
    first_pause: Duration,
}

impl Receiver {
    async fn run(self, mut stopped: watch::Receiver<()>) {
        let arn = tokio::select! {
            _ = stopped.changed() => return,
            arn = self.queue_arn() => arn,
        };
        // Batches are worked on beside the receiving, so that one whose pushes hang holds up no other.
        let this = Arc::new(self);
        let mut batches = JoinSet::new();
        loop {
            while batches.try_join_next().is_some() {}
            if batches.len() >= BATCHES {
                batches.join_next().await;
            }
            let received = tokio::select! {
                _ = stopped.changed() => break,
                received = this.receive() => received,
            };
            match received {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => {
                    let (this, arn) = (Arc::clone(&this), arn.clone());
                    batches.spawn(async move { this.work(messages, &arn).await });
                }
                Err(error) => {
                    tracing::warn!(queue = this.mapping.queue_url, error, "cannot receive messages");
                    tokio::select! {
                        _ = stopped.changed() => break,
                        () = tokio::time::sleep(RETRY_PAUSE) => {}
                    }
                }
            }
        }
        // What does not end in time ends with the process; its intents are there at the next start.
        let ended = tokio::time::timeout(LAST_WORK, async { while batches.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(queue = this.mapping.queue_url, "some work was broken off");
        }
    }

    /// The first receive of each receiver is put off a little, so that together they look often.
    async fn queue_arn(&self) -> String {
        tokio::time::sleep(self.first_pause).await;
        let asked = self.around.client.get_queue_attributes().queue_url(&self.mapping.queue_url);
        let asked = asked.attribute_names(QueueAttributeName::QueueArn).send().await;
        let attributes = asked.ok().and_then(|answer| answer.attributes);
        // Only informative in an event; a queue that forbids the question still works.
        attributes.and_then(|mut all| all.remove(&QueueAttributeName::QueueArn)).unwrap_or_default()
    }

    async fn receive(&self) -> Result<Vec<Message>, String> {
        let request = self.around.client.receive_message().queue_url(&self.mapping.queue_url);
        let received = request
            .max_number_of_messages(self.mapping.source.batch_size.clamp(1, 10))
            .wait_time_seconds(WAIT_SECONDS)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await;
        match received {
            Ok(answer) => Ok(answer.messages.unwrap_or_default()),
            Err(error) => Err(aws_sdk_sqs::error::DisplayErrorContext(error).to_string()),
        }
    }

    /// Hands one batch to the worker and deletes what succeeded. What failed becomes visible again when its visibility
    /// timeout ends, and moves to the dead-letter queue when that happened too often.
    async fn work(&self, messages: Vec<Message>, arn: &str) {
        let function = self.mapping.function;
        let event = sqs_event(&messages, arn, self.around.app.config.aws.region.as_deref());
        let (app, now) = (Arc::clone(&self.around.app), self.around.clock.now());
        let answer = match tokio::spawn(async move { function.work(&app, event, now).await }).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(function = function.name, %error, "a worker panicked");
                return;
            }
        };
        let failed: Vec<_> =
            answer.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        // Without ReportBatchItemFailures Lambda does not read the answer: a worker that returned has succeeded.
        let succeeded = messages.iter().filter(|message| match self.mapping.source.failures {
            Failures::Reported => !failed.contains(&message.message_id().unwrap_or_default()),
            Failures::WholeBatch => true,
        });
        self.delete(succeeded).await;
    }

    async fn delete(&self, messages: impl Iterator<Item = &Message>) {
        let entries = messages.enumerate().filter_map(|(position, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(position.to_string());
            entry.receipt_handle(message.receipt_handle()?).build().ok()
        });
        let entries: Vec<_> = entries.collect();
        if entries.is_empty() {
            return;
        }
        let request = self.around.client.delete_message_batch().queue_url(&self.mapping.queue_url);
        match request.set_entries(Some(entries)).send().await {
            Ok(answer) if answer.failed.is_empty() => {}
            Ok(answer) => tracing::warn!(count = answer.failed.len(), "messages could not be deleted and come again"),
            Err(error) => tracing::warn!(%error, "messages could not be deleted and come again"),
        }
    }
}

/// The event Lambda would build from these messages.
fn sqs_event(messages: &[Message], arn: &str, region: Option<&str>) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = messages.iter().map(|message| record(message, arn, region)).collect();
    event
}

fn record(message: &Message, arn: &str, region: Option<&str>) -> SqsMessage {
    let mut record = SqsMessage::default();
    record.message_id = message.message_id.clone();
    record.receipt_handle = message.receipt_handle.clone();
    record.body = message.body.clone();
    record.md5_of_body = message.md5_of_body.clone();
    record.md5_of_message_attributes = message.md5_of_message_attributes.clone();
    record.event_source_arn = Some(arn.to_owned());
    record.event_source = Some("aws:sqs".to_owned());
    record.aws_region = region.map(str::to_owned);
    let system = message.attributes.iter().flatten();
    record.attributes = system.map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect();
    let attributes = message.message_attributes.iter().flatten();
    record.message_attributes = attributes.map(|(name, value)| (name.clone(), message_attribute(value))).collect();
    record
}

fn message_attribute(value: &aws_sdk_sqs::types::MessageAttributeValue) -> SqsMessageAttribute {
    let mut attribute = SqsMessageAttribute::default();
    attribute.string_value = value.string_value.clone();
    attribute.binary_value = value.binary_value.as_ref().map(|bytes| {
        let mut data = Base64Data::default();
        data.0 = bytes.as_ref().to_vec();
        data
    });
    attribute.data_type = Some(value.data_type.clone());
    attribute
}

#[cfg(test)]
mod tests;
