//! How long a phone waits: from the till's request to the push at APNs, on the whole local service.

use std::time::{Duration, Instant};

use passloop_tests::world::{PATIENCE, World};

/// So many redemptions, one after the other, each of a pass on one phone.
pub fn until_pushed(count: usize) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let mut waits = Vec::with_capacity(count);
        for number in 0..=count {
            let pass = world.back_office().issue("Ada").await;
            let mut phone = world.iphone();
            phone.add(&world.download(&pass).await.body).await;
            let token = phone.push_token().to_owned();
            let begun = Instant::now();
            world.till().redeem(&pass.barcode).await.expect(201);
            let pushed = world.apns().wait_for(&token, 1, PATIENCE).await;
            assert!(!pushed.is_empty(), "no push came");
            // The first one warms caches and connections.
            if number > 0 {
                waits.push(begun.elapsed());
            }
        }
        world.end().await;
        waits
    })
}
