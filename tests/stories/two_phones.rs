//! One pass on two devices: iCloud, or a friend (reference 1.4, last row).

use passloop_tests::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_phone_that_carries_the_pass_follows_it() {
    let world = World::new().await;
    let (pass, mut first) = world.customer("Ada").await;
    let mut second = world.iphone();
    let package = world.download(&pass).await;
    assert_eq!(second.add(&package.body).await, 201);
    assert_eq!(world.back_office().get(&pass).await["devices"], 2);
    world.till().redeem(&pass.barcode).await.expect(201);
    first.hear(world.apns()).await;
    second.hear(world.apns()).await;
    for phone in [&first, &second] {
        assert_eq!(phone.pass(&pass.serial).barcode(), None);
        assert_eq!(phone.lock_screen(), ["Used. Enjoy!"]);
    }
    // Contract 5: the same version has the same manifest, whoever asks.
    assert_eq!(first.pass(&pass.serial).manifest, second.pass(&pass.serial).manifest);
    first.was_content();
    second.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_phone_leaving_does_not_touch_the_other() {
    let world = World::new().await;
    let (pass, mut first) = world.customer("Ada").await;
    let mut second = world.iphone();
    let package = world.download(&pass).await;
    second.add(&package.body).await;
    first.delete(&pass.serial).await;
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    world.till().redeem(&pass.barcode).await.expect(201);
    second.hear(world.apns()).await;
    assert_eq!(second.pass(&pass.serial).barcode(), None);
    let pushes = world.apns().pushes();
    assert!(pushes.iter().all(|push| push.token != first.push_token()), "a deleted pass was pushed");
    first.was_content();
    second.was_content();
    world.end().await;
}
