//! The point of the product: redeemed at once, the next offer when due, in the same pass
//! (contract 4, Redemptions; B14, B16).

use std::time::Duration;

use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE, two_offers};
use passloop_tests::iphone::IPhone;
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::world::{PATIENCE, World};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn used_at_once_then_the_next_offer_then_finished() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let office = world.back_office();
    let template = TemplateFolder::coupon();
    assert_eq!(phone.pass(&pass.serial).files["strip.png"], template.file("strip.png"));

    let redeemed = world.till().redeem(&pass.barcode).await.expect(201).json();
    let due = world.now() + Duration::from_secs(15);
    assert!(!redeemed["redemptionId"].as_str().unwrap().is_empty());
    for (key, value) in [
        ("passTypeIdentifier", json!(PASS_TYPE)),
        ("serialNumber", json!(pass.serial)),
        ("campaignId", json!(CAMPAIGN)),
        ("offer", json!({ "offerId": "free-croissant", "title": "Free croissant" })),
        ("redeemedAt", json!(format!("{:.3}", world.now()))),
        ("location", json!("Rue Cler")),
        ("till", json!("till 1")),
        ("nextOfferAt", json!(format!("{due:.3}"))),
        ("passVersion", json!(2)),
    ] {
        assert_eq!(redeemed[key], value, "{key} in {redeemed}");
    }
    let seen = office.get(&pass).await;
    assert_eq!(seen["state"], "redeemed");
    assert_eq!(seen["version"], 2);
    assert_eq!(seen["nextOfferAt"], redeemed["nextOfferAt"]);

    // At once: pushed, and fetched without a barcode.
    phone.hear(world.apns()).await;
    let used = phone.pass(&pass.serial);
    assert_eq!(used.barcode(), None);
    assert_eq!(used.value("status"), "Used");
    for scale in ["", "@2x", "@3x"] {
        let strip = &used.files[&format!("strip{scale}.png")];
        assert!(strip == template.file(&format!("used-strip{scale}.png")), "strip{scale}.png");
    }
    assert_eq!(phone.lock_screen(), ["Used. Enjoy!"]);
    phone.nothing_new(PASS_TYPE).await;

    // 15 seconds later: the next offer, in the same pass.
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    let next = phone.pass(&pass.serial);
    let barcode = next.barcode().expect("a barcode").to_owned();
    assert_ne!(barcode, pass.barcode);
    assert_eq!(next.value("offer"), "Half-price coffee");
    assert_eq!(next.value("status"), "Ready");
    assert_eq!(next.files["strip.png"], template.file("strip.png"));
    assert_eq!(phone.lock_screen(), ["Used. Enjoy!", "New: half-price coffee"]);
    let seen = office.get(&pass).await;
    assert_eq!(seen["state"], "redeemable");
    assert_eq!(seen["version"], 3);
    assert_eq!(seen["barcode"], barcode.as_str());
    assert_eq!(seen["nextOfferAt"], json!(null));
    assert_eq!(seen["offer"], json!({ "offerId": "half-price-coffee", "title": "Half-price coffee" }));
    phone.nothing_new(PASS_TYPE).await;

    // Yesterday's screenshot redeems nothing.
    let old = world.till().redeem(&pass.barcode).await;
    old.any_problem(&[404, 409]);
    assert_eq!(office.get(&pass).await, seen);

    // The last offer: after it, the end.
    let last = world.till().redeem(&barcode).await.expect(201).json();
    assert_eq!(last["nextOfferAt"], json!(null));
    assert_eq!(last["offer"]["offerId"], "half-price-coffee");
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    assert_eq!(phone.lock_screen().last().unwrap(), "Used. Enjoy!");
    world.pass_time(Duration::from_secs(86_400)).await;
    assert_eq!(office.get(&pass).await["state"], "finished");
    phone.nothing_new(PASS_TYPE).await;
    world.till().redeem(&barcode).await.any_problem(&[409]);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_offer_never_comes_early() {
    let world = World::new().await;
    let office = world.back_office();
    let (first, mut first_phone) = world.customer("Ada").await;
    let (second, mut second_phone) = world.customer("Bob").await;
    world.till().redeem(&first.barcode).await.expect(201);
    first_phone.hear(world.apns()).await;
    world.advance(Duration::from_millis(1));
    world.till().redeem(&second.barcode).await.expect(201);
    second_phone.hear(world.apns()).await;

    // 14.999 seconds after the first redemption nobody is due.
    world.pass_time(Duration::from_millis(14_998)).await;
    assert_eq!(office.get(&first).await["state"], "redeemed");
    // The first is due, the second a millisecond later: the first one's push shows that the
    // sweep's messages have been worked on.
    world.pass_time(Duration::from_millis(1)).await;
    first_phone.hear(world.apns()).await;
    assert_eq!(office.get(&first).await["state"], "redeemable");
    assert_eq!(office.get(&second).await["state"], "redeemed");
    assert_eq!(office.get(&second).await["version"], 2);
    second_phone.nothing_new(PASS_TYPE).await;
    world.pass_time(Duration::from_millis(1)).await;
    second_phone.hear(world.apns()).await;
    assert_eq!(office.get(&second).await["state"], "redeemable");
    first_phone.was_content();
    second_phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeping_often_applies_the_next_offer_once() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.advance(Duration::from_secs(15));
    for _ in 0..5 {
        world.sweep().await;
    }
    phone.hear(world.apns()).await;
    let barcode = phone.pass(&pass.serial).barcode().unwrap().to_owned();
    world.pass_time(Duration::from_secs(600)).await;
    let seen = world.back_office().get(&pass).await;
    assert_eq!(seen["version"], 3);
    assert_eq!(seen["barcode"], barcode.as_str());
    let history = world.back_office().history(&pass).await;
    assert_eq!(history.iter().filter(|kind| *kind == "offer").count(), 1, "{history:?}");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_comes_late_still_brings_the_next_offer() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.pass_time(Duration::from_secs(3 * 86_400)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_no_phone_carries_goes_on_too() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    world.pass_time(Duration::from_secs(15)).await;
    let seen = world.until("the next offer", || office.get(&pass), |seen| seen["state"] == "redeemable").await;
    assert_ne!(seen["barcode"], pass.barcode.as_str());
    assert_eq!(seen["version"], 3);
    // The link gives the current version (contract 4, Links).
    let mut phone = world.iphone();
    phone.add(&world.download(&pass).await.body).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), seen["barcode"].as_str());
    phone.was_content();
    world.end().await;
}

/// Hears pushes until the phone shows this offer.
async fn hear_until_offer(world: &World, phone: &mut IPhone, serial: &str, title: &str) {
    while phone.pass(serial).value("offer") != title || phone.pass(serial).barcode().is_none() {
        phone.hear(world.apns()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_0_seconds_the_next_offer_needs_no_waiting() {
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(0);
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    let redeemed = world.till().redeem(&pass.barcode).await.expect(201).json();
    assert_eq!(redeemed["nextOfferAt"], redeemed["redeemedAt"]);
    hear_until_offer(&world, &mut phone, &pass.serial, "Half-price coffee").await;
    assert_ne!(phone.pass(&pass.serial).barcode(), Some(pass.barcode.as_str()));
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeating_offers_begin_again_with_new_barcodes() {
    let mut campaign = two_offers();
    campaign["afterLastOffer"] = json!("repeat");
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    let mut barcodes = vec![pass.barcode.clone()];
    for title in ["Half-price coffee", "Free croissant", "Half-price coffee", "Free croissant"] {
        let redeemed = world.till().redeem(barcodes.last().unwrap()).await.expect(201).json();
        assert!(redeemed["nextOfferAt"].is_string(), "{redeemed}");
        phone.hear(world.apns()).await;
        assert_eq!(phone.pass(&pass.serial).barcode(), None);
        world.pass_time(Duration::from_secs(15)).await;
        phone.hear(world.apns()).await;
        assert_eq!(phone.pass(&pass.serial).value("offer"), title);
        let barcode = phone.pass(&pass.serial).barcode().unwrap().to_owned();
        assert!(!barcodes.contains(&barcode), "a barcode came again");
        barcodes.push(barcode);
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_till_may_redeem_by_serial_number() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let redeemed = world.till().redeem_pass(PASS_TYPE, &pass.serial).await.expect(201).json();
    assert_eq!(redeemed["serialNumber"], pass.serial.as_str());
    assert_eq!(redeemed["location"], json!(null));
    assert_eq!(redeemed["till"], json!(null));
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_issued_cannot_be_redeemed() {
    let world = World::new().await;
    world.till().redeem("nobody-has-this-barcode").await.problem(404, "unknown_pass");
    world.till().redeem_pass(PASS_TYPE, "unknown").await.problem(404, "unknown_pass");
    world.till().redeem_pass("pass.example.unknown", "unknown").await.problem(404, "unknown_pass");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barcode_of_the_other_customer_redeems_the_other_customer() {
    let world = World::new().await;
    let office = world.back_office();
    let ada = office.issue("Ada").await;
    let bob = office.issue("Bob").await;
    assert_ne!(ada.barcode, bob.barcode);
    world.till().redeem(&bob.barcode).await.expect(201);
    assert_eq!(office.get(&ada).await["state"], "redeemable");
    assert_eq!(office.get(&bob).await["state"], "redeemed");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_push_arrives_the_new_version_is_there_b14() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    for number in 1..=10 {
        let name = format!("Ada {number}");
        // The phone reacts at once, while the office may still wait for its answer.
        let change = office.patch_holder(&pass, json!({ "name": name }));
        let reaction = async {
            let token = phone.push_token().to_owned();
            let pushes = world.apns().wait_for(&token, number, PATIENCE).await;
            assert_eq!(pushes.len(), number, "pushes after {number} changes");
            phone.pushed(PASS_TYPE).await
        };
        let (changed, listed) = tokio::join!(change, reaction);
        changed.expect(200);
        assert_eq!(listed, [pass.serial.as_str()], "pushed before the change was there");
        assert_eq!(phone.pass(&pass.serial).value("holder"), name.as_str());
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_arrives_early_applies_nothing() {
    // The queue counts real seconds; the service's clock stands still. So the delayed message comes
    // back after one real second, when by the clock nothing is due.
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(1);
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let pushes = world.apns().wait_for(phone.push_token(), 2, Duration::from_millis(2500)).await;
    assert_eq!(pushes.len(), 1, "the next offer came early");
    assert_eq!(world.back_office().get(&pass).await["state"], "redeemed");
    phone.nothing_new(PASS_TYPE).await;
    world.pass_time(Duration::from_secs(1)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    phone.was_content();
    world.end().await;
}
