//! AWS, without AWS: an HTTP client for the SDK that passes calls on once and writes down the answers, then gives the same
//! answers again at once. What is left of a door's CPU time is its own work and the SDK's; [`Alone`] makes the same calls with the SDK
//! and nothing else, so that the two can be told apart.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, KeysAndAttributes, Put, TransactWriteItem, Update,
};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use serde_json::Value;

/// A call, as it was made.
#[derive(Debug, Clone)]
pub struct Call {
    /// `GetItem`, `SendMessageBatch`; of S3, the method.
    pub operation: String,
    body: Bytes,
    answer: Answer,
}

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// The HTTP client. Clones share what was written down.
#[derive(Clone, Default)]
pub struct Canned(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    http: Option<reqwest::Client>,
    written: Vec<Call>,
    /// Calls of each operation since [`Canned::rewind`].
    given: HashMap<String, usize>,
}

impl Canned {
    /// From now on calls are passed on and written down.
    pub fn pass_on(&self) {
        *self.memory() =
            Memory { http: Some(reqwest::Client::builder().no_proxy().build().unwrap()), ..Memory::default() };
    }

    /// From now on calls are answered from memory.
    pub fn replay(&self) {
        self.memory().http = None;
    }

    /// The next call of each operation is answered as its first was.
    pub fn rewind(&self) {
        self.memory().given.clear();
    }

    /// What was written down.
    pub fn written(&self) -> Vec<Call> {
        self.memory().written.clone()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer that was given to the call of this operation whose turn it is.
    fn again(&self, operation: &str) -> Option<HttpResponse> {
        let mut memory = self.memory();
        let turn = memory.given.entry(operation.to_owned()).or_default();
        let place = *turn;
        *turn += 1;
        let mut same = memory.written.iter().filter(|call| call.operation == operation);
        let call = same.clone().nth(place).or_else(|| same.next_back())?;
        Some(response(&call.answer))
    }
}

fn response(answer: &Answer) -> HttpResponse {
    let mut response =
        HttpResponse::new(StatusCode::try_from(answer.status).unwrap(), SdkBody::from(answer.body.clone()));
    for (name, value) in &answer.headers {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl HttpClient for Canned {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
        let operation = target.unwrap_or(request.method()).to_owned();
        let http = self.memory().http.clone();
        let Some(http) = http else {
            let answer = self.again(&operation);
            let missing = || ConnectorError::other(format!("{operation} was never written down").into(), None);
            return HttpConnectorFuture::ready(answer.ok_or_else(missing));
        };
        let canned = self.clone();
        HttpConnectorFuture::new(async move {
            let body = Bytes::copy_from_slice(request.body().bytes().unwrap_or_default());
            let mut sent = http.request(request.method().parse().unwrap(), request.uri()).body(body.clone());
            for (name, value) in request.headers().iter().filter(|(name, _)| *name != "content-length") {
                sent = sent.header(name, value);
            }
            let answer = sent.send().await.map_err(|error| ConnectorError::io(error.into()))?;
            let headers = answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding");
            let headers =
                headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
            let (status, headers) = (answer.status().as_u16(), headers.collect());
            let body_of_answer = answer.bytes().await.map_err(|error| ConnectorError::io(error.into()))?;
            let answer = Answer { status, headers, body: body_of_answer };
            let given = response(&answer);
            canned.memory().written.push(Call { operation, body, answer });
            Ok(given)
        })
    }
}

/// The SDK's clients and the inputs of calls that were written down.
pub struct Alone {
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    inputs: Vec<Input>,
}

type Item = HashMap<String, AttributeValue>;

enum Input {
    Get(Item),
    BatchGet(String, Vec<Item>),
    Query(Value),
    Transact(Vec<TransactWriteItem>),
    Send(String, Vec<SendMessageBatchRequestEntry>),
    GetObject,
    PutObject(Bytes),
}

impl Alone {
    /// The inputs of these calls.
    pub fn of(app: &platform::App, sdk: &aws_types::SdkConfig, calls: &[Call]) -> Alone {
        let aws = &app.config.aws;
        Alone {
            dynamodb: platform::app::dynamodb(sdk, aws),
            s3: platform::app::s3(sdk, aws),
            sqs: platform::app::sqs(sdk, aws),
            inputs: calls.iter().map(Input::of).collect(),
        }
    }

    /// Makes every call once more, one after the other.
    pub async fn make(&self) {
        for input in &self.inputs {
            match input {
                Input::Get(key) => {
                    let request = self.dynamodb.get_item().table_name("passloop").consistent_read(true);
                    request.set_key(Some(key.clone())).send().await.unwrap();
                }
                Input::BatchGet(table, keys) => {
                    let keys = KeysAndAttributes::builder().set_keys(Some(keys.clone())).consistent_read(true);
                    let request = self.dynamodb.batch_get_item().request_items(table, keys.build().unwrap());
                    request.send().await.unwrap();
                }
                Input::Query(query) => {
                    let text = |name: &str| query[name].as_str().map(str::to_owned);
                    let request = self.dynamodb.query().set_table_name(text("TableName")).consistent_read(true);
                    let request = request.set_key_condition_expression(text("KeyConditionExpression"));
                    let values = item(&query["ExpressionAttributeValues"]);
                    request.set_expression_attribute_values(Some(values)).send().await.unwrap();
                }
                Input::Transact(writes) => {
                    let request = self.dynamodb.transact_write_items().set_transact_items(Some(writes.clone()));
                    request.send().await.unwrap();
                }
                Input::Send(url, entries) => {
                    let request = self.sqs.send_message_batch().queue_url(url).set_entries(Some(entries.clone()));
                    request.send().await.unwrap();
                }
                Input::GetObject => {
                    let request = self.s3.get_object().bucket("passloop-packages").key("packages/one.pkpass");
                    if let Ok(answer) = request.send().await {
                        answer.body.collect().await.unwrap();
                    }
                }
                Input::PutObject(bytes) => {
                    let request = self.s3.put_object().bucket("passloop-packages").key("packages/one.pkpass");
                    request.metadata("crc32", "00000000").body(bytes.clone().into()).send().await.unwrap();
                }
            }
        }
    }
}

impl Input {
    fn of(call: &Call) -> Input {
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match call.operation.as_str() {
            "GetItem" => Input::Get(item(&body["Key"])),
            "BatchGetItem" => {
                let (table, asked) = body["RequestItems"].as_object().unwrap().iter().next().unwrap();
                Input::BatchGet(table.clone(), asked["Keys"].as_array().unwrap().iter().map(item).collect())
            }
            "Query" => Input::Query(body),
            "TransactWriteItems" => {
                Input::Transact(body["TransactItems"].as_array().unwrap().iter().map(write).collect())
            }
            "SendMessageBatch" => {
                let entry = |entry: &Value| {
                    let delay = entry["DelaySeconds"].as_i64().and_then(|delay| i32::try_from(delay).ok());
                    let built = SendMessageBatchRequestEntry::builder().id(text(&entry["Id"]));
                    built.message_body(text(&entry["MessageBody"])).set_delay_seconds(delay).build().unwrap()
                };
                let entries = body["Entries"].as_array().unwrap().iter().map(entry).collect();
                Input::Send(text(&body["QueueUrl"]), entries)
            }
            "GET" => Input::GetObject,
            "PUT" => Input::PutObject(call.body.clone()),
            other => panic!("{other} is not replayed yet"),
        }
    }
}

fn write(write: &Value) -> TransactWriteItem {
    let text = |of: &Value, name: &str| of[name].as_str().map(str::to_owned);
    let values = |of: &Value| of.get("ExpressionAttributeValues").map(item);
    let names = |of: &Value| -> Option<HashMap<String, String>> {
        let names = of.get("ExpressionAttributeNames")?.as_object()?;
        Some(names.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect())
    };
    let built = TransactWriteItem::builder();
    if let Some(put) = write.get("Put") {
        let of = Put::builder().set_table_name(text(put, "TableName")).set_item(Some(item(&put["Item"])));
        let of = of.set_condition_expression(text(put, "ConditionExpression"));
        built.put(of.set_expression_attribute_values(values(put)).build().unwrap()).build()
    } else if let Some(update) = write.get("Update") {
        let of = Update::builder().set_table_name(text(update, "TableName")).set_key(Some(item(&update["Key"])));
        let of = of.set_update_expression(text(update, "UpdateExpression"));
        let of = of.set_condition_expression(text(update, "ConditionExpression"));
        let of = of.set_expression_attribute_names(names(update));
        built.update(of.set_expression_attribute_values(values(update)).build().unwrap()).build()
    } else if let Some(delete) = write.get("Delete") {
        let of = Delete::builder().set_table_name(text(delete, "TableName")).set_key(Some(item(&delete["Key"])));
        let of = of.set_condition_expression(text(delete, "ConditionExpression"));
        built.delete(of.set_expression_attribute_values(values(delete)).build().unwrap()).build()
    } else {
        let check = &write["ConditionCheck"];
        let of = ConditionCheck::builder().set_table_name(text(check, "TableName"));
        let of = of.set_key(Some(item(&check["Key"]))).set_condition_expression(text(check, "ConditionExpression"));
        built.condition_check(of.set_expression_attribute_values(values(check)).build().unwrap()).build()
    }
}

/// DynamoDB's JSON.
fn item(json: &Value) -> Item {
    let members = json.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap_or_default()),
        "NULL" => AttributeValue::Null(true),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(item(value)),
        other => panic!("{other} is not replayed yet"),
    }
}
