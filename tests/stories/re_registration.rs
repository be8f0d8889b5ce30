//! Push tokens rotate, and the phone says so by registering again (reference 1.3 R, 1.4; B3).

use std::time::Duration;

use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::web_service::Registration;
use passloop_tests::world::{PATIENCE, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_registration_answers_200_and_the_new_token_gets_the_push_b3() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let old_token = phone.push_token().to_owned();
    // Contract 3: 200 known, push token always replaced.
    assert_eq!(phone.rotate_push_token_only().await, [200]);
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    let pushes = world.apns().pushes();
    assert!(pushes.iter().all(|push| push.token != old_token), "the old token was pushed");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_rotated_under_a_new_device_id_is_a_new_registration() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    assert_eq!(phone.rotate_push_token().await, [201]);
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_push_token_may_come_with_two_device_ids() {
    // Peers a1.9: a push token must not be unique.
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let of = Registration { device: "otherdevice", pass_type: &pass.pass_type, serial: &pass.serial };
    let service = world.web_service();
    service.register(of, Some(&authorization), phone.push_token()).await.expect(201);
    let listed = service.list("otherdevice", &pass.pass_type, None).await.expect(200).json();
    assert_eq!(listed["serialNumbers"][0], pass.serial.as_str());
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_the_same_again_changes_nothing_and_answers_200() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let of = Registration { device: phone.device(), pass_type: &pass.pass_type, serial: &pass.serial };
    for _ in 0..3 {
        let service = world.web_service();
        service.register(of, Some(&authorization), phone.push_token()).await.expect(200);
    }
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    phone.was_content();
    world.end().await;
}

/// Some phones register hundreds of times under ever new device ids (peers, "one bad phone"): APNs is called once for each
/// phone, and all of its registrations end together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_under_many_names_is_pushed_once() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    for number in 0..30 {
        let device = format!("name-{number}");
        let of = Registration { device: &device, pass_type: &pass.pass_type, serial: &pass.serial };
        world.web_service().register(of, Some(&authorization), phone.push_token()).await.expect(201);
    }
    assert_eq!(office.get(&pass).await["devices"], 31);
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let pushed = || async { office.history(&pass).await.iter().filter(|kind| *kind == "pushed").count() };
    world.until("the round of pushes is over", pushed, |rounds| *rounds == 1).await;
    let to_it = world.apns().pushes().into_iter().filter(|push| push.token == phone.push_token()).count();
    assert_eq!(to_it, 1, "one phone, one push");

    world.apns().answer(phone.push_token(), 400, "BadDeviceToken", None);
    office.void(&pass).await.expect(200);
    world.until("all names are gone", || office.get(&pass), |pass| pass["devices"] == 0).await;
    phone.was_content();
    world.end().await;
}

/// A call that its phone gave up, and that took seconds, comes after the one that brought another token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_registration_brings_no_old_token_back() {
    let (world, tap, underneath) = World::tapped().await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    office.put_campaign(CAMPAIGN, &two_offers()).await.expect(201);
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let service = world.web_service();
    let of = || Registration { device: phone.device(), pass_type: &pass.pass_type, serial: &pass.serial };
    let (old, new) = ("ab".repeat(32), "cd".repeat(32));
    world.advance(Duration::from_secs(1));
    let mut held = tap.hold("TransactWriteItems");
    let later = async {
        held.caught().await;
        world.advance(Duration::from_secs(1));
        service.register(of(), Some(&authorization), &new).await.expect(200);
        drop(held);
    };
    let (slow, ()) = tokio::join!(service.register(of(), Some(&authorization), &old), later);
    slow.expect(200);
    world.till().redeem(&pass.barcode).await.expect(201);
    world.apns().wait_for(&new, 1, PATIENCE).await;
    let pushes = world.apns().pushes();
    assert!(!pushes.is_empty() && pushes.iter().all(|push| push.token == new), "{pushes:?}");
    world.end().await;
    underneath.end().await;
}
