//! `redemptionLimit` (contract 4, Campaigns): so often an offer may be redeemed; and the limits over all passes of a
//! campaign, of an offer and of a holder.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, Issued, two_offers};
use passloop_tests::till::Till;
use passloop_tests::world::World;
use serde_json::{Value, json};

/// Calls in flight at once: a connection each, on both sides within this process's limit of open files.
const CONNECTIONS: usize = 100;

async fn issue(world: &World, passes: usize) -> Vec<Issued> {
    let office = world.back_office();
    let issued = stream::iter(0..passes).map(|number| {
        let office = office.clone();
        async move { office.issue(&format!("Customer {number}")).await }
    });
    issued.buffer_unordered(CONNECTIONS).collect().await
}

/// A till for each barcode, all at once.
async fn race(world: &World, barcodes: impl IntoIterator<Item = String>) -> Vec<Answer> {
    let tills = barcodes.into_iter().enumerate().map(|(number, barcode)| {
        let till = world.till_named(&format!("till {number}"));
        async move { till.redeem(&barcode).await }
    });
    stream::iter(tills).buffer_unordered(CONNECTIONS).collect().await
}

/// How many of these won; the others must have been told of this limit.
fn winners(answers: &[Answer], limit: &str) -> usize {
    let (won, lost): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 201);
    for answer in lost {
        assert_eq!(answer.problem(409, "limit_reached")["limit"], limit);
    }
    won.len()
}

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
        assert_eq!(redeemed["redemptionsLeft"], 3 - number, "{redeemed}");
        // Contract 4: yesterday's screenshot redeems nothing; nor does the second scan of one visit.
        let again = world.till().redeem(barcode).await.problem(409, "already_redeemed");
        assert_eq!(again["redemptionId"], redeemed["redemptionId"]);
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
    // Reference 1.6, "the pass was unchanged": one of three uses changes nothing on this pass, which keeps its barcode.
    let mut campaign = two_offers();
    campaign["offers"][0]["redemptionLimit"] = json!(3);
    campaign["offers"][0]["newBarcode"] = json!("eachOffer");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_for_ten_visits_shows_what_is_left_and_the_next_offer_waits_for_the_last() {
    let mut campaign = two_offers();
    campaign["offers"][0]["redemptionLimit"] = json!(10);
    campaign["offers"][0]["overlay"] = json!({ "fields": { "news": {
        "value": "{{ offer.redemptions }} of {{ offer.redemptionLimit }} visits, {{ offer.redemptionsLeft }} left",
        "changeMessage": "%@" } } });
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    let mut barcodes = BTreeSet::new();
    for visit in 1..=10 {
        let shown = phone.pass(&pass.serial);
        assert_eq!(shown.value("news"), format!("{} of 10 visits, {} left", visit - 1, 11 - visit));
        let barcode = shown.barcode().unwrap().to_owned();
        world.till().redeem(&barcode).await.expect(201);
        assert!(barcodes.insert(barcode), "a barcode came again");
        // Nothing else comes meanwhile, however long it takes.
        world.pass_time(Duration::from_secs(86_400)).await;
        phone.hear(world.apns()).await;
        if visit < 10 {
            assert!(phone.pass(&pass.serial).barcode().is_some(), "after visit {visit}");
        }
    }
    while phone.pass(&pass.serial).value("offer") != "Half-price coffee" {
        phone.hear(world.apns()).await;
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_limit_is_told_to_phones_that_show_what_is_left() {
    let mut campaign = two_offers();
    campaign["offers"][0]["redemptionLimit"] = json!(10);
    campaign["offers"][0]["overlay"] = json!({ "fields": { "news": { "value": "{{ offer.redemptionsLeft }} left" } } });
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("news"), "9 left");
    campaign["offers"][0]["redemptionLimit"] = json!(12);
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).value("news"), "11 left");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tills_race_for_five_hundred_redemptions_and_five_hundred_win() {
    let mut campaign = two_offers();
    campaign["totalRedemptionLimit"] = json!(500);
    let world = World::with_campaign(&campaign).await;
    let passes = issue(&world, 1000).await;
    let answers = race(&world, passes.iter().map(|pass| pass.barcode.clone())).await;
    assert_eq!(winners(&answers, "campaign"), 500);
    // Whoever lost keeps what they have, and is refused for as long as the limit stands.
    let lost = answers.iter().position(|answer| answer.status == 409).unwrap();
    assert_eq!(answers[lost].header("content-type"), Some("application/problem+json"));
    campaign["totalRedemptionLimit"] = json!(501);
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    let mut redeemable = Vec::new();
    for pass in &passes {
        if redeemable.len() < 3 && world.back_office().get(pass).await["state"] == "redeemable" {
            redeemable.push(pass.barcode.clone());
        }
    }
    assert_eq!(winners(&race(&world, redeemable).await, "campaign"), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_offer_of_a_campaign_may_end_before_the_campaign() {
    let mut campaign = two_offers();
    campaign["totalRedemptionLimit"] = json!(40);
    campaign["offers"][0]["totalRedemptionLimit"] = json!(7);
    let world = World::with_campaign(&campaign).await;
    let passes = issue(&world, 30).await;
    let answers = race(&world, passes.iter().map(|pass| pass.barcode.clone())).await;
    assert_eq!(winners(&answers, "offer"), 7);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_set_later_counts_what_was_before() {
    let mut campaign = two_offers();
    let world = World::with_campaign(&campaign).await;
    let passes = issue(&world, 30).await;
    let barcodes: Vec<String> = passes.iter().map(|pass| pass.barcode.clone()).collect();
    assert_eq!(winners(&race(&world, barcodes[..20].to_vec()).await, "none"), 20);
    campaign["totalRedemptionLimit"] = json!(24);
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    assert_eq!(winners(&race(&world, barcodes[20..].to_vec()).await, "campaign"), 4);
    // Lowered below what counted, it admits nobody, and takes nothing back.
    campaign["totalRedemptionLimit"] = json!(10);
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    let late = issue(&world, 1).await;
    let answer = world.till().redeem(&late[0].barcode).await;
    assert_eq!(answer.problem(409, "limit_reached")["limit"], "campaign");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sale_told_twice_counts_once_against_the_limit() {
    let mut campaign = two_offers();
    campaign["totalRedemptionLimit"] = json!(2);
    let world = World::with_campaign(&campaign).await;
    let passes = issue(&world, 3).await;
    let sale = Till::new_sale();
    let till = world.till();
    let (one, other) =
        tokio::join!(till.redeem_as(&sale, &passes[0].barcode), till.redeem_as(&sale, &passes[0].barcode));
    assert_eq!(one.expect(201).json(), other.expect(201).json());
    till.redeem_as(&sale, &passes[0].barcode).await.expect(201);
    till.redeem(&passes[1].barcode).await.expect(201);
    let refused = Till::new_sale();
    let first = till.redeem_as(&refused, &passes[2].barcode).await.problem(409, "limit_reached");
    let again = till.redeem_as(&refused, &passes[2].barcode).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.problem(409, "limit_reached")["limit"], first["limit"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_with_ten_passes_redeems_as_often_as_the_campaign_says() {
    let mut campaign = two_offers();
    campaign["holderKey"] = json!("/email");
    campaign["redemptionsPerHolder"] = json!(2);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let issue = |holder: Value| {
        let office = office.clone();
        async move {
            let body = json!({ "campaignId": CAMPAIGN, "holder": holder });
            Issued::read(&office.post_pass(&body).await.expect(201).json()).barcode
        }
    };
    let mut of_ada = Vec::new();
    for number in 0..10 {
        let email = if number % 2 == 0 { "ada@example.com" } else { " Ada@Example.COM" };
        of_ada.push(issue(json!({ "email": email })).await);
    }
    assert_eq!(winners(&race(&world, of_ada).await, "holder"), 2);
    world.till().redeem(&issue(json!({ "email": "bob@example.com" })).await).await.expect(201);
    // Who says nothing is somebody else each time.
    for _ in 0..3 {
        world.till().redeem(&issue(json!({})).await).await.expect(201);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_limits_over_all_passes_are_refused_by_path() {
    let world = World::new().await;
    let mut campaign = two_offers();
    campaign["totalRedemptionLimit"] = json!(0);
    campaign["redemptionsPerHolder"] = json!(1);
    campaign["reversibleForSeconds"] = json!(31_536_001);
    campaign["offers"][1]["totalRedemptionLimit"] = json!(1_000_000_001);
    let answer = world.back_office().put_campaign("limits", &campaign).await;
    // Whoever has a pass writes there, as often as they like.
    for key in ["/personalization/emailAddress", "/personalization"] {
        let mut campaign = two_offers();
        (campaign["holderKey"], campaign["redemptionsPerHolder"]) = (json!(key), json!(1));
        let answer = world.back_office().put_campaign("limits", &campaign).await;
        assert_eq!(answer.problem_paths(), ["/holderKey"]);
    }
    answer.problem(422, "invalid");
    for path in ["/totalRedemptionLimit", "/holderKey", "/reversibleForSeconds", "/offers/1/totalRedemptionLimit"] {
        assert!(answer.problem_paths().contains(&path.to_owned()), "{path}: {}", answer.text());
    }
    world.end().await;
}
