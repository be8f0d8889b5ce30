//! SQS: messages that say "look at this intent". They may be lost, doubled or late; the intent is what counts.

use std::sync::OnceLock;

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};
use aws_types::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Config, Fault, app,
    config::AwsVariables,
    store::{Intent, IntentKey, Worker},
};

/// The longest an SQS message can wait (AWS, "Amazon SQS delay queues"): what is due later, `sweep` sends in time.
pub const LONGEST_DELAY: SignedDuration = SignedDuration::from_secs(900);

/// Messages in one call (AWS, "Amazon SQS message quotas").
const AT_ONCE: usize = 10;

/// The queues.
pub struct Queues {
    sdk: SdkConfig,
    aws: AwsVariables,
    client: OnceLock<Client>,
    push_url: String,
    follow_up_url: String,
    batch_url: Option<String>,
    webhook_url: Option<String>,
}

/// A message, version 1.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    v: u8,
    intent: IntentKey,
    /// How far the intent had come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl Queues {
    /// Over the queues that the environment names. Their client is made at the first call.
    pub fn new(sdk: &SdkConfig, config: &Config) -> Queues {
        Queues {
            sdk: sdk.clone(),
            aws: config.aws.clone(),
            client: OnceLock::new(),
            push_url: config.push_queue_url.clone(),
            follow_up_url: config.follow_up_queue_url.clone(),
            batch_url: config.batch_queue_url.clone(),
            webhook_url: config.webhook_queue_url.clone(),
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| app::sqs(&self.sdk, &self.aws))
    }

    /// Sends a message for each intent that is due within the longest delay, to arrive when it is due and not before.
    /// Later ones are left to `sweep`.
    ///
    /// Called after the commit, and what fails here is only logged: the change is made and answered, and `sweep` finds
    /// the intents. Answers which were sent.
    pub async fn send_after_commit(&self, intents: &[Intent], now: Timestamp) -> Vec<IntentKey> {
        let near = |intent: &&Intent| intent.due.duration_since(now) <= LONGEST_DELAY;
        let of = |worker| -> Vec<&Intent> {
            intents.iter().filter(near).filter(|intent| intent.step.worker() == worker).collect()
        };
        let (pushes, follow_ups) = (of(Worker::Push), of(Worker::FollowUp));
        let (batches, webhooks) = (of(Worker::Batch), of(Worker::Webhook));
        let sent = tokio::join!(
            self.send(Some(&self.push_url), &pushes, now),
            self.send(Some(&self.follow_up_url), &follow_ups, now),
            self.send(self.batch_url.as_deref(), &batches, now),
            self.send(self.webhook_url.as_deref(), &webhooks, now),
        );
        <[_; 4]>::from(sent).concat()
    }

    async fn send(&self, url: Option<&str>, intents: &[&Intent], now: Timestamp) -> Vec<IntentKey> {
        let Some(url) = url else {
            if !intents.is_empty() {
                tracing::error!(
                    "the queue of these steps is not set (BATCH_QUEUE_URL, WEBHOOK_QUEUE_URL): nobody does them"
                );
            }
            return Vec::new();
        };
        let mut sent = Vec::with_capacity(intents.len());
        for some in intents.chunks(AT_ONCE) {
            match self.send_some(url, some, now).await {
                Ok(some) => sent.extend(some),
                Err(fault) => {
                    // A queue that cannot be reached would cost its time-outs again and again.
                    tracing::error!(fault = fault.chain(), "messages were not sent; sweep will send them");
                    break;
                }
            }
        }
        sent
    }

    /// Some messages in one call. Answers those that the queue took.
    async fn send_some(&self, url: &str, intents: &[&Intent], now: Timestamp) -> Result<Vec<IntentKey>, Fault> {
        let mut request = self.client().send_message_batch().queue_url(url);
        for (index, intent) in intents.iter().enumerate() {
            let message = Message { v: 1, intent: intent.key.clone(), cursor: intent.cursor.clone() };
            let body = serde_json::to_string(&message).map_err(|error| Fault::new("writing a message", error))?;
            let entry = SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body)
                .delay_seconds(delay(intent.due, now))
                .build()
                .map_err(|error| Fault::new("writing a message", error))?;
            request = request.entries(entry);
        }
        let answer = request.send().await.map_err(|error| Fault::new("sending messages (SQS)", error))?;
        for failed in &answer.failed {
            tracing::error!(code = failed.code(), "SQS refused a message; sweep will send it");
        }
        let refused = |index: usize| answer.failed.iter().any(|failed| failed.id() == index.to_string());
        let taken = intents.iter().enumerate().filter(|(index, _)| !refused(*index));
        Ok(taken.map(|(_, intent)| intent.key.clone()).collect())
    }
}

/// Whole seconds until `due`, rounded up: early is never right.
fn delay(due: Timestamp, now: Timestamp) -> i32 {
    let milliseconds = due.duration_since(now).as_millis().max(0);
    i32::try_from((milliseconds + 999) / 1000).unwrap_or(i32::MAX)
}

/// The intent a message is about.
pub fn intent_of(message: &SqsMessage) -> Result<IntentKey, Fault> {
    read(message).map(|message| message.intent)
}

/// Whether the intent has gone on since the message was sent, for a worker whose rounds are long: somebody else has made
/// the round that this message is about, and sent another.
pub fn is_late(message: &SqsMessage, intent: &Intent) -> Result<bool, Fault> {
    read(message).map(|message| message.cursor != intent.cursor)
}

fn read(message: &SqsMessage) -> Result<Message, Fault> {
    let body = message.body.as_deref().unwrap_or_default();
    serde_json::from_str(body).map_err(|error| Fault::new("reading a message", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_round_up_so_that_nothing_is_early() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (due, seconds) in [
            ("2026-11-23T11:00:00Z", 0),
            ("2026-11-23T12:00:00Z", 0),
            ("2026-11-23T12:00:00.001Z", 1),
            ("2026-11-23T12:00:15Z", 15),
            ("2026-11-23T12:00:14.001Z", 15),
        ] {
            assert_eq!(delay(due.parse().unwrap(), now), seconds, "{due}");
        }
    }

    /// As the first release wrote it: messages wait in the queue while another release is deployed.
    #[test]
    fn a_message_of_every_release_is_read() {
        let written = r#"{"v":1,"intent":{"shard":3,"sort":"1764062744000#TGszznzG6cRFwYWX"}}"#;
        let mut message = aws_lambda_events::sqs::SqsMessage::default();
        message.body = Some(written.to_owned());
        let intent = intent_of(&message).unwrap();
        assert_eq!(serde_json::to_string(&Message { v: 1, intent, cursor: None }).unwrap(), written);
    }
}
