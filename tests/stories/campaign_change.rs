//! A change of a campaign or template alters only the passes whose present state it alters
//! (design 4; contract 4, Campaigns).

use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE, two_offers};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::world::World;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_redeemed_look_reaches_redeemed_passes_only() {
    let world = World::new().await;
    let office = world.back_office();
    let (_, mut fresh) = world.customer("Ada").await;
    let (used, mut used_phone) = world.customer("Bob").await;
    world.till().redeem(&used.barcode).await.expect(201);
    used_phone.hear(world.apns()).await;

    let mut campaign = two_offers();
    campaign["redeemedOverlay"]["fields"]["status"]["value"] = json!("Eaten");
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    // Design 4: passes it does not alter are neither listed nor pushed.
    assert_eq!(used_phone.hear(world.apns()).await, [used.serial.as_str()]);
    fresh.nothing_new(PASS_TYPE).await;
    let pushes = world.apns().pushes();
    assert!(pushes.iter().all(|push| push.token != fresh.push_token()), "an unaltered pass was pushed");
    assert_eq!(used_phone.pass(&used.serial).value("status"), "Eaten");
    used_phone.nothing_new(PASS_TYPE).await;
    fresh.was_content();
    used_phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_offer_reaches_the_passes_that_show_it() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let mut campaign = two_offers();
    // The second offer is not shown yet.
    campaign["offers"][1]["title"] = json!("Free coffee");
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    phone.nothing_new(PASS_TYPE).await;
    campaign["offers"][0]["title"] = json!("Two croissants");
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
    let shown = phone.pass(&pass.serial);
    assert_eq!(shown.value("offer"), "Two croissants");
    // The same offer keeps its barcode.
    assert_eq!(shown.barcode(), Some(pass.barcode.as_str()));
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_there_and_back_again_leaves_every_phone_right() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let mut campaign = two_offers();
    campaign["offers"][0]["title"] = json!("Two croissants");
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    phone.pushed(PASS_TYPE).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Two croissants");
    office.put_campaign(CAMPAIGN, &two_offers()).await.expect(200);
    phone.pushed(PASS_TYPE).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Free croissant");
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_template_version_reaches_every_pass_it_alters() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let folder = TemplateFolder::coupon().edit(|pass| {
        pass["backgroundColor"] = json!("rgb(10, 20, 30)");
    });
    office.put_template(CAMPAIGN, &folder).await.expect(201);
    assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
    assert_eq!(phone.pass(&pass.serial).text("backgroundColor"), "rgb(10, 20, 30)");
    assert_eq!(phone.pass(&pass.serial).barcode(), Some(pass.barcode.as_str()));
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_change_does_not_stop_the_next_offer() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let mut campaign = two_offers();
    campaign["offers"][1]["title"] = json!("Free coffee");
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    world.pass_time(std::time::Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Free coffee");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder_data_that_no_field_showed_is_there_when_a_template_shows_it() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    office.patch_holder(&pass, json!({ "customerNumber": "4711" })).await.expect(200);
    phone.nothing_new(PASS_TYPE).await;
    let folder = TemplateFolder::coupon().edit(|pass| {
        pass["coupon"]["secondaryFields"][0]["value"] = json!("{{ holder.name }} {{ holder.customerNumber }}");
    });
    office.put_template(CAMPAIGN, &folder).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("holder"), "Ada 4711");
    // From now on the data is visible, and a change of it travels.
    office.patch_holder(&pass, json!({ "customerNumber": "4712" })).await.expect(200);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("holder"), "Ada 4712");
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}
