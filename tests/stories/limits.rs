//! `redemptionLimit` (contract 4, Campaigns): so often an offer may be redeemed.

use std::time::Duration;

use passloop_tests::back_office::two_offers;
use passloop_tests::world::World;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_with_limit_3_is_redeemed_three_times_then_used() {
    let mut campaign = two_offers();
    campaign["offers"][0]["redemptionLimit"] = json!(3);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        let seen = office.get(&pass).await;
        assert_eq!(seen["state"], "redeemable", "before redemption {number}");
        let barcode = seen["barcode"].as_str().unwrap();
        let redeemed = world.till().redeem(barcode).await.expect(201).json();
        assert_eq!(redeemed["nextOfferAt"].is_string(), number == 3, "{redeemed}");
        ids.push(redeemed["redemptionId"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "a redemption id came again");
    assert_eq!(office.get(&pass).await["state"], "redeemed");
    world.till().redeem_pass(&pass.pass_type, &pass.serial).await.problem(409, "already_redeemed");
    while phone.pass(&pass.serial).barcode().is_some() {
        phone.hear(world.apns()).await;
    }
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_limits_are_refused_by_path() {
    let world = World::new().await;
    for limit in [json!(0), json!(-1), json!("3"), json!(1.5)] {
        let mut campaign = two_offers();
        campaign["offers"][0]["redemptionLimit"] = limit.clone();
        let answer = world.back_office().put_campaign("limits", &campaign).await;
        answer.any_problem(&[400, 422]);
        assert!(answer.problem_paths().contains(&"/offers/0/redemptionLimit".to_owned()), "{limit}: {}", answer.text());
    }
    for seconds in [json!(-1), json!(31_536_001), json!("15")] {
        let mut campaign = two_offers();
        campaign["nextOfferAfterSeconds"] = seconds.clone();
        let answer = world.back_office().put_campaign("limits", &campaign).await;
        answer.any_problem(&[400, 422]);
        assert!(answer.problem_paths().contains(&"/nextOfferAfterSeconds".to_owned()), "{seconds}: {}", answer.text());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redemption_that_leaves_the_pass_as_it_looks_bothers_no_phone() {
    // Reference 1.6, "the pass was unchanged": one of three uses changes nothing on this pass.
    let mut campaign = two_offers();
    campaign["offers"][0]["redemptionLimit"] = json!(3);
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.advance(Duration::from_secs(600));
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.nothing_new(&pass.pass_type).await;
    phone.pull_to_refresh(&pass.serial).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), Some(pass.barcode.as_str()));
    // The second and the third use; only the third is pushed.
    world.till().redeem(&pass.barcode).await.expect(201);
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    assert_eq!(world.apns().pushes().len(), 1);
    phone.was_content();
    world.end().await;
}
