//! A till's mistake is taken back: the pass can be redeemed again, and what was counted is given back, once.

use std::time::Duration;

use futures_util::future::join_all;
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::till::Till;
use passloop_tests::world::World;
use platform::keys::Role;
use serde_json::json;

fn id(redeemed: &Answer) -> String {
    redeemed.json()["redemptionId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reversed_redemption_leaves_the_pass_as_good_as_new_under_another_barcode() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let redeemed = world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    world.advance(Duration::from_secs(5));
    let reversed = office.reverse(&id(&redeemed)).await.expect(200).json();
    assert_eq!((&reversed["redemptionId"], &reversed["reversalReason"]), (&json!(id(&redeemed)), &json!("wrong pass")));
    phone.hear(world.apns()).await;
    let seen = office.get(&pass).await;
    assert_eq!(
        (&seen["state"], &seen["nextOfferAt"], &seen["redemptionsLeft"]),
        (&json!("redeemable"), &json!(null), &json!(1))
    );
    let fresh = phone.pass(&pass.serial).barcode().unwrap().to_owned();
    assert_eq!(seen["barcode"], fresh);
    assert_ne!(fresh, pass.barcode);
    // The screenshot of the barcode that was scanned redeems nothing.
    world.till().redeem(&pass.barcode).await.problem(409, "already_redeemed");
    // The next offer that was promised does not come.
    world.pass_time(Duration::from_secs(15)).await;
    phone.nothing_new(&pass.pass_type).await;
    let again = world.till().redeem(&fresh).await.expect(201);
    assert_ne!(id(&again), id(&redeemed));
    phone.hear(world.apns()).await;
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    let history = office.history(&pass).await;
    let told: Vec<&str> =
        history.iter().map(String::as_str).filter(|kind| ["redeemed", "reversed", "offer"].contains(kind)).collect();
    assert_eq!(told, ["redeemed", "reversed", "redeemed", "offer"]);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_offer_goes_again_unless_it_was_used() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let first = id(&world.till().redeem(&pass.barcode).await.expect(201));
    phone.hear(world.apns()).await;
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    let coffee = phone.pass(&pass.serial).barcode().unwrap().to_owned();
    let second = id(&world.till().redeem(&coffee).await.expect(201));
    phone.hear(world.apns()).await;
    office.reverse(&first).await.problem(409, "not_reversible");
    office.reverse(&second).await.expect(200);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Half-price coffee");
    let unused = phone.pass(&pass.serial).barcode().unwrap().to_owned();
    office.reverse(&first).await.expect(200);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("offer"), "Free croissant");
    // The coffee that went again.
    world.till().redeem(&unused).await.problem(404, "unknown_pass");
    let barcode = phone.pass(&pass.serial).barcode().unwrap().to_owned();
    world.till().redeem(&barcode).await.expect(201);
    phone.hear(world.apns()).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_late_void_unknown_and_another_merchants_stay_as_they_are() {
    let mut campaign = two_offers();
    campaign["reversibleForSeconds"] = json!(60);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, _) = world.customer("Ada").await;
    let redemption = id(&world.till().redeem(&pass.barcode).await.expect(201));
    let stranger = world.back_office_with(&world.key_of_another_merchant().await);
    stranger.reverse(&redemption).await.problem(404, "unknown_redemption");
    stranger.redemption(&redemption).await.problem(404, "unknown_redemption");
    office.reverse("zW61by0f56lOZYSI").await.problem(404, "unknown_redemption");
    let till = world.back_office_with(&world.key_with_role(Role::Redeem).await);
    till.reverse(&redemption).await.problem(403, "forbidden");
    world.advance(Duration::from_secs(60));
    let told = office.redemption(&redemption).await.expect(200).json();
    let late = office.reverse(&redemption).await.problem(409, "too_late_to_reverse");
    assert_eq!(late["reversibleUntil"], told["reversibleUntil"]);
    // What the campaign says when it is asked counts.
    campaign["reversibleForSeconds"] = json!(3600);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    office.void(&pass).await.expect(200);
    office.reverse(&redemption).await.problem(409, "not_reversible");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_clerks_reverse_at_once_and_one_redemption_is_given_back() {
    let mut campaign = two_offers();
    campaign["totalRedemptionLimit"] = json!(1);
    campaign["offers"][0]["totalRedemptionLimit"] = json!(1);
    campaign["holderKey"] = json!("/name");
    campaign["redemptionsPerHolder"] = json!(1);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, other) = (office.issue("Ada").await, office.issue("Bob").await);
    let redemption = id(&world.till().redeem(&pass.barcode).await.expect(201));
    world.till().redeem(&other.barcode).await.problem(409, "limit_reached");
    let answers = join_all((0..10).map(|_| office.reverse(&redemption))).await;
    let first = answers[0].json();
    for answer in answers {
        assert_eq!(answer.expect(200).json(), first);
    }
    assert_eq!(office.history(&pass).await.iter().filter(|kind| *kind == "reversed").count(), 1);
    // One place is free again, and one only.
    world.till().redeem(&other.barcode).await.expect(201);
    let barcode = office.get(&pass).await["barcode"].as_str().unwrap().to_owned();
    world.till().redeem(&barcode).await.problem(409, "limit_reached");
    let report = Answer::to(office.report(CAMPAIGN, "")).await.expect(200).json();
    assert_eq!((&report["redeemed"], &report["reversed"]), (&json!(2), &json!(1)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redeemed_anew_and_reversed_at_once_nothing_is_counted_twice() {
    let mut campaign = two_offers();
    campaign["offers"][0]["redemptionLimit"] = json!(2);
    campaign["totalRedemptionLimit"] = json!(2);
    for _ in 0..4 {
        let world = World::with_campaign(&campaign).await;
        let office = world.back_office();
        let pass = office.issue("Ada").await;
        let first = id(&world.till().redeem(&pass.barcode).await.expect(201));
        let till = world.till();
        let (reversed, redeemed) =
            tokio::join!(office.reverse(&first), till.redeem_pass(&pass.pass_type, &pass.serial));
        reversed.expect(200);
        redeemed.expect(201);
        let seen = office.get(&pass).await;
        assert_eq!((&seen["state"], &seen["redemptionsLeft"]), (&json!("redeemable"), &json!(1)));
        till.redeem_pass(&pass.pass_type, &pass.serial).await.expect(201);
        let other = office.issue("Bob").await;
        till.redeem(&other.barcode).await.problem(409, "limit_reached");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reversal_told_twice_is_answered_as_it_was() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let redemption = id(&world.till().redeem(&pass.barcode).await.expect(201));
    let key = Till::new_sale();
    let keyed = || office.reversal(&redemption).header("Idempotency-Key", &key).json(&json!({ "reason": "refund" }));
    let first = Answer::to(keyed()).await.expect(200);
    let again = Answer::to(keyed()).await.expect(200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), first.json());
    let other = office.reversal(&redemption).header("Idempotency-Key", &key).json(&json!({ "reason": "other" }));
    Answer::to(other).await.problem(422, "idempotency_key_reused");
    // Without the key it is the same redemption, with the first reason.
    assert_eq!(office.reverse(&redemption).await.expect(200).json()["reversalReason"], "refund");
    let unknown = office.reversal(&redemption).json(&json!({ "reasons": [] }));
    Answer::to(unknown).await.problem(422, "invalid");
    world.end().await;
}
