use super::*;

const SAMPLE: &str = r"
Globals:
  Function:
    Environment:
      Variables:
        TABLE_NAME: !Ref Table
        PUSH_QUEUE_URL: !Ref PushQueue
        PUBLIC_URL: !Sub https://${Api}.example
Resources:
  Table: { Type: AWS::DynamoDB::Table, Properties: {} }
  SendUpdatedPass:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/send-updated-pass/
      Events:
        Get: { Type: HttpApi, Properties: { Method: get, Path: '/v1/passes/{type}/{serial}' } }
        Head: { Type: HttpApi, Properties: { Method: HEAD, Path: '/v1/passes/{type}/{serial}' } }
  FollowUp:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/follow-up
      Environment: { Variables: { FOLLOW_UP_QUEUE_URL: { Ref: FollowUpQueue } } }
      Events:
        Queue:
          Type: SQS
          Properties: { Queue: !GetAtt FollowUpQueue.Arn, BatchSize: 5, FunctionResponseTypes: [ReportBatchItemFailures] }
  Sweep:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/sweep/
      Events:
        EveryMinute: { Type: ScheduleV2, Properties: { ScheduleExpression: rate(1 minute) } }
  PushQueue:
    Type: AWS::SQS::Queue
    Properties: { VisibilityTimeout: 180 }
  FollowUpQueue:
    Type: AWS::SQS::Queue
    Properties:
      RedrivePolicy: { deadLetterTargetArn: !GetAtt FollowUpDeadLetterQueue.Arn, maxReceiveCount: 5 }
  FollowUpDeadLetterQueue: { Type: AWS::SQS::Queue, Properties: {} }
";

#[test]
fn reads_routes_with_the_folder_as_the_functions_name() {
    let template = Template::parse(SAMPLE).unwrap();
    let routes: Vec<_> =
        template.routes.iter().map(|each| (each.method.as_str(), each.path.as_str(), each.function.as_str())).collect();
    assert_eq!(
        routes,
        [
            ("GET", "/v1/passes/{type}/{serial}", "send-updated-pass"),
            ("HEAD", "/v1/passes/{type}/{serial}", "send-updated-pass"),
        ]
    );
}

#[test]
fn reads_queues_their_dead_letters_and_their_workers() {
    let template = Template::parse(SAMPLE).unwrap();
    let names: Vec<_> = template.queues.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!(names, ["passloop-push", "passloop-follow-up", "passloop-follow-up-dead"]);
    assert_eq!(template.queues[0].visibility_timeout_seconds, Some(180));
    assert_eq!(
        template.queues[1].redrive,
        Some(Redrive { dead_letter_queue: "FollowUpDeadLetterQueue".to_owned(), max_receive_count: 5 })
    );
    assert_eq!(
        template.queue_sources,
        [QueueSource {
            queue: "FollowUpQueue".to_owned(),
            function: "follow-up".to_owned(),
            batch_size: 5,
            failures: Failures::Reported,
        }]
    );
}

#[test]
fn reads_which_variables_carry_queue_urls_globally_and_per_function() {
    let template = Template::parse(SAMPLE).unwrap();
    let pairs: Vec<_> =
        template.queue_variables.iter().map(|each| (each.variable.as_str(), each.queue.as_str())).collect();
    assert_eq!(pairs, [("PUSH_QUEUE_URL", "PushQueue"), ("FOLLOW_UP_QUEUE_URL", "FollowUpQueue")]);
}

#[test]
fn reads_schedules_as_durations() {
    let template = Template::parse(SAMPLE).unwrap();
    assert_eq!(template.schedules[0].every, Duration::from_secs(60));
    assert_eq!(rate("rate(2 hours)"), Some(Duration::from_secs(7_200)));
    for wrong in ["rate(0 minutes)", "cron(0 0 * * ? *)", "rate(1 fortnight)", "rate(minute)"] {
        assert_eq!(rate(wrong), None, "{wrong}");
    }
}

#[test]
fn says_which_event_cannot_run() {
    let unknown = SAMPLE.replace("Type: ScheduleV2", "Type: Kinesis");
    let message = Template::parse(&unknown).unwrap_err().to_string();
    assert!(message.contains("EveryMinute") && message.contains("Sweep") && message.contains("Kinesis"), "{message}");
    let dangling = SAMPLE.replace("FollowUpQueue.Arn", "Nowhere.Arn");
    assert!(Template::parse(&dangling).unwrap_err().to_string().contains("Nowhere"));
}

#[test]
fn the_real_template_has_apples_routes_and_both_workers() {
    let template = Template::embedded().unwrap();
    // Reference 1.3: the endpoints of the PassKit web service, version 1.
    for (method, path) in [
        ("POST", "/v1/devices/{deviceLibraryIdentifier}/registrations/{passTypeIdentifier}/{serialNumber}"),
        ("DELETE", "/v1/devices/{deviceLibraryIdentifier}/registrations/{passTypeIdentifier}/{serialNumber}"),
        ("GET", "/v1/devices/{deviceLibraryIdentifier}/registrations/{passTypeIdentifier}"),
        ("GET", "/v1/passes/{passTypeIdentifier}/{serialNumber}"),
        ("HEAD", "/v1/passes/{passTypeIdentifier}/{serialNumber}"),
        ("POST", "/v1/log"),
    ] {
        assert!(template.routes.iter().any(|each| each.method == method && each.path == path), "{method} {path}");
    }
    // Contract section 2.
    let variables: Vec<_> = template.queue_variables.iter().map(|each| each.variable.as_str()).collect();
    assert!(variables.contains(&"PUSH_QUEUE_URL") && variables.contains(&"FOLLOW_UP_QUEUE_URL"), "{variables:?}");
    let names: Vec<_> = template.queues.iter().map(|queue| queue.name.as_str()).collect();
    for name in ["passloop-push", "passloop-push-dead", "passloop-follow-up", "passloop-follow-up-dead"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(template.schedules.iter().any(|schedule| schedule.function == "sweep"));
}
