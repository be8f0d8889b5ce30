//! A service that ends right after a redemption's answer (contract 1 and 4: nothing that was
//! answered is lost; the queue forgets its messages, intents and the sweep bring them back).

use std::time::Duration;

use passkit::identifiers::PassIdentity;
use passloop_tests::back_office::{PASS_TYPE, two_offers};
use passloop_tests::kept;
use passloop_tests::world::{PATIENCE, World};
use platform::store::{Intent, IntentProgress, SHARDS, Step};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_used_pass_is_pushed_and_the_next_offer_comes() {
    let world = World::on_disk().await;
    let (pass, mut phone) = world.customer("Ada").await;
    // No push gets through in this life, however fast the worker is.
    world.apns().answer(phone.push_token(), 503, "ServiceUnavailable", None);
    let receipt = world.till().redeem_as("sale 17", &pass.barcode).await.expect(201);

    let world = world.restart().await;
    phone.apns_restarted();
    let again = world.till().redeem_as("sale 17", &pass.barcode).await.expect(201);
    assert_eq!(again.json(), receipt.json());
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    // The sweep at the start, or the first one due, sends the push again.
    world.pass_time(Duration::from_millis(14_999)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    assert_eq!(phone.lock_screen(), ["Used. Enjoy!"]);
    assert_eq!(world.back_office().get(&pass).await["state"], "redeemed");
    world.pass_time(Duration::from_millis(1)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    let history = world.back_office().history(&pass).await;
    let count = |kind: &str| history.iter().filter(|of| *of == kind).count();
    assert_eq!((count("redeemed"), count("offer")), (1, 1), "{history:?}");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_offer_that_fell_due_while_the_service_was_down_comes_at_once() {
    let world = World::on_disk().await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.advance(Duration::from_secs(3600));
    let world = world.restart().await;
    phone.apns_restarted();
    // Contract 1: locally the sweep also runs at the start.
    let pushes = world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    assert!(!pushes.is_empty(), "no push after the start");
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_answered_is_still_there_after_a_restart() {
    let world = World::on_disk().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    office.patch_holder(&pass, json!({ "name": "Augusta" })).await.expect(200);
    phone.hear(world.apns()).await;
    let before = office.get(&pass).await;
    let key = world.local().merchant_key().to_owned();
    let world = world.restart().await;
    assert_eq!(world.local().merchant_key(), key);
    assert_eq!(world.back_office().get(&pass).await, before);
    phone.apns_restarted();
    phone.nothing_new(PASS_TYPE).await;
    let mut friend = world.iphone();
    friend.add(&world.download(&pass).await.body).await;
    assert_eq!(friend.pass(&pass.serial).manifest, phone.pass(&pass.serial).manifest);
    phone.was_content();
    friend.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_at_one_place_of_a_walk_one_goes_on() {
    // The queue delivers twice, and the sweep sends again what takes long (design 3): two walks side by side would push
    // every phone of a campaign twice.
    let world = World::new().await;
    let (pass, _) = world.customer("Ada").await;
    let app = world.local().app();
    let identity =
        PassIdentity { pass_type_identifier: PASS_TYPE.parse().unwrap(), serial_number: pass.serial.parse().unwrap() };
    let later = world.now() + Duration::from_secs(3600);
    let begun = Intent::new(later, Step::Push { identity: identity.clone(), shown: 1 }, world.now()).unwrap();
    app.store.add_intents(std::slice::from_ref(&begun)).await.unwrap();
    let reach = async |from: &Intent, place: &str| {
        app.store.progress(from, IntentProgress::Reached(place.to_owned(), world.now()), None, &[]).await.unwrap()
    };
    let first = reach(&begun, "DEVICE#1").await.expect("the first goes on");
    assert!(reach(&begun, "DEVICE#1").await.is_none(), "the second went on beside it");
    let further = reach(&first, "DEVICE#2").await.expect("it goes on");
    assert!(reach(&first, "DEVICE#2").await.is_none(), "the second went on from there");
    let kept = app.store.intent(&begun.key).await.unwrap().unwrap();
    assert_eq!((&kept.cursor, kept.sent), (&further.cursor, Some(world.now())));
    // What follows from its end follows once.
    let follows = || Intent::new(later, Step::Push { identity: identity.clone(), shown: 2 }, world.now()).unwrap();
    let (one, other) = (follows(), follows());
    for then in [&one, &other] {
        app.store.progress(&further, IntentProgress::Done, None, std::slice::from_ref(then)).await.unwrap();
    }
    assert!(app.store.intent(&one.key).await.unwrap().is_some());
    assert!(app.store.intent(&other.key).await.unwrap().is_none(), "both workers left something behind");
    assert!(reach(&further, "DEVICE#3").await.is_none(), "what was done came back");
    assert!(app.store.intent(&begun.key).await.unwrap().is_none());
    world.end().await;
}

/// A release that was rolled back left steps that this one does not know (docs/deploy.md): they stay, and nothing waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_cannot_be_read_keeps_nothing_back() {
    let mut campaign = two_offers();
    // Beyond what a queue can hold: only the sweep sends it.
    campaign["nextOfferAfterSeconds"] = json!(1000);
    let world = World::with_campaign(&campaign).await;
    let (pass, _) = world.customer("Ada").await;
    let due = world.now().as_millisecond();
    let keys: Vec<Value> = (0..SHARDS)
        .map(|shard| json!({ "pk": { "S": format!("DUE#{shard}") }, "sk": { "S": format!("{due:013}#unknown") } }))
        .collect();
    for key in &keys {
        let mut item = key.clone();
        item["v"] = json!({ "N": "1" });
        item["step"] = json!({ "S": "{\"step\":\"of-another-release\"}" });
        for time in ["due", "created"] {
            item[time] = json!({ "N": due.to_string() });
        }
        kept::dynamodb(&world, "PutItem", json!({ "Item": item })).await;
    }
    world.till().redeem(&pass.barcode).await.expect(201);
    world.pass_time(Duration::from_secs(1000)).await;
    let office = world.back_office();
    world.until("the next offer", || office.get(&pass), |pass| pass["state"] == "redeemable").await;
    for key in keys {
        let found = kept::dynamodb(&world, "GetItem", json!({ "Key": key })).await;
        assert!(found["Item"].is_object(), "{found}");
    }
    world.end().await;
}
