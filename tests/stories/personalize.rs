//! Rewards enrolment (reference 1.3 P, 3.7; issue 3): the customer types a name, the phone gets its token signed, the
//! sheet is gone from the next fetch on, and the merchant knows the customer.

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued, two_offers};
use passloop_tests::template_folder::{TemplateFolder, plain_png};
use passloop_tests::world::World;
use serde_json::{Value, json};

/// Whatever a phone makes up.
const TOKEN: &str = "MTIzNDU2Nzg5MGFiY2RlZg==.ü";
const SHEET: [&str; 2] = ["personalization.json", "personalizationLogo@2x.png"];

/// The coupon with everything enrolment needs, greeting the customer by the name they typed.
fn enrolling() -> TemplateFolder {
    let sheet = json!({
        "description": "Join, and get croissants",
        "requiredPersonalizationFields": [
            "PKPassPersonalizationFieldName", "PKPassPersonalizationFieldEmailAddress"] });
    TemplateFolder::coupon()
        .edit(|pass| {
            pass["nfc"] = json!({ "message": "{{ pass.barcode }}", "encryptionPublicKey": "MDkwEwYHKoZIzj0CAQ==" });
            let customer = json!({ "key": "customer", "value": "{{ holder.personalization.givenName }}" });
            pass["coupon"]["backFields"].as_array_mut().unwrap().push(customer);
        })
        .with("personalization.json", sheet.to_string())
        .with("personalizationLogo@2x.png", plain_png(300, 80, [0, 0, 0]))
}

async fn bakery_that_enrols() -> World {
    let world = World::empty().await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &enrolling()).await.expect(201);
    office.put_campaign(CAMPAIGN, &two_offers()).await.expect(201);
    world
}

fn ada() -> Value {
    json!({ "fullName": "Ada Lovelace", "givenName": "Ada", "familyName": "Lovelace", "emailAddress": "ada@example.com" })
}

async fn version(office: &BackOffice, pass: &Issued) -> Value {
    office.get(pass).await["version"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_enrols_and_the_sheet_is_gone_on_every_phone() {
    let world = bakery_that_enrols().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("A.").await;
    let mut other = world.iphone();
    other.add(&world.download(&pass).await.body).await;
    for path in SHEET {
        assert!(phone.pass(&pass.serial).files.contains_key(path), "{path}");
    }

    phone.personalize(&pass.serial, TOKEN, &ada()).await.expect(200);
    other.hear(world.apns()).await;
    for phone in [&phone, &other] {
        let package = phone.pass(&pass.serial);
        for path in SHEET {
            assert!(!package.files.contains_key(path), "{path}");
        }
        assert_eq!(package.value("customer"), "Ada");
        assert_eq!(package.barcode(), Some(pass.barcode.as_str()));
    }
    assert_eq!(phone.pass(&pass.serial).manifest, other.pass(&pass.serial).manifest);

    let seen = office.get(&pass).await;
    assert_eq!((&seen["version"], &seen["holder"]["name"]), (&json!(2), &json!("A.")));
    assert_eq!(seen["holder"]["personalization"], ada());
    let events = office.events(&pass).await;
    let told = events.iter().find(|event| event["type"] == "personalized").expect("a personalized event");
    assert_eq!(told["version"], 2);
    assert!(!Value::from(events.clone()).to_string().contains("Lovelace"), "{events:?}");

    // It stays away in every later state, and for whoever adds the pass later.
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    other.hear(world.apns()).await;
    world.pass_time(std::time::Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    other.hear(world.apns()).await;
    let mut third = world.iphone();
    third.add(&world.download(&pass).await.body).await;
    for phone in [&phone, &other, &third] {
        assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
        assert!(!phone.pass(&pass.serial).files.contains_key("personalization.json"));
        phone.was_content();
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_call_again_signs_again_and_changes_nothing() {
    let world = bakery_that_enrols().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("A.").await;
    phone.personalize(&pass.serial, TOKEN, &ada()).await.expect(200);
    let authorization = phone.authorization(&pass.serial);
    let post = |token: &'static str, facts: Value| {
        let body = json!({ "personalizationToken": token, "requiredPersonalizationInfo": facts }).to_string();
        let (service, pass, authorization) = (world.web_service(), &pass, authorization.clone());
        async move { service.personalize(&pass.pass_type, &pass.serial, Some(&authorization), body).await.expect(200) }
    };
    let root = passloop_tests::world::root_certificate();
    for token in [TOKEN, "another"] {
        let answer: Answer = post(token, ada()).await;
        let problems = phone.pass(&pass.serial).signature_problems(&answer.body, token.as_bytes(), &root);
        assert!(problems.is_empty(), "{problems:?}");
    }
    assert_eq!(version(&office, &pass).await, 2);
    let enrolled = office.history(&pass).await.into_iter().filter(|kind| kind == "personalized").count();
    assert_eq!(enrolled, 1);
    // Another phone that had the sheet open adds what it knows.
    post(TOKEN, json!({ "postalCode": "10115", "shoeSize": 38 })).await;
    let mut facts = ada();
    facts["postalCode"] = json!("10115");
    assert_eq!(office.get(&pass).await["holder"]["personalization"], facts);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_with_an_old_sheet_is_not_left_waiting() {
    // A template that has no sheet any more; the answer to P is asked for only once (reference 1.3 P).
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("A.").await;
    let body = json!({ "personalizationToken": TOKEN, "requiredPersonalizationInfo": ada() }).to_string();
    let service = world.web_service();
    let authorization = phone.authorization(&pass.serial);
    let answer = service.personalize(&pass.pass_type, &pass.serial, Some(&authorization), body).await.expect(200);
    let root = passloop_tests::world::root_certificate();
    let problems = phone.pass(&pass.serial).signature_problems(&answer.body, TOKEN.as_bytes(), &root);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(office.get(&pass).await["holder"]["personalization"], ada());
    // Nothing shows it, so no phone is told.
    phone.nothing_new(&pass.pass_type).await;
    phone.pull_to_refresh(&pass.serial).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_and_malformed_bodies_change_nothing() {
    let world = bakery_that_enrols().await;
    let office = world.back_office();
    let (pass, phone) = world.customer("A.").await;
    let service = world.web_service();
    let good = json!({ "personalizationToken": TOKEN, "requiredPersonalizationInfo": ada() }).to_string();
    let authorization = phone.authorization(&pass.serial);
    for (serial, authorization) in [
        (pass.serial.as_str(), None),
        (pass.serial.as_str(), Some("ApplePass 0123456789abcdef0123456789abcdef")),
        (pass.serial.as_str(), Some("Bearer x")),
        ("unknown", Some(authorization.as_str())),
    ] {
        service.personalize(&pass.pass_type, serial, authorization, good.clone()).await.expect(401);
    }
    // A manifest is signed for nobody but ourselves: who could have one signed could forge passes.
    let manifest = r#"{"pass.json":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}"#;
    for body in [
        String::new(),
        "[]".to_owned(),
        json!({ "personalizationToken": TOKEN }).to_string(),
        json!({ "personalizationToken": "", "requiredPersonalizationInfo": {} }).to_string(),
        json!({ "personalizationToken": TOKEN, "requiredPersonalizationInfo": { "fullName": 5 } }).to_string(),
        json!({ "personalizationToken": TOKEN, "requiredPersonalizationInfo": { "fullName": "x".repeat(257) } })
            .to_string(),
        json!({ "personalizationToken": manifest, "requiredPersonalizationInfo": {} }).to_string(),
    ] {
        service.personalize(&pass.pass_type, &pass.serial, Some(&authorization), body).await.expect(400);
    }
    assert_eq!(version(&office, &pass).await, 1);
    assert_eq!(office.get(&pass).await["holder"], json!({ "name": "A." }));
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_may_delete_what_the_customer_typed_and_the_sheet_stays_away() {
    let world = bakery_that_enrols().await;
    let office = world.back_office();
    // As much as a merchant may write.
    let mut pass = json!({ "campaignId": CAMPAIGN, "holder": { "name": "x".repeat(4000) } });
    let issued = Issued::read(&office.post_pass(&pass).await.expect(201).json());
    let mut phone = world.iphone();
    phone.add(&world.download(&issued).await.body).await;
    phone.personalize(&issued.serial, TOKEN, &ada()).await.expect(200);
    pass = office.patch_holder(&issued, json!({ "tier": "gold" })).await.expect(200).json();
    assert_eq!(pass["holder"]["personalization"], ada());
    office.patch_holder(&issued, json!({ "personalization": null })).await.expect(200);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&issued.serial).value("customer"), "");
    assert!(!phone.pass(&issued.serial).files.contains_key("personalization.json"));
    phone.was_content();
    world.end().await;
}
