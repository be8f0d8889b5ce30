//! Changes that commit while a phone asks (B1, B6, B7): whatever the order, nothing stays hidden.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::world::World;
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_asks_during_a_storm_of_changes_ends_up_to_date_b7() {
    let world = World::new().await;
    let office = world.back_office();
    let (first, mut phone) = world.customer("Ada").await;
    let second = office.issue("Ada").await;
    let package = world.download(&second).await;
    phone.add(&package.body).await;
    let mut changes = JoinSet::new();
    for pass in [&first, &second] {
        for writer in 0..2 {
            let (office, pass) = (office.clone(), pass.clone());
            changes.spawn(async move {
                for number in 0..8 {
                    let name = format!("{writer}-{number}");
                    office.patch_holder(&pass, json!({ "name": name })).await.expect(200);
                }
            });
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let asking = {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            while !done.load(Ordering::Acquire) {
                phone.pushed(PASS_TYPE).await;
            }
            phone
        })
    };
    while let Some(change) = changes.join_next().await {
        change.unwrap();
    }
    done.store(true, Ordering::Release);
    let mut phone = asking.await.unwrap();
    // One last question after the last change.
    phone.pushed(PASS_TYPE).await;
    let service = world.web_service();
    for pass in [&first, &second] {
        let authorization = phone.authorization(&pass.serial);
        let held = phone.last_modified(&pass.serial);
        service.pass(PASS_TYPE, &pass.serial, Some(&authorization), Some(held)).await.expect(304);
        let fresh = service.pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
        let fresh = passloop_tests::package::Package::open(&fresh.body, &passloop_tests::world::root_certificate());
        assert_eq!(fresh.unwrap().manifest, phone.pass(&pass.serial).manifest);
        // 1 when issued, and one later for each of the 16 patches that all showed.
        assert_eq!(office.get(pass).await["version"], 17);
    }
    phone.nothing_new(PASS_TYPE).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_phones_register_for_one_pass_at_once() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let package = world.download(&pass).await.body;
    let mut phones = JoinSet::new();
    for _ in 0..12 {
        let (mut phone, package) = (world.iphone(), package.clone());
        phones.spawn(async move {
            assert_eq!(phone.add(&package).await, 201);
            phone
        });
    }
    let phones = phones.join_all().await;
    assert_eq!(office.get(&pass).await["devices"], 12);
    world.till().redeem(&pass.barcode).await.expect(201);
    for mut phone in phones {
        phone.hear(world.apns()).await;
        assert_eq!(phone.pass(&pass.serial).barcode(), None);
        phone.was_content();
    }
    world.end().await;
}
