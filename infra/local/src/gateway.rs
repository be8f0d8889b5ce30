//! The local API Gateway: HTTP in, payload-2.0 events to functions, their answers out.
//!
//! A request takes the path it takes in the cloud: matched against `template.yaml`, turned into an event, parsed by
//! `lambda_http`, and its answer serialised as the Lambda runtime would post it.

mod answer;
mod event;
mod routes;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Context, LambdaEvent, Service as _, service_fn};
use platform::App;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub(crate) use self::answer::Own;
pub(crate) use self::event::Surroundings;
use self::routes::Matched;
pub(crate) use self::routes::Routes;
use crate::clock::Clock;
use crate::server::{Body, Server};

/// API Gateway's payload limit for HTTP APIs (AWS, "Quotas for HTTP APIs": 10 MB, not raisable).
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// A body over the limit is still read this far before it is refused, so that the client, which is busy sending, gets
/// to see the answer instead of a reset connection.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;
/// API Gateway's longest integration timeout for HTTP APIs; also the time a body may take to arrive.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long functions that still run may take when the gateway stops.
const FINISH_LIMIT: Duration = Duration::from_secs(10);

/// A running gateway.
pub(crate) struct Gateway {
    server: Server,
    /// Closed when the last running function is done.
    finished: mpsc::Receiver<Infallible>,
}

struct Shared {
    routes: Routes,
    app: Arc<App>,
    clock: Clock,
}

impl Gateway {
    /// Serves `routes` on `listener`.
    ///
    /// # Errors
    /// When the listener has no address.
    pub(crate) fn start(listener: TcpListener, routes: Routes, app: Arc<App>, clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(Shared { routes, app, clock });
        let (running, finished) = mpsc::channel(1);
        let server =
            Server::start(listener, move |peer| Door { shared: Arc::clone(&shared), running: running.clone(), peer })?;
        Ok(Self { server, finished })
    }

    /// Accepts no more, and waits for the functions that run, also for those whose client has gone.
    pub(crate) async fn stop(mut self) {
        self.server.stop().await;
        if tokio::time::timeout(FINISH_LIMIT, self.finished.recv()).await.is_err() {
            tracing::warn!("stopping although a function still runs");
        }
    }
}

/// One connection's service.
struct Door {
    shared: Arc<Shared>,
    running: mpsc::Sender<Infallible>,
    peer: SocketAddr,
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (shared, running, peer) = (Arc::clone(&self.shared), self.running.clone(), self.peer);
        Box::pin(async move { Ok(respond(shared, running, peer, request).await) })
    }
}

async fn respond(
    shared: Arc<Shared>,
    running: mpsc::Sender<Infallible>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let method = request.method().clone();
    let request_id = request_id();
    let now = shared.clock.now();
    // A function goes on when its client hangs up, as it does in the cloud: it runs in a task of its own. The task is
    // also what a panic ends, and nothing else.
    let invocation = {
        let method = method.clone();
        let request_id = request_id.clone();
        tokio::spawn(async move {
            let response = invoke(&shared, peer, request, &request_id, now).await;
            drop(running);
            response.unwrap_or_else(|own| own.answer(&method))
        })
    };
    let mut response = match tokio::time::timeout(INTEGRATION_TIMEOUT, invocation).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(request_id, %error, "a function panicked");
            Own::InternalServerError.answer(&method)
        }
        Err(_) => {
            tracing::error!(request_id, "a function did not answer in time");
            Own::ServiceUnavailable.answer(&method)
        }
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("apigw-requestid", value);
    }
    response
}

async fn invoke(
    shared: &Shared,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
    now: jiff::Timestamp,
) -> Result<Response<Body>, Own> {
    let (parts, body) = request.into_parts();
    let matched = shared.routes.find(&parts.method, parts.uri.path()).ok_or(Own::NotFound)?;
    check_host(&parts)?;
    let body = tokio::time::timeout(INTEGRATION_TIMEOUT, read_body(body)).await.map_err(|_| Own::RequestTimeout)??;
    let around = Surroundings { peer, request_id, now };
    call(&shared.app, (&parts, &body), &matched, &around).await
}

/// Hands a request to its function as the event it would be in the cloud, and its answer back.
pub(crate) async fn call(
    app: &App,
    (parts, body): (&http::request::Parts, &Bytes),
    matched: &Matched<'_>,
    around: &Surroundings<'_>,
) -> Result<Response<Body>, Own> {
    let event = event::build(parts, body, matched, around).to_string();
    let (function, request_id, now) = (matched.function, around.request_id, around.now);
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(function = function.name, request_id, %error, "cannot invoke a function");
        Own::InternalServerError
    };
    let payload: LambdaRequest = serde_json::from_str(&event).map_err(|error| failed(&error))?;
    let mut context = Context::default();
    request_id.clone_into(&mut context.request_id);
    let handler = service_fn(|request| async { Ok::<_, Infallible>(function.answer(app, request, now).await) });
    let Ok(answer) = Adapter::from(handler).call(LambdaEvent::new(payload, context)).await;
    let answer = serde_json::to_vec(&answer).map_err(|error| failed(&error))?;
    answer::translate(&answer, &parts.method).map_err(|error| failed(&error))
}

/// In the cloud `Host` names the API, so it is always one host, perhaps with a port. `lambda_http` builds a URL from it
/// and panics otherwise.
fn check_host(parts: &http::request::Parts) -> Result<(), Own> {
    let is_host = |value: &HeaderValue| {
        let authority = http::uri::Authority::try_from(value.as_bytes());
        authority.is_ok_and(|authority| {
            let port = authority.as_str().strip_prefix(authority.host()).unwrap_or("@");
            port.is_empty() || (port.starts_with(':') && authority.port_u16().is_some())
        })
    };
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, None) => Ok(()),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None | Some(_)) | (None, Some(_)) => Err(Own::BadRequest),
    }
}

async fn read_body(mut body: Incoming) -> Result<Bytes, Own> {
    let mut read = BytesMut::new();
    let mut total = 0_usize;
    if body.size_hint().lower() > MAX_DISCARDED_BYTES as u64 {
        return Err(Own::TooLong);
    }
    while let Some(frame) = body.frame().await {
        // The client broke off or sent no valid chunk; it will hardly read this answer.
        let Ok(frame) = frame else { return Err(Own::BadRequest) };
        let Ok(data) = frame.into_data() else { continue };
        total = total.saturating_add(data.len());
        if total > MAX_DISCARDED_BYTES {
            break;
        }
        if total <= MAX_BODY_BYTES {
            read.extend_from_slice(&data);
        }
    }
    if total > MAX_BODY_BYTES { Err(Own::TooLong) } else { Ok(read.freeze()) }
}

/// A new id, unique within this process's lifetime and across restarts.
fn request_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let micros = jiff::Timestamp::now().as_microsecond();
    format!("{micros:x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests;
