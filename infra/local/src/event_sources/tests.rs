use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName};
use serde_json::json;

use super::*;

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
