//! The real program under load, killed at random moments: what was answered before a kill is there after it, nothing
//! counts twice, next offers come once and never early, and every phone ends with the newest version (contract 1: "SIGKILL
//! loses nothing that was answered"; 4, Redemptions: "a crash … anywhere changes nothing about that").
//!
//! Phones, tills and the back office are processes apart from the service, as in life: they repeat what was not answered.
//! APNs is apart, too, and remembers what it was given. Everybody writes down what they were told (`book`); in the end
//! the service is asked (`audit`).

mod audit;
mod book;
mod load;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use passloop_local::Clock;
use passloop_local::apns::{RecordedPush, StandIn};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::answer::insisting;
use crate::back_office::{BackOffice, two_offers};
use crate::chance::Chance;
use crate::iphone::IPhone;
use crate::process::{Outside, Process};
use crate::template_folder::TemplateFolder;
use crate::till::Till;
use crate::world::PATIENCE;
use book::Book;

/// The campaign and its template. The program has a sample of its own besides.
const BAKERY: &str = "bakery";
/// Between a redemption and the next offer. Short, so that most kills fall between the two for some pass.
const NEXT_OFFER_AFTER: Duration = Duration::from_secs(2);
/// Phones, some of which share a pass.
const PHONES: usize = 5;
/// Tills of the shop.
const TILLS: usize = 3;
/// Passes at the beginning.
const PASSES: usize = 3;
/// A life of the service, from ready to killed.
const LIFE_MILLISECONDS: (u64, u64) = (50, 1500);
/// How long somebody repeats one call: a start, and what a busy machine adds to it.
const INSISTENCE: Duration = Duration::from_secs(90);

/// What to do.
#[derive(Debug)]
pub struct Plan {
    /// The program that is killed, and what comes before its own arguments.
    pub program: PathBuf,
    /// See `program`.
    pub arguments: Vec<String>,
    /// How often.
    pub kills: u32,
    /// Who does what, and when the kills come, follows from it; how the machine interleaves them does not.
    pub seed: u64,
}

/// What was done, and what was wrong.
#[derive(Debug)]
pub struct Report {
    /// What happened, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// The slowest start after a kill.
    pub slowest_start: Duration,
    /// Every promise that was broken, as a sentence.
    pub broken: Vec<String>,
}

/// Everybody's world.
struct Town {
    http: Client,
    base: String,
    office: BackOffice,
    merchant_key: String,
    apns: StandIn,
    root: PathBuf,
    book: Book,
    closing: AtomicBool,
}

/// Kills the service so many times under load, then audits it.
pub async fn run(plan: Plan) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let mut chance = Chance::new(plan.seed);
    let (mut service, town) = open(&plan, directory.path()).await;
    let town = Arc::new(town);
    for _ in 0..PASSES {
        load::issue(&town).await;
    }

    let mut phones = JoinSet::new();
    for _ in 0..PHONES {
        let (town, chance) = (Arc::clone(&town), chance.split());
        phones.spawn(insisting(INSISTENCE, load::customer(town, chance)));
    }
    let mut shop = JoinSet::new();
    for number in 1..=TILLS {
        let till = Till::new(&town.http, &town.base, &town.merchant_key, &format!("till {number}"));
        let (town, chance) = (Arc::clone(&town), chance.split());
        shop.spawn(insisting(INSISTENCE, load::cashier(town, till, chance)));
    }
    let (their_town, their_chance) = (Arc::clone(&town), chance.split());
    shop.spawn(insisting(INSISTENCE, load::clerk(their_town, their_chance)));

    let mut slowest_start = Duration::ZERO;
    for _ in 0..plan.kills {
        let life = chance.between(LIFE_MILLISECONDS.0, LIFE_MILLISECONDS.1);
        tokio::time::sleep(Duration::from_millis(life)).await;
        service.kill();
        slowest_start = slowest_start.max(service.start_again().await);
        town.book.count("kills");
    }
    // A last life to work in, so that the end is no quieter than the middle.
    tokio::time::sleep(Duration::from_secs(1)).await;
    town.closing.store(true, Ordering::Release);
    shop.join_all().await;
    let phones = phones.join_all().await;

    let mut broken = insisting(INSISTENCE, audit::audit(&town, phones)).await;
    if service.said().contains("panicked") {
        broken.push(format!("the service panicked: {}", service.said()));
    }
    if town.apns.pushes().len() >= RecordedPush::KEPT {
        broken.push("APNs forgot pushes: the run is too long for what it keeps".to_owned());
    }
    Report { counts: town.book.counts(), slowest_start, broken }
}

/// Certificates, APNs, the service's first start, the template and the campaign.
async fn open(plan: &Plan, directory: &Path) -> (Process, Town) {
    let Outside { apns, root, variables } = Outside::open(directory).await;
    let arguments: Vec<&str> = plan.arguments.iter().map(String::as_str).collect();
    let service = Process::start(&plan.program, &arguments, directory, variables).await;
    let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let (base, merchant_key) = (service.described("baseUrl").to_owned(), service.described("merchantKey").to_owned());
    let office = BackOffice::new(&http, &base, &merchant_key);
    office.put_template(BAKERY, &TemplateFolder::coupon()).await.expect(201);
    office.put_campaign(BAKERY, &campaign("Welcome")).await.expect(201);
    let town =
        Town { http, base, office, merchant_key, apns, root, book: Book::default(), closing: AtomicBool::new(false) };
    (service, town)
}

/// The usual campaign without an end; `news` is what a change of the campaign alters in it.
fn campaign(news: &str) -> Value {
    let mut campaign = two_offers();
    campaign["templateId"] = json!(BAKERY);
    campaign["nextOfferAfterSeconds"] = json!(NEXT_OFFER_AFTER.as_secs());
    campaign["afterLastOffer"] = json!("repeat");
    for offer in [0, 1] {
        campaign["offers"][offer]["overlay"] = json!({ "fields": { "news": { "value": news } } });
    }
    campaign
}

impl Town {
    fn closes(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn iphone(&self) -> IPhone {
        IPhone::new(&self.http, &Clock::system(), &self.root)
    }
}
