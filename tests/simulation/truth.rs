//! At the end, when everything has come to rest: what the service says, what phones show, and what was answered must be
//! one story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::dynamodb;
use crate::invariants::Invariant;
use crate::ledger::IssuedPass;
use crate::phone::{Phone, request};
use crate::scenario::named;
use crate::shop::{Limits, OFFERS, SHOWN_NUMBER, SOON, Shop};
use crate::wallet::Package;
use crate::world::{TABLE, World};

/// With nothing in the way, a message is worked within a second of its time.
const IN_TIME: SignedDuration = SignedDuration::from_secs(5);

/// Holds everything against everything. `replayed`: what had been given up was told again, so not in order.
pub(crate) async fn check(world: &Arc<World>, shop: &Shop, phones: &[Arc<Phone>], replayed: bool) {
    let issued = world.ledger().issued.clone();
    let mut counted = BTreeSet::new();
    let mut reversed = BTreeSet::new();
    let mut spent = Spent::default();
    let mut rests = Vec::new();
    for pass in &issued {
        let seen = shop.pass(&pass.serial).await;
        let history = shop.history(&pass.serial).await;
        let told = Story::read(world, shop, &pass.serial, &history);
        told.ends_as(world, &seen);
        listener_knows(world, shop, &pass.serial, &history, replayed);
        devices_came_and_went(world, &pass.serial, &history);
        counted.extend(told.redemptions.iter().cloned());
        reversed.extend(told.reversed.iter().cloned());
        told.uses.iter().for_each(|used| spent.count(used.offer, &pass.customer));
        match shop.newest(&pass.serial).await {
            Ok(package) => {
                content(world, &pass.serial, &package, &seen);
                for phone in phones {
                    shows(world, phone, &pass.serial, &package).await;
                    phone.was_told(&pass.serial, &told.changes).await;
                }
                rests.push((pass.clone(), told, package.barcode().map(str::to_owned)));
            }
            Err(why) => world.breaks(Invariant::NewestVersion, format!("no download of {}: {why}", pass.serial)),
        }
    }
    let dead = world.ledger().dead_links();
    for link in dead {
        let answer = world.call(request(Method::GET, &link, &[], None)).await;
        if answer.is_none_or(|answer| answer.status() != 404) {
            world.breaks(Invariant::NoLostWrite, format!("a dead link opens: {link}"));
        }
    }
    let answered: BTreeSet<String> = world.ledger().redeemed.keys().cloned().collect();
    for lost in answered.difference(&counted) {
        world.breaks(Invariant::NoLostWrite, format!("the redemption {lost} was answered, and is in no history"));
    }
    for unknown in counted.difference(&answered) {
        world.breaks(Invariant::CountsOnce, format!("the redemption {unknown} counted, and was answered to nobody"));
    }
    let taken_back: BTreeSet<String> = world.ledger().reversed.keys().cloned().collect();
    for lost in taken_back.difference(&reversed) {
        world.breaks(Invariant::NoLostWrite, format!("the reversal of {lost} was answered, and is in no history"));
    }
    if spent.exceeds(shop.limits()) {
        world.breaks(Invariant::CountsOnce, format!("{spent:?} count, of {:?}", shop.limits()));
    }
    let report = shop.report().await;
    world.note("report", || report.to_string());
    let tallies = [("issued", issued.len()), ("redeemed", counted.len()), ("reversed", reversed.len())];
    for (what, count) in tallies {
        if report[what] != count {
            world.breaks(Invariant::CountsOnce, format!("{count} were {what}, and the report says {report}"));
        }
    }
    for phone in phones {
        phone.is_content().await;
    }
    if world.broken().is_none() {
        for (pass, told, shown) in rests {
            scan(world, shop, &pass, &told, shown, &mut spent).await;
        }
    }
}

/// Whoever is registered came, and whoever is not never did, or went: one for one.
fn devices_came_and_went(world: &World, serial: &str, history: &[Value]) {
    let count = |kind: &str| history.iter().filter(|event| event["type"] == kind).count();
    let (came, went) = (count("registered"), count("unregistered"));
    let registered = dynamodb::registrations(&world.database, TABLE, serial);
    if came != went + registered {
        let seen = format!("{came} devices came to {serial}, {went} went, and {registered} are registered");
        world.breaks(Invariant::NoLostWrite, seen);
    }
}

/// What a webhook calls an event of a history, if it tells it (README, Webhooks).
fn told_as(event: &str) -> Option<&'static str> {
    Some(match event {
        "issued" => "pass.issued",
        "registered" => "pass.installed",
        "unregistered" => "pass.removed",
        "redeemed" => "pass.redeemed",
        "reversed" => "pass.reversed",
        "offer" => "pass.offer",
        "updated" => "pass.updated",
        "voided" => "pass.voided",
        "fetched" => "pass.delivered",
        _ => return None,
    })
}

/// The shop's own server was told what happened since its webhook was put: all of it, nothing else, changes in their order.
fn listener_knows(world: &World, shop: &Shop, serial: &str, history: &[Value], replayed: bool) {
    let Some(from) = shop.tells_from() else { return };
    let mut happened: BTreeMap<(Timestamp, u64, &str), i64> = BTreeMap::new();
    for event in history {
        let kind = told_as(event["type"].as_str().unwrap_or_default());
        if let (Some(kind), Some(at)) = (kind, at(event).filter(|at| *at >= from)) {
            *happened.entry((at, event["version"].as_u64().unwrap_or_default(), kind)).or_default() += 1;
        }
    }
    let all = world.listener.told(serial);
    let told: Vec<_> = all.iter().filter(|told| told.at >= from).collect();
    for told in &told {
        *happened.entry((told.at, told.version, &told.kind)).or_default() -= 1;
    }
    for (event, difference) in happened.iter().filter(|(_, difference)| **difference != 0) {
        let what = if *difference > 0 { "was not told" } else { "was told and did not happen" };
        world.breaks(Invariant::ToldInOrder, format!("{event:?} of {serial} {what}, since {from}"));
    }
    const CHANGES: [&str; 5] = ["pass.redeemed", "pass.reversed", "pass.offer", "pass.updated", "pass.voided"];
    let changes = told.iter().filter(|told| CHANGES.contains(&told.kind.as_str()));
    let versions: Vec<u64> = changes.map(|told| told.version).collect();
    if !replayed && !versions.is_sorted() {
        world.breaks(Invariant::ToldInOrder, format!("the changes of {serial} were told as {versions:?}"));
    }
}

/// How many redemptions count, by whom they are limited.
#[derive(Debug, Default)]
struct Spent {
    total: u64,
    tickets: u64,
    of_customers: BTreeMap<String, u64>,
}

impl Spent {
    fn count(&mut self, offer: usize, customer: &str) {
        self.total += 1;
        self.tickets += u64::from(OFFERS[offer].0 == "ticket");
        *self.of_customers.entry(customer.to_owned()).or_default() += 1;
    }

    fn exceeds(&self, limits: Limits) -> bool {
        let over = |limit: Option<u64>, count: u64| limit.is_some_and(|limit| count > limit);
        over(limits.total, self.total)
            || over(limits.ticket, self.tickets)
            || self.of_customers.values().any(|count| over(limits.customer, *count))
    }

    /// Whether one more would be too many.
    fn is_spent(&self, limits: Limits, offer: usize, customer: &str) -> bool {
        let is_spent = |limit: Option<u64>, count: u64| limit.is_some_and(|limit| count >= limit);
        is_spent(limits.total, self.total)
            || (OFFERS[offer].0 == "ticket" && is_spent(limits.ticket, self.tickets))
            || is_spent(limits.customer, self.of_customers.get(customer).copied().unwrap_or_default())
    }
}

/// What a pass shows is worth what it says: its barcode is redeemed, and what shows none is refused with the reason.
async fn scan(world: &World, shop: &Shop, pass: &IssuedPass, told: &Story, shown: Option<String>, spent: &mut Spent) {
    let expected = match (told.voided, told.finished) {
        (true, _) => "voided",
        (false, true) => "already_redeemed",
        (false, false) if spent.is_spent(shop.limits(), told.offer, &pass.customer) => "limit_reached",
        (false, false) => "redeemed",
    };
    let what = shown.map_or_else(|| named(&pass.serial), |barcode| json!({ "barcode": barcode }));
    let answered = shop.scan(&what).await;
    if answered == "redeemed" {
        spent.count(told.offer, &pass.customer);
    }
    if answered != expected {
        let seen = format!("{}, scanned at last, was answered {answered} and not {expected}: {told:?}", pass.serial);
        world.breaks(Invariant::RefusedForAReason, seen);
    }
}

/// Invariant 1: manifests are equal, byte for byte.
pub(crate) async fn shows(world: &World, phone: &Phone, serial: &str, newest: &Package) {
    let contents = phone.contents.lock().await;
    let Some(carried) = contents.wallet.get(serial).filter(|carried| carried.is_registered) else { return };
    if carried.package.manifest != newest.manifest {
        let differs = |key: &str| (key.to_owned(), carried.package.value(key), newest.value(key));
        let fields: Vec<_> = ["offer", "status", "holder", "promo", "news"].into_iter().map(differs).collect();
        let seen =
            format!("{} shows {serial} of {:?}; phone and newest: {fields:?}", phone.name, carried.last_modified);
        world.breaks(Invariant::NewestVersion, seen);
    }
}

/// What the newest package says is what was answered last.
fn content(world: &World, serial: &str, package: &Package, seen: &Value) {
    let state = seen["state"].as_str().unwrap_or_default();
    let look = match state {
        "redeemed" | "finished" => "redeemed",
        "voided" => "voided",
        _ => "redeemable",
    };
    let barcode = (look == "redeemable").then(|| seen["barcode"].as_str().unwrap_or_default().to_owned());
    let (name, promo, label) = {
        let ledger = world.ledger();
        let mut promo = ledger.promos[look].clone();
        if look == "redeemable" && ledger.shows_number {
            let number = ledger.numbers.get(serial).map_or("", String::as_str);
            promo.push_str(&SHOWN_NUMBER.replace("{{ holder.number }}", number));
        }
        (ledger.names.get(serial).cloned(), promo, ledger.label.clone())
    };
    if package.value("news").starts_with(SOON) {
        world.breaks(
            Invariant::NewestVersion,
            format!("{serial} shows an update that is over: {}", package.value("news")),
        );
    }
    let shown_label = package.field("status").map(|field| field["label"].as_str().unwrap_or_default().to_owned());
    for (what, shown, truth) in [
        ("holder", Some(package.value("holder")), name),
        ("promo", Some(package.value("promo")), Some(promo)),
        ("barcode", package.barcode().map(str::to_owned), barcode),
        ("label", shown_label, Some(label)),
    ] {
        if shown != truth {
            let seen = format!("{serial}, which is {state}, shows the {what} {shown:?} and not {truth:?}");
            world.breaks(Invariant::NoLostWrite, seen);
        }
    }
}

/// When an event happened.
fn at(event: &Value) -> Option<Timestamp> {
    event["at"].as_str().and_then(|at| at.parse().ok())
}

/// What a history tells, lived through again by the rules of the contract.
#[derive(Debug, Default)]
struct Story {
    serial: String,
    /// Every redemption, also those that were reversed.
    redemptions: BTreeSet<String>,
    /// Those that count, in order.
    uses: Vec<Use>,
    reversed: BTreeSet<String>,
    /// How many offers came.
    round: u64,
    /// The place of the present one.
    offer: usize,
    /// Its uses.
    count: u64,
    /// Waits for its next offer since this redemption.
    waits: Option<String>,
    finished: bool,
    voided: bool,
    /// When it began to look otherwise.
    changes: Vec<Timestamp>,
}

/// One use of an offer.
#[derive(Debug)]
struct Use {
    redemption: String,
    round: u64,
    offer: usize,
    count: u64,
}

impl Story {
    fn read(world: &World, shop: &Shop, serial: &str, history: &[Value]) -> Story {
        let changes = ["redeemed", "reversed", "offer", "updated", "voided"];
        let kind = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
        let mut by_version: BTreeMap<u64, &Value> = BTreeMap::new();
        for event in history.iter().filter(|event| changes.contains(&kind(event).as_str())) {
            let version = event["version"].as_u64().unwrap_or_default();
            if let Some(other) = by_version.insert(version, event) {
                let seen = format!("two changes made version {version} of {serial}: {other} and {event}");
                world.breaks(Invariant::NoLostWrite, seen);
            }
        }
        let mut story = Story { serial: serial.to_owned(), ..Story::default() };
        for event in by_version.values() {
            let problem = match kind(event).as_str() {
                "redeemed" => story.redeemed(world, shop, event),
                "reversed" => story.reversed(event),
                "offer" => story.next_offer(world, shop, event),
                "voided" => story.voided(event),
                _ => None,
            };
            if let Some((invariant, problem)) = problem {
                world.breaks(invariant, format!("{problem}, in the history of {serial}: {event}"));
            }
        }
        story
    }

    fn redeemed(&mut self, world: &World, shop: &Shop, event: &Value) -> Option<(Invariant, &'static str)> {
        let id = event["redemptionId"].as_str().unwrap_or_default().to_owned();
        let (offer, limit) = OFFERS[self.offer];
        if !self.redemptions.insert(id.clone()) {
            return Some((Invariant::CountsOnce, "a redemption counted twice"));
        }
        let answered = world.ledger().redeemed.get(&id).cloned();
        let version = event["version"].as_u64();
        if answered.is_some_and(|known| known.serial != self.serial || Some(known.version) != version) {
            return Some((Invariant::NoLostWrite, "a redemption was answered with another pass or version"));
        }
        if self.voided || self.waits.is_some() || self.finished {
            return Some((Invariant::CountsOnce, "a pass that is not redeemable was redeemed"));
        }
        if event["offerId"] != offer {
            return Some((Invariant::NextOffer, "another offer was redeemed than the pass has"));
        }
        self.count += 1;
        let (round, offer, count) = (self.round, self.offer, self.count);
        self.uses.push(Use { redemption: id.clone(), round, offer, count });
        if self.count == limit {
            self.changes(event);
            let is_last = self.offer + 1 == OFFERS.len();
            match is_last && !shop.repeats() {
                true => self.finished = true,
                false => self.waits = Some(id),
            }
        }
        None
    }

    fn reversed(&mut self, event: &Value) -> Option<(Invariant, &'static str)> {
        let id = event["redemptionId"].as_str().unwrap_or_default();
        let Some(place) = self.uses.iter().position(|used| used.redemption == id) else {
            return Some((Invariant::CountsOnce, "what was reversed did not count"));
        };
        let used = self.uses.remove(place);
        self.reversed.insert(id.to_owned());
        if used.round == self.round {
            self.count -= 1;
        } else if used.round + 1 == self.round && self.count == 0 {
            // The next offer had come, and goes again.
            (self.round, self.offer, self.count) = (used.round, used.offer, used.count - 1);
        } else {
            return Some((Invariant::CountsOnce, "what was reversed could not be"));
        }
        (self.waits, self.finished) = (None, false);
        None
    }

    fn next_offer(&mut self, world: &World, shop: &Shop, event: &Value) -> Option<(Invariant, &'static str)> {
        let Some(redemption) = self.waits.take().filter(|_| !self.voided) else {
            return Some((Invariant::NextOffer, "an offer came to a pass that waited for none"));
        };
        self.round += 1;
        self.offer = (self.offer + 1) % OFFERS.len();
        self.count = 0;
        if event["offerId"] != OFFERS[self.offer].0 {
            return Some((Invariant::NextOffer, "another offer came than the next"));
        }
        self.changes(event);
        let at = at(event);
        let promised = world.ledger().redeemed.get(&redemption).and_then(|redeemed| redeemed.next_offer_at);
        match (at, promised) {
            // An SQS message waits for 15 minutes at most; what is due later is sent by the sweep, which is not always there.
            (Some(at), Some(promised))
                if at > promised + IN_TIME && world.climate().is_calm() && shop.next_offer_after() <= 900 =>
            {
                Some((Invariant::InTime, "an offer came late"))
            }
            (Some(at), Some(promised)) if at >= promised => None,
            (_, None) => Some((Invariant::NextOffer, "an offer came that was not promised")),
            (..) => Some((Invariant::NextOffer, "an offer came before its time")),
        }
    }

    fn changes(&mut self, event: &Value) {
        self.changes.extend(at(event));
    }

    fn voided(&mut self, event: &Value) -> Option<(Invariant, &'static str)> {
        self.changes(event);
        let again = std::mem::replace(&mut self.voided, true);
        again.then_some((Invariant::NextOffer, "a pass was voided twice"))
    }

    /// The pass is now what its history makes of it.
    fn ends_as(&self, world: &World, seen: &Value) {
        let state = match (self.voided, self.finished, &self.waits) {
            (true, ..) => "voided",
            (false, true, _) => "finished",
            (false, false, Some(_)) => "redeemed",
            (false, false, None) => "redeemable",
        };
        if state == "redeemed" {
            let seen = format!("the next offer of {} never came: {seen}", self.serial);
            world.breaks(Invariant::NextOffer, seen);
        }
        if seen["state"] != state || seen["offer"]["offerId"] != OFFERS[self.offer].0 {
            let seen = format!("{} is {seen}, and its history says {self:?}", self.serial);
            world.breaks(Invariant::NoLostWrite, seen);
        }
        if world.ledger().voided.contains_key(&self.serial) != self.voided {
            world.breaks(Invariant::NoLostWrite, format!("a void of {} was answered, or not", self.serial));
        }
    }
}
