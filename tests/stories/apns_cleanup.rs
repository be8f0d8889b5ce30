//! What APNs answers decides who stays registered (reference 2.4; B12).

use std::time::Duration;

use passloop_tests::back_office::{Issued, PASS_TYPE};
use passloop_tests::iphone::IPhone;
use passloop_tests::world::{PATIENCE, World};
use serde_json::json;

async fn add_to_another(world: &World, pass: &Issued) -> IPhone {
    let mut phone = world.iphone();
    phone.add(&world.download(pass).await.body).await;
    phone
}

async fn devices_become(world: &World, pass: &Issued, count: u64) {
    let office = world.back_office();
    world.until("cleaned up", || office.get(pass), |seen| seen["devices"] == count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_what_apple_expects() {
    // Reference 2.1 to 2.3.
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let pushes = world.apns().pushes();
    let push = pushes.iter().find(|push| push.token == phone.push_token()).unwrap();
    assert_eq!(push.topic, PASS_TYPE);
    assert_eq!(push.payload, "{}");
    // With `background` only priority 5 is legal; without a type, or with `alert`, 10 or 5.
    let priority = push.header("apns-priority").unwrap_or("10");
    match push.header("apns-push-type") {
        Some("background") => assert_eq!(priority, "5"),
        Some("alert") | None => assert!(["5", "10"].contains(&priority), "{priority}"),
        Some(other) => panic!("push type {other}"),
    }
    // A phone that is off gets it later: 0 would be one attempt only.
    if let Some(expiration) = push.header("apns-expiration") {
        let expires: i64 = expiration.parse().unwrap();
        assert!(expires >= world.now().as_second() + 86_400, "{expires}");
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_since_after_the_registration_removes_it() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let gone = world.now() + Duration::from_secs(60);
    world.advance(Duration::from_secs(120));
    world.apns().answer(phone.push_token(), 410, "Unregistered", Some(gone.as_millisecond()));
    world.till().redeem(&pass.barcode).await.expect(201);
    devices_become(&world, &pass, 0).await;
    world.web_service().list(phone.device(), PASS_TYPE, None).await.expect(204);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_since_before_the_registration_keeps_it() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let gone = world.now() - Duration::from_secs(60);
    world.apns().answer(phone.push_token(), 410, "Unregistered", Some(gone.as_millisecond()));
    world.till().redeem(&pass.barcode).await.expect(201);
    // The next push goes to the same token again: it was kept.
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    world.apns().answer_normally(phone.push_token());
    world.pass_time(Duration::from_secs(15)).await;
    let pushes = world.apns().wait_for(phone.push_token(), 2, PATIENCE).await;
    assert!(pushes.len() >= 2);
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    while phone.pass(&pass.serial).value("offer") != "Half-price coffee" {
        phone.hear(world.apns()).await;
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_since_before_the_registration_is_told_again() {
    // Reference 2.4: "unless the device re-registered after timestamp". Then it lives, and has not been told yet.
    let world = World::new().await;
    let office = world.back_office();
    let (pass, phone) = world.customer("Ada").await;
    let gone = world.now() - Duration::from_secs(60);
    world.apns().answer(phone.push_token(), 410, "Unregistered", Some(gone.as_millisecond()));
    // Nothing follows a void that would be pushed by itself.
    office.void(&pass).await.expect(200);
    assert_eq!(world.apns().wait_for(phone.push_token(), 1, PATIENCE).await.len(), 1);
    world.until("pushed", || office.history(&pass), |events| events.contains(&"pushed".to_owned())).await;
    world.apns().answer_normally(phone.push_token());
    world.pass_time(Duration::from_secs(11)).await;
    assert_eq!(world.apns().wait_for(phone.push_token(), 2, PATIENCE).await.len(), 2, "never told again");
    assert_eq!(office.get(&pass).await["devices"], 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_at_about_the_time_of_the_registration_is_tried_once_more_before_it_ends() {
    // The clocks of APNs and of functions are not one: which came first is not known, and another try tells.
    let world = World::new().await;
    let office = world.back_office();
    let (pass, phone) = world.customer("Ada").await;
    let gone = world.now() + Duration::from_secs(3);
    world.apns().answer(phone.push_token(), 410, "Unregistered", Some(gone.as_millisecond()));
    office.void(&pass).await.expect(200);
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    world.until("pushed", || office.history(&pass), |events| events.contains(&"pushed".to_owned())).await;
    assert_eq!(office.get(&pass).await["devices"], 1, "ended although it may live");
    world.pass_time(Duration::from_secs(11)).await;
    world.apns().wait_for(phone.push_token(), 2, PATIENCE).await;
    // Twice the same answer: it is gone.
    devices_become(&world, &pass, 0).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_again_after_gone_keeps_the_registration() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let gone = world.now() + Duration::from_secs(60);
    world.advance(Duration::from_secs(120));
    // Same token, registered again after the timestamp of the 410.
    let authorization = phone.authorization(&pass.serial);
    let of = passloop_tests::web_service::Registration {
        device: phone.device(),
        pass_type: PASS_TYPE,
        serial: &pass.serial,
    };
    world.web_service().register(of, Some(&authorization), phone.push_token()).await.expect(200);
    world.apns().answer(phone.push_token(), 410, "Unregistered", Some(gone.as_millisecond()));
    world.till().redeem(&pass.barcode).await.expect(201);
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    world.apns().answer_normally(phone.push_token());
    world.pass_time(Duration::from_secs(15)).await;
    let pushes = world.apns().wait_for(phone.push_token(), 2, PATIENCE).await;
    assert!(pushes.len() >= 2, "the registration was removed although it is newer than the 410");
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    while phone.pass(&pass.serial).value("offer") != "Half-price coffee" {
        phone.hear(world.apns()).await;
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_device_token_is_removed() {
    for reason in ["BadDeviceToken", "DeviceTokenNotForTopic"] {
        let world = World::new().await;
        let (pass, phone) = world.customer("Ada").await;
        world.apns().answer(phone.push_token(), 400, reason, None);
        world.till().redeem(&pass.barcode).await.expect(201);
        devices_become(&world, &pass, 0).await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_token_does_not_stop_the_others_b12() {
    let world = World::new().await;
    let (pass, gone) = world.customer("Ada").await;
    let broken = add_to_another(&world, &pass).await;
    let throttled = add_to_another(&world, &pass).await;
    let mut good = add_to_another(&world, &pass).await;
    let mut also_good = add_to_another(&world, &pass).await;
    world.apns().answer(gone.push_token(), 410, "Unregistered", None);
    world.apns().answer(broken.push_token(), 400, "BadDeviceToken", None);
    world.apns().answer(throttled.push_token(), 429, "TooManyRequests", None);
    world.till().redeem(&pass.barcode).await.expect(201);
    good.hear(world.apns()).await;
    also_good.hear(world.apns()).await;
    assert_eq!(good.pass(&pass.serial).barcode(), None);
    // The throttled phone is not at fault: it stays.
    devices_become(&world, &pass, 3).await;
    good.was_content();
    also_good.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_down_is_asked_again() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.apns().answer(phone.push_token(), 503, "ServiceUnavailable", None);
    world.till().redeem(&pass.barcode).await.expect(201);
    let refused = world.apns().wait_for(phone.push_token(), 1, PATIENCE).await.len();
    assert!(refused >= 1);
    world.apns().answer_normally(phone.push_token());
    // The sweep sends what is overdue again (design 3).
    world.pass_time(Duration::from_secs(600)).await;
    let pushes = world.apns().wait_for(phone.push_token(), refused + 1, PATIENCE).await;
    assert!(pushes.len() > refused, "never pushed again");
    phone.hear(world.apns()).await;
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_was_refused_once_does_not_hold_up_a_later_change() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.apns().answer(phone.push_token(), 500, "InternalServerError", None);
    office.patch_holder(&pass, json!({ "name": "Augusta" })).await.expect(200);
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    world.apns().answer_normally(phone.push_token());
    world.till().redeem(&pass.barcode).await.expect(201);
    while phone.pass(&pass.serial).barcode().is_some() {
        phone.hear(world.apns()).await;
    }
    assert_eq!(phone.pass(&pass.serial).value("holder"), "Augusta");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pushes_share_one_connection_b13() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let mut phones = vec![phone];
    for _ in 0..4 {
        phones.push(add_to_another(&world, &pass).await);
    }
    world.till().redeem(&pass.barcode).await.expect(201);
    for phone in &mut phones {
        phone.hear(world.apns()).await;
    }
    world.pass_time(Duration::from_secs(15)).await;
    for phone in &mut phones {
        phone.hear(world.apns()).await;
        phone.was_content();
    }
    assert_eq!(world.apns().connections(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_apns_closes_loses_no_push() {
    // Reference 2.1: GOAWAY, then reconnect.
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.apns().go_away();
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_phone_holds_back_no_other() {
    // Reference 2.4: 429 means to back off for this token, by minutes; a 503 is worth another try soon.
    let world = World::new().await;
    let (pass, throttled) = world.customer("Ada").await;
    let mut other = add_to_another(&world, &pass).await;
    world.apns().answer(throttled.push_token(), 429, "TooManyRequests", None);
    world.apns().answer_next(other.push_token(), 1, 503, "ServiceUnavailable", None);
    world.till().redeem(&pass.barcode).await.expect(201);
    assert_eq!(world.apns().wait_for(other.push_token(), 1, PATIENCE).await.len(), 1);
    assert_eq!(world.apns().wait_for(throttled.push_token(), 1, PATIENCE).await.len(), 1);
    // Both pauses are written by now; five seconds and a quarter more are the first one's.
    let office = world.back_office();
    world.until("pushed", || office.history(&pass), |events| events.contains(&"pushed".to_owned())).await;
    world.pass_time(Duration::from_secs(11)).await;
    let pushes = world.apns().wait_for(other.push_token(), 2, PATIENCE).await;
    assert_eq!(pushes.len(), 2, "the other phone waited for the throttled one");
    assert_eq!(world.apns().wait_for(throttled.push_token(), 1, PATIENCE).await.len(), 1, "pushed too soon");
    other.hear(world.apns()).await;
    assert_eq!(other.pass(&pass.serial).barcode(), None);
    other.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_apns_longer_than_all_tries_of_an_hour_loses_no_push() {
    // Reference 2.4 counts on about five tries in about an hour; the phone of a longer outage would never hear of it.
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.apns().answer(phone.push_token(), 503, "ServiceUnavailable", None);
    office.void(&pass).await.expect(200);
    for tries in 1..=5 {
        let told = |events: &Vec<String>| events.iter().filter(|event| *event == "pushed").count() >= tries;
        world.until("pushed", || office.history(&pass), told).await;
        world.pass_time(Duration::from_secs(3600)).await;
    }
    world.apns().answer_normally(phone.push_token());
    world.pass_time(Duration::from_secs(2 * 3600)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_is_given_up_is_told_in_the_history() {
    // Five tries in about an hour (reference 2.4), and three in the two days after it.
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    world.apns().answer(phone.push_token(), 503, "ServiceUnavailable", None);
    let office = world.back_office();
    // No next offer follows, which would have pushes of its own.
    office.void(&pass).await.expect(200);
    for tries in 1..=8 {
        let told =
            |events: &Vec<serde_json::Value>| events.iter().filter(|event| event["type"] == "pushed").count() >= tries;
        let events = world.until("pushed", || office.events(&pass), told).await;
        let last = events.iter().rfind(|event| event["type"] == "pushed").unwrap();
        let expected = if tries < 8 { [1, 0] } else { [0, 1] };
        assert_eq!([&last["again"], &last["lost"]].map(|count| count.as_u64().unwrap()), expected, "try {tries}");
        world.pass_time(Duration::from_secs(45 * 3600)).await;
    }
    world.end().await;
}
