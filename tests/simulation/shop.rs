//! The merchant: tills that repeat what was not answered, and a back office that changes its mind.

mod batches;
mod erasures;
mod links;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use http::{Method, Request, Response};
use jiff::{SignedDuration, Timestamp};
use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE};
use passloop_tests::template_folder::{TemplateFolder, plain_png};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::invariants::Invariant;
use crate::ledger::{IssuedPass, Redeemed};
use crate::listener;
use crate::phone::request;
use crate::world::{PUBLIC_URL, World, lock};

pub(crate) use self::links::link_of;

/// Offers of the campaign, with how often each may be redeemed.
pub(crate) const OFFERS: [(&str, u64); 3] = [("first", 1), ("ticket", 3), ("last", 1)];
/// States of a pass that have a look of their own.
pub(crate) const LOOKS: [&str; 3] = ["redeemable", "redeemed", "voided"];
/// What follows the promo where the holder's number is shown.
pub(crate) const SHOWN_NUMBER: &str = ", no. {{ holder.number }}";
/// Every holder's number at first.
const FIRST_NUMBER: &str = "0";
/// How the news of a scheduled update begins.
pub(crate) const SOON: &str = "Soon";
/// Attempts of a merchant's program, at least a second apart, before it is a scandal.
const ATTEMPTS: u32 = 60;

/// How many redemptions count at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of the campaign.
    pub(crate) total: Option<u64>,
    /// Of its offer `ticket`.
    pub(crate) ticket: Option<u64>,
    /// Of one customer.
    pub(crate) customer: Option<u64>,
}

/// The merchant's programs.
pub(crate) struct Shop {
    world: Arc<World>,
    key: String,
    numbers: AtomicU64,
    /// The back office does one thing after the other, but for customers' numbers, which come from another program; of tills
    /// there are many.
    desk: tokio::sync::Mutex<()>,
    numbering: tokio::sync::Mutex<()>,
    after_last: &'static str,
    next_offer_after: u64,
    limits: Limits,
    /// Whether it greets whoever adds a pass.
    greets: AtomicBool,
    push_over: u64,
    /// Since when its server is told what happens, if it is.
    tells_from: Mutex<Option<Timestamp>>,
}

impl Shop {
    /// A shop with a campaign of its own kind.
    pub(crate) fn new(world: &Arc<World>, key: &str) -> Shop {
        let dice = &world.dice;
        world.ledger().secret("merchant key", key);
        Shop {
            world: Arc::clone(world),
            key: key.to_owned(),
            numbers: AtomicU64::new(1),
            desk: tokio::sync::Mutex::default(),
            numbering: tokio::sync::Mutex::default(),
            after_last: dice.pick::<&str>(&["stop", "repeat"]),
            next_offer_after: *dice.pick(&[0, 15, 15, 1_200]),
            limits: Limits {
                total: dice.chance(0.3).then(|| dice.between(1, 6)),
                ticket: dice.chance(0.2).then(|| dice.between(1, 4)),
                customer: dice.chance(0.2).then(|| dice.between(1, 4)),
            },
            greets: AtomicBool::new(dice.chance(0.3)),
            push_over: *dice.pick(&[0, 0, 120]),
            tells_from: Mutex::default(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn next_offer_after(&self) -> u64 {
        self.next_offer_after
    }

    pub(crate) fn repeats(&self) -> bool {
        self.after_last == "repeat"
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn request(&self, method: Method, path: &str, key: Option<&str>, body: Option<String>) -> Request<Bytes> {
        let mut headers = vec![("authorization", format!("Bearer {}", self.key))];
        headers.extend(key.map(|key| ("idempotency-key", key.to_owned())));
        request(method, &format!("/merchant/v1{path}"), &headers, body)
    }

    /// Sends a request until it is answered: a 503, a 5xx or no answer at all is repeated (README).
    async fn ask(&self, request: Request<Bytes>) -> Option<(u16, Value)> {
        for attempt in 0..ATTEMPTS {
            if let Some(answer) = self.world.call(request.clone()).await
                && !answer.status().is_server_error()
            {
                return Some((answer.status().as_u16(), body(&answer)));
            }
            let wait = 1_000 * u64::from(attempt.min(20) + 1);
            self.world.pause(wait / 2, wait).await;
        }
        let seen = format!("{} {} was never answered", request.method(), request.uri().path());
        self.world.breaks(Invariant::Drains, seen);
        None
    }

    async fn expect(&self, request: Request<Bytes>, good: &[u16]) -> Option<Value> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let (status, body) = self.ask(request).await?;
        if !good.contains(&status) {
            self.world.breaks(Invariant::NoLostWrite, format!("{what} answered {status} {body}"));
            return None;
        }
        Some(body)
    }

    /// The shop opens: template and campaign.
    pub(crate) async fn open(&self) {
        self.put_template().await;
        for look in LOOKS {
            self.world.ledger().promos.insert(look, format!("{look} 0"));
        }
        self.put_campaign().await;
        if self.world.dice.chance(0.5) {
            self.put_webhook().await;
        }
    }

    /// From a minute on the shop's server is told what happens.
    async fn put_webhook(&self) {
        let order = json!({ "url": listener::URL });
        let request = self.request(Method::PUT, "/webhooks/shop", None, Some(order.to_string()));
        let Some(webhook) = self.expect(request, &[200, 201]).await else { return };
        if let Some(secret) = webhook["secret"].as_str() {
            self.world.ledger().secret("webhook secret", secret);
        }
        let from = webhook["activeFrom"].as_str().and_then(|from| from.parse().ok());
        self.world.note("office", || format!("has put the webhook, from {from:?}"));
        *lock(&self.tells_from) = from;
    }

    /// Since when everything that happens is told, if it is.
    pub(crate) fn tells_from(&self) -> Option<Timestamp> {
        *lock(&self.tells_from)
    }

    /// The webhook is deleted, or put, or both: what happened before is not told then.
    pub(crate) async fn change_webhook(&self) {
        let _desk = self.desk.lock().await;
        if self.tells_from().is_some() {
            let request = self.request(Method::DELETE, "/webhooks/shop", None, None);
            // Deleted by the attempt before, which was not answered.
            self.expect(request, &[204, 404]).await;
            self.world.note("office", || "has deleted the webhook".to_owned());
            *lock(&self.tells_from) = None;
        }
        if self.world.dice.chance(0.8) {
            self.world.pause(0, 5_000).await;
            self.put_webhook().await;
        }
    }

    /// What was given up is told again. Of how many passes.
    pub(crate) async fn replay(&self) -> u64 {
        let mut passes = 0;
        while self.tells_from().is_some() {
            let key = format!("replay-{}", self.number());
            let request = self.request(Method::POST, "/webhooks/shop/replay", Some(&key), None);
            let Some(answer) = self.expect(request, &[200]).await else { break };
            passes += answer["passes"].as_u64().unwrap_or_default();
            if answer["more"] != true {
                break;
            }
        }
        self.world.note("office", || format!("replays of {passes} passes"));
        passes
    }

    async fn put_template(&self) {
        let label = format!("Status {}", self.number());
        let folder = images().clone().edit(|pass| {
            pass["coupon"]["auxiliaryFields"][0]["label"] = json!(label);
            let promo = json!({ "key": "promo", "label": "Promo", "value": "none" });
            pass["coupon"]["backFields"].as_array_mut().unwrap().push(promo);
        });
        let headers =
            [("authorization", format!("Bearer {}", self.key)), ("content-type", "application/zip".to_owned())];
        let mut request = request(Method::PUT, &format!("/merchant/v1/templates/{CAMPAIGN}"), &headers, None);
        *request.body_mut() = folder.zip().into();
        if self.expect(request, &[200, 201]).await.is_some() {
            self.world.note("office", || format!("has put the template with {label:?}"));
            self.world.ledger().label = label;
        }
    }

    async fn put_campaign(&self) {
        let mut promos = self.world.ledger().promos.clone();
        if self.world.ledger().shows_number {
            promos.get_mut("redeemable").expect("a promo").push_str(SHOWN_NUMBER);
        }
        let promo = |look: &str| json!({ "fields": { "promo": { "value": promos[look] } } });
        let offers: Vec<Value> = OFFERS
            .iter()
            .map(|(id, limit)| {
                let total = self.limits.ticket.filter(|_| *id == "ticket");
                json!({ "offerId": id, "title": id, "redemptionLimit": limit, "totalRedemptionLimit": total,
                    "overlay": promo("redeemable") })
            })
            .collect();
        let mut campaign = json!({
            "passTypeIdentifier": PASS_TYPE, "templateId": CAMPAIGN, "offers": offers,
            "redeemedOverlay": promo("redeemed"), "voidedOverlay": promo("voided"),
            "nextOfferAfterSeconds": self.next_offer_after, "afterLastOffer": self.after_last,
            "totalRedemptionLimit": self.limits.total, "pushOverSeconds": self.push_over });
        if let Some(limit) = self.limits.customer {
            (campaign["holderKey"], campaign["redemptionsPerHolder"]) = (json!("/customer"), json!(limit));
        }
        if self.greets.load(Ordering::Relaxed) {
            campaign["welcomeOverlay"] = json!({ "fields": { "news": { "value": "Hello!" } } });
        }
        let request = self.request(Method::PUT, &format!("/campaigns/{CAMPAIGN}"), None, Some(campaign.to_string()));
        self.expect(request, &[200, 201]).await;
    }

    /// Another version of the template: every pass of the campaign changes.
    pub(crate) async fn change_template(&self) {
        let _desk = self.desk.lock().await;
        self.put_template().await;
    }

    /// Another text in one look: the passes that show it change.
    pub(crate) async fn change_campaign(&self) {
        let _desk = self.desk.lock().await;
        let look = *self.world.dice.pick(&LOOKS);
        let promo = format!("{look} {}", self.number());
        self.world.note("office", || format!("changes the promo to {promo:?}"));
        self.world.ledger().promos.insert(look, promo);
        if self.world.dice.chance(0.15) {
            self.greets.fetch_xor(true, Ordering::Relaxed);
        }
        let issued = self.world.ledger().issued.clone();
        if self.world.dice.chance(0.3) && !issued.is_empty() {
            // A number changes in the moment in which it begins to show, or ceases to.
            self.world.ledger().shows_number ^= true;
            let serial = self.world.dice.pick(&issued).serial.clone();
            tokio::join!(self.put_campaign(), self.renumber(&serial));
        } else {
            self.put_campaign().await;
        }
    }

    /// A new pass.
    pub(crate) async fn issue(&self) -> Option<IssuedPass> {
        let number = self.number();
        let customer = (*self.world.dice.pick(&["C1", "C2"])).to_owned();
        let holder = json!({ "name": "Ada", "customer": customer, "number": FIRST_NUMBER });
        let order = json!({ "campaignId": CAMPAIGN, "serialNumber": format!("S{number}"), "holder": holder });
        let key = format!("order-{number}");
        let pass =
            self.expect(self.request(Method::POST, "/passes", Some(&key), Some(order.to_string())), &[201]).await?;
        let text = |key: &str| pass[key].as_str().unwrap_or_default().to_owned();
        Some(self.is_issued(&text, customer))
    }

    /// A pass was made, and this is what its merchant was told.
    fn is_issued(&self, text: &impl Fn(&str) -> String, customer: String) -> IssuedPass {
        let download = text("downloadUrl").replace(PUBLIC_URL, "");
        let issued = IssuedPass { serial: text("serialNumber"), customer, download, barcode: text("barcode") };
        let mut ledger = self.world.ledger();
        ledger.secret("barcode", &issued.barcode);
        ledger.secret("link", link_of(&issued.download));
        ledger.names.insert(issued.serial.clone(), "Ada".to_owned());
        ledger.numbers.insert(issued.serial.clone(), FIRST_NUMBER.to_owned());
        ledger.issued.push(issued.clone());
        issued
    }

    fn path(serial: &str) -> String {
        format!("/passes/{PASS_TYPE}/{serial}")
    }

    /// The holder has another name.
    pub(crate) async fn rename(&self, serial: &str) {
        let _desk = self.desk.lock().await;
        let name = format!("Ada the {}th of her name", self.number());
        self.world.ledger().secret("holder", &name);
        let patch = json!({ "holder": { "name": name } }).to_string();
        if self.expect(self.request(Method::PATCH, &Shop::path(serial), None, Some(patch)), &[200]).await.is_some() {
            self.world.note("office", || format!("has renamed the holder of {serial}"));
            self.world.ledger().names.insert(serial.to_owned(), name);
        }
    }

    /// The holder has another number, which no pass shows, or every redeemable one.
    pub(crate) async fn renumber(&self, serial: &str) {
        let _numbering = self.numbering.lock().await;
        let number = self.number().to_string();
        let patch = json!({ "holder": { "number": number } }).to_string();
        if self.expect(self.request(Method::PATCH, &Shop::path(serial), None, Some(patch)), &[200]).await.is_some() {
            self.world.note("office", || format!("has renumbered the holder of {serial}: {number}"));
            self.world.ledger().numbers.insert(serial.to_owned(), number);
        }
    }

    /// The pass is worth nothing from now on.
    pub(crate) async fn void(&self, serial: &str) {
        let key = format!("void-{}", self.number());
        let path = format!("{}/void", Shop::path(serial));
        let request = self.request(Method::POST, &path, Some(&key), Some("{}".to_owned()));
        self.world.ledger().to_be_voided.insert(serial.to_owned());
        if let Some(pass) = self.expect(request, &[200]).await {
            self.world.note("office", || format!("has voided {serial}"));
            self.world.ledger().voided.entry(serial.to_owned()).or_insert_with(Instant::now);
            if pass["state"] != "voided" || !pass["nextOfferAt"].is_null() {
                self.world.breaks(Invariant::NextOffer, format!("a voided pass is {pass}"));
            }
        }
    }

    /// A till's mistake is taken back.
    pub(crate) async fn reverse(&self, redemption: &str) {
        let key = format!("reversal-{}", self.number());
        let path = format!("/redemptions/{redemption}/reverse");
        let request = self.request(Method::POST, &path, Some(&key), Some("{}".to_owned()));
        {
            let mut ledger = self.world.ledger();
            let serial = ledger.redeemed.get(redemption).map(|known| known.serial.clone());
            ledger.to_be_reversed.extend(serial);
        }
        let Some((status, answer)) = self.ask(request).await else { return };
        self.world.note("office", || format!("reverses {redemption}: {status} {}", answer["code"]));
        let refusals = ["too_late_to_reverse", "not_reversible"];
        match (status, answer["code"].as_str()) {
            (200, _) => {
                self.world.ledger().reversed.entry(redemption.to_owned()).or_insert_with(Instant::now);
            }
            (409, Some(code)) if refusals.contains(&code) => {}
            _ => self.world.breaks(Invariant::NoLostWrite, format!("a reversal was answered {status} {answer}")),
        }
    }

    /// A till redeems what it was shown, of this pass; now and then it sends the same sale twice at once.
    pub(crate) async fn redeem(&self, serial: &str, what: &Value) {
        let number = self.number();
        let key = format!("sale-{number}");
        self.world.ledger().sells(&key, serial);
        let mut order = what.clone();
        order["till"] = json!(format!("till {}", number % 3));
        let begun = Instant::now();
        let request = self.request(Method::POST, "/redemptions", Some(&key), Some(order.to_string()));
        let again = self.world.dice.chance(0.2);
        let first = self.ask(request.clone());
        let second = async {
            if !again {
                return None;
            }
            self.world.pause(0, 500).await;
            self.ask(request.clone()).await
        };
        let (first, second) = tokio::join!(first, second);
        for (status, answer) in [first, second].into_iter().flatten() {
            self.judge(&key, &order, begun, status, &answer);
        }
        // A till that is not sure asks once more, later.
        if self.world.dice.chance(0.1) {
            self.world.pause(1_000, 60_000).await;
            if let Some((status, answer)) = self.ask(request).await {
                self.judge(&key, &order, begun, status, &answer);
            }
        }
    }

    fn judge(&self, key: &str, order: &Value, begun: Instant, status: u16, answer: &Value) {
        let world = &self.world;
        let code = answer["code"].as_str().unwrap_or_default();
        world.note("till", || {
            let redeemed =
                ["redemptionId", "serialNumber", "nextOfferAt"].map(|key| answer[key].as_str().unwrap_or("-"));
            format!("{key} is answered {status} {code} {redeemed:?}")
        });
        let same = if status == 201 { answer.clone() } else { json!(code) };
        let mut ledger = world.ledger();
        if let Some(problem) = ledger.answered(key, status, &same) {
            drop(ledger);
            return world.breaks(Invariant::CountsOnce, problem);
        }
        if status != 201 {
            let is_true = match (status, code) {
                (409, "already_redeemed") => ledger.another_sale_may_count(key),
                // A barcode that a reversal replaced redeems nothing, and belongs to nothing.
                (404, "unknown_pass") => {
                    order["barcode"].is_string() && ledger.to_be_reversed.contains(&ledger.sold(key))
                }
                (409, "voided") => ledger.to_be_voided.contains(&ledger.sold(key)),
                (409, "limit_reached") => {
                    let (all, of_customer) = ledger.may_count(key, begun);
                    let is_spent = |limit: Option<u64>, count| limit.is_some_and(|limit| count >= limit);
                    let Limits { total, ticket, customer } = self.limits;
                    is_spent(total, all) || is_spent(ticket, all) || is_spent(customer, of_customer)
                }
                _ => false,
            };
            ledger.is_refused(key);
            drop(ledger);
            if !is_true {
                let seen = format!("{key} of {order} was answered {status} {answer}");
                world.breaks(Invariant::RefusedForAReason, seen);
            }
            return;
        }
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let (redemption, serial) = (text("redemptionId"), text("serialNumber"));
        let next_offer_at: Option<Timestamp> = answer["nextOfferAt"].as_str().and_then(|at| at.parse().ok());
        let version = answer["passVersion"].as_u64().unwrap_or_default();
        let after_void = ledger.voided.get(&serial).is_some_and(|voided| *voided < begun);
        let burnt = order["barcode"].as_str().and_then(|barcode| ledger.burn(barcode, &redemption));
        ledger.redeemed.insert(redemption, Redeemed { serial: serial.clone(), next_offer_at, version });
        drop(ledger);
        if let Some(problem) = burnt {
            world.breaks(Invariant::CountsOnce, problem);
        }
        if after_void {
            world.breaks(Invariant::CountsOnce, format!("{serial} was redeemed after it was voided"));
        }
    }

    /// An update that comes by itself and goes again, of one pass or of all. By the end it is over.
    pub(crate) async fn schedule(&self, serial: Option<&str>) {
        let number = self.number();
        let seconds = |low, high| SignedDuration::from_secs(self.world.dice.between(low, high) as i64);
        let at = self.world.now() + seconds(120, 2_000);
        let until = at + seconds(60, 5_000);
        let target = match serial {
            Some(serial) => json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": serial }),
            None => json!({ "campaignId": CAMPAIGN }),
        };
        let overlay = json!({ "fields": { "news": { "value": format!("{SOON} {number}") } } });
        let order = json!({ "target": target, "at": at.to_string(), "until": until.to_string(), "overlay": overlay });
        let key = format!("update-{number}");
        let request = self.request(Method::POST, "/updates", Some(&key), Some(order.to_string()));
        let Some((status, answer)) = self.ask(request).await else { return };
        self.world.note("office", || format!("plans an update of {serial:?} from {at} until {until}: {status}"));
        // Who was not answered for long may be too late with it.
        if status != 201 && self.world.now() < at {
            self.world.breaks(Invariant::NoLostWrite, format!("an update was answered {status} {answer}"));
        }
    }

    /// A till scans a pass that came to rest. What it is answered: `redeemed`, or the code of a refusal.
    pub(crate) async fn scan(&self, what: &Value) -> String {
        let key = format!("scan-{}", self.number());
        let request = self.request(Method::POST, "/redemptions", Some(&key), Some(what.to_string()));
        match self.ask(request).await {
            Some((201, _)) => "redeemed".to_owned(),
            Some((status, answer)) => answer["code"].as_str().map_or_else(|| status.to_string(), str::to_owned),
            None => "nothing".to_owned(),
        }
    }

    /// A pass as the merchant sees it.
    pub(crate) async fn pass(&self, serial: &str) -> Value {
        self.expect(self.request(Method::GET, &Shop::path(serial), None, None), &[200]).await.unwrap_or_default()
    }

    /// What happened to a pass, all of it.
    pub(crate) async fn history(&self, serial: &str) -> Vec<Value> {
        let (mut events, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("{}/history{cursor}", Shop::path(serial));
            let answer = self.expect(self.request(Method::GET, &path, None, None), &[200]).await.unwrap_or_default();
            events.extend(answer["events"].as_array().cloned().unwrap_or_default());
            match answer["cursor"].as_str() {
                Some(next) => cursor = format!("?cursor={}", next.replace('#', "%23")),
                None => return events,
            }
        }
    }

    /// What became of the campaign.
    pub(crate) async fn report(&self) -> Value {
        let path = format!("/campaigns/{CAMPAIGN}/report");
        self.expect(self.request(Method::GET, &path, None, None), &[200]).await.unwrap_or_default()
    }
}

/// A template with small images, made once: packages are opened many thousand times.
fn images() -> &'static TemplateFolder {
    static IMAGES: OnceLock<TemplateFolder> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let folder = TemplateFolder::coupon().without("logo").without("strip").without("used-strip");
        ["", "@2x", "@3x"].iter().zip([29, 58, 87]).fold(folder, |folder, (scale, size)| {
            folder.with(&format!("icon{scale}.png"), plain_png(size, size, [200, 120, 40]))
        })
    })
}

fn body(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_default()
}
