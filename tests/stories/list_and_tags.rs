//! "What changed?" (reference 1.3 L; B1, B2, B7, B11, B19).

use std::time::Duration;

use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE, two_offers};
use passloop_tests::web_service::WebService;
use passloop_tests::world::{OTHER_PASS_TYPE, World};
use serde_json::{Value, json};

async fn list(service: &WebService, device: &str, tag: Option<&str>) -> (Vec<String>, Option<String>) {
    let answer = service.list(device, PASS_TYPE, tag).await;
    if answer.status == 204 {
        return (Vec::new(), None);
    }
    let body = answer.expect(200).json();
    let mut serials: Vec<String> = serde_json::from_value(body["serialNumbers"].clone()).unwrap();
    serials.sort();
    (serials, Some(body["lastUpdated"].as_str().unwrap().to_owned()))
}

fn sorted(mut serials: Vec<String>) -> Vec<String> {
    serials.sort();
    serials
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_device_gets_204_without_a_body_b2() {
    let world = World::new().await;
    let answer = world.web_service().list("nobody", PASS_TYPE, None).await.expect(204);
    assert!(answer.body.is_empty());
    world.web_service().list("nobody", PASS_TYPE, Some("12")).await.expect(204);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_tag_means_no_tag_b2() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    // Contract 3: never 400, never 401; everything is listed.
    let long = "A".repeat(4000);
    for tag in ["", "0", "nonsense", "2024-07-08T08:03:13+00:00", "%00", "%F0%9F%8D%9E", "-1", &long] {
        let (serials, new) = list(&world.web_service(), phone.device(), Some(tag)).await;
        assert_eq!(serials, [pass.serial.as_str()], "tag {tag:?}");
        assert!(new.is_some());
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_changed_passes_none_is_lost_b1() {
    let world = World::new().await;
    let office = world.back_office();
    let (first, mut phone) = world.customer("Ada").await;
    let mut passes = vec![first];
    for _ in 0..3 {
        let pass = office.issue("Ada").await;
        let package = world.download(&pass).await;
        phone.add(&package.body).await;
        passes.push(pass);
    }
    phone.nothing_new(PASS_TYPE).await;
    let tag = phone.tag(PASS_TYPE).to_owned();
    // Changed at different times: B1 kept only those of the newest time.
    for pass in &passes[..3] {
        office.patch_holder(pass, json!({ "name": "Augusta" })).await.expect(200);
        world.advance(Duration::from_secs(1));
    }
    let (serials, new) = list(&world.web_service(), phone.device(), Some(&tag)).await;
    assert_eq!(serials, sorted(passes[..3].iter().map(|pass| pass.serial.clone()).collect()));
    assert_ne!(new.as_deref(), Some(tag.as_str()), "serials with the same tag");
    phone.pushed(PASS_TYPE).await;
    for pass in &passes[..3] {
        assert_eq!(phone.pass(&pass.serial).value("holder"), "Augusta");
    }
    // The fourth never changed and was never listed; now nothing is new.
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listing_that_names_a_pass_brings_another_tag() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, phone) = world.customer("Ada").await;
    let mut tags = vec![phone.tag(PASS_TYPE).to_owned()];
    for number in 0..20 {
        let name = format!("Ada {number}");
        office.patch_holder(&pass, json!({ "name": name })).await.expect(200);
        let tag = tags.last().map(String::as_str);
        let (serials, new) = list(&world.web_service(), phone.device(), tag).await;
        assert_eq!(serials, [pass.serial.as_str()]);
        let new = new.unwrap();
        // Reference 1.6: "the lastUpdated tag remained the same".
        assert!(!tags.contains(&new), "the tag {new} came again");
        // Reference 1.2: the tag travels unescaped in a query.
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        assert!(new.bytes().all(safe), "{new}");
        tags.push(new);
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tag_is_heeded_b11() {
    let world = World::new().await;
    let (_, mut phone) = world.customer("Ada").await;
    for _ in 0..3 {
        phone.nothing_new(PASS_TYPE).await;
        world.advance(Duration::from_secs(86_400));
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_that_shows_nothing_new_lists_nothing() {
    // Reference 1.8 rule 7: only what alters the pass counts.
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    office.patch_holder(&pass, json!({ "name": "Ada" })).await.expect(200);
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_passes_of_the_asked_type_are_listed_b19() {
    let world = World::new().await;
    let office = world.back_office();
    let mut campaign = two_offers();
    campaign["passTypeIdentifier"] = json!(OTHER_PASS_TYPE);
    office.put_campaign("other", &campaign).await.expect(201);
    let (pass, mut phone) = world.customer("Ada").await;
    let other = office.issue_of("other", "Ada").await;
    assert_eq!(other.pass_type, OTHER_PASS_TYPE);
    let package = world.download(&other).await;
    // The phone checks the package against the other certificate's UID by itself.
    phone.add(&package.body).await;
    let service = world.web_service();
    for (pass_type, serial) in [(PASS_TYPE, &pass.serial), (OTHER_PASS_TYPE, &other.serial)] {
        let listed = service.list(phone.device(), pass_type, None).await.expect(200).json();
        assert_eq!(listed["serialNumbers"], json!([serial]), "{pass_type}");
    }
    let redeemed = world.till().redeem(&other.barcode).await.expect(201).json();
    assert_eq!(redeemed["passTypeIdentifier"], OTHER_PASS_TYPE);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&other.serial).barcode(), None);
    assert_eq!(phone.pass(&pass.serial).barcode(), Some(pass.barcode.as_str()));
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_was_off_for_every_push_still_gets_the_last_state() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    for name in ["B", "C", "D"] {
        office.patch_holder(&pass, json!({ "name": name })).await.expect(200);
    }
    assert_eq!(phone.pushed(PASS_TYPE).await, [pass.serial.as_str()]);
    assert_eq!(phone.pass(&pass.serial).value("holder"), "D");
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_needs_no_authorization_and_survives_a_wrong_one() {
    // Reference 1.3 L: no header may be demanded.
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let url = format!("{}/v1/devices/{}/registrations/{PASS_TYPE}", world.base(), phone.device());
    let request = world.http().get(url).header("Authorization", "ApplePass wrong");
    let body: Value = passloop_tests::answer::Answer::to(request).await.expect(200).json();
    assert_eq!(body["serialNumbers"], json!([pass.serial]));
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_of_another_campaign_change_is_not_listed() {
    let world = World::new().await;
    let office = world.back_office();
    let (_, mut phone) = world.customer("Ada").await;
    let mut other = two_offers();
    other["offers"][0]["title"] = json!("Free baguette");
    office.put_campaign("baguette", &other).await.expect(201);
    office.put_campaign(CAMPAIGN, &two_offers()).await.expect(200);
    // The same campaign again alters no pass.
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_change_that_no_field_shows_bothers_no_phone() {
    // Reference 1.6 "the pass was unchanged", 1.8 rule 7; design 4: versions are visible changes.
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.advance(Duration::from_secs(600));
    let patch = json!({ "customerNumber": 4711 });
    let office = world.back_office();
    office.patch_holder(&pass, patch).await.expect(200);
    phone.nothing_new(PASS_TYPE).await;
    phone.pull_to_refresh(&pass.serial).await;
    // The next change shows, and is the only one that is pushed.
    office.patch_holder(&pass, json!({ "name": "Augusta" })).await.expect(200);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("holder"), "Augusta");
    assert_eq!(world.apns().pushes().len(), 1);
    // Contract 4: every PATCH is one version later.
    assert_eq!(office.get(&pass).await["version"], 3);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_was_listed_but_never_fetched_is_listed_again() {
    // Design 4: that is what makes pushing again useful.
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let patch = json!({ "name": "Augusta" });
    let office = world.back_office();
    office.patch_holder(&pass, patch).await.expect(200);
    let service = world.web_service();
    let (serials, first) = list(&service, phone.device(), Some(phone.tag(PASS_TYPE))).await;
    assert_eq!(serials, [pass.serial.as_str()]);
    world.advance(Duration::from_secs(86_400));
    let (serials, second) = list(&service, phone.device(), first.as_deref()).await;
    assert_eq!(serials, [pass.serial.as_str()]);
    // Reference 1.6: serials never come with the tag that was sent.
    assert_ne!(first, second);
    phone.was_content();
    world.end().await;
}
