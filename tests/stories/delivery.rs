//! Proof of delivery: when what a redemption made reached a phone; and what nobody fetches is pushed again.

use std::time::Duration;

use passloop_tests::back_office::two_offers;
use passloop_tests::world::{PATIENCE, World};
use serde_json::{Value, json};

fn id(redeemed: &Value) -> String {
    redeemed["redemptionId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redemption_answers_later_when_phones_knew() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.advance(Duration::from_secs(60));
    let redeemed = world.till().redeem(&pass.barcode).await.expect(201).json();
    let told = office.redemption(&id(&redeemed)).await.expect(200).json();
    for member in ["redemptionId", "offer", "redeemedAt", "location", "till", "nextOfferAt", "passVersion"] {
        assert_eq!(told[member], redeemed[member], "{member}");
    }
    assert_eq!(told["reversedAt"], json!(null));
    assert_eq!(told["delivery"]["nextOffer"], json!(null));
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    world.advance(Duration::from_secs(3));
    phone.hear(world.apns()).await;
    let ask = || async { office.redemption(&id(&redeemed)).await.expect(200).json() };
    let told = world
        .until("used, proven", ask, |told| {
            told["delivery"]["used"]["fetchedAt"].is_string() && told["delivery"]["used"]["pushedAt"].is_string()
        })
        .await;
    let used = &told["delivery"]["used"];
    assert_eq!((&used["version"], &used["fetchedVersion"]), (&json!(2), &json!(2)));
    assert!(used["fetchedAt"].as_str() > told["redeemedAt"].as_str(), "{told}");
    world.pass_time(Duration::from_secs(12)).await;
    phone.hear(world.apns()).await;
    let told =
        world.until("the next offer, proven", ask, |told| told["delivery"]["nextOffer"]["fetchedAt"].is_string()).await;
    let next = &told["delivery"]["nextOffer"];
    assert_eq!((&next["version"], &next["fetchedVersion"]), (&json!(3), &json!(3)));
    assert_eq!(&told["delivery"]["used"], used);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_fetches_is_pushed_three_times_more_and_no_oftener() {
    // Reference 1.7: pushes of a type less than 7200 seconds apart wear a phone's patience.
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(31_536_000);
    let world = World::with_campaign(&campaign).await;
    let (pass, phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    let office = world.back_office();
    for (reminder, wait) in [600, 7200, 43_200].into_iter().enumerate() {
        // Noted before the time goes on: the next wait begins with it.
        let pushed = |kinds: &Vec<String>| kinds.iter().filter(|kind| *kind == "pushed").count() == reminder + 1;
        world.until("pushed", || office.history(&pass), pushed).await;
        world.pass_time(Duration::from_secs(wait - 60)).await;
        world.pass_time(Duration::from_secs(60)).await;
        world.apns().wait_for(phone.push_token(), reminder + 2, PATIENCE).await;
    }
    let all = |kinds: &Vec<String>| kinds.iter().filter(|kind| *kind == "pushed").count() == 4;
    world.until("pushed", || office.history(&pass), all).await;
    for _ in 0..5 {
        world.pass_time(Duration::from_secs(86_400)).await;
    }
    assert_eq!(world.apns().pushes().len(), 4);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_is_not_pushed_again() {
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(31_536_000);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let both = |kinds: &Vec<String>| ["pushed", "fetched"].iter().all(|kind| kinds.iter().any(|of| of == kind));
    world.until("pushed and fetched", || office.history(&pass), both).await;
    for _ in 0..4 {
        world.pass_time(Duration::from_secs(43_200)).await;
    }
    assert_eq!(world.apns().pushes().len(), 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_and_questions_are_told_once_for_each_version() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    for _ in 0..3 {
        world.download(&pass).await;
        phone.pushed(&pass.pass_type).await;
    }
    let count = |history: &[String], kind: &str| history.iter().filter(|of| *of == kind).count();
    let history = office.history(&pass).await;
    assert_eq!((count(&history, "downloaded"), count(&history, "asked")), (1, 1), "{history:?}");
    world.till().redeem(&pass.barcode).await.expect(201);
    // A stranger to tags asks every second, and never fetches.
    for _ in 0..5 {
        world.advance(Duration::from_secs(1));
        world.web_service().list(phone.device(), &pass.pass_type, None).await.expect(200);
        world.download(&pass).await;
    }
    let history = office.history(&pass).await;
    assert_eq!((count(&history, "downloaded"), count(&history, "asked")), (2, 2), "{history:?}");
    let main = ["issued", "downloaded", "registered", "asked", "redeemed"];
    let mut told: Vec<&str> = history.iter().map(String::as_str).filter(|kind| main.contains(kind)).collect();
    told.truncate(5);
    assert_eq!(told, main);
    phone.hear(world.apns()).await;
    phone.was_content();
    world.end().await;
}
