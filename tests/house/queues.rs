//! Queues.

use crate::template::{Resource, Template, at, told};

fn queues(template: &Template) -> Vec<Resource<'_>> {
    template.resources("AWS::SQS::Queue")
}

fn is_for_dead_letters(queue: Resource<'_>) -> bool {
    queue.id.ends_with("DeadLetterQueue")
}

fn seconds(function: Resource<'_>, template: &Template) -> u32 {
    let seconds = function.property(&["Timeout"]).unwrap_or_else(|| template.at(&["Globals", "Function", "Timeout"]));
    told(seconds).parse().expect("seconds")
}

/// Protects messages that cannot be worked from being lost, and the dead letters of one queue from another's.
#[test]
fn every_queue_has_dead_letters_of_its_own() {
    let template = Template::read();
    let (dead, alive): (Vec<_>, Vec<_>) = queues(&template).into_iter().partition(|queue| is_for_dead_letters(*queue));
    assert_eq!(dead.len(), alive.len());
    for queue in alive {
        let letters = queue.id.replace("Queue", "DeadLetterQueue");
        let target = queue.told(&["RedrivePolicy", "deadLetterTargetArn"]);
        assert_eq!(target, format!("!GetAtt {letters}.Arn"));
        let letters = dead.iter().find(|other| other.id == letters).expect("the dead-letter queue is there");
        assert_eq!(letters.told(&["RedriveAllowPolicy", "redrivePermission"]), "byQueue");
        // By name, since the two queues would otherwise wait for each other; so the names have to agree.
        let name = queue.told(&["QueueName"]).trim_start_matches("!Sub ").to_owned();
        let allowed = letters.told(&["RedriveAllowPolicy", "sourceQueueArns"]);
        assert!(allowed.ends_with(&format!(":{name}")) && !allowed.contains(", "), "{allowed}");
        // Fourteen days, the longest there is: nobody has to look on a Sunday.
        assert_eq!(letters.told(&["MessageRetentionPeriod"]), "1209600");
    }
}

/// Protects a message that is being worked from being handed to a second worker (AWS, "Creating and configuring an Amazon
/// SQS event source mapping": six times the function's timeout), and its neighbours from its failure.
#[test]
fn workers_have_time_and_answer_for_each_message() {
    let template = Template::read();
    let mut worked = Vec::new();
    for function in template.functions() {
        for event in function.events("SQS") {
            let text = |name: &str| told(at(event, &["Properties", name]).unwrap_or_else(|| panic!("no {name}")));
            assert_eq!(text("FunctionResponseTypes"), "ReportBatchItemFailures", "{}", function.id);
            let queue =
                queues(&template).into_iter().find(|queue| text("Queue") == format!("!GetAtt {}.Arn", queue.id));
            let queue = queue.expect("a queue of this template");
            let visibility: u32 = queue.told(&["VisibilityTimeout"]).parse().expect("seconds");
            assert!(visibility >= 6 * seconds(function, &template), "{}", queue.id);
            worked.push(queue.id);
        }
    }
    let alive = queues(&template).into_iter().filter(|queue| !is_for_dead_letters(*queue));
    assert_eq!(worked.len(), alive.count(), "a queue that nobody works: {worked:?}");
}

/// Protects Apple's patience, and our own connections, from as many push workers as Lambda would start.
#[test]
fn push_workers_are_limited() {
    let template = Template::read();
    let event = template.function("push-updates").events("SQS")[0];
    let limit = at(event, &["Properties", "ScalingConfig", "MaximumConcurrency"]).map(told);
    assert_eq!(limit.as_deref(), Some("!Ref PushConcurrency"));
}

/// Protects merchants' servers, and the account's concurrency, from as many webhook workers as Lambda would start.
#[test]
fn webhook_workers_are_limited() {
    let template = Template::read();
    let event = template.function("send-webhooks").events("SQS")[0];
    let limit = at(event, &["Properties", "ScalingConfig", "MaximumConcurrency"]).map(told);
    assert_eq!(limit.as_deref(), Some("!Ref WebhookConcurrency"));
}

/// Protects messages at rest and on their way.
#[test]
fn queues_are_encrypted_and_speak_only_tls() {
    let template = Template::read();
    let policies = template.resources("AWS::SQS::QueuePolicy");
    for queue in queues(&template) {
        assert_eq!(queue.told(&["SqsManagedSseEnabled"]), "true", "{}", queue.id);
        let policy = policies.iter().find(|policy| policy.told(&["Queues"]) == format!("!Ref {}", queue.id));
        let policy = policy.unwrap_or_else(|| panic!("{} has no policy", queue.id));
        let statements = policy.property(&["PolicyDocument", "Statement"]).and_then(|all| all.as_sequence());
        let [statement] = &statements.expect("statements")[..] else { panic!("one statement") };
        let text = |path: &[&str]| told(at(statement, path).expect("a statement"));
        assert_eq!(text(&["Effect"]), "Deny");
        assert_eq!(text(&["Action"]), "sqs:*");
        assert_eq!(text(&["Resource"]), format!("!GetAtt {}.Arn", queue.id));
        assert_eq!(text(&["Condition", "Bool", "aws:SecureTransport"]), "false");
    }
}
