//! Proof of delivery: when what a redemption made reached a phone; and what nobody fetches is pushed again.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::iphone::IPhone;
use passloop_tests::web_service::Registration;
use passloop_tests::world::{PATIENCE, World};
use platform::store::{Intent, Step};
use serde_json::{Value, json};

fn pushes_to(world: &World, phone: &IPhone) -> usize {
    world.apns().pushes().iter().filter(|push| push.token == phone.push_token()).count()
}

/// The walk that pushed a change is over: the next one is due in so many seconds.
async fn walk_ended(world: &World, wait: u64) {
    let due = world.now() + Duration::from_secs(wait);
    let is_next = |intent: &Intent| matches!(intent.step, Step::PushCampaign { .. }) && intent.due == due;
    world.until("the next walk", || world.intents(), |intents| intents.iter().any(is_next)).await;
}

/// A campaign's change was pushed, and comes again 600, 7200 and 43,200 seconds after the push before.
async fn three_reminders(world: &World, deaf: &IPhone, pushed: usize) {
    for (reminder, wait) in [600, 7200, 43_200].into_iter().enumerate() {
        walk_ended(world, wait).await;
        world.pass_time(Duration::from_secs(wait - 60)).await;
        assert_eq!(pushes_to(world, deaf), pushed + reminder);
        world.pass_time(Duration::from_secs(60)).await;
        world.apns().wait_for(deaf.push_token(), pushed + reminder + 1, PATIENCE).await;
    }
    let is_walk = |intent: &Intent| matches!(intent.step, Step::PushCampaign { .. });
    world.until("the last walk is over", || world.intents(), |intents| !intents.iter().any(is_walk)).await;
}

fn id(redeemed: &Value) -> String {
    redeemed["redemptionId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redemption_answers_later_when_phones_knew() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.advance(Duration::from_secs(60));
    let redeemed = world.till().redeem(&pass.barcode).await.expect(201).json();
    let told = office.redemption(&id(&redeemed)).await.expect(200).json();
    for member in ["redemptionId", "offer", "redeemedAt", "location", "till", "nextOfferAt", "passVersion"] {
        assert_eq!(told[member], redeemed[member], "{member}");
    }
    assert_eq!(told["reversedAt"], json!(null));
    assert_eq!(told["delivery"]["nextOffer"], json!(null));
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    world.advance(Duration::from_secs(3));
    phone.hear(world.apns()).await;
    let ask = || async { office.redemption(&id(&redeemed)).await.expect(200).json() };
    let told = world
        .until("used, proven", ask, |told| {
            told["delivery"]["used"]["fetchedAt"].is_string() && told["delivery"]["used"]["pushedAt"].is_string()
        })
        .await;
    let used = &told["delivery"]["used"];
    assert_eq!((&used["version"], &used["fetchedVersion"]), (&json!(2), &json!(2)));
    assert!(used["fetchedAt"].as_str() > told["redeemedAt"].as_str(), "{told}");
    world.pass_time(Duration::from_secs(12)).await;
    phone.hear(world.apns()).await;
    let told =
        world.until("the next offer, proven", ask, |told| told["delivery"]["nextOffer"]["fetchedAt"].is_string()).await;
    let next = &told["delivery"]["nextOffer"];
    assert_eq!((&next["version"], &next["fetchedVersion"]), (&json!(3), &json!(3)));
    assert_eq!(&told["delivery"]["used"], used);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_fetches_is_pushed_three_times_more_and_no_oftener() {
    // Reference 1.7: pushes of a type less than 7200 seconds apart wear a phone's patience.
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(31_536_000);
    let world = World::with_campaign(&campaign).await;
    let (pass, phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    let office = world.back_office();
    for (reminder, wait) in [600, 7200, 43_200].into_iter().enumerate() {
        // Noted before the time goes on: the next wait begins with it.
        let pushed = |kinds: &Vec<String>| kinds.iter().filter(|kind| *kind == "pushed").count() == reminder + 1;
        world.until("pushed", || office.history(&pass), pushed).await;
        world.pass_time(Duration::from_secs(wait - 60)).await;
        world.pass_time(Duration::from_secs(60)).await;
        world.apns().wait_for(phone.push_token(), reminder + 2, PATIENCE).await;
    }
    let all = |kinds: &Vec<String>| kinds.iter().filter(|kind| *kind == "pushed").count() == 4;
    world.until("pushed", || office.history(&pass), all).await;
    for _ in 0..5 {
        world.pass_time(Duration::from_secs(86_400)).await;
    }
    assert_eq!(world.apns().pushes().len(), 4);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_is_not_pushed_again() {
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(31_536_000);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let both = |kinds: &Vec<String>| ["pushed", "fetched"].iter().all(|kind| kinds.iter().any(|of| of == kind));
    world.until("pushed and fetched", || office.history(&pass), both).await;
    for _ in 0..4 {
        world.pass_time(Duration::from_secs(43_200)).await;
    }
    assert_eq!(world.apns().pushes().len(), 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_and_questions_are_told_once_for_each_version() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    for _ in 0..3 {
        world.download(&pass).await;
        phone.pushed(&pass.pass_type).await;
    }
    let count = |history: &[String], kind: &str| history.iter().filter(|of| *of == kind).count();
    let history = office.history(&pass).await;
    assert_eq!((count(&history, "downloaded"), count(&history, "asked")), (1, 1), "{history:?}");
    world.till().redeem(&pass.barcode).await.expect(201);
    // A stranger to tags asks every second, and never fetches.
    for _ in 0..5 {
        world.advance(Duration::from_secs(1));
        world.web_service().list(phone.device(), &pass.pass_type, None).await.expect(200);
        world.download(&pass).await;
    }
    let history = office.history(&pass).await;
    assert_eq!((count(&history, "downloaded"), count(&history, "asked")), (2, 2), "{history:?}");
    let main = ["issued", "downloaded", "registered", "asked", "redeemed"];
    let mut told: Vec<&str> = history.iter().map(String::as_str).filter(|kind| main.contains(kind)).collect();
    told.truncate(5);
    assert_eq!(told, main);
    phone.hear(world.apns()).await;
    phone.was_content();
    world.end().await;
}

/// What APNs accepted and lost is made up for after a change of the campaign too: for those who fetched nothing, and only them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaigns_change_that_nobody_fetches_is_pushed_three_times_more() {
    let world = World::new().await;
    let office = world.back_office();
    let (_, deaf) = world.customer("Ada").await;
    let (_, mut phone) = world.customer("Bob").await;
    let mut campaign = two_offers();
    campaign["offers"][0]["title"] = json!("Two croissants");
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    phone.hear(world.apns()).await;
    three_reminders(&world, &deaf, 1).await;
    for _ in 0..5 {
        world.pass_time(Duration::from_secs(86_400)).await;
    }
    assert_eq!((pushes_to(&world, &deaf), pushes_to(&world, &phone)), (4, 1));
    phone.was_content();
    world.end().await;
}

/// Changes that follow each other closely do not add up their reminders: reference 1.7 scores pushes by type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_change_of_the_same_look_takes_over_the_reminders() {
    let world = World::new().await;
    let office = world.back_office();
    let (_, deaf) = world.customer("Ada").await;
    let mut campaign = two_offers();
    for (change, title) in ["Two croissants", "Three croissants"].into_iter().enumerate() {
        campaign["offers"][0]["title"] = json!(title);
        office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
        world.apns().wait_for(deaf.push_token(), change + 1, PATIENCE).await;
        walk_ended(&world, 600).await;
        if change == 0 {
            world.pass_time(Duration::from_secs(300)).await;
        }
    }
    three_reminders(&world, &deaf, 2).await;
    for _ in 0..5 {
        world.pass_time(Duration::from_secs(86_400)).await;
    }
    assert_eq!(pushes_to(&world, &deaf), 5);
    world.end().await;
}

/// One phone more that APNs knows nothing of any more must not cost the others their reminder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_gone_costs_no_other_its_reminder() {
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(31_536_000);
    let world = World::with_campaign(&campaign).await;
    let office = world.back_office();
    let (pass, deaf) = world.customer("Ada").await;
    let mut other = world.iphone();
    other.add(&world.download(&pass).await.body).await;
    world.advance(Duration::from_secs(120));
    world.apns().answer(other.push_token(), 503, "ServiceUnavailable", None);
    world.till().redeem(&pass.barcode).await.expect(201);
    world.apns().wait_for(deaf.push_token(), 1, PATIENCE).await;
    world.apns().wait_for(other.push_token(), 1, PATIENCE).await;
    let gone = world.now().as_millisecond();
    world.apns().answer(other.push_token(), 410, "Unregistered", Some(gone));
    let swept = || async {
        world.pass_time(Duration::from_secs(1)).await;
        office.get(&pass).await
    };
    world.until("the other is gone", swept, |seen| seen["devices"] == 1).await;
    let is_reminder = |intent: &Intent| matches!(intent.step, Step::PushUnfetched { .. });
    world.until("a reminder is due", || world.intents(), |intents| intents.iter().any(is_reminder)).await;
    world.pass_time(Duration::from_secs(600)).await;
    world.apns().wait_for(deaf.push_token(), 2, PATIENCE).await;
    world.end().await;
}

/// DynamoDB says that there may be more after a page that is full; the page after it is empty (AWS, Query: `LastEvaluatedKey`).
/// What the first page took must be remembered then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_on_exactly_one_page_of_devices_is_pushed_again_to_all() {
    const PAGE: usize = 1000;
    let mut campaign = two_offers();
    campaign["nextOfferAfterSeconds"] = json!(31_536_000);
    let world = World::with_campaign(&campaign).await;
    let (pass, deaf) = world.customer("Ada").await;
    let (web_service, authorization) = (world.web_service(), deaf.authorization(&pass.serial));
    let more = stream::iter(1..PAGE).map(|number| {
        let (web_service, authorization, pass) = (&web_service, &authorization, &pass);
        async move {
            let device = format!("a{number:031x}");
            let of = Registration { device: &device, pass_type: &pass.pass_type, serial: &pass.serial };
            web_service.register(of, Some(authorization), &format!("a{number:063x}")).await.expect(201);
        }
    });
    more.buffer_unordered(8).collect::<()>().await;
    world.advance(Duration::from_secs(120));
    world.till().redeem(&pass.barcode).await.expect(201);
    for told in 1..=2 {
        let pushes = || async { world.apns().pushes().len() };
        world.until("everybody is told", pushes, |pushes| *pushes == told as usize * PAGE).await;
        let is_reminder =
            |intent: &Intent| matches!(intent.step, Step::PushUnfetched { reminder, .. } if reminder == told);
        world.until("a reminder is due", || world.intents(), |intents| intents.iter().any(is_reminder)).await;
        world.pass_time(Duration::from_secs(7200)).await;
    }
    world.end().await;
}
