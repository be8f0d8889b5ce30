//! The pass's history (contract 4, Passes).

use std::time::Duration;

use passloop_tests::world::World;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_tells_the_story_in_order() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    world.advance(Duration::from_secs(5));
    let mut phone = world.iphone();
    phone.add(&world.download(&pass).await.body).await;
    world.advance(Duration::from_secs(5));
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    world.advance(Duration::from_secs(5));
    office.void(&pass).await.expect(200);
    phone.hear(world.apns()).await;
    world.advance(Duration::from_secs(5));
    phone.delete(&pass.serial).await;

    let told = ["issued", "registered", "redeemed", "offer", "voided", "unregistered"];
    let history = office.history(&pass).await;
    let main: Vec<&str> = history.iter().map(String::as_str).filter(|kind| told.contains(kind)).collect();
    assert_eq!(main, told);

    // Pushes and fetches are written a moment after the phone saw them.
    let count = |history: &Vec<String>, kind: &str| history.iter().filter(|of| *of == kind).count();
    world
        .until(
            "pushed and fetched",
            || office.history(&pass),
            |history| count(history, "pushed") >= 3 && count(history, "fetched") >= 3,
        )
        .await;
    let events = office.events(&pass).await;
    let mut last = String::new();
    for event in &events {
        let at = event["at"].as_str().unwrap().to_owned();
        assert!(at >= last, "{at} after {last}");
        assert!(at.ends_with('Z') && at.len() == "2026-01-01T00:00:00.000Z".len(), "{at}");
        assert!(event["version"].is_u64(), "{event}");
        last = at;
    }
    let version = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap()["version"].as_u64();
    assert_eq!(version("issued"), Some(1));
    assert_eq!(version("redeemed"), Some(2));
    assert_eq!(version("offer"), Some(3));
    assert_eq!(version("voided"), Some(4));
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_holds_no_secret() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let events = serde_json::Value::from(office.events(&pass).await).to_string();
    let token = phone.pass(&pass.serial).text("authenticationToken");
    for secret in [token, phone.push_token(), pass.barcode.as_str()] {
        assert!(!events.contains(secret), "{events}");
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_in_one_instant_is_told_in_order_too() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    // The clock stands still.
    for name in ["B", "C", "D", "E", "F"] {
        office.patch_holder(&pass, json!({ "name": name })).await.expect(200);
    }
    let events = office.events(&pass).await;
    let versions: Vec<u64> = events.iter().filter_map(|event| event["version"].as_u64()).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6], "{events:?}");
    world.end().await;
}
