//! Apple's push service: a real HTTP/2 peer over a pipe, that knows which tokens live, and has its moods (reference 2).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::{SignedDuration, Timestamp};
use passloop_tests::back_office::PASS_TYPE;
use platform::apns::Dial;
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::invariants::Invariant;
use crate::phone::{Kind, Phone};
use crate::world::World;

/// How often in a row APNs holds on to an outdated mark.
const OUTDATED_AT_MOST: u32 = 3;

/// Milliseconds in which clocks do not tell which came first (`weather.skew`). Of such a mark APNs does not tell twice.
const DOUBTFUL: u64 = 5_000;

/// Pushes of one version that nobody fetches: the first, and three reminders (docs/limits.md).
const PUSHES: u32 = 4;

/// Tries of one push: five in about an hour (reference 2.4), and three in the two days after it, for an outage.
const TRIES: u32 = 8;

/// A push token, as APNs knows it.
struct Token {
    phone: Arc<Phone>,
    /// Since when no device listens to it any more, and from when on APNs says so: "deleted passes keep answering 200 for
    /// days" (reference 2.4).
    gone: Option<(Timestamp, Instant)>,
    outdated: u32,
    /// It was told once that it is gone since about the time of its registration.
    doubted: bool,
    /// Pushes in a row that were not accepted.
    refused: u32,
    /// Pushes in a row that were accepted and lost.
    lost: u32,
    /// The next one is lost, whatever the weather.
    loses_next: bool,
}

impl Token {
    /// A push to it was not accepted. After eight tries the service gives up, and the phone has to ask by itself.
    fn is_refused(&mut self) {
        self.refused += 1;
        // A reminder of a campaign's change that is refused is not tried again.
        self.lost += u32::from(self.lost > 0);
        if self.refused >= TRIES || self.lost >= PUSHES {
            self.phone.missed_a_push();
        }
    }
}

/// APNs.
pub(crate) struct Peer {
    world: Weak<World>,
    tokens: Mutex<BTreeMap<String, Token>>,
}

/// How one connection ends.
#[derive(Default)]
struct Ending {
    goes_away: Notify,
    breaks: Notify,
}

/// What is answered to one push.
enum Reply {
    Accepted,
    Refused(u16, &'static str, Option<Timestamp>),
    Silence,
}

impl Peer {
    pub(crate) fn new(world: Weak<World>) -> Peer {
        Peer { world, tokens: Mutex::default() }
    }

    pub(crate) fn world(&self) -> Weak<World> {
        self.world.clone()
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A phone listens to a token from now on.
    pub(crate) fn listens(&self, token: &str, phone: &Arc<Phone>) {
        self.tokens().insert(
            token.to_owned(),
            Token {
                phone: Arc::clone(phone),
                gone: None,
                outdated: 0,
                doubted: false,
                refused: 0,
                lost: 0,
                loses_next: false,
            },
        );
    }

    /// It accepts one more push to each phone, and loses it.
    pub(crate) fn loses_one_each(&self) {
        self.tokens().values_mut().for_each(|token| token.loses_next = true);
    }

    /// Nobody listens to it any more; APNs will say so after a while.
    pub(crate) fn is_gone(&self, token: &str, now: Timestamp, says_so_after: Duration) {
        if let Some(token) = self.tokens().get_mut(token) {
            token.gone = Some((now, Instant::now() + says_so_after));
        }
    }

    /// A push to this token may not be accepted.
    fn refuses(&self, token: &str) {
        if let Some(known) = self.tokens().get_mut(token) {
            known.is_refused();
        }
    }

    /// The way to it: a pipe, with a server at the other end.
    pub(crate) fn dial(&self) -> Dial {
        let world = self.world();
        Box::new(move || {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            if let Some(world) = world.upgrade() {
                tokio::spawn(serve(world, theirs));
            }
            Box::new(ours)
        })
    }
}

async fn serve(world: Arc<World>, stream: DuplexStream) {
    let ending = Arc::new(Ending::default());
    let service = service_fn({
        let ending = Arc::clone(&ending);
        move |request: Request<Incoming>| {
            let (world, ending) = (Arc::clone(&world), Arc::clone(&ending));
            async move { Ok::<_, Infallible>(respond(&world, &ending, request).await) }
        }
    });
    let connection = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            biased;
            () = ending.breaks.notified() => return,
            () = ending.goes_away.notified() => connection.as_mut().graceful_shutdown(),
            _ = &mut connection => return,
        }
    }
}

async fn respond(world: &Arc<World>, ending: &Ending, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let token = request.uri().path().strip_prefix("/3/device/").unwrap_or_default().to_owned();
    let topic = request.headers().get("apns-topic").and_then(|topic| topic.to_str().ok()).unwrap_or_default();
    if topic != PASS_TYPE {
        world.breaks(Invariant::PushesOnlyToRegistered, format!("a push with the topic {topic:?}"));
    }
    // Of a connection that breaks, nothing can be said.
    if let Ok(body) = request.into_body().collect().await.map(|body| body.to_bytes())
        && body != "{}"
    {
        world.breaks(Invariant::PushesOnlyToRegistered, format!("a push with the body {body:?}"));
    }
    world.latency().await;
    let reply = decide(world, ending, &token);
    let mut response = Response::new(Full::default());
    match reply {
        Reply::Accepted => {}
        Reply::Silence => return std::future::pending().await,
        Reply::Refused(status, reason, since) => {
            let since = since.map(Timestamp::as_millisecond);
            world.note("APNs", || format!("{status} {reason} {}", since.map(|at| at.to_string()).unwrap_or_default()));
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            let mut body = json!({ "reason": reason });
            if let Some(since) = since {
                body["timestamp"] = json!(since);
            }
            *response.body_mut() = Full::from(body.to_string());
        }
    }
    response
}

fn decide(world: &Arc<World>, ending: &Ending, token: &str) -> Reply {
    check(world, token);
    let weather = world.weather();
    let disturbs = |chance: f64| {
        let strikes = world.dice.chance(chance);
        if strikes {
            world.disturb_pushing();
        }
        strikes
    };
    let strikes = |chance: f64| {
        let strikes = disturbs(chance);
        if strikes {
            world.apns.refuses(token);
        }
        strikes
    };
    if strikes(weather.apns_silent) {
        return Reply::Silence;
    }
    if strikes(weather.apns_breaks) {
        ending.breaks.notify_one();
        return Reply::Silence;
    }
    if disturbs(weather.apns_goes_away) {
        ending.goes_away.notify_one();
    }
    if strikes(weather.apns_busy) {
        let busy = [
            (429, "TooManyRequests"),
            (500, "InternalServerError"),
            (503, "ServiceUnavailable"),
            (503, "Shutdown"),
            (400, "IdleTimeout"),
        ];
        let (status, reason) = *world.dice.pick(&busy);
        return Reply::Refused(status, reason, None);
    }
    if strikes(weather.apns_forbids) {
        return Reply::Refused(403, "Forbidden", None);
    }
    let mut tokens = world.apns.tokens();
    let Some(known) = tokens.get_mut(token) else { return Reply::Refused(400, "BadDeviceToken", None) };
    if let Some((since, from)) = known.gone {
        return if Instant::now() < from { Reply::Accepted } else { Reply::Refused(410, "Unregistered", Some(since)) };
    }
    if known.outdated < OUTDATED_AT_MOST
        && let Some(registered) = world.ledger().registered_since(token)
        && world.dice.chance(weather.apns_outdated)
    {
        world.disturb_pushing();
        known.outdated += 1;
        known.is_refused();
        let before =
            SignedDuration::from_millis(world.dice.between(u64::from(known.doubted) * DOUBTFUL + 1, 100_000) as i64);
        known.doubted |= before.as_millis() <= i128::from(DOUBTFUL);
        return Reply::Refused(410, "Unregistered", Some(registered - before));
    }
    (known.outdated, known.refused) = (0, 0);
    let phone = Arc::clone(&known.phone);
    if std::mem::take(&mut known.loses_next) || world.dice.chance(weather.apns_loses) {
        world.note("APNs", || format!("loses a push to {}", phone.name));
        known.lost += 1;
        if known.lost < PUSHES {
            phone.needs_a_reminder();
        } else {
            phone.missed_a_push();
        }
        return Reply::Accepted;
    }
    known.lost = 0;
    drop(tokens);
    let (world, busy, token) = (Arc::clone(world), world.busy(), token.to_owned());
    tokio::spawn(async move {
        world.pause(50, 3_000).await;
        phone.pushed(&token).await;
        drop(busy);
    });
    Reply::Accepted
}

/// Reference 2.4 and 7: who may be pushed to.
fn check(world: &World, token: &str) {
    let name = {
        let tokens = world.apns.tokens();
        tokens.get(token).map(|known| (known.phone.name.clone(), known.phone.kind))
    };
    match name {
        None => world.breaks(Invariant::PushesOnlyToRegistered, "a push to a token that APNs never gave"),
        Some((name, Kind::Android)) => {
            world.breaks(Invariant::PushesOnlyToRegistered, format!("a push to {name}, which is no iPhone"));
        }
        Some((name, Kind::Apple)) => {
            world.note("APNs", || format!("a push to {name}"));
            let removed = world.ledger().removed_at(token);
            // Who read the registrations before the removal was answered may still push.
            if removed.is_some_and(|removed| removed < world.pushing_since()) {
                let seen = format!("a push to a token of {name} whose last registration was ended before");
                world.breaks(Invariant::PushesOnlyToRegistered, seen);
            }
        }
    }
}
