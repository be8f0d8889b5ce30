//! Scheduled updates (issue "The life of a pass", row "time"): an overlay that comes at a time, goes again, comes back.

use jiff::Timestamp;
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued, PASS_TYPE, two_offers};
use passloop_tests::package::Package;
use passloop_tests::world::{World, root_certificate};
use reqwest::Method;
use serde_json::{Value, json};

async fn schedule(office: &BackOffice, update: &Value) -> Answer {
    Answer::to(office.request(Method::POST, "/updates").json(update)).await
}

async fn get(office: &BackOffice, update: &Value) -> Value {
    let id = update["updateId"].as_str().unwrap();
    Answer::to(office.request(Method::GET, &format!("/updates/{id}"))).await.expect(200).json()
}

async fn cancel(office: &BackOffice, update: &Value) -> Value {
    let id = update["updateId"].as_str().unwrap();
    Answer::to(office.request(Method::DELETE, &format!("/updates/{id}"))).await.expect(200).json()
}

fn discount(percent: &str) -> Value {
    json!({ "fields": { "news": { "value": percent, "changeMessage": "%@" } } })
}

/// Lets the clock jump to this moment, and the sweep find what is due.
async fn at(world: &World, moment: &str) {
    let moment: Timestamp = moment.parse().unwrap();
    world.pass_time(moment.duration_since(world.now()).unsigned_abs()).await;
}

async fn becomes(world: &World, update: &Value, state: &str) -> Value {
    let office = world.back_office();
    world.until(state, || get(&office, update), |update| update["state"] == state).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlay_comes_and_goes_and_what_was_is_restored() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let before = phone.pass(&pass.serial).value("news");
    let (begin, end) =
        (world.now() + jiff::SignedDuration::from_hours(1), world.now() + jiff::SignedDuration::from_hours(2));
    let update =
        json!({ "target": { "campaignId": CAMPAIGN }, "at": begin, "until": end, "overlay": discount("20 %") });
    let update = schedule(&office, &update).await.expect(201).json();
    assert_eq!((&update["state"], &update["nextAt"]), (&json!("scheduled"), &update["at"]));

    // Never early.
    world.pass_time(std::time::Duration::from_millis(3_599_999)).await;
    phone.nothing_new(PASS_TYPE).await;
    world.pass_time(std::time::Duration::from_millis(1)).await;
    assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
    assert_eq!(phone.pass(&pass.serial).value("news"), "20 %");
    assert_eq!(phone.lock_screen().last().map(String::as_str), Some("20 %"));
    assert_eq!(get(&office, &update).await["state"], "active");
    // The barcode and the offer are the same: an update in place redeems nothing.
    assert_eq!(phone.pass(&pass.serial).barcode(), Some(pass.barcode.as_str()));

    world.pass_time(std::time::Duration::from_secs(3600)).await;
    assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
    assert_eq!(phone.pass(&pass.serial).value("news"), before);
    assert_eq!(get(&office, &update).await["state"], "finished");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_friday_in_berlin_across_both_changes_of_daylight_saving() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let news = async || -> Value {
        let package = world.download(&pass).await;
        Package::open(&package.body, &root_certificate()).expect("a good package").value("news")
    };
    let usual = news().await;
    // Berlin is two hours ahead of UTC from 28 March to 31 October 2027, one hour otherwise.
    let update = json!({
        "target": { "campaignId": CAMPAIGN }, "at": "2027-03-19T18:00:00+01:00", "until": "2027-03-20T00:00:00+01:00",
        "every": "week", "timeZone": "Europe/Berlin", "overlay": discount("20 %") });
    let update = schedule(&office, &update).await.expect(201).json();
    for (begin, end) in [
        ("2027-03-19T17:00:00Z", "2027-03-19T23:00:00Z"),
        ("2027-03-26T17:00:00Z", "2027-03-26T23:00:00Z"),
        ("2027-04-02T16:00:00Z", "2027-04-02T22:00:00Z"),
        ("2027-10-29T16:00:00Z", "2027-10-29T22:00:00Z"),
        ("2027-11-05T17:00:00Z", "2027-11-05T23:00:00Z"),
    ] {
        let begin_time: Timestamp = begin.parse().unwrap();
        // What a stop of half a year passed over is not made up for.
        at(&world, &(begin_time - jiff::SignedDuration::from_millis(1)).to_string()).await;
        let next = json!(domain_text(begin_time));
        let what = format!("the update waits for {begin}");
        world.until(&what, || get(&office, &update), |update| update["nextAt"] == next).await;
        assert_eq!(news().await, usual, "before {begin}");
        at(&world, begin).await;
        becomes(&world, &update, "active").await;
        assert_eq!(news().await, "20 %", "at {begin}");
        at(&world, end).await;
        becomes(&world, &update, "scheduled").await;
        assert_eq!(news().await, usual, "at {end}");
    }
    world.end().await;
}

/// The contract's text of a time.
fn domain_text(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_restores_what_was_and_what_is_cancelled_does_not_come() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let before = phone.pass(&pass.serial).value("news");
    let now = world.now();
    let update = json!({ "target": { "campaignId": CAMPAIGN }, "at": now, "overlay": discount("20 %") });
    let update = schedule(&office, &update).await.expect(201).json();
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("news"), "20 %");
    assert_eq!(cancel(&office, &update).await["state"], "cancelled");
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("news"), before);
    // Again: as it is.
    assert_eq!(cancel(&office, &update).await["state"], "cancelled");

    let later = now + jiff::SignedDuration::from_hours(1);
    let update = json!({ "target": { "campaignId": CAMPAIGN }, "at": later, "overlay": discount("30 %") });
    let update = schedule(&office, &update).await.expect(201).json();
    cancel(&office, &update).await;
    world.pass_time(std::time::Duration::from_secs(7200)).await;
    phone.nothing_new(PASS_TYPE).await;
    let listed = Answer::to(office.request(Method::GET, "/updates")).await.expect(200).json();
    let states: Vec<_> = listed["updates"].as_array().unwrap().iter().map(|update| &update["state"]).collect();
    assert_eq!(states, ["cancelled", "cancelled"]);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_pass_alone_is_updated_through_its_redemption_and_its_next_offer() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let (other, mut neighbour) = world.customer("Bob").await;
    let target = json!({ "passTypeIdentifier": pass.pass_type, "serialNumber": pass.serial });
    let overlay = json!({ "set": { "logoText": "Happy birthday" } });
    let update = json!({ "target": target, "at": world.now(), "overlay": overlay });
    let update = schedule(&office, &update).await.expect(201).json();
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).pass["logoText"], "Happy birthday");
    neighbour.nothing_new(PASS_TYPE).await;
    assert_ne!(neighbour.pass(&other.serial).pass["logoText"], "Happy birthday");
    // The next offer that a redemption promised comes all the same.
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.pass_time(std::time::Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    let shown = phone.pass(&pass.serial);
    assert_eq!(
        (shown.value("news"), &shown.pass["logoText"]),
        (json!("New: half-price coffee"), &json!("Happy birthday"))
    );
    cancel(&office, &update).await;
    phone.hear(world.apns()).await;
    assert_ne!(phone.pass(&pass.serial).pass["logoText"], "Happy birthday");
    phone.was_content();
    neighbour.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_put_meanwhile_keeps_the_update_that_is_on() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let update = json!({ "target": { "campaignId": CAMPAIGN }, "at": world.now(), "overlay": discount("20 %") });
    schedule(&office, &update).await.expect(201);
    phone.hear(world.apns()).await;
    let mut campaign = passloop_tests::back_office::two_offers();
    campaign["offers"][0]["title"] = json!("Two croissants");
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    phone.hear(world.apns()).await;
    let shown = phone.pass(&pass.serial);
    assert_eq!((shown.value("offer"), shown.value("news")), (json!("Two croissants"), json!("20 %")));
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_come_is_refused_at_once_by_path() {
    let world = World::new().await;
    let office = world.back_office();
    let pass: Issued = office.issue("Ada").await;
    let now = world.now();
    let campaign = json!({ "campaignId": CAMPAIGN });
    let good = |target: &Value| json!({ "target": target, "at": now, "overlay": discount("20 %") });
    let mut unknown_field = good(&campaign);
    unknown_field["overlay"]["fields"] = json!({ "nowhere": { "value": "x" } });
    let mut no_end = good(&campaign);
    no_end["every"] = json!("week");
    let mut over = good(&campaign);
    over["until"] = json!(now - jiff::SignedDuration::from_secs(1));
    let mut zone = good(&campaign);
    zone["timeZone"] = json!("Mars/Olympus");
    let mut unknown = good(&campaign);
    unknown["color"] = json!("red");
    let nobody = json!({ "passTypeIdentifier": pass.pass_type, "serialNumber": "nobody" });
    for (body, path) in [
        (unknown_field, "/overlay/fields/nowhere"),
        (no_end, "/until"),
        (over, "/until"),
        (zone, "/timeZone"),
        (unknown, "/color"),
        (good(&json!({ "campaignId": "none" })), "/target"),
        (good(&nobody), "/target"),
        (good(&json!({})), "/target"),
    ] {
        let answer = schedule(&office, &body).await;
        answer.any_problem(&[400, 422]);
        assert!(answer.problem_paths().contains(&path.to_owned()), "{path}: {}", answer.text());
    }
    Answer::to(office.request(Method::GET, "/updates/none")).await.problem(404, "not_found");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_schedules_once() {
    let world = World::new().await;
    let office = world.back_office();
    let update = json!({ "target": { "campaignId": CAMPAIGN }, "at": world.now(), "overlay": discount("20 %") });
    let send = || Answer::to(office.request(Method::POST, "/updates").header("Idempotency-Key", "k").json(&update));
    let (first, second) = (send().await.expect(201).json(), send().await.expect(201).json());
    assert_eq!(first["updateId"], second["updateId"]);
    let listed = Answer::to(office.request(Method::GET, "/updates")).await.expect(200).json();
    assert_eq!(listed["updates"].as_array().unwrap().len(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_scheduled_is_answered_so_when_its_time_is_over_too() {
    // Contract 4: the same key with the same body gives the first answer again.
    let world = World::new().await;
    let office = world.back_office();
    let until = world.now() + jiff::SignedDuration::from_hours(1);
    let update =
        json!({ "target": { "campaignId": CAMPAIGN }, "at": world.now(), "until": until, "overlay": discount("20 %") });
    let send = || Answer::to(office.request(Method::POST, "/updates").header("Idempotency-Key", "k").json(&update));
    let first = send().await.expect(201).json();
    world.pass_time(std::time::Duration::from_secs(7200)).await;
    let again = send().await.expect(201);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.json(), first);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_targets_are_none_and_a_list_goes_on_only_where_one_ended() {
    let world = World::new().await;
    let office = world.back_office();
    let both = json!({ "campaignId": CAMPAIGN, "passTypeIdentifier": PASS_TYPE });
    let answer = schedule(&office, &json!({ "target": both, "at": world.now(), "overlay": discount("20 %") })).await;
    answer.any_problem(&[400, 422]);
    assert_eq!(answer.problem_paths(), ["/target"]);
    let answer = Answer::to(office.request(Method::GET, "/updates?cursor=anything")).await;
    answer.problem(422, "invalid");
    world.end().await;
}

/// A key that may schedule for one pass only is told nothing of what a greater one scheduled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_keys_answer_is_given_only_to_whom_it_could_be_given() {
    let world = World::new().await;
    let office = world.back_office();
    let made = office.make_key(&json!({ "role": "issue" })).await.expect(201).json();
    let lesser = world.back_office_with(made["secret"].as_str().unwrap());
    let update = json!({ "target": { "campaignId": CAMPAIGN }, "at": world.now(), "overlay": discount("20 %") });
    let send = |office: &BackOffice| {
        Answer::to(office.request(Method::POST, "/updates").header("Idempotency-Key", "k").json(&update))
    };
    send(&office).await.expect(201);
    send(&lesser).await.problem(403, "forbidden");
    world.end().await;
}

/// What is on for one pass stands in its item, which has an end; the update that is too much fails, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_of_one_pass_leave_room_for_the_pass() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let target = json!({ "passTypeIdentifier": pass.pass_type, "serialNumber": pass.serial });
    let update = |bytes: usize| {
        let overlay = json!({ "set": { "userInfo": { "text": "x".repeat(bytes) } } });
        json!({ "target": target, "at": world.now() + jiff::SignedDuration::from_secs(60), "overlay": overlay })
    };
    assert_eq!(schedule(&office, &update(200_000)).await.problem_paths(), ["/overlay"]);
    let first = schedule(&office, &update(100_000)).await.expect(201).json();
    let second = schedule(&office, &update(100_001)).await.expect(201).json();
    world.pass_time(std::time::Duration::from_secs(60)).await;
    let states = || async {
        let mut states = [get(&office, &first).await, get(&office, &second).await];
        states.iter_mut().map(|update| update["state"].take()).collect::<Vec<Value>>()
    };
    let is_over = |states: &Vec<Value>| states.iter().all(|state| state != "scheduled");
    let mut states = world.until("one is on, and one failed", states, is_over).await;
    states.sort_by_key(Value::to_string);
    assert_eq!(states, [json!("active"), json!("failed")]);
    world.till().redeem(&pass.barcode).await.expect(201);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_the_next_offer_of_a_pass_keeps_nobody_from_fetching_it() {
    let mut campaign = two_offers();
    // A field that only the first offer has.
    let extra = json!([{ "key": "extra", "label": "Extra", "value": "none" }]);
    campaign["offers"][0]["overlay"] = json!({ "set": { "coupon": { "headerFields": extra } } });
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let target = json!({ "passTypeIdentifier": pass.pass_type, "serialNumber": pass.serial });
    let update =
        json!({ "target": target, "at": world.now(), "overlay": { "fields": { "extra": { "value": "20 %" } } } });
    let update = schedule(&office, &update).await.expect(201).json();
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("extra"), "20 %");
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.pass_time(std::time::Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    // Without the update it looks the same, so nobody is told.
    assert_eq!(cancel(&office, &update).await["state"], "cancelled");
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_the_state_of_its_pass_covers_is_told_to_nobody() {
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(86_400);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let target = json!({ "passTypeIdentifier": pass.pass_type, "serialNumber": pass.serial });
    let update = json!({ "target": target, "at": world.now(), "overlay": discount("20 %") });
    let update = schedule(&office, &update).await.expect(201).json();
    becomes(&world, &update, "active").await;
    phone.nothing_new(PASS_TYPE).await;
    assert_eq!(phone.pass(&pass.serial).value("news"), "Used. Enjoy!");
    // With the next offer that state is over, and the offer's own news lie below the update.
    world.pass_time(std::time::Duration::from_secs(86_400)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("news"), "20 %");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_ends_although_another_hangs_on_it() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let before = phone.pass(&pass.serial).pass["coupon"]["headerFields"].clone();
    let hours = |hours: i64| world.now() + jiff::SignedDuration::from_hours(hours);
    let brings =
        json!({ "set": { "coupon": { "headerFields": [{ "key": "sale", "label": "Sale", "value": "yes" }] } } });
    let hangs = json!({ "fields": { "sale": { "value": "20 %" } } });
    let campaign = json!({ "campaignId": CAMPAIGN });
    let first = json!({ "target": campaign, "at": world.now(), "until": hours(1), "overlay": brings });
    let first = schedule(&office, &first).await.expect(201).json();
    becomes(&world, &first, "active").await;
    let second = json!({ "target": campaign, "at": world.now(), "until": hours(2), "overlay": hangs });
    let second = schedule(&office, &second).await.expect(201).json();
    becomes(&world, &second, "active").await;
    // What is for good must not hang on what goes.
    let mut draft = two_offers();
    draft["redeemedOverlay"]["fields"]["sale"] = json!({ "value": "over" });
    let refused = office.put_campaign(CAMPAIGN, &draft).await;
    assert!(refused.problem_paths().contains(&"/redeemedOverlay/fields/sale".to_owned()), "{}", refused.text());

    world.pass_time(std::time::Duration::from_secs(3600)).await;
    becomes(&world, &first, "finished").await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).pass["coupon"]["headerFields"], before);
    world.pass_time(std::time::Duration::from_secs(3600)).await;
    becomes(&world, &second, "finished").await;
    world.end().await;
}
