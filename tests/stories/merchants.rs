//! Two merchants on one service: neither sees or touches what is the other's (contract 4, first
//! bullet: a key is a merchant's).

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::till::Till;
use passloop_tests::world::World;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_merchant_finds_none_of_our_passes() {
    let world = World::new().await;
    let ours = world.back_office();
    let pass = ours.issue("Ada").await;
    let before = ours.get(&pass).await;
    let key = world.key_of_another_merchant().await;
    let theirs = world.back_office_with(&key);
    let path = format!("/passes/{}/{}", pass.pass_type, pass.serial);
    for tail in ["", "/history"] {
        let request = theirs.request(Method::GET, &format!("{path}{tail}"));
        Answer::to(request).await.any_problem(&[404]);
    }
    theirs.patch_holder(&pass, json!({ "name": "Eve" })).await.any_problem(&[404]);
    theirs.void(&pass).await.any_problem(&[404]);
    let till = Till::new(world.http(), world.base(), &key, "till 1");
    till.redeem(&pass.barcode).await.problem(404, "unknown_pass");
    till.redeem_pass(&pass.pass_type, &pass.serial).await.problem(404, "unknown_pass");
    theirs.post_pass(&json!({ "campaignId": CAMPAIGN })).await.any_problem(&[404, 409, 422]);
    assert_eq!(ours.get(&pass).await, before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_names_are_different_things_for_different_merchants() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let theirs = world.back_office_with(&world.key_of_another_merchant().await);
    let folder = TemplateFolder::coupon().edit(|pass| pass["description"] = json!("Theirs"));
    theirs.put_template(CAMPAIGN, &folder).await.expect(201);
    let mut campaign = two_offers();
    campaign["offers"][0]["title"] = json!("Theirs");
    theirs.put_campaign(CAMPAIGN, &campaign).await.expect(201);
    phone.nothing_new(&pass.pass_type).await;
    // Idempotency keys are a merchant's own.
    let body = json!({ "campaignId": CAMPAIGN, "holder": { "name": "Ada" } });
    for office in [world.back_office(), theirs] {
        let request = office.request(Method::POST, "/passes").header("Idempotency-Key", "order 1");
        let answer = Answer::to(request.json(&body)).await.expect(201);
        assert_eq!(answer.header("idempotency-replayed"), None);
    }
    phone.was_content();
    world.end().await;
}
