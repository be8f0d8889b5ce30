//! Functions called one by one behind meters: what each call asks of AWS, and what that costs.
//!
//! Every function runs as always, over an app of its own whose AWS lies behind meters: they pass calls on to the world's
//! embedded parts and write down what was asked, and what the table says it consumed. Messages stay in the meter, so that
//! no worker mixes its calls with a door's.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lambda_http::{Body, RequestExt};
use passloop_local::function;
use platform::App;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::world::World;

/// What one or more calls asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Calls of DynamoDB, each a round trip.
    pub table_calls: u32,
    /// Of these, by operation.
    pub operations: BTreeMap<String, u32>,
    /// Read request units.
    pub read_units: f64,
    /// Write request units; what a transaction writes counts double.
    pub write_units: f64,
    /// Objects read.
    pub objects_read: u32,
    /// Objects written.
    pub objects_written: u32,
    /// Calls of SQS, each a round trip.
    pub queue_calls: u32,
}

#[derive(Default)]
struct Written {
    reading: Reading,
    /// Each with the URL of its queue.
    messages: Vec<(String, String)>,
}

/// Who works messages off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    /// `push-updates`
    Push,
    /// `follow-up`
    FollowUp,
}

/// One app behind meters.
pub struct Metered {
    app: App,
    written: Arc<Mutex<Written>>,
    _servers: JoinSet<()>,
}

impl Metered {
    /// Over a world's table, bucket and APNs.
    pub async fn new(world: &World) -> Metered {
        let written = Arc::new(Mutex::new(Written::default()));
        let mut servers = JoinSet::new();
        let mut config = world.local().app().config.clone();
        let aws = &mut config.aws;
        for (part, endpoint) in [
            (Part::Table, &mut aws.dynamodb_endpoint),
            (Part::Bucket, &mut aws.s3_endpoint),
            (Part::Queue, &mut aws.sqs_endpoint),
        ] {
            let upstream = endpoint.take().expect("an embedded part has an endpoint");
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
            *endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
            servers.spawn(serve(
                listener,
                Arc::new(Meter { part, upstream, http: client(), written: Arc::clone(&written) }),
            ));
        }
        let sdk = platform::app::sdk_config(&config.aws);
        Metered { app: App::new(config, &sdk), written, _servers: servers }
    }

    /// One request to a door; its route's parameters as API Gateway would find them.
    pub async fn call(
        &self,
        world: &World,
        door: &str,
        method: Method,
        parameters: &[(&str, &str)],
        headers: &[(header::HeaderName, &str)],
        body: &Value,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri("https://passes.example.com/");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let body = if body.is_null() { Body::Empty } else { Body::from(body.to_string()) };
        let parameters: HashMap<String, String> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = request.body(body).unwrap().with_path_parameters(parameters);
        function(door).unwrap().answer(&self.app, request, world.now()).await
    }

    /// Gives a worker the first message that was sent to it.
    pub async fn work(&self, world: &World, worker: Worker) {
        let (name, queue) = match worker {
            Worker::Push => ("push-updates", &self.app.config.push_queue_url),
            Worker::FollowUp => ("follow-up", &self.app.config.follow_up_queue_url),
        };
        let (_, body) = {
            let messages = &mut self.written.lock().unwrap().messages;
            let place = messages.iter().position(|(url, _)| url == queue).expect("a message to the worker");
            messages.remove(place)
        };
        let mut message = SqsMessage::default();
        message.message_id = Some("message".to_owned());
        message.body = Some(body);
        let mut event = SqsEvent::default();
        event.records.push(message);
        let answer = function(name).unwrap().work(&self.app, event, world.now()).await;
        assert!(answer.batch_item_failures.is_empty(), "{name} failed");
    }

    /// What was asked since the last time.
    pub fn read(&self) -> Reading {
        std::mem::take(&mut self.written.lock().unwrap().reading)
    }

    /// Drops the messages that wait; how many there were.
    pub fn drop_messages(&self) -> usize {
        std::mem::take(&mut self.written.lock().unwrap().messages).len()
    }
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Table,
    Bucket,
    Queue,
}

struct Meter {
    part: Part,
    upstream: String,
    http: Client,
    written: Arc<Mutex<Written>>,
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn serve(listener: TcpListener, meter: Arc<Meter>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let meter = Arc::clone(&meter);
        let service = service_fn(move |request| {
            let meter = Arc::clone(&meter);
            async move { Ok::<_, Infallible>(meter.pass_on(request).await) }
        });
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}

impl Meter {
    async fn pass_on(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let operation = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = operation.rsplit('.').next().unwrap_or_default().to_owned();
        match self.part {
            Part::Table => {
                let mut asked: Value = serde_json::from_slice(&body).unwrap();
                asked["ReturnConsumedCapacity"] = json!("TOTAL");
                let answer = self.forward(&head.method, &head.uri, &head.headers, asked.to_string().into()).await;
                self.write_down(&operation, &serde_json::from_slice(answer.body().inner()).unwrap_or_default());
                answer.map(|Held(body)| Full::new(body))
            }
            Part::Bucket => {
                {
                    let mut written = self.written.lock().unwrap();
                    if head.method == Method::PUT {
                        written.reading.objects_written += 1;
                    } else {
                        written.reading.objects_read += 1;
                    }
                }
                let answer = self.forward(&head.method, &head.uri, &head.headers, body).await;
                answer.map(|Held(body)| Full::new(body))
            }
            Part::Queue => Response::new(Full::new(self.keep(&body))),
        }
    }

    fn write_down(&self, operation: &str, answer: &Value) {
        let reading = &mut self.written.lock().unwrap().reading;
        reading.table_calls += 1;
        *reading.operations.entry(operation.to_owned()).or_default() += 1;
        // Of one table, or of several.
        let consumed = &answer["ConsumedCapacity"];
        let tables = consumed.as_array().map_or(std::slice::from_ref(consumed), Vec::as_slice);
        let consumed: f64 = tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum();
        match operation {
            "GetItem" | "BatchGetItem" | "Query" => reading.read_units += consumed,
            _ => reading.write_units += consumed,
        }
    }

    /// Takes a batch of messages as SQS does.
    fn keep(&self, body: &[u8]) -> Bytes {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let entries = asked["Entries"].as_array().expect("a batch of messages");
        let mut written = self.written.lock().unwrap();
        written.reading.queue_calls += 1;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let url = text(&asked["QueueUrl"]);
        written.messages.extend(entries.iter().map(|entry| (url.clone(), text(&entry["MessageBody"]))));
        let taken = |entry: &Value| json!({ "Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": "" });
        let taken: Vec<Value> = entries.iter().map(taken).collect();
        json!({ "Successful": taken, "Failed": [] }).to_string().into()
    }

    async fn forward(&self, method: &Method, uri: &http::Uri, headers: &HeaderMap, body: Bytes) -> Response<Held> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = headers.clone();
        headers.remove(header::CONTENT_LENGTH);
        let request = self.http.request(method.clone(), format!("{}{path}", self.upstream)).headers(headers).body(body);
        let answer = request.send().await.unwrap();
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers().iter().filter(|(name, _)| **name != header::TRANSFER_ENCODING) {
            response = response.header(name, value);
        }
        response.body(Held(answer.bytes().await.unwrap())).unwrap()
    }
}

/// A body in one piece.
struct Held(Bytes);

impl Held {
    fn inner(&self) -> &Bytes {
        &self.0
    }
}
