//! Reading back what was put, and lists (the calls as the OpenAPI document describes them).

use std::collections::BTreeSet;
use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, PASS_TYPE, two_offers};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::world::World;
use platform::keys::Role;
use reqwest::Method;
use serde_json::{Value, json};

async fn get(office: &BackOffice, path: &str) -> Answer {
    Answer::to(office.request(Method::GET, path)).await
}

async fn read(office: &BackOffice, path: &str) -> Value {
    get(office, path).await.expect(200).json()
}

fn ids(list: &Value, member: &str) -> Vec<String> {
    let items = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    items.iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_is_read_in_each_of_its_versions() {
    let world = World::empty().await;
    let office = world.back_office();
    let first = office.put_template("t", &TemplateFolder::coupon()).await.expect(201).json();
    world.advance(Duration::from_mins(1));
    let other = TemplateFolder::coupon().edit(|pass| pass["description"] = json!("Another"));
    let second = office.put_template("t", &other).await.expect(201).json();
    let newest = read(&office, "/templates/t").await;
    for (member, value) in second.as_object().unwrap() {
        assert_eq!(&newest[member], value, "{member}");
    }
    assert_eq!(newest["createdAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap(), world.now());
    assert_eq!(read(&office, "/templates/t?version=2").await, newest);
    let old = read(&office, "/templates/t?version=1").await;
    assert_eq!((&old["version"], &old["sha256"]), (&json!(1), &first["sha256"]));
    assert_ne!(old["createdAt"], newest["createdAt"]);
    for unknown in ["/templates/t?version=3", "/templates/t?version=0", "/templates/none", "/templates/no%20name"] {
        get(&office, unknown).await.problem(404, "not_found");
    }
    for bad in ["/templates/t?version=x", "/templates/t?edition=1"] {
        get(&office, bad).await.problem(422, "invalid");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_is_read_as_it_was_answered_when_it_was_put() {
    let world = World::empty().await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    let put = office.put_campaign(CAMPAIGN, &two_offers()).await.expect(201).json();
    assert_eq!(put["revision"], 1);
    assert_eq!(read(&office, &format!("/campaigns/{CAMPAIGN}")).await, put);
    // What was read can be put again, without what the service added.
    let mut again = put.as_object().unwrap().clone();
    for member in ["campaignId", "templateVersion", "revision", "retiredOfferIds", "createdAt", "updatedAt"] {
        assert!(again.remove(member).is_some(), "{member}");
    }
    again["nextOfferAfterSeconds"] = json!(30);
    let second = office.put_campaign(CAMPAIGN, &Value::Object(again)).await.expect(200).json();
    assert_eq!((&second["revision"], &second["nextOfferAfterSeconds"]), (&json!(2), &json!(30)));
    assert_eq!(second["offers"], put["offers"]);
    // A template's new version is a change too.
    let other = TemplateFolder::coupon().edit(|pass| pass["description"] = json!("Another"));
    office.put_template(CAMPAIGN, &other).await.expect(201);
    let third = read(&office, &format!("/campaigns/{CAMPAIGN}")).await;
    assert_eq!((&third["revision"], &third["templateVersion"]), (&json!(3), &json!(2)));
    get(&office, "/campaigns/none").await.problem(404, "not_found");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_and_campaigns_are_listed_by_name_page_by_page() {
    let world = World::empty().await;
    let office = world.back_office();
    let empty = json!({ "templates": [], "nextCursor": null });
    assert_eq!(read(&office, "/templates").await, empty);
    office.put_template("t", &TemplateFolder::coupon()).await.expect(201);
    let names: Vec<String> = (0..41).map(|number| format!("c{number:02}")).collect();
    let mut campaign = two_offers();
    campaign["templateId"] = json!("t");
    for name in names.iter().rev() {
        office.put_campaign(name, &campaign).await.expect(201);
    }
    let first = read(&office, "/campaigns").await;
    assert_eq!(ids(&first["campaigns"], "campaignId"), names[..40]);
    assert_eq!(first["nextCursor"], "c39");
    let rest = read(&office, "/campaigns?cursor=c39").await;
    assert_eq!(ids(&rest["campaigns"], "campaignId"), names[40..]);
    assert_eq!(rest["nextCursor"], Value::Null);
    let whole = read(&office, "/campaigns/c40").await;
    for (member, value) in rest["campaigns"][0].as_object().unwrap() {
        assert_eq!(&whole[member], value, "{member}");
    }
    let templates = read(&office, "/templates").await;
    assert_eq!(ids(&templates["templates"], "templateId"), ["t"]);
    for bad in ["/templates?cursor=no%20name", "/campaigns?cursor=", "/campaigns?limit=3"] {
        get(&office, bad).await.problem(422, "invalid");
    }
    // A till reads passes, not these.
    let till = world.back_office_with(&world.key_with_role(Role::Redeem).await);
    for path in ["/templates", "/templates/t", "/campaigns", "/campaigns/c00", "/passes?campaignId=c00"] {
        get(&till, path).await.problem(403, "forbidden");
    }
    world.end().await;
}

/// Every page of a list of passes, by its cursors: the serial numbers of each.
async fn pages(office: &BackOffice, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut path = format!("/passes?campaignId={CAMPAIGN}{query}");
    loop {
        let page = read(office, &path).await;
        pages.push(ids(&page["passes"], "serialNumber"));
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/passes?campaignId={CAMPAIGN}{query}&cursor={cursor}"),
            None => return pages,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_are_listed_once_each_while_more_are_issued() {
    let world = World::new().await;
    let office = world.back_office();
    let mut there = BTreeSet::new();
    for number in 0..23 {
        there.insert(office.issue(&number.to_string()).await.serial);
    }
    let (mut told, mut path) = (Vec::new(), format!("/passes?campaignId={CAMPAIGN}&limit=5"));
    loop {
        let page = read(&office, &path).await;
        let serials = ids(&page["passes"], "serialNumber");
        assert!(serials.len() <= 5);
        told.extend(serials);
        office.issue("meanwhile").await;
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/passes?campaignId={CAMPAIGN}&limit=5&cursor={cursor}");
    }
    let distinct: BTreeSet<String> = told.iter().cloned().collect();
    assert_eq!(distinct.len(), told.len(), "told twice");
    assert!(distinct.is_superset(&there), "left out");
    // The same from the same place, and each as it is told alone.
    let page = read(&office, &format!("/passes?campaignId={CAMPAIGN}&limit=100")).await;
    assert_eq!(page, read(&office, &format!("/passes?campaignId={CAMPAIGN}&limit=100")).await);
    for pass in page["passes"].as_array().unwrap() {
        let alone = read(&office, &format!("/passes/{PASS_TYPE}/{}", pass["serialNumber"].as_str().unwrap())).await;
        assert_eq!(pass, &alone);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_are_listed_by_the_state_they_have_now() {
    let mut campaign = two_offers();
    let world = World::empty().await;
    let end = world.now() + jiff::SignedDuration::from_hours(1);
    campaign["offers"][0]["redeemableUntil"] = json!(end.to_string());
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(201);
    let (redeemable, redeemed, voided) = (office.issue("a").await, office.issue("b").await, office.issue("c").await);
    world.till().redeem(&redeemed.barcode).await.expect(201);
    office.void(&voided).await.expect(200);
    let states = async |state: &str| pages(&office, &format!("&state={state}")).await.concat();
    assert_eq!(states("redeemable").await.concat(), redeemable.serial);
    assert_eq!(states("redeemed").await, [redeemed.serial]);
    assert_eq!(states("voided").await, [voided.serial]);
    assert_eq!(states("expired").await, [""; 0]);
    // Nothing is written when an offer's time is over, and yet it is over.
    world.advance(Duration::from_hours(1));
    assert_eq!(states("expired").await, [redeemable.serial]);
    assert_eq!(states("redeemable").await, [""; 0]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_list_of_passes_is_told_whole() {
    let world = World::new().await;
    let office = world.back_office();
    office.issue("a").await;
    office.issue("b").await;
    let wrong = get(&office, "/passes?state=new&limit=0&cursor=x&colour=red").await;
    wrong.problem(422, "invalid");
    assert_eq!(wrong.problem_paths(), ["/campaignId", "/state", "/limit", "/colour"]);
    for limit in ["101", "-1", "ten", ""] {
        let wrong = get(&office, &format!("/passes?campaignId={CAMPAIGN}&limit={limit}")).await;
        assert_eq!(wrong.problem_paths(), ["/limit"], "{limit}");
    }
    let page = read(&office, &format!("/passes?campaignId={CAMPAIGN}&limit=1")).await;
    let cursor = page["nextCursor"].as_str().unwrap();
    office.put_campaign("other", &two_offers()).await.expect(201);
    for bad in [format!("other&cursor={cursor}"), format!("{CAMPAIGN}&cursor=x{cursor}"), format!("{CAMPAIGN}&cursor=")]
    {
        let wrong = get(&office, &format!("/passes?campaignId={bad}")).await;
        assert_eq!(wrong.problem_paths(), ["/cursor"], "{bad}");
    }
    let unknown = get(&office, "/passes?campaignId=none").await;
    assert_eq!(unknown.problem_paths(), ["/campaignId"]);
    world.end().await;
}
