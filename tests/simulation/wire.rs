//! The network between functions and AWS: the SDK's requests are carried to the models in this process, and everything
//! that a network and a cloud do to requests is done to them here.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;

use crate::bucket::{self, Spoilt};
use crate::invariants::Invariant;
use crate::invocation::{CURRENT, Release, Side};
use crate::world::World;
use crate::{dynamodb, queues};

/// The network of one world.
#[derive(Clone)]
pub(crate) struct Wire(pub(crate) Weak<World>);

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let world = self.0.upgrade();
        HttpConnectorFuture::new(async move {
            let world = world.ok_or_else(|| ConnectorError::other("the world has ended".into(), None))?;
            let response = carry(&world, Call::read(request).await).await?;
            let response = response.map(SdkBody::from);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
        })
    }
}

/// A request of the SDK.
#[derive(Clone)]
struct Call {
    service: Service,
    /// `GetItem`, `SendMessageBatch`, `PUT`.
    operation: String,
    request: Request<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    DynamoDb,
    S3,
    Sqs,
}

impl Call {
    async fn read(request: HttpRequest) -> Call {
        let request = request.try_into_http1x().expect("an HTTP request");
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let service = match parts.uri.host() {
            Some("dynamodb.simulated") => Service::DynamoDb,
            Some("sqs.simulated") => Service::Sqs,
            _ => Service::S3,
        };
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or(parts.method.as_str()).to_owned();
        Call { service, operation, request: Request::from_parts(parts, body) }
    }

    /// A read of DynamoDB that may be answered from the past.
    fn is_weak_read(&self) -> bool {
        ["GetItem", "BatchGetItem", "Query"].contains(&self.operation.as_str())
            && !self.body().contains(r#""ConsistentRead":true"#)
    }

    /// As the release after this one would send it.
    fn of_next_release(mut self) -> Call {
        let body = match self.operation.as_str() {
            "TransactWriteItems" => dynamodb::of_next_release(self.body()),
            "SendMessageBatch" => queues::of_next_release(self.body()),
            _ => return self,
        };
        *self.request.body_mut() = body.into();
        self
    }

    fn body(&self) -> &str {
        std::str::from_utf8(self.request.body()).expect("JSON")
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    Throttled,
    Unavailable,
    Conflict,
    BrokenBefore,
    BrokenAfter,
    Silent,
    Late,
}

fn fate(world: &World, call: &Call) -> Fate {
    let weather = world.weather();
    let conflict = if call.operation == "TransactWriteItems" { weather.conflict } else { 0.0 };
    let fates = [
        (weather.throttled, Fate::Throttled),
        (weather.unavailable, Fate::Unavailable),
        (conflict, Fate::Conflict),
        (weather.broken_before, Fate::BrokenBefore),
        (weather.broken_after, Fate::BrokenAfter),
        (weather.silent, Fate::Silent),
        (weather.late, Fate::Late),
    ];
    fates.into_iter().find(|(chance, _)| world.dice.chance(*chance)).map_or(Fate::Well, |(_, fate)| fate)
}

/// Carries a call, through whatever happens to it on the way.
async fn carry(world: &Arc<World>, call: Call) -> Result<Response<Bytes>, ConnectorError> {
    // Outside of any function the world itself calls, and nothing happens to that.
    let Ok(invocation) = CURRENT.try_with(Arc::clone) else { return Ok(effect(world, &call)) };
    let call = if invocation.release == Release::Next { call.of_next_release() } else { call };
    let number = invocation.begin_call();
    if call.is_weak_read() {
        world.breaks(Invariant::ReadsStrongly, format!("{}: {}", call.operation, call.body()));
    }
    let what = || format!("#{} {} call {number}, {}", invocation.number, invocation.function, call.operation);
    if invocation.dies(number, Side::Before) {
        world.note("crash", || format!("{}: before it took effect", what()));
        return std::future::pending().await;
    }
    world.latency().await;
    let fate = fate(world, &call);
    if fate != Fate::Well {
        if matches!(fate, Fate::Silent | Fate::Late) {
            invocation.disturb();
        } else {
            invocation.call_failed();
        }
        if call.operation == "TransactWriteItems" {
            invocation.write_failed();
        }
        world.note("fault", || format!("{}: {fate:?}", what()));
    }
    let broken = || ConnectorError::io("the connection was closed".into());
    let response = match fate {
        Fate::Well => effect(world, &call),
        Fate::Throttled => refusal(&call, StatusCode::BAD_REQUEST, "ThrottlingException", "SlowDown"),
        Fate::Unavailable => {
            refusal(&call, StatusCode::SERVICE_UNAVAILABLE, "InternalServerError", "ServiceUnavailable")
        }
        Fate::Conflict => json(dynamodb::conflict(call.body())),
        Fate::BrokenBefore => return Err(broken()),
        Fate::BrokenAfter => {
            effect(world, &call);
            return Err(broken());
        }
        // The SDK gives up on the attempt after its time-out, in the world's time.
        Fate::Silent => return std::future::pending().await,
        Fate::Late => {
            let late = Duration::from_millis(world.dice.between(4_000, 9_000));
            let (world, call, busy) = (Arc::clone(world), call.clone(), world.busy());
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                effect(&world, &call);
                drop(busy);
            });
            return std::future::pending().await;
        }
    };
    if invocation.dies(number, Side::After) {
        world.note("crash", || format!("{}: after it took effect", what()));
        return std::future::pending().await;
    }
    world.latency().await;
    Ok(response)
}

/// The effect itself, at once.
fn effect(world: &World, call: &Call) -> Response<Bytes> {
    let weather = world.weather();
    match call.service {
        Service::DynamoDb => json(match call.operation.as_str() {
            "Query" if world.dice.chance(weather.short) => {
                let body = dynamodb::shorter_page(call.body(), world.dice.between(1, 3));
                dynamodb::answer(&world.database, "Query", &body)
            }
            "BatchGetItem" if world.dice.chance(weather.short) => {
                let most = world.dice.between(1, 2) as usize;
                dynamodb::shorter_batch(&world.database, call.body(), most)
            }
            operation => dynamodb::answer(&world.database, operation, call.body()),
        }),
        Service::Sqs => json((200, queues::send(world, call.body()))),
        Service::S3 => {
            let path = call.request.uri().path();
            match call.operation.as_str() {
                "PUT" => return world.bucket.put(path, call.request.headers(), call.request.body().clone()),
                "DELETE" => return world.bucket.delete(path),
                _ => {}
            }
            let query = call.request.uri().query().unwrap_or_default();
            if query.contains("list-type=2") {
                let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
                let prefix = percent_encoding::percent_decode_str(prefix).decode_utf8().expect("a prefix");
                return world.bucket.list(path.trim_matches('/'), &prefix);
            }
            // Packages are a cache. A template is not: whoever cannot read it fails, for that reason, and more rarely. Rows of a
            // batch are read once, and S3 keeps what it took.
            let rarely = match path {
                path if path.contains("/batches/") => 0.0,
                path if path.contains("/templates/") => 0.1,
                _ => 1.0,
            };
            let strikes = |chance: f64| world.dice.chance(chance * rarely);
            let spoilt = match (strikes(weather.object_missing), strikes(weather.object_corrupt)) {
                (true, _) => Spoilt::Missing,
                (false, true) => *world.dice.pick(&[Spoilt::WrongByte, Spoilt::CutShort]),
                (false, false) => Spoilt::No,
            };
            if spoilt != Spoilt::No && path.contains("/templates/") {
                CURRENT.try_with(|invocation| invocation.disturb()).ok();
            }
            world.bucket.get(path, call.request.headers(), spoilt)
        }
    }
}

fn json((status, body): dynamodb::Answer) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn refusal(call: &Call, status: StatusCode, json_code: &str, xml_code: &str) -> Response<Bytes> {
    match call.service {
        Service::S3 => bucket::error(StatusCode::SERVICE_UNAVAILABLE, xml_code),
        Service::DynamoDb | Service::Sqs => json(dynamodb::refusal(status.as_u16(), json_code, None)),
    }
}
