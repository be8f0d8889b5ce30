//! A phone and its Wallet, as reference 1.3 to 1.7 describe them: it retries, rotates its tokens, sleeps, is restored from
//! a backup, and would report what it does not like.

mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use passloop_tests::back_office::PASS_TYPE;
use serde_json::json;
use tokio::time::Instant;

use crate::invariants::Invariant;
use crate::wallet::Package;
use crate::world::{World, lock};

pub(crate) use self::web::request;

/// iOS reports "unchanged" and "spurious" only when the last change is at least this old (reference 1.6).
const REPORTED_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// With nothing in the way: a second for the queue, three for APNs, and some for what the phone is doing (`world.pause`).
const TOLD_WITHIN: SignedDuration = SignedDuration::from_secs(10);

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
    /// When it got this version, which may look like the one before.
    renewed_at: Timestamp,
    registered_at: Timestamp,
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
    /// When it last said that it wants to hear no more of a pass: a push may have been on its way.
    left_at: Option<Timestamp>,
}

/// A phone.
pub(crate) struct Phone {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    world: Weak<World>,
    pub(crate) contents: tokio::sync::Mutex<Contents>,
    awake: AtomicBool,
    /// Since when, the last time.
    awake_since: Mutex<Timestamp>,
    /// When it asked for which pass, and was answered.
    asked: Mutex<Vec<(String, Timestamp)>>,
    /// APNs keeps one push for a phone that is off (reference 2.2).
    kept_push: AtomicBool,
    /// APNs lost pushes that nobody makes up for: the phone asks by itself some day (reference 1.4, "reboot").
    missed: AtomicBool,
    /// APNs lost a push, which comes again as long as nobody fetches what it was about.
    waits_for_reminder: AtomicBool,
    /// It waited until no reminder could come any more.
    waited_for_reminder: AtomicBool,
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
        let contents = Contents { device, token, tag: None, wallet, leaving, to_fetch, to_list: false, left_at: None };
        let phone = Arc::new(Phone {
            name,
            kind,
            world: Arc::downgrade(world),
            contents: tokio::sync::Mutex::new(contents.clone()),
            awake: AtomicBool::new(true),
            awake_since: Mutex::new(world.now()),
            asked: Mutex::default(),
            kept_push: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            waits_for_reminder: AtomicBool::new(false),
            waited_for_reminder: AtomicBool::new(false),
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

    /// A push will not come, nor come again.
    pub(crate) fn missed_a_push(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }

    /// APNs lost a push that it had accepted.
    pub(crate) fn needs_a_reminder(&self) {
        self.waits_for_reminder.store(true, Ordering::Relaxed);
    }

    /// No reminder will come any more. It came, unless another phone with the same pass fetched what this one was to be told of.
    pub(crate) async fn was_reminded(&self) {
        if self.waits_for_reminder.swap(false, Ordering::Relaxed) {
            let world = self.world();
            let contents = self.contents.lock().await;
            match contents.wallet.keys().any(|serial| world.ledger().is_shared(serial)) {
                true => self.missed_a_push(),
                false => {
                    self.waited_for_reminder.store(true, Ordering::Relaxed);
                    world.note(&self.name, || "relies on reminders".to_owned());
                }
            }
        }
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
        if !self.awake.swap(true, Ordering::Relaxed) {
            *lock(&self.awake_since) = self.world().now();
        }
        let kept = self.kept_push.swap(false, Ordering::Relaxed);
        let missed = self.missed.swap(false, Ordering::Relaxed);
        let mut contents = self.contents.lock().await;
        // Nobody pushes to Android: it asks.
        contents.to_list |= kept || missed || self.kind == Kind::Android;
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
            let is_old = |at: Timestamp| world.now().duration_since(at) >= REPORTED_AFTER;
            let old_tag = before.is_some_and(|tag| is_old(tag.received_at));
            let nobody_left = contents.left_at.is_none_or(is_old);
            if listed.is_some_and(|listed| listed.is_empty())
                && old_tag
                && nobody_left
                && !world.climate().repeats_pushes()
            {
                self.complains("Device received spurious push");
            }
            self.fetch_listed(&mut contents).await;
        }
    }

    /// The user adds a pass, by its link.
    pub(crate) async fn add(self: &Arc<Phone>, serial: &str, download: &str) {
        let mut contents = self.contents.lock().await;
        let request = request(Method::GET, download, &[], None);
        let begun = Instant::now();
        let Some(answer) = self.persist("download", request, &[200]).await else { return };
        if self.world().ledger().link_died_at(download).is_some_and(|died| died < begun) {
            self.world().breaks(Invariant::NoLostWrite, format!("a dead link of {serial} opened: {download}"));
        }
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
        let carried = Carried {
            package,
            last_modified: None,
            changed_at,
            renewed_at: changed_at,
            registered_at: changed_at,
            is_registered: false,
            updates: true,
        };
        world.note(&self.name, || format!("adds {serial}"));
        world.ledger().carries(serial, &self.name);
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
        let carried = contents.wallet.get_mut(serial).expect("the pass");
        (carried.is_registered, carried.registered_at) = (true, world.now());
        let had_tag = contents.tag.is_some();
        contents.to_list = true;
        self.list(contents).await;
        if had_tag {
            // The tag may hide the new pass, so it is fetched besides, now or when that is possible.
            contents.to_fetch.insert(serial.to_owned());
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
        contents.left_at = Some(self.world().now());
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
        // The service hears of it in a moment; what is pushed until then goes nowhere.
        world.pause(0, 3_000).await;
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
        let says_so_after = Duration::from_secs(*world.dice.pick(&[0, 0, 600, 200_000]));
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

    /// At the very end: of each change of a pass that it had registered, awake and in fair weather, it was told in time.
    pub(crate) async fn was_told(&self, serial: &str, changes: &[Timestamp]) {
        let (world, contents) = (self.world(), self.contents.lock().await);
        let Some(carried) = contents.wallet.get(serial).filter(|carried| carried.is_registered) else { return };
        if self.kind == Kind::Android || !world.climate().is_calm() {
            return;
        }
        let since = carried.registered_at.max(*lock(&self.awake_since));
        let asked = lock(&self.asked).clone();
        for change in changes.iter().filter(|change| **change > since) {
            let in_time = |at: Timestamp| at > *change && at < *change + TOLD_WITHIN;
            if !asked.iter().any(|(asked, at)| asked == serial && in_time(*at)) {
                let seen = format!("{} did not ask for {serial} when it changed at {change}", self.name);
                world.breaks(Invariant::InTime, seen);
            }
            world.note(&self.name, || "was told in time".to_owned());
        }
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
        let Some(tag) = contents.tag.clone().filter(|_| !registered.is_empty()) else { return };
        // Who pulled down what a lost push was about needs no reminder, and the tag does not know what it pulled: the next
        // listing names it, whenever that is. Nobody can tell whose fetch it was (reference 1.3 G names no device).
        let pulled_instead = |contents: &Contents, serial: &str| {
            let carried = contents.wallet.get(serial);
            self.waited_for_reminder.load(Ordering::Relaxed) && carried.is_some_and(|it| it.renewed_at >= tag.asked_at)
        };
        let before: Vec<Vec<u8>> =
            registered.iter().map(|serial| contents.wallet[serial].package.manifest.clone()).collect();
        let listed = self.list(&mut contents).await;
        if listed.is_none_or(|listed| listed.iter().any(|serial| !pulled_instead(&contents, serial))) {
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

    fn complains(&self, text: &str) {
        self.world().breaks(Invariant::NoComplaint, format!("{} reports: {text}", self.name));
    }
}
