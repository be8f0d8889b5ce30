//! `expirationDate` (issue 3, "time"; reference 4.1): what a phone shows as expired, the till refuses,
//! and says when it ended.

use std::time::Duration;

use jiff::Timestamp;
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, Issued, two_offers};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// As Apple writes dates: to the second.
fn date(at: Timestamp) -> Value {
    json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// As the contract writes times.
fn time(at: Timestamp) -> Value {
    json!(format!("{at:.3}"))
}

/// Up to `end` the pass is worth its offer; from then on everybody says that it ended.
async fn ends_at(world: &World, pass: &Issued, end: Timestamp) {
    let office = world.back_office();
    world.advance(Duration::try_from(end - world.now()).expect("not over yet") - MILLISECOND);
    let before = office.get(pass).await;
    assert_eq!((&before["state"], &before["expiresAt"]), (&json!("redeemable"), &time(end)));
    let page = || async { Answer::to(world.http().get(&pass.landing_url)).await.expect(200).text().to_lowercase() };
    assert!(!page().await.contains("expired"));
    world.advance(MILLISECOND);
    let refused = world.till().redeem(&pass.barcode).await.problem(409, "expired");
    assert_eq!(refused["expiredAt"], time(end));
    assert!(refused["detail"].as_str().expect("a detail").contains(time(end).as_str().expect("a text")), "{refused}");
    assert_eq!(office.get(pass).await["state"], "expired");
    assert!(page().await.contains("expired"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_of_the_template_counts_at_the_till() {
    let world = World::new().await;
    let end = world.now() + HOUR;
    let template = TemplateFolder::coupon().edit(|pass| pass["expirationDate"] = date(end));
    world.back_office().put_template(CAMPAIGN, &template).await.expect(201);
    let (pass, phone) = world.customer("Ada").await;
    assert_eq!(phone.pass(&pass.serial).pass["expirationDate"], date(end));
    ends_at(&world, &pass, end).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_of_an_overlay_counts_at_the_till_and_reaches_phones_that_have_the_pass() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let end = world.now() + HOUR;
    let mut campaign = two_offers();
    let relevant = json!([{ "date": date(world.now() + HOUR) }]);
    campaign["offers"][0]["overlay"] = json!({ "set": { "expirationDate": date(end), "relevantDates": relevant } });
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    phone.hear(world.apns()).await;
    let shown = &phone.pass(&pass.serial).pass;
    assert_eq!((&shown["expirationDate"], &shown["relevantDates"]), (&date(end), &relevant));
    ends_at(&world, &pass, end).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_offer_is_shown_by_the_phone_too() {
    let world = World::new().await;
    let end = world.now() + HOUR;
    let mut campaign = two_offers();
    campaign["offers"][0]["redeemableUntil"] = time(end);
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    let (pass, phone) = world.customer("Ada").await;
    assert_eq!(phone.pass(&pass.serial).pass["expirationDate"], date(end));
    ends_at(&world, &pass, end).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_holder_may_have_an_end_of_their_own() {
    let world = World::new().await;
    let office = world.back_office();
    let template = TemplateFolder::coupon().edit(|pass| pass["expirationDate"] = json!("{{ holder.until }}"));
    office.put_template(CAMPAIGN, &template).await.expect(201);
    let (early, late) = (world.now() + HOUR, world.now() + HOUR * 2);
    let mut passes = Vec::new();
    for end in [early, late] {
        let body = json!({ "campaignId": CAMPAIGN, "holder": { "name": "Ada", "until": date(end) } });
        passes.push(Issued::read(&office.post_pass(&body).await.expect(201).json()));
    }
    ends_at(&world, &passes[0], early).await;
    // Another year is bought, and the pass is good again.
    office.patch_holder(&passes[0], json!({ "until": date(late + HOUR) })).await.expect(200);
    assert_eq!(office.get(&passes[0]).await["state"], "redeemable");
    world.till().redeem(&passes[0].barcode).await.expect(201);
    ends_at(&world, &passes[1], late).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_would_come_expired_does_not_come() {
    let world = World::new().await;
    let mut campaign = two_offers();
    campaign["offers"][1]["overlay"] = json!({ "set": { "expirationDate": date(world.now() + HOUR) } });
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    let pass = world.back_office().issue("Ada").await;
    world.advance(HOUR);
    let answer = world.till().redeem(&pass.barcode).await.expect(201).json();
    assert_eq!(answer["nextOfferAt"], Value::Null);
    assert_eq!(world.back_office().get(&pass).await["state"], "finished");
    world.end().await;
}

/// What a scheduled update says of the end goes with it; an offer that comes later is not over by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_goes_again_keeps_no_later_offer_away() {
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(3 * 3600);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let until = world.now() + HOUR * 2;
    let update = json!({ "target": { "campaignId": CAMPAIGN }, "at": date(world.now() + HOUR), "until": date(until),
        "overlay": { "set": { "expirationDate": date(until) } } });
    Answer::to(office.request(Method::POST, "/updates").json(&update)).await.expect(201);
    world.pass_time(Duration::from_secs(3600)).await;
    let ask = || async { office.get(&pass).await["expiresAt"].clone() };
    world.until("the update is on", ask, |end| !end.is_null()).await;
    let answer = world.till().redeem(&pass.barcode).await.expect(201).json();
    assert!(answer["nextOfferAt"].is_string(), "{answer}");
    world.pass_time(Duration::from_secs(3600)).await;
    world.until("the update has gone", ask, Value::is_null).await;
    world.pass_time(Duration::from_secs(2 * 3600)).await;
    let ask = || async { office.get(&pass).await };
    let pass = world.until("the next offer comes", ask, |pass| pass["state"] == "redeemable").await;
    assert_eq!(pass["offer"]["offerId"], campaign["offers"][1]["offerId"]);
    world.end().await;
}
