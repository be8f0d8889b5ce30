//! Two things at once to one pass: both are answered truthfully and nothing is lost.

use std::time::Duration;

use futures_util::future::join_all;
use passkit::identifiers::PassIdentity;
use passloop_tests::back_office::{CAMPAIGN, Issued, two_offers};
use passloop_tests::iphone::IPhone;
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::world::{PATIENCE, World};
use platform::store::{Change, Intent, Written};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redeemed_and_voided_at_once_ends_voided_and_the_till_knows() {
    for _ in 0..4 {
        let world = World::new().await;
        let office = world.back_office();
        let (pass, mut phone) = world.customer("Ada").await;
        let till = world.till();
        let (voided, redeemed) = tokio::join!(office.void(&pass), till.redeem(&pass.barcode));
        voided.expect(200);
        let seen = office.get(&pass).await;
        assert_eq!(seen["state"], "voided");
        let version = if redeemed.status == 201 {
            // Redeemed first, voided after: the next offer is cancelled.
            3
        } else {
            redeemed.problem(409, "voided");
            2
        };
        assert_eq!(seen["version"], version);
        while phone.pass(&pass.serial).pass["voided"] != true {
            phone.hear(world.apns()).await;
        }
        world.pass_time(Duration::from_secs(15)).await;
        phone.nothing_new(&pass.pass_type).await;
        assert_eq!(office.get(&pass).await, seen);
        phone.was_content();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redeemed_by_many_at_once_its_history_tells_it_in_order() {
    // The slowest of them may have come first; what it did came last.
    let mut campaign = two_offers();
    campaign["offers"][0]["redemptionLimit"] = json!(1000);
    campaign["offers"][0]["newBarcode"] = json!("eachOffer");
    let world = World::with_campaign(&campaign).await;
    let (pass, _) = world.customer("Ada").await;
    let till = world.till();
    let sales = join_all((0..25).map(|_| till.redeem(&pass.barcode)));
    let time_passes = async {
        loop {
            world.advance(Duration::from_millis(1));
            tokio::task::yield_now().await;
        }
    };
    let answers = tokio::select! {
        answers = sales => answers,
        () = time_passes => unreachable!("time does not end"),
    };
    let sold = answers.into_iter().filter(|answer| answer.status == 201).count();
    let events = world.back_office().events(&pass).await;
    let versions: Vec<_> =
        events.iter().filter(|event| event["type"] == "redeemed").map(|event| event["version"].as_u64()).collect();
    assert!(sold > 1 && versions.len() == sold && versions.is_sorted(), "{versions:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redeemed_and_changed_at_once_is_both() {
    for _ in 0..4 {
        let world = World::new().await;
        let office = world.back_office();
        let (pass, mut phone) = world.customer("Ada").await;
        let till = world.till();
        let patch = office.patch_holder(&pass, json!({ "name": "Augusta" }));
        let (changed, redeemed) = tokio::join!(patch, till.redeem(&pass.barcode));
        changed.expect(200);
        redeemed.expect(201);
        let seen = office.get(&pass).await;
        assert_eq!((&seen["state"], &seen["version"]), (&json!("redeemed"), &json!(3)));
        let shows_both = |phone: &IPhone| {
            let shown = phone.pass(&pass.serial);
            shown.barcode().is_none() && shown.value("holder") == "Augusta"
        };
        while !shows_both(&phone) {
            phone.hear(world.apns()).await;
        }
        phone.nothing_new(&pass.pass_type).await;
        phone.was_content();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_while_the_pass_is_used_does_not_delay_the_next_offer() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let redeemed = world.till().redeem(&pass.barcode).await.expect(201).json();
    phone.hear(world.apns()).await;
    world.advance(Duration::from_secs(10));
    office.patch_holder(&pass, json!({ "name": "Augusta" })).await.expect(200);
    phone.hear(world.apns()).await;
    assert_eq!(office.get(&pass).await["nextOfferAt"], redeemed["nextOfferAt"]);
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    world.pass_time(Duration::from_secs(5)).await;
    phone.hear(world.apns()).await;
    let shown = phone.pass(&pass.serial);
    assert_eq!(shown.value("offer"), "Half-price coffee");
    assert_eq!(shown.value("holder"), "Augusta");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_nobody_sees_does_not_swallow_the_push_before_it() {
    // Design 6: superseded pushes are dropped because a newer version has its own; this one has none.
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(86_400);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.apns().answer(phone.push_token(), 503, "ServiceUnavailable", None);
    world.till().redeem(&pass.barcode).await.expect(201);
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    office.patch_holder(&pass, json!({ "customerNumber": 4711 })).await.expect(200);
    world.apns().answer_normally(phone.push_token());
    world.pass_time(Duration::from_secs(600)).await;
    let pushes = world.apns().wait_for(phone.push_token(), 2, PATIENCE).await;
    assert_eq!(pushes.len(), 2, "the push of the used pass was dropped");
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    phone.was_content();
    world.end().await;
}

/// Decision 0024. A call that changes holder data is slow: it decided before the campaign's change, and writes while a phone
/// fetches the pass under the changed campaign.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_field_showed_is_told_when_the_campaign_showed_it_before_it_was_written() {
    // Contract 2: a phone that was told of everything has the newest data.
    let (world, tap, underneath) = World::tapped().await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    let mut campaign = two_offers();
    office.put_campaign(CAMPAIGN, &campaign).await.expect(201);
    let holder = json!({ "name": "Ada", "customerNumber": "4711" });
    let issued = office.post_pass(&json!({ "campaignId": CAMPAIGN, "holder": holder })).await.expect(201).json();
    let (pass, mut phone) = (Issued::read(&issued), world.iphone());
    phone.add(&world.download(&pass).await.body).await;

    let shown = json!({ "fields": { "holder": { "value": "{{ holder.name }} {{ holder.customerNumber }}" } } });
    campaign["offers"][0]["overlay"] = shown;
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    let is_due = |intent: &Intent| intent.due <= world.now();
    world.until("the campaign is told", || world.intents(), |intents| !intents.iter().any(is_due)).await;
    let store = &world.local().app().store;
    let identity = PassIdentity {
        pass_type_identifier: pass.pass_type.parse().unwrap(),
        serial_number: pass.serial.parse().unwrap(),
    };
    let (before, decided_by) = store.pass_and_campaign(&identity).await.unwrap().unwrap();
    let mut note = tap.hold("TransactWriteItems");
    let slow = async {
        note.caught().await;
        let holder = json!({ "name": "Ada", "customerNumber": "4712" });
        let after = before.pass.with_holder(holder, &decided_by.campaign, world.now()).unwrap().unseen(&before.pass);
        let written = store.change(&before, &after, Change::default()).await.unwrap();
        assert!(matches!(written, Written::Done));
        drop(note);
    };
    let ((), ()) = tokio::join!(phone.pull_to_refresh(&pass.serial), slow);
    assert_eq!(phone.pass(&pass.serial).value("holder"), "Ada 4711");
    // The push of the campaign, and that of what was to be unseen.
    while phone.pass(&pass.serial).value("holder") != "Ada 4712" {
        phone.hear(world.apns()).await;
    }
    phone.nothing_new(&pass.pass_type).await;
    // To the merchant nothing happened but the one change.
    assert_eq!(office.get(&pass).await["version"], 2);
    phone.was_content();
    world.end().await;
    underneath.end().await;
}
