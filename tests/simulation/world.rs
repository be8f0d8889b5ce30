//! One world: its time, its chance, its cloud, what is known of it, and what it has written down.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dynoxide::Database;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use passloop_local::Doors;
use platform::apns::Apns;
use platform::outbound::Outbound;
use platform::{App, Config};
use tokio::time::Instant;

use crate::apns::Peer;
use crate::bucket::Bucket;
use crate::dice::Dice;
use crate::invariants::{Broken, Invariant};
use crate::invocation::{CURRENT, Invocation, Release, Side};
use crate::ledger::Ledger;
use crate::listener::Listener;
use crate::logs::Logs;
use crate::queues::{Messages, Queue};
use crate::weather::Weather;
use crate::wire::Wire;

/// The table's and the bucket's name.
pub(crate) const TABLE: &str = "passloop";
/// What every pass names as its service.
pub(crate) const PUBLIC_URL: &str = "https://passes.simulated";
/// How long API Gateway's functions may run (template.yaml, `Globals`).
const DOOR_TIMEOUT: Duration = Duration::from_secs(20);
/// Processes that wait for work. More at once are started as they are needed.
const WAITING_PROCESSES: usize = 4;

/// A future that borrows nothing.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A process of some function: an `App` with a clock of its own.
struct Process {
    app: Arc<App>,
    release: Release,
    skew: SignedDuration,
}

/// One world.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) database: Database,
    pub(crate) bucket: Bucket,
    pub(crate) apns: Peer,
    pub(crate) listener: Listener,
    pub(crate) logs: Logs,
    doors: &'static Doors,
    identities: PathBuf,
    seed: u64,
    began: Instant,
    epoch: Timestamp,
    weather: Mutex<Weather>,
    climate: Mutex<Weather>,
    push: Messages,
    follow_up: Messages,
    webhook: Messages,
    batch: Messages,
    processes: Mutex<Vec<Process>>,
    processes_made: AtomicU64,
    running: Mutex<BTreeMap<u64, (Arc<Invocation>, Instant)>>,
    invocations: AtomicU64,
    busy: Arc<AtomicUsize>,
    ledger: Mutex<Ledger>,
    trace: Mutex<Vec<String>>,
    broken: Mutex<Option<Broken>>,
}

/// Something is under way as long as this lives.
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a mutex guards, whoever panicked with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// A world with nothing in it, in fair weather.
    pub(crate) fn new(seed: u64, doors: &'static Doors, identities: PathBuf) -> Arc<World> {
        Arc::new_cyclic(|this| World {
            dice: Dice::new(seed),
            database: Database::memory().expect("an embedded DynamoDB"),
            bucket: Bucket::default(),
            apns: Peer::new(this.clone()),
            listener: Listener::new(this.clone()),
            logs: Logs::default(),
            doors,
            identities,
            seed,
            began: Instant::now(),
            epoch: "2030-03-01T12:00:00Z".parse().expect("a time"),
            weather: Mutex::new(Weather::calm()),
            climate: Mutex::new(Weather::calm()),
            push: Messages::default(),
            follow_up: Messages::default(),
            webhook: Messages::default(),
            batch: Messages::default(),
            processes: Mutex::default(),
            processes_made: AtomicU64::new(0),
            running: Mutex::default(),
            invocations: AtomicU64::new(0),
            busy: Arc::default(),
            ledger: Mutex::default(),
            trace: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// The true time.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).expect("a short time");
        self.epoch + passed
    }

    pub(crate) fn weather(&self) -> Weather {
        lock(&self.weather).clone()
    }

    /// The weather of the run begins.
    pub(crate) fn begin(&self, climate: Weather) {
        self.note("weather", || format!("{climate:?}"));
        *lock(&self.weather) = climate.clone();
        *lock(&self.climate) = climate;
    }

    /// From now on nothing goes wrong any more. What went wrong before may still have consequences.
    pub(crate) fn clear_up(&self) {
        self.note("weather", || "clears up".to_owned());
        *lock(&self.weather) = Weather::calm();
        self.listener.comes_back();
    }

    /// The weather is as it was at its worst.
    pub(crate) fn storms_again(&self) {
        self.note("weather", || "is bad again".to_owned());
        *lock(&self.weather) = self.climate();
    }

    /// What the weather was at its worst.
    pub(crate) fn climate(&self) -> Weather {
        lock(&self.climate).clone()
    }

    pub(crate) fn queue(&self, queue: Queue) -> &Messages {
        match queue {
            Queue::Push => &self.push,
            Queue::FollowUp => &self.follow_up,
            Queue::Webhook => &self.webhook,
            Queue::Batch => &self.batch,
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Some milliseconds pass.
    pub(crate) async fn pause(&self, from: u64, to: u64) {
        tokio::time::sleep(Duration::from_millis(self.dice.between(from, to))).await;
    }

    /// The way of one request or answer through the network. Whoever has many slow ones may run out of time.
    pub(crate) async fn latency(&self) {
        if self.dice.chance(self.weather().slow) {
            CURRENT.try_with(|invocation| invocation.disturb()).ok();
            self.pause(500, 4_000).await;
        } else {
            self.pause(0, 30).await;
        }
    }

    /// Counts as something under way until it is dropped.
    pub(crate) fn busy(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.busy))
    }

    /// Whether nothing is under way and no message waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.load(Ordering::Relaxed) == 0 && Queue::ALL.iter().all(|queue| self.queue(*queue).len() == 0)
    }

    /// Writes into the trace.
    pub(crate) fn note(&self, who: &str, what: impl FnOnce() -> String) {
        let line = format!("{} {who}: {}", self.now().strftime("%d %H:%M:%S%.3f"), what());
        lock(&self.trace).push(line);
    }

    /// The trace so far.
    pub(crate) fn trace(&self) -> Vec<String> {
        lock(&self.trace).clone()
    }

    /// An invariant does not hold. The first one is what the run is judged by.
    pub(crate) fn breaks(&self, invariant: Invariant, seen: impl Into<String>) {
        let seen = seen.into();
        self.note("BROKEN", || format!("{invariant:?}: {seen}"));
        lock(&self.broken).get_or_insert(Broken { invariant, seen });
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        lock(&self.broken).clone()
    }

    pub(crate) fn failed_without_reason(&self, seen: &str) {
        self.breaks(Invariant::FailsOnlyForAReason, seen);
    }

    /// Everything that runs and talks to APNs was disturbed by it.
    pub(crate) fn disturb_pushing(&self) {
        let running = lock(&self.running);
        running.values().filter(|(run, _)| run.function == "push-updates").for_each(|(run, _)| run.disturb());
    }

    /// When the earliest push worker that still runs began; now, if none does.
    pub(crate) fn pushing_since(&self) -> Instant {
        let running = lock(&self.running);
        let pushing = running.values().filter(|(run, _)| run.function == "push-updates").map(|(_, began)| *began);
        pushing.min().unwrap_or_else(Instant::now)
    }

    /// A request to the service, through the whole of it. `None`: no answer came, and nobody knows what took effect.
    pub(crate) async fn call(self: &Arc<World>, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let weather = self.weather();
        self.latency().await;
        if self.dice.chance(weather.request_lost) {
            self.note("network", || "a request is lost".to_owned());
            return None;
        }
        let doors = self.doors;
        let function = doors.behind(request.method(), request.uri().path()).unwrap_or("no function");
        let what = format!("{} {}", request.method(), request.uri().path());
        let id = format!("request-{}", self.invocations.load(Ordering::Relaxed) + 1);
        let run = self.run(function, DOOR_TIMEOUT, move |app, now| {
            Box::pin(async move { doors.answer(&app, request, &id, now).await })
        });
        let (answer, invocation) = run.await?;
        if answer.status().is_server_error() && !invocation.may_fail() {
            self.failed_without_reason(&format!("{what} answered {}", answer.status()));
        }
        if (invocation.may_fail() || invocation.is_write_missing()) && function == "send-updated-pass" {
            // It may not have noted that this version was fetched, and says so in its log: then it is listed once more.
            self.ledger().fetch_not_noted(what.rsplit('/').next().unwrap_or_default());
        }
        if self.dice.chance(weather.answer_lost) {
            self.note("network", || format!("the answer to {what} is lost ({})", answer.status()));
            return None;
        }
        self.latency().await;
        Some(answer)
    }

    /// Runs a function in some process. `None`: it died. Besides what it answered: what failed around it.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<World>,
        function: &'static str,
        timeout: Duration,
        work: impl FnOnce(Arc<App>, Timestamp) -> Boxed<T>,
    ) -> Option<(T, Arc<Invocation>)> {
        let weather = self.weather();
        let crash = self.dice.chance(weather.crash);
        // Most runs make a few calls; a sweep, or a worker with many messages, makes dozens.
        let last = *self.dice.pick(&[4, 8, 40]);
        let crash_at =
            crash.then(|| (self.dice.between(1, last) as u32, *self.dice.pick(&[Side::Before, Side::After])));
        let number = self.invocations.fetch_add(1, Ordering::Relaxed) + 1;
        let process = self.process(&weather);
        let invocation = Arc::new(Invocation::new(number, function, process.release, crash_at));
        let now = self.now() + process.skew;
        let work = work(Arc::clone(&process.app), now);
        lock(&self.running).insert(number, (Arc::clone(&invocation), Instant::now()));
        let run = CURRENT.scope(Arc::clone(&invocation), tokio::time::timeout(timeout, work));
        let outcome = tokio::select! {
            biased;
            () = invocation.death() => None,
            outcome = run => Some(outcome),
        };
        lock(&self.running).remove(&number);
        match outcome {
            None => None,
            Some(Err(_elapsed)) => {
                self.note("crash", || format!("#{number} {function} ran out of time"));
                if !invocation.is_disturbed() {
                    self.failed_without_reason(&format!("{function} ran out of time"));
                }
                None
            }
            Some(Ok(answer)) => {
                let mut waiting = lock(&self.processes);
                if waiting.len() < WAITING_PROCESSES {
                    waiting.push(process);
                }
                Some((answer, invocation))
            }
        }
    }

    fn process(&self, weather: &Weather) -> Process {
        let waiting = {
            let mut waiting = lock(&self.processes);
            let places: Vec<usize> = (0..waiting.len()).collect();
            (!places.is_empty()).then(|| waiting.swap_remove(*self.dice.pick(&places)))
        };
        let mut process = match waiting.filter(|_| !self.dice.chance(weather.fresh_process)) {
            Some(process) => process,
            None => {
                let next = self.dice.chance(weather.next_release);
                let release = if next { Release::Next } else { Release::Present };
                Process { app: self.app(), release, skew: SignedDuration::ZERO }
            }
        };
        // A clock is set now and then, also back.
        if weather.skew == 0 {
            process.skew = SignedDuration::ZERO;
        } else if process.skew.is_zero() || self.dice.chance(0.1) {
            let skew = self.dice.between(0, 2 * weather.skew) as i64 - weather.skew as i64;
            process.skew = SignedDuration::from_millis(skew);
        }
        process
    }

    /// The network between functions and AWS.
    pub(crate) fn wire(&self) -> Wire {
        Wire(self.apns.world())
    }

    /// A fresh process.
    pub(crate) fn app(&self) -> Arc<App> {
        // The SDK counts retries in one budget for each region and process; a process of its own has a budget of its own.
        let number = self.processes_made.fetch_add(1, Ordering::Relaxed);
        let region = format!("simulated-{}-{number}", self.seed);
        let identities = format!("file:{}", self.identities.display());
        let config = Config::from_variables(|name| {
            let value = match name {
                "TABLE_NAME" => TABLE,
                "BUCKET_NAME" => "packages",
                "PUSH_QUEUE_URL" => Queue::Push.url(),
                "FOLLOW_UP_QUEUE_URL" => Queue::FollowUp.url(),
                "WEBHOOK_QUEUE_URL" => Queue::Webhook.url(),
                "BATCH_QUEUE_URL" => Queue::Batch.url(),
                "PUBLIC_URL" => PUBLIC_URL,
                "SIGNING_IDENTITIES" => &identities,
                "AWS_REGION" => &region,
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "simulated",
                "AWS_ENDPOINT_URL_DYNAMODB" => "http://dynamodb.simulated",
                "AWS_ENDPOINT_URL_S3" => "http://s3.simulated",
                "AWS_ENDPOINT_URL_SQS" => "http://sqs.simulated",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let config = config.expect("good variables");
        let sdk = platform::app::sdk_config(&config.aws).into_builder();
        let sdk = sdk.http_client(self.wire()).build();
        let apns = Apns::over(&config.apns_endpoint, self.apns.dial()).expect("APNs");
        let outbound = Outbound::over(self.listener.dial());
        Arc::new(App::new(config, &sdk).with_apns(apns).with_outbound(outbound))
    }
}
