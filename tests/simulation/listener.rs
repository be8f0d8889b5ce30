//! The merchant's own server, which webhooks tell what happened: a real HTTP/1 peer over a pipe, with moods, and a memory of
//! all that it took.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use platform::apns::Dial;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::Notify;

use crate::invariants::Invariant;
use crate::world::{World, lock};

/// Where it is.
pub(crate) const URL: &str = "https://listener.simulated/hook";

/// Something that it was told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The event's type, as webhooks name it.
    pub(crate) kind: String,
    pub(crate) version: u64,
    /// When it happened.
    pub(crate) at: Timestamp,
}

/// The server.
pub(crate) struct Listener {
    world: Weak<World>,
    /// What it took of each pass, by the id of the message, in the order in which each came first.
    told: Mutex<BTreeMap<String, Vec<(String, Told)>>>,
    is_down: AtomicBool,
    was_down: AtomicBool,
}

impl Listener {
    pub(crate) fn new(world: Weak<World>) -> Listener {
        Listener { world, told: Mutex::default(), is_down: AtomicBool::new(false), was_down: AtomicBool::new(false) }
    }

    /// Goes away, for as long as may be, or comes back.
    pub(crate) fn goes_or_comes_back(&self) {
        self.was_down.store(true, Ordering::Relaxed);
        let was = self.is_down.fetch_xor(true, Ordering::Relaxed);
        if let Some(world) = self.world.upgrade() {
            world.note("listener", || if was { "comes back" } else { "goes away" }.to_owned());
        }
    }

    pub(crate) fn comes_back(&self) {
        self.is_down.store(false, Ordering::Relaxed);
    }

    /// What it was told of a pass, each once, in the order in which it came.
    pub(crate) fn told(&self, serial: &str) -> Vec<Told> {
        let told = lock(&self.told);
        told.get(serial).into_iter().flatten().map(|(_, told)| told.clone()).collect()
    }

    /// The way to it: a pipe, with a server at the other end, or with nobody.
    pub(crate) fn dial(&self) -> Dial {
        let world = self.world.clone();
        Box::new(move || {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            if let Some(world) = world.upgrade()
                && !world.listener.is_down.load(Ordering::Relaxed)
            {
                tokio::spawn(serve(world, theirs));
            }
            Box::new(ours)
        })
    }

    fn takes(&self, world: &World, id: &str, body: &[u8]) {
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        let serial = message["data"]["serialNumber"].as_str().unwrap_or_default();
        let (kind, at) = (message["type"].as_str(), message["timestamp"].as_str().and_then(|at| at.parse().ok()));
        let (Some(kind), Some(version), Some(at)) = (kind, message["data"]["version"].as_u64(), at) else {
            return world.breaks(Invariant::ToldInOrder, format!("a webhook said {message}"));
        };
        world.note("listener", || format!("takes {kind} of {serial}, version {version}, {id}"));
        let mut all = lock(&self.told);
        let of_pass = all.entry(serial.to_owned()).or_default();
        if !of_pass.iter().any(|(known, _)| known == id) {
            of_pass.push((id.to_owned(), Told { kind: kind.to_owned(), version, at }));
        } else if world.climate().is_calm() && !self.was_down.load(Ordering::Relaxed) {
            drop(all);
            world.breaks(Invariant::ToldInOrder, format!("{id} of {serial} was told twice, in fair weather"));
        }
    }
}

async fn serve(world: Arc<World>, stream: DuplexStream) {
    let breaks = Arc::new(Notify::new());
    let service = service_fn({
        let breaks = Arc::clone(&breaks);
        move |request: Request<Incoming>| {
            let (world, breaks) = (Arc::clone(&world), Arc::clone(&breaks));
            async move { Ok::<_, Infallible>(respond(&world, &breaks, request).await) }
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = breaks.notified() => {}
        _ = connection => {}
    }
}

async fn respond(world: &World, breaks: &Notify, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let id = request.headers().get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let mut response = Response::new(Full::default());
    // Of a connection that breaks, nothing can be said.
    let Ok(body) = request.into_body().collect().await.map(|body| body.to_bytes()) else { return response };
    let weather = world.weather();
    world.pause(1, 60).await;
    if world.dice.chance(weather.listener_fails) {
        world.note("listener", || format!("fails at {id}"));
        *response.status_mut() = *world.dice.pick(&[
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::NOT_FOUND,
            StatusCode::FOUND,
        ]);
        return response;
    }
    let (is_silent, is_broken) =
        (world.dice.chance(weather.listener_silent), world.dice.chance(weather.listener_breaks));
    if world.dice.chance(weather.listener_slow) {
        world.pause(800, 9_000).await;
    }
    // Whether it took what it does not answer, nobody knows.
    if !(is_silent || is_broken) || world.dice.chance(0.5) {
        world.listener.takes(world, &id, &body);
    }
    if is_silent || is_broken {
        world.note("listener", || format!("does not answer {id}"));
        if is_broken {
            breaks.notify_one();
        }
        return std::future::pending().await;
    }
    response
}
