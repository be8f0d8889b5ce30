//! `welcomeOverlay` (contract 4, Campaigns): the welcome trick of reference 5. The pass handed to
//! the user is silent; the version fetched right after registering announces itself, once.

use std::time::Duration;

use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE, two_offers};
use passloop_tests::world::World;
use serde_json::json;
use tokio::task::JoinSet;

async fn welcoming_world() -> World {
    let mut campaign = two_offers();
    campaign["welcomeOverlay"] = json!({ "fields": {
        "news": { "value": "Good to have you, Ada!", "changeMessage": "%@" } } });
    World::with_campaign(&campaign).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_customer_is_welcomed_once_on_the_lock_screen() {
    let world = welcoming_world().await;
    let (pass, mut phone) = world.customer("Ada").await;
    assert_eq!(phone.lock_screen(), ["Good to have you, Ada!"]);
    phone.nothing_new(PASS_TYPE).await;
    phone.pull_to_refresh(&pass.serial).await;
    assert_eq!(phone.lock_screen().len(), 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_welcome_nothing_appears() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    phone.pull_to_refresh(&pass.serial).await;
    assert!(phone.lock_screen().is_empty());
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_welcomed_pass_is_redeemed_like_any_other() {
    let world = welcoming_world().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let seen = office.get(&pass).await;
    // The greeting is no new offer: the barcode the customer was shown still counts.
    assert_eq!((&seen["state"], &seen["barcode"]), (&json!("redeemable"), &json!(pass.barcode)));
    assert_eq!(phone.pass(&pass.serial).barcode(), Some(pass.barcode.as_str()));
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    let told = ["Good to have you, Ada!", "Used. Enjoy!", "New: half-price coffee"];
    assert_eq!(phone.lock_screen(), told);
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_redeemed_before_any_phone_had_it_greets_nobody_with_an_old_offer() {
    let world = welcoming_world().await;
    let pass = world.back_office().issue("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    let mut phone = world.iphone();
    phone.add(&world.download(&pass).await.body).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    assert_eq!(phone.pass(&pass.serial).value("status"), "Used");
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_phones_that_register_at_once_all_end_up_with_one_pass() {
    let world = welcoming_world().await;
    let pass = world.back_office().issue("Ada").await;
    let package = world.download(&pass).await.body;
    let mut adding = JoinSet::new();
    for _ in 0..6 {
        let (mut phone, package) = (world.iphone(), package.clone());
        adding.spawn(async move {
            assert_eq!(phone.add(&package).await, 201);
            phone
        });
    }
    let mut manifests = Vec::new();
    for mut phone in adding.join_all().await {
        phone.pushed(PASS_TYPE).await;
        phone.nothing_new(PASS_TYPE).await;
        manifests.push(phone.pass(&pass.serial).manifest.clone());
        phone.was_content();
    }
    manifests.dedup();
    assert_eq!(manifests.len(), 1, "one version, several manifests");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_pass_already_is_told_when_another_device_is_greeted() {
    let mut campaign = two_offers();
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    let package = world.download(&pass).await.body;
    campaign["welcomeOverlay"] =
        json!({ "fields": { "news": { "value": "Good to have you!", "changeMessage": "%@" } } });
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    phone.nothing_new(PASS_TYPE).await;
    let mut tablet = world.iphone();
    assert_eq!(tablet.add(&package).await, 201);
    assert_eq!(tablet.pass(&pass.serial).value("news"), "Good to have you!");
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).manifest, tablet.pass(&pass.serial).manifest);
    phone.was_content();
    world.end().await;
}
