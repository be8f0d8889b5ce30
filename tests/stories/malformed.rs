//! Malformed everything (contract 4, Errors; reference 1.3).

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE, two_offers};
use passloop_tests::till::Till;
use passloop_tests::web_service::Registration;
use passloop_tests::world::World;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_with_a_malformed_body_is_400_and_registers_nothing() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let of = Registration { device: "clumsy", pass_type: PASS_TYPE, serial: &pass.serial };
    for body in [
        "",
        "{",
        "null",
        "[]",
        "\"token\"",
        "{}",
        r#"{"pushToken":17}"#,
        r#"{"pushToken":null}"#,
        r#"{"pushToken":""}"#,
    ] {
        let service = world.web_service();
        let answer = service.register_raw(of, Some(&authorization), "application/json", body.to_owned()).await;
        assert_eq!(answer.status, 400, "{body:?}: {}", answer.text());
    }
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    // 401 comes before any word about the body.
    let service = world.web_service();
    service.register_raw(of, None, "application/json", "{".to_owned()).await.expect(401);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_with_another_content_type_or_more_members_works_b20() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let token = "ef".repeat(32);
    for (device, kind) in [("dart", "text/plain"), ("bare", "application/octet-stream")] {
        let of = Registration { device, pass_type: PASS_TYPE, serial: &pass.serial };
        let body = json!({ "pushToken": token, "somethingNew": [1] }).to_string();
        world.web_service().register_raw(of, Some(&authorization), kind, body).await.expect(201);
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_json_is_400() {
    let world = World::new().await;
    let office = world.back_office();
    for (method, path) in [(Method::POST, "/passes"), (Method::PUT, "/campaigns/c"), (Method::POST, "/redemptions")] {
        for body in ["", "{", "[]", "17", "{\"a\":1,}", "\u{feff}"] {
            let request = office
                .request(method.clone(), path)
                .header("Idempotency-Key", Till::new_sale())
                .header("Content-Type", "application/json")
                .body(body);
            Answer::to(request).await.any_problem(&[400, 422]);
        }
        let request = office
            .request(method, path)
            .header("Idempotency-Key", Till::new_sale())
            .header("Content-Type", "application/json")
            .body(vec![b'{', b'"', 0xFF, 0xFE, b'"', b':', b'1', b'}']);
        Answer::to(request).await.any_problem(&[400, 422]);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_named_not_ignored() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let answer = office.post_pass(&json!({ "campaignId": CAMPAIGN, "holdr": {} })).await;
    answer.any_problem(&[400, 422]);
    assert!(answer.problem_paths().contains(&"/holdr".to_owned()), "{}", answer.text());
    let mut campaign = two_offers();
    campaign["offers"][1]["titel"] = json!("x");
    campaign["redeemedOverlay"]["feilds"] = json!({});
    let answer = office.put_campaign("c", &campaign).await;
    answer.any_problem(&[400, 422]);
    let paths = answer.problem_paths();
    assert!(paths.contains(&"/offers/1/titel".to_owned()), "{paths:?}");
    assert!(paths.contains(&"/redeemedOverlay/feilds".to_owned()), "{paths:?}");
    let body = json!({ "barcode": pass.barcode, "cashier": "x" });
    let answer = world.till().send(Some(&Till::new_sale()), &body).await;
    answer.any_problem(&[400, 422]);
    assert!(answer.problem_paths().contains(&"/cashier".to_owned()), "{}", answer.text());
    assert_eq!(office.get(&pass).await["state"], "redeemable");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_of_a_campaign_is_named_by_its_path() {
    let world = World::new().await;
    let campaign = json!({
        "passTypeIdentifier": 17,
        "templateId": CAMPAIGN,
        "offers": [
            { "offerId": "", "title": "A" },
            { "offerId": "b", "title": 5 },
            { "title": "C", "redeemableFrom": "tomorrow" }
        ],
        "nextOfferAfterSeconds": -5,
        "afterLastOffer": "explode",
        "onTooManyDevices": true
    });
    let answer = world.back_office().put_campaign("c", &campaign).await;
    answer.any_problem(&[400, 422]);
    let paths = answer.problem_paths();
    for path in [
        "/passTypeIdentifier",
        "/offers/0/offerId",
        "/offers/1/title",
        "/offers/2/offerId",
        "/offers/2/redeemableFrom",
        "/nextOfferAfterSeconds",
        "/afterLastOffer",
        "/onTooManyDevices",
    ] {
        assert!(paths.iter().any(|named| named == path), "{path} is not in {paths:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_need_distinct_ids_and_there_must_be_one() {
    let world = World::new().await;
    let office = world.back_office();
    let mut twice = two_offers();
    twice["offers"][1]["offerId"] = json!("free-croissant");
    let answer = office.put_campaign("c", &twice).await;
    answer.any_problem(&[400, 422]);
    assert!(answer.problem_paths().contains(&"/offers/1/offerId".to_owned()), "{}", answer.text());
    let mut none = two_offers();
    none["offers"] = json!([]);
    let answer = office.put_campaign("c", &none).await;
    answer.any_problem(&[400, 422]);
    assert!(answer.problem_paths().contains(&"/offers".to_owned()), "{}", answer.text());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_needs_a_known_template_and_a_pass_its_campaign() {
    let world = World::new().await;
    let office = world.back_office();
    let mut campaign = two_offers();
    campaign["templateId"] = json!("unknown");
    office.put_campaign("c", &campaign).await.any_problem(&[404, 409, 422]);
    office.post_pass(&json!({ "campaignId": "unknown" })).await.any_problem(&[404, 409, 422]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redemption_names_exactly_one_pass() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let till = world.till();
    for body in [
        json!({}),
        json!({ "passTypeIdentifier": PASS_TYPE }),
        json!({ "serialNumber": pass.serial }),
        json!({ "barcode": 17 }),
        json!({ "barcode": null }),
        json!({ "barcode": pass.barcode, "location": 5 }),
        json!({ "barcode": pass.barcode, "passTypeIdentifier": PASS_TYPE, "serialNumber": pass.serial }),
    ] {
        let answer = till.send(Some(&Till::new_sale()), &body).await;
        answer.any_problem(&[400, 422]);
        assert!(!answer.problem_paths().is_empty(), "{body}");
    }
    assert_eq!(world.back_office().get(&pass).await["state"], "redeemable");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_identifiers_are_refused() {
    let world = World::new().await;
    let office = world.back_office();
    let long = "x".repeat(65);
    for serial in ["", "a/b", "a b", "ü", "../x", long.as_str()] {
        let answer = office.post_pass(&json!({ "campaignId": CAMPAIGN, "serialNumber": serial })).await;
        answer.any_problem(&[400, 422]);
        assert_eq!(answer.problem_paths(), ["/serialNumber"], "{serial:?}");
    }
    for id in ["a%20b", "%C3%BC", "a%2Fb", &"x".repeat(300)] {
        office.put_campaign(id, &two_offers()).await.any_problem(&[400, 422]);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_413() {
    let world = World::new().await;
    let office = world.back_office();
    let body = json!({ "campaignId": CAMPAIGN, "holder": { "name": "x".repeat(5_000_000) } });
    office.post_pass(&body).await.any_problem(&[413]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_is_no_zip_or_not_called_one_is_refused() {
    let world = World::new().await;
    let office = world.back_office();
    office.put_archive("t", b"this is no zip".to_vec()).await.any_problem(&[400, 422]);
    office.put_archive("t", Vec::new()).await.any_problem(&[400, 422]);
    let request = office.request(Method::PUT, "/templates/t").header("Content-Type", "application/json").body("{}");
    Answer::to(request).await.any_problem(&[400, 415, 422]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_route_names_is_404() {
    let world = World::new().await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/v1"),
        (Method::GET, "/v2/passes/a/b"),
        (Method::PUT, "/v1/passes/a/b"),
        (Method::DELETE, "/v1/log"),
        (Method::POST, "/v1/devices/a/registrations/b"),
        (Method::GET, "/merchant/v1/redemptions"),
        (Method::PUT, "/merchant/v1/passes/a/b"),
        (Method::GET, "/merchant/v1/nothing"),
    ] {
        let request = world.http().request(method, format!("{}{path}", world.base()));
        Answer::to(request).await.expect(404);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_pass_is_404_for_the_office() {
    let world = World::new().await;
    let office = world.back_office();
    for (method, tail) in [(Method::GET, ""), (Method::PATCH, ""), (Method::POST, "/void"), (Method::GET, "/history")] {
        let request = office.request(method, &format!("/passes/{PASS_TYPE}/unknown{tail}"));
        Answer::to(request.json(&json!({}))).await.any_problem(&[400, 404, 422]);
    }
    let request = office.request(Method::GET, &format!("/passes/{PASS_TYPE}/unknown"));
    Answer::to(request).await.any_problem(&[404]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_of_form_of_meaning_and_of_the_look_are_named_together() {
    // Contract 4, Errors: every problem, not only the first.
    let world = World::new().await;
    let office = world.back_office();
    let mut campaign = two_offers();
    campaign["colour"] = json!("red");
    campaign["nextOfferAfterSeconds"] = json!(99_999_999);
    campaign["offers"][1]["offerId"] = campaign["offers"][0]["offerId"].clone();
    campaign["redeemedOverlay"]["fields"]["nowhere"] = json!({ "value": "x" });
    let paths = office.put_campaign(CAMPAIGN, &campaign).await.problem_paths();
    for path in ["/colour", "/nextOfferAfterSeconds", "/offers/1/offerId", "/redeemedOverlay/fields/nowhere"] {
        assert!(paths.contains(&path.to_owned()), "{path} is missing in {paths:?}");
    }
    let answer = office.post_pass(&json!({ "campaignId": "none", "serialNumber": "a/b", "extra": 1 })).await;
    let paths = answer.problem_paths();
    for path in ["/campaignId", "/serialNumber", "/extra"] {
        assert!(paths.contains(&path.to_owned()), "{path} is missing in {paths:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_changed_to_null_is_named_not_ignored() {
    // Whoever writes null means to hide the field, which removeFields does: silence would leave it on the pass.
    let world = World::new().await;
    let mut campaign = two_offers();
    campaign["welcomeOverlay"] = json!({ "fields": { "status": null } });
    let answer = world.back_office().put_campaign(CAMPAIGN, &campaign).await;
    assert_eq!(answer.problem_paths(), ["/welcomeOverlay/fields/status"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_is_unknown_hides_no_other_problem() {
    // Contract 4: "naming every problem, not only the first".
    let world = World::new().await;
    let mut campaign = two_offers();
    campaign["templateId"] = json!("unknown");
    campaign["offers"][0]["titel"] = json!("x");
    campaign["offers"][0]["redemptionLimit"] = json!(0);
    let mut paths = world.back_office().put_campaign(CAMPAIGN, &campaign).await.problem_paths();
    paths.sort();
    assert_eq!(paths, ["/offers/0/redemptionLimit", "/offers/0/titel", "/templateId"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barcode_longer_than_a_key_of_the_table_is_named() {
    let world = World::new().await;
    let answer = world.till().redeem(&"\u{1f600}".repeat(512)).await;
    assert_eq!(answer.problem_paths(), ["/barcode"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scanner_adds_to_a_barcode_is_not_part_of_it() {
    // Scanners that play a keyboard end each code with Return.
    let world = World::new().await;
    let (pass, _) = world.customer("Ada").await;
    let receipt = world.till().redeem(&format!("{}\r\n", pass.barcode)).await.expect(201);
    assert_eq!(receipt.json()["serialNumber"], pass.serial);
    world.end().await;
}

/// A JSON value of so many arrays within each other.
fn nested(depth: usize) -> serde_json::Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

/// What is taken can be read again: a merchant's data is stored within a few levels of our own (docs/limits.md).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nests_too_deep_is_refused_and_what_is_taken_works() {
    let world = World::new().await;
    let office = world.back_office();
    let campaign = |depth: usize| {
        let mut campaign = two_offers();
        campaign["benefit"] = nested(depth);
        campaign["offers"][0]["benefit"] = nested(depth - 2);
        campaign["offers"][0]["overlay"]["set"] = json!({ "userInfo": nested(depth - 4) });
        campaign
    };
    office.put_campaign("deep", &campaign(64)).await.problem(400, "malformed");
    office.put_campaign("deep", &campaign(63)).await.expect(201);
    office.put_campaign("deep", &campaign(62)).await.expect(200);
    let order = |depth: usize| json!({ "campaignId": "deep", "holder": { "deep": nested(depth) } });
    office.post_pass(&order(63)).await.problem(400, "malformed");
    let pass = office.post_pass(&order(62)).await.expect(201).json();
    let target = json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": pass["serialNumber"] });
    let update = |depth: usize| {
        let overlay = json!({ "set": { "userInfo": nested(depth) } });
        json!({ "target": target, "at": world.now(), "overlay": overlay })
    };
    Answer::to(office.request(Method::POST, "/updates").json(&update(62))).await.problem(400, "malformed");
    let made = Answer::to(office.request(Method::POST, "/updates").json(&update(61))).await.expect(201).json();
    let path = format!("/updates/{}", made["updateId"].as_str().unwrap());
    let get = || async { Answer::to(office.request(Method::GET, &path)).await.expect(200).json() };
    world.until("the update is on", get, |update| update["state"] == "active").await;
    world.till().redeem(pass["barcode"].as_str().unwrap()).await.expect(201);
    world.end().await;
}
