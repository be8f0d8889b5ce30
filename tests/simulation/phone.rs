//! A phone and its Wallet, as reference 1.3 to 1.7 describe them: it retries, rotates its tokens, sleeps, is restored from
//! a backup, and would report what it does not like.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use jiff::{SignedDuration, Timestamp};
use passloop_tests::back_office::PASS_TYPE;
use serde_json::{Value, json};

use crate::invariants::Invariant;
use crate::wallet::Package;
use crate::world::{PUBLIC_URL, World};

/// iOS reports "unchanged" and "spurious" only when the last change is at least this old (reference 1.6).
const REPORTED_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Attempts of one task before the phone gives up (reference 1.5: ten levels of back-off).
const ATTEMPTS: u32 = 10;

/// Whose phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Apple,
    /// WalletPasses on Android (reference 7): the same calls under another scheme, and no push from Apple.
    Android,
}

/// A pass in a Wallet.
#[derive(Clone)]
pub(crate) struct Carried {
    pub(crate) package: Package,
    /// Kept and sent back verbatim.
    pub(crate) last_modified: Option<String>,
    changed_at: Timestamp,
    /// Automatic updates are on, and the service knows.
    pub(crate) is_registered: bool,
    /// Automatic updates are on.
    pub(crate) updates: bool,
}

#[derive(Clone)]
struct Tag {
    text: String,
    received_at: Timestamp,
    /// When the phone last asked with success: what it held then, the tag knows.
    asked_at: Timestamp,
}

/// What is on the phone.
#[derive(Clone)]
pub(crate) struct Contents {
    pub(crate) device: String,
    token: String,
    tag: Option<Tag>,
    pub(crate) wallet: BTreeMap<String, Carried>,
    /// Serial numbers that the phone no longer wants to hear of, and has not yet been heard about.
    leaving: BTreeSet<String>,
    /// Listed, and not fetched yet: kept until it is (reference 1.5: the queue persists).
    to_fetch: BTreeSet<String>,
    /// A listing is due.
    to_list: bool,
}

/// A phone.
pub(crate) struct Phone {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    world: Weak<World>,
    pub(crate) contents: tokio::sync::Mutex<Contents>,
    awake: AtomicBool,
    /// APNs keeps one push for a phone that is off (reference 2.2).
    kept_push: AtomicBool,
    /// APNs lost a push: the phone asks by itself some day (reference 1.4, "reboot").
    missed: AtomicBool,
}

/// Why a pass is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The service listed it, asked with this tag.
    Listed {
        known_at: Timestamp,
    },
    Other,
}

impl Phone {
    /// A phone with an empty Wallet.
    pub(crate) fn new(world: &Arc<World>, name: String, kind: Kind) -> Arc<Phone> {
        let (device, token) = (world.dice.hexadecimal(32), world.dice.hexadecimal(64));
        let (wallet, leaving, to_fetch) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let contents = Contents { device, token, tag: None, wallet, leaving, to_fetch, to_list: false };
        let phone = Arc::new(Phone {
            name,
            kind,
            world: Arc::downgrade(world),
            contents: tokio::sync::Mutex::new(contents.clone()),
            awake: AtomicBool::new(true),
            kept_push: AtomicBool::new(false),
            missed: AtomicBool::new(false),
        });
        phone.owns(world, &contents);
        phone
    }

    fn owns(self: &Arc<Phone>, world: &World, contents: &Contents) {
        world.apns.listens(&contents.token, self);
        let mut ledger = world.ledger();
        ledger.secret("push token", &contents.token);
        ledger.secret("device library identifier", &contents.device);
    }

    fn world(&self) -> Arc<World> {
        self.world.upgrade().expect("a world around the phone")
    }

    /// APNs lost a push that it had accepted.
    pub(crate) fn missed_a_push(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_awake(&self) -> bool {
        self.awake.load(Ordering::Relaxed)
    }

    /// The battery is empty.
    pub(crate) fn sleep(&self) {
        self.awake.store(false, Ordering::Relaxed);
    }

    /// It is charged again: what APNs kept comes, and what it had begun goes on.
    pub(crate) async fn wake(self: &Arc<Phone>) {
        self.awake.store(true, Ordering::Relaxed);
        let kept = self.kept_push.swap(false, Ordering::Relaxed);
        let missed = self.missed.swap(false, Ordering::Relaxed);
        let mut contents = self.contents.lock().await;
        contents.to_list |= kept || missed;
        self.go_on(&mut contents).await;
    }

    /// Something came for this token.
    pub(crate) async fn pushed(self: &Arc<Phone>, token: &str) {
        if !self.is_awake() {
            self.kept_push.store(true, Ordering::Relaxed);
            return;
        }
        let mut contents = self.contents.lock().await;
        // A push for a token that the phone has given up reaches nobody.
        if contents.token == token && contents.wallet.values().any(|carried| carried.updates) {
            let before = contents.tag.clone();
            let listed = self.list(&mut contents).await;
            let world = self.world();
            let is_old = |tag: &Tag| world.now().duration_since(tag.received_at) >= REPORTED_AFTER;
            if listed == Some(0) && before.as_ref().is_some_and(is_old) && !world.climate().repeats_pushes() {
                self.complains("Device received spurious push");
            }
            self.fetch_listed(&mut contents).await;
        }
    }

    /// The user adds a pass, by its link.
    pub(crate) async fn add(self: &Arc<Phone>, serial: &str, download: &str) {
        let mut contents = self.contents.lock().await;
        let request = request(Method::GET, download, &[], None);
        let Some(answer) = self.persist("download", request, &[200]).await else { return };
        match Package::open(answer.body()) {
            Ok(package) => self.install(&mut contents, serial, package).await,
            Err(problem) => self.complains(&format!("Received invalid pass data ({problem})")),
        }
    }

    /// The user adds a pass that somebody sent them, as old as it may be.
    pub(crate) async fn add_shared(self: &Arc<Phone>, serial: &str, package: Package) {
        let mut contents = self.contents.lock().await;
        self.install(&mut contents, serial, package).await;
    }

    async fn install(self: &Arc<Phone>, contents: &mut Contents, serial: &str, package: Package) {
        let world = self.world();
        {
            let mut ledger = world.ledger();
            ledger.secret("authentication token", package.text("authenticationToken"));
            if let Some(barcode) = package.barcode() {
                ledger.secret("barcode", barcode);
            }
        }
        let changed_at = world.now();
        let carried = Carried { package, last_modified: None, changed_at, is_registered: false, updates: true };
        world.note(&self.name, || format!("adds {serial}"));
        contents.wallet.insert(serial.to_owned(), carried);
        contents.leaving.remove(serial);
        self.register(contents, serial).await;
    }

    /// R, and what follows its success (reference 1.4).
    async fn register(self: &Arc<Phone>, contents: &mut Contents, serial: &str) {
        let world = self.world();
        let carried = &contents.wallet[serial];
        let path = format!("/v1/devices/{}/registrations/{PASS_TYPE}/{serial}", contents.device);
        let headers = [("authorization", self.authorization(&carried.package))];
        let body = json!({ "pushToken": contents.token }).to_string();
        let begun = world.now();
        world.ledger().registers(&contents.device, serial, &contents.token, begun);
        let request = request(Method::POST, &path, &headers, Some(body));
        if self.persist("register", request, &[200, 201]).await.is_none() {
            return;
        }
        world.note(&self.name, || format!("is registered for {serial}"));
        world.ledger().is_registered(&contents.device, serial, &contents.token, begun);
        contents.wallet.get_mut(serial).expect("the pass").is_registered = true;
        let had_tag = contents.tag.is_some();
        contents.to_list = true;
        self.list(contents).await;
        if had_tag {
            // The tag may hide the new pass, so it is fetched besides.
            contents.to_fetch.remove(serial);
            self.fetch(contents, serial, Cause::Other).await;
        }
        self.fetch_listed(contents).await;
    }

    /// The user deletes a pass: U, some day.
    pub(crate) async fn delete(self: &Arc<Phone>, serial: &str) {
        let mut contents = self.contents.lock().await;
        let Some(carried) = contents.wallet.remove(serial) else { return };
        self.world().note(&self.name, || format!("deletes {serial}"));
        contents.to_fetch.remove(serial);
        if carried.updates {
            self.unregister(&mut contents, serial, &carried.package).await;
        }
    }

    /// The user switches automatic updates off or on.
    pub(crate) async fn switch_updates(self: &Arc<Phone>, serial: &str) {
        let mut contents = self.contents.lock().await;
        let Some(carried) = contents.wallet.get_mut(serial) else { return };
        carried.updates = !carried.updates;
        let (updates, package) = (carried.updates, carried.package.clone());
        self.world().note(&self.name, || format!("switches updates of {serial}: {updates}"));
        if updates {
            contents.leaving.remove(serial);
            self.register(&mut contents, serial).await;
        } else {
            carried.is_registered = false;
            contents.to_fetch.remove(serial);
            self.unregister(&mut contents, serial, &package).await;
        }
    }

    async fn unregister(self: &Arc<Phone>, contents: &mut Contents, serial: &str, package: &Package) {
        contents.leaving.insert(serial.to_owned());
        let path = format!("/v1/devices/{}/registrations/{PASS_TYPE}/{serial}", contents.device);
        let request = request(Method::DELETE, &path, &[("authorization", self.authorization(package))], None);
        if self.persist("unregister", request, &[200, 201]).await.is_some() {
            self.world().ledger().is_unregistered(&contents.device, serial);
            contents.leaving.remove(serial);
        }
    }

    /// iOS gives the phone another push token, commonly with another device id; the old one is not unregistered (1.4).
    pub(crate) async fn rotate(self: &Arc<Phone>) {
        let world = self.world();
        let mut contents = self.contents.lock().await;
        self.lose_token(&contents);
        contents.token = world.dice.hexadecimal(64);
        if world.dice.chance(0.7) {
            contents.device = world.dice.hexadecimal(32);
            contents.leaving.clear();
        }
        world.note(&self.name, || "has another push token".to_owned());
        self.owns(&world, &contents);
        self.register_all(&mut contents).await;
    }

    /// The phone is replaced by one that is restored from this backup, under a device id and a token of its own.
    pub(crate) async fn restore(self: &Arc<Phone>, backup: Contents) {
        let world = self.world();
        let mut contents = self.contents.lock().await;
        self.lose_token(&contents);
        *contents = backup;
        contents.device = world.dice.hexadecimal(32);
        contents.token = world.dice.hexadecimal(64);
        contents.leaving.clear();
        world.note(&self.name, || "is restored from a backup".to_owned());
        self.owns(&world, &contents);
        self.register_all(&mut contents).await;
    }

    fn lose_token(&self, contents: &Contents) {
        let world = self.world();
        let says_so_after = Duration::from_secs(world.dice.between(0, 200_000));
        world.apns.is_gone(&contents.token, world.now(), says_so_after);
    }

    async fn register_all(self: &Arc<Phone>, contents: &mut Contents) {
        let updated = contents.wallet.iter_mut().filter(|(_, carried)| carried.updates);
        let serials: Vec<String> = updated
            .map(|(serial, carried)| {
                carried.is_registered = false;
                serial.clone()
            })
            .collect();
        for serial in serials {
            self.register(contents, &serial).await;
        }
    }

    /// The user pulls the back of a pass down: G only.
    pub(crate) async fn pull(self: &Arc<Phone>, serial: &str) {
        let mut contents = self.contents.lock().await;
        if contents.wallet.contains_key(serial) {
            self.fetch(&mut contents, serial, Cause::Other).await;
        }
    }

    /// Goes on with what it had begun and could not finish.
    pub(crate) async fn go_on(self: &Arc<Phone>, contents: &mut Contents) {
        let unregistered = contents.wallet.iter().filter(|(_, carried)| carried.updates && !carried.is_registered);
        let serials: Vec<String> = unregistered.map(|(serial, _)| serial.clone()).collect();
        for serial in serials {
            self.register(contents, &serial).await;
        }
        if contents.to_list {
            self.list(contents).await;
        }
        self.fetch_listed(contents).await;
    }

    /// At the very end: nothing is listed any more, and nothing is newer than what it has.
    pub(crate) async fn is_content(self: &Arc<Phone>) {
        let mut contents = self.contents.lock().await;
        let registered: Vec<String> = contents
            .wallet
            .iter()
            .filter(|(_, carried)| carried.is_registered)
            .map(|(serial, _)| serial.clone())
            .collect();
        if registered.is_empty() || contents.tag.is_none() {
            return;
        }
        let before: Vec<Vec<u8>> =
            registered.iter().map(|serial| contents.wallet[serial].package.manifest.clone()).collect();
        let listed = self.list(&mut contents).await;
        if listed != Some(0) {
            let world = self.world();
            if registered.iter().all(|serial| world.ledger().every_fetch_is_noted(serial)) {
                self.complains("passes are listed although nothing changed");
            }
        }
        for (serial, before) in registered.iter().zip(before) {
            self.fetch(&mut contents, serial, Cause::Other).await;
            if contents.wallet[serial].package.manifest != before {
                self.world().breaks(Invariant::NewestVersion, format!("{} learned of {serial} by chance", self.name));
            }
        }
    }

    /// L with the kept tag. How many serial numbers were named; `None`: the phone could not ask.
    async fn list(self: &Arc<Phone>, contents: &mut Contents) -> Option<usize> {
        let world = self.world();
        let tag = contents.tag.clone();
        let query = tag.as_ref().map(|tag| format!("?passesUpdatedSince={}", tag.text)).unwrap_or_default();
        let path = format!("/v1/devices/{}/registrations/{PASS_TYPE}{query}", contents.device);
        let asked_at = world.now();
        let answer = self.persist("list", request(Method::GET, &path, &[], None), &[200, 204]).await?;
        contents.to_list = false;
        if answer.status() == 204 {
            if let Some(tag) = &mut contents.tag {
                tag.asked_at = asked_at;
            }
            return Some(0);
        }
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let (Some(serials), Some(fresh)) = (body["serialNumbers"].as_array(), body["lastUpdated"].as_str()) else {
            self.complains(&format!("Server response was malformed: {body}"));
            return Some(0);
        };
        let serials: Vec<&str> = serials.iter().filter_map(Value::as_str).collect();
        world.note(&self.name, || format!("is told of {serials:?}"));
        if tag.as_ref().is_some_and(|tag| tag.text == fresh) && !serials.is_empty() {
            self.complains(
                "Response to 'What changed?' included serial numbers but the lastUpdated tag remained the same",
            );
        }
        for serial in &serials {
            match contents.wallet.get(*serial) {
                Some(carried) if carried.updates => {
                    contents.to_fetch.insert((*serial).to_owned());
                }
                Some(_) | None if contents.leaving.contains(*serial) => {}
                Some(_) | None => {
                    self.complains(&format!("Update requested for unregistered serial number {serial}"));
                }
            }
        }
        // What was unchanged since before the last listing, the tag knew.
        let known_at = tag.as_ref().map(|tag| tag.asked_at);
        let named = serials.len();
        contents.tag = Some(Tag { text: fresh.to_owned(), received_at: world.now(), asked_at });
        for serial in contents.to_fetch.clone() {
            let cause = known_at.map_or(Cause::Other, |known_at| Cause::Listed { known_at });
            self.fetch(contents, &serial, cause).await;
        }
        Some(named)
    }

    /// What was listed earlier, and could not be fetched then.
    async fn fetch_listed(self: &Arc<Phone>, contents: &mut Contents) {
        for serial in contents.to_fetch.clone() {
            self.fetch(contents, &serial, Cause::Other).await;
        }
    }

    /// G, and what a phone makes of the answer (reference 1.3 G, 1.6).
    async fn fetch(self: &Arc<Phone>, contents: &mut Contents, serial: &str, cause: Cause) {
        let world = self.world();
        let Some(carried) = contents.wallet.get(serial) else { return };
        let since = carried.last_modified.clone();
        let mut headers = vec![("authorization", self.authorization(&carried.package))];
        headers.extend(since.clone().map(|since| ("if-modified-since", since)));
        let path = format!("/v1/passes/{PASS_TYPE}/{serial}");
        let (begun, newest) = (tokio::time::Instant::now(), world.ledger().newest(serial));
        let Some(answer) = self.persist("get", request(Method::GET, &path, &headers, None), &[200, 304]).await else {
            return;
        };
        contents.to_fetch.remove(serial);
        let carried = contents.wallet.get_mut(serial).expect("the pass");
        let Some(date) = header(&answer, "last-modified") else {
            return self.complains("Server returned the pass data but did not provide a 'last-modified' header");
        };
        let seconds = httpdate::parse_http_date(&date).ok().and_then(|date| Timestamp::try_from(date).ok());
        let Some(seconds) = seconds.map(Timestamp::as_second) else {
            return self.complains(&format!("Last-Modified is no date: {date}"));
        };
        if seconds < newest {
            let seen = format!("{serial} with the date {seconds}, although {newest} was told before it was asked for");
            world.breaks(Invariant::OneDateOneManifest, seen);
        }
        world.ledger().told(serial, seconds);
        let unchanged_since_known = match cause {
            Cause::Listed { known_at } => carried.changed_at < known_at,
            Cause::Other => false,
        };
        let is_old = world.now().duration_since(carried.changed_at) >= REPORTED_AFTER;
        let reports_unchanged = unchanged_since_known && is_old && world.ledger().every_fetch_is_noted(serial);
        let unchanged = format!("Server requested update to serial number '{serial}', but the pass was unchanged");
        if answer.status() == 304 {
            if since.as_deref() != Some(date.as_str()) {
                world.breaks(Invariant::NotModified, format!("304 with {date} to a phone that holds {since:?}"));
            }
            if let Some(problem) = world.ledger().sent(serial, seconds, &carried.package.manifest) {
                world.breaks(Invariant::NotModified, format!("304 to a phone with another manifest: {problem}"));
            }
            if reports_unchanged {
                self.complains(&unchanged);
            }
            return;
        }
        let package = match Package::open(answer.body()) {
            Ok(package) => package,
            Err(problem) => return self.complains(&format!("Received invalid pass data ({problem})")),
        };
        if package.text("serialNumber") != serial || package.text("passTypeIdentifier") != PASS_TYPE {
            self.complains(&format!("Requested serial number {serial}, received {}", package.text("serialNumber")));
        }
        if package.text("authenticationToken") != carried.package.text("authenticationToken") {
            self.complains("an update changed the authentication token");
        }
        if let Some(problem) = world.ledger().sent(serial, seconds, &package.manifest) {
            world.breaks(Invariant::OneDateOneManifest, problem);
        }
        if let Some(barcode) = package.barcode() {
            world.ledger().secret("barcode", barcode);
            let burnt = world.ledger().burnt_at(barcode);
            if burnt.is_some_and(|burnt| burnt < begun) {
                let seen = format!("{} fetched {serial} with a barcode that was used before it asked", self.name);
                world.breaks(Invariant::NoLostWrite, seen);
            }
        }
        if package.manifest == carried.package.manifest {
            if since.is_some() {
                self.complains(
                    "Server ignored the 'if-modified-since' header and returned the full unchanged pass data",
                );
            } else if reports_unchanged {
                self.complains(&unchanged);
            }
        } else {
            carried.changed_at = world.now();
            world.note(&self.name, || format!("shows {serial}, {date}"));
        }
        carried.last_modified = Some(date);
        carried.package = package;
    }

    /// Sends a request until it is answered as it should be (reference 1.5). `None`: the phone gives up for now.
    async fn persist(&self, task: &str, request: Request<Bytes>, good: &[u16]) -> Option<Response<Bytes>> {
        let world = self.world();
        for attempt in 0..ATTEMPTS {
            if let Some(answer) = world.call(request.clone()).await {
                let status = answer.status().as_u16();
                if good.contains(&status) {
                    return Some(answer);
                }
                match status {
                    401 => self.complains(&format!("{task}: Authentication failure")),
                    500.. => {}
                    _ => self.complains(&format!("{task}: Unexpected response code {status}")),
                }
            }
            let wait = 20_000 << attempt.min(5);
            world.pause(wait, wait + 20_000).await;
        }
        world.note(&self.name, || format!("gives up: {task}"));
        None
    }

    fn authorization(&self, package: &Package) -> String {
        let scheme = match self.kind {
            Kind::Apple => "ApplePass",
            Kind::Android => "AndroidPass",
        };
        format!("{scheme} {}", package.text("authenticationToken"))
    }

    fn complains(&self, text: &str) {
        self.world().breaks(Invariant::NoComplaint, format!("{} reports: {text}", self.name));
    }
}

/// A request to the service.
pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&'static str, String)],
    body: Option<String>,
) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(format!("{PUBLIC_URL}{path}"));
    request = request.header("host", "passes.simulated");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    request.body(Bytes::from(body.unwrap_or_default())).expect("a request")
}

/// A header of an answer.
pub(crate) fn header(answer: &Response<Bytes>, name: &str) -> Option<String> {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
