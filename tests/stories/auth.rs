//! Merchant keys (contract 4, first bullet).

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE, two_offers};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::till::Till;
use passloop_tests::world::World;
use platform::keys::Role;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_key_everything_is_401() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let key = world.local().merchant_key().to_owned();
    let pass_path = format!("/passes/{PASS_TYPE}/{}", pass.serial);
    let calls = [
        (Method::PUT, "/templates/t".to_owned()),
        (Method::PUT, "/campaigns/c".to_owned()),
        (Method::POST, "/passes".to_owned()),
        (Method::GET, pass_path.clone()),
        (Method::POST, "/redemptions".to_owned()),
    ];
    let headers = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer wrong".to_owned()),
        Some(key.clone()),
        Some(format!("Basic {key}")),
        Some(format!("Bearer {key}x")),
        Some(format!("Bearer {}", &key[..key.len() - 1])),
    ];
    for (method, path) in calls {
        for header in &headers {
            let url = format!("{}/merchant/v1{path}", world.base());
            let mut request = world.http().request(method.clone(), url).json(&json!({}));
            if let Some(header) = header {
                request = request.header("Authorization", header);
            }
            let answer = Answer::to(request).await;
            answer.any_problem(&[401]);
            // No echo of what was sent.
            assert!(!answer.text().contains(&key));
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_office_with_a_wrong_key_changes_nothing() {
    let world = World::new().await;
    let stranger = world.back_office_with("0123456789abcdef0123456789abcdef");
    stranger.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.any_problem(&[401]);
    stranger.put_campaign(CAMPAIGN, &two_offers()).await.any_problem(&[401]);
    stranger.post_pass(&json!({ "campaignId": CAMPAIGN })).await.any_problem(&[401]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_till_redeems_and_reads_no_more_than_its_role() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let key = world.key_with_role(Role::Redeem).await;
    let till = Till::new(world.http(), world.base(), &key, "till 1");
    till.redeem(&pass.barcode).await.expect(201);
    let office = world.back_office_with(&key);
    office.put_template("t", &TemplateFolder::coupon()).await.any_problem(&[403]);
    office.put_campaign("c", &two_offers()).await.any_problem(&[403]);
    office.post_pass(&json!({ "campaignId": CAMPAIGN })).await.any_problem(&[403]);
    office.void(&pass).await.any_problem(&[403]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_issues_but_changes_no_campaign() {
    let world = World::new().await;
    let office = world.back_office_with(&world.key_with_role(Role::Issue).await);
    let pass = office.issue("Ada").await;
    assert_eq!(office.get(&pass).await["state"], "redeemable");
    office.put_template("t", &TemplateFolder::coupon()).await.any_problem(&[403]);
    office.put_campaign("c", &two_offers()).await.any_problem(&[403]);
    world.end().await;
}
