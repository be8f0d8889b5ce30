//! `Idempotency-Key` (contract 4, second bullet).

use std::time::Duration;

use passloop_tests::back_office::CAMPAIGN;
use passloop_tests::till::Till;
use passloop_tests::world::World;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_and_body_give_the_first_answer_again() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let first = world.till().redeem_as("sale 17", &pass.barcode).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    // Kept 30 days: whatever happened to the pass meanwhile.
    for pause in [0, 15, 3600, 29 * 86_400] {
        world.pass_time(Duration::from_secs(pause)).await;
        let again = world.till().redeem_as("sale 17", &pass.barcode).await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.json(), first.json());
        assert_eq!(again.header("content-type"), first.header("content-type"));
    }
    let history = office.history(&pass).await;
    assert_eq!(history.iter().filter(|kind| *kind == "redeemed").count(), 1, "{history:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_with_another_body_is_refused() {
    let world = World::new().await;
    let office = world.back_office();
    let ada = office.issue("Ada").await;
    let bob = office.issue("Bob").await;
    world.till().redeem_as("sale 17", &ada.barcode).await.expect(201);
    let reused = world.till().redeem_as("sale 17", &bob.barcode).await;
    reused.problem(422, "idempotency_key_reused");
    let other_till = world.till_named("till 2").redeem_as("sale 17", &ada.barcode).await;
    other_till.problem(422, "idempotency_key_reused");
    // Also a body that would be refused: the till hears what its mistake is.
    for body in [json!({}), json!({ "zz": 1 }), json!({ "barcode": "" })] {
        world.till().send(Some("sale 17"), &body).await.problem(422, "idempotency_key_reused");
    }
    assert_eq!(office.get(&bob).await["state"], "redeemable");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redemption_without_a_proper_key_is_400_and_does_nothing() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let body = json!({ "barcode": pass.barcode });
    let till = world.till();
    till.send(None, &body).await.any_problem(&[400]);
    // 1 to 64 printable ASCII characters.
    till.send(Some(""), &body).await.any_problem(&[400]);
    till.send(Some(&"k".repeat(65)), &body).await.any_problem(&[400]);
    till.send(Some("clé"), &body).await.any_problem(&[400]);
    till.send(Some("a\tb"), &body).await.any_problem(&[400]);
    assert_eq!(office.get(&pass).await["state"], "redeemable");
    till.send(Some(&"k".repeat(64)), &body).await.expect(201);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_sent_many_times_at_once_redeems_once() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let mut sales = JoinSet::new();
    for _ in 0..8 {
        let (till, barcode) = (world.till(), pass.barcode.clone());
        sales.spawn(async move { till.redeem_as("sale 17", &barcode).await });
    }
    let mut receipts = Vec::new();
    for answer in sales.join_all().await {
        if answer.status == 201 {
            receipts.push(answer.json());
        } else {
            // While the first is still running.
            answer.problem(409, "in_progress");
        }
    }
    assert!(!receipts.is_empty());
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    let after = world.till().redeem_as("sale 17", &pass.barcode).await.expect(201);
    assert_eq!(after.header("idempotency-replayed"), Some("true"));
    assert_eq!(after.json(), receipts[0]);
    let history = office.history(&pass).await;
    assert_eq!(history.iter().filter(|kind| *kind == "redeemed").count(), 1, "{history:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuing_twice_under_one_key_makes_one_pass() {
    let world = World::new().await;
    let office = world.back_office();
    let body = json!({ "campaignId": CAMPAIGN, "holder": { "name": "Ada" } });
    let send = |body: serde_json::Value| {
        let request = office.request(Method::POST, "/passes").header("Idempotency-Key", "order 4711");
        passloop_tests::answer::Answer::to(request.json(&body))
    };
    let first = send(body.clone()).await.expect(201);
    let again = send(body).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), first.json());
    let other = json!({ "campaignId": CAMPAIGN, "holder": { "name": "Bob" } });
    send(other).await.problem(422, "idempotency_key_reused");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_keys_are_different_sales() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    world.till().redeem_as(&Till::new_sale(), &pass.barcode).await.expect(201);
    let second = world.till().redeem_as(&Till::new_sale(), &pass.barcode).await;
    second.problem(409, "already_redeemed");
    assert_eq!(second.header("idempotency-replayed"), None);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_refusal_names_the_request_it_answers() {
    // Contract 4, Errors: every problem has a requestId.
    let world = World::new().await;
    let till = world.till();
    let sale = Till::new_sale();
    let first = till.redeem_as(&sale, "unknown").await;
    let again = till.redeem_as(&sale, "unknown").await;
    first.problem(404, "unknown_pass");
    again.problem(404, "unknown_pass");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(again.json()["requestId"].as_str().is_some_and(|id| !id.is_empty()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_issuing_is_refused_for_ever_under_its_key() {
    // Contract 4: the first answer again; with another body 422.
    let world = World::new().await;
    let office = world.back_office();
    let send = |serial: &str| {
        let order = json!({ "campaignId": CAMPAIGN, "serialNumber": serial });
        passloop_tests::answer::Answer::to(
            office.request(Method::POST, "/passes").header("Idempotency-Key", "k").json(&order),
        )
    };
    office.post_pass(&json!({ "campaignId": CAMPAIGN, "serialNumber": "taken" })).await.expect(201);
    send("taken").await.problem(409, "serial_number_taken");
    let again = send("taken").await;
    again.problem(409, "serial_number_taken");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    send("free").await.problem(422, "idempotency_key_reused");
    world.end().await;
}
