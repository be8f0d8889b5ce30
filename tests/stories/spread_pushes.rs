//! Pushes of a campaign-wide change, spread over a settable time, so that a million phones do not fetch at once.

use std::time::Duration;

use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::package::Package;
use passloop_tests::world::{World, root_certificate};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_come_within_the_time_and_everybody_gets_one() {
    let world = World::new().await;
    let office = world.back_office();
    let mut customers = Vec::new();
    for number in 0..12 {
        customers.push(world.customer(&format!("Customer {number}")).await);
    }
    let mut campaign = two_offers();
    campaign["offers"][0]["title"] = json!("Two croissants");
    campaign["pushOverSeconds"] = json!(600);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    // Whoever asks sees the change at once; only the telling is spread.
    for (pass, _) in &customers {
        let package = world.download(pass).await;
        let package = Package::open(&package.body, &root_certificate()).expect("a good package");
        assert_eq!(package.value("offer"), "Two croissants");
    }
    world.pass_time(Duration::from_secs(600)).await;
    for (pass, phone) in &mut customers {
        assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
        phone.was_content();
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_day_is_refused() {
    let world = World::new().await;
    let mut campaign = two_offers();
    campaign["pushOverSeconds"] = json!(86_401);
    let answer = world.back_office().put_campaign(CAMPAIGN, &campaign).await;
    answer.any_problem(&[400, 422]);
    assert_eq!(answer.problem_paths(), ["/pushOverSeconds"]);
    world.end().await;
}
