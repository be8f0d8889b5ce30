//! A customer adds a pass (reference 1.4, first row).

use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE};
use passloop_tests::web_service::Registration;
use passloop_tests::world::World;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_phone_registers_lists_and_fetches() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let mut phone = world.iphone();
    let package = world.download(&pass).await;
    // Contract 3: 201 for a new registration.
    assert_eq!(phone.add(&package.body).await, 201);
    let installed = phone.pass(&pass.serial);
    assert_eq!(installed.text("passTypeIdentifier"), PASS_TYPE);
    assert_eq!(installed.text("teamIdentifier"), "PASSLOOP01");
    assert_eq!(installed.text("webServiceURL"), world.base());
    assert_eq!(installed.barcode(), Some(pass.barcode.as_str()));
    assert_eq!(installed.value("offer"), "Free croissant");
    assert_eq!(installed.value("holder"), "Ada");
    assert_eq!(installed.value("serial"), pass.serial.as_str());
    assert!(phone.lock_screen().is_empty());
    phone.nothing_new(PASS_TYPE).await;
    assert_eq!(office.get(&pass).await["devices"], 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_pass_is_described_as_the_contract_says() {
    let world = World::new().await;
    let office = world.back_office();
    let body = json!({ "campaignId": CAMPAIGN, "serialNumber": "LEVAIN-1", "holder": { "name": "Ada" } });
    let created = office.post_pass(&body).await.expect(201).json();
    for (key, value) in [
        ("passTypeIdentifier", json!(PASS_TYPE)),
        ("serialNumber", json!("LEVAIN-1")),
        ("campaignId", json!(CAMPAIGN)),
        ("state", json!("redeemable")),
        ("version", json!(1)),
        ("offer", json!({ "offerId": "free-croissant", "title": "Free croissant" })),
        ("devices", json!(0)),
        ("nextOfferAt", json!(null)),
    ] {
        assert_eq!(created[key], value, "{key} in {created}");
    }
    // Times are RFC 3339 UTC with milliseconds.
    let now = format!("{:.3}", world.now());
    assert_eq!(created["createdAt"], now.as_str());
    assert_eq!(created["updatedAt"], now.as_str());
    // At least 96 random bits need 16 characters of base64.
    assert!(created["barcode"].as_str().unwrap().len() >= 16, "{created}");
    let landing = created["landingUrl"].as_str().unwrap();
    assert!(landing.starts_with(&format!("{}/p/", world.base())), "{landing}");
    assert_eq!(created["downloadUrl"], format!("{landing}.pkpass"));
    let pass = passloop_tests::back_office::Issued::read(&created);
    assert_eq!(office.get(&pass).await, created);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serial_number_is_given_out_once() {
    let world = World::new().await;
    let office = world.back_office();
    let body = json!({ "campaignId": CAMPAIGN, "serialNumber": "LEVAIN-1", "holder": { "name": "Ada" } });
    office.post_pass(&body).await.expect(201);
    // Reference 1.1: (type, serial) is the pass's identity.
    let other = json!({ "campaignId": CAMPAIGN, "serialNumber": "LEVAIN-1", "holder": { "name": "Bob" } });
    office.post_pass(&other).await.any_problem(&[409]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_the_pass_unregisters_and_may_be_repeated_b8() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let registration = phone.device().to_owned();
    let authorization = phone.authorization(&pass.serial);
    phone.delete(&pass.serial).await;
    // B8: peers compare the wrong id and delete nothing.
    assert_eq!(office.get(&pass).await["devices"], 0);
    let service = world.web_service();
    service.list(&registration, PASS_TYPE, None).await.expect(204);
    // Contract 3: 200 always when authorised.
    let of = Registration { device: &registration, pass_type: PASS_TYPE, serial: &pass.serial };
    service.unregister(of, Some(&authorization)).await.expect(200);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_pass_of_the_type_joins_the_first() {
    let world = World::new().await;
    let office = world.back_office();
    let (first, mut phone) = world.customer("Ada").await;
    let second = office.issue("Ada").await;
    let package = world.download(&second).await;
    assert_eq!(phone.add(&package.body).await, 201);
    phone.nothing_new(PASS_TYPE).await;
    assert_eq!(phone.pass(&second.serial).barcode(), Some(second.barcode.as_str()));
    assert_eq!(phone.pass(&first.serial).barcode(), Some(first.barcode.as_str()));
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_customers_never_see_each_other_b18() {
    let world = World::new().await;
    let (ada, adas) = world.customer("Ada").await;
    let (bob, bobs) = world.customer("Bob").await;
    assert_eq!(adas.pass(&ada.serial).value("holder"), "Ada");
    assert_eq!(bobs.pass(&bob.serial).value("holder"), "Bob");
    let bobs_pass = bobs.pass(&bob.serial);
    let adas_pass = adas.pass(&ada.serial);
    // B9: one secret per pass.
    assert_ne!(bobs_pass.text("authenticationToken"), adas_pass.text("authenticationToken"));
    assert!(!bobs_pass.pass.to_string().contains("Ada"));
    adas.was_content();
    bobs.was_content();
    world.end().await;
}
