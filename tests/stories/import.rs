//! Passes from another system: phones in the field hold the old token and just go on.

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, Issued, PASS_TYPE};
use passloop_tests::batches::{CSV, JSON_LINES, error_paths, lines};
use passloop_tests::package::Package;
use passloop_tests::web_service::Registration;
use passloop_tests::world::{World, root_certificate};
use platform::keys::Role;
use serde_json::{Value, json};

const OLD_TOKEN: &str = "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc";

fn old_pass(serial: &str) -> Value {
    json!({ "campaignId": CAMPAIGN, "serialNumber": serial, "authenticationToken": OLD_TOKEN })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_with_the_old_pass_registers_lists_and_fetches() {
    let world = World::new().await;
    let office = world.back_office();
    let service = world.web_service();
    let (device, push_token) = ("0ld-ph0ne", "ab".repeat(32));
    let of = || Registration { device, pass_type: PASS_TYPE, serial: "OLD-1" };
    let authorization = format!("ApplePass {OLD_TOKEN}");
    // Before the import nobody knows it (reference 1.2: 401).
    service.register(of(), Some(&authorization), &push_token).await.expect(401);
    let text = "serialNumber,authenticationToken,barcode,holder.name\r\nOLD-1,vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc,4006381333931,Ada\r\n";
    let (batch, answers) = office.whole_batch(world.http(), "?campaignId=croissant", CSV, text.to_owned()).await;
    assert_eq!((&batch["issued"], &batch["imported"]), (&json!(1), &json!(1)), "{answers:?}");
    assert!(!answers[0].to_string().contains(OLD_TOKEN), "{answers:?}");
    // The phone knows the token, the serial number and a tag and a date of the other system.
    service.register(of(), Some(&authorization), &push_token).await.expect(201);
    let wrong = "ApplePass vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdd";
    service.register(of(), Some(wrong), &push_token).await.expect(401);
    let listed = service.list(device, PASS_TYPE, Some("1795435200")).await.expect(200).json();
    assert_eq!(listed["serialNumbers"], json!(["OLD-1"]));
    let since = "Mon, 23 Nov 2020 12:00:00 GMT";
    let fetched = service.pass(PASS_TYPE, "OLD-1", Some(&authorization), Some(since)).await.expect(200);
    let package = Package::open(&fetched.body, &root_certificate()).unwrap();
    assert_eq!((package.text("serialNumber"), package.text("authenticationToken")), ("OLD-1", OLD_TOKEN));
    assert_eq!((package.barcode(), package.value("holder")), (Some("4006381333931"), json!("Ada")));
    // And what the old barcode is worth here, the till finds by it.
    world.till().redeem("4006381333931").await.expect(201);
    let pushes = world.apns().wait_for(&push_token, 1, passloop_tests::world::PATIENCE).await;
    assert!(!pushes.is_empty(), "the phone is told");
    let tag = listed["lastUpdated"].as_str().unwrap();
    let listed = service.list(device, PASS_TYPE, Some(tag)).await.expect(200).json();
    assert_eq!(listed["serialNumbers"], json!(["OLD-1"]));
    let events = office.events(&Issued::read(&answers[0])).await;
    assert_eq!((&events[0]["type"], &events[0]["imported"]), (&json!("issued"), &json!(true)));
    let report = Answer::to(office.report(CAMPAIGN, "")).await.expect(200).json();
    assert_eq!((&report["issued"], &report["imported"]), (&json!(1), &json!(1)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_come_in_the_state_they_had() {
    let world = World::new().await;
    let office = world.back_office();
    let with = |serial: &str, more: Value| {
        let mut row = old_pass(serial);
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let used = "2024-05-01T08:00:00.000Z";
    let rows = [
        with("USED", json!({ "state": "redeemed", "barcode": "OLD-USED", "redeemedAt": used })),
        with("DONE", json!({ "state": "finished", "offerId": "half-price-coffee" })),
        with("VOID", json!({ "state": "voided" })),
        with("SECOND", json!({ "offerId": "half-price-coffee", "barcode": "OLD-SECOND" })),
        with("WRONG", json!({ "state": "expired", "offerId": "nobody", "redemptions": 7 })),
        with("WRONG", json!({ "offerId": "nobody", "redemptions": 7, "redeemedAt": "2099-01-01T00:00:00Z" })),
    ];
    let (batch, answers) = office.whole_batch(world.http(), "", JSON_LINES, lines(&rows)).await;
    assert_eq!((&batch["imported"], &batch["failed"]), (&json!(4), &json!(2)), "{answers:?}");
    assert_eq!(error_paths(&answers[4]), ["/state"]);
    assert_eq!(error_paths(&answers[5]), ["/offerId", "/redemptions", "/redeemedAt"]);
    let states: Vec<_> = answers.iter().filter_map(|answer| answer["state"].as_str()).collect();
    assert_eq!(states, ["redeemed", "finished", "voided", "redeemable"]);
    // A till that scans the used one is told so, with the time of then; so is a finished one.
    let told = world.till().redeem("OLD-USED").await.problem(409, "already_redeemed");
    assert_eq!(told["redeemedAt"], used);
    world.till().redeem_pass(PASS_TYPE, "DONE").await.problem(409, "already_redeemed");
    world.till().redeem_pass(PASS_TYPE, "VOID").await.problem(409, "voided");
    let receipt = world.till().redeem("OLD-SECOND").await.expect(201).json();
    assert_eq!(receipt["offer"]["offerId"], "half-price-coffee");
    // The next offer comes to the used one as after any redemption, and never to the finished one.
    world.pass_time(Duration::from_secs(15)).await;
    let pass = Issued::read(&answers[0]);
    let next = world.until("the next offer", || office.get(&pass), |pass| pass["state"] == "redeemable").await;
    assert_eq!(next["offer"]["offerId"], "half-price-coffee");
    assert_ne!(next["barcode"], "OLD-USED");
    world.till().redeem("OLD-USED").await.problem(409, "already_redeemed");
    assert_eq!(office.get(&Issued::read(&answers[1])).await["state"], "finished");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_pass_is_imported_by_the_door_for_one() {
    let world = World::new().await;
    let office = world.back_office();
    let mut order = old_pass("OLD-1");
    order["barcode"] = json!("4006381333931");
    let made = office.post_pass(&order).await.expect(201).json();
    assert_eq!((&made["barcode"], &made["state"]), (&json!("4006381333931"), &json!("redeemable")));
    assert!(!made.to_string().contains(OLD_TOKEN));
    let service = world.web_service();
    let fetched = service.pass(PASS_TYPE, "OLD-1", Some(&format!("ApplePass {OLD_TOKEN}")), None).await.expect(200);
    assert!(Package::open(&fetched.body, &root_certificate()).is_ok());
    office.post_pass(&old_pass("OLD-1")).await.problem(409, "serial_number_taken");
    // A barcode belongs to one pass, for ever.
    let mut other = old_pass("OLD-2");
    other["barcode"] = json!("4006381333931");
    assert_eq!(office.post_pass(&other).await.problem_paths(), ["/barcode"]);
    let rows = [other, with_barcode("OLD-3", "X-1"), with_barcode("OLD-4", "X-1")];
    let (_, answers) = office.whole_batch(world.http(), "", JSON_LINES, lines(&rows)).await;
    let paths: Vec<_> = answers.iter().map(error_paths).collect();
    assert_eq!(paths, [vec!["/barcode"], vec![], vec!["/barcode"]], "{answers:?}");
    // A used one waits for its next offer here too.
    let mut used = old_pass("OLD-5");
    used["state"] = json!("redeemed");
    let used = office.post_pass(&used).await.expect(201).json();
    assert_eq!(used["state"], "redeemed");
    world.pass_time(Duration::from_secs(15)).await;
    let pass = Issued::read(&used);
    world.until("the next offer", || office.get(&pass), |pass| pass["state"] == "redeemable").await;
    world.end().await;
}

fn with_barcode(serial: &str, barcode: &str) -> Value {
    let mut row = old_pass(serial);
    row["barcode"] = json!(barcode);
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_the_owners_and_is_checked() {
    let world = World::new().await;
    let office = world.back_office();
    let clerk = world.back_office_with(&world.key_with_role(Role::Issue).await);
    clerk.post_pass(&old_pass("OLD-1")).await.problem(403, "forbidden");
    let (batch, answers) = clerk.whole_batch(world.http(), "", JSON_LINES, lines(&[old_pass("OLD-1")])).await;
    assert_eq!((&batch["issued"], error_paths(&answers[0])), (&json!(0), vec!["/authenticationToken"]));
    // Apple: at least 16 characters; and it travels in a header.
    for token in ["0123456789abcde", "0123456789 abcdef", "0123456789äbcdefg", &"x".repeat(256)] {
        let mut order = old_pass("OLD-1");
        order["authenticationToken"] = json!(token);
        assert_eq!(office.post_pass(&order).await.problem_paths(), ["/authenticationToken"], "{token}");
    }
    let nameless = json!({ "campaignId": CAMPAIGN, "authenticationToken": OLD_TOKEN });
    assert_eq!(office.post_pass(&nameless).await.problem_paths(), ["/serialNumber"]);
    let loose = json!({ "campaignId": CAMPAIGN, "state": "voided", "barcode": "b" });
    assert_eq!(office.post_pass(&loose).await.problem_paths(), ["/barcode", "/state"]);
    world.end().await;
}
