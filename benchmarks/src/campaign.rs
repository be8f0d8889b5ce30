//! A campaign-wide change on the whole local service: from the merchant's request until the last phone was pushed.

use std::time::{Duration, Instant};

use passkit::{identifiers::PassIdentity, secrets::PushToken, web_service::ClientKind};
use passloop_tests::{
    back_office::PASS_TYPE,
    world::{PATIENCE, World},
};
use platform::store::Registration;
use serde_json::json;

/// A campaign of so many passes, each on one phone, whose offer gets another title. How long the request took, and how long
/// until the last push.
pub fn change(passes: usize) -> (Duration, Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let office = world.back_office();
        let campaign = |title: &str| {
            json!({ "passTypeIdentifier": PASS_TYPE, "templateId": "croissant",
                "offers": [{ "offerId": "coffee", "title": title }] })
        };
        office.put_campaign("many", &campaign("A coffee")).await.expect(201);
        let store = &world.local().app().store;
        for number in 0..passes {
            let pass = office.issue_of("many", "Ada").await;
            let identity = PassIdentity {
                pass_type_identifier: PASS_TYPE.parse().unwrap(),
                serial_number: pass.serial.parse().unwrap(),
            };
            let stored = store.pass(&identity).await.unwrap().unwrap();
            let registration = Registration {
                device: format!("{number:032x}").parse().unwrap(),
                push_token: PushToken::new(format!("{number:064x}")),
                client: ClientKind::Apple,
                registered_at: world.now(),
            };
            store.register(&stored, None, &registration, &[]).await.unwrap();
        }
        let begun = Instant::now();
        office.put_campaign("many", &campaign("A large coffee")).await.expect(200);
        let answered = begun.elapsed();
        let count = || async {
            // Looking copies what there is to see.
            tokio::time::sleep(Duration::from_millis(10)).await;
            world.apns().pushes().len()
        };
        world.until("every push", count, |pushed| *pushed >= passes).await;
        let pushed = begun.elapsed();
        assert!(pushed < PATIENCE);
        world.end().await;
        (answered, pushed)
    })
}
