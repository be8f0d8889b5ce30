//! Erasing a pass, and campaigns that keep passes for a time only (issue 6, "Erasure and retention"; decision 0016).

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued, PASS_TYPE, two_offers};
use passloop_tests::iphone::IPhone;
use passloop_tests::package::Package;
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::web_service::Registration;
use passloop_tests::world::{World, root_certificate};
use platform::app::{dynamodb, s3, sdk_config};
use platform::erasing::SETTLED;
use platform::store::{Intent, Step};
use reqwest::Method;
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Found nowhere but where it was put.
const NAME: &str = "Ada King, Countess of Lovelace";

/// Every item of the table, as text.
async fn table(world: &World) -> String {
    let config = &world.local().app().config;
    let client = dynamodb(&sdk_config(&config.aws), &config.aws);
    let (mut all, mut start) = (String::new(), None);
    loop {
        let page = client.scan().table_name(&config.table_name).consistent_read(true).set_exclusive_start_key(start);
        let page = page.send().await.expect("a scan");
        for item in page.items() {
            all.push_str(&format!("{item:?}\n"));
        }
        match page.last_evaluated_key {
            Some(next) => start = Some(next),
            None => return all,
        }
    }
}

/// The names of the packages in the bucket.
async fn packages(world: &World) -> Vec<String> {
    let config = &world.local().app().config;
    let client = s3(&sdk_config(&config.aws), &config.aws);
    let found = client.list_objects_v2().bucket(&config.bucket_name).prefix("packages/").send().await.expect("a list");
    found.contents().iter().filter_map(|object| object.key.clone()).collect()
}

async fn erase(office: &BackOffice, pass: &Issued) -> Answer {
    Answer::to(office.request(Method::DELETE, &format!("/passes/{}/{}", pass.pass_type, pass.serial))).await
}

async fn status(office: &BackOffice, pass: &Issued) -> u16 {
    Answer::to(office.request(Method::GET, &format!("/passes/{}/{}", pass.pass_type, pass.serial))).await.status
}

async fn report(world: &World) -> Value {
    Answer::to(world.back_office().report(CAMPAIGN, "")).await.expect(200).json()
}

/// The sweep comes by until no item of the table names the pass's holder.
async fn until_forgotten(world: &World, what: &str) {
    let ask = || async {
        world.sweep().await;
        table(world).await.contains(NAME)
    };
    world.until(what, ask, |named| !named).await;
}

/// What a phone that was forgotten is told: as of an unknown pass (contract, section 3).
async fn is_unknown_to_us(world: &World, phone: &IPhone, pass: &Issued, authorization: &str) {
    let service = world.web_service();
    service.pass(PASS_TYPE, &pass.serial, Some(authorization), None).await.expect(401);
    service.list(phone.device(), PASS_TYPE, None).await.expect(204);
    let of = Registration { device: phone.device(), pass_type: PASS_TYPE, serial: &pass.serial };
    service.unregister(of, Some(authorization)).await.expect(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phone_sees_it_void_then_nothing_is_left_but_what_was_counted() {
    let world = World::new().await;
    let office = world.back_office();
    let order = json!({ "campaignId": CAMPAIGN, "serialNumber": "customer-1", "holder": { "name": NAME } });
    let issue = || office.request(Method::POST, "/passes").header("Idempotency-Key", "order 1").json(&order);
    let pass = Issued::read(&Answer::to(issue()).await.expect(201).json());
    let path = format!("/passes/{PASS_TYPE}/{}", pass.serial);
    let mut phone = world.iphone();
    phone.add(&world.download(&pass).await.body).await;
    let authorization = phone.authorization(&pass.serial);
    // Everything that may hold words about her: a reversal, an update of her pass alone, answers kept for repetitions.
    let used = world.till().redeem(&pass.barcode).await.expect(201).json();
    phone.hear(world.apns()).await;
    let redemption = used["redemptionId"].as_str().unwrap().to_owned();
    let reversal = json!({ "reason": format!("{NAME} sent it back") });
    let reverse = || office.reversal(&redemption).header("Idempotency-Key", "mistake").json(&reversal);
    Answer::to(reverse()).await.expect(200);
    Answer::to(office.reversal(&redemption).header("Idempotency-Key", "mistake, told twice").json(&json!({})))
        .await
        .expect(200);
    phone.hear(world.apns()).await;
    let update = json!({ "target": { "passTypeIdentifier": PASS_TYPE, "serialNumber": pass.serial },
        "at": "2099-01-01T00:00:00Z", "overlay": { "fields": { "news": { "value": format!("Dear {NAME}") } } } });
    let update = office.request(Method::POST, "/updates").header("Idempotency-Key", "greeting").json(&update);
    Answer::to(update).await.expect(201);
    let barcode = office.get(&pass).await["barcode"].as_str().unwrap().to_owned();
    assert!(!packages(&world).await.is_empty());

    erase(&office, &pass).await.expect(204);
    // To its merchant it is gone at once.
    for (method, tail) in
        [(Method::GET, ""), (Method::GET, "/history"), (Method::GET, "/mail"), (Method::POST, "/void")]
    {
        Answer::to(office.request(method, &format!("{path}{tail}"))).await.problem(404, "unknown_pass");
    }
    office.patch_holder(&pass, json!({ "name": "Eve" })).await.problem(404, "unknown_pass");
    let listed = office.request(Method::GET, &format!("/passes?campaignId={CAMPAIGN}"));
    assert_eq!(Answer::to(listed).await.expect(200).json()["passes"], json!([]));
    for scanned in [&barcode, &pass.barcode] {
        world.till().redeem(scanned).await.problem(404, "unknown_pass");
    }
    world.till().redeem_pass(PASS_TYPE, &pass.serial).await.problem(404, "unknown_pass");
    Answer::to(world.http().get(&pass.download_url)).await.expect(404);
    erase(&office, &pass).await.expect(204);
    // Nor does a repetition tell of it, although its phones have not heard yet.
    let repeat = || async { Answer::to(issue()).await.status };
    world.until("the order is forgotten", repeat, |status| *status == 404).await;
    Answer::to(reverse()).await.problem(404, "unknown_pass");
    let updates = Answer::to(office.request(Method::GET, "/updates")).await.expect(200).json();
    assert_eq!(updates["updates"], json!([]));

    // The phone learns that it is worth nothing, and a minute later that we do not know it.
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).pass["voided"], true);
    phone.was_content();
    world.advance(Duration::from_secs(60));
    until_forgotten(&world, "the table names nobody").await;
    world.until("no package is left", || packages(&world), |left| left.is_empty()).await;
    is_unknown_to_us(&world, &phone, &pass, &authorization).await;
    let left = table(&world).await;
    assert!(!left.contains(phone.push_token()) && !left.contains(&authorization["ApplePass ".len()..]), "{left}");
    assert!(!left.contains("EVENT#"), "a history is left");

    // What was counted stays; the redemption is there, without words.
    let told = report(&world).await;
    assert_eq!((&told["issued"], &told["redeemed"], &told["reversed"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(told["installed"], json!({ "now": 0, "ever": 1 }));
    assert_eq!((&told["erased"], &told["forgotten"], &told["removed"]), (&json!(1), &json!(1), &json!(0)));
    let kept = Answer::to(office.request(Method::GET, &format!("/redemptions/{redemption}"))).await.expect(200).json();
    assert_eq!((&kept["redemptionId"], &kept["reversalReason"]), (&json!(redemption), &Value::Null));
    office.reverse(&redemption).await.expect(200);

    // Again; the order repeated; the serial number for somebody else.
    erase(&office, &pass).await.expect(204);
    let repeated = Answer::to(issue()).await;
    assert_eq!(repeated.problem(404, "unknown_pass")["status"], 404);
    let other = json!({ "campaignId": CAMPAIGN, "serialNumber": "customer-1", "holder": { "name": "Bob" } });
    office.post_pass(&other).await.problem(409, "serial_number_taken");
    world.end().await;
}

/// A pass, with the phone of its customer and another one that carries it.
async fn on_two_phones(world: &World) -> (Issued, IPhone, IPhone) {
    let (pass, phone) = world.customer(NAME).await;
    let package = world.download(&pass).await.body;
    let mut other = world.iphone();
    other.add(&package).await;
    (pass, phone, other)
}

/// A phone that is told at last, and finds the pass void.
async fn sees_it_void(phone: &mut IPhone, pass: &Issued) {
    phone.pushed(PASS_TYPE).await;
    assert_eq!(phone.pass(&pass.serial).pass["voided"], true);
    phone.was_content();
}

/// The erasure has begun, and its phones have time.
async fn until_waited_for(world: &World) {
    let is_waiting = |intent: &Intent| matches!(intent.step, Step::Erase { looks: 1, .. });
    world.until("it is waited for", || world.intents(), |intents| intents.iter().any(is_waiting)).await;
}

/// It is looked three times, within some half an hour, whether they know.
async fn three_looks(world: &World) {
    for seconds in [60, 300, 1800] {
        world.pass_time(Duration::from_secs(seconds)).await;
        // Its look is over when the next one is noted.
        let now = world.now();
        let due = || async { world.intents().await.into_iter().map(|intent| intent.due).collect::<Vec<_>>() };
        world.until("it was looked at", due, |due| due.iter().all(|due| *due > now)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_phones_the_slower_has_three_days() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut quick, mut slow) = on_two_phones(&world).await;
    let authorization = quick.authorization(&pass.serial);
    erase(&office, &pass).await.expect(204);
    quick.hear(world.apns()).await;
    for seconds in [60, 300, 1800, 7200, 21_600, 140_000] {
        world.pass_time(Duration::from_secs(seconds)).await;
    }
    // Almost two days later: it was off, and comes in time.
    sees_it_void(&mut slow, &pass).await;
    world.advance(DAY * 2);
    until_forgotten(&world, "three days are over").await;
    is_unknown_to_us(&world, &quick, &pass, &authorization).await;
    is_unknown_to_us(&world, &slow, &pass, &authorization).await;
    let told = world.until("it is counted", || report(&world), |told| told["erased"] == 1).await;
    assert_eq!((&told["forgotten"], &told["installed"]["now"]), (&json!(2), &json!(0)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_phones_the_one_that_fetched_and_left_takes_no_time_from_the_other() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut quick, mut slow) = on_two_phones(&world).await;
    erase(&office, &pass).await.expect(204);
    quick.hear(world.apns()).await;
    assert_eq!(quick.pass(&pass.serial).pass["voided"], true);
    quick.delete(&pass.serial).await;
    three_looks(&world).await;
    sees_it_void(&mut slow, &pass).await;
    // Nobody carries it any more: nobody is waited for.
    slow.delete(&pass.serial).await;
    world.advance(Duration::from_secs(7200));
    until_forgotten(&world, "both phones have left").await;
    world.end().await;
}

/// A pass that is void already is void on the phones that heard of it: not on one that was off for all its pushes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_missed_the_void_hears_of_it_when_the_pass_is_erased() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer(NAME).await;
    let settled = |intents: &Vec<Intent>| intents.is_empty();
    let passes = || async {
        world.pass_time(DAY).await;
        world.intents().await
    };
    world.until("the first version is fetched", passes, settled).await;
    office.void(&pass).await.expect(200);
    world.until("its pushes are over", passes, settled).await;
    let missed = world.apns().pushes().len();
    erase(&office, &pass).await.expect(204);
    let ask = || async { world.apns().pushes().len() };
    world.until("it is pushed", ask, |pushes| *pushes > missed).await;
    world.pass_time(DAY).await;
    sees_it_void(&mut phone, &pass).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fetched_the_void_before_and_left_takes_no_time_from_the_other() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut quick, mut slow) = on_two_phones(&world).await;
    office.void(&pass).await.expect(200);
    quick.hear(world.apns()).await;
    assert_eq!(quick.pass(&pass.serial).pass["voided"], true);
    quick.delete(&pass.serial).await;
    erase(&office, &pass).await.expect(204);
    until_waited_for(&world).await;
    three_looks(&world).await;
    sees_it_void(&mut slow, &pass).await;
    world.end().await;
}

/// The clerk's words may be about the customer: with the pass they are unknown at once (decision 0016).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_of_a_redemption_is_unknown_with_the_pass() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer(NAME).await;
    let used = world.till().redeem(&pass.barcode).await.expect(201).json();
    let redemption = used["redemptionId"].as_str().unwrap().to_owned();
    let reversal = json!({ "reason": format!("{NAME} sent it back") });
    Answer::to(office.reversal(&redemption).json(&reversal)).await.expect(200);
    phone.hear(world.apns()).await;
    let barcode = office.get(&pass).await["barcode"].as_str().unwrap().to_owned();
    let again = world.till().redeem(&barcode).await.expect(201).json();
    // Its phone has not heard yet, so the pass is there, for nobody but the phone.
    erase(&office, &pass).await.expect(204);
    let known = Answer::to(office.request(Method::GET, &format!("/redemptions/{redemption}"))).await.expect(200);
    assert!(!known.text().contains(NAME), "{}", known.text());
    assert_eq!(known.json()["delivery"], Value::Null);
    assert!(!office.reverse(&redemption).await.expect(200).text().contains(NAME));
    let counted = again["redemptionId"].as_str().unwrap();
    office.reverse(counted).await.problem(404, "unknown_pass");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_later_request_under_the_same_key_stays() {
    let world = World::new().await;
    let office = world.back_office();
    let order = |name: &str| {
        let body = json!({ "campaignId": CAMPAIGN, "holder": { "name": name } });
        office.request(Method::POST, "/passes").header("Idempotency-Key", "order-1").json(&body)
    };
    let issue = async |name| Answer::to(order(name)).await.expect(201);
    let erased = async |pass: &Issued, so_many: u32| {
        erase(&office, pass).await.expect(204);
        world.advance(HOUR);
        let ask = || async {
            world.sweep().await;
            report(&world).await
        };
        world.until("it is erased", ask, |told| told["erased"] == so_many).await;
    };
    let first = Issued::read(&issue(NAME).await.json());
    // An answer is kept for thirty days; then the key may come with another order, and with the same one.
    world.advance(DAY * 31);
    let second = Issued::read(&issue("Bob").await.json());
    erased(&first, 1).await;
    let again = issue("Bob").await;
    assert_eq!(
        (again.header("idempotency-replayed"), &*Issued::read(&again.json()).serial),
        (Some("true"), &*second.serial)
    );
    world.advance(DAY * 31);
    let third = Issued::read(&issue("Bob").await.json());
    assert_ne!(third.serial, second.serial);
    erased(&second, 2).await;
    let again = issue("Bob").await;
    assert_eq!(
        (again.header("idempotency-replayed"), &*Issued::read(&again.json()).serial),
        (Some("true"), &*third.serial)
    );
    // Its own it takes along.
    erased(&third, 3).await;
    Answer::to(order("Bob")).await.problem(404, "unknown_pass");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_carries_is_gone_in_an_hour_and_a_crash_does_not_save_it() {
    let world = World::on_disk().await;
    let office = world.back_office();
    let pass = office.issue(NAME).await;
    world.download(&pass).await;
    erase(&office, &pass).await.expect(204);
    // Its queues are gone with it; the step is in the table.
    let world = world.restart().await;
    world.advance(HOUR);
    until_forgotten(&world, "the rest is done after the restart").await;
    world.advance(Duration::from_secs(180));
    until_forgotten(&world, "nothing came back").await;
    assert_eq!(packages(&world).await, Vec::<String>::new());
    world.end().await;
}

/// The intents of the table that look at a pass: when they are due, in milliseconds.
async fn looks(world: &World) -> Vec<i64> {
    let all = table(world).await;
    let looks = all.lines().filter(|item| item.contains("\\\"step\\\":\\\"retain\\\""));
    let due = |item: &str| {
        let due = item.split("\"due\": N(\"").nth(1).expect("due").split('"').next().unwrap().to_owned();
        due.parse().expect("milliseconds")
    };
    looks.map(due).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_forgets_its_passes_so_many_days_after_their_end() {
    let mut campaign = two_offers();
    campaign["offers"].as_array_mut().unwrap().truncate(1);
    campaign["retentionDays"] = json!(30);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer(NAME).await;
    let authorization = phone.authorization(&pass.serial);
    let other = office.issue("Bob, who never comes").await;
    world.pass_time(DAY * 10).await;
    world.till().redeem(&pass.barcode).await.expect(201);
    assert_eq!(office.get(&pass).await["state"], "finished");
    phone.hear(world.apns()).await;
    let end = (world.now().as_millisecond(), 40 * 86_400_000);
    let erased_at = end.0 - 10 * 86_400_000 + end.1;
    // Looked at after thirty days, which is too early by ten.
    world.advance(DAY * 20 + Duration::from_secs(3600));
    let ask = || async {
        world.sweep().await;
        looks(&world).await
    };
    world.until("it is to be looked at when it is over", ask, |due| due.contains(&erased_at)).await;
    assert_eq!(status(&office, &pass).await, 200);
    world.advance(DAY * 10);
    let ask = || async {
        world.sweep().await;
        status(&office, &pass).await
    };
    world.until("forty days are over", ask, |status| *status == 404).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).pass["voided"], true);
    world.advance(Duration::from_secs(61));
    until_forgotten(&world, "nothing is left").await;
    is_unknown_to_us(&world, &phone, &pass, &authorization).await;
    // A pass without end is looked at for ever, once each thirty days.
    assert_eq!(status(&office, &other).await, 200);
    assert_eq!(looks(&world).await.len(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_whose_promised_offer_went_ends_when_it_would_have_come() {
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(30 * 86_400);
    campaign["retentionDays"] = json!(7);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let pass = office.issue(NAME).await;
    world.till().redeem(&pass.barcode).await.expect(201);
    campaign["offers"].as_array_mut().unwrap().truncate(1);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    let end = world.now().as_millisecond() + 37 * 86_400_000;
    let looked = async || {
        let now = world.now().as_millisecond();
        let ask = || async {
            world.sweep().await;
            looks(&world).await
        };
        world.until("it was looked at", ask, |due| due.len() == 1 && due[0] > now).await
    };
    for _ in 0..4 {
        world.advance(DAY * 7);
        looked().await;
    }
    assert_eq!(office.get(&pass).await["state"], "redeemed");
    world.advance(DAY * 2);
    let state = || async {
        world.sweep().await;
        office.get(&pass).await["state"].clone()
    };
    world.until("nothing follows", state, |state| state == "finished").await;
    // A change of what has ended ends it no later.
    world.advance(DAY);
    office.patch_holder(&pass, json!({ "seat": "12A" })).await.expect(200);
    world.advance(DAY * 4);
    assert_eq!(looked().await, [end]);
    assert_eq!(status(&office, &pass).await, 200);
    world.advance(DAY * 2);
    let ask = || async {
        world.sweep().await;
        status(&office, &pass).await
    };
    world.until("thirty-seven days are over", ask, |status| *status == 404).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_comes_later_holds_for_passes_that_are_there() {
    let mut campaign = two_offers();
    let until =
        |world: &World, days: u32| (world.now() + jiff::SignedDuration::try_from(DAY * days).unwrap()).to_string();
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let pass = office.issue(NAME).await;
    // The last offer ends in two days; one day later passes go.
    for offer in campaign["offers"].as_array_mut().unwrap() {
        offer["redeemableUntil"] = json!(until(&world, 2));
    }
    campaign["retentionDays"] = json!(1);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    world.advance(SETTLED.unsigned_abs());
    let ask = || async {
        world.sweep().await;
        looks(&world).await.len()
    };
    world.until("it is to be looked at", ask, |looks| *looks == 1).await;
    // The same campaign again changes nothing about that.
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    world.advance(DAY + DAY / 2);
    let ask = || async {
        world.sweep().await;
        looks(&world).await
    };
    let now = world.now().as_millisecond();
    world.until("it was looked at, too early", ask, |due| due.iter().all(|due| *due > now)).await;
    assert_eq!(status(&office, &pass).await, 200);
    world.advance(DAY * 2);
    let ask = || async {
        world.sweep().await;
        status(&office, &pass).await
    };
    world.until("the campaign is over", ask, |status| *status == 404).await;
    world.advance(HOUR);
    until_forgotten(&world, "nothing is left").await;
    // And a campaign that keeps its passes again, keeps them.
    campaign["retentionDays"] = Value::Null;
    campaign["offers"].as_array_mut().unwrap().truncate(1);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    office.put_campaign(CAMPAIGN, &json!({ "retentionDays": 0 })).await.problem(422, "invalid");
    world.end().await;
}

/// Decision 0016, "Void first": a phone that is only told 401 keeps showing the pass for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_comes_while_the_erasure_begins_is_told() {
    let (world, tap, underneath) = World::tapped().await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    office.put_campaign(CAMPAIGN, &two_offers()).await.expect(201);
    let pass = office.issue(NAME).await;
    let package = Package::open(&world.download(&pass).await.body, &root_certificate()).unwrap();
    let authorization = format!("ApplePass {}", package.pass["authenticationToken"].as_str().unwrap());
    let of = Registration { device: "late", pass_type: &pass.pass_type, serial: &pass.serial };
    let service = world.web_service();
    // It has looked who carries the pass, and found nobody.
    let mut held = tap.hold("TransactWriteItems");
    let comes = async {
        held.caught().await;
        service.register(of, Some(&authorization), &"ab".repeat(32)).await.expect(201);
        drop(held);
    };
    let (erased, ()) = tokio::join!(erase(&office, &pass), comes);
    erased.expect(204);
    until_waited_for(&world).await;
    let void = service.pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
    assert_eq!(Package::open(&void.body, &root_certificate()).unwrap().pass["voided"], true);
    world.end().await;
    underneath.end().await;
}
