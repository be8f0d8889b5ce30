//! The second update after a redemption, far beyond what a queue can hold (issue "The life of a pass").

use std::time::Duration;

use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::world::World;
use serde_json::json;

const YEAR: u64 = 31_536_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_offer_a_year_later_comes_to_the_second() {
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(YEAR);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    // SQS holds 15 minutes at most; before that the intent alone remembers.
    world.pass_time(Duration::from_secs(YEAR - 901)).await;
    world.pass_time(Duration::from_millis(900_999)).await;
    assert_eq!(office.get(&pass).await["state"], "redeemed");
    world.pass_time(Duration::from_millis(1)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_change_moves_no_promised_offer() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let promised = world.till().redeem(&pass.barcode).await.expect(201).json()["nextOfferAt"].clone();
    phone.hear(world.apns()).await;
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(86_400);
    campaign["redeemedOverlay"]["fields"]["status"]["value"] = json!("Eaten");
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    phone.hear(world.apns()).await;
    assert_eq!(office.get(&pass).await["nextOfferAt"], promised);
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_offers_in_a_row_and_again_from_the_first() {
    let mut campaign = two_offers();
    campaign["offers"] =
        (1..=5).map(|n| json!({ "offerId": format!("o{n}"), "title": format!("Offer {n}") })).collect();
    campaign["afterLastOffer"] = json!("repeat");
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    let mut seen = vec![pass.barcode.clone()];
    for n in [2, 3, 4, 5, 1, 2] {
        let barcode = phone.pass(&pass.serial).barcode().unwrap().to_owned();
        world.till().redeem(&barcode).await.expect(201);
        phone.hear(world.apns()).await;
        world.pass_time(Duration::from_secs(15)).await;
        phone.hear(world.apns()).await;
        assert_eq!(phone.pass(&pass.serial).value("offer"), format!("Offer {n}"));
        let barcode = phone.pass(&pass.serial).barcode().unwrap().to_owned();
        assert!(!seen.contains(&barcode), "a barcode came back");
        seen.push(barcode);
    }
    phone.was_content();
    world.end().await;
}
