//! The report of a campaign: counts that were kept while it happened.

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::till::Till;
use passloop_tests::world::{PATIENCE, World};
use platform::keys::Role;
use serde_json::{Value, json};

async fn report(world: &World, query: &str) -> Value {
    Answer::to(world.back_office().report(CAMPAIGN, query)).await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_tells_what_happened() {
    let world = World::new().await;
    let office = world.back_office();
    let empty = report(&world, "").await;
    assert_eq!((&empty["issued"], &empty["installed"]), (&json!(0), &json!({ "now": 0, "ever": 0 })));
    assert_eq!(empty["timeToWallet"], json!({ "versions": 0, "p50Seconds": null, "p95Seconds": null }));

    let (first, mut ada) = world.customer("Ada").await;
    let (second, mut bob) = world.customer("Bob").await;
    let (_, carol) = world.customer("Carol").await;
    office.issue("Nobody").await;
    // The same registration again is none.
    ada.rotate_push_token_only().await;
    let till = world.till();
    let sale = Till::new_sale();
    till.redeem_as(&sale, &first.barcode).await.expect(201);
    till.redeem_as(&sale, &first.barcode).await.expect(201);
    world.apns().wait_for(ada.push_token(), 1, PATIENCE).await;
    world.advance(Duration::from_secs(4));
    ada.hear(world.apns()).await;
    let body = json!({ "passTypeIdentifier": second.pass_type, "serialNumber": second.serial });
    let redeemed = till.send(Some(&Till::new_sale()), &body).await.expect(201).json();
    bob.hear(world.apns()).await;
    office.reverse(redeemed["redemptionId"].as_str().unwrap()).await.expect(200);
    bob.hear(world.apns()).await;
    bob.delete(&second.serial).await;
    world.apns().answer(carol.push_token(), 400, "BadDeviceToken", None);
    let mut news = two_offers();
    news["offers"][0]["title"] = json!("A free croissant");
    office.put_campaign(CAMPAIGN, &news).await.expect(200);

    let ask = || report(&world, "");
    let told = world
        .until("Carol is gone, and all is fetched", ask, |told| {
            told["unreachable"] == 1 && told["timeToWallet"]["versions"] == 3
        })
        .await;
    assert_eq!(told["issued"], 4);
    assert_eq!(told["installed"], json!({ "now": 1, "ever": 3 }));
    assert_eq!((&told["removed"], &told["redeemed"], &told["reversed"]), (&json!(1), &json!(2), &json!(1)));
    assert_eq!(told["timeToWallet"]["p95Seconds"], 5);
    let rows = told["redemptions"].as_array().unwrap();
    let places: Vec<&Value> = rows.iter().map(|row| &row["location"]).collect();
    assert_eq!(places, [&json!(null), &json!("Rue Cler")]);
    assert_eq!((&rows[0]["redeemed"], &rows[0]["reversed"]), (&json!(1), &json!(1)));
    assert_eq!((&rows[1]["redeemed"], &rows[1]["offerId"]), (&json!(1), &json!("free-croissant")));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_apart_and_can_be_asked_for() {
    let mut campaign = two_offers();
    campaign["offers"][0]["redemptionLimit"] = json!(3);
    let world = World::with_campaign(&campaign).await;
    let pass = world.back_office().issue("Ada").await;
    let mut days = Vec::new();
    for _ in 0..3 {
        world.till().redeem_pass(&pass.pass_type, &pass.serial).await.expect(201);
        days.push(world.now().strftime("%Y-%m-%d").to_string());
        world.pass_time(Duration::from_secs(86_400)).await;
    }
    let told = report(&world, "").await;
    let rows: Vec<&Value> = told["redemptions"].as_array().unwrap().iter().map(|row| &row["day"]).collect();
    assert_eq!(rows, days.iter().map(|day| json!(day)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    let told = report(&world, &format!("?from={}&until={}", days[1], days[1])).await;
    assert_eq!((&told["redeemed"], &told["redemptions"][0]["day"]), (&json!(1), &json!(days[1])));
    let wrong = Answer::to(world.back_office().report(CAMPAIGN, "?from=yesterday&until=2026-02-30")).await;
    wrong.problem(422, "invalid");
    assert_eq!(wrong.problem_paths(), ["/from", "/until"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spreadsheet_gets_the_same_numbers_and_no_formulas() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let body = json!({ "barcode": pass.barcode, "location": "=1+1, \"Rue\"" });
    world.till().send(Some(&Till::new_sale()), &body).await.expect(201);
    let csv = Answer::to(office.report(CAMPAIGN, "").header("Accept", "text/csv")).await.expect(200);
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"), "{csv:?}");
    let text = csv.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!((lines[0], lines[1]), ("measure,day,offerId,location,value", "issued,,,,1"));
    let day = world.now().strftime("%Y-%m-%d");
    let row = format!("redeemed,{day},free-croissant,\"'=1+1, \"\"Rue\"\"\",1");
    assert!(lines.contains(&row.as_str()), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_its_merchants_alone() {
    let world = World::new().await;
    let stranger = world.back_office_with(&world.key_of_another_merchant().await);
    Answer::to(stranger.report(CAMPAIGN, "")).await.problem(404, "not_found");
    let till = world.back_office_with(&world.key_with_role(Role::Redeem).await);
    Answer::to(till.report(CAMPAIGN, "")).await.problem(403, "forbidden");
    Answer::to(world.back_office().report("none", "")).await.problem(404, "not_found");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_outlives_a_restart() {
    let world = World::on_disk().await;
    let (pass, phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    let before = report(&world, "").await;
    let world = world.restart().await;
    world.sweep().await;
    let after = report(&world, "").await;
    for member in ["issued", "installed", "redeemed", "redemptions"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert_eq!((&after["issued"], &after["redeemed"]), (&json!(1), &json!(1)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_in_the_wrong_order_are_told_and_days_to_come_are_empty() {
    let world = World::new().await;
    let office = world.back_office();
    let refused = Answer::to(office.report(CAMPAIGN, "?from=2026-11-26&until=2026-11-01")).await;
    refused.problem(422, "invalid");
    assert_eq!(refused.problem_paths(), ["/until"]);
    for empty in ["?from=2090-01-01", "?until=0488-08-08", "?from=-000005-01-01&until=-000001-01-01"] {
        assert_eq!(report(&world, empty).await["redemptions"], json!([]), "{empty}");
    }
    world.end().await;
}
