//! 304 exactly when the device holds this very version (contract 3; B4, B5, B6, B15).

use std::time::Duration;

use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::package::Package;
use passloop_tests::world::{World, root_certificate};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_in_hand_is_304_without_a_body_b4() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let held = phone.last_modified(&pass.serial);
    let answer = world.web_service().pass(PASS_TYPE, &pass.serial, Some(&authorization), Some(held)).await;
    let answer = answer.expect(304);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("last-modified"), Some(held));
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_other_date_is_200() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let held = httpdate::parse_http_date(phone.last_modified(&pass.serial)).unwrap();
    let earlier = httpdate::fmt_http_date(held - Duration::from_secs(1));
    let later = httpdate::fmt_http_date(held + Duration::from_secs(3600));
    for since in [earlier.as_str(), &later, "yesterday", "1351981923", "", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        let answer = world.web_service().pass(PASS_TYPE, &pass.serial, Some(&authorization), Some(since)).await;
        let answer = answer.expect(200);
        assert_eq!(answer.header("last-modified"), Some(phone.last_modified(&pass.serial)), "{since}");
        assert_eq!(answer.header("content-type"), Some("application/vnd.apple.pkpass"));
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_modified_is_the_datas_time_not_the_answers_b5() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let first = phone.last_modified(&pass.serial).to_owned();
    world.advance(Duration::from_secs(3600));
    phone.pull_to_refresh(&pass.serial).await;
    let authorization = phone.authorization(&pass.serial);
    let again = world.web_service().pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await;
    assert_eq!(again.expect(200).header("last-modified"), Some(first.as_str()));
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_within_one_second_are_both_seen_b6() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    // The clock stands still.
    for name in ["Bea", "Cleo", "Dora"] {
        let before = httpdate::parse_http_date(phone.last_modified(&pass.serial)).unwrap();
        office.patch_holder(&pass, json!({ "name": name })).await.expect(200);
        assert_eq!(phone.pushed(PASS_TYPE).await, [pass.serial.as_str()]);
        assert_eq!(phone.pass(&pass.serial).value("holder"), name);
        let after = httpdate::parse_http_date(phone.last_modified(&pass.serial)).unwrap();
        // HTTP dates have whole seconds (reference 1.8 rule 6).
        assert!(after >= before + Duration::from_secs(1), "{before:?} then {after:?}");
    }
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_answers_what_get_answers_without_the_body() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let service = world.web_service();
    let get = service.pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
    let head = service.head(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
    assert!(head.body.is_empty());
    for name in ["content-type", "last-modified", "content-length", "cache-control"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(get.header("content-length"), Some(get.body.len().to_string().as_str()));
    let held = phone.last_modified(&pass.serial);
    service.head(PASS_TYPE, &pass.serial, Some(&authorization), Some(held)).await.expect(304);
    service.head(PASS_TYPE, &pass.serial, None, None).await.expect(401);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_401_never_304() {
    // Reference 1.3: authorisation before conditions.
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let held = phone.last_modified(&pass.serial);
    for authorization in [None, Some("ApplePass 0123456789abcdef")] {
        world.web_service().pass(PASS_TYPE, &pass.serial, authorization, Some(held)).await.expect(401);
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_with_a_secret_is_not_kept_by_caches() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let answer = world.web_service().pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
    let cache = answer.header("cache-control").unwrap_or_default();
    assert!(cache.contains("no-store") || cache.contains("private"), "cache-control: {cache:?}");
    let package = Package::open(&answer.body, &root_certificate()).unwrap();
    assert_eq!(package.manifest, phone.pass(&pass.serial).manifest);
    phone.was_content();
    world.end().await;
}
