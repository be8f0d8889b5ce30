//! `redeemableFrom` and `redeemableUntil` (contract 4, Campaigns and Redemptions).

use std::time::Duration;

use jiff::Timestamp;
use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::world::World;
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

fn time(at: Timestamp) -> serde_json::Value {
    json!(format!("{at:.3}"))
}

async fn world_with_window(from: Option<Duration>, until: Option<Duration>) -> World {
    let world = World::new().await;
    let mut campaign = two_offers();
    let at = |after: Option<Duration>| after.map(|after| time(world.now() + after));
    campaign["offers"][0]["redeemableFrom"] = json!(at(from));
    campaign["offers"][0]["redeemableUntil"] = json!(at(until));
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_its_time_an_offer_is_not_yet_redeemable() {
    let world = world_with_window(Some(HOUR), None).await;
    let pass = world.back_office().issue("Ada").await;
    world.till().redeem(&pass.barcode).await.problem(409, "not_yet_redeemable");
    world.advance(HOUR - MILLISECOND);
    world.till().redeem(&pass.barcode).await.problem(409, "not_yet_redeemable");
    world.advance(MILLISECOND);
    world.till().redeem(&pass.barcode).await.expect(201);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_time_an_offer_is_expired() {
    let world = world_with_window(None, Some(HOUR)).await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    world.advance(HOUR + MILLISECOND);
    world.till().redeem(&pass.barcode).await.problem(409, "expired");
    world.sweep().await;
    world.until("expired", || office.get(&pass), |seen| seen["state"] == "expired").await;
    world.till().redeem(&pass.barcode).await.problem(409, "expired");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_the_last_millisecond_an_offer_is_redeemable() {
    let world = world_with_window(Some(HOUR), Some(HOUR * 2)).await;
    let pass = world.back_office().issue("Ada").await;
    world.advance(HOUR * 2 - MILLISECOND);
    world.till().redeem(&pass.barcode).await.expect(201);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_redemption_changes_nothing() {
    let world = world_with_window(Some(HOUR), None).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let before = office.get(&pass).await;
    world.till().redeem(&pass.barcode).await.problem(409, "not_yet_redeemable");
    assert_eq!(office.get(&pass).await, before);
    phone.nothing_new(&pass.pass_type).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_ends_before_it_begins_is_refused() {
    let world = World::new().await;
    let mut campaign = two_offers();
    campaign["offers"][1]["redeemableFrom"] = time(world.now() + HOUR);
    campaign["offers"][1]["redeemableUntil"] = time(world.now());
    let answer = world.back_office().put_campaign(CAMPAIGN, &campaign).await;
    answer.any_problem(&[400, 422]);
    let paths = answer.problem_paths();
    assert!(paths.iter().all(|path| path.starts_with("/offers/1")), "{paths:?}");
    world.end().await;
}
