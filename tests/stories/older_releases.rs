//! A table that an older release wrote is served by this one (issue 4; docs/deploy.md, "Updating without a gap"): what is
//! kept of each release lies in `tests/kept`.

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE};
use passloop_tests::kept::{self, Kept};
use passloop_tests::package::Package;
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::world::{World, root_certificate};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_release_left_goes_on() {
    for file in kept::releases() {
        let kept = Kept::read(&file);
        let world = World::empty().await;
        kept.load(&world).await;
        everything_is_still_known(&world, &kept).await;
        everything_goes_on(&world, &kept).await;
        world.end().await;
    }
}

async fn everything_is_still_known(world: &World, kept: &Kept) {
    let office = world.back_office();
    let then = &kept.remembered;
    for customer in [&then.ada, &then.bob, &then.cleo] {
        let now = office.get(&customer.issued()).await;
        for told in ["serialNumber", "campaignId", "state", "version", "offer", "barcode", "devices", "nextOfferAt"] {
            assert_eq!(now[told], customer.pass[told], "{told}");
        }
        assert_eq!(office.events(&customer.issued()).await, customer.history);
        // A version that the phone holds is still that version.
        let service = world.web_service();
        let holds = Some(customer.last_modified.as_str());
        let status = if then.ada.device == customer.device { 200 } else { 304 };
        service.pass(PASS_TYPE, &customer.issued().serial, Some(&customer.authorization), holds).await.expect(status);
    }
    let redemption = office.redemption(then.receipt["redemptionId"].as_str().unwrap()).await.expect(200).json();
    assert_eq!(redemption["redeemedAt"], then.receipt["redeemedAt"]);
    let report = Answer::to(office.report(CAMPAIGN, "")).await.expect(200).json();
    for counted in ["issued", "redeemed", "reversed"] {
        assert!(then.report.get(counted).is_some(), "{}", then.report);
        assert_eq!(report[counted], then.report[counted], "{counted}");
    }
    let update = then.update["updateId"].as_str().unwrap();
    let update = Answer::to(office.request(Method::GET, &format!("/updates/{update}"))).await.expect(200).json();
    assert_eq!(update["state"], "scheduled");
    // The till tells its sale again.
    let till = world.back_office_with(&then.till_key);
    let sold = till.request(Method::POST, "/redemptions").header("Idempotency-Key", &then.sale);
    let first = json!({ "barcode": first_barcode(&then.receipt, kept), "location": "main", "till": "till 1" });
    let again = Answer::to(sold.json(&first)).await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), then.receipt.clone()));
}

/// The barcode that was sold: the used pass does not show it any more, the table's barcode item is named by it.
fn first_barcode(receipt: &Value, kept: &Kept) -> String {
    let sold = receipt["redemptionId"].as_str().unwrap();
    let barcodes = kept.items.iter().filter(|item| item["sk"]["S"] == "BARCODE" && item.to_string().contains(sold));
    let key = barcodes.map(|item| item["pk"]["S"].as_str().unwrap()).next().expect("the barcode that was sold");
    key.rsplit('#').next().unwrap().to_owned()
}

async fn everything_goes_on(world: &World, kept: &Kept) {
    let office = world.back_office();
    let then = &kept.remembered;
    // The promised next offer comes, and the phone's own tag finds it.
    world.sweep().await;
    let ada = then.ada.issued();
    world.until("the next offer", || office.get(&ada), |pass: &Value| pass["state"] == "redeemable").await;
    let service = world.web_service();
    let listed = service.list(&then.ada.device, PASS_TYPE, Some(&then.ada.tag)).await.expect(200).json();
    assert_eq!(listed["serialNumbers"], json!([ada.serial]));
    let fetched = service.pass(PASS_TYPE, &ada.serial, Some(&then.ada.authorization), None).await.expect(200);
    let package = Package::open(&fetched.body, &root_certificate()).expect("a good package");
    assert_eq!(package.value("offer"), "Half-price coffee");

    // A sale, a campaign-wide change, a new version of the template, a new pass.
    let bob = then.bob.issued();
    world.till().redeem_as("a later sale", &bob.barcode).await.expect(201);
    let changed = office.request(Method::GET, &format!("/campaigns/{CAMPAIGN}"));
    let mut campaign = Answer::to(changed).await.expect(200).json();
    let revision = campaign["revision"].clone();
    for told in ["campaignId", "revision", "retiredOfferIds", "templateVersion", "createdAt", "updatedAt"] {
        campaign.as_object_mut().unwrap().remove(told);
    }
    campaign["voidedOverlay"]["fields"]["status"]["value"] = json!("Gone");
    let campaign = office.put_campaign(CAMPAIGN, &campaign).await.expect(200).json();
    assert_ne!(campaign["revision"], revision);
    let cleo = &then.cleo;
    let listed = service.list(&cleo.device, PASS_TYPE, Some(&cleo.tag)).await.expect(200).json();
    assert_eq!(listed["serialNumbers"], json!(["cleo"]));
    let template = TemplateFolder::coupon().edit(|pass| pass["logoText"] = json!("Levain"));
    let template = office.put_template(CAMPAIGN, &template).await.expect(201).json();
    assert_eq!(template["version"], 2);
    let dan = office.issue("Dan").await;
    let package = Package::open(&world.download(&dan).await.body, &root_certificate()).expect("a good package");
    assert_eq!(package.pass["logoText"], "Levain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_today_has_the_shapes_of_the_newest_release_kept() {
    let newest = Kept::read(kept::releases().last().expect("one at least"));
    let world = World::empty().await;
    let today = kept::play(&world).await;
    world.end().await;
    let (then, now) = (newest.shapes(), today.shapes());
    let gone: Vec<_> = then.difference(&now).collect();
    let new: Vec<_> = now.difference(&then).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "what is stored has changed; not stored any more: {gone:#?}, new: {new:#?}. Old releases run beside this one on the \
         same table (docs/deploy.md): read what they wrote, raise `v` if they cannot read this, and keep the new shapes by \
         cargo run -p passloop-tests --bin keep-release -- tests/kept/<next number>.json"
    );
}
