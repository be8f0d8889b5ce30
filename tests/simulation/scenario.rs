//! One run: a shop, some phones, some acts in which everybody does something at once, and then fair weather until nothing
//! is left to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use passloop_local::Doors;
use passloop_tests::back_office::PASS_TYPE;
use platform::keys::Role;
use platform::random;
use platform::store::{Caller, KeyMade, NewKey, create_table};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::forgetting::{self, Known};
use crate::invariants::Invariant;
use crate::neighbour::Neighbour;
use crate::phone::{Contents, Kind, Phone};
use crate::queues::{self, Queue};
use crate::shop::Shop;
use crate::weather::Weather;
use crate::world::{TABLE, World};
use crate::{dynamodb, truth};

/// How long a sweep may run (template.yaml, `Timeout`).
const SWEEP_TIMEOUT: Duration = Duration::from_secs(60);
/// Rounds of waiting after which what is not done will never be. Each goes to the next time at which something is due.
const PATIENCE: u32 = 400;

/// A world with people in it.
struct Scenario {
    world: Arc<World>,
    shop: Arc<Shop>,
    neighbour: Arc<Neighbour>,
    phones: Vec<Arc<Phone>>,
    /// Backups that a phone can be restored from.
    backups: Vec<Option<Contents>>,
}

/// Plays one seed to its end.
pub(crate) async fn play(seed: u64, doors: &'static Doors, identities: PathBuf) -> Arc<World> {
    let world = World::new(seed, doors, identities);
    let _logs = world.logs.collect();
    let mut randomness = world.dice.fork();
    fastrand::seed(randomness.u64(..));
    random::replace_on_this_thread(Some(Box::new(move |bytes| randomness.fill(bytes))));
    let mut scenario = Scenario::begin(&world).await;
    world.begin(Weather::of(&world.dice));
    scenario.people_come().await;
    for _ in 0..world.dice.between(2, 5) {
        if world.broken().is_some() {
            break;
        }
        scenario.act().await;
        scenario.time_passes().await;
    }
    world.clear_up();
    if world.broken().is_none() {
        scenario.settle().await;
    }
    if world.broken().is_none() && seed.is_multiple_of(3) {
        scenario.one_more_change().await;
    }
    let mut replayed = 0;
    if world.broken().is_none() {
        replayed = scenario.shop.replay().await;
        scenario.drains().await;
    }
    if world.broken().is_none() {
        truth::check(&world, &scenario.shop, &scenario.phones, replayed > 0).await;
    }
    if world.broken().is_none() && seed % 3 == 1 {
        scenario.somebody_is_forgotten().await;
    }
    let leak = world.logs.leak(world.ledger().secrets());
    if let Some((secret, line)) = leak {
        world.breaks(Invariant::NoSecretInLogs, format!("a {secret} in {line}"));
    }
    random::replace_on_this_thread(None);
    world
}

impl Scenario {
    async fn begin(world: &Arc<World>) -> Scenario {
        let app = world.app();
        let sdk = platform::app::sdk_config(&app.config.aws).into_builder().http_client(world.wire()).build();
        create_table(&platform::app::dynamodb(&sdk, &app.config.aws), TABLE).await.expect("a table");
        let mut keys = Vec::new();
        for merchant_id in ["bakery", "florist"] {
            let key = random::merchant_key().expect("a key");
            let new = NewKey { key_id: merchant_id, secret: &key, merchant_id, role: Role::Admin, name: None };
            let made = app.store.make_key(new, Caller::Operator, None, world.now()).await.expect("a key");
            assert_eq!(made, KeyMade::Done);
            keys.push(key);
        }
        for queue in Queue::ALL {
            tokio::spawn(queues::deliver(Arc::clone(world), queue));
        }
        let shop = Arc::new(Shop::new(world, &keys[0]));
        let neighbour = Arc::new(Neighbour::new(world, &keys[1]));
        shop.open().await;
        Scenario { world: Arc::clone(world), shop, neighbour, phones: Vec::new(), backups: Vec::new() }
    }

    /// Passes are issued and added to phones.
    async fn people_come(&mut self) {
        let dice = &self.world.dice;
        for number in 1..=dice.between(1, 4) {
            let kind = if dice.chance(0.15) { Kind::Android } else { Kind::Apple };
            self.phones.push(Phone::new(&self.world, format!("phone {number}"), kind));
            self.backups.push(None);
        }
        for _ in 0..dice.between(1, 4) {
            self.shop.issue().await;
        }
        let issued = self.world.ledger().issued.clone();
        let mut coming = JoinSet::new();
        for pass in issued {
            for phone in &self.phones {
                if self.world.dice.chance(0.6) {
                    let (phone, pass) = (Arc::clone(phone), pass.clone());
                    coming.spawn(async move { phone.add(&pass.serial, &pass.download).await });
                }
            }
        }
        self.watch(coming).await;
    }

    /// Waits until all are done, with the sweep coming by every minute.
    async fn watch(&self, mut doing: JoinSet<()>) {
        let mut minutes = tokio::time::interval(Duration::from_secs(60));
        minutes.tick().await;
        loop {
            tokio::select! {
                biased;
                done = doing.join_next() => match done {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(error)) => self.world.failed_without_reason(&format!("somebody panicked: {error}")),
                },
                _ = minutes.tick() => sweep(&self.world).await,
            }
        }
    }

    /// Everybody does something within some minutes.
    async fn act(&mut self) {
        let mut doing = JoinSet::new();
        let span = *self.world.dice.pick(&[100, 3_000, 60_000, 300_000]);
        for _ in 0..self.world.dice.between(3, 10) {
            let after = self.world.dice.between(0, span);
            self.something(&mut doing, Duration::from_millis(after));
        }
        self.watch(doing).await;
    }

    fn something(&mut self, doing: &mut JoinSet<()>, after: Duration) {
        let (world, shop) = (Arc::clone(&self.world), Arc::clone(&self.shop));
        let dice = &world.dice;
        let issued = world.ledger().issued.clone();
        if issued.is_empty() || self.phones.is_empty() {
            return;
        }
        let pass = dice.pick(&issued).clone();
        let place = dice.between(0, self.phones.len() as u64 - 1) as usize;
        let phone = Arc::clone(&self.phones[place]);
        let serial = pass.serial.clone();
        let later = tokio::time::sleep(after);
        match dice.between(0, 110) {
            0..30 => {
                // What the phone shows at that moment, an old screenshot, or a customer who reads out a number.
                let way = dice.between(0, 9);
                doing.spawn(async move {
                    later.await;
                    let shown = phone.contents.try_lock().ok().and_then(|contents| {
                        let carried = contents.wallet.get(&serial).or_else(|| contents.wallet.values().next())?;
                        let shown = carried.package.text("serialNumber").to_owned();
                        carried.package.barcode().map(|barcode| (shown, barcode.to_owned()))
                    });
                    match (way, shown) {
                        (0, _) => shop.redeem(&serial, &named(&serial)).await,
                        (1, _) | (_, None) => shop.redeem(&serial, &json!({ "barcode": pass.barcode })).await,
                        (_, Some((shown, barcode))) => shop.redeem(&shown, &json!({ "barcode": barcode })).await,
                    }
                });
            }
            30..38 => drop(doing.spawn(async move {
                later.await;
                shop.rename(&serial).await;
            })),
            38..41 => drop(doing.spawn(async move {
                later.await;
                shop.void(&serial).await;
            })),
            41..47 => drop(doing.spawn(async move {
                later.await;
                let redeemed: Vec<String> = world.ledger().redeemed.keys().cloned().collect();
                if !redeemed.is_empty() {
                    let redemption = world.dice.pick(&redeemed).clone();
                    shop.reverse(&redemption).await;
                }
            })),
            47..53 => drop(doing.spawn(async move {
                later.await;
                shop.change_campaign().await;
            })),
            53..55 => drop(doing.spawn(async move {
                later.await;
                shop.change_template().await;
            })),
            55..58 => drop(doing.spawn(async move {
                later.await;
                if let Some(pass) = shop.issue().await {
                    phone.add(&pass.serial, &pass.download).await;
                }
            })),
            58..66 => drop(doing.spawn(async move {
                later.await;
                phone.add(&pass.serial, &pass.download).await;
            })),
            66..70 => {
                // Somebody sends a pass on, as old as it is on their phone.
                let other = Arc::clone(self.phones.first().expect("a phone"));
                doing.spawn(async move {
                    later.await;
                    let package = other
                        .contents
                        .try_lock()
                        .ok()
                        .and_then(|contents| contents.wallet.get(&serial).map(|carried| carried.package.clone()));
                    if let Some(package) = package {
                        phone.add_shared(&serial, package).await;
                    }
                });
            }
            70..76 => drop(doing.spawn(async move {
                later.await;
                phone.delete(&serial).await;
            })),
            76..80 => drop(doing.spawn(async move {
                later.await;
                phone.switch_updates(&serial).await;
            })),
            80..86 => drop(doing.spawn(async move {
                later.await;
                phone.rotate().await;
            })),
            86..89 => {
                if let Some(backup) = self.backups[place].clone() {
                    doing.spawn(async move {
                        later.await;
                        phone.restore(backup).await;
                    });
                } else if let Ok(contents) = phone.contents.try_lock() {
                    world.note(&phone.name, || "is backed up".to_owned());
                    self.backups[place] = Some(contents.clone());
                }
            }
            89..92 => phone.sleep(),
            92..95 => drop(doing.spawn(async move {
                later.await;
                phone.wake().await;
            })),
            95..98 => {
                let neighbour = Arc::clone(&self.neighbour);
                doing.spawn(async move {
                    later.await;
                    neighbour.meddles(&pass).await;
                });
            }
            98 => {
                let all = dice.chance(0.5);
                doing.spawn(async move {
                    later.await;
                    shop.schedule((!all).then_some(serial.as_str())).await;
                });
            }
            99..101 => drop(doing.spawn(async move {
                later.await;
                shop.order_batch().await;
            })),
            101 => drop(doing.spawn(async move {
                later.await;
                shop.change_webhook().await;
            })),
            102 => world.listener.goes_or_comes_back(),
            108..=110 => drop(doing.spawn(async move {
                later.await;
                shop.change_link(&serial).await;
            })),
            103..106 => drop(doing.spawn(async move {
                later.await;
                shop.renumber(&serial).await;
            })),
            _ => drop(doing.spawn(async move {
                later.await;
                phone.pull(&serial).await;
            })),
        }
    }

    /// Seconds, or weeks. The sweep comes by, more rarely than it would: being late is no excuse.
    async fn time_passes(&self) {
        let seconds = *self.world.dice.pick(&[1, 20, 90, 1_000, 8_000, 100_000, 2_000_000]);
        self.world.note("time", || format!("{seconds} seconds pass"));
        for part in [8, 4, 2, 1] {
            tokio::time::sleep(Duration::from_millis(seconds * 1000 / part / 2)).await;
            if seconds > 60 {
                sweep(&self.world).await;
            }
        }
    }

    /// Fair weather: phones wake up and finish what they began, steps are done as they come due, until none is left.
    async fn settle(&self) {
        for phone in &self.phones {
            phone.wake().await;
        }
        if !self.drains().await {
            return;
        }
        let batches = self.world.ledger().batches.clone();
        for ordered in batches.iter().filter(|ordered| !ordered.collected) {
            if !self.shop.collect(&ordered.batch).await {
                self.world.breaks(Invariant::Drains, format!("the batch {} never ended", ordered.batch));
            }
        }
        self.phones_ask().await;
        // What phones did is told too.
        self.drains().await;
    }

    /// Whether all that was begun is done, in the end.
    async fn drains(&self) -> bool {
        let world = &self.world;
        for _ in 0..PATIENCE {
            while !world.is_idle() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let intents = dynamodb::intents(&world.database, TABLE);
            if intents.is_empty() && world.is_idle() {
                return true;
            }
            // To when the next one is due; but not past a sweep's patience with what it sent.
            let due = intents.first().and_then(|(due, _)| Timestamp::from_millisecond(*due).ok());
            let wait = due.map_or(Duration::ZERO, |due| due.duration_since(world.now()).unsigned_abs());
            let is_due = due.is_none_or(|due| due <= world.now());
            tokio::time::sleep(if is_due { Duration::from_secs(61) } else { wait + Duration::from_secs(1) }).await;
            sweep(world).await;
        }
        let left = dynamodb::intents(&world.database, TABLE);
        let waiting: Vec<usize> = Queue::ALL.iter().map(|queue| world.queue(*queue).len()).collect();
        world.breaks(Invariant::Drains, format!("never done: {left:?}; messages {waiting:?}"));
        false
    }

    /// A change of the campaign, of which nobody hears at first: only reminders tell.
    async fn one_more_change(&self) {
        self.world.apns.loses_one_each();
        self.shop.change_campaign().await;
        self.settle().await;
    }

    /// A customer's pass is erased while everybody still does something with it, in the weather of the seed. Phones have some
    /// time; then nothing is left.
    async fn somebody_is_forgotten(&self) {
        let (world, dice) = (&self.world, &self.world.dice);
        let issued = world.ledger().issued.clone();
        if issued.is_empty() {
            return;
        }
        let pass = dice.pick(&issued);
        // A name that nobody else has.
        self.shop.rename(&pass.serial).await;
        self.drains().await;
        let Some(known) = Known::read(world, &self.shop, pass, &self.phones).await else { return };
        world.ledger().to_be_erased.insert(pass.serial.clone());
        world.storms_again();
        let span = *dice.pick(&[0, 100, 3_000, 60_000]);
        let later = || tokio::time::sleep(Duration::from_millis(dice.between(0, span)));
        let mut doing = JoinSet::new();
        for number in 0..dice.between(3, 8) {
            let (shop, known, later) = (Arc::clone(&self.shop), known.clone(), later());
            let phone = Arc::clone(dice.pick(&self.phones));
            let serial = pass.serial.clone();
            let what = if number == 0 { 0 } else { dice.between(1, 8) };
            doing.spawn(async move {
                later.await;
                match what {
                    0 => shop.erase(&serial).await,
                    1 => phone.pull(&serial).await,
                    2 => phone.rotate().await,
                    3 => phone.delete(&serial).await,
                    4 => phone.add_shared(&serial, known.package).await,
                    _ => shop.tries(&known).await,
                }
            });
        }
        self.watch(doing).await;
        world.clear_up();
        self.phones_ask().await;
        if self.drains().await {
            forgetting::check(world, &self.shop, &self.phones, &known).await;
        }
    }

    /// Who knows that they missed a push asks by themselves, as after a restart of the phone.
    async fn phones_ask(&self) {
        for phone in &self.phones {
            phone.was_reminded().await;
            phone.wake().await;
        }
        while !self.world.is_idle() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let dead: u64 = Queue::ALL.iter().map(|queue| self.world.queue(*queue).dead()).sum();
        if dead > 0 && !self.world.climate().repeats_pushes() {
            self.world.breaks(Invariant::Drains, format!("{dead} dead letters in fair weather"));
        }
    }
}

/// A pass as somebody reads it out.
pub(crate) fn named(serial: &str) -> Value {
    json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": serial })
}

async fn sweep(world: &Arc<World>) {
    let function = Doors::worker("sweep").expect("the sweep");
    let run = world.run("sweep", SWEEP_TIMEOUT, move |app, now| {
        Box::pin(async move { function.run(&app, json!({}), now).await.map_err(|fault| fault.chain()) })
    });
    if let Some((Err(fault), invocation)) = run.await
        && !invocation.may_fail()
    {
        world.failed_without_reason(&format!("the sweep failed: {fault}"));
    }
}
