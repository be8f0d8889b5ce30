//! What the local service reads from `template.yaml`: routes, queues, event sources, schedules and the variables that
//! name queues. The template is the only such list; nothing here repeats it.

use std::time::Duration;

use serde_norway::Value;

/// The template this binary was built from.
const EMBEDDED: &str = include_str!("../../../template.yaml");

/// Lambda's own batch size for SQS when the template names none.
const DEFAULT_BATCH_SIZE: i32 = 10;

/// Why the template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Not YAML.
    #[error("template.yaml is not valid YAML: {0}")]
    Yaml(#[from] serde_norway::Error),
    /// A part that the local service needs is missing or has another shape.
    #[error("template.yaml: {0}")]
    Shape(String),
}

/// The parts of `template.yaml` that run locally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// HTTP API routes, in the template's order.
    pub routes: Vec<Route>,
    /// The function of the route `$default`: what no other route takes.
    pub default_function: Option<String>,
    /// SQS queues.
    pub queues: Vec<Queue>,
    /// Queues that invoke functions.
    pub queue_sources: Vec<QueueSource>,
    /// Schedules that invoke functions.
    pub schedules: Vec<ScheduleSource>,
    /// Environment variables whose value is a queue's URL.
    pub queue_variables: Vec<QueueVariable>,
}

/// One route: a method, a path template, a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Upper case, or `ANY`.
    pub method: String,
    /// With `{parameter}` segments.
    pub path: String,
    /// The function's name: its folder under `functions/`.
    pub function: String,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its logical id in the template, such as `PushQueue`.
    pub id: String,
    /// Its name here, such as `passloop-push`.
    pub name: String,
    /// `VisibilityTimeout`, in seconds.
    pub visibility_timeout_seconds: Option<u32>,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
}

/// A queue's redrive policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// Logical id of the dead-letter queue.
    pub dead_letter_queue: String,
    /// Receives after which a message moves there.
    pub max_receive_count: u32,
}

/// A queue that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSource {
    /// Logical id of the queue.
    pub queue: String,
    /// The function's name.
    pub function: String,
    /// Most messages in one invocation.
    pub batch_size: i32,
    /// What the function's answer means.
    pub failures: Failures,
}

/// What a queue worker's answer says about failed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// `ReportBatchItemFailures`: the answer names the messages that failed.
    Reported,
    /// The invocation succeeds or fails as a whole.
    WholeBatch,
}

/// A schedule that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSource {
    /// The event's name in the template.
    pub name: String,
    /// The function's name.
    pub function: String,
    /// Time between invocations.
    pub every: Duration,
}

/// An environment variable that carries a queue's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueVariable {
    /// The variable, such as `PUSH_QUEUE_URL`.
    pub variable: String,
    /// Logical id of the queue.
    pub queue: String,
}

impl Template {
    /// The template that this binary was built with.
    ///
    /// # Errors
    /// When it is not a template this program understands.
    pub fn embedded() -> Result<Self, TemplateError> {
        Self::parse(EMBEDDED)
    }

    /// Reads a SAM template.
    ///
    /// # Errors
    /// When it is not YAML, or a function, event or queue lacks what is needed to run it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let root: Value = serde_norway::from_str(text)?;
        let resources = member(&root, "Resources").and_then(Value::as_mapping);
        let resources = resources.ok_or_else(|| TemplateError::Shape("there are no Resources".to_owned()))?;
        let mut template = Self {
            routes: Vec::new(),
            default_function: None,
            queues: Vec::new(),
            queue_sources: Vec::new(),
            schedules: Vec::new(),
            queue_variables: Vec::new(),
        };
        let mut variables = Vec::new();
        if let Some(global) = path(&root, &["Globals", "Function"]) {
            variables.extend(references(global));
        }
        for (id, resource) in resources {
            let id = id.as_str().unwrap_or_default();
            let Some(properties) = member(resource, "Properties") else { continue };
            match member(resource, "Type").and_then(Value::as_str) {
                Some("AWS::Serverless::Function") => {
                    variables.extend(references(properties));
                    template.read_function(id, properties)?;
                }
                Some("AWS::SQS::Queue") => template.queues.push(read_queue(id, properties)?),
                _ => {}
            }
        }
        for (variable, queue) in variables {
            let known = template.queue_variables.iter().any(|known| known.variable == variable);
            if !known && template.queues.iter().any(|each| each.id == queue) {
                template.queue_variables.push(QueueVariable { variable, queue });
            }
        }
        template.check_references()?;
        Ok(template)
    }

    fn read_function(&mut self, id: &str, properties: &Value) -> Result<(), TemplateError> {
        let code = text(properties, "CodeUri")
            .ok_or_else(|| TemplateError::Shape(format!("function {id} has no CodeUri that names its folder")))?;
        let function = code.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let Some(events) = member(properties, "Events").and_then(Value::as_mapping) else { return Ok(()) };
        for (name, event) in events {
            let name = name.as_str().unwrap_or_default();
            let missing = |key: &str| TemplateError::Shape(format!("event {name} of function {id} has no {key}"));
            let kind = text(event, "Type").ok_or_else(|| missing("Type"))?;
            let event = member(event, "Properties").ok_or_else(|| missing("Properties"))?;
            match kind {
                // Without a path it takes what no other route does.
                "HttpApi" if member(event, "Path").is_none() && member(event, "Method").is_none() => {
                    self.default_function = Some(function.clone());
                }
                "HttpApi" => self.routes.push(Route {
                    method: text(event, "Method").ok_or_else(|| missing("Method"))?.to_ascii_uppercase(),
                    path: text(event, "Path").ok_or_else(|| missing("Path"))?.to_owned(),
                    function: function.clone(),
                }),
                "SQS" => self.queue_sources.push(QueueSource {
                    queue: member(event, "Queue").and_then(reference).ok_or_else(|| missing("Queue"))?,
                    function: function.clone(),
                    batch_size: number(event, "BatchSize").unwrap_or(DEFAULT_BATCH_SIZE),
                    failures: match member(event, "FunctionResponseTypes").and_then(Value::as_sequence) {
                        Some(kinds) if kinds.iter().any(|kind| kind.as_str() == Some("ReportBatchItemFailures")) => {
                            Failures::Reported
                        }
                        _ => Failures::WholeBatch,
                    },
                }),
                "ScheduleV2" | "Schedule" => {
                    let expression = text(event, "ScheduleExpression").or_else(|| text(event, "Schedule"));
                    let expression = expression.ok_or_else(|| missing("ScheduleExpression"))?;
                    self.schedules.push(ScheduleSource {
                        name: name.to_owned(),
                        function: function.clone(),
                        every: rate(expression).ok_or_else(|| {
                            TemplateError::Shape(format!(
                                "event {name} of function {id}: only `rate(<n> minutes|hours|days)` runs locally, \
                                 not `{expression}`"
                            ))
                        })?,
                    });
                }
                other => {
                    return Err(TemplateError::Shape(format!(
                        "event {name} of function {id} has the type {other}, which does not run locally"
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_references(&self) -> Result<(), TemplateError> {
        let known = |id: &str| self.queues.iter().any(|queue| queue.id == id);
        let dead_letters =
            self.queues.iter().filter_map(|queue| Some(queue.redrive.as_ref()?.dead_letter_queue.as_str()));
        for id in self.queue_sources.iter().map(|source| source.queue.as_str()).chain(dead_letters) {
            if !known(id) {
                return Err(TemplateError::Shape(format!("{id} is not an AWS::SQS::Queue of this template")));
            }
        }
        Ok(())
    }
}

fn read_queue(id: &str, properties: &Value) -> Result<Queue, TemplateError> {
    let redrive = match member(properties, "RedrivePolicy") {
        None => None,
        Some(policy) => Some(Redrive {
            dead_letter_queue: member(policy, "deadLetterTargetArn")
                .and_then(reference)
                .ok_or_else(|| TemplateError::Shape(format!("{id} has no deadLetterTargetArn of this template")))?,
            max_receive_count: number(policy, "maxReceiveCount")
                .ok_or_else(|| TemplateError::Shape(format!("{id} has no maxReceiveCount")))?,
        }),
    };
    Ok(Queue {
        id: id.to_owned(),
        name: local_queue_name(id),
        visibility_timeout_seconds: number(properties, "VisibilityTimeout"),
        redrive,
    })
}

/// `FollowUpDeadLetterQueue` is `passloop-follow-up-dead` here. In the cloud CloudFormation makes up the name.
fn local_queue_name(id: &str) -> String {
    let (stem, suffix) = match id.strip_suffix("DeadLetterQueue") {
        Some(stem) => (stem, "-dead"),
        None => (id.strip_suffix("Queue").unwrap_or(id), ""),
    };
    let mut name = String::from("passloop");
    for letter in stem.chars() {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name + suffix
}

/// `rate(1 minute)`, `rate(5 minutes)`, … as a duration.
fn rate(expression: &str) -> Option<Duration> {
    let (count, unit) = expression.trim().strip_prefix("rate(")?.strip_suffix(')')?.trim().split_once(' ')?;
    let seconds = match unit.trim().trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ => return None,
    };
    let count: u64 = count.parse().ok().filter(|count| *count > 0)?;
    count.checked_mul(seconds).map(Duration::from_secs)
}

/// Variables whose value is a `!Ref`, with the logical id they refer to.
fn references(function: &Value) -> Vec<(String, String)> {
    let variables = path(function, &["Environment", "Variables"]).and_then(Value::as_mapping);
    let variables = variables.into_iter().flatten();
    variables.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), reference(value)?))).collect()
}

/// The logical id in `!Ref X`, `!GetAtt X.Arn`, `{Ref: X}` or `{Fn::GetAtt: [X, Arn]}`.
fn reference(value: &Value) -> Option<String> {
    let target = if let Value::Tagged(tagged) = value {
        (tagged.tag == "Ref" || tagged.tag == "GetAtt").then_some(&tagged.value)?
    } else {
        member(value, "Ref").or_else(|| member(value, "Fn::GetAtt"))?
    };
    let target = target.as_sequence().and_then(|parts| parts.first()).unwrap_or(target).as_str()?;
    target.split('.').next().map(str::to_owned)
}

fn member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_mapping()?.get(key)
}

fn path<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| member(value, key))
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    member(value, key)?.as_str()
}

fn number<T: TryFrom<i64>>(value: &Value, key: &str) -> Option<T> {
    member(value, key)?.as_i64().and_then(|number| T::try_from(number).ok())
}

#[cfg(test)]
mod tests;
