//! Voiding a pass (contract 4, Passes).

use std::time::Duration;

use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voided_pass_reaches_the_phone_and_redeems_nothing() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let voided = office.void(&pass).await.expect(200).json();
    assert_eq!(voided["state"], "voided");
    assert_eq!(voided["version"], 2);
    assert_eq!(office.get(&pass).await, voided);
    phone.hear(world.apns()).await;
    let shown = phone.pass(&pass.serial);
    assert_eq!(shown.pass["voided"], true);
    assert_eq!(shown.barcode(), None);
    assert_eq!(shown.value("status"), "Void");
    // Reference 5 rule 9: no notification for voided passes.
    assert!(phone.lock_screen().is_empty());
    world.till().redeem(&pass.barcode).await.problem(409, "voided");
    world.till().redeem_pass(PASS_TYPE, &pass.serial).await.problem(409, "voided");
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voiding_again_is_200_and_unchanged() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let voided = office.void(&pass).await.expect(200).json();
    phone.hear(world.apns()).await;
    world.advance(Duration::from_secs(60));
    assert_eq!(office.void(&pass).await.expect(200).json(), voided);
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voiding_cancels_the_next_offer() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let (other, mut other_phone) = world.customer("Bob").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    world.till().redeem(&other.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    other_phone.hear(world.apns()).await;
    let voided = office.void(&pass).await.expect(200).json();
    assert_eq!(voided["nextOfferAt"], serde_json::Value::Null);
    phone.hear(world.apns()).await;
    // The other customer's next offer shows that due work was done.
    world.pass_time(Duration::from_secs(15)).await;
    other_phone.hear(world.apns()).await;
    assert_eq!(office.get(&pass).await, voided);
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    other_phone.was_content();
    world.end().await;
}
