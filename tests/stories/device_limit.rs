//! `maximumDevices` and `onTooManyDevices` (contract 4, Campaigns).

use passloop_tests::back_office::{CAMPAIGN, Issued, two_offers};
use passloop_tests::kept;
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::web_service::Registration;
use passloop_tests::world::World;
use serde_json::json;

async fn world_for_one_device(on_too_many: &str) -> World {
    let mut campaign = two_offers();
    campaign["maximumDevices"] = json!(1);
    campaign["onTooManyDevices"] = json!(on_too_many);
    World::with_campaign(&campaign).await
}

fn second_device(pass: &Issued) -> Registration<'_> {
    Registration { device: "second", pass_type: &pass.pass_type, serial: &pass.serial }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuse_answers_401_to_the_extra_copy_only() {
    let world = world_for_one_device("refuse").await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let service = world.web_service();
    let token = "ab".repeat(32);
    let answer = service.register(second_device(&pass), Some(&authorization), &token).await;
    answer.expect(401);
    service.list("second", &pass.pass_type, None).await.expect(204);
    assert_eq!(office.get(&pass).await["devices"], 1);
    // The first device is known and stays so, with a rotated token too.
    assert_eq!(phone.rotate_push_token_only().await, [200]);
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    // When the first one leaves there is room again.
    phone.delete(&pass.serial).await;
    let answer = service.register(second_device(&pass), Some(&authorization), &token).await;
    answer.expect(201);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_devices_at_once_no_more_than_the_limit_get_in() {
    let world = world_for_one_device("refuse").await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let package = world.download(&pass).await.body;
    let mut phones = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (mut phone, package) = (world.iphone(), package.clone());
        phones.spawn(async move { phone.add(&package).await });
    }
    let statuses = phones.join_all().await;
    let count = |status: u16| statuses.iter().filter(|of| **of == status).count();
    assert_eq!((count(201), count(401)), (1, 5), "{statuses:?}");
    assert_eq!(office.get(&pass).await["devices"], 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn void_voids_the_pass_for_everybody() {
    let world = world_for_one_device("void").await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let token = "ab".repeat(32);
    let service = world.web_service();
    service.register(second_device(&pass), Some(&authorization), &token).await;
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).pass["voided"], true);
    assert_eq!(office.get(&pass).await["state"], "voided");
    world.till().redeem(&pass.barcode).await.problem(409, "voided");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allow_lets_every_device_in() {
    let world = world_for_one_device("allow").await;
    let office = world.back_office();
    let (pass, phone) = world.customer("Ada").await;
    let mut friend = world.iphone();
    assert_eq!(friend.add(&world.download(&pass).await.body).await, 201);
    assert_eq!(office.get(&pass).await["devices"], 2);
    phone.was_content();
    friend.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_one_to_a_million() {
    let world = World::new().await;
    for limit in [0, 1_000_001] {
        let mut campaign = two_offers();
        campaign["maximumDevices"] = json!(limit);
        let refused = world.back_office().put_campaign(CAMPAIGN, &campaign).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.problem_paths(), ["/maximumDevices"]);
    }
    world.end().await;
}

/// While the counting begins, a device may leave uncounted: the number on the pass is then too high.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_turned_away_by_a_number_that_is_wrong() {
    let world = world_for_one_device("refuse").await;
    let (pass, mut phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    phone.delete(&pass.serial).await;
    let key = json!({ "pk": { "S": format!("PASS#{}#{}", pass.pass_type, pass.serial) }, "sk": { "S": "PASS" } });
    let wrong = json!({ "Key": key, "UpdateExpression": "SET devices = :wrong",
        "ExpressionAttributeValues": { ":wrong": { "N": "1" } } });
    kept::dynamodb(&world, "UpdateItem", wrong).await;
    let answer = world.web_service().register(second_device(&pass), Some(&authorization), &"ab".repeat(32)).await;
    answer.expect(201);
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    world.end().await;
}

/// A device says once more that it is there while it goes, or while APNs says that it is gone: it comes back as a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_ends_while_it_is_renewed_is_counted_anew() {
    let (world, tap, underneath) = World::tapped().await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    let mut campaign = two_offers();
    (campaign["maximumDevices"], campaign["onTooManyDevices"]) = (json!(2), json!("refuse"));
    office.put_campaign(CAMPAIGN, &campaign).await.expect(201);
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let service = world.web_service();
    service.register(second_device(&pass), Some(&authorization), &"ab".repeat(32)).await.expect(201);
    let mut held = tap.hold("TransactWriteItems");
    let goes = async {
        held.caught().await;
        service.unregister(second_device(&pass), Some(&authorization)).await.expect(200);
        drop(held);
    };
    let token = "cd".repeat(32);
    let (answer, ()) = tokio::join!(service.register(second_device(&pass), Some(&authorization), &token), goes);
    answer.expect(201);
    assert_eq!(office.get(&pass).await["devices"], 2);
    world.end().await;
    underneath.end().await;
}

/// A phone whose first call was slow asks once more (reference 1.5): it is not one too many by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_not_turned_away_by_its_own_registration() {
    let (world, tap, underneath) = World::tapped().await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    let mut campaign = two_offers();
    (campaign["maximumDevices"], campaign["onTooManyDevices"]) = (json!(1), json!("refuse"));
    office.put_campaign(CAMPAIGN, &campaign).await.expect(201);
    let (pass, mut phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    phone.delete(&pass.serial).await;
    let service = world.web_service();
    let token = "ab".repeat(32);
    // The first call has looked whether the device is registered, and is about to count. As the pass says how many it had, it
    // counts only when that is wrong.
    let key = json!({ "pk": { "S": format!("PASS#{}#{}", pass.pass_type, pass.serial) }, "sk": { "S": "PASS" } });
    kept::dynamodb(&world, "UpdateItem", json!({ "Key": key, "UpdateExpression": "REMOVE devices" })).await;
    let mut held = tap.hold("Query");
    let again = async {
        held.caught().await;
        service.register(second_device(&pass), Some(&authorization), &token).await.expect(201);
        drop(held);
    };
    let (answer, ()) = tokio::join!(service.register(second_device(&pass), Some(&authorization), &token), again);
    answer.expect(200);
    assert_eq!(office.get(&pass).await["devices"], 1);
    world.end().await;
    underneath.end().await;
}
