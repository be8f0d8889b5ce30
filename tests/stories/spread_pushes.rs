//! Pushes of a campaign-wide change, spread over a settable time, so that a million phones do not fetch at once.

use std::time::Duration;

use jiff::Timestamp;
use passkit::identifiers::PassIdentity;
use passloop_tests::back_office::{CAMPAIGN, Issued, PASS_TYPE, two_offers};
use passloop_tests::package::Package;
use passloop_tests::world::{PATIENCE, World, root_certificate};
use platform::store::{Step, place_among_members};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_come_within_the_time_and_everybody_gets_one() {
    let world = World::new().await;
    let office = world.back_office();
    let mut customers = Vec::new();
    for number in 0..12 {
        customers.push(world.customer(&format!("Customer {number}")).await);
    }
    let mut campaign = two_offers();
    campaign["offers"][0]["title"] = json!("Two croissants");
    campaign["pushOverSeconds"] = json!(600);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    // Whoever asks sees the change at once; only the telling is spread.
    for (pass, _) in &customers {
        let package = world.download(pass).await;
        let package = Package::open(&package.body, &root_certificate()).expect("a good package");
        assert_eq!(package.value("offer"), "Two croissants");
    }
    world.pass_time(Duration::from_secs(600)).await;
    for (pass, phone) in &mut customers {
        assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
        phone.was_content();
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_day_is_refused() {
    let world = World::new().await;
    let mut campaign = two_offers();
    campaign["pushOverSeconds"] = json!(86_401);
    let answer = world.back_office().put_campaign(CAMPAIGN, &campaign).await;
    answer.any_problem(&[400, 422]);
    assert_eq!(answer.problem_paths(), ["/pushOverSeconds"]);
    world.end().await;
}

/// What is still to be done for campaigns: which reminder it is, whether it is one page of it, and when it is due.
async fn walks(world: &World) -> Vec<(u32, bool, Timestamp)> {
    let intents = world.intents().await.into_iter();
    let walks = intents.filter_map(|intent| {
        if let Step::PushCampaign { round, .. } = intent.step {
            Some((round?.reminder, false, intent.due))
        } else if let Step::PushMembers { round, .. } = intent.step {
            Some((round?.reminder, true, intent.due))
        } else {
            None
        }
    });
    walks.collect()
}

/// Reminders are spread as the change was: after an outage of APNs everybody needs one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_come_after_the_last_push_and_are_spread_too() {
    let world = World::new().await;
    let office = world.back_office();
    let (_, deaf) = world.customer("Ada").await;
    let mut campaign = two_offers();
    campaign["offers"][0]["title"] = json!("Two croissants");
    campaign["pushOverSeconds"] = json!(3600);
    let hour = Duration::from_secs(3600);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    // Ten minutes after the last of the pushes.
    let first = (1, false, world.now() + hour + Duration::from_secs(600));
    let reminders = |walks: &Vec<(u32, bool, Timestamp)>| walks.iter().filter(|(of, ..)| *of == 1).count();
    let walks_then = world.until("a reminder is due", || walks(&world), |walks| reminders(walks) > 0).await;
    assert!(reminders(&walks_then) == 1 && walks_then.contains(&first), "{walks_then:?}");
    world.pass_time(hour).await;
    world.apns().wait_for(deaf.push_token(), 1, PATIENCE).await;
    // Noted before the time goes on: what is not is sent again, and APNs may hear of it twice.
    let is_noted = |walks: &Vec<(u32, bool, Timestamp)>| walks.iter().all(|(_, _, due)| *due > world.now());
    world.until("the push is noted", || walks(&world), is_noted).await;
    world.pass_time(Duration::from_secs(600)).await;
    let begun = world.now();
    let pages =
        |walks: &Vec<(u32, bool, Timestamp)>| walks.iter().filter(|(of, page, _)| (*of, *page) == (1, true)).count();
    let walks = world.until("its pages are due", || walks(&world), |walks| pages(walks) == 1).await;
    let due = walks.iter().find(|(_, page, _)| *page).unwrap().2;
    assert!((begun..begun + hour).contains(&due), "{due}, begun {begun}");
    assert_eq!(world.apns().pushes().len(), 1);
    world.pass_time(hour).await;
    world.apns().wait_for(deaf.push_token(), 2, PATIENCE).await;
    world.end().await;
}

/// A page of the walk ends where it ended when the campaign was walked, however many passes are issued in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_issued_meanwhile_push_nobody_out_of_a_page() {
    let world = World::new().await;
    let office = world.back_office();
    // Serial numbers of one partition of the campaign's passes, so that it has more than one page of a hundred.
    let mut serials = Vec::new();
    for number in 0..5000 {
        let serial = format!("S{number:04}");
        let identity =
            PassIdentity { pass_type_identifier: PASS_TYPE.parse().unwrap(), serial_number: serial.parse().unwrap() };
        if place_among_members(&identity).starts_with("0 ") {
            serials.push(serial);
        }
    }
    // The later ones are there from the beginning, the earlier ones come.
    let issue = async |serial: &String| {
        let body = json!({ "campaignId": CAMPAIGN, "serialNumber": serial, "holder": { "name": "Ada" } });
        Issued::read(&office.post_pass(&body).await.expect(201).json())
    };
    let (new, old) = (&serials[..60], &serials[60..200]);
    let mut phones = Vec::new();
    for serial in old {
        let pass = issue(serial).await;
        let mut phone = world.iphone();
        phone.add(&world.download(&pass).await.body).await;
        phones.push(phone);
    }
    let mut campaign = two_offers();
    campaign["offers"][0]["title"] = json!("Two croissants");
    campaign["pushOverSeconds"] = json!(3600);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
    let pages = |walks: &Vec<(u32, bool, Timestamp)>| walks.iter().filter(|(_, page, _)| *page).count() >= 2;
    world.until("its pages are due", || walks(&world), pages).await;
    for serial in new {
        issue(serial).await;
    }
    world.pass_time(Duration::from_secs(3600)).await;
    for phone in &phones {
        world.apns().wait_for(phone.push_token(), 1, PATIENCE).await;
    }
    world.end().await;
}
