//! `locations` and `benefit` (contract 4, Campaigns; issue 3, "place"): a phone never tells where it
//! is, a till does. The pass carries the places, a redemption there is answered with the benefit.

use passloop_tests::back_office::{CAMPAIGN, Issued, PASS_TYPE, two_offers};
use passloop_tests::package::Package;
use passloop_tests::till::Till;
use passloop_tests::world::World;
use serde_json::{Value, json};

/// Shops along the equator, "shop 0" at 0 degrees east, and so on.
fn shops(count: u32) -> Value {
    (0..count)
        .map(|east| json!({ "locationId": format!("shop {east}"), "name": format!("Shop {east}"), "latitude": 0, "longitude": east }))
        .collect()
}

fn with_shops(count: u32) -> Value {
    let mut campaign = two_offers();
    campaign["locations"] = shops(count);
    campaign
}

/// The degrees east of the pass's places.
fn east(package: &Package) -> Vec<f64> {
    let places = package.pass["locations"].as_array().expect("locations");
    places.iter().map(|place| place["longitude"].as_f64().expect("a number")).collect()
}

async fn issue(world: &World, holder: Value) -> Issued {
    let body = json!({ "campaignId": CAMPAIGN, "holder": holder });
    Issued::read(&world.back_office().post_pass(&body).await.expect(201).json())
}

async fn redeem_at(world: &World, pass: &Issued, location: Option<&str>) -> Value {
    let body = json!({ "barcode": pass.barcode, "location": location });
    world.till().send(Some(&Till::new_sale()), &body).await.expect(201).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pass_comes_up_where_the_shops_are() {
    let mut campaign = with_shops(2);
    campaign["locations"][0]["relevantText"] = json!("Fresh croissants, {{ holder.name }}");
    let world = World::with_campaign(&campaign).await;
    let (pass, phone) = world.customer("Ada").await;
    // Reference 4.6; without a text of its own a place says its name.
    let expected = json!([
        { "latitude": 0.0, "longitude": 0.0, "relevantText": "Fresh croissants, Ada" },
        { "latitude": 0.0, "longitude": 1.0, "relevantText": "Shop 1" }
    ]);
    assert_eq!(phone.pass(&pass.serial).pass["locations"], expected);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_shops_each_customer_carries_the_ten_nearest_to_their_home() {
    let world = World::with_campaign(&with_shops(30)).await;
    let home = |longitude: f64| json!({ "name": "Ada", "home": { "latitude": 0, "longitude": longitude } });
    let mut phone = world.iphone();
    let (west_end, east_end, nowhere) = (
        issue(&world, home(0.0)).await,
        issue(&world, home(29.0)).await,
        issue(&world, json!({ "name": "Bob" })).await,
    );
    for pass in [&west_end, &east_end, &nowhere] {
        phone.add(&world.download(pass).await.body).await;
    }
    let first: Vec<f64> = (0..10).map(f64::from).collect();
    let last: Vec<f64> = (20..30).rev().map(f64::from).collect();
    assert_eq!(east(phone.pass(&west_end.serial)), first);
    assert_eq!(east(phone.pass(&east_end.serial)), last);
    // Not known: the first ten.
    assert_eq!(east(phone.pass(&nowhere.serial)), first);

    // Somebody moves: that is a change of the pass like any other.
    let office = world.back_office();
    let moved = json!({ "home": { "latitude": 0, "longitude": 29.0 } });
    let seen = office.patch_holder(&west_end, moved).await.expect(200).json();
    assert_eq!(seen["version"], 2);
    assert_eq!(phone.hear(world.apns()).await, [west_end.serial.as_str()]);
    assert_eq!(east(phone.pass(&west_end.serial)), last);
    // Around the corner the same ten shops are nearest, so no phone is bothered.
    let near = json!({ "home": { "latitude": 0, "longitude": 28.9999 } });
    office.patch_holder(&west_end, near).await.expect(200);
    phone.nothing_new(PASS_TYPE).await;
    assert_eq!(world.apns().pushes().len(), 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_gets_shops_alters_its_passes() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    assert!(phone.pass(&pass.serial).pass.get("locations").is_none());
    let answer = world.back_office().put_campaign(CAMPAIGN, &with_shops(3)).await.expect(200).json();
    assert_eq!(answer["locations"].as_array().map(Vec::len), Some(3));
    assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
    assert_eq!(east(phone.pass(&pass.serial)), [0.0, 1.0, 2.0]);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_percent_everywhere_and_fifty_at_this_shop() {
    let mut campaign = with_shops(2);
    campaign["benefit"] = json!({ "percent": 20 });
    campaign["locations"][1]["benefit"] = json!({ "percent": 50, "code": ["A", 1] });
    let world = World::with_campaign(&campaign).await;
    for (location, benefit) in [
        (Some("shop 1"), json!({ "percent": 50, "code": ["A", 1] })),
        (Some("shop 0"), json!({ "percent": 20 })),
        // Any text may be told, and it is kept; it is no shop of the campaign.
        (Some("on the road"), json!({ "percent": 20 })),
        (None, json!({ "percent": 20 })),
    ] {
        let pass = world.back_office().issue("Ada").await;
        let answer = redeem_at(&world, &pass, location).await;
        assert_eq!((&answer["benefit"], &answer["location"]), (&benefit, &json!(location)), "{location:?}");
        let events = world.back_office().events(&pass).await;
        let redeemed = events.iter().find(|event| event["type"] == "redeemed").expect("an event");
        assert_eq!(redeemed["location"], json!(location));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_has_a_benefit_of_its_own_and_without_any_there_is_none() {
    let mut campaign = with_shops(1);
    campaign["offers"][1]["benefit"] = json!("half price");
    let world = World::with_campaign(&campaign).await;
    let (pass, mut phone) = world.customer("Ada").await;
    assert_eq!(redeem_at(&world, &pass, Some("shop 0")).await["benefit"], Value::Null);
    phone.hear(world.apns()).await;
    world.pass_time(std::time::Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    let next = Issued { barcode: phone.pass(&pass.serial).barcode().expect("a barcode").to_owned(), ..pass };
    assert_eq!(redeem_at(&world, &next, Some("shop 0")).await["benefit"], "half price");
    phone.hear(world.apns()).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_redemption_tells_the_benefit_it_told() {
    let mut campaign = with_shops(1);
    campaign["locations"][0]["benefit"] = json!(50);
    let world = World::with_campaign(&campaign).await;
    let pass = world.back_office().issue("Ada").await;
    let (sale, body) = (Till::new_sale(), json!({ "barcode": pass.barcode, "location": "shop 0" }));
    let first = world.till().send(Some(&sale), &body).await.expect(201).json();
    campaign["locations"][0]["benefit"] = json!(10);
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    let again = world.till().send(Some(&sale), &body).await.expect(201);
    assert_eq!((again.json(), again.header("idempotency-replayed")), (first, Some("true")));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_shops_are_refused_each_by_its_path() {
    let world = World::new().await;
    let mut campaign = with_shops(3);
    campaign["locations"][1] = json!({ "locationId": "shop 0", "name": "", "latitude": 91, "longitude": 0 });
    campaign["locations"][2]["relevantText"] = json!("{{ user.name }}");
    let answer = world.back_office().put_campaign(CAMPAIGN, &campaign).await;
    answer.problem(422, "invalid");
    let wrong: Vec<String> = ["locationId", "latitude", "name"].map(|member| format!("/locations/1/{member}")).into();
    assert_eq!(answer.problem_paths(), wrong);

    campaign["locations"][1] = json!({ "locationId": "", "latitude": "0", "where": 1 });
    let mut paths = world.back_office().put_campaign(CAMPAIGN, &campaign).await.problem_paths();
    paths.sort();
    let wrong = ["latitude", "locationId", "longitude", "name", "where"].map(|member| format!("/locations/1/{member}"));
    assert_eq!(paths, wrong);

    campaign["locations"].as_array_mut().expect("locations").remove(1);
    let answer = world.back_office().put_campaign(CAMPAIGN, &campaign).await;
    assert_eq!(answer.problem_paths(), ["/locations/1/relevantText"]);
    world.end().await;
}
