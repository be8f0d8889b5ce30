use std::sync::Mutex;

use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName};
use platform::{Fault, Handler};
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::aws::Sqs;
use crate::test_app::app_without_cloud;

/// An embedded SQS with a worker on one queue, whose failures go to a dead-letter queue after one receive.
struct World {
    sqs: Sqs,
    client: aws_sdk_sqs::Client,
    sources: EventSources,
    queue_url: String,
    dead_letters_url: String,
}

impl World {
    async fn start(function: &'static Function) -> World {
        let sqs = Sqs::start("eu-central-1".to_owned()).unwrap();
        let app = app_without_cloud().await;
        let sdk = platform::app::sdk_config(&app.config.aws);
        let client = aws_sdk_sqs::config::Builder::from(&sdk).endpoint_url(sqs.endpoint()).build();
        let client = aws_sdk_sqs::Client::from_conf(client);
        let dead_letters_url = client.create_queue().queue_name("dead").send().await.unwrap().queue_url.unwrap();
        let policy = json!({
            "deadLetterTargetArn": "arn:aws:sqs:eu-central-1:000000000000:dead", "maxReceiveCount": 1
        });
        let create = client.create_queue().queue_name("work");
        let create = create.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        let create = create.attributes(QueueAttributeName::VisibilityTimeout, "1");
        let queue_url = create.send().await.unwrap().queue_url.unwrap();
        let mut sources = EventSources::new();
        let source = QueueSource {
            queue: "WorkQueue".to_owned(),
            function: function.name.to_owned(),
            batch_size: 10,
            failures: Failures::Reported,
        };
        let clock = Clock::settable("2026-03-12T19:03:58Z".parse().unwrap());
        let around = Surroundings { app, clock, client: client.clone() };
        sources.connect(Mapping { source, queue_url: queue_url.clone(), function }, &around);
        World { sqs, client, sources, queue_url, dead_letters_url }
    }

    async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.queue_url).message_body(body).send().await.unwrap();
    }

    async fn stop(self) {
        self.sources.stop().await;
        self.sqs.stop().await;
    }
}

static GOOD: Mutex<Vec<String>> = Mutex::new(Vec::new());
static CAREFUL: Function = Function {
    name: "careful",
    handler: Handler::Queue(|_, message, _| {
        Box::pin(async move {
            let body = message.body.clone().unwrap_or_default();
            if body == "bad" {
                return Err(Fault::contradiction("a bad message"));
            }
            GOOD.lock().unwrap().push(body);
            Ok(())
        })
    }),
};

#[tokio::test]
async fn what_fails_ends_in_the_dead_letter_queue_and_what_succeeds_is_deleted() {
    let world = World::start(&CAREFUL).await;
    for body in ["good-1", "bad", "good-2"] {
        world.send(body).await;
    }
    // A long poll: answered when the message moves.
    let dead = world.client.receive_message().queue_url(&world.dead_letters_url).wait_time_seconds(4);
    let dead = dead.max_number_of_messages(10).send().await.unwrap().messages.unwrap_or_default();
    assert_eq!(dead.iter().filter_map(Message::body).collect::<Vec<_>>(), ["bad"]);
    world.stop().await;
    let mut good = GOOD.lock().unwrap().clone();
    good.sort();
    assert_eq!(good, ["good-1", "good-2"]);
}

static SLOW_STARTED: Notify = Notify::const_new();
static SLOW_MAY_END: Notify = Notify::const_new();
static FAST_ENDED: Notify = Notify::const_new();
static MIXED: Function = Function {
    name: "mixed",
    handler: Handler::Queue(|_, message, _| {
        Box::pin(async move {
            if message.body.as_deref() == Some("slow") {
                SLOW_STARTED.notify_one();
                SLOW_MAY_END.notified().await;
            } else {
                FAST_ENDED.notify_one();
            }
            Ok(())
        })
    }),
};

#[tokio::test]
async fn one_slow_message_delays_no_other_and_a_stop_waits_for_it() {
    let world = World::start(&MIXED).await;
    world.send("slow").await;
    SLOW_STARTED.notified().await;
    world.send("fast").await;
    tokio::time::timeout(Duration::from_secs(10), FAST_ENDED.notified()).await.unwrap();
    let stop = tokio::spawn(world.stop());
    tokio::task::yield_now().await;
    assert!(!stop.is_finished());
    SLOW_MAY_END.notify_one();
    stop.await.unwrap();
}

#[test]
fn an_sqs_event_carries_what_lambda_sends() {
    let message = Message::builder()
        .message_id("id-1")
        .receipt_handle("handle-1")
        .body("{\"version\":1}")
        .md5_of_body("md5")
        .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "2")
        .attributes(MessageSystemAttributeName::SentTimestamp, "1523232000000")
        .message_attributes(
            "kind",
            MessageAttributeValue::builder().data_type("String").string_value("push").build().unwrap(),
        )
        .build();
    let event = sqs_event(&[message], "arn:aws:sqs:eu-central-1:000000000000:passloop-push", Some("eu-central-1"));
    let record = &serde_json::to_value(event).unwrap()["Records"][0];
    // AWS, "Using Lambda with Amazon SQS", example event.
    assert_eq!(record["messageId"], "id-1");
    assert_eq!(record["receiptHandle"], "handle-1");
    assert_eq!(record["body"], "{\"version\":1}");
    assert_eq!(record["md5OfBody"], "md5");
    assert_eq!(record["attributes"], json!({"ApproximateReceiveCount": "2", "SentTimestamp": "1523232000000"}));
    assert_eq!(record["messageAttributes"]["kind"]["stringValue"], "push");
    assert_eq!(record["messageAttributes"]["kind"]["dataType"], "String");
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:eu-central-1:000000000000:passloop-push");
    assert_eq!(record["awsRegion"], "eu-central-1");
}

#[test]
fn a_scheduled_event_carries_the_clocks_time() {
    let event = scheduled_event("sweep", "2026-03-12T19:03:58Z".parse().unwrap());
    // AWS, "EventBridge event structure".
    assert_eq!(event["time"], "2026-03-12T19:03:58Z");
    assert_eq!(event["detail-type"], "Scheduled Event");
}
