//! SQS: messages that say "look at this intent". They may be lost, doubled or late; the intent is what counts.

use std::sync::OnceLock;

use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};
use aws_types::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Config, Fault, app,
    config::AwsVariables,
    store::{Intent, IntentKey},
};

/// The longest an SQS message can wait (AWS, "Amazon SQS delay queues"): what is due later, `sweep` sends in time.
pub const LONGEST_DELAY: SignedDuration = SignedDuration::from_secs(900);

/// Which queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Pushes to fan out.
    Push,
    /// Steps due later.
    FollowUp,
    /// What merchants' servers are to be told.
    Webhook,
}

/// The queues.
pub struct Queues {
    sdk: SdkConfig,
    aws: AwsVariables,
    client: OnceLock<Client>,
    push_url: String,
    follow_up_url: String,
    webhook_url: String,
}

/// A message, version 1.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    v: u8,
    intent: IntentKey,
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
    /// the intents. Answers how many were sent.
    pub async fn send_after_commit(&self, intents: &[Intent], now: Timestamp) -> usize {
        let of = |queue: Queue| -> Vec<&Intent> {
            let soon = intents.iter().filter(|intent| intent.due.duration_since(now) <= LONGEST_DELAY);
            soon.filter(|intent| intent.step.queue() == queue).collect()
        };
        let (pushes, follow_ups, webhooks) = (of(Queue::Push), of(Queue::FollowUp), of(Queue::Webhook));
        let outcomes = tokio::join!(
            self.send(&self.push_url, &pushes, now),
            self.send(&self.follow_up_url, &follow_ups, now),
            self.send(&self.webhook_url, &webhooks, now)
        );
        let mut sent = 0;
        for outcome in [outcomes.0, outcomes.1, outcomes.2] {
            match outcome {
                Ok(count) => sent += count,
                Err(fault) => tracing::error!(fault = fault.chain(), "a message was not sent; sweep will send it"),
            }
        }
        sent
    }

    async fn send(&self, url: &str, intents: &[&Intent], now: Timestamp) -> Result<usize, Fault> {
        // SendMessageBatch takes ten (AWS, "Amazon SQS message quotas").
        for batch in intents.chunks(10) {
            let mut request = self.client().send_message_batch().queue_url(url);
            for (index, intent) in batch.iter().enumerate() {
                let message = Message { v: 1, intent: intent.key.clone() };
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
            if let Some(failed) = answer.failed.first() {
                return Err(Fault::contradiction(format!("SQS refused a message: {}", failed.code())));
            }
        }
        Ok(intents.len())
    }
}

/// Whole seconds until `due`, rounded up: early is never right.
fn delay(due: Timestamp, now: Timestamp) -> i32 {
    let milliseconds = due.duration_since(now).as_millis().max(0);
    i32::try_from((milliseconds + 999) / 1000).unwrap_or(i32::MAX)
}

/// The intent a message is about.
pub fn intent_of(message: &aws_lambda_events::sqs::SqsMessage) -> Result<IntentKey, Fault> {
    let body = message.body.as_deref().unwrap_or_default();
    let message: Message = serde_json::from_str(body).map_err(|error| Fault::new("reading a message", error))?;
    Ok(message.intent)
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
}
