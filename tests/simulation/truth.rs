//! At the end, when everything has come to rest: what the service says, what phones show, and what was answered must be
//! one story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::invariants::Invariant;
use crate::phone::{Phone, request};
use crate::shop::{OFFERS, SOON, Shop};
use crate::wallet::Package;
use crate::world::World;

/// Holds everything against everything.
pub(crate) async fn check(world: &Arc<World>, shop: &Shop, phones: &[Arc<Phone>]) {
    let issued = world.ledger().issued.clone();
    let mut counted = BTreeSet::new();
    let mut reversed = 0;
    for pass in issued {
        let seen = shop.pass(&pass.serial).await;
        let history = shop.history(&pass.serial).await;
        let told = Story::read(world, shop, &pass.serial, &history);
        told.ends_as(world, &seen);
        counted.extend(told.redemptions.iter().cloned());
        reversed += told.reversed;
        let download = world.call(request(Method::GET, &pass.download, &[], None)).await;
        match download.map(|answer| Package::open(answer.body())) {
            Some(Ok(package)) => {
                content(world, &pass.serial, &package, &seen);
                for phone in phones {
                    shows(world, phone, &pass.serial, &package).await;
                }
            }
            other => world.breaks(Invariant::NewestVersion, format!("no download of {}: {other:?}", pass.serial)),
        }
    }
    let answered: BTreeSet<String> = world.ledger().redeemed.keys().cloned().collect();
    for lost in answered.difference(&counted) {
        world.breaks(Invariant::NoLostWrite, format!("the redemption {lost} was answered, and is in no history"));
    }
    for unknown in counted.difference(&answered) {
        world.breaks(Invariant::CountsOnce, format!("the redemption {unknown} counted, and was answered to nobody"));
    }
    let counting = counted.len() as u64 - reversed;
    if shop.total_limit().is_some_and(|limit| counting > limit) {
        world.breaks(Invariant::CountsOnce, format!("{counting} redemptions count, of {:?}", shop.total_limit()));
    }
    let report = shop.report().await;
    world.note("report", || report.to_string());
    for phone in phones {
        phone.is_content().await;
    }
}

/// Invariant 1: manifests are equal, byte for byte.
async fn shows(world: &World, phone: &Phone, serial: &str, newest: &Package) {
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
        (ledger.names.get(serial).cloned(), ledger.promos[look].clone(), ledger.label.clone())
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

/// What a history tells, lived through again by the rules of the contract.
#[derive(Debug, Default)]
struct Story {
    serial: String,
    /// Every redemption, also those that were reversed.
    redemptions: BTreeSet<String>,
    /// Those that count, in order.
    uses: Vec<Use>,
    reversed: u64,
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
                "offer" => story.next_offer(world, event),
                "voided" => story.voided(),
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
        self.reversed += 1;
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

    fn next_offer(&mut self, world: &World, event: &Value) -> Option<(Invariant, &'static str)> {
        let Some(redemption) = self.waits.take().filter(|_| !self.voided) else {
            return Some((Invariant::NextOffer, "an offer came to a pass that waited for none"));
        };
        self.round += 1;
        self.offer = (self.offer + 1) % OFFERS.len();
        self.count = 0;
        if event["offerId"] != OFFERS[self.offer].0 {
            return Some((Invariant::NextOffer, "another offer came than the next"));
        }
        let at: Option<Timestamp> = event["at"].as_str().and_then(|at| at.parse().ok());
        let promised = world.ledger().redeemed.get(&redemption).and_then(|redeemed| redeemed.next_offer_at);
        match (at, promised) {
            (Some(at), Some(promised)) if at >= promised => None,
            (_, None) => Some((Invariant::NextOffer, "an offer came that was not promised")),
            (..) => Some((Invariant::NextOffer, "an offer came before its time")),
        }
    }

    fn voided(&mut self) -> Option<(Invariant, &'static str)> {
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
